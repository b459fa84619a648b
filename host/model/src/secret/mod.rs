//! Credentials: where they come from, a type that cannot be printed by accident, and a filter for what others say.
//!
//! A key goes to one place, the header of a request. But the server on the other side can repeat it in a body, a header
//! or an error text, as it is or in a coding. [`Scrubber`] knows the codings a server is likely to use and replaces each
//! by `[secret]`, so that nothing behind it (guest, database, log, page) can ever show the key. It works on values, not
//! on the names of fields, because a server may put the key anywhere.
//!
//! A key shorter than [`MIN_SCRUBBED`] is only looked for as a word of its own, and one shorter than [`MIN_ALONE`] not at
//! all: a text of a few letters stands in honest data too, and replacing it there would destroy records.

mod alone;
mod authorization;
mod credential;
mod escapes;
mod header;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use url::{Host, Url};

use alone::stands_alone;
use escapes::Escapes;

pub use authorization::Authorization;
pub use credential::{Credential, KeyHeader, KeyHeaderError, SecretError, SecretSource};
pub use header::is_hosts;
pub use header::{OwnHeader, OwnHeaderError};

/// What stands in the place of a secret.
pub const REPLACEMENT: &str = "[secret]";

/// The shortest secret that is looked for anywhere, in bytes: real keys have twenty and more, and a shorter text is likely to
/// stand in a record by chance.
pub const MIN_SCRUBBED: usize = 8;

/// The shortest one that is looked for where it stands alone. Below it, too many words are the same.
pub const MIN_ALONE: usize = 4;

/// Whether a server is on this machine: a key may go there in the clear, and no proxy stands before it.
pub fn is_loopback(server: &Url) -> bool {
    match server.host() {
        // Not the names below it, which a resolver may look for elsewhere.
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A secret text. Debug and Display show no part of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that puts it on the wire.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Warns of one that is too short to be found; `setting` is where it comes from.
    pub fn warn_if_short(&self, setting: &str) {
        if let Some(warning) = self.short(setting) {
            tracing::warn!("{warning}");
        }
    }

    /// What to say of one that is too short to be found wherever a server repeats it; `setting` is where it comes from.
    fn short(&self, setting: &str) -> Option<String> {
        let what = match self.0.len() {
            MIN_SCRUBBED.. => return None,
            MIN_ALONE.. => {
                "is hidden only where it stands as a word of its own, and the same word is hidden in honest records, too"
            }
            _ => "is not hidden",
        };
        Some(format!(
            "What `{setting}` gives has fewer than {MIN_SCRUBBED} letters: where a server repeats it, it {what}. Choose a \
             longer one."
        ))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REPLACEMENT)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REPLACEMENT)
    }
}

/// Replaces secrets in texts that come from outside.
#[derive(Clone, Default)]
pub struct Scrubber {
    needles: Option<Needles>,
}

/// What is looked for.
#[derive(Clone)]
struct Needles {
    plain: AhoCorasick,
    /// Only where they stand alone.
    short: Option<(AhoCorasick, Vec<String>)>,
    escapes: Escapes,
}

impl Scrubber {
    /// Looks for these secrets and their codings: base64 (both alphabets, at any offset in a longer text), hex, the text
    /// backwards, percent-encoding, JSON and HTML escapes in any mixture. For a short one, not within other words.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let (mut long, mut short) = (BTreeSet::new(), BTreeSet::new());
        for secret in secrets {
            match secret.expose() {
                text if text.len() >= MIN_SCRUBBED => {
                    long.extend(codings(text).into_iter().filter(|needle| needle.len() >= MIN_SCRUBBED));
                }
                text if text.len() >= MIN_ALONE => short.extend(whole_codings(text)),
                _ => {}
            }
        }
        if long.is_empty() && short.is_empty() {
            return Self::default();
        }
        // The longest match first: a base64 text of `user:key` goes as a whole, not only the part that holds the key.
        // A few short literals cannot exceed the automaton's limits, so the build does not fail.
        let build = |needles: &BTreeSet<String>| {
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(needles).ok()
        };
        let alone = build(&short).filter(|_| !short.is_empty()).map(|alone| (alone, short.iter().cloned().collect()));
        let needles = build(&long).map(|plain| Needles {
            plain,
            short: alone,
            escapes: Escapes::new(
                long.into_iter().map(|text| (text, false)).chain(short.into_iter().map(|text| (text, true))),
            ),
        });
        Self { needles }
    }

    /// The text without the secrets; borrowed where there are none.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.scrub_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // Whole characters are replaced by whole characters.
            Cow::Owned(scrubbed) => Cow::Owned(String::from_utf8_lossy(&scrubbed).into_owned()),
        }
    }

    /// The same for what may be no text; every other byte stays as it is.
    pub fn scrub_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        let Some(Needles { plain, short, escapes }) = &self.needles else { return Cow::Borrowed(bytes) };
        let mut scrubbed = Cow::Borrowed(bytes);
        cut(&mut scrubbed, &escapes.find(bytes));
        if plain.patterns_len() > 0 && plain.is_match(&*scrubbed) {
            let replaced = plain.replace_all_bytes(&scrubbed, &vec![REPLACEMENT; plain.patterns_len()]);
            scrubbed = Cow::Owned(replaced);
        }
        if let Some((alone, texts)) = short {
            let spans: Vec<Range<usize>> = alone
                .find_iter(&*scrubbed)
                .filter(|found| {
                    let secret = texts.get(found.pattern().as_usize()).map_or(&b""[..], |text| text.as_bytes());
                    stands_alone(&scrubbed, &found.range(), secret)
                })
                .map(|found| found.range())
                .collect();
            cut(&mut scrubbed, &spans);
        }
        scrubbed
    }

    /// The same for an owned text, which is not copied where there are no secrets.
    pub fn scrub_owned(&self, text: String) -> String {
        match self.scrub(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(scrubbed) => scrubbed,
        }
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrubber({})", self.needles.as_ref().map_or(0, |needles| needles.plain.patterns_len()))
    }
}

