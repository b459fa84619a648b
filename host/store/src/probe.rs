//! What a document says of its identity, its version and when it expires, to be held against its head; and what the host
//! refuses in it.
//!
//! One pass with serde's borrowed visitors. Keys are compared after their escapes are resolved, so that `"_\u0069d"`
//! is `_id`. What belongs to the host must stand in `event` and `tipline` as objects: a dotted key at the root
//! (`event.ingested`) is the same field to Elasticsearch and another one to everybody else, so it is refused, and a
//! key that stands twice too, as every reader picks another of the two. What passes can be read by anyone: nested no deeper
//! than readers go, with whole characters and numbers within range.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use thiserror::Error;

use tipline_model::clock::Millis;
use tipline_model::time;

/// What the host reads of every document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) version: u64,
    pub(super) expires_at: Option<Millis>,
    pub(super) retired_at: Option<Millis>,
    /// The later of `@timestamp` and `tipline.observed_at`.
    pub(super) dated: Option<Millis>,
}

/// Why a document is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum ProbeError {
    #[error("The document is not a JSON object: {0}.")]
    NotAnObject(String),
    #[error("The document sets `{0}`, which a guest may not: take it out of the mapping.")]
    Forbidden(String),
    #[error("The document has the dotted key `{0}`: write it as an object in an object.")]
    Dotted(String),
    #[error("The document has `{0}` twice: write it once.")]
    Duplicate(&'static str),
    #[error("The document has no `{0}` of the right type: {1}.")]
    Missing(&'static str, &'static str),
    #[error("`{0}` is no date in the form 2026-01-31T12:00:00Z.")]
    Expiry(&'static str),
}

impl ProbeError {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject(_) => "invalid-json",
            Self::Forbidden(_) => "forbidden-field",
            Self::Dotted(_) => "dotted-key",
            Self::Duplicate(_) => "duplicate-key",
            Self::Missing("event.id", _) => "invalid-id",
            Self::Missing(..) => "invalid-version",
            Self::Expiry("@timestamp") => "invalid-timestamp",
            Self::Expiry(_) => "invalid-expiry",
        }
    }
}

/// Reads one document.
pub(super) fn read(json: &str) -> Result<Identity<'_>, ProbeError> {
    let mut seen = Seen::default();
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let outcome = deserializer.deserialize_map(Root(&mut seen)).and_then(|()| deserializer.end());
    if let Some(refused) = seen.refused {
        return Err(refused);
    }
    outcome.map_err(|e| ProbeError::NotAnObject(e.to_string()))?;
    let id = seen.id.ok_or(ProbeError::Missing("event.id", "it must be a string"))?;
    let version =
        seen.version.ok_or(ProbeError::Missing("event.sequence", "it must be a whole number that is not negative"))?;
    Ok(Identity { id, version, expires_at: seen.expires_at, retired_at: seen.retired_at, dated: seen.dated })
}

#[derive(Default)]
struct Seen<'a> {
    id: Option<Cow<'a, str>>,
    version: Option<u64>,
    expires_at: Option<Millis>,
    retired_at: Option<Millis>,
    dated: Option<Millis>,
    root: u8,
    inner: u8,
    /// serde's errors carry text only, so the reason is left here.
    refused: Option<ProbeError>,
}

impl Seen<'_> {
    fn refuse<E: serde::de::Error>(&mut self, reason: ProbeError) -> E {
        self.refused = Some(reason);
        E::custom("refused")
    }

    fn once<E: serde::de::Error>(mask: &mut u8, bit: u8) -> Result<(), E> {
        let first = *mask & (1 << bit) == 0;
        *mask |= 1 << bit;
        if first { Ok(()) } else { Err(E::custom("twice")) }
    }
}

/// The keys the host cares about, at the root.
enum RootKey {
    Event,
    Tipline,
    Timestamp,
    Forbidden(String),
    Dotted(String),
    Other,
}

impl RootKey {
    fn of(key: &str) -> Self {
        match key {
            "event" => return Self::Event,
            "tipline" => return Self::Tipline,
            "@timestamp" => return Self::Timestamp,
            _ => {}
        }
        let (head, rest) = key.split_once('.').map_or((key, None), |(head, rest)| (head, Some(rest)));
        match (head, rest) {
            ("data_stream" | "agent" | "host", _) => Self::Forbidden(key.to_owned()),
            // Metadata of Elasticsearch (`_id`, `_index`, `_source`, …), and names that no field can have.
            _ if head.starts_with('_') || key.is_empty() || key.split('.').all(str::is_empty) => {
                Self::Forbidden(key.to_owned())
            }
            ("event", Some(rest)) if rest == "ingested" || rest.starts_with("ingested.") => {
                Self::Forbidden(key.to_owned())
            }
            ("event" | "tipline", Some(_)) => Self::Dotted(key.to_owned()),
            _ => Self::Other,
        }
    }
}

/// The keys the host cares about, in `event` and `tipline`.
enum InnerKey {
    Id,
    Sequence,
    Type,
    ExpiresAt,
    ExpiryReason,
    RetiredAt,
    ObservedAt,
    Input,
    Search,
    Ingested,
    Other,
}

impl InnerKey {
    fn event(key: &str) -> Self {
        match key {
            "id" => Self::Id,
            "sequence" => Self::Sequence,
            "type" => Self::Type,
            _ if key == "ingested" || key.starts_with("ingested.") => Self::Ingested,
            _ => Self::Other,
        }
    }

    fn tipline(key: &str) -> Self {
        match key {
            "expires_at" => Self::ExpiresAt,
            "expiry_reason" => Self::ExpiryReason,
            "retired_at" => Self::RetiredAt,
            "observed_at" => Self::ObservedAt,
            _ if key == "input" || key.starts_with("input.") => Self::Input,
            _ if key == "search" || key.starts_with("search.") => Self::Search,
            _ => Self::Other,
        }
    }
}

