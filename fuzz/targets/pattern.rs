//! STIX patterns: any text is read, or refused at a column of it, and no comparison of a pattern is forgotten.

#![no_main]

use libfuzzer_sys::fuzz_target;
use socdefenders::stix::pattern::{Pattern, alternatives};

fuzz_target!(|text: &str| {
    match Pattern::parse(text) {
        Ok(pattern) => {
            let mut forgotten = vec![true; pattern.tests().len()];
            for leaf in alternatives(&pattern).iter().flat_map(|one| &one.leaves) {
                let test = &pattern.tests()[leaf.test as usize];
                if let Some(place) = leaf.literal {
                    pattern.literals(test)[place as usize].value();
                }
                forgotten[leaf.test as usize] = false;
            }
            assert!(forgotten.iter().all(|forgotten| !forgotten), "a comparison belongs to no alternative");
        }
        Err(refusal) => assert!((1..=text.chars().count() + 1).contains(&refusal.column), "{refusal}"),
    }
});
