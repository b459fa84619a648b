//! Finds values in any text: a report, a firewall's log, a CSV, JSON.
//!
//! The text is cut at what no value holds (white space, quotes, commas, bars), each piece is freed of the punctuation around
//! it, and what [`tipline_observable::classify`] then takes for an address, a range, a name below a public suffix, a URL, a
//! hash, a mailbox, a CVE or a technique is a value. A URL gives its host as well. Defanged forms are read as what they
//! stand for. What is found twice is one value.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use tipline_ecs::{Feed, Frame};
use tipline_observable::{Host, Label, Observable, classify, suffix};

/// The longest text: a day's log of a small firewall. More is looked up in parts.
pub(crate) const MAX_LOOKED_BYTES: usize = 20 * 1024 * 1024;

/// The most different values of one text; each takes some hundred bytes and a place in the query.
pub(crate) const MAX_LOOKED_VALUES: usize = 100_000;

/// A value that stands in a text.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    /// What it is.
    pub(crate) observable: Observable,
    /// `tipline.key`: what all claims of this value have in common.
    pub(crate) key: String,
    /// As it is normalised.
    pub(crate) name: String,
    /// Of a mailbox its domain: the key of what says something of that, and its name.
    pub(crate) domain: Option<(String, String)>,
    /// How often it stands there.
    pub(crate) times: u64,
}

/// There are more than [`MAX_LOOKED_VALUES`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("The text has more than {MAX_LOOKED_VALUES} different values. Look it up in parts.")]
pub(crate) struct TooMany;

/// The values of a text, in the order in which they come first.
///
/// # Errors
/// [`TooMany`].
pub(crate) fn read(text: &str) -> Result<Vec<Value>, TooMany> {
    let mut reader = Reader::new();
    // JSON may have a backslash before each slash.
    for piece in tightened(&text.replace("\\/", "/")).split(is_between) {
        for piece in unescaped(piece) {
            reader.piece(piece)?;
        }
    }
    Ok(reader.values)
}

/// What no value holds.
fn is_between(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '"' | '\'' | '`' | '<' | '>' | '|' | ',' | ';' | '“' | '”' | '„' | '«' | '»' | '→' | '•')
}

/// The pieces between line ends and quotes that JSON has escaped.
fn unescaped(piece: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(piece);
    std::iter::from_fn(move || {
        let text = rest?;
        let escape = ["\\n", "\\r", "\\t", "\\\""].iter().filter_map(|mark| text.find(mark)).min();
        let (piece, behind) = match escape {
            Some(at) => (&text[..at], Some(&text[at + 2..])),
            None => (text, None),
        };
        rest = behind;
        Some(piece)
    })
}

/// The longest token in brackets that is looked for.
const TOKEN_BYTES: usize = 8;