/// Turns a key into one of the enums above without keeping its text.
struct Key<T>(fn(&str) -> T);

impl<'de, T> DeserializeSeed<'de> for Key<T> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T> Visitor<'_> for Key<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<T, E> {
        Ok((self.0)(key))
    }
}

struct Root<'s, 'a>(&'s mut Seen<'a>);

impl<'de> Visitor<'de> for Root<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let seen = self.0;
        while let Some(key) = map.next_key_seed(Key(RootKey::of))? {
            match key {
                RootKey::Event => {
                    Seen::once::<A::Error>(&mut seen.root, 0)
                        .map_err(|_| seen.refuse::<A::Error>(ProbeError::Duplicate("event")))?;
                    map.next_value_seed(Event(seen))?;
                }
                RootKey::Tipline => {
                    Seen::once::<A::Error>(&mut seen.root, 1)
                        .map_err(|_| seen.refuse::<A::Error>(ProbeError::Duplicate("tipline")))?;
                    map.next_value_seed(Tipline(seen))?;
                }
                RootKey::Timestamp => {
                    Seen::once::<A::Error>(&mut seen.root, 2)
                        .map_err(|_| seen.refuse::<A::Error>(ProbeError::Duplicate("@timestamp")))?;
                    let Some(at) = map.next_value_seed(Scalar)?.into_text().and_then(|text| time::parse(&text)) else {
                        return Err(seen.refuse(ProbeError::Expiry("@timestamp")));
                    };
                    seen.dated = seen.dated.max(Some(at));
                }
                RootKey::Forbidden(key) => return Err(seen.refuse(ProbeError::Forbidden(key))),
                RootKey::Dotted(key) => return Err(seen.refuse(ProbeError::Dotted(key))),
                RootKey::Other => {
                    map.next_value::<Passed>()?;
                }
            }
        }
        Ok(())
    }
}

struct Event<'s, 'a>(&'s mut Seen<'a>);

impl<'de> DeserializeSeed<'de> for Event<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Event<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object under `event`")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let seen = self.0;
        while let Some(key) = map.next_key_seed(Key(InnerKey::event))? {
            let (bit, name) = match key {
                InnerKey::Id => (0, "event.id"),
                InnerKey::Sequence => (1, "event.sequence"),
                InnerKey::Type => (2, "event.type"),
                InnerKey::Ingested => return Err(seen.refuse(ProbeError::Forbidden("event.ingested".to_owned()))),
                _ => {
                    map.next_value::<Passed>()?;
                    continue;
                }
            };
            Seen::once::<A::Error>(&mut seen.inner, bit)
                .map_err(|_| seen.refuse::<A::Error>(ProbeError::Duplicate(name)))?;
            match key {
                InnerKey::Id => seen.id = map.next_value_seed(Scalar)?.into_text(),
                InnerKey::Sequence => seen.version = map.next_value_seed(Scalar)?.into_number(),
                _ => {
                    map.next_value::<Passed>()?;
                }
            }
        }
        Ok(())
    }
}

struct Tipline<'s, 'a>(&'s mut Seen<'a>);

impl<'de> DeserializeSeed<'de> for Tipline<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tipline<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object under `tipline`")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let seen = self.0;
        while let Some(key) = map.next_key_seed(Key(InnerKey::tipline))? {
            let (bit, name) = match key {
                InnerKey::ExpiresAt => (3, "tipline.expires_at"),
                InnerKey::ExpiryReason => (4, "tipline.expiry_reason"),
                InnerKey::RetiredAt => (5, "tipline.retired_at"),
                InnerKey::ObservedAt => (6, "tipline.observed_at"),
                InnerKey::Input => return Err(seen.refuse(ProbeError::Forbidden("tipline.input".to_owned()))),
                InnerKey::Search => return Err(seen.refuse(ProbeError::Forbidden("tipline.search".to_owned()))),
                _ => {
                    map.next_value::<Passed>()?;
                    continue;
                }
            };
            Seen::once::<A::Error>(&mut seen.inner, bit)
                .map_err(|_| seen.refuse::<A::Error>(ProbeError::Duplicate(name)))?;
            if matches!(key, InnerKey::ExpiryReason) {
                map.next_value::<Passed>()?;
                continue;
            }
            let moment = match map.next_value_seed(Scalar)? {
                Value::Null => None,
                Value::Text(text) => match time::parse(&text) {
                    Some(at) => Some(at),
                    None => return Err(seen.refuse(ProbeError::Expiry(name))),
                },
                _ => return Err(seen.refuse(ProbeError::Expiry(name))),
            };
            match key {
                InnerKey::ExpiresAt => seen.expires_at = moment,
                InnerKey::ObservedAt => seen.dated = seen.dated.max(moment),
                _ => seen.retired_at = moment,
            }
        }
        Ok(())
    }
}

/// A value of which only strings and whole numbers matter.
enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    Number(u64),
    Other,
}

impl<'a> Value<'a> {
    fn into_text(self) -> Option<Cow<'a, str>> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn into_number(self) -> Option<u64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }
}

/// A value that is passed over, and can be read: `serde`'s own [`serde::de::IgnoredAny`] lets nesting without end, halves of
/// surrogate pairs and numbers beyond all range pass, on which whoever reads the document next fails.
struct Passed;

impl<'de> Deserialize<'de> for Passed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Scalar.deserialize(deserializer).map(|_| Self)
    }
}

struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Value<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalar {
    type Value = Value<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }
    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        while seq.next_element::<Passed>()?.is_some() {}
        Ok(Value::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        while map.next_entry::<Passed, Passed>()?.is_some() {}
        Ok(Value::Other)
    }
}
