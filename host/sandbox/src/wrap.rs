//! The component around a core module, which follows from the contract and not from the module.
//!
//! What wit-component writes for a module without imports is the module and, behind it, which of its exports is which
//! function of the contract and what the contract's types are: the same bytes for every such module, but for the two things
//! that a module may leave out. So these bytes are kept (`data/README.md`), and nobody who builds or runs this program needs
//! wit-component. This file knows no other one, as the build script includes it too.

/// How a core module begins: the magic number and version 1.
pub(crate) const CORE: &[u8] = b"\0asm\x01\0\0\0";

/// How a component begins.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// What stands behind the module: without and with functions that free what a call returned, each without and with one that
/// is called once before all others.
pub(crate) const REST: [[&[u8]; 2]; 2] = [
    [include_bytes!("../data/plain.bin"), include_bytes!("../data/initialize.bin")],
    [include_bytes!("../data/post.bin"), include_bytes!("../data/post-initialize.bin")],
];

/// The functions of the contract, by their names in a core module.
pub(crate) const FUNCTIONS: [&str; 3] = [
    "tipline:input/mapper@0.2.0#map-records",
    "tipline:input/mapper@0.2.0#describe",
    "tipline:input/pager@0.2.0#advance",
];

/// What the name of a function that frees what a call returned begins with, before that of the function called.
pub(crate) const POST: &str = "cabi_post_";

/// The function that is called once, before all others.
pub(crate) const INITIALIZE: &str = "_initialize";

/// The custom sections in which a compiler leaves the contract, by their names' beginning.
pub(crate) const CONTRACT: &[u8] = b"component-type";

/// The identifiers of the sections concerned: of a module, of a component.
const CUSTOM: u8 = 0;
const EXPORTS: u8 = 7;
const MODULE: u8 = 1;

/// A valid core module as a component; none where its sections cannot be told apart. What it says of its own contract is left
/// out, and whether it has what the contract asks for is found when the component is compiled.
pub(crate) fn wrapped(module: &[u8]) -> Option<Vec<u8>> {
    let mut kept = CORE.to_vec();
    let mut exports = Vec::new();
    let mut rest = module.strip_prefix(CORE)?;
    while let Some((&id, after)) = rest.split_first() {
        let (length, content) = number(after)?;
        let (content, next) = content.split_at_checked(length)?;
        let section = rest.get(..rest.len() - next.len())?;
        if id == EXPORTS {
            exports = names(content)?;
        }
        if !(id == CUSTOM && text(content).is_some_and(|(name, _)| name.starts_with(CONTRACT))) {
            kept.extend_from_slice(section);
        }
        rest = next;
    }
    let has = |name: &str| exports.contains(&name.as_bytes());
    // A call of a foreign guest has an instance of its own, which ends with what it did not free.
    let frees = FUNCTIONS.iter().all(|function| has(&format!("{POST}{function}")));
    let behind = REST[usize::from(frees)][usize::from(has(INITIALIZE))];
    let mut length = kept.len();
    let mut component = [COMPONENT, &[MODULE]].concat();
    while length > 0x7f {
        component.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    component.push(length as u8);
    component.extend_from_slice(&kept);
    component.extend_from_slice(behind);
    Some(component)
}

/// The names in a section of exports.
fn names(section: &[u8]) -> Option<Vec<&[u8]>> {
    let (count, mut rest) = number(section)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let (name, after) = text(rest)?;
        names.push(name);
        // Of what kind it is, and which of these.
        (_, rest) = number(after.get(1..)?)?;
    }
    Some(names)
}

/// A text with its length before it, and what follows it.
pub(crate) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(length)
}

/// An unsigned LEB128 of at most 32 bits, and what follows it.
pub(crate) fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(at + 1..)?));
        }
    }
    None
}
