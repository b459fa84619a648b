//! Where a name's public suffix ends: `a.b.co.uk` is suffix `co.uk`, registered domain `b.co.uk`, subdomain `a`.
//!
//! The public suffix list (both its ICANN and its private part) is compiled into an automaton at build time. A
//! name no rule covers ends in its last label, as the list itself prescribes. A name that *is* a suffix has no
//! registered domain. Names are expected in the form documents carry: lower case, ASCII, no final dot.

use std::sync::OnceLock;

use fst::raw::Fst;

static RULES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/suffixes.fst"));

const RULE: u64 = 1;
const WILDCARD: u64 = 2;
const EXCEPTION: u64 = 4;

/// A name, cut at its public suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// `co.uk`.
    pub top_level: &'a str,
    /// `b.co.uk`; none where the name is itself a suffix.
    pub registered: Option<&'a str>,
    /// `a`; none where there is nothing before the registered domain.
    pub subdomain: Option<&'a str>,
}

/// Cuts a name at its public suffix.
pub fn split(name: &str) -> Parts<'_> {
    let top_level = name.get(suffix_start(name)..).unwrap_or(name);
    let before = name.strip_suffix(top_level).and_then(|n| n.strip_suffix('.'));
    let registered = before.and_then(|before| {
        let start = before.rfind('.').map_or(0, |dot| dot.saturating_add(1));
        name.get(start..)
    });
    let subdomain =
        registered.and_then(|r| name.strip_suffix(r)).and_then(|n| n.strip_suffix('.')).filter(|n| !n.is_empty());
    Parts { top_level, registered, subdomain }
}

/// Where the longest suffix begins.
fn suffix_start(name: &str) -> usize {
    let last_label = name.rfind('.').map_or(0, |dot| dot.saturating_add(1));
    let Some(rules) = rules() else { return last_label };
    let mut start = last_label;
    let mut node = rules.root();
    let mut value = 0_u64;
    let mut wildcard = false;
    let mut end = name.len();
    let mut walking = true;
    loop {
        let begin = name.get(..end).and_then(|n| n.rfind('.')).map_or(0, |dot| dot.saturating_add(1));
        if wildcard {
            start = begin;
        }
        if !walking {
            return start;
        }
        for byte in name.get(begin..end).unwrap_or_default().bytes() {
            let Some(index) = node.find_input(byte) else {
                return start;
            };
            let transition = node.transition(index);
            value = value.wrapping_add(transition.out.value());
            node = rules.node(transition.addr);
        }
        let kinds = if node.is_final() { value.wrapping_add(node.final_output().value()) } else { 0 };
        if kinds & EXCEPTION != 0 {
            // The suffix of an exception is the name without its first label.
            return end.saturating_add(1).min(name.len());
        }
        if kinds & RULE != 0 {
            start = begin;
        }
        wildcard = kinds & WILDCARD != 0;
        let Some(dot) = begin.checked_sub(1) else { return start };
        match node.find_input(b'.') {
            Some(index) => {
                let transition = node.transition(index);
                value = value.wrapping_add(transition.out.value());
                node = rules.node(transition.addr);
            }
            None => walking = false,
        }
        end = dot;
    }
}

fn rules() -> Option<&'static Fst<&'static [u8]>> {
    static FST: OnceLock<Option<Fst<&'static [u8]>>> = OnceLock::new();
    FST.get_or_init(|| Fst::new(RULES).ok()).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_their_public_suffix() {
        for (name, top_level, registered, subdomain) in [
            ("example.com", "com", Some("example.com"), None),
            ("a.b.example.co.uk", "co.uk", Some("example.co.uk"), Some("a.b")),
            ("com", "com", None, None),
            ("co.uk", "co.uk", None, None),
            ("foo.unlisted", "unlisted", Some("foo.unlisted"), None),
            ("unlisted", "unlisted", None, None),
            // Wildcards and their exceptions.
            ("x.ck", "x.ck", None, None),
            ("y.x.ck", "x.ck", Some("y.x.ck"), None),
            ("www.ck", "ck", Some("www.ck"), None),
            ("a.www.ck", "ck", Some("www.ck"), Some("a")),
            ("a.b.city.kobe.jp", "kobe.jp", Some("city.kobe.jp"), Some("a.b")),
            // Private rules and punycode.
            ("evil.github.io", "github.io", Some("evil.github.io"), None),
            ("x.xn--p1ai", "xn--p1ai", Some("x.xn--p1ai"), None),
        ] {
            assert_eq!(split(name), Parts { top_level, registered, subdomain }, "{name}");
        }
    }
}
