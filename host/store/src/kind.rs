//! What people look for by kind: a type of ECS, what has none there, or files by what they are hashed with.

/// A kind of document to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any of these: values of `threat.indicator.type`, or `vulnerability`, `technique`, for which ECS has none.
    Types(&'static [&'static str]),
    /// What has a hash by any of these.
    Hashes(&'static [Hash]),
}

/// What a file is hashed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are names")]
pub enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Ssdeep,
    Tlsh,
    Imphash,
    Pehash,
    Telfhash,
}

impl Hash {
    /// Every one, in the order of its declaration.
    pub const ALL: [Self; 10] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Ssdeep,
        Self::Tlsh,
        Self::Imphash,
        Self::Pehash,
        Self::Telfhash,
    ];

    /// Where a document has it.
    pub fn field(self) -> &'static str {
        match self {
            Self::Md5 => "threat.indicator.file.hash.md5",
            Self::Sha1 => "threat.indicator.file.hash.sha1",
            Self::Sha256 => "threat.indicator.file.hash.sha256",
            Self::Sha384 => "threat.indicator.file.hash.sha384",
            Self::Sha512 => "threat.indicator.file.hash.sha512",
            Self::Ssdeep => "threat.indicator.file.hash.ssdeep",
            Self::Tlsh => "threat.indicator.file.hash.tlsh",
            Self::Imphash => "threat.indicator.file.pe.imphash",
            Self::Pehash => "threat.indicator.file.pe.pehash",
            Self::Telfhash => "threat.indicator.file.elf.telfhash",
        }
    }

    /// Its bit in a set of them.
    pub(crate) fn bit(self) -> i64 {
        1 << self as i64
    }

    /// The set of these.
    pub(crate) fn bits(hashes: &[Self]) -> i64 {
        hashes.iter().fold(0, |bits, hash| bits | hash.bit())
    }
}

/// Words with what they mean: ECS's own first, then what the feed and people say.
const WORDS: [(&str, Kind); 48] = [
    ("ipv4-addr", Kind::Types(&["ipv4-addr"])),
    ("ipv6-addr", Kind::Types(&["ipv6-addr"])),
    ("domain-name", Kind::Types(&["domain-name"])),
    ("url", Kind::Types(&["url"])),
    ("file", Kind::Types(&["file"])),
    ("email-addr", Kind::Types(&["email-addr"])),
    ("artifact", Kind::Types(&["artifact"])),
    ("autonomous-system", Kind::Types(&["autonomous-system"])),
    ("directory", Kind::Types(&["directory"])),
    ("mac-addr", Kind::Types(&["mac-addr"])),
    ("mutex", Kind::Types(&["mutex"])),
    ("port", Kind::Types(&["port"])),
    ("process", Kind::Types(&["process"])),
    ("software", Kind::Types(&["software"])),
    ("user-account", Kind::Types(&["user-account"])),
    ("windows-registry-key", Kind::Types(&["windows-registry-key"])),
    ("x509-certificate", Kind::Types(&["x509-certificate"])),
    ("vulnerability", Kind::Types(&["vulnerability"])),
    ("technique", Kind::Types(&["technique"])),
    ("ip", Kind::Types(&["ipv4-addr", "ipv6-addr"])),
    ("ipv4", Kind::Types(&["ipv4-addr"])),
    ("ipv6", Kind::Types(&["ipv6-addr"])),
    ("domain", Kind::Types(&["domain-name"])),
    ("hostname", Kind::Types(&["domain-name"])),
    ("email", Kind::Types(&["email-addr"])),
    ("cve", Kind::Types(&["vulnerability"])),
    ("mitre_attack", Kind::Types(&["technique"])),
    ("mitre-attack", Kind::Types(&["technique"])),
    ("attack", Kind::Types(&["technique"])),
    ("asn", Kind::Types(&["autonomous-system"])),
    ("mac", Kind::Types(&["mac-addr"])),
    ("registry", Kind::Types(&["windows-registry-key"])),
    ("certificate", Kind::Types(&["x509-certificate"])),
    ("hash", Kind::Hashes(&Hash::ALL)),
    ("md5", Kind::Hashes(&[Hash::Md5])),
    ("sha1", Kind::Hashes(&[Hash::Sha1])),
    ("sha-1", Kind::Hashes(&[Hash::Sha1])),
    ("sha256", Kind::Hashes(&[Hash::Sha256])),
    ("sha-256", Kind::Hashes(&[Hash::Sha256])),
    ("sha384", Kind::Hashes(&[Hash::Sha384])),
    ("sha-384", Kind::Hashes(&[Hash::Sha384])),
    ("sha512", Kind::Hashes(&[Hash::Sha512])),
    ("sha-512", Kind::Hashes(&[Hash::Sha512])),
    ("ssdeep", Kind::Hashes(&[Hash::Ssdeep])),
    ("tlsh", Kind::Hashes(&[Hash::Tlsh])),
    ("imphash", Kind::Hashes(&[Hash::Imphash])),
    ("pehash", Kind::Hashes(&[Hash::Pehash])),
    ("telfhash", Kind::Hashes(&[Hash::Telfhash])),
];

impl Kind {
    /// What a word means, in any case.
    pub fn of(word: &str) -> Option<Self> {
        WORDS.into_iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, kind)| kind)
    }

    /// Every word that is known.
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.into_iter().map(|(word, _)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expected_type_of_ecs_is_a_word() {
        let expected = include_str!("../../eval/src/ecs/values.csv");
        let types = expected.lines().filter_map(|line| line.strip_prefix("threat.indicator.type,"));
        for kind in types.chain(["vulnerability", "technique"]) {
            let Some(Kind::Types([only])) = Kind::of(kind) else { panic!("{kind}") };
            assert_eq!(*only, kind);
        }
    }

    #[test]
    fn a_hash_is_none_of_the_others() {
        for (word, hash) in [("sha256", Hash::Sha256), ("SHA-256", Hash::Sha256), ("md5", Hash::Md5)] {
            let Some(Kind::Hashes([only])) = Kind::of(word) else { panic!("{word}") };
            assert_eq!(*only, hash);
        }
        assert_eq!(Hash::bits(&Hash::ALL), (1 << Hash::ALL.len()) - 1);
        assert_eq!(Kind::of("sha"), None);
        let mut words: Vec<_> = Kind::words().collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), WORDS.len(), "no word twice");
    }
}
