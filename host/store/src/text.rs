//! What a person types and what is stored, brought together for a search.

/// The ways values are written so that nobody clicks on them, and what they mean; in lower case, longest first.
const DEFANGED: &[(&str, &str)] = &[
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
];

/// Lower case, in the one way that searches and stored texts share.
pub fn fold(text: &str) -> String {
    let mut folded = String::new();
    fold_into(&mut folded, text);
    folded
}

/// Adds the folded text.
pub fn fold_into(out: &mut String, text: &str) {
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        out[start..].make_ascii_lowercase();
    } else {
        out.push_str(&text.to_lowercase());
    }
}

/// A folded text as its value was before it was defanged: `hxxp://1[.]2(.)3[.]4` becomes `http://1.2.3.4`.
pub fn refang(folded: &str) -> String {
    let mut text = String::with_capacity(folded.len());
    let mut rest = folded;
    while let Some(next) = rest.chars().next() {
        match DEFANGED.iter().find(|(written, _)| rest.starts_with(written)) {
            Some((written, meant)) => {
                text.push_str(meant);
                rest = &rest[written.len()..];
            }
            None => {
                text.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defanged_values_are_read_as_they_were() {
        for (written, meant) in [
            ("1[.]2[.]3[.]4", "1.2.3.4"),
            ("hXXps[://]Evil(dot)Example/a", "https://evil.example/a"),
            ("2001[:]db8[:][:]1", "2001:db8::1"),
            ("bob[at]example[.]com", "bob@example.com"),
            ("plain text (a note.)", "plain text (a note.)"),
            ("İstanbul[.]example", "i\u{307}stanbul.example"),
            ("[", "["),
            ("", ""),
        ] {
            assert_eq!(refang(&fold(written)), meant);
        }
    }
}
