//! From what a compiler leaves to a component.
//!
//! A guest that is built with wit-bindgen for wasm32-unknown-unknown is a core module that exports the contract's functions.
//! The component around it says only how texts are passed, and follows from the contract alone (`wrap.rs`). It is made here
//! whenever such a module is loaded, so that plain `cargo build` is all that a guest needs. A guest is known by the sum of
//! its file, whichever of the two forms that has.
//!
//! A module need not be well meant. It is validated before anything else reads it, and what it says of its own contract, in
//! a section that only such tools understand, is left out.

use std::borrow::Cow;

use wasmtime::{Engine, Module};

use super::SandboxError;
use super::wrap::{CORE, number, text, wrapped};

/// The file as a component. What is no core module is left to the compiler, which knows what is wrong with it.
pub(super) fn component(file: &[u8]) -> Result<Cow<'_, [u8]>, SandboxError> {
    // The compiler would show the bytes.
    if !file.starts_with(MAGIC) {
        return Err(SandboxError::Load(
            "it is no WebAssembly file, which begins with the bytes 00 61 73 6d".to_owned(),
        ));
    }
    if !file.starts_with(CORE) {
        return Ok(Cow::Borrowed(file));
    }
    let refused = |reason| SandboxError::Load(format!("its core module cannot be made a component: {reason}"));
    Module::validate(&Engine::default(), file).map_err(|e| refused(format!("{e:#}")))?;
    if let Some((module, name)) = first_import(file) {
        // A stranger's names may be anything, also very long.
        let cut = |name: &str| name.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect::<String>();
        return Err(refused(format!(
            "it imports `{}` of `{}`, and a guest imports nothing. Build it for wasm32-unknown-unknown, without WASI and \
             without wasm-bindgen",
            cut(&name),
            cut(&module)
        )));
    }
    wrapped(file).map(Cow::Owned).ok_or_else(|| refused("its sections cannot be told apart".to_owned()))
}

/// How every binary file of WebAssembly begins.
const MAGIC: &[u8] = b"\0asm";

/// So much of an import's name is shown.
const SHOWN_CHARS: usize = 60;

