//! What a value is: refanged, told apart, normalised and checked.
//!
//! The feed's word for a value is a claim. [`classify`] decides by the value itself and uses the label only where a
//! value can be read in two ways (`1.2.3.4/24` is a network, unless it is said to be a URL). What differs from the
//! claim or had to be repaired is noted in keywords. What is none of the known kinds is a [`Misfit`] with a stable
//! code and a sentence for people.
//!
//! Policy: forgiving about how a value is written (defanging, case, white space, Unicode digits and hyphens), strict
//! about what it then is (octets without leading zeros, names of the form of RFC 1035 with underscores, hashes by
//! their length: [`Algorithm::read`]). Nothing here touches the network or panics.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::unreachable
    )
)]
#![forbid(unsafe_code)]

mod address;
mod classify;
mod codes;
mod harmless;
mod location;
mod misfit;
mod name;
mod refang;
pub mod sixteen;
pub mod suffix;
mod wildcard;

pub use address::{Cidr, parse_ip, write_ip};
pub use classify::{Classified, MAX_VALUE_BYTES, classify, listed_attack_id};
pub use codes::{Algorithm, AttackId, AttackKind, Framework, attack_id, cve};
pub use harmless::{empty_file, harmless};
pub use location::{Host, Location};
pub use misfit::Misfit;
pub use name::{is_name, is_single_label};
pub use wildcard::WILD;

use std::borrow::Cow;
use std::net::IpAddr;

/// The kind of [`Observable::Wildcard`].
const WILDCARD: &str = "wildcard";

/// A value, as what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observable {
    /// One address, without its port.
    Ip(IpAddr),
    /// A range of addresses.
    Cidr(Cidr),
    /// A name: lower case, ASCII, without a final dot.
    Domain(String),
    /// Many names, URLs or mailboxes in one text with asterisks: `*.example.com`. Never a value to compare with, and it says
    /// nothing of the name that it ends with.
    Wildcard(String),
    /// A URL, with or without scheme.
    Url(Box<Location>),
    /// A file's hash, in lower case.
    Hash(Algorithm, String),
    /// A mailbox, in lower case, its domain in ASCII.
    Email(String),
    /// `CVE-2021-44228`.
    Cve(String),
    /// A technique, tactic, group or piece of software of MITRE's.
    Attack(AttackId),
    /// Anything else that STIX knows.
    Thing(Box<Thing>),
}

/// What has no form of its own: a registry key, a mutex, a file known by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// The kind of field that is part of its identity.
    pub kind: Cow<'static, str>,
    /// The type in ECS's words; empty where ECS has none.
    pub shown: Cow<'static, str>,
    /// What identifies it among those of its type.
    pub key: String,
    /// As people write it.
    pub name: String,
}

impl Observable {
    /// What it is in one word: ECS's type of indicator, where it has one. `vulnerability` and `technique` are our words, and a
    /// [`Thing`] goes by its own kind; see [`Observable::shown_type`] for what a document says.
    pub fn ecs_type(&self) -> &str {
        match self {
            Self::Ip(IpAddr::V4(_)) | Self::Cidr(Cidr::V4 { .. }) => "ipv4-addr",
            Self::Ip(IpAddr::V6(_)) | Self::Cidr(Cidr::V6 { .. }) => "ipv6-addr",
            Self::Wildcard(text) if text.contains('@') && !text.contains('/') => "email-addr",
            Self::Wildcard(text) if text.contains('/') => "url",
            Self::Domain(_) | Self::Wildcard(_) => "domain-name",
            Self::Url(_) => "url",
            Self::Hash(..) => "file",
            Self::Email(_) => "email-addr",
            Self::Cve(_) => "vulnerability",
            Self::Attack(_) => "technique",
            Self::Thing(thing) => &thing.kind,
        }
    }

    /// The kind of field it is compared with, part of its identity: a file's MD5, imphash, name and path are apart.
    pub fn kind(&self) -> &str {
        match self {
            Self::Hash(algorithm, _) => algorithm.field(),
            Self::Wildcard(_) => WILDCARD,
            other => other.ecs_type(),
        }
    }

    /// `threat.indicator.type`; empty for what ECS has no type for.
    pub fn shown_type(&self) -> &str {
        match self {
            Self::Cve(_) | Self::Attack(_) => "",
            Self::Thing(thing) => &thing.shown,
            _ => self.ecs_type(),
        }
    }

    /// What [`Observable::kind`], the normalised value, [`Observable::shown_type`] and the name of another one said it is.
    pub fn of_parts(kind: &str, value: &str, shown: &str, name: &str) -> Self {
        let known = match kind {
            "ipv4-addr" | "ipv6-addr" => classify(value, Label::Ip).ok().map(|found| found.observable),
            "url" => classify(value, Label::Url).ok().map(|found| found.observable),
            "domain-name" => Some(Self::Domain(value.to_owned())),
            WILDCARD => Some(Self::Wildcard(value.to_owned())),
            "email-addr" => Some(Self::Email(value.to_owned())),
            "vulnerability" => Some(Self::Cve(value.to_owned())),
            "technique" => attack_id(value).map(Self::Attack),
            kind => Algorithm::of_field(kind).map(|algorithm| Self::Hash(algorithm, value.to_owned())),
        };
        known.filter(|known| known.kind() == kind).unwrap_or_else(|| {
            Self::Thing(Box::new(Thing {
                kind: Cow::Owned(kind.to_owned()),
                shown: Cow::Owned(shown.to_owned()),
                key: value.to_owned(),
                name: name.to_owned(),
            }))
        })
    }

