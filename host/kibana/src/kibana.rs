//! Where Kibana is.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::KibanaError;

/// What may stand in a path or a parameter as it is, by RFC 3986. Everything else is written in percent signs, also what
/// would be allowed: a link is pasted into chats, tickets and Markdown, which end one at a bracket or an apostrophe.
const CODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest name of a space that is taken; Kibana's own form makes none that is longer.
const MAX_SPACE_BYTES: usize = 1_024;

/// A Kibana, and the space in it that is acted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kibana {
    address: String,
    /// `/s/NAME`, or nothing for the default space, which has no such path.
    space: String,
}

impl Kibana {
    /// With the address people open it at, with its base path where it has one, and the space's name in addresses.
    ///
    /// # Errors
    /// [`KibanaError::Address`] or [`KibanaError::Space`] where these can't be such.
    pub fn new(address: &str, space: Option<&str>) -> Result<Self, KibanaError> {
        let address = address.trim_end_matches('/');
        let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
        let is_address = rest.is_some_and(|rest| {
            let is_char =
                |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '"' | '<' | '>' | '\\' | '^' | '`' | '@');
            !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(is_char)
        });
        if !is_address {
            return Err(KibanaError::Address { address: address.to_owned() });
        }
        // Kibana's own rule for what a space is called in addresses.
        let is_space = |space: &str| {
            !space.is_empty()
                && space.len() <= MAX_SPACE_BYTES
                && space.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        };
        let space = match space {
            None | Some("default") => String::new(),
            Some(space) if is_space(space) => format!("/s/{space}"),
            Some(space) => return Err(KibanaError::Space { space: space.to_owned() }),
        };
        Ok(Self { address: address.to_owned(), space })
    }

    /// Its address, without a slash at the end; a request's path is joined to it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The space's id, as documents name it.
    pub fn space(&self) -> &str {
        self.space.strip_prefix("/s/").unwrap_or("default")
    }

    /// The path of something in this space, which begins with a slash.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.space)
    }

    /// The address of something in this space.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{}{path}", self.address, self.space)
    }
}

/// A part of a path, or the name or value of a parameter.
pub(crate) fn coded(text: &str) -> String {
    utf8_percent_encode(text, CODED).to_string()
}

/// Parameters, behind their question mark.
pub(crate) fn query(parameters: &[(&str, &str)]) -> String {
    let joined: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", coded(name), coded(value))).collect();
    format!("?{}", joined.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_paths_begin_with_the_base_path_and_the_space() {
        for (address, space, link, id) in [
            ("https://kibana.example", None, "https://kibana.example/app", "default"),
            ("https://kibana.example/", Some("default"), "https://kibana.example/app", "default"),
            ("http://127.0.0.1:5601/base/", Some("soc-1"), "http://127.0.0.1:5601/base/s/soc-1/app", "soc-1"),
            ("http://[::1]:5601", None, "http://[::1]:5601/app", "default"),
        ] {
            let kibana = Kibana::new(address, space).unwrap();
            assert_eq!(kibana.link("/app"), link);
            assert_eq!(kibana.space(), id);
            assert_eq!(format!("{}{}", kibana.address(), kibana.path("/app")), link);
        }
    }

    #[test]
    fn what_is_no_address_or_space_is_refused() {
        for address in
            ["", "kibana.example", "ftp://kibana.example", "https://", "https:///x", "https://k/?a=b", "https://a b"]
        {
            assert!(matches!(Kibana::new(address, None), Err(KibanaError::Address { .. })), "{address}");
        }
        // A login in the address would be shown with every link.
        assert!(Kibana::new("https://user:secret@kibana.example", None).is_err());
        let longest = "x".repeat(MAX_SPACE_BYTES);
        assert_eq!(Kibana::new("https://k", Some(&longest)).unwrap().space(), longest);
        assert!(Kibana::new("https://k", Some(&format!("{longest}x"))).is_err());
        for space in ["", "SOC", "../x", "a/b", "ä"] {
            assert!(matches!(Kibana::new("https://k", Some(space)), Err(KibanaError::Space { .. })), "{space}");
        }
    }

    #[test]
    fn everything_that_may_mean_something_is_coded() {
        assert_eq!(coded("a-b.c_d~0"), "a-b.c_d~0");
        assert_eq!(coded("a b+c%'()!*&=\u{202e}🦀"), "a%20b%2Bc%25%27%28%29%21%2A%26%3D%E2%80%AE%F0%9F%A6%80");
        assert_eq!(query(&[("a", "1"), ("b", "x y")]), "?a=1&b=x%20y");
    }
}
