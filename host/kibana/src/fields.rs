//! Which fields of events may hold what an indicator's field holds.
//!
//! Three sources, in the order in which their fields come in a query:
//!
//! - *Kibana's*: what its Indicators page looks for in Timeline, and what it enriches alerts by (in its public sources
//!   `IndicatorFieldEventEnrichmentMap` and the map of `common/cti/constants.ts`).
//! - *Elastic's rules*: what the five prebuilt indicator-match rules add (`rules/threat_intel` of the public detection-rules).
//! - *Ours*: what ECS has beside these. Kibana names a domain by `threat.indicator.url.domain` and a registry entry by
//!   `threat.indicator.registry.key`, and maps neither, nor anything of e-mail, MAC, AS and certificates: there its Timeline
//!   finds only the indicator itself.
//!
//! The order of the table says by which field a document is known that fills several: a URL has a host, a file has a name.

/// A field of indicators, and where events may have its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// The field of the indicator.
    pub indicator: &'static str,
    /// Events' fields by Kibana.
    pub kibana: &'static [&'static str],
    /// Those that Elastic's rules add.
    pub rules: &'static [&'static str],
    /// Those that we add.
    pub ours: &'static [&'static str],
    /// Whether documents have it for what they are. A file is known by its name only where it has no hash, and by all its
    /// hashes at once.
    pub rank: Rank,
}

/// What a field says of its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It and its equals are looked for at once: they are of one file.
    Hash,
    /// It alone says what the document is about.
    Value,
}

impl Mapped {
    /// Events' fields, those of Kibana first.
    pub fn events(&self) -> impl Iterator<Item = &'static str> {
        [self.kibana, self.rules, self.ours].into_iter().flatten().copied()
    }
}

/// A hash that Kibana knows and ECS has for files, processes and libraries.
macro_rules! hash {
    ($name:literal, rules) => {
        Mapped {
            indicator: concat!("threat.indicator.file.hash.", $name),
            kibana: &[concat!("file.hash.", $name)],
            rules: &[concat!("process.hash.", $name), concat!("dll.hash.", $name)],
            ours: &[
                concat!("process.parent.hash.", $name),
                concat!("email.attachments.file.hash.", $name),
                "related.hash",
            ],
            rank: Rank::Hash,
        }
    };
    ($name:literal, ecs) => {
        Mapped {
            indicator: concat!("threat.indicator.file.hash.", $name),
            kibana: &[concat!("file.hash.", $name)],
            rules: &[],
            ours: &[
                concat!("process.hash.", $name),
                concat!("dll.hash.", $name),
                concat!("process.parent.hash.", $name),
                concat!("email.attachments.file.hash.", $name),
                "related.hash",
            ],
            rank: Rank::Hash,
        }
    };
    // In Kibana's map, and in no event of ECS.
    ($name:literal, kibana) => {
        Mapped {
            indicator: concat!("threat.indicator.file.hash.", $name),
            kibana: &[concat!("file.hash.", $name)],
            rules: &[],
            ours: &["related.hash"],
            rank: Rank::Hash,
        }
    };
}

const fn hash_of(indicator: &'static str, kibana: &'static [&'static str], ours: &'static [&'static str]) -> Mapped {
    Mapped { indicator, kibana, rules: &[], ours, rank: Rank::Hash }
}

const fn value(
    indicator: &'static str,
    kibana: &'static [&'static str],
    rules: &'static [&'static str],
    ours: &'static [&'static str],
) -> Mapped {
    Mapped { indicator, kibana, rules, ours, rank: Rank::Value }
}

const ADDRESSES: &[&str] = &["client.ip", "server.ip", "host.ip", "dns.resolved_ip", "related.ip"];
const NETWORKS: &[&str] =
    &["source.ip", "destination.ip", "client.ip", "server.ip", "host.ip", "dns.resolved_ip", "related.ip"];
const MACS: &[&str] = &["source.mac", "destination.mac", "client.mac", "server.mac", "host.mac"];

