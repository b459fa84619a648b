//! Decides what a value is.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{Cidr, parse_ip};
use crate::codes::{self, Algorithm};
use crate::location::{Location, LocationError, scheme_end};
use crate::misfit::Misfit;
use crate::name;
use crate::refang::refang;
use crate::sixteen::{any, are, at_most};
use crate::wildcard;
use crate::{Label, Observable};

/// The longest value that is looked at. A keyword of Elasticsearch holds 32,766 bytes and no URL in the wild comes
/// near it.
pub const MAX_VALUE_BYTES: usize = 32 * 1024;

/// A value told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// What it is.
    pub observable: Observable,
    /// The port that stood with it.
    pub port: Option<u16>,
    /// What was repaired or differs from the claim, as keywords.
    pub notes: Vec<&'static str>,
}

/// Tells what a value is. `label` is the feed's claim.
///
/// # Errors
/// [`Misfit`] where the value is none of the known kinds.
pub fn classify(value: &str, label: Label) -> Result<Classified, Misfit> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(Misfit::new(
            "too-long",
            format!("The value has {} bytes; the longest that is read has {MAX_VALUE_BYTES}.", value.len()),
        ));
    }
    let text = trim(value);
    if text.is_empty() {
        return Err(Misfit::new("no-value", "The record has a `value` without any text in it."));
    }
    let is_padded = has_controls(value) && {
        refuse_controls(value, text)?;
        value.chars().any(is_control)
    };
    let mut found = classify_text(text, label)?;
    if is_padded {
        found.notes.push("control-characters-removed");
    }
    Ok(found)
}

/// Whether a text may hold control characters: a look at its bytes.
fn has_controls(text: &str) -> bool {
    any(text.as_bytes(), |some| at_most(some, b' ' - 1) | are(some, 0x7f) | are(some, 0xc2))
}

/// A control character that is no white space.
fn is_control(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
}

/// Control characters around a value are padding. Inside of it they belong to something else, and one that begins an escape
/// sequence makes what follows a part of itself, so that nobody knows where the value begins.
fn refuse_controls(value: &str, text: &str) -> Result<(), Misfit> {
    let begins_sequence = |c: &char| matches!(c, '\u{1b}' | '\u{80}'..='\u{9f}') && is_control(*c);
    let unfit = value.chars().find(begins_sequence).or_else(|| text.chars().find(|c| is_control(*c)));
    unfit.map_or(Ok(()), |c| {
        Err(Misfit::new(
            "bad-characters",
            format!(
                "The value holds the control character U+{:04X}, as of an escape sequence for terminals or of other data, so it \
                 cannot be trusted.",
                u32::from(c)
            ),
        ))
    })
}

/// Tells what a value is that has nothing around it.
fn classify_text(text: &str, label: Label) -> Result<Classified, Misfit> {
    if let Some(hash) = hash(text) {
        return Ok(done(hash, label, Vec::new()));
    }
    let text = refang(text);
    let text = text.trim();
    let mut found = match recognise(text, label) {
        Ok(found) => found,
        Err(misfit) => unpunctuated(text, label).ok_or_else(|| wildcard::misfit(text).unwrap_or(misfit))?,
    };
    if !label.fits(&found.observable) && label != Label::Other {
        found.notes.push(mislabelled(label));
    }
    Ok(found)
}

/// A value without the full stop, comma or semicolon of the sentence it was taken from.
fn unpunctuated(text: &str, label: Label) -> Option<Classified> {
    let bare = text.trim_end_matches(['.', ',', ';']);
    if bare.len() == text.len() {
        return None;
    }
    let mut found = match hash(bare) {
        Some(hash) => Classified { observable: hash, port: None, notes: Vec::new() },
        None => recognise(bare, label).ok()?,
    };
    found.notes.push("punctuation-removed");
    Some(found)
}

fn done(observable: Observable, label: Label, mut notes: Vec<&'static str>) -> Classified {
    if !label.fits(&observable) && label != Label::Other {
        notes.push(mislabelled(label));
    }
    Classified { observable, port: None, notes }
}

