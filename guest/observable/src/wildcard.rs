//! What stands for many values, and so for none that is seen.
//!
//! Names, URLs and mailboxes with an asterisk are [`Observable::Wildcard`]. Whatever else has one, an address or a piece of a
//! name, is no value at all, and the reason says so.

use crate::location::{Location, scheme_end};
use crate::misfit::Misfit;
use crate::sixteen::{any, are};
use crate::{Label, Observable, name};

/// The code of a value that is none because of its wildcard.
pub const WILD: &str = "wildcard";

/// Why a text that is no value is none, where a wildcard stands in it.
pub(super) fn misfit(text: &str) -> Option<Misfit> {
    text.contains('*').then(refusal)
}

fn refusal() -> Misfit {
    Misfit::new(
        WILD,
        "The value has a wildcard, so that it stands for many and equals none that is seen. What is read are all names below \
         a name, such as *.example.com, and ranges of addresses, such as 192.0.2.0/24.",
    )
}

/// An asterisk in a host's name, at the beginning or at the end of a step of a path, stands for others: nothing that is seen
/// has it. So does a dot before a name. What is no name, URL or mailbox without them is none with them.
///
/// # Errors
/// An address with letters in the place of numbers: `198.51.100.x` would pass for a name.
pub(super) fn read(text: &str, label: Label) -> Result<Option<Observable>, Misfit> {
    let is_asterisk_or_x = |some| are(some, b'*') | are(some, b'x') | are(some, b'X');
    if !any(text.as_bytes(), is_asterisk_or_x) && !text.split('/').any(|step| step.starts_with('.')) {
        return Ok(None);
    }
    let start = scheme_end(text).map_or(0, |at| at.saturating_add(3));
    let Some((scheme, rest)) = text.split_at_checked(start) else { return Ok(None) };
    let Some((host, path)) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())) else {
        return Ok(None);
    };
    if is_masked(host) {
        return Err(refusal());
    }
    if let Some(bare) = host.strip_prefix('.')
        && (start > 0 || !path.is_empty())
        && name::normalise(bare).is_some()
    {
        return Ok(Some(Observable::Wildcard(format!("{scheme}*{rest}"))));
    }
    if !text.contains('*') || is_address(host) {
        return Ok(None);
    }
    let steps = path.split(['?', '#']).next().unwrap_or_default().split('/');
    let is_step = steps.into_iter().any(|step| step.starts_with('*') || step.ends_with('*'));
    // `*.example.com` has a form of its own.
    let is_below = text.strip_prefix("*.").is_some_and(|below| !below.contains('*'));
    let says_something = host.contains(is_sign) || start > 0 && path.contains(is_sign);
    // A mailbox may have one in its name.
    let in_host = host
        .split_once('@')
        .map_or(host.contains('*'), |(local, domain)| local.starts_with('*') || domain.contains('*'));
    let is_meant = says_something && ((in_host && !is_below) || is_step || (is_below && !path.is_empty()));
    // Any letter in the place of each.
    let plain = |text: &str| text.replace('*', "a");
    let name = |text: &str| name::normalise(&plain(text)).is_some_and(|name| name.contains('.'));
    let is_known = match host.rsplit_once('@') {
        Some((local, domain)) if start == 0 && path.is_empty() => !local.is_empty() && name(domain),
        _ if start == 0 && path.is_empty() => label == Label::Domain && name(host),
        _ if start == 0 && label != Label::Url => name(host),
        _ => Location::parse(&plain(text), start > 0).is_ok(),
    };
    // A path is another one in another case.
    let whole = || if text.contains('/') { text.to_owned() } else { text.to_lowercase() };
    Ok((is_meant && is_known).then(|| Observable::Wildcard(whole())))
}

fn is_sign(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// `198.51.100.*`: numbers and asterisks, which is no name of a host.
fn is_address(host: &str) -> bool {
    let is_place = |label: &str| label == "*" || (!label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()));
    host.split('.').all(is_place) && host.contains(is_sign)
}

