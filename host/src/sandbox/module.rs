//! From what a compiler leaves to a component.
//!
//! A guest that is built with wit-bindgen for wasm32-unknown-unknown is a core module in which the contract stands as a
//! custom section. The component around it says only how texts are passed, and follows from the module alone. It is made
//! here whenever such a module is loaded, which takes some milliseconds, so that plain `cargo build` is all that a guest
//! needs. A guest is known by the sum of its file, whichever of the two forms that has.

use std::borrow::Cow;
use std::panic;

use super::SandboxError;

/// How a core module begins: the magic number and version 1. A component has another version.
const CORE: &[u8] = b"\0asm\x01\0\0\0";

/// The file as a component. What is no core module is left to the compiler, which knows what is wrong with it.
pub(super) fn component(file: &[u8]) -> Result<Cow<'_, [u8]>, SandboxError> {
    if !file.starts_with(CORE) {
        return Ok(Cow::Borrowed(file));
    }
    let encode = || wit_component::ComponentEncoder::default().validate(true).module(file).and_then(|e| e.encode());
    // The encoder is written for what compilers make; bytes that were damaged in a way of their own may end it.
    match panic::catch_unwind(encode) {
        Ok(Ok(component)) => Ok(Cow::Owned(component)),
        Ok(Err(reason)) => Err(SandboxError::Load(format!("its core module cannot be made a component: {reason:#}"))),
        Err(_) => Err(SandboxError::Load("its core module is damaged".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{BUILT_IN, BUILT_IN_CORE};

    #[test]
    fn a_core_module_becomes_the_component_and_a_component_stays() {
        assert_eq!(component(BUILT_IN).unwrap(), BUILT_IN);
        assert_eq!(component(BUILT_IN_CORE).unwrap(), BUILT_IN);
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
            let error = crate::sandbox::Guest::new(file, super::super::Profile::Trusted, None).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("must be a component"), "{error}");
        }
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
