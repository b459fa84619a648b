//! Turns the public suffix list into the small automaton that `src/suffix.rs` reads.
//!
//! A key is a rule with its labels in reverse (`co.uk` is `uk.co`), in the ASCII form that names have in documents;
//! its value is a set of bits, as one name may carry a rule and a wildcard rule.

use std::collections::BTreeMap;
use std::path::PathBuf;

const LIST: &str = "data/public_suffix_list.dat";
/// The name itself is a suffix.
const RULE: u64 = 1;
/// Every name one label below is a suffix.
const WILDCARD: u64 = 2;
/// The name is registrable although a wildcard covers it.
const EXCEPTION: u64 = 4;

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-changed={LIST}");
    let list = std::fs::read_to_string(LIST).expect("the public suffix list lies beside the crate");
    let mut rules = BTreeMap::<Vec<u8>, u64>::new();
    for line in list.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")) {
        let (name, kind) = if let Some(name) = line.strip_prefix("*.") {
            (name, WILDCARD)
        } else if let Some(name) = line.strip_prefix('!') {
            (name, EXCEPTION)
        } else {
            (line, RULE)
        };
        let ascii = idna::domain_to_ascii(name).expect("a rule of the list is a name");
        let reversed = ascii.rsplit('.').collect::<Vec<_>>().join(".");
        *rules.entry(reversed.into_bytes()).or_default() |= kind;
    }
    // The last label of a name ends it where no rule does, so a rule of one label says nothing.
    rules.retain(|name, kind| *kind != RULE || name.contains(&b'.'));
    assert!(rules.len() > 5_000, "the public suffix list looks cut: {} rules", rules.len());
    let map = fst::Map::from_iter(rules).expect("a sorted map makes an automaton");
    std::fs::write(out.join("suffixes.fst"), map.as_fst().as_bytes()).expect("OUT_DIR can be written");
}
