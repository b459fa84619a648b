//! Names of hosts.
//!
//! A name has the form of RFC 1035 with underscores, as they are registered and resolved in practice: labels of 1 to
//! 63 letters, digits, hyphens and underscores, 253 characters in all, the last label no number (such a "name" is a
//! broken IPv4 address). Names in other scripts are converted to punycode.

/// The longest name in text form, by RFC 1035: 255 octets on the wire.
const MAX_NAME: usize = 253;
/// The longest label.
const MAX_LABEL: usize = 63;

/// Whether a text without a final dot has the form of a name, in any case.
pub fn is_name(text: &str) -> bool {
    if text.is_empty() || text.len() > MAX_NAME {
        return false;
    }
    let mut last_is_number = false;
    for label in text.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return false;
        }
        let mut digits = true;
        let mut hyphens = true;
        for byte in label.bytes() {
            match byte {
                b'0'..=b'9' => hyphens = false,
                b'-' => digits = false,
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                    digits = false;
                    hyphens = false;
                }
                _ => return false,
            }
        }
        if hyphens {
            return false;
        }
        last_is_number = digits;
    }
    !last_is_number
}

/// Whether a name has one label only, so that it means something in one network and nothing in another.
pub fn is_single_label(name: &str) -> bool {
    !name.contains('.')
}

/// A name in the form documents carry: punycode, lower case, no final dot. `None` where it is no name.
pub(super) fn normalise(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = if text.is_ascii() { text.to_ascii_lowercase() } else { to_ascii(text)? };
    is_name(&name).then_some(name)
}

/// Another script in ASCII: full-width digits and letters become plain ones, the rest punycode.
pub(super) fn to_ascii(text: &str) -> Option<String> {
    let mut ascii = idna::domain_to_ascii(text).ok()?;
    if ascii.ends_with('.') {
        ascii.pop();
    }
    Some(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let label = "a".repeat(63);
        let name = [label.as_str(); 4].join(".");
        assert!(is_name(&name[..253]));
        assert!(!is_name(&name[..254]));
        assert!(is_name(&format!("{label}.example")));
        assert!(!is_name(&format!("{label}a.example")));
    }

    #[test]
    fn names_have_a_form() {
        for good in ["example.com", "_dmarc.example.com", "a-.example", "localhost", "1.example", "x.1a", "EXAMPLE.com"]
        {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "a..b", ".a", "a.", "a b.example", "123.456.0.1", "a.--", "b\u{fc}cher.example", "a.*"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(normalise("B\u{fc}cher.example.").as_deref(), Some("xn--bcher-kva.example"));
    }
}
