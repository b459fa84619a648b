//! From what a compiler leaves to a component.
//!
//! A guest that is built with wit-bindgen for wasm32-unknown-unknown is a core module that exports the contract's functions.
//! The component around it says only how texts are passed, and follows from the contract alone. It is made here whenever
//! such a module is loaded, which takes some milliseconds, so that plain `cargo build` is all that a guest needs. A guest
//! is known by the sum of its file, whichever of the two forms that has.
//!
//! A module need not be well meant. It is validated before anything else reads it, and what it says of its own contract, in
//! a section that only the encoder understands, is replaced by what this host knows of it.

use std::borrow::Cow;
use std::panic;

use wasmtime::{Engine, Module};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{SandboxError, WIT};

/// How a core module begins: the magic number and version 1. A component has another version.
const CORE: &[u8] = b"\0asm\x01\0\0\0";

/// The custom sections in which a compiler leaves the contract, by their names' beginning.
const CONTRACT: &[u8] = b"component-type";

/// The file as a component. What is no core module is left to the compiler, which knows what is wrong with it.
pub(super) fn component(file: &[u8]) -> Result<Cow<'_, [u8]>, SandboxError> {
    if !file.starts_with(CORE) {
        return Ok(Cow::Borrowed(file));
    }
    let refused = |reason| SandboxError::Load(format!("its core module cannot be made a component: {reason}"));
    Module::validate(&Engine::default(), file).map_err(|e| refused(format!("{e:#}")))?;
    let mut module = without_contract(file).ok_or_else(|| refused("its sections cannot be told apart".to_owned()))?;
    // The encoder is written for what compilers make, not for strangers; what it does not expect may end it.
    let encoded = panic::catch_unwind(move || {
        let mut contract = Resolve::default();
        let package = contract.push_str("input.wit", WIT)?;
        let world = contract.select_world(&[package], Some("input"))?;
        embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8)?;
        ComponentEncoder::default().validate(true).module(&module)?.encode()
    });
    match encoded {
        Ok(Ok(component)) => Ok(Cow::Owned(component)),
        Ok(Err(reason)) => Err(refused(format!("{reason:#}"))),
        Err(_) => Err(refused("it is not as compilers make them".to_owned())),
    }
}

/// A valid module without what it says of its contract.
fn without_contract(file: &[u8]) -> Option<Vec<u8>> {
    let mut kept = CORE.to_vec();
    let mut rest = file.get(CORE.len()..)?;
    while let Some((&id, after)) = rest.split_first() {
        let (length, content) = number(after)?;
        let (content, next) = content.split_at_checked(length)?;
        let section = rest.get(..rest.len() - next.len())?;
        let is_contract = id == 0 && number(content).is_some_and(|(_, name)| name.starts_with(CONTRACT));
        if !is_contract {
            kept.extend_from_slice(section);
        }
        rest = next;
    }
    Some(kept)
}

/// An unsigned LEB128 of at most 32 bits, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BUILT_IN, BUILT_IN_CORE, Guest, Profile};

    #[test]
    fn a_core_module_becomes_the_component_and_a_component_stays() {
        assert_eq!(component(BUILT_IN).unwrap(), BUILT_IN);
        let page = br#"{"data":[{"type":"domain","value":"a.example"}]}"#;
        let [one, other] = [BUILT_IN, BUILT_IN_CORE].map(|file| Guest::new(file, Profile::Trusted, None).unwrap());
        assert_eq!(one.map_records("", 0, page).unwrap(), other.map_records("", 0, page).unwrap());
        assert_ne!(one.sha256(), other.sha256(), "each is known by its file");
        assert_eq!(component(b"text").unwrap(), &b"text"[..], "left to the compiler");
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