/// Puts the replacement in the place of these parts, which are in order.
fn cut(bytes: &mut Cow<'_, [u8]>, spans: &[Range<usize>]) {
    if spans.is_empty() {
        return;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for span in spans {
        out.extend_from_slice(&bytes[from..span.start]);
        out.extend_from_slice(REPLACEMENT.as_bytes());
        from = span.end;
    }
    out.extend_from_slice(&bytes[from..]);
    *bytes = Cow::Owned(out);
}

/// The ways in which a short text is no other word: not in other letters, backwards, or as a part of a longer coding.
fn whole_codings(text: &str) -> Vec<String> {
    let mut all = vec![text.to_owned(), hex::encode(text), hex::encode_upper(text)];
    all.extend([&STANDARD_NO_PAD, &URL_SAFE_NO_PAD].map(|engine| engine.encode(text)));
    all
}

/// The ways a server is likely to write a text, but for escapes, which [`Escapes`] reads back.
fn codings(text: &str) -> Vec<String> {
    let mut all = vec![text.to_owned(), text.to_ascii_lowercase()];
    // A form's space.
    all.push(text.replace(' ', "+"));
    // Ways to hide it that cost nothing.
    all.push(hex::encode(text));
    all.push(hex::encode_upper(text));
    all.push(text.chars().rev().collect());
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        // Padding is not part of the needle, so both forms are found.
        all.push(engine.encode(text));
        all.extend((0..3).map(|offset| base64_core(engine, text, offset)));
    }
    all
}

