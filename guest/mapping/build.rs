//! Turns the public suffix list into the small automaton that `src/suffix.rs` reads, and the lower-case letters of
//! all scripts into the ranges of `src/observable/lower.rs`.
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
    std::fs::write(out.join("lower.rs"), lower_case()).expect("OUT_DIR can be written");
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

/// Runs of letters that are equally far from their lower case: `(first, last, step, distance)`.
fn lower_case() -> String {
    let mut runs = Vec::<(u32, u32, u32, i32)>::new();
    for upper in '\u{80}'..=char::MAX {
        let mut lower = upper.to_lowercase();
        let (Some(one), None) = (lower.next(), lower.next()) else { continue };
        let (code, distance) = (u32::from(upper), one as i32 - upper as i32);
        if distance == 0 {
            continue;
        }
        match runs.last_mut() {
            Some((_, last, step, same)) if *same == distance && code - *last == *step => *last = code,
            Some((first, last, step, same)) if *same == distance && first == last && code - *last == 2 => {
                (*last, *step) = (code, 2);
            }
            _ => runs.push((code, code, 1, distance)),
        }
    }
    format!("&{runs:?}")
}
