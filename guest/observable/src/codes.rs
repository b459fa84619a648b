//! Hashes, CVE ids and the ids of MITRE's frameworks.

use crate::sixteen::{Sixteen, any, within};

/// A hash's algorithm, by its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 32 digits.
    Md5,
    /// 40 digits.
    Sha1,
    /// 64 digits.
    Sha256,
    /// 96 digits.
    Sha384,
    /// 128 digits.
    Sha512,
}

impl Algorithm {
    /// Checks a hash, wherever it comes from: its length tells the algorithm, whatever it is said to be, and each digit is a
    /// hexadecimal one. Gives it in lower case.
    pub fn read(text: &str) -> Option<(Self, String)> {
        let algorithm = match text.len() {
            32 => Self::Md5,
            40 => Self::Sha1,
            64 => Self::Sha256,
            96 => Self::Sha384,
            128 => Self::Sha512,
            _ => return None,
        };
        let in_lower_case = Sixteen::splat(0x20);
        let are_digits = |some| within(some, b'0', b'9') | within(some | in_lower_case, b'a', b'f');
        let all_hex = !any(text.as_bytes(), |some| !are_digits(some));
        all_hex.then(|| (algorithm, text.to_ascii_lowercase()))
    }

    /// The same behind the name of an algorithm: `sha256:…`, `MD5=…`, `{SHA}…`, `0x…`.
    pub fn read_named(text: &str) -> Option<(Self, String)> {
        const NAMES: [&str; 10] =
            ["md5", "sha", "sha1", "sha-1", "sha256", "sha-256", "sha384", "sha-384", "sha512", "sha-512"];
        let text = text.trim();
        let (name, rest) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(rest) => return Self::read(rest),
            None => {
                text.strip_prefix('{').and_then(|text| text.split_once('}')).or_else(|| text.split_once([':', '=']))?
            }
        };
        let read = Self::read(rest.trim())?;
        let name = name.trim().replace('_', "-");
        NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)).then_some(read)
    }

    /// Its name without a hyphen: `SHA256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }

    /// The last part of its ECS field: `sha256`.
    pub fn field(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of such a field.
    pub fn of_field(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512].into_iter().find(|one| one.field() == name)
    }
}

/// A CVE id in any of the ways people write it, as `CVE-2021-44228`: any case, and hyphens, dashes, underscores,
/// spaces or nothing but a colon between its parts. The number has four digits or more.
pub fn cve(text: &str) -> Option<String> {
    let rest = text.get(..3).filter(|t| t.eq_ignore_ascii_case("cve")).and_then(|_| text.get(3..))?;
    let rest = rest.trim_start_matches(|c| c == ':' || between(c));
    let (year, rest) = rest.split_at_checked(4)?;
    let number = rest.trim_start_matches(between);
    let good = number.len() < rest.len()
        && year.bytes().all(|b| b.is_ascii_digit())
        && (4..=19).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit());
    good.then(|| ["CVE-", year, "-", number].concat())
}

/// Hyphens and dashes of all kinds, underscores and spaces.
fn between(c: char) -> bool {
    matches!(c, '-' | '_' | ' ' | '\u{ad}' | '\u{a0}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}')
}

/// Whose id it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Framework {
    /// MITRE ATLAS, about machine learning.
    Atlas,
    /// MITRE ATT&CK.
    Attack,
}

impl Framework {
    /// `threat.framework`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Atlas => "MITRE ATLAS",
            Self::Attack => "MITRE ATT&CK",
        }
    }
}

/// What an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttackKind {
    /// `TA0011`.
    Tactic,
    /// `T1059`, `T1059.001`.
    Technique,
    /// `G0016`.
    Group,
    /// `S0154`.
    Software,
}

/// An id of one of MITRE's frameworks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttackId {
    /// Whose.
    pub framework: Framework,
    /// What for.
    pub kind: AttackKind,
    /// The whole id in upper case: `T1059.001`, `AML.T0051`.
    pub id: String,
    /// Whether `id` is a sub-technique.
    pub sub: bool,
}

impl AttackId {
    /// The id without the sub-technique's number.
    pub fn parent(&self) -> &str {
        if self.sub { self.id.rsplit_once('.').map_or(self.id.as_str(), |(parent, _)| parent) } else { &self.id }
    }