/// All that are mapped.
pub const MAP: &[Mapped] = &[
    hash!("sha256", rules),
    hash!("sha512", ecs),
    hash!("sha384", ecs),
    hash!("sha1", rules),
    hash!("md5", rules),
    hash!("sha224", kibana),
    hash!("sha3-224", kibana),
    hash!("sha3-256", kibana),
    hash!("sha3-384", kibana),
    hash!("sha3-512", kibana),
    hash!("sha512/224", kibana),
    hash!("sha512/256", kibana),
    hash!("ssdeep", ecs),
    hash!("tlsh", ecs),
    hash!("impfuzzy", kibana),
    hash!("imphash", kibana),
    hash!("pehash", kibana),
    hash!("vhash", kibana),
    hash_of("threat.indicator.file.pe.imphash", &["file.pe.imphash"], &["process.pe.imphash", "dll.pe.imphash"]),
    hash_of("threat.indicator.file.pe.pehash", &[], &["file.pe.pehash", "process.pe.pehash", "dll.pe.pehash"]),
    hash_of("threat.indicator.file.elf.telfhash", &["file.elf.telfhash"], &["process.elf.telfhash"]),
    // A hash whose algorithm nobody names.
    hash_of("socdefenders.ioc.hash", &[], &["related.hash"]),
    value("threat.indicator.ip", &["source.ip", "destination.ip"], &[], ADDRESSES),
    // Fields of addresses are asked for networks in the same way.
    value("socdefenders.ioc.cidr", &[], &[], NETWORKS),
    value("threat.indicator.url.full", &["url.full"], &["url.original"], &[]),
    value("threat.indicator.url.original", &[], &["url.original"], &["url.full"]),
    value(
        "threat.indicator.email.address",
        &[],
        &["email.from.address", "email.to.address", "email.sender.address", "email.reply_to.address"],
        &["email.cc.address", "email.bcc.address", "user.email"],
    ),
    value(
        "threat.indicator.url.domain",
        &[],
        &[],
        &[
            "url.domain",
            "dns.question.name",
            "dns.answers.name",
            "tls.client.server_name",
            "source.domain",
            "destination.domain",
            "client.domain",
            "server.domain",
            "related.hosts",
        ],
    ),
    value("threat.indicator.registry.path", &["registry.path"], &[], &[]),
    value("threat.indicator.registry.key", &[], &[], &["registry.key", "registry.path"]),
    value(
        "threat.indicator.x509.serial_number",
        &[],
        &[],
        &[
            "tls.server.x509.serial_number",
            "tls.client.x509.serial_number",
            "file.x509.serial_number",
            "x509.serial_number",
        ],
    ),
    value("threat.indicator.mac", &[], &[], MACS),
    value("socdefenders.ioc.mac", &[], &[], MACS),
    value(
        "threat.indicator.as.number",
        &[],
        &[],
        &["source.as.number", "destination.as.number", "client.as.number", "server.as.number"],
    ),
    value("socdefenders.ioc.user_agent", &[], &[], &["user_agent.original"]),
    value("socdefenders.ioc.tls.ja3", &[], &[], &["tls.client.ja3"]),
    value("socdefenders.ioc.tls.ja3s", &[], &[], &["tls.server.ja3s"]),
    // ECS has no JA4; this is what shippers call it, after JA3's.
    value("socdefenders.ioc.tls.ja4", &[], &[], &["tls.client.ja4"]),
    value("socdefenders.ioc.tls.ja4s", &[], &[], &["tls.server.ja4s"]),
    value("socdefenders.ioc.process.command_line", &[], &[], &["process.command_line", "process.parent.command_line"]),
    value("socdefenders.ioc.process.executable", &[], &[], &["process.executable", "process.parent.executable"]),
    value("threat.indicator.file.path", &[], &[], &["file.path", "process.executable", "dll.path"]),
    value("threat.indicator.file.name", &[], &[], &["file.name", "process.name", "dll.name"]),
    value("socdefenders.ioc.process.name", &[], &[], &["process.name", "process.parent.name"]),
    value("vulnerability.id", &[], &[], &["vulnerability.id"]),
];

/// What a field is mapped to.
pub fn mapped(indicator: &str) -> Option<&'static Mapped> {
    MAP.iter().find(|mapped| mapped.indicator == indicator)
}

/// The field by which a query finds the indicator itself. Elasticsearch compares a range with no text of a network, so one is
/// found by its name, which is that text.
pub fn own(indicator: &str) -> &str {
    if indicator == "socdefenders.ioc.cidr" { "threat.indicator.name" } else { indicator }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_field_is_mapped_once_to_fields_that_differ() {
        let mut seen = HashSet::new();
        for mapped in MAP {
            assert!(seen.insert(mapped.indicator), "{}", mapped.indicator);
            let events: Vec<&str> = mapped.events().collect();
            assert!(!events.is_empty(), "{}", mapped.indicator);
            assert_eq!(events.iter().collect::<HashSet<_>>().len(), events.len(), "{}", mapped.indicator);
        }
    }

    #[test]
    fn kibana_s_own_map_is_in_it_whole() {
        let hashes = [
            "sha256",
            "md5",
            "sha1",
            "sha224",
            "sha3-224",
            "sha3-256",
            "sha384",
            "sha3-384",
            "sha512",
            "sha3-512",
            "sha512/224",
            "sha512/256",
            "ssdeep",
            "tlsh",
            "impfuzzy",
            "imphash",
            "pehash",
            "vhash",
        ];
        for hash in hashes {
            let mapped = mapped(&format!("threat.indicator.file.hash.{hash}")).unwrap();
            assert_eq!(mapped.kibana, [format!("file.hash.{hash}")]);
        }
        for (indicator, events) in [
            ("threat.indicator.ip", &["source.ip", "destination.ip"][..]),
            ("threat.indicator.url.full", &["url.full"]),
            ("threat.indicator.registry.path", &["registry.path"]),
        ] {
            assert_eq!(mapped(indicator).unwrap().kibana, events);
        }
    }

    #[test]
    fn hashes_come_first_and_the_strongest_of_them() {
        let first = MAP.iter().take_while(|mapped| mapped.rank == Rank::Hash).count();
        assert!(MAP[first..].iter().all(|mapped| mapped.rank == Rank::Value));
        assert_eq!(MAP[0].indicator, "threat.indicator.file.hash.sha256");
    }
}