    /// The value as people write it, where that is not the normalised value.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Url(location) => Some(&location.original),
            Self::Thing(thing) => Some(&thing.name),
            _ => None,
        }
    }

    /// The name that all that a wildcard stands for lies below.
    pub fn below(&self) -> Option<&str> {
        let Self::Wildcard(text) = self else { return None };
        text.strip_prefix("*.").filter(|name| is_name(name))
    }

    /// Writes the normalised value, part of its identity.
    pub fn write_key(&self, out: &mut String) {
        use std::fmt::Write as _;
        // A `String` never refuses a write.
        let _ = match self {
            Self::Ip(ip) => {
                write_ip(*ip, out);
                Ok(())
            }
            Self::Cidr(cidr) => write!(out, "{cidr}"),
            Self::Url(location) => {
                out.push_str(location.key());
                Ok(())
            }
            Self::Domain(text) | Self::Wildcard(text) | Self::Hash(_, text) | Self::Email(text) | Self::Cve(text) => {
                out.push_str(text);
                Ok(())
            }
            Self::Attack(id) => {
                out.push_str(&id.id);
                Ok(())
            }
            Self::Thing(thing) => {
                out.push_str(&thing.key);
                Ok(())
            }
        };
    }
}

/// The feed's word for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// `ipv4`, and `ip` for either.
    Ipv4,
    /// `ipv6`.
    Ipv6,
    /// An address of unknown kind.
    Ip,
    /// `domain`.
    Domain,
    /// `url`.
    Url,
    /// `md5`.
    Md5,
    /// `sha1`.
    Sha1,
    /// `sha256`.
    Sha256,
    /// `sha512`.
    Sha512,
    /// A hash of unknown kind.
    Hash,
    /// `email`.
    Email,
    /// `cve`.
    Cve,
    /// `mitre_attack`.
    Attack,
    /// A word this crate does not know.
    Other,
}

impl Label {
    /// Reads a feed's word: those of the API, and the usual ones of other feeds.
    pub fn parse(word: &str) -> Self {
        match word {
            "ipv4" => return Self::Ipv4,
            "domain" => return Self::Domain,
            "url" => return Self::Url,
            "sha256" => return Self::Sha256,
            "md5" => return Self::Md5,
            "sha1" => return Self::Sha1,
            _ => {}
        }
        let mut plain = word.trim().to_ascii_lowercase();
        plain.retain(|c| !matches!(c, '-' | '_' | ' ' | ':'));
        match plain.as_str() {
            "ipv4" | "ipv4addr" | "ip4" => Self::Ipv4,
            "ipv6" | "ipv6addr" | "ip6" => Self::Ipv6,
            "ip" | "ipaddress" | "ipaddr" | "address" | "cidr" | "network" | "ipport" | "ipdst" | "ipsrc" => Self::Ip,
            "domain" | "domainname" | "hostname" | "host" | "fqdn" => Self::Domain,
            "url" | "uri" | "link" => Self::Url,
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha512" => Self::Sha512,
            "hash" | "filehash" | "sha384" | "file" => Self::Hash,
            "email" | "emailaddr" | "emailaddress" | "mail" => Self::Email,
            "cve" | "vulnerability" => Self::Cve,
            "mitreattack" | "mitre" | "attack" | "attackpattern" | "technique" | "ttp" => Self::Attack,
            _ => Self::Other,
        }
    }

    /// Whether a value of this kind is what the label says.
    pub fn fits(self, observable: &Observable) -> bool {
        match (self, observable) {
            (Self::Ipv4, o) => o.ecs_type() == "ipv4-addr",
            (Self::Ipv6, o) => o.ecs_type() == "ipv6-addr",
            (Self::Domain, o @ Observable::Wildcard(_)) => o.ecs_type() == "domain-name",
            (Self::Url, o @ Observable::Wildcard(_)) => o.ecs_type() == "url",
            (Self::Email, o @ Observable::Wildcard(_)) => o.ecs_type() == "email-addr",
            (Self::Ip, Observable::Ip(_) | Observable::Cidr(_))
            | (Self::Domain, Observable::Domain(_))
            | (Self::Url, Observable::Url(_))
            | (Self::Md5, Observable::Hash(Algorithm::Md5, _))
            | (Self::Sha1, Observable::Hash(Algorithm::Sha1, _))
            | (Self::Sha256, Observable::Hash(Algorithm::Sha256, _))
            | (Self::Sha512, Observable::Hash(Algorithm::Sha512, _))
            | (Self::Hash, Observable::Hash(..))
            | (Self::Email, Observable::Email(_))
            | (Self::Cve, Observable::Cve(_))
            | (Self::Attack, Observable::Attack(_)) => true,
            _ => false,
        }
    }
}