/// `198.51.100.x`, `198.51.xxx.xxx`: four places of an address of which the last are not told.
pub(super) fn is_masked(host: &str) -> bool {
    let told = |label: &&str| (1..=3).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_digit());
    let masked = |label: &&str| (1..=3).contains(&label.len()) && label.bytes().all(|b| b.eq_ignore_ascii_case(&b'x'));
    let mut labels = host.split('.');
    let numbers = labels.by_ref().take_while(told).count();
    let last = host.split('.').skip(numbers);
    (1..4).contains(&numbers) && last.clone().all(|label| masked(&label)) && numbers.saturating_add(last.count()) == 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify;

    /// A value, its label, and the wildcard it is; none for what is a value or nothing.
    #[test]
    fn what_stands_for_many_is_no_value() {
        for (value, label, pattern) in [
            ("*.example.com", Label::Domain, Some("*.example.com")),
            ("*.EXAMPLE.com", Label::Domain, Some("*.example.com")),
            ("*example.com", Label::Domain, Some("*example.com")),
            ("evil*.example.com", Label::Domain, Some("evil*.example.com")),
            ("a.*.example.com", Label::Domain, Some("a.*.example.com")),
            ("https://*.evil.example.com/", Label::Url, Some("https://*.evil.example.com/")),
            ("hxxps://*[.]evil[.]example[.]com/A", Label::Url, Some("https://*.evil.example.com/A")),
            ("*.example.com/login", Label::Url, Some("*.example.com/login")),
            ("http://example.com/*", Label::Url, Some("http://example.com/*")),
            ("http://example.com/a/*.jpeg", Label::Url, Some("http://example.com/a/*.jpeg")),
            ("*@example.com", Label::Email, Some("*@example.com")),
            (".example.com", Label::Domain, Some("*.example.com")),
            (".Example.com", Label::Other, None),
            (".example.com/login", Label::Url, Some("*.example.com/login")),
            ("http://.example.com/A", Label::Url, Some("http://*.example.com/A")),
            ("https://*/a.exe", Label::Url, Some("https://*/a.exe")),
            ("http://example.com/a/*", Label::Url, Some("http://example.com/a/*")),
            ("http://example.com/gate*", Label::Url, Some("http://example.com/gate*")),
            ("http://example.com/a*b", Label::Url, None),
            ("http://example.com/?q=*", Label::Url, None),
            ("h**p://example.com/", Label::Url, None),
            ("a*b@example.com", Label::Email, None),
            ("***", Label::Domain, None),
            ("*", Label::Domain, None),
            ("*.*", Label::Domain, None),
        ] {
            let found = classify(value, label).ok().map(|found| found.observable);
            let said = match &found {
                Some(Observable::Wildcard(text)) => Some(text.as_str()),
                _ => None,
            };
            assert_eq!(said, pattern, "{value}: {found:?}");
        }
    }

    #[test]
    fn what_has_a_wildcard_and_is_no_name_is_refused_for_it() {
        for (value, label, code) in [
            ("198.51.100.*", Label::Ipv4, WILD),
            ("198.51.100.*", Label::Domain, WILD),
            ("198.51.100.*", Label::Other, WILD),
            ("198.51.*.*", Label::Ip, WILD),
            ("198.51.100.x", Label::Domain, WILD),
            ("198.51.xxx.XXX", Label::Ipv4, WILD),
            ("http://198.51.100.x/a", Label::Url, WILD),
            ("*evil*", Label::Domain, WILD),
            ("*evil*", Label::Url, WILD),
            ("*evil*", Label::Other, WILD),
            ("*", Label::Ipv4, WILD),
            ("2001:db8::*", Label::Ipv6, WILD),
            ("0123456789abcdef*", Label::Md5, WILD),
            ("evil", Label::Ipv4, "bad-ip"),
        ] {
            assert_eq!(classify(value, label).unwrap_err().code, code, "{value}");
        }
        for value in ["1.2.3.example", "x.example", "1.2.x.example.com", "xxx.example.xxx"] {
            assert!(matches!(classify(value, Label::Domain).unwrap().observable, Observable::Domain(_)), "{value}");
        }
    }
}
