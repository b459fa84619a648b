//! The origin lock: which URLs belong to a feed.
//!
//! A guest names a target, a server names a redirect; both are strangers' texts. Either becomes a URL here or is refused,
//! and nothing else in the program makes one, so a credential cannot leave the configured origin and path. Where a text
//! could be read in two ways (dots behind a percent sign, a backslash, a second slash), it is refused, not repaired.

use percent_encoding::percent_decode;
use reqwest::header::HeaderValue;
use url::Url;

use super::FetchError;
use tipline_config::Reach;
use tipline_connection::explain::{is_login, shown, shown_text};
use tipline_model::secret::{Scrubber, is_loopback};

/// The longest target, in bytes: common servers refuse a request line over 8 KiB.
/// Fixed: what is longer would get no answer.
pub(super) const MAX_TARGET_BYTES: usize = 8 * 1024;

/// How often a path is decoded to see what it means: proxies in front of a server may decode once more than it does.
/// Fixed: it guards the origin, and no feed codes its paths even twice.
const MAX_DECODINGS: usize = 4;

/// A feed's configured URL: scheme, host, port, and mostly a path that everything stays below.
#[derive(Debug, Clone)]
pub(super) struct Base {
    url: Url,
    /// What every path begins with, without its final slash: nothing where all of the origin may be asked for.
    prefix: String,
}

