//! What of a document has a column: what is sorted, counted and swept by.
//!
//! The document itself is stored as its text. A field of an unexpected type is treated as missing, as only what the
//! guest must write was checked before.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use tipline_catalog::Key;

use crate::form;
use crate::kind::Hash;
use tipline_model::clock::Millis;
use tipline_model::time;

/// A document's columns.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) provider: Option<Cow<'a, str>>,
    pub(super) timestamp: Millis,
    pub(super) expires_at: Option<Millis>,
    pub(super) retired_at: Option<Millis>,
    /// Neither retired nor a condition: live until it expires.
    pub(super) stands: bool,
    pub(super) last_seen: Option<Millis>,
    /// The set of what its file is hashed with.
    pub(super) hashes: i64,
}

impl<'a> Entry<'a> {
    /// Reads a document's stored form.
    pub(super) fn read(json: &'a str) -> Result<Self, serde_json::Error> {
        let Document { timestamp, event, threat, vulnerability, tipline } = serde_json::from_str(json)?;
        let Indicator { kind, provider, last_seen, file } = threat.indicator;
        let kind = match kind.first() {
            Some(kind) => kind,
            None if !vulnerability.id.is_empty() => "vulnerability".into(),
            None => "technique".into(),
        };
        let moment = |texts: Texts<'_>| texts.first().and_then(|text| time::parse(&text));
        let retired_at = moment(tipline.retired_at);
        let is_condition = event.category.contains(form::THREAT) && event.kind.contains(form::INFO);
        Ok(Self {
            kind,
            provider: provider.first(),
            timestamp: moment(timestamp).unwrap_or(0),
            expires_at: moment(tipline.expires_at),
            retired_at,
            stands: retired_at.is_none() && !is_condition,
            last_seen: moment(last_seen),
            hashes: file.hashes(),
        })
    }
}

#[derive(Default)]
struct Document<'a> {
    timestamp: Texts<'a>,
    event: Event<'a>,
    threat: Threat<'a>,
    vulnerability: Named<'a>,
    tipline: Shared<'a>,
}

#[derive(Default)]
struct Event<'a> {
    category: Texts<'a>,
    kind: Texts<'a>,
}

#[derive(Default)]
struct Threat<'a> {
    indicator: Indicator<'a>,
}

#[derive(Default)]
struct Indicator<'a> {
    kind: Texts<'a>,
    provider: Texts<'a>,
    last_seen: Texts<'a>,
    file: File<'a>,
}

#[derive(Default)]
struct File<'a> {
    hash: Hashes<'a>,
    pe: Executable<'a>,
    elf: Executable<'a>,
}

#[derive(Default)]
struct Hashes<'a> {
    md5: Texts<'a>,
    sha1: Texts<'a>,
    sha256: Texts<'a>,
    sha384: Texts<'a>,
    sha512: Texts<'a>,
    ssdeep: Texts<'a>,
    tlsh: Texts<'a>,
}

#[derive(Default)]
struct Executable<'a> {
    imphash: Texts<'a>,
    pehash: Texts<'a>,
    telfhash: Texts<'a>,
}

impl File<'_> {
    fn hashes(&self) -> i64 {
        let has = |hash| match hash {
            Hash::Md5 => &self.hash.md5,
            Hash::Sha1 => &self.hash.sha1,
            Hash::Sha256 => &self.hash.sha256,
            Hash::Sha384 => &self.hash.sha384,
            Hash::Sha512 => &self.hash.sha512,
            Hash::Ssdeep => &self.hash.ssdeep,
            Hash::Tlsh => &self.hash.tlsh,
            Hash::Imphash => &self.pe.imphash,
            Hash::Pehash => &self.pe.pehash,
            Hash::Telfhash => &self.elf.telfhash,
        };
        Hash::ALL.into_iter().filter(|hash| !has(*hash).is_empty()).fold(0, |bits, hash| bits | hash.bit())
    }
}

#[derive(Default)]
struct Named<'a> {
    id: Texts<'a>,
}

#[derive(Default)]
struct Shared<'a> {
    expires_at: Texts<'a>,
    retired_at: Texts<'a>,
}

/// A field of ECS holds one value or several, which mean the same; here its strings. Most have one, which takes no memory
/// of its own.
#[derive(Debug, Default)]
pub(super) enum Texts<'a> {
    #[default]
    None,
    One(Cow<'a, str>),
    Several(Vec<Cow<'a, str>>),
}

impl<'a> Texts<'a> {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Cow<'a, str>> {
        match self {
            Self::None => [].iter(),
            Self::One(text) => std::slice::from_ref(text).iter(),
            Self::Several(texts) => texts.iter(),
        }
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        self.iter().any(|known| known == text)
    }

    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn first(&self) -> Option<Cow<'a, str>> {
        self.iter().next().cloned()
    }

    fn push(&mut self, text: Cow<'a, str>) {
        match self {
            Self::None => *self = Self::One(text),
            Self::One(first) => *self = Self::Several(vec![std::mem::take(first), text]),
            Self::Several(texts) => texts.push(text),
        }
    }

    fn append(&mut self, more: Self) {
        match more {
            Self::None => {}
            Self::One(text) => self.push(text),
            Self::Several(texts) => texts.into_iter().for_each(|text| self.push(text)),
        }
    }
}

/// Any other value is none.
macro_rules! scalars {
    ($name:ident) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($name::default())
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($name::default())
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($name::default())
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($name::default())
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($name::default())
        }
    };
}

/// Reads some keys of an object and treats any other value as an empty object.
macro_rules! fields {
    ($name:ident, $visitor:ident, $($key:literal => $field:ident),+) => {
        impl<'de> Deserialize<'de> for $name<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($visitor)
            }
        }

        struct $visitor;

        impl<'de> Visitor<'de> for $visitor {
            type Value = $name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut value = $name::default();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    match key.0.as_ref() {
                        $($key => value.$field = map.next_value()?,)+
                        _ => { map.next_value::<IgnoredAny>()?; }
                    }
                }
                Ok(value)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok($name::default())
            }
            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok($name::default())
            }
            scalars!($name);
        }
    };
}

fields!(Document, DocumentFields, "@timestamp" => timestamp, "event" => event, "threat" => threat,
    "vulnerability" => vulnerability, "tipline" => tipline);
fields!(Event, EventFields, "category" => category, "type" => kind);
fields!(Threat, ThreatFields, "indicator" => indicator);
fields!(Indicator, IndicatorFields, "type" => kind, "provider" => provider,
    "last_seen" => last_seen, "file" => file);
fields!(File, FileFields, "hash" => hash, "pe" => pe, "elf" => elf);
fields!(Hashes, HashesFields, "md5" => md5, "sha1" => sha1, "sha256" => sha256, "sha384" => sha384,
    "sha512" => sha512, "ssdeep" => ssdeep, "tlsh" => tlsh);
fields!(Executable, ExecutableFields, "imphash" => imphash, "pehash" => pehash, "telfhash" => telfhash);
fields!(Named, NamedFields, "id" => id);
fields!(Shared, SharedFields, "expires_at" => expires_at, "retired_at" => retired_at);

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = Texts<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Texts<'de>, E> {
                Ok(Texts::One(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Texts<'de>, E> {
                Ok(Texts::One(Cow::Owned(text.to_owned())))
            }
            scalars!(Texts);
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts<'de>, A::Error> {
                let mut texts = Texts::default();
                while let Some(inner) = seq.next_element::<Texts<'de>>()? {
                    texts.append(inner);
                }
                Ok(texts)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Texts::default())
            }
        }
        deserializer.deserialize_any(Strings)
    }
}
