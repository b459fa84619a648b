//! Takes back what people do to a value so that nobody clicks on it.
//!
//! Three steps: tokens such as `[.]`, `(dot)`, `[://]`, `[at]` and `\.` become what they stand for, everywhere (in
//! the path of a URL only those for dots, slashes and colons); a scheme such as `hxxps` becomes the real one; brackets
//! that are left over in the host, as in `example[.com`, are dropped, unless they hold an IPv6 address. Text without
//! any of that is given back as it came, at the cost of one look at its bytes.

use std::borrow::Cow;

use crate::location::scheme_end;
use crate::sixteen::{any, are, within};

/// The longest text between brackets that is looked at: ` dot ` with a space on either side, and room to spare.
const MAX_TOKEN: usize = 8;

pub(super) fn refang(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    // From an opening bracket to a closing one there is but a backslash.
    let are_marks = |some| within(some, b'[', b']') | are(some, b'(') | are(some, b'{') | are(some, b'<');
    if any(text.as_bytes(), are_marks) {
        if let Some(changed) = tokens(&text) {
            text = Cow::Owned(changed);
        }
        if let Some(changed) = host_brackets(&text) {
            text = Cow::Owned(changed);
        }
    }
    if let Some(changed) = scheme(&text) {
        text = Cow::Owned(changed);
    }
    if let Some(changed) = words(&text) {
        text = Cow::Owned(changed);
    }
    text
}

