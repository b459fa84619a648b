//! Whether a short secret stands alone in a text, where it may be one, and is no part of a word, of a name or of a number.

use std::ops::Range;

/// Whether what stands at `span` is a word of its own. A secret of digits alone may be an honest number, which has to stay
/// one; it counts as a secret in quotes, behind `=`, or as the text of a tag.
pub(super) fn stands_alone(text: &[u8], span: &Range<usize>, secret: &[u8]) -> bool {
    let (before, after) = (&text[..span.start], &text[span.end..]);
    let is_quote = |byte: Option<&u8>| byte.is_some_and(|byte| b"\"'=<>&\\%".contains(byte));
    if secret.iter().all(u8::is_ascii_digit) && !is_quote(before.last()) && !is_quote(after.first()) {
        return false;
    }
    let is_begun = match before.last() {
        Some(byte) => !is_of_a_word(*byte) && *byte != b'.' || ends_with_escape(before),
        None => true,
    };
    let is_ended = match after {
        [b'.', next, ..] => !is_of_a_word(*next),
        [next, ..] => !is_of_a_word(*next),
        [] => true,
    };
    is_begun && is_ended
}

/// Letters, digits, and what joins them to names, addresses and paths.
fn is_of_a_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-@/".contains(&byte) || !byte.is_ascii()
}

/// Whether the text ends with an escape of what is no part of a word, such as `\n`, `\u0022` or `%22`.
fn ends_with_escape(text: &[u8]) -> bool {
    let ends = |begin: &str, digits: usize| {
        let at = text.len().checked_sub(digits)?;
        let (before, digits) = text.split_at(at);
        before.strip_suffix(begin.as_bytes())?;
        let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        Some(u8::try_from(code).is_ok_and(|byte| !is_of_a_word(byte) && byte != b'.'))
    };
    let by_number = [("%", 2), ("\\x", 2), ("\\u", 4)];
    matches!(text, [.., b'\\', b'n' | b'r' | b't' | b'f' | b'b'])
        || by_number.into_iter().any(|(begin, digits)| ends(begin, digits) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_counts_where_it_stands_alone() {
        for (before, after, is_alone) in [
            ("", "", true),
            ("\"", "\"", true),
            ("user:", "", true),
            ("wrong password ", ".", true),
            ("wrong password ", ". Try again", true),
            ("pw=", "&x=1", true),
            ("a\\n", "\\n", true),
            ("\\u0022", "\\u0022", true),
            ("%22", "%22", true),
            ("&quot;", "&quot;", true),
            ("a", "", false),
            ("", "s", false),
            ("", ".example", false),
            ("www.", ".example", false),
            ("my-", "", false),
            ("", "_1", false),
            ("", "@example.org", false),
            ("https://", "/", false),
            ("\u{fc}", "", false),
            ("\\u0041", "", false),
            ("%41", "", false),
        ] {
            let text = format!("{before}evil{after}");
            let span = before.len()..before.len() + 4;
            assert_eq!(stands_alone(text.as_bytes(), &span, b"evil"), is_alone, "{text}");
        }
    }

    #[test]
    fn an_honest_number_stays_one() {
        for (before, after, is_alone) in [
            ("{\"total\":", "}", false),
            ("[", ",2]", false),
            ("port ", " of", false),
            ("\"", "\"", true),
            ("user:", "\"", true),
            ("pw=", "", true),
            ("<b>", "</b>", true),
        ] {
            let text = format!("{before}12345{after}");
            let span = before.len()..before.len() + 5;
            assert_eq!(stands_alone(text.as_bytes(), &span, b"12345"), is_alone, "{text}");
        }
    }
}
