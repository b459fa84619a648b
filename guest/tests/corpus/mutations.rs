//! Patterns with damage: whatever comes is read, or refused at a column of it. Seeded, so every run is the same.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;
use socdefenders::stix::pattern::{Pattern, alternatives};

use crate::data::{Folder, plain, shared};
use crate::patterns::{indicator, map};

pub fn trials() -> Vec<Trial> {
    vec![
        plain("mutations::patterns_are_read_or_refused", || mutate(&seeds())),
        shared("mutations::patterns_of_feeds_are_read_or_refused", &["stix_patterns.jsonl"], |folder| {
            mutate(&seeds_of_feeds(folder));
        }),
    ]
}

/// A generator of numbers that are always the same: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Changes to a pattern: pieces cut out, doubled, exchanged, and tokens put where they do not belong.
fn mutated(text: &str, numbers: &mut Numbers) -> String {
    const TOKENS: [&str; 24] = [
        "(",
        ")",
        "[",
        "]",
        "'",
        "\\",
        "\\'",
        " AND ",
        " OR ",
        " NOT ",
        " FOLLOWEDBY ",
        " IN (",
        "=",
        "!=",
        "/*",
        "//",
        "WITHIN 5 SECONDS",
        "REPEATS 2 TIMES",
        "EXISTS ",
        "t'",
        "h'f'",
        "-1",
        "\u{200b}",
        "\u{1f600}",
    ];
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..1 + numbers.below(4) {
        let (from, to) = (numbers.below(chars.len() + 1), numbers.below(chars.len() + 1));
        let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 20));
        match numbers.below(3) {
            0 => {
                chars.drain(from..to);
            }
            1 => {
                let piece: Vec<char> = chars[from..to].to_vec();
                let at = numbers.below(chars.len() + 1);
                chars.splice(at..at, piece);
            }
            _ => {
                chars.splice(from..from, TOKENS[numbers.below(TOKENS.len())].chars());
            }
        }
    }
    chars.into_iter().collect()
}

/// Patterns of the table of cases, and two with all there is.
fn seeds() -> Vec<String> {
    let mut seeds = vec![
        "[file:hashes.'SHA-256' = 'x' OR (a:b[*].c NOT IN (1, 2.5, t'2016-01-02T03:04:05Z') AND a:b LIKE 'x%')]"
            .to_owned(),
        "([a:b ISSUBSET '10.0.0.0/8'] FOLLOWEDBY [NOT EXISTS a:b] REPEATS 2 TIMES) WITHIN 5 SECONDS".to_owned(),
    ];
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut pages: Vec<PathBuf> =
        fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path().join("page.json")).collect();
    pages.sort();
    for page in pages {
        // Some pages are broken on purpose.
        let Ok(page) = serde_json::from_slice::<Value>(&fs::read(page).unwrap()) else { continue };
        let objects = page["objects"].as_array().map(Vec::as_slice).unwrap_or_default();
        seeds.extend(objects.iter().filter_map(|object| object["pattern"].as_str()).map(str::to_owned));
    }
    assert!(seeds.len() > 40, "only {} patterns were found", seeds.len());
    seeds
}

fn seeds_of_feeds(folder: &Folder) -> Vec<String> {
    let rows = folder.lines("stix_patterns.jsonl");
    let patterns = rows.iter().filter_map(|row| row["pattern"].as_str()).filter(|text| text.len() < 2_000);
    patterns.step_by(7).map(str::to_owned).collect()
}

/// Every mutation is read or refused, and nothing else.
fn mutate(seeds: &[String]) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for round in 0..20_000 {
        let text = mutated(&seeds[round % seeds.len()], &mut numbers);
        match Pattern::parse(&text) {
            Ok(pattern) => {
                read += 1;
                // Every comparison of a pattern belongs to an alternative.
                let alternatives = alternatives(&pattern);
                for number in 0..pattern.tests().len() {
                    assert!(alternatives.iter().flat_map(|one| &one.leaves).any(|leaf| leaf.test as usize == number));
                }
            }
            Err(refusal) => {
                refused += 1;
                assert!((1..=text.chars().count() + 1).contains(&refusal.column), "{text}: {refusal}");
            }
        }
        if round % 10 == 0 {
            map(&[indicator(&text)]);
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} {refused}");
}
