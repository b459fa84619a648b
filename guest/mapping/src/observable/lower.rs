//! Lower case.
//!
//! As the standard library's, whose tables for all scripts are five times as large: letters come in runs that lie
//! equally far from their lower case. The few that have a rule of their own are told below.

/// `(first, last, step, distance)`, sorted.
const RUNS: &[(u32, u32, u32, i32)] = include!(concat!(env!("OUT_DIR"), "/lower.rs"));

/// A text in lower case.
pub fn lower_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            'Σ' => out.push(if ends_word(text, at) { 'ς' } else { 'σ' }),
            // The only letter whose lower case is two characters.
            'İ' => out.push_str("i\u{307}"),
            _ => out.push(lower(c)),
        }
    }
    out
}

fn lower(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let code = u32::from(c);
    let place = RUNS.partition_point(|(_, last, ..)| *last < code);
    let run = RUNS.get(place).filter(|(first, _, step, _)| {
        code.checked_sub(*first).and_then(|behind| behind.checked_rem(*step)).is_some_and(|rest| rest == 0)
    });
    run.and_then(|(.., distance)| code.checked_add_signed(*distance)).and_then(char::from_u32).unwrap_or(c)
}

/// Whether the sigma at this place ends a word: a letter before it and none behind it. Marks in between do not count.
fn ends_word(text: &str, at: usize) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let passed = |c: &char| matches!(c, '.' | '\'' | '^' | '`' | '\u{ad}' | '\u{b7}' | '\u{300}'..='\u{36f}');
    let (before, from) = text.split_at_checked(at).unwrap_or((text, ""));
    let before = before.chars().rev().find(|c| !passed(c));
    let behind = from.chars().skip(1).find(|c| !passed(c));
    is_letter(before) && !is_letter(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_is_what_the_standard_library_makes_of_it() {
        for c in '\0'..=char::MAX {
            let text = format!("\u{e9}{c}");
            if c != 'Σ' {
                assert_eq!(lower_case(&text), text.to_lowercase(), "{c:?}");
            }
        }
    }

    #[test]
    fn a_sigma_at_the_end_of_a_word_has_its_own_form() {
        for text in ["Σ", "ΑΣ", "ΑΣΑ", "ΑΣ.Α", "ΑΣ.", "ΑΣ+Α", "ΣΣ", "Α\u{301}Σ\u{301}", "ΣΑΣ-ΣΑΣ", "1Σ", "A'Σ"]
        {
            assert_eq!(lower_case(text), text.to_lowercase(), "{text}");
        }
    }
}