/// The note for a label that is not what the value is.
fn mislabelled(label: Label) -> &'static str {
    match label {
        Label::Ipv4 => "labelled-ipv4",
        Label::Ipv6 => "labelled-ipv6",
        Label::Ip => "labelled-ip",
        Label::Domain => "labelled-domain",
        Label::Url => "labelled-url",
        Label::Md5 => "labelled-md5",
        Label::Sha1 => "labelled-sha1",
        Label::Sha256 => "labelled-sha256",
        Label::Sha512 => "labelled-sha512",
        Label::Hash => "labelled-hash",
        Label::Email => "labelled-email",
        Label::Cve => "labelled-cve",
        Label::Attack => "labelled-mitre_attack",
        Label::Other => "labelled-other",
    }
}

/// A found value with its notes.
fn found(observable: Observable, notes: Vec<&'static str>) -> Result<Classified, Misfit> {
    Ok(Classified { observable, port: None, notes })
}

fn recognise(text: &str, label: Label) -> Result<Classified, Misfit> {
    if let Some(observable) = plain(text, label) {
        return found(observable, Vec::new());
    }
    if let Some(observable) = wildcard::read(text, label)? {
        return found(observable, Vec::new());
    }
    if let Some((algorithm, digits)) = Algorithm::read_named(text) {
        return found(Observable::Hash(algorithm, digits), vec!["prefix-removed"]);
    }
    if let Some(id) = codes::cve(text) {
        return found(Observable::Cve(id), Vec::new());
    }
    // `CVE-2021-44228 (Log4Shell)`.
    if label == Label::Cve
        && let Some(id) =
            [" (", ": ", " - ", " \u{2013} "].iter().find_map(|between| codes::cve(text.split_once(between)?.0))
    {
        return found(Observable::Cve(id), vec!["name-removed"]);
    }
    if let Some(known) = attack(text, label) {
        return Ok(known);
    }
    if let Some(at) = scheme_end(text) {
        let word = text.get(..at).unwrap_or_default();
        if is_scheme(word) {
            return url(text, true);
        }
    }
    if let Some((word, rest)) = text.split_once(':') {
        if word.eq_ignore_ascii_case("mailto") {
            let address = rest.split('?').next().unwrap_or(rest);
            return email(address).map(|o| done(o, label, vec!["prefix-removed"])).ok_or_else(|| bad_email(address));
        }
        if word.eq_ignore_ascii_case("data") {
            return Err(Misfit::new(
                "data-url",
                "A data: URL carries its content in itself and points to nothing that could be seen in traffic.",
            ));
        }
    }
    if let Some(address) = address(text, label)? {
        return Ok(address);
    }
    if text.contains('@') && (label == Label::Email || !text.contains('/')) {
        if let Some(observable) = email(text) {
            return found(observable, Vec::new());
        }
        return Err(bad_email(text));
    }
    if label == Label::Domain
        && let Some(bare) = text.strip_suffix('/')
        && !bare.contains('/')
    {
        return domain(bare, label);
    }
    if label == Label::Url || text.contains('/') {
        return schemeless(text, label);
    }
    domain(text, label)
}

/// The two usual kinds in their usual form, which no other kind has. What follows would say the same, later.
fn plain(text: &str, label: Label) -> Option<Observable> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(Observable::Ip(ip.into()));
    }
    let is_domain = label == Label::Domain
        && !name::is_single_label(text)
        && name::is_name(text)
        && codes::attack_id(text).is_none()
        && !wildcard::is_masked(text);
    is_domain.then(|| Observable::Domain(text.to_ascii_lowercase()))
}

/// White space, invisible characters and a pair of quotes around a value.
fn trim(value: &str) -> &str {
    // Most have nothing around them.
    if let [first, .., last] = value.as_bytes()
        && first.is_ascii_alphanumeric()
        && last.is_ascii_graphic()
    {
        return value;
    }
    let blank = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
    };
    let mut text = value.trim_matches(blank);
    for (open, close) in [('"', '"'), ('\'', '\''), ('`', '`'), ('<', '>'), ('\u{201c}', '\u{201d}')] {
        if let Some(inner) = text.strip_prefix(open).and_then(|t| t.strip_suffix(close))
            && !inner.contains([open, close])
        {
            text = inner.trim_matches(blank);
        }
    }
    text
}

fn hash(text: &str) -> Option<Observable> {
    Algorithm::read(text).map(|(algorithm, hex)| Observable::Hash(algorithm, hex))
}

/// An id of ATT&CK or ATLAS in a list of such ids, in any form a value may have.
pub fn listed_attack_id(text: &str) -> Option<codes::AttackId> {
    match attack(text.trim(), Label::Attack)?.observable {
        Observable::Attack(id) => Some(id),
        _ => None,
    }
}

