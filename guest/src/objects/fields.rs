//! The field or fields of a property's value, each in the form that events have it in.

use tipline_ecs::Fact;
use tipline_ecs::time::{rfc3339, told};
use tipline_stix::pattern::Literal;

use super::home::Home;

/// The longest text that becomes a field. A keyword holds 32,766 bytes; nothing an analyst compares comes near this.
pub(crate) const MAX_TEXT: usize = 8 * 1024;

/// Adds the field or fields of a value. False where the value cannot stand in its field.
pub(crate) fn add(home: Home, literal: &Literal<'_>, facts: &mut Vec<Fact>) -> bool {
    let value = literal.value();
    let text = value.trim();
    if text.is_empty() || text.len() > MAX_TEXT {
        return false;
    }
    let mut put = |field, text: String| facts.push(Fact { field, text });
    match home {
        Home::RegistryKey => {
            let key = text.trim_matches('\\');
            let (hive, rest) = key.split_once('\\').unwrap_or((key, ""));
            match short_hive(hive) {
                Some(hive) => {
                    put("threat.indicator.registry.hive", hive.to_owned());
                    if !rest.is_empty() {
                        put("threat.indicator.registry.key", rest.to_owned());
                    }
                }
                None => put("threat.indicator.registry.key", key.to_owned()),
            }
        }
        Home::Distinguished(parts, whole) => {
            put(whole, text.to_owned());
            for part in parts_of(text) {
                if let Some((name, value)) = part.split_once('=')
                    && let Some((_, field)) = parts.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()))
                    && !value.trim().is_empty()
                {
                    put(field, value.trim().to_owned());
                }
            }
        }
        Home::Field(field) => match field {
            "threat.indicator.file.size" | "threat.indicator.as.number" => {
                // What Elasticsearch's `long` holds, written without a sign or leading zeros.
                match whole(without_as(text)).parse::<u64>() {
                    Ok(number) if number <= i64::MAX as u64 => put(field, number.to_string()),
                    _ => return false,
                }
            }
            "threat.indicator.x509.not_before" | "threat.indicator.x509.not_after" => match told::parse(text) {
                Some(time) => put(field, rfc3339(time.at)),
                None => return false,
            },
            // ECS has them in upper case without colons.
            "threat.indicator.x509.serial_number" => {
                put(field, text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_uppercase()).collect());
            }
            // Many write a whole path where the name belongs.
            "threat.indicator.file.name" => match text.rsplit_once(['/', '\\']) {
                Some((folder, name)) if !folder.is_empty() && !name.is_empty() => {
                    put("threat.indicator.file.path", text.to_owned());
                    put(field, name.to_owned());
                }
                _ => put(field, text.to_owned()),
            },
            "socdefenders.ioc.mac" => match mac(text) {
                Some(mac) => put(field, mac),
                None => return false,
            },
            field => put(field, text.to_owned()),
        },
        Home::Value(_) | Home::Recipient | Home::Hint | Home::Port | Home::Detail | Home::Hash | Home::None => {
            return false;
        }
    }
    true
}

/// A number without the zeros behind its point: `443.0` is a whole one to most who write it.
pub(crate) fn whole(text: &str) -> &str {
    let text = text.trim();
    text.split_once('.').filter(|(_, part)| part.bytes().all(|b| b == b'0')).map_or(text, |(whole, _)| whole)
}

/// A MAC address as ECS has it: pairs of digits in upper case with hyphens between (RFC 7042), however it is written:
/// `0a:1b:…`, `0A-1B-…`, `0a1b.2c3d.4e5f` as Cisco does, or without anything between. `None` where it is none, of 48 bits or of 64.
fn mac(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split([':', '-', '.', ' ']).collect();
    let length = parts.first()?.len();
    // One digit may stand for two where there are colons: `0:1b:…`.
    let is_even = parts.iter().all(|part| part.len() == length) && matches!(length, 2 | 4 | 12 | 16);
    let is_short = matches!(parts.len(), 6 | 8) && parts.iter().all(|part| matches!(part.len(), 1 | 2));
    if !(is_even || is_short) {
        return None;
    }
    let digits: String = parts.iter().map(|part| format!("{part:0>2}")).collect();
    let digits = digits.to_ascii_uppercase();
    let pairs: Option<Vec<&str>> = (0..digits.len()).step_by(2).map(|at| digits.get(at..at.checked_add(2)?)).collect();
    let is_mac = matches!(digits.len(), 12 | 16) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    pairs.filter(|_| is_mac).map(|pairs| pairs.join("-"))
}

/// `AS64501`, `as 64501` and `ASN64501` without the letters.
fn without_as(text: &str) -> &str {
    let is_as = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("as"));
    let rest = if is_as { text.get(2..).unwrap_or_default() } else { return text };
    rest.strip_prefix(['n', 'N']).unwrap_or(rest).trim_start()
}

/// The parts of a distinguished name; a comma behind a backslash belongs to its part.
fn parts_of(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let ends = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
}

/// A hive as Elastic Defend writes it.
fn short_hive(name: &str) -> Option<&'static str> {
    [
        ("HKEY_LOCAL_MACHINE", "HKLM"),
        ("HKEY_CURRENT_USER", "HKCU"),
        ("HKEY_CLASSES_ROOT", "HKCR"),
        ("HKEY_USERS", "HKU"),
        ("HKEY_CURRENT_CONFIG", "HKCC"),
    ]
    .iter()
    .find(|(long, short)| name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short))
    .map(|(_, short)| *short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_has_one_form() {
        for (text, expected) in [
            ("00:11:22:aa:bb:cc", Some("00-11-22-AA-BB-CC")),
            ("00-11-22-aa-bb-cc", Some("00-11-22-AA-BB-CC")),
            ("0011.22aa.bbcc", Some("00-11-22-AA-BB-CC")),
            ("001122AABBCC", Some("00-11-22-AA-BB-CC")),
            ("0:11:22:a:bb:cc", Some("00-11-22-0A-BB-CC")),
            ("00:11:22:aa:bb:cc:dd:ee", Some("00-11-22-AA-BB-CC-DD-EE")),
            ("0011.22aa", None),
            ("00:11:22:aa:bb", None),
            ("00:11:22:aa:bb:zz", None),
            ("00-11-22-*", None),
            ("\u{fc}0:11:22:aa:bb:cc", None),
            ("none", None),
        ] {
            assert_eq!(mac(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn whole_numbers_may_have_a_point() {
        for (text, expected) in
            [("443.0", "443"), ("443", "443"), (" 443.00 ", "443"), ("443.5", "443.5"), ("a.0", "a")]
        {
            assert_eq!(whole(text), expected);
        }
    }
}