/// The module and the name of a valid core module's first import.
fn first_import(file: &[u8]) -> Option<(String, String)> {
    const IMPORTS: u8 = 2;
    let mut rest = file.strip_prefix(CORE)?;
    while let Some((&id, after)) = rest.split_first() {
        let (length, content) = number(after)?;
        let (content, next) = content.split_at_checked(length)?;
        if id == IMPORTS {
            let (_, imports) = number(content).filter(|(count, _)| *count > 0)?;
            let (module, imports) = text(imports)?;
            let (name, _) = text(imports)?;
            return Some((String::from_utf8_lossy(module).into_owned(), String::from_utf8_lossy(name).into_owned()));
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

    use super::*;
    use crate::wrap::{CONTRACT, FUNCTIONS, INITIALIZE, POST, REST};
    use crate::{BUILT_IN, BUILT_IN_CORE, CallLimits, Guest, Profile, WIT};

    /// The smallest module that has what the contract asks for; what it may leave out has another name where it is left out.
    fn smallest(frees: bool, initializes: bool) -> Vec<u8> {
        let (contract, world) = contract();
        let module = dummy_module(&contract, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
        let module = if frees { module } else { renamed(&module, POST) };
        if initializes { module } else { renamed(&module, INITIALIZE) }
    }

    fn contract() -> (Resolve, wit_parser::WorldId) {
        let mut contract = Resolve::default();
        let package = contract.push_str("input.wit", WIT).unwrap();
        let world = contract.select_world(&[package], Some("input")).unwrap();
        (contract, world)
    }

    fn renamed(module: &[u8], name: &str) -> Vec<u8> {
        let mut module = module.to_vec();
        while let Some(at) = module.windows(name.len()).position(|bytes| bytes == name.as_bytes()) {
            module[at] = b'x';
        }
        module
    }

    /// What wit-component makes of a module.
    fn encoded(module: &[u8]) -> Vec<u8> {
        let (contract, world) = contract();
        let mut module = module.to_vec();
        embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
    }

    /// The sections of a module or a component, those of the modules in it among them, but for names and other words for
    /// people.
    fn sections(file: &[u8]) -> Vec<(u8, &[u8])> {
        let mut sections = Vec::new();
        let mut rest = &file[CORE.len()..];
        while let Some((&id, after)) = rest.split_first() {
            let (length, content) = number(after).unwrap();
            let (content, next) = content.split_at(length);
            match id {
                0 => {}
                1 if content.starts_with(CORE) => sections.extend(self::sections(content)),
                _ => sections.push((id, content)),
            }
            rest = next;
        }
        sections
    }

    /// `TIPLINE_UPDATE_CASES=1` writes the files anew.
    #[test]
    fn what_stands_behind_a_module_is_what_wit_component_writes() {
        for (frees, initializes, name) in [
            (false, false, "plain"),
            (false, true, "initialize"),
            (true, false, "post"),
            (true, true, "post-initialize"),
        ] {
            let module = smallest(frees, initializes);
            let component = encoded(&module);
            let (length, content) = number(&component[CORE.len() + 1..]).unwrap();
            // Up to the names.
            let rest = &content[length..];
            let mut end = 0;
            while rest[end] != 0 {
                let (length, content) = number(&rest[end + 1..]).unwrap();
                end = rest.len() - content.len() + length;
            }
            let rest = &rest[..end];
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(format!("{name}.bin"));
            if std::env::var_os("TIPLINE_UPDATE_CASES").is_some() {
                fs::write(&file, rest).unwrap();
            }
            assert!(fs::read(&file).unwrap() == rest, "{}: TIPLINE_UPDATE_CASES=1 writes it", file.display());
            assert!(REST[usize::from(frees)][usize::from(initializes)] == rest, "{name} belongs elsewhere");
            assert!(sections(&wrapped(&module).unwrap()) == sections(&component), "{name}");
        }
        assert!(sections(BUILT_IN) == sections(&encoded(BUILT_IN_CORE)));
    }

    /// Bindings of other languages know other exports; only those of the contract are asked for.
    #[test]
    fn what_a_module_may_leave_out_or_bring_along_changes_nothing() {
        let page = br#"{"data":[{"type":"domain","value":"a.example"}]}"#;
        let map = |file: &[u8]| {
            Guest::new(file, Profile::Sandboxed(CallLimits::default()), None).unwrap().map_records("", 0, page).unwrap()
        };
        let post = format!("{POST}{}", FUNCTIONS[0]);
        for name in [POST, &post] {
            let file = renamed(BUILT_IN_CORE, name);
            assert_ne!(file, BUILT_IN_CORE);
            assert_eq!(map(&file), map(BUILT_IN), "{name}");
        }
    }

    #[test]
    fn a_module_is_initialized_before_it_is_called() {
        let describe = |initialize: &str| {
            let [map, describe, advance] = FUNCTIONS;
            let module = format!(
                r#"(module
                    (memory (export "memory") 1)
                    (data (i32.const 8) "\10\00\00\00\01\00\00\00b")
                    (func (export "{initialize}") (i32.store8 (i32.const 16) (i32.const 0x61)))
                    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                    (func (export "{map}") (param i32 i32 i64 i32 i32) (result i32) unreachable)
                    (func (export "{describe}") (result i32) (i32.const 8))
                    (func (export "{advance}") (param i32 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                        unreachable))"#
            );
            Guest::new(&wat::parse_str(module).unwrap(), Profile::Sandboxed(CallLimits::default()), None)
                .unwrap()
                .describe()
                .unwrap()
        };
        assert_eq!((describe(INITIALIZE), describe("other")), ("a".to_owned(), "b".to_owned()));
    }

    #[test]
    fn a_core_module_becomes_the_component_and_a_component_stays() {
        assert_eq!(component(BUILT_IN).unwrap(), BUILT_IN);
        let page = br#"{"data":[{"type":"domain","value":"a.example"}]}"#;
        let [one, other] = [BUILT_IN, BUILT_IN_CORE].map(|file| Guest::new(file, Profile::Trusted, None).unwrap());
        assert_eq!(one.map_records("", 0, page).unwrap(), other.map_records("", 0, page).unwrap());
        assert_ne!(one.sha256(), other.sha256(), "each is known by its file");
        assert_eq!(component(b"\0asm else").unwrap(), &b"\0asm else"[..], "left to the compiler");
    }

    /// The smallest module that imports something, and modules that are hardly one.
    #[test]
    fn a_module_without_the_contract_is_refused_with_the_reason() {
        // (module (import "env" "now" (func)))
        let imports = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0b\x01\x03env\x03now\0\0";
        for (file, part) in
            [(&imports[..], "`env`"), (CORE, "cannot be loaded"), (&b"\0asm\x01\0\0\0\xff"[..], "module")]
        {
            let error = Guest::new(file, Profile::Trusted, None).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("must be a component"), "{error}");
        }
    }

    #[test]
    fn what_is_no_webassembly_is_named_as_that_in_one_line() {
        let mut random = fastrand::Rng::with_seed(3);
        let bytes: Vec<u8> = (0..100_000).map(|_| random.u8(..)).collect();
        for file in [&bytes[..], b"", b"\0as", b"(component)"] {
            let error = Guest::new(file, Profile::Trusted, None).unwrap_err().to_string();
            assert!(error.contains("is no WebAssembly file") && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn what_a_module_says_of_its_contract_does_not_matter() {
        let mut file = BUILT_IN_CORE.to_vec();
        // All of each such section behind its name. Where it stands among the others is the compiler's to say.
        let (mut at, mut damaged) = (CORE.len(), 0);
        while at < file.len() {
            let (length, content) = number(&file[at + 1..]).unwrap();
            let (start, is_custom) = (file.len() - content.len(), file[at] == 0);
            at = start + length;
            let (name, text) = number(content).unwrap();
            if is_custom && text.starts_with(CONTRACT) {
                let body = file.len() - text.len() + name;
                file[body..at].fill(0xff);
                damaged += 1;
            }
        }
        assert!(damaged > 0);
        assert_eq!(component(&file).unwrap(), component(BUILT_IN_CORE).unwrap());
    }

    #[test]
    fn damaged_modules_are_errors() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut refused = 0;
        for _ in 0..60 {
            let mut file = BUILT_IN_CORE.to_vec();
            match random.u8(..3) {
                0 => file.truncate(random.usize(CORE.len()..file.len())),
                // Among the custom sections, where the contract stands.
                1 => {
                    let at = file.len() - random.usize(1..6_000);
                    file[at] ^= 1 << random.u8(..8);
                }
                _ => {
                    let at = random.usize(CORE.len()..file.len());
                    file[at] = random.u8(..);
                }
            }
            refused += u32::from(component(&file).is_err());
        }
        assert!(refused > 10, "{refused}");
    }
}