/// An id of ATT&CK or ATLAS, with its name behind it where the label says what it is.
fn attack(text: &str, label: Label) -> Option<Classified> {
    let plain = |id: codes::AttackId| Classified { observable: Observable::Attack(id), port: None, notes: Vec::new() };
    if let Some(id) = codes::attack_id(text) {
        // `T1059` can be nothing else; `S0154` is a host's name where it is said to be one.
        let clear = matches!(id.kind, codes::AttackKind::Technique | codes::AttackKind::Tactic);
        return (clear || matches!(label, Label::Attack | Label::Other)).then(|| plain(id));
    }
    if label != Label::Attack {
        return None;
    }
    let bare = match text.rsplit_once("attack.mitre.org/") {
        Some((_, path)) => path.split_once('/').map_or(path, |(_, id)| id).trim_end_matches('/'),
        None => text.strip_prefix("attack.").unwrap_or(text),
    };
    if let Some(id) = codes::attack_id(bare) {
        return Some(plain(id));
    }
    // `T1059 - Command and Scripting Interpreter`.
    let (id, _) = text.split_once([' ', ':', '-', '|', '\u{2013}', '\u{2014}'])?;
    let id = codes::attack_id(id)?;
    Some(Classified { notes: vec!["name-removed"], ..plain(id) })
}

fn is_scheme(word: &str) -> bool {
    let mut bytes = word.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn url(text: &str, has_scheme: bool) -> Result<Classified, Misfit> {
    match Location::parse(text, has_scheme) {
        Ok(mut location) => {
            let notes = std::mem::take(&mut location.repairs);
            found(Observable::Url(Box::new(location)), notes)
        }
        Err(LocationError::Port) => Err(bad_port()),
        Err(LocationError::NoHost) => Err(Misfit::new("bad-url", "The URL names no host.")),
        Err(LocationError::Other(error)) => Err(Misfit::new("bad-url", format!("The value is no URL: {error}."))),
    }
}

fn bad_port() -> Misfit {
    Misfit::new("bad-port", "A port was expected behind the colon: a number from 1 to 65535.")
}

fn bad_email(text: &str) -> Misfit {
    let what = if text.contains('@') { "local-part@domain" } else { "an @" };
    Misfit::new("bad-email", format!("An e-mail address was expected, {what} with a valid domain."))
}

/// An address, a range, or an address with a port. `None` where the text is none of them and does not try to be.
fn address(text: &str, label: Label) -> Result<Option<Classified>, Misfit> {
    if let Some(ip) = parse_ip(text) {
        return found(Observable::Ip(ip), remarks(ip)).map(Some);
    }
    if let Some((start, prefix)) = text.split_once('/')
        && label != Label::Url
        && !prefix.contains(|c: char| c.is_ascii_alphabetic() || c == '/')
        && let Some(ip) = parse_ip(start)
    {
        return range(ip, prefix).map(Some);
    }
    if let Some((start, zone)) = text.split_once('%')
        && let Ok(ip) = start.trim_start_matches('[').parse::<Ipv6Addr>()
        && !zone.is_empty()
    {
        return found(Observable::Ip(ip.into()), vec!["zone-removed"]).map(Some);
    }
    if !text.contains('/')
        && let Some((start, port)) = text.rsplit_once([':', '|', ' '])
        && let Some(ip) = parse_ip(start.trim_end_matches(':'))
        && (ip.is_ipv4() || start.starts_with('['))
    {
        return with_port(Observable::Ip(ip), port, remarks(ip)).map(Some);
    }
    let dotted = text.split(['/', ':']).next().unwrap_or(text);
    // What is one already has a path behind it.
    let looks_like_ipv4 = dotted.contains('.')
        && dotted.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && !(text.contains('/') && parse_ip(dotted).is_some());
    let looks_like_ipv6 = text.matches(':').count() >= 2 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    if looks_like_ipv4 || looks_like_ipv6 {
        return Err(Misfit::new(
            "bad-ip",
            "The value looks like an IP address and is none: IPv4 has four numbers from 0 to 255 without leading \
             zeros, IPv6 up to eight groups of up to four hexadecimal digits.",
        ));
    }
    Ok(None)
}

/// What is to be said about an address. An IPv4 address inside an IPv6 one stays an IPv6 address, as it was written;
/// Elasticsearch finds it by either form.
fn remarks(ip: IpAddr) -> Vec<&'static str> {
    if ip.to_canonical() == ip { Vec::new() } else { vec!["ipv4-mapped"] }
}

