//! Hostile texts in Markdown: shown as they are, and never as markup, a link or a picture.

use std::fmt::Write as _;

use crate::error::is_hidden;

/// A text as a Markdown reader shows it, of at most so many characters, escapes counted. Every sign that may mean something
/// has a backslash before it, also within addresses, which readers make links of by themselves; what turns or hides text, and
/// line ends, are written as `\u{…}`.
pub(crate) fn escaped(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut count = 0;
    let mut one = String::new();
    for c in text.chars() {
        one.clear();
        if is_hidden(c) {
            _ = write!(one, "\\\\u\\{{{:x}\\}}", u32::from(c));
        } else if c.is_ascii_punctuation() {
            one.extend(['\\', c]);
        } else {
            one.push(c);
        }
        count += one.encode_utf16().count();
        if count >= most {
            out.push('…');
            break;
        }
        out.push_str(&one);
    }
    out
}

/// A link with words of our own. What could end it is written in percent signs.
pub(crate) fn link(words: &str, address: &str) -> String {
    let mut target = String::with_capacity(address.len());
    for c in address.chars() {
        match c {
            '<' | '>' | '\\' | '`' | '"' => _ = write!(target, "%{:02X}", u32::from(c)),
            c if c.is_whitespace() || is_hidden(c) => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| _ = write!(target, "%{byte:02X}"));
            }
            c => target.push(c),
        }
    }
    format!("[{words}](<{target}>)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_means_anything() {
        for (text, expected) in [
            ("evil.example", r"evil\.example"),
            ("https://a.example/x_y", r"https\:\/\/a\.example\/x\_y"),
            ("![x](http://a)", r"\!\[x\]\(http\:\/\/a\)"),
            ("<img src=x>", r"\<img src\=x\>"),
            ("!{timeline[x](y)}", r"\!\{timeline\[x\]\(y\)\}"),
            (r"HKLM\Software", r"HKLM\\Software"),
            ("a\u{202e}b\r\n# c", r"a\\u\{202e\}b\\u\{d\}\\u\{a\}\# c"),
            ("`x` ~~y~~ 🦀é", r"\`x\` \~\~y\~\~ 🦀é"),
        ] {
            assert_eq!(escaped(text, 1_000), expected);
        }
    }

    #[test]
    fn a_text_has_so_many_characters_and_no_more() {
        assert_eq!(escaped("aaaa", 5), "aaaa");
        assert_eq!(escaped("aaaaa", 5), "aaaa…");
        // An escape is kept or left out as a whole.
        assert_eq!(escaped("aa..", 5), r"aa\.…");
        assert_eq!(escaped("🦀🦀🦀", 5), "🦀🦀…");
    }

    #[test]
    fn a_link_ends_where_it_ends() {
        assert_eq!(link("Details", "https://t.example/i/a>b c\n`"), "[Details](<https://t.example/i/a%3Eb%20c%0A%60>)");
    }
}
