//! The text in which plain text is looked for, and how both are brought together.

use unicode_segmentation::UnicodeSegmentation;

/// The field that holds it.
pub const SEARCH: &str = "tipline.search";

/// What it is made of, in this order.
pub const SEARCHED: [&str; 7] = [
    "threat.indicator.name",
    "threat.indicator.description",
    "tags",
    "threat.software.name",
    "threat.software.alias",
    "threat.group.name",
    "threat.group.alias",
];

/// Its bytes. Where a cluster lacks the type `wildcard`, it is a keyword of at most 8,191 characters, and both stores shall
/// find the same.
pub const MAX_SEARCH_BYTES: usize = 8_000;

/// The ways values are written so that nobody clicks on them, and what they mean; in lower case, longest first.
const DEFANGED: [(&str, &str); 15] = [
    ("hxxps", "https"),
    ("hxxp", "http"),
    ("[://]", "://"),
    ("[dot]", "."),
    ("(dot)", "."),
    ("{dot}", "."),
    ("[at]", "@"),
    ("(at)", "@"),
    ("{at}", "@"),
    ("[.]", "."),
    ("(.)", "."),
    ("{.}", "."),
    ("[:]", ":"),
    ("[@]", "@"),
    ("[/]", "/"),
];

/// White space made one space, and none at the ends; lower case; refanged.
pub fn fold(text: &str) -> String {
    fold_piece(text).trim().to_owned()
}

/// The same for a part of a text, whose ends may be white space.
pub(crate) fn fold_piece(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            c if c.is_ascii() => folded.push(c.to_ascii_lowercase()),
            // By the character and not by its place: a part of a text must fold as the text does.
            'ς' | 'Σ' => folded.push('σ'),
            c => folded.extend(c.to_lowercase()),
        }
    }
    // Most texts have nothing of what defanged ones have.
    let may_be_defanged = folded.contains(['[', '(', '{']) || folded.contains("hxxp");
    if may_be_defanged { refang(&folded) } else { folded }
}

/// A value as it was before it was defanged, upper case and white space kept.
pub(crate) fn refang_value(text: &str) -> String {
    refang_by(text, |rest, written| rest.get(..written.len()).is_some_and(|head| head.eq_ignore_ascii_case(written)))
}

fn refang(folded: &str) -> String {
    refang_by(folded, |rest, written| rest.starts_with(written))
}

fn refang_by(text: &str, begins: impl Fn(&str, &str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let found = matches!(next, 'h' | 'H' | '[' | '(' | '{')
            .then(|| DEFANGED.iter().find(|(written, _)| begins(rest, written)))
            .flatten();
        match found {
            Some((written, meant)) => {
                out.push_str(meant);
                rest = &rest[written.len()..];
            }
            None => {
                out.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    out
}

/// `tipline.search` of these values: each folded, a line each, and cut.
pub fn search_text<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for value in values {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&fold(value));
        if text.len() > MAX_SEARCH_BYTES {
            text.truncate(text.floor_char_boundary(MAX_SEARCH_BYTES));
            break;
        }
    }
    text
}

/// The words of a text, in lower case, as Elasticsearch's standard analyzer has them.
pub fn words(text: &str) -> Vec<String> {
    text.unicode_words().map(lower).collect()
}

/// Lower case, a character for a character.
pub(crate) fn lower(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_folded_and_read_as_they_were() {
        for (written, meant) in [
            ("1[.]2[.]3[.]4", "1.2.3.4"),
            ("hXXps[://]Evil(dot)Example/a", "https://evil.example/a"),
            ("hxxp[:]//evil{.}example[/]a", "http://evil.example/a"),
            ("2001[:]db8[:][:]1", "2001:db8::1"),
            ("bob[at]example[.]com", "bob@example.com"),
            ("plain text (a note.)", "plain text (a note.)"),
            ("  two \t\u{a0} words\n", "two words"),
            ("ΟΔΟΣ οδος", "οδοσ οδοσ"),
            ("İstanbul", "i\u{307}stanbul"),
            ("\u{212a}elvin STRAẞE", "kelvin straße"),
            ("[[.]]", "[.]"),
            ("[", "["),
            ("", ""),
        ] {
            assert_eq!(fold(written), meant, "{written}");
        }
    }

    #[test]
    fn a_text_to_search_is_cut_at_its_limit_between_characters() {
        let kept = "x".repeat(MAX_SEARCH_BYTES);
        assert_eq!(search_text([kept.as_str()]), kept);
        assert_eq!(search_text(["a", "B\nc"]), "a\nb c");
        let long = format!("{}€", "x".repeat(MAX_SEARCH_BYTES - 2));
        assert_eq!(search_text([long.as_str(), "more"]), "x".repeat(MAX_SEARCH_BYTES - 2));
    }
}