fn range(ip: IpAddr, prefix: &str) -> Result<Classified, Misfit> {
    let cidr = prefix.parse::<u8>().ok().and_then(|prefix| Cidr::around(ip, prefix));
    let Some(cidr) = cidr else {
        return Err(Misfit::new(
            "bad-cidr",
            "A number of bits was expected behind the slash: 0 to 32 for IPv4, 0 to 128 for IPv6.",
        ));
    };
    let (first, last) = cidr.ends();
    let mut notes = remarks(ip);
    if first == last {
        return found(Observable::Ip(first), notes);
    }
    if first != ip {
        notes.push("host-bits-cleared");
    }
    found(Observable::Cidr(cidr), notes)
}

fn with_port(observable: Observable, port: &str, mut notes: Vec<&'static str>) -> Result<Classified, Misfit> {
    let number = port.trim().parse::<u16>().map_err(|_| bad_port())?;
    if number == 0 {
        notes.push("port-0-ignored");
    }
    let port = Some(number).filter(|port| *port != 0);
    Ok(Classified { observable, port, notes })
}

/// A mailbox. Its local part is atoms or quoted text, in any script.
fn email(text: &str) -> Option<Observable> {
    let text = match text.rsplit_once('<') {
        // `Some Name <user@example.com>`.
        Some((_, inner)) if inner.ends_with('>') => inner.trim_end_matches('>'),
        _ => text,
    };
    let (local, domain) = text.rsplit_once('@')?;
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let atoms = !local.is_empty()
        && !local.starts_with('.')
        && !local.ends_with('.')
        && local.chars().all(|c| {
            c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || (!c.is_ascii() && c.is_alphanumeric())
        });
    if !(quoted || atoms) || local.chars().any(char::is_control) {
        return None;
    }
    let domain = name::normalise(domain.trim())?;
    let mut address = local.to_lowercase();
    address.push('@');
    address.push_str(&domain);
    Some(Observable::Email(address))
}

/// A URL without its scheme, where there is a host before the path.
fn schemeless(text: &str, label: Label) -> Result<Classified, Misfit> {
    let authority = text.split(['/', '?', '#']).next().unwrap_or(text);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let plain =
        parse_ip(host).is_some() || name::normalise(host).is_some_and(|n| n.contains('.') || label == Label::Url);
    if plain {
        return url(text, false);
    }
    Err(misfit(label))
}

fn domain(text: &str, label: Label) -> Result<Classified, Misfit> {
    let mut notes = Vec::new();
    // `.example.com` is how lists write all that is below a name.
    let below = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
    let bare = below.unwrap_or(text);
    if text.starts_with('.') {
        notes.push("leading-dot");
    }
    let (bare, port) = match bare.rsplit_once([':', '|']) {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (bare, None),
    };
    let ascii = if bare.is_ascii() { Cow::Borrowed(bare) } else { other_script(bare, label)? };
    if let Cow::Owned(ascii) = &ascii
        && let Some(mut address) = address(ascii, label)?
    {
        // Full-width digits.
        address.notes.push("unicode-normalised");
        return Ok(address);
    }
    if label == Label::Other {
        // A file's name and a host's name look the same; without a claim it stays undecided.
        return Err(misfit(label));
    }
    match name::normalise(&ascii) {
        Some(found_name) if !name::is_single_label(&found_name) || label == Label::Domain => {
            let observable = if below.is_some() {
                Observable::Wildcard(format!("*.{found_name}"))
            } else {
                Observable::Domain(found_name)
            };
            match port {
                Some(port) => with_port(observable, port, notes),
                None => found(observable, notes),
            }
        }
        _ => Err(misfit(label)),
    }
}

fn other_script(text: &str, label: Label) -> Result<Cow<'_, str>, Misfit> {
    if text.contains('\u{2026}') {
        return Err(Misfit::new("cut-short", "The feed cut the value off, so that nothing can be compared with it."));
    }
    name::to_ascii(text).map(Cow::Owned).ok_or_else(|| misfit(label))
}

