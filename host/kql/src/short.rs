//! Short names for what is asked most, and the words their values are known by.

/// A short name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    Value,
    Type,
    /// Its values have an order.
    Ranked(&'static str, &'static [(&'static str, u8)]),
    /// Another name of one field or of several.
    Name(&'static [&'static str]),
}

/// What stands for it, from the least on.
const CONFIDENCE: &[(&str, u8)] = &[("None", 0), ("Low", 1), ("Medium", 2), ("High", 3)];

/// WHITE is CLEAR's name before TLP 2.0.
const TLP: &[(&str, u8)] = &[("CLEAR", 0), ("WHITE", 0), ("GREEN", 1), ("AMBER", 2), ("AMBER+STRICT", 3), ("RED", 4)];

/// Also a value of the field, but neither more nor less than others.
pub(crate) const UNRANKED: &str = "Not Specified";

/// `threat.indicator.name`.
pub(crate) const VALUE: &str = "threat.indicator.name";

/// `threat.indicator.type`.
pub(crate) const TYPE: &str = "threat.indicator.type";

/// `threat.indicator.ip`.
pub(crate) const ADDRESS: &str = "threat.indicator.ip";

const SHORT: [(&str, Short); 12] = [
    ("value", Short::Value),
    ("type", Short::Type),
    ("feed", Short::Name(&["threat.feed.name"])),
    ("provider", Short::Name(&["threat.indicator.provider"])),
    ("confidence", Short::Ranked("threat.indicator.confidence", CONFIDENCE)),
    ("tlp", Short::Ranked("threat.indicator.marking.tlp", TLP)),
    ("tag", Short::Name(&["tags"])),
    ("software", Short::Name(&["threat.software.name", "threat.software.alias"])),
    ("actor", Short::Name(&["threat.group.name", "threat.group.alias"])),
    ("first_seen", Short::Name(&["threat.indicator.first_seen"])),
    ("last_seen", Short::Name(&["threat.indicator.last_seen"])),
    ("ends", Short::Name(&["tipline.expires_at"])),
];

impl Short {
    pub(crate) fn of(name: &str) -> Option<Self> {
        SHORT.iter().find(|(short, _)| *short == name).map(|(_, meant)| *meant)
    }

    /// The fields it stands for.
    pub(crate) fn full(&self) -> Vec<&'static str> {
        match self {
            Self::Value => vec![VALUE],
            Self::Type => vec![TYPE],
            Self::Ranked(field, _) => vec![*field],
            Self::Name(fields) => fields.to_vec(),
        }
    }
}

/// The full names that a name stands for: those of a short one, or itself.
pub fn full_names(name: &str) -> Vec<&str> {
    Short::of(name).map_or_else(|| vec![name], |short| short.full())
}

/// Every short name.
pub(crate) fn names<'a>() -> impl Iterator<Item = &'a str> {
    SHORT.iter().map(|(name, _)| *name)
}

/// What the words mean that people use for types and ECS does not, as queries.
const TYPES: [(&str, &str); 28] = [
    ("ip", "threat.indicator.type: (\"ipv4-addr\" or \"ipv6-addr\")"),
    ("ipv4", "threat.indicator.type: \"ipv4-addr\""),
    ("ipv6", "threat.indicator.type: \"ipv6-addr\""),
    ("domain", "threat.indicator.type: \"domain-name\""),
    ("hostname", "threat.indicator.type: \"domain-name\""),
    ("email", "threat.indicator.type: \"email-addr\""),
    ("registry", "threat.indicator.type: \"windows-registry-key\""),
    ("certificate", "threat.indicator.type: \"x509-certificate\""),
    ("mac", "threat.indicator.type: \"mac-addr\""),
    ("asn", "threat.indicator.type: \"autonomous-system\""),
    ("hash", "threat.indicator.file.hash.*: * or threat.indicator.file.*.*hash: *"),
    ("md5", "threat.indicator.file.hash.md5: *"),
    ("sha1", "threat.indicator.file.hash.sha1: *"),
    ("sha-1", "threat.indicator.file.hash.sha1: *"),
    ("sha256", "threat.indicator.file.hash.sha256: *"),
    ("sha-256", "threat.indicator.file.hash.sha256: *"),
    ("sha384", "threat.indicator.file.hash.sha384: *"),
    ("sha-384", "threat.indicator.file.hash.sha384: *"),
    ("sha512", "threat.indicator.file.hash.sha512: *"),
    ("sha-512", "threat.indicator.file.hash.sha512: *"),
    ("ssdeep", "threat.indicator.file.hash.ssdeep: *"),
    ("tlsh", "threat.indicator.file.hash.tlsh: *"),
    ("imphash", "threat.indicator.file.pe.imphash: *"),
    ("pehash", "threat.indicator.file.pe.pehash: *"),
    ("telfhash", "threat.indicator.file.elf.telfhash: *"),
    ("vulnerability", VULNERABILITY),
    ("cve", VULNERABILITY),
    ("technique", TECHNIQUE),
];

const VULNERABILITY: &str = "event.category: \"vulnerability\" and not threat.indicator.type: *";

const TECHNIQUE: &str =
    "(threat.technique.id: * or threat.tactic.id: *) and not threat.indicator.type: * and not event.category: *";

/// The query that a word for a type means, if ECS has another one.
pub(crate) fn type_word(word: &str) -> Option<&'static str> {
    let word = match word {
        "attack" | "mitre-attack" | "mitre_attack" => "technique",
        word => word,
    };
    TYPES.iter().find(|(known, _)| *known == word).map(|(_, meant)| *meant)
}