/// Without the spaces around dots and the like in brackets, so that `evil [.] example` is one piece; a dot in angle brackets
/// gets square ones, as the others of their kind stand around values.
fn tightened(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['[', '(', '{', '<']) {
        out.push_str(&rest[..at]);
        let found = &rest[at..];
        let close = match found.as_bytes()[0] {
            b'[' => ']',
            b'(' => ')',
            b'{' => '}',
            _ => '>',
        };
        let inside = found[1..].find(close).filter(|end| *end <= TOKEN_BYTES).map(|end| &found[1..=end]);
        let is_mark = |inside: &&str| {
            [".", "dot", "@", "at", ":", "://", "/"].iter().any(|mark| inside.trim().eq_ignore_ascii_case(mark))
        };
        match inside.filter(is_mark) {
            Some(inside) => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('[');
                out.push_str(inside.trim());
                out.push(']');
                rest = found[inside.len() + 2..].trim_start_matches(' ');
            }
            None => {
                out.push_str(&found[..1]);
                rest = &found[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

struct Reader {
    values: Vec<Value>,
    places: HashMap<String, usize>,
    frame: Frame,
    scratch: String,
}

impl Reader {
    fn new() -> Self {
        // Of a claim only the key is wanted, in which the feed has no part.
        let feed = Feed { name: "", reference: "", module: "", dataset: "", namespace: "" };
        Self { values: Vec::new(), places: HashMap::new(), frame: Frame::new(feed, 0), scratch: String::new() }
    }

    fn piece(&mut self, piece: &str) -> Result<(), TooMany> {
        let piece = piece.trim_end_matches(['.', ':', '!', '?', '*', '~', '…', '-', '=']);
        let piece = piece.trim_start_matches(['*', '~', '#', '.', ':', '!', '-', '=']);
        if piece.len() < MIN_PIECE_BYTES {
            return Ok(());
        }
        let piece = without_closing(piece);
        if self.value(piece)? {
            return Ok(());
        }
        let bare = without_closing(piece.trim_start_matches(['(', '[', '{', '_']));
        if bare != piece && self.value(bare)? {
            return Ok(());
        }
        // `src=198.51.100.7`, `[text](link)`, `198.51.100.7->203.0.113.9`, `ip:198.51.100.7`.
        let parts: Option<(&str, &str)> = ["](", "->", "=>", "="]
            .iter()
            .find_map(|mark| bare.split_once(mark))
            .or_else(|| bare.split_once(':').filter(|(name, _)| is_word(name)));
        match parts {
            Some((before, behind)) => {
                self.piece(before)?;
                self.piece(behind)
            }
            None => self.addresses(bare),
        }
    }

    /// Takes the addresses of a piece that is nothing by itself: `198.51.100.7-443` of a flow log, `198.51.100.7-198.51.100.9`,
    /// `blocked_198.51.100.7` of a firewall. Names and hashes may have these characters themselves.
    fn addresses(&mut self, piece: &str) -> Result<(), TooMany> {
        for part in piece.split(['-', '_', '/']) {
            if let Ok(found @ Observable::Ip(_)) = classify(part, Label::Other).map(|found| found.observable) {
                self.add(found)?;
            }
        }
        Ok(())
    }

    /// Takes a piece that is a value.
    fn value(&mut self, piece: &str) -> Result<bool, TooMany> {
        // Without a claim of what it is, a name stays undecided.
        let found = classify(piece, Label::Other).or_else(|_| classify(piece, Label::Domain));
        let Ok(found) = found else { return Ok(false) };
        // Who defangs a name means it, whatever it ends in.
        if !is_meant(&found.observable, piece.contains(['[', '\\'])) {
            return Ok(false);
        }
        if let Observable::Url(location) = &found.observable {
            let host = match &location.host {
                Host::Ip(ip) => Some(Observable::Ip(*ip)),
                Host::Name(name) => Some(Observable::Domain(name.clone())),
                Host::Odd(_) => None,
            };
            self.add(found.observable)?;
            host.map_or(Ok(()), |host| self.add(host))?;
        } else {
            self.add(found.observable)?;
        }
        Ok(true)
    }

    fn add(&mut self, observable: Observable) -> Result<(), TooMany> {
        let key = self.key(&observable);
        if let Some(place) = self.places.get(&key) {
            self.values[*place].times += 1;
            return Ok(());
        }
        if self.values.len() == MAX_LOOKED_VALUES {
            return Err(TooMany);
        }
        let mut name = String::new();
        observable.write_key(&mut name);
        let domain = match &observable {
            Observable::Email(mailbox) => mailbox.rsplit_once('@').map(|(_, domain)| domain.to_owned()),
            _ => None,
        };
        let domain = domain.map(|domain| (self.key(&Observable::Domain(domain.clone())), domain));
        self.places.insert(key.clone(), self.values.len());
        self.values.push(Value { observable, key, name, domain, times: 1 });
        Ok(())
    }

    /// `tipline.key`.
    fn key(&mut self, observable: &Observable) -> String {
        let claim = self.frame.claim(observable, "", &mut self.scratch);
        claim.key.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The shortest value is a name such as `t.co`; `::1` and the like are harmless.
const MIN_PIECE_BYTES: usize = 4;

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Without brackets that only end here: a URL may hold whole pairs.
fn without_closing(mut piece: &str) -> &str {
    for (open, close) in [('(', ')'), ('[', ']'), ('{', '}'), ('(', ')')] {
        while let Some(shorter) = piece.strip_suffix(close)
            && piece.matches(open).count() < piece.matches(close).count()
        {
            piece = shorter.trim_end_matches(['.', ':', '!', '?', '_']);
        }
    }
    piece
}

/// Whether a text means it: a word, a file's name and a version are no names of hosts.
fn is_meant(observable: &Observable, is_defanged: bool) -> bool {
    let is_public = |name| is_defanged || is_public(name);
    match observable {
        Observable::Ip(_) | Observable::Cidr(_) | Observable::Hash(..) | Observable::Cve(_) | Observable::Attack(_) => {
            true
        }
        Observable::Domain(name) => is_public(name),
        Observable::Email(mailbox) => mailbox.rsplit_once('@').is_some_and(|(_, name)| is_public(name)),
        Observable::Url(location) => match &location.host {
            Host::Ip(_) => location.has_scheme || location.url.path() != "/",
            Host::Name(name) => location.has_scheme || is_public(name),
            Host::Odd(_) => false,
        },
        Observable::Wildcard(_) | Observable::Thing(_) => false,
    }
}

/// The public suffix list, as the guest has it.
const SUFFIXES: &str = include_str!("../../../guest/observable/data/public_suffix_list.dat");

/// Its rules of one label.
static TOP_LEVEL: LazyLock<HashSet<&str>> =
    LazyLock::new(|| SUFFIXES.lines().map(str::trim).filter(|line| is_word(line)).collect());

/// Whether a name lies below a suffix that the public list has, so that `report.txt` is none.
fn is_public(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    // What documentation is written with.
    if last == "example" {
        return name != last;
    }
    // The list has names of other scripts as they are read, documents have them in ASCII.
    suffix::split(name).registered.is_some() && (last.starts_with("xn--") || TOP_LEVEL.contains(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        read(text).unwrap().into_iter().map(|value| format!("{} {}", value.observable.kind(), value.name)).collect()
    }

    #[test]
    fn values_are_found_in_what_people_paste() {
        for (text, expected) in [
            ("The C2 at 198.51.100.7, port 443.", vec!["ipv4-addr 198.51.100.7"]),
            (
                "evil[.]example.com and hxxps://bad(.)example.org/a?b=c.",
                vec![
                    "domain-name evil.example.com",
                    "url https://bad.example.org/a?b=c",
                    "domain-name bad.example.org",
                ],
            ),
            ("write to admin [at] evil [dot] com!", vec!["email-addr admin@evil.com"]),
            ("src=203.0.113.9 dst=198.51.100.7:8443", vec!["ipv4-addr 203.0.113.9", "ipv4-addr 198.51.100.7"]),
            ("203.0.113.9->198.51.100.7", vec!["ipv4-addr 203.0.113.9", "ipv4-addr 198.51.100.7"]),
            ("203.0.113.9-443 blocked_198.51.100.7", vec!["ipv4-addr 203.0.113.9", "ipv4-addr 198.51.100.7"]),
            ("203.0.113.9-203.0.113.12/x", vec!["ipv4-addr 203.0.113.9", "ipv4-addr 203.0.113.12"]),
            (
                "ip:203.0.113.9|sha1:DA39A3EE5E6B4B0D3255BFEF95601890AFD80708",
                vec!["ipv4-addr 203.0.113.9", "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80708"],
            ),
            ("[a report](https://evil.com/x_(1)).", vec!["url https://evil.com/x_(1)", "domain-name evil.com"]),
            (
                r#"{"url":"http:\/\/evil.com\/a","note":"seen\n198.51.100.7"}"#,
                vec!["url http://evil.com/a", "domain-name evil.com", "ipv4-addr 198.51.100.7"],
            ),
            ("(CVE-2021-44228, T1059.001)", vec!["vulnerability CVE-2021-44228", "technique T1059.001"]),
            ("198.51.100.0/24;2001:db8::7", vec!["ipv4-addr 198.51.100.0/24", "ipv6-addr 2001:db8::7"]),
            ("the file report.txt and/or readme, e.g. version 2.0 at 10:15", vec![]),
            ("https://localhost/x", vec!["url https://localhost/x", "domain-name localhost"]),
            ("", vec![]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn a_value_that_stands_twice_is_one() {
        let values = read("evil.com EVIL[.]com evil.com. 198.51.100.7").unwrap();
        assert_eq!(values.iter().map(|value| value.times).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn a_text_has_so_many_values_and_no_more() {
        let text = |many: usize| -> String {
            let address = |number: usize| format!("{}\n", std::net::Ipv4Addr::from_bits(0x0b00_0000 + number as u32));
            (0..many).map(address).collect()
        };
        assert_eq!(read(&text(MAX_LOOKED_VALUES)).map(|values| values.len()), Ok(MAX_LOOKED_VALUES));
        assert_eq!(read(&text(MAX_LOOKED_VALUES + 1)).map(|values| values.len()), Err(TooMany));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,200}", marks in "[\\[\\](){}<>.:/@\\\\ =a-z0-9-]{0,80}") {
            let _ = read(&text);
            let _ = read(&marks);
        }
    }
}