impl Base {
    pub(super) fn new(url: &Url, reach: Reach) -> Result<Self, FetchError> {
        let refused =
            |what: &str| Err(FetchError::Refused(format!("`url: {}` {what}", shown(url, &Scrubber::default()))));
        if !matches!(url.scheme(), "http" | "https") {
            return refused("is neither http nor https. Set the address of the feed, such as https://socdefenders.ai.");
        }
        if url.host().is_none() {
            return refused("names no host. Set the address of the feed, such as https://socdefenders.ai.");
        }
        if has_userinfo(url) {
            return refused("holds a user or a password. Take them out and set them as the input's credential.");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refused("holds a query or a fragment. Leave out everything from the first `?` or `#`.");
        }
        let prefix = match reach {
            Reach::Path => url.path().trim_end_matches('/').to_owned(),
            Reach::Origin => String::new(),
        };
        Ok(Self { prefix, url: url.clone() })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether a key may be sent: over https, or to this machine.
    pub(super) fn keeps_secrets(&self) -> bool {
        self.url.scheme() == "https" || is_loopback(&self.url)
    }

    /// The URL of a guest's target; `secrets` are what no message shows.
    pub(super) fn join(&self, target: &str, secrets: &Scrubber) -> Result<Url, FetchError> {
        let refused = |why: &str| {
            Err(FetchError::Refused(format!(
                "The request for `{}` was not sent to {}: {why}. This is a fault of the guest; no setting allows it.",
                shown_text(target, secrets),
                shown(&self.url, secrets)
            )))
        };
        if target.len() > MAX_TARGET_BYTES {
            return refused("the target is longer than 8 KiB");
        }
        if !target.starts_with('/') || target.starts_with("//") {
            return refused("a target must begin with one slash");
        }
        if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#') {
            return refused("a target must be visible ASCII without `\\` and `#`");
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if climbs(path) {
            return refused("its path holds `.` or `..` segments");
        }
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.prefix));
        url.set_query(query);
        if !self.holds(&url) {
            return refused("it lies outside the configured origin and path");
        }
        Ok(url)
    }

    /// Where a redirect of `from` leads. `target` is what the guest asked for: what stands before it in the new
    /// address is the `url:` to set.
    pub(super) fn follow(
        &self,
        from: &Url,
        location: &HeaderValue,
        target: &str,
        secrets: &Scrubber,
    ) -> Result<Url, FetchError> {
        let text = String::from_utf8_lossy(location.as_bytes());
        let refused = |what: String| Err(FetchError::Refused(format!("{} redirects to {what}", shown(from, secrets))));
        let parsed = from.join(&text);
        let to = match &parsed {
            Ok(to) if matches!(to.scheme(), "http" | "https") && to.host().is_some() => to,
            _ => {
                return refused(format!(
                    "`{}`, which is no address on the web. Check `url:` in a browser, or ask the feed's operator.",
                    shown_text(&text, secrets)
                ));
            }
        };
        if has_userinfo(to) {
            return refused(format!(
                "an address on {} with a user or password in it, which is not followed. Ask the feed's operator.",
                to.origin().ascii_serialization()
            ));
        }
        if from.scheme() == "https" && to.scheme() == "http" {
            return refused(format!(
                "plain {}, where the key could be read on its way; this is not followed. Set `url:` to an https \
                 address of the feed, or ask its operator.",
                to.origin().ascii_serialization()
            ));
        }
        if climbs(to.path()) {
            return refused(format!(
                "`{}`, whose path holds `..` segments. Ask the feed's operator.",
                shown(to, secrets)
            ));
        }
        if !self.holds(to) {
            let asked = target.split('?').next().unwrap_or_default();
            let origin = to.origin().ascii_serialization();
            let Some(moved) = to.path().strip_suffix(asked) else {
                // Nothing of the old path says where the feed is on the new host.
                let advice = if is_login(to.path()) {
                    "That looks like a login page: check the input's credential."
                } else {
                    "That is another page than was asked for, as login pages are: check the input's credential."
                };
                return refused(format!(
                    "{}, outside of the configured address, so the key is not sent there. {advice} If the feed itself has \
                     moved there, set url: {}",
                    shown(to, secrets),
                    shown_text(&origin, secrets)
                ));
            };
            // Where targets begin at the origin, what stands before them is no `url:` yet.
            let own = self.url.path().strip_prefix(&self.prefix).filter(|path| *path != "/").unwrap_or_default();
            let base = shown_text(&format!("{origin}{}{own}", moved.trim_end_matches('/')), secrets);
            return refused(format!(
                "{}, outside of the configured address, so the key is not sent there. If that is the feed's own \
                 address, set url: {base}",
                shown(to, secrets)
            ));
        }
        let mut to = to.clone();
        to.set_fragment(None);
        Ok(to)
    }

    /// The same scheme, host and port, no user, and a path at or below the prefix.
    fn holds(&self, url: &Url) -> bool {
        url.scheme() == self.url.scheme()
            && url.host() == self.url.host()
            && url.port_or_known_default() == self.url.port_or_known_default()
            && !has_userinfo(url)
            && url.path().strip_prefix(&self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether a path holds a segment that some server may read as `.` or `..`: encoded, encoded twice, cut by an encoded
/// slash, with a parameter behind a semicolon, followed by what is cut off, or in a spelling that is no UTF-8.
fn climbs(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..MAX_DECODINGS {
        if is_misspelt(&path) || plain(&path).split(|b| matches!(b, b'/' | b'\\')).any(is_step) {
            return true;
        }
        let decoded: Vec<u8> = percent_decode(&path).collect();
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    // Nobody encodes a path this often for a good reason.
    true
}

/// Whether a segment means this folder or the one above. What begins a parameter, a query or a fragment ends it, and
/// some servers cut off spaces and control characters.
fn is_step(segment: &[u8]) -> bool {
    let end = segment.iter().position(|b| matches!(b, b';' | b'?' | b'#')).unwrap_or(segment.len());
    let is_cut = |b: &u8| *b <= b' ' || *b == 0x7f;
    let segment = segment.get(..end).unwrap_or_default();
    let from = segment.iter().position(|b| !is_cut(b)).unwrap_or(segment.len());
    let to = segment.iter().rposition(|b| !is_cut(b)).map_or(from, |last| last + 1);
    matches!(segment.get(from..to), Some(b"." | b".."))
}

/// Whether a path holds a character in more bytes than it needs (`%c0%ae` for a dot), which old decoders take, or an
/// escape that is none of the web's (`%u002e`). Nobody writes either for a good reason.
fn is_misspelt(path: &[u8]) -> bool {
    let is_overlong = |pair: &[u8]| {
        matches!(
            pair,
            [0xc0 | 0xc1, _]
                | [0xe0, 0x80..=0x9f]
                | [0xf0, 0x80..=0x8f]
                | [0xf8, 0x80..=0x87]
                | [0xfc, 0x80..=0x83]
                | [b'%', b'u' | b'U']
        )
    };
    path.windows(2).any(is_overlong)
}

/// A path with the dots and slashes that some servers take for the plain ones: full-width, small, mathematical.
fn plain(path: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(path) else { return path.to_vec() };
    let as_plain = |c| match c {
        '\u{ff0e}' | '\u{2024}' | '\u{fe52}' => '.',
        '\u{2025}' | '\u{fe30}' => '\u{2025}',
        '\u{ff0f}' | '\u{2044}' | '\u{2215}' | '\u{29f8}' => '/',
        '\u{ff3c}' | '\u{fe68}' | '\u{2216}' | '\u{29f5}' => '\\',
        c => c,
    };
    // One character for two dots.
    text.chars().map(as_plain).collect::<String>().replace('\u{2025}', "..").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> Base {
        Base::new(&Url::parse(url).unwrap(), Reach::Path).unwrap()
    }

    #[test]
    fn targets_that_stay_inside() {
        let cases = [
            ("https://h.example", "/api/v1/iocs?limit=1", "https://h.example/api/v1/iocs?limit=1"),
            ("https://h.example/", "/api/v1/iocs", "https://h.example/api/v1/iocs"),
            ("https://h.example/prefix", "/api/v1/iocs?a=b", "https://h.example/prefix/api/v1/iocs?a=b"),
            ("https://h.example/prefix/", "/", "https://h.example/prefix/"),
            (
                "http://127.0.0.1:8080",
                "/a?next=https://evil.example/",
                "http://127.0.0.1:8080/a?next=https://evil.example/",
            ),
            ("https://h.example", "/a@evil.example/", "https://h.example/a@evil.example/"),
            (
                "https://h.example",
                "/a?since=2024-01-01T00:00:00%2B01:00",
                "https://h.example/a?since=2024-01-01T00:00:00%2B01:00",
            ),
            (
                "https://h.example",
                "/gr%C3%BC%C3%9Fe/%E2%82%AC/%F0%9F%98%80",
                "https://h.example/gr%C3%BC%C3%9Fe/%E2%82%AC/%F0%9F%98%80",
            ),
            ("https://h.example", "/a%20b/c%3Ad", "https://h.example/a%20b/c%3Ad"),
            ("https://h.example", "/a..b/...", "https://h.example/a..b/..."),
            ("https://h.example", "/a?../..", "https://h.example/a?../.."),
            ("https://h.example", "/100%25", "https://h.example/100%25"),
        ];
        for (url, target, expected) in cases {
            assert_eq!(base(url).join(target, &Scrubber::default()).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn where_all_of_an_origin_may_be_asked_for_targets_and_redirects_begin_there() {
        let base = Base::new(&Url::parse("https://h.example/taxii2/").unwrap(), Reach::Origin).unwrap();
        let target = "/api/collections/all/objects/?match%5Btype%5D=indicator";
        let from = base.join(target, &Scrubber::default()).unwrap();
        assert_eq!(from.as_str(), format!("https://h.example{target}"));
        assert_eq!(
            base.follow(&from, &HeaderValue::from_static("/other/"), target, &Scrubber::default()).unwrap().path(),
            "/other/"
        );
        for (asked, location, expected) in [
            ("/taxii2/", "https://www.h.example/taxii2/", "set url: https://www.h.example/taxii2/"),
            ("/taxii2/", "https://www.h.example/v2/taxii2/", "set url: https://www.h.example/v2/taxii2/"),
            ("/api/collections/", "https://h.example:8443/api/collections/", "set url: https://h.example:8443/taxii2/"),
        ] {
            let from = base.join(asked, &Scrubber::default()).unwrap();
            let error = base
                .follow(&from, &HeaderValue::from_static(location), asked, &Scrubber::default())
                .unwrap_err()
                .to_string();
            assert!(error.ends_with(expected), "{error}");
        }
        assert!(base.join("//evil.example/", &Scrubber::default()).is_err());
        // The old path says nothing about a page that is another one.
        for (asked, location, expected) in [
            ("/taxii2/", "https://sso.example/login?next=/taxii2/", "set url: https://sso.example"),
            ("/api/collections/", "https://www.h.example/", "set url: https://www.h.example"),
        ] {
            let from = base.join(asked, &Scrubber::default()).unwrap();
            let error = base
                .follow(&from, &HeaderValue::from_static(location), asked, &Scrubber::default())
                .unwrap_err()
                .to_string();
            assert!(error.ends_with(expected) && error.contains("login page"), "{error}");
        }
    }

    #[test]
    fn targets_that_are_refused() {
        let long = format!("/{}", "a".repeat(MAX_TARGET_BYTES));
        let cases = [
            "",
            "api",
            "?a",
            "//evil.example/",
            "https://evil.example/",
            "@evil.example/",
            ".evil.example/",
            ":80/",
            "/\\evil.example",
            "\\\\evil.example",
            "/a\r\nX: y",
            "/a b",
            "/a\u{0}",
            "/a#b",
            "/ä",
            "/a\u{202e}",
            "/..",
            "/../x",
            "/a/../../x",
            "/./x",
            "/%2e%2e/x",
            "/%2E./x",
            "/.%2e",
            "/%252e%252e/x",
            "/%25252e%25252e/x",
            "/..%2fx",
            "/a%2f..%2fx",
            "/..%5cx",
            "/..;/x",
            "/..;a=b/x",
            "/%c0%ae%c0%ae/x",
            "/%C0%AE%c0%ae%c0%afx",
            "/%c0%2e%c0%2e/x",
            "/%25c0%25ae%25c0%25ae/x",
            "/%e0%80%ae%e0%80%ae/x",
            "/%f0%80%80%ae%f0%80%80%ae/x",
            "/a%c0%af..%c1%9cx",
            "/%u002e%u002e/x",
            "/%ef%bc%8e%ef%bc%8e/x",
            "/a/..%ef%bc%8fx",
            "/%e2%80%a5/x",
            "/..%00/x",
            "/..%20/x",
            "/..%09/x",
            "/%20../x",
            "/..%3fa/x",
            "/..%23a/x",
            "/%2525252525252561",
            &long,
        ];
        for target in cases {
            match base("https://h.example/prefix").join(target, &Scrubber::default()) {
                Err(FetchError::Refused(text)) => {
                    assert!(text.contains("was not sent"), "{text}");
                    assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b) || b >= 0x80), "{text:?}");
                }
                other => panic!("{target:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_path_is_decoded_so_often_and_no_further() {
        // One decoding is needed to see that nothing is left to decode.
        let coded = |times: usize| format!("/%{}61", "25".repeat(times - 1));
        let base = base("https://h.example");
        assert!(base.join(&coded(MAX_DECODINGS - 1), &Scrubber::default()).is_ok());
        assert!(base.join(&coded(MAX_DECODINGS), &Scrubber::default()).is_err());
    }

    #[test]
    fn the_longest_target_is_sent() {
        let target = format!("/{}", "a".repeat(MAX_TARGET_BYTES - 1));
        assert!(base("https://h.example").join(&target, &Scrubber::default()).is_ok());
    }

    #[test]
    fn redirects_inside_and_outside() {
        let inside = [
            ("/prefix/other?b=1", "https://h.example/prefix/other?b=1"),
            ("other", "https://h.example/prefix/api/other"),
            ("https://h.example:443/prefix/x#part", "https://h.example/prefix/x"),
            ("//h.example/prefix/", "https://h.example/prefix/"),
        ];
        let base = base("https://h.example/prefix");
        let from = base.join("/api/iocs?limit=1", &Scrubber::default()).unwrap();
        let follow = |location: &str| {
            base.follow(
                &from,
                &HeaderValue::from_bytes(location.as_bytes()).unwrap(),
                "/api/iocs?limit=1",
                &Scrubber::default(),
            )
        };
        for (location, expected) in inside {
            assert_eq!(follow(location).unwrap().as_str(), expected);
        }
        let outside = [
            ("https://www.h.example/prefix/api/iocs?limit=1", "set url: https://www.h.example/prefix"),
            ("https://www.h.example/api/iocs", "set url: https://www.h.example"),
            ("https://h.example:8443/prefix/api/iocs", "set url: https://h.example:8443/prefix"),
            ("https://h.example/login", "set url: https://h.example"),
            ("/prefixed/x", "set url: https://h.example"),
            ("/prefix/../x", "outside of the configured address"),
            ("//evil.example/prefix/", "set url: https://evil.example"),
            ("\\\\evil.example/", "set url: https://evil.example"),
            ("https://b\u{fc}cher.example/", "set url: https://xn--bcher-kva.example"),
            ("http://h.example/prefix/api/iocs", "Set `url:` to an https"),
            ("https://h.example@evil.example/prefix/", "with a user or password"),
            ("https://user:pw@h.example/prefix/", "with a user or password"),
            ("https://h.example/prefix/..%2f..%2fx", "`..` segments"),
            ("file:///etc/passwd", "no address on the web"),
            ("javascript:alert(1)", "no address on the web"),
            ("https://", "no address on the web"),
        ];
        for (location, expected) in outside {
            match follow(location) {
                Err(FetchError::Refused(text)) => {
                    assert!(text.contains(expected), "{location}: {text}");
                    assert!(!text.contains("pw") && !text.contains("limit=1"), "{text}");
                }
                other => panic!("{location:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_host_without_www_names_the_url_to_set() {
        let base = base("https://socdefenders.ai");
        let from = base.join("/api/v1/iocs?limit=1", &Scrubber::default()).unwrap();
        let location = HeaderValue::from_static("https://www.socdefenders.ai/api/v1/iocs?limit=1");
        let error =
            base.follow(&from, &location, "/api/v1/iocs?limit=1", &Scrubber::default()).unwrap_err().to_string();
        assert!(error.ends_with("set url: https://www.socdefenders.ai"), "{error}");
    }

    #[test]
    fn addresses_that_cannot_be_a_feed() {
        for url in [
            "ftp://h.example",
            "data:x",
            "https://u:p@h.example",
            "https://u@h.example",
            "https://h.example/?k=v",
            "https://h.example/#x",
        ] {
            let error = Base::new(&Url::parse(url).unwrap(), Reach::Path).unwrap_err();
            assert!(matches!(error, FetchError::Refused(_)), "{url}");
        }
    }

    #[test]
    fn where_a_key_may_go() {
        let cases = [
            ("https://h.example", true),
            ("http://127.0.0.1:1", true),
            ("http://127.8.9.10", true),
            ("http://[::1]:8", true),
            ("http://localhost", true),
            ("http://h.example", false),
            ("http://10.0.0.1", false),
            ("http://[::2]", false),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://0.0.0.0", false),
        ];
        for (url, expected) in cases {
            assert_eq!(base(url).keeps_secrets(), expected, "{url}");
        }
    }
}