/// Tokens in brackets, and dots and colons behind a backslash.
fn tokens(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    let mut rest = text;
    // In a path or a query all of it may be what it looks like. Dots alone are meant there too, where the text before them
    // was defanged as well: whoever does that does it to all of a text.
    let mut slashes = 0_u32;
    let is_defanged = scheme(text).is_some();
    while let Some(at) = rest.find(['[', '(', '{', '<', '\\', '/']) {
        let (before, found) = rest.split_at_checked(at)?;
        out.push_str(before);
        let mut chars = found.chars();
        let open = chars.next()?;
        let after = chars.as_str();
        let in_path = slashes >= 3 || (slashes >= 1 && !text.contains("//"));
        let token = match open {
            '/' => None,
            _ if in_path && !(changed || is_defanged) => None,
            '\\' => after.strip_prefix('.').map(|rest| (".", rest)),
            _ => bracketed(open, after).filter(|(meaning, _)| !in_path || *meaning == "."),
        };
        match token {
            Some((meaning, next)) => {
                changed = true;
                // `user (at) example (dot) com`.
                let next = if in_path { next } else { next.trim_start_matches(' ') };
                if !in_path {
                    out.truncate(out.trim_end_matches(' ').len());
                }
                slashes = slashes.saturating_add(u32::try_from(meaning.matches('/').count()).unwrap_or(0));
                out.push_str(meaning);
                rest = next;
            }
            None => {
                slashes = slashes.saturating_add(u32::from(open == '/'));
                out.push(open);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// What a token in brackets stands for, and the text after it.
fn bracketed(open: char, after: &str) -> Option<(&'static str, &str)> {
    let close = match open {
        '[' => ']',
        '(' => ')',
        '{' => '}',
        _ => '>',
    };
    let end = after.bytes().take(MAX_TOKEN).position(|b| char::from(b) == close)?;
    let inside = after.get(..end)?.trim();
    let next = after.get(end.saturating_add(1)..)?;
    let meaning = match inside {
        "." => ".",
        ":" => ":",
        "://" => "://",
        "//" => "//",
        "/" => "/",
        "@" => "@",
        "-" => "-",
        "_" => "_",
        "," => ".",
        _ if inside.eq_ignore_ascii_case("dot") || inside.eq_ignore_ascii_case("punkt") => ".",
        _ if inside.eq_ignore_ascii_case("at") => "@",
        _ if inside.eq_ignore_ascii_case("colon") => ":",
        _ if inside.eq_ignore_ascii_case("slash") => "/",
        _ => return None,
    };
    Some((meaning, next))
}

/// Brackets left over in the host.
fn host_brackets(text: &str) -> Option<String> {
    let start = scheme_end(text).map_or(0, |at| at.saturating_add(3));
    let (scheme, rest) = text.split_at_checked(start)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end)?;
    let bracket = |c: char| matches!(c, '[' | ']' | '(' | ')' | '{' | '}' | '<' | '>');
    let ipv6 = host.contains('[') && host.contains(']') && host.matches(':').count() >= 2;
    if ipv6 || !host.contains(bracket) || host.contains([' ', '"']) {
        return None;
    }
    // In the middle of a word, as in `example[point]com`, they stand for something that is not known here.
    let edge = |c: Option<char>| c.is_none_or(|c| matches!(c, '.' | ':') || bracket(c));
    let touches = host.char_indices().filter(|(_, c)| bracket(*c)).any(|(at, c)| {
        let (before, after) = (host.get(..at), host.get(at.saturating_add(c.len_utf8())..));
        edge(before.and_then(|t| t.chars().next_back())) || edge(after.and_then(|t| t.chars().next()))
    });
    if !touches {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    out.push_str(scheme);
    out.extend(host.chars().filter(|c| !bracket(*c)));
    out.push_str(path);
    Some(out)
}

/// A scheme nobody can click on, or with its separator broken.
fn scheme(text: &str) -> Option<String> {
    let end = text.bytes().take(9).position(|b| matches!(b, b':' | b';' | b'/'))?;
    let (word, rest) = text.split_at_checked(end)?;
    let plain = ["http", "https", "ftp"].into_iter().find(|plain| word.eq_ignore_ascii_case(plain));
    let real = real_scheme(word).or(plain)?;
    let broken = [":\\\\", ":\\/\\/", ":/\\/", "::/", ";//", ":/", "//"];
    let behind = match rest.strip_prefix("://") {
        Some(behind) if real_scheme(word).is_some() || behind.starts_with(' ') => behind,
        Some(_) => return None,
        None => broken.iter().find_map(|separator| rest.strip_prefix(separator))?,
    };
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push_str(real);
    out.push_str("://");
    out.push_str(behind.trim_start_matches([' ', '/']));
    Some(out)
}

fn real_scheme(word: &str) -> Option<&'static str> {
    if matches!(word, "http" | "https") {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    Some(match lower.as_str() {
        "hxxp" | "hxtp" | "htxp" | "hxp" | "httx" | "hzzp" | "h**p" | "h__p" | "hppt" | "htpp" | "htt" | "ttp"
        | "meow" | "xxxp" | "hxxx" | "xttp" | "h--p" => "http",
        "hxxps" | "hxtps" | "htxps" | "hxps" | "httxs" | "hzzps" | "h**ps" | "h__ps" | "hppts" | "htpps" | "ttps"
        | "meows" | "xxxps" | "hxxxs" | "xttps" | "h--ps" => "https",
        "fxp" | "f*p" | "fxxp" => "ftp",
        "fxps" | "f*ps" => "ftps",
        _ => return None,
    })
}

/// `user at example dot com`.
fn words(text: &str) -> Option<String> {
    if !text.contains(' ') || text.contains(['/', ':', '"']) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    for part in text.split(' ').filter(|p| !p.is_empty()) {
        if part.eq_ignore_ascii_case("dot") {
            out.push('.');
            changed = true;
        } else if part.eq_ignore_ascii_case("at") {
            out.push('@');
            changed = true;
        } else {
            if !out.is_empty() && !out.ends_with(['.', '@']) {
                // Two words side by side: this is a sentence.
                return None;
            }
            out.push_str(part);
        }
    }
    (changed && out.contains('.')).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defanged_values_come_back() {
        for (given, meant) in [
            ("192[.]0[.]2[.]1", "192.0.2.1"),
            ("192(.)0{.}2<.>1", "192.0.2.1"),
            ("example[dot]com", "example.com"),
            ("example(DOT)com", "example.com"),
            ("example[ . ]com", "example.com"),
            ("example\\.com", "example.com"),
            ("example[.com", "example.com"),
            ("example.]com", "example.com"),
            ("[www].example.com", "www.example.com"),
            ("hxxp://example[.]com/a", "http://example.com/a"),
            ("hXXps[:]//example[.]com", "https://example.com"),
            ("hxxp[://]example[.]com", "http://example.com"),
            ("h**p://example.com", "http://example.com"),
            ("meow://example.com", "http://example.com"),
            ("fxp://example.com", "ftp://example.com"),
            ("hxxp:\\\\example.com\\a", "http://example.com\\a"),
            ("http://example[.com/", "http://example.com/"),
            ("http://example[.]com[/]test", "http://example.com/test"),
            ("user[at]example[.]com", "user@example.com"),
            ("user(at)example(dot)com", "user@example.com"),
            ("user[@]example.com", "user@example.com"),
            ("user AT example DOT com", "user@example.com"),
            ("2001[:]db8[:][:]1", "2001:db8::1"),
            ("user (at) example [dot] com", "user@example.com"),
            ("example.co[m]", "example.com"),
            ("http:/example.com/a", "http://example.com/a"),
            ("http//example.com/a", "http://example.com/a"),
            ("hxxp;//example.com", "http://example.com"),
            ("http:://example.com", "http://example.com"),
            ("http:// example.com", "http://example.com"),
            ("hxxps:\\/\\/example.com/a", "https://example.com/a"),
            ("hxxp://example.com/a[.]php", "http://example.com/a.php"),
            ("http://example[.]com/a[.]php?b=c[.]d", "http://example.com/a.php?b=c.d"),
            ("http://example[.]com/a[at]b[/]c[:]d[-]e", "http://example.com/a[at]b[/]c[:]d[-]e"),
        ] {
            assert_eq!(refang(given), meant, "{given}");
        }
    }

    #[test]
    fn a_token_is_looked_for_up_to_its_length() {
        for (spaces, is_token) in [(MAX_TOKEN - 4, true), (MAX_TOKEN - 3, false)] {
            let given = format!("example[{}dot]com", " ".repeat(spaces));
            assert_eq!(refang(&given) == "example.com", is_token, "{given}");
        }
    }

    #[test]
    fn what_only_looks_defanged_stays() {
        for text in [
            "http://[2001:db8::1]:80/a",
            "[2001:db8::1]:443",
            "http://example.com/a[at]b(1)?q=[x]",
            "http://example.com/(0101)[blog]",
            "http://example.com/a[.]b",
            "https://example.com/?q=a(dot)b&r=[.]",
            "http://example.com/a\\.b",
            "example.com/a[.]b",
            "\"quoted local\"@example.com",
            "look at this",
            "CVE 2021 44228",
            "smb://198.51.100.1/a",
            "example[point]com",
            "a(comment)@example.com",
            "example(com",
            "ftp/a",
        ] {
            assert!(matches!(refang(text), Cow::Borrowed(_)), "{text}");
            assert_eq!(refang(text), text);
        }
    }
}