    /// Writes the page that explains `id`, or its parent.
    pub fn write_reference(&self, parent: bool, out: &mut String) {
        out.push_str(match self.framework {
            Framework::Attack => "https://attack.mitre.org/",
            Framework::Atlas => "https://atlas.mitre.org/",
        });
        out.push_str(match self.kind {
            AttackKind::Tactic => "tactics/",
            AttackKind::Technique => "techniques/",
            AttackKind::Group => "groups/",
            AttackKind::Software => "software/",
        });
        let id = if parent { self.parent() } else { &self.id };
        match self.framework {
            // ATLAS keeps the dots of its ids.
            Framework::Atlas => out.push_str(id),
            Framework::Attack => {
                for (index, part) in id.split('.').enumerate() {
                    if index > 0 {
                        out.push('/');
                    }
                    out.push_str(part);
                }
                out.push('/');
            }
        }
    }
}

/// An id of ATT&CK or ATLAS and nothing else, in any case, its sub-technique after a dot or a slash. Mitigations, data
/// sources and campaigns are none: ECS has no field for them.
pub fn attack_id(text: &str) -> Option<AttackId> {
    // The longest is `AML.TA0000.000`.
    if text.len() > 14 || text.len() < 5 || !text.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (framework, rest) = match text.get(..4) {
        Some(start) if start.eq_ignore_ascii_case("AML.") => (Framework::Atlas, text.get(4..)?),
        _ => (Framework::Attack, text),
    };
    let letters = rest.find(|c: char| c.is_ascii_digit())?;
    let (letters, rest) = rest.split_at_checked(letters)?;
    let (number, sub) = match rest.split_once(['.', '/']) {
        Some((number, sub)) => (number, Some(sub)),
        None => (rest, None),
    };
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(number, 4) || sub.is_some_and(|sub| !digits(sub, 3)) {
        return None;
    }
    let kind = match letters {
        "T" | "t" => AttackKind::Technique,
        _ if letters.eq_ignore_ascii_case("TA") => AttackKind::Tactic,
        "G" | "g" if framework == Framework::Attack => AttackKind::Group,
        "S" | "s" if framework == Framework::Attack => AttackKind::Software,
        _ => return None,
    };
    if sub.is_some() && kind != AttackKind::Technique {
        return None;
    }
    let mut id = String::with_capacity(text.len());
    for c in text.chars() {
        id.push(if c == '/' { '.' } else { c.to_ascii_uppercase() });
    }
    Some(AttackId { framework, kind, id, sub: sub.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_ids() {
        for text in [
            "CVE-2021-44228",
            "cve-2021-44228",
            "CVE\u{2011}2021\u{2011}44228",
            "CVE 2021 44228",
            "CVE_2021_44228",
            "CVE:2021-44228",
            "CVE2021-44228",
        ] {
            assert_eq!(cve(text).as_deref(), Some("CVE-2021-44228"), "{text}");
        }
        for bad in ["CVE-2021-442", "CVE-202144228", "2021-44228", "CVE-2021-44228x", "cv\u{e9}-2021-1"] {
            assert_eq!(cve(bad), None, "{bad}");
        }
    }

    #[test]
    fn attack_ids_and_their_pages() {
        for (text, id, parent, page) in [
            ("T1059", "T1059", "T1059", "https://attack.mitre.org/techniques/T1059/"),
            ("t1059.001", "T1059.001", "T1059", "https://attack.mitre.org/techniques/T1059/001/"),
            ("T1059/001", "T1059.001", "T1059", "https://attack.mitre.org/techniques/T1059/001/"),
            ("TA0011", "TA0011", "TA0011", "https://attack.mitre.org/tactics/TA0011/"),
            ("AML.T0051", "AML.T0051", "AML.T0051", "https://atlas.mitre.org/techniques/AML.T0051"),
            ("aml.t0051.000", "AML.T0051.000", "AML.T0051", "https://atlas.mitre.org/techniques/AML.T0051.000"),
            ("S0154", "S0154", "S0154", "https://attack.mitre.org/software/S0154/"),
            ("G0016", "G0016", "G0016", "https://attack.mitre.org/groups/G0016/"),
        ] {
            let found = attack_id(text).unwrap();
            let mut reference = String::new();
            found.write_reference(false, &mut reference);
            assert_eq!((found.id.as_str(), found.parent(), reference.as_str()), (id, parent, page));
        }
        for bad in [
            "T105",
            "T10590",
            "T1059.01",
            "TA0011.001",
            "M1036",
            "DS0001",
            "AML.M0001",
            "X1059",
            "1059",
            "",
            "T\u{e9}1059",
        ] {
            assert_eq!(attack_id(bad), None, "{bad}");
        }
    }
}