/// What was expected, by the label.
fn misfit(label: Label) -> Misfit {
    let (code, detail) = match label {
        Label::Ipv4 | Label::Ipv6 | Label::Ip => (
            "bad-ip",
            "An IP address was expected, such as 192.0.2.1 or 2001:db8::1, a range such as 192.0.2.0/24, or address:port.",
        ),
        Label::Domain => (
            "bad-domain",
            "A host name was expected: labels of 1 to 63 letters, digits, hyphens or underscores, 253 characters in all.",
        ),
        Label::Url => ("bad-url", "A URL was expected, such as http://host/path."),
        Label::Md5 => ("bad-hash", "An MD5 was expected: 32 hexadecimal digits."),
        Label::Sha1 => ("bad-hash", "A SHA-1 was expected: 40 hexadecimal digits."),
        Label::Sha256 => ("bad-hash", "A SHA-256 was expected: 64 hexadecimal digits."),
        Label::Sha512 => ("bad-hash", "A SHA-512 was expected: 128 hexadecimal digits."),
        Label::Hash => ("bad-hash", "A hash was expected: 32, 40, 64, 96 or 128 hexadecimal digits."),
        Label::Email => ("bad-email", "An e-mail address was expected, such as user@example.com."),
        Label::Cve => (
            "bad-cve",
            "A CVE id was expected: CVE, a year, and a number of four digits or more, such as CVE-2021-44228.",
        ),
        Label::Attack => (
            "bad-attack-id",
            "An id of ATT&CK or ATLAS was expected that ECS has a field for: a technique (T1059, T1059.001, AML.T0051), \
             a tactic (TA0011), a group (G0016) or software (S0154).",
        ),
        Label::Other => (
            "unknown-type",
            "The record's type is none this feed is known for, and its value is not by itself an address, URL, hash, \
             e-mail address, CVE or technique.",
        ),
    };
    Misfit::new(code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_padding_or_refused() {
        let values = ["8.8.8.8", "https://example.com/a", "CVE-2024-3094", "user@example.com"];
        for value in values.into_iter().map(str::to_owned).chain([format!("{:064x}", 7)]) {
            let plain = classify(&value, Label::Other).unwrap();
            for control in (0..=0x1f_u32).chain(0x7f..=0x9f).filter_map(char::from_u32) {
                let is_blank = control.is_whitespace();
                let is_sequence = control == '\u{1b}' || control >= '\u{80}' && !is_blank;
                for padded in
                    [format!("{control}{value}"), format!("{value}{control}"), format!("{control}\"{value}\"")]
                {
                    match classify(&padded, Label::Other) {
                        Err(misfit) => {
                            assert!(is_sequence && misfit.code == "bad-characters", "{padded:?}: {misfit:?}")
                        }
                        Ok(found) => {
                            assert!(!is_sequence && found.observable == plain.observable, "{padded:?}: {found:?}");
                            assert_eq!(found.notes.contains(&"control-characters-removed"), !is_blank, "{padded:?}");
                        }
                    }
                }
                let (before, after) = value.split_at(3);
                let inside = classify(&format!("{before}{control}{after}"), Label::Other);
                assert!(
                    is_blank || inside.is_err_and(|misfit| misfit.code == "bad-characters"),
                    "{control:?} in {value}"
                );
            }
            for sequence in ["\u{1b}[", "\u{1b}[31m", "\u{1b}]0;x\u{7}", "\u{9b}1m", "\u{1b}(B"] {
                let misfit = classify(&format!("{sequence}{value}"), Label::Other).unwrap_err();
                assert_eq!(misfit.code, "bad-characters", "{sequence:?}");
                assert!(!misfit.detail.chars().any(char::is_control), "{misfit:?}");
            }
        }
    }

    #[test]
    fn a_value_is_looked_at_up_to_its_longest_form() {
        let url = |bytes: usize| {
            let start = "http://a.example/";
            format!("{start}{}", "x".repeat(bytes - start.len()))
        };
        let found = classify(&url(MAX_VALUE_BYTES), Label::Url).unwrap();
        assert!(matches!(found.observable, Observable::Url(_)), "{:?}", found.notes);
        let misfit = classify(&url(MAX_VALUE_BYTES + 1), Label::Url).unwrap_err();
        assert_eq!(misfit.code, "too-long");
        assert!(misfit.detail.contains("32769 bytes"), "{}", misfit.detail);
    }
}