/// The digits of the base64 of any text holding `text` at a position of this remainder by three: those that depend on
/// `text` alone.
fn base64_core(engine: &impl base64::Engine, text: &str, offset: usize) -> String {
    let digits = engine.encode([&vec![0; offset], text.as_bytes()].concat());
    // A digit carries six bits; the first ones hold bits of what stands before, the last may hold bits of what follows.
    let first = (offset * 8).div_ceil(6);
    let last = (offset + text.len()) * 8 / 6;
    digits.get(first..last).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const KEY: &str = "sk_live_CANARY/+&\"7f3a9b";

    fn scrubber() -> Scrubber {
        Scrubber::new(&[Secret::new(KEY)])
    }

    #[test]
    fn every_coding_of_the_key_is_replaced() {
        let percent = "sk_live_CANARY%2F%2B%26%227f3a9b";
        let cases = [
            KEY.to_owned(),
            KEY.to_ascii_lowercase(),
            STANDARD.encode(KEY),
            STANDARD_NO_PAD.encode(KEY),
            URL_SAFE.encode(KEY),
            URL_SAFE_NO_PAD.encode(KEY),
            percent.to_owned(),
            percent.to_ascii_lowercase().replace("canary", "CANARY"),
            percent.replace('_', "%5F"),
            KEY.bytes().map(|b| format!("%{b:02X}")).collect(),
            KEY.bytes().map(|b| format!("\\u{b:04x}")).collect(),
            // Each character in a way of its own, also where the whole is in base64.
            "sk%5flive_%43ANARY%2f%2B&amp;\\u00227f3a9b".to_owned(),
            STANDARD.encode(KEY).replace('/', "%2F").replace('+', "%2b").replacen('c', "%63", 1),
            hex::encode(KEY),
            hex::encode_upper(KEY),
            KEY.chars().rev().collect(),
            serde_json::to_string(KEY).unwrap(),
            serde_json::to_string(KEY).unwrap().replace('/', "\\/"),
            "sk_live_CANARY/+&amp;&quot;7f3a9b".to_owned(),
        ];
        for case in cases {
            let text = format!("before {case} after {case}");
            let scrubbed = scrubber().scrub(&text).into_owned();
            assert!(!scrubbed.contains(&case), "{scrubbed}");
            assert_eq!(scrubbed.matches(REPLACEMENT).count(), 2, "{scrubbed}");
            assert!(scrubbed.starts_with("before ") && scrubbed.contains(" after "), "{scrubbed}");
        }
    }

    #[test]
    fn every_percent_encoder_is_known() {
        let key = "tk_CANARY+7f3/9aQ=zz:41&x~b?e!(f)*";
        let scrubber = Scrubber::new([&Secret::new(key)]);
        let form: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        for coded in [
            form.as_str(),
            "tk_CANARY%2B7f3/9aQ%3Dzz%3A41%26x~b%3Fe%21%28f%29%2A",
            "tk_CANARY%2B7f3%2F9aQ%3Dzz%3A41%26x~b%3Fe!(f)*",
            "tk_CANARY%2b7f3%2f9aQ%3dzz%3a41%26x~b%3fe!(f)*",
        ] {
            assert_eq!(scrubber.scrub(coded), REPLACEMENT, "{coded}");
        }
    }

    #[test]
    fn base64_of_a_longer_text_is_found_at_every_offset() {
        for before in ["", "u", "us", "apikey:", "a longer user:"] {
            for after in ["", ";", "; more", "; and more"] {
                for engine in [&STANDARD, &URL_SAFE] {
                    let coded = engine.encode(format!("{before}{KEY}{after}"));
                    let scrubbed = scrubber().scrub(&coded).into_owned();
                    assert!(scrubbed.contains(REPLACEMENT), "{before:?} {after:?}: {scrubbed}");
                    // What is left decodes to no more than one character of the key at either end.
                    let rest: usize = scrubbed.replace(REPLACEMENT, "").trim_end_matches('=').len();
                    assert!(rest <= (before.len() + after.len()) * 4 / 3 + 5, "{scrubbed}");
                }
            }
        }
    }

    #[test]
    fn other_texts_are_not_copied() {
        for text in ["", "sk_live_", "no secrets here: sk_live_CANAR"] {
            assert!(matches!(scrubber().scrub(text), Cow::Borrowed(t) if t == text));
        }
        assert_eq!(Scrubber::default().scrub("anything"), "anything");
    }

    #[test]
    fn the_shortest_secret_that_is_looked_for_anywhere() {
        let seven = Secret::new("a".repeat(MIN_SCRUBBED - 1));
        let eight = Secret::new("a".repeat(MIN_SCRUBBED));
        let text = "b".to_owned() + &"a".repeat(MIN_SCRUBBED);
        assert_eq!(Scrubber::new([&seven]).scrub(&text), text);
        assert_eq!(Scrubber::new([&eight]).scrub(&text), "b[secret]");
        assert!(seven.short("password").is_some_and(|said| said.contains("`password`") && said.contains("own")));
        assert_eq!(eight.short("password"), None);
    }

    #[test]
    fn a_short_secret_is_looked_for_where_it_stands_alone_and_a_shorter_one_is_not() {
        let (four, three) = (Secret::new("k\u{fc}h"), Secret::new("abc"));
        assert_eq!((four.expose().len(), three.expose().len()), (MIN_ALONE, MIN_ALONE - 1));
        let scrubber = Scrubber::new([&four, &three]);
        for (text, expected) in [
            ("{\"password\":\"k\u{fc}h\",\"b\":\"k\\u00fch\"}", "{\"password\":\"[secret]\",\"b\":\"[secret]\"}"),
            ("user:k&uuml;h, k%C3%BCh", "user:[secret], [secret]"),
            ("k\u{fc}he, k\u{fc}h.example, k\\u00fche", "k\u{fc}he, k\u{fc}h.example, k\\u00fche"),
            ("abc user:abc", "abc user:abc"),
        ] {
            assert_eq!(scrubber.scrub(text), expected);
        }
        assert_eq!(scrubber.scrub(&STANDARD_NO_PAD.encode(four.expose())), "[secret]");
        assert!(three.short("password").is_some_and(|said| said.contains("not hidden")));
        // Beside a long one, each as it is looked for.
        let scrubber = Scrubber::new([&Secret::new("evil"), &Secret::new(KEY)]);
        assert_eq!(scrubber.scrub(&format!("a{KEY} evil evils")), "a[secret] [secret] evils");
    }

    #[test]
    fn nothing_prints_a_secret() {
        let source = SecretSource::Inline(Secret::new(KEY));
        let credential = Credential::Basic { username: "apikey".to_owned(), password: source };
        let shown = format!("{credential:?} {:?} {}", scrubber(), Secret::new(KEY));
        assert!(!shown.contains("CANARY"), "{shown}");
    }
}
