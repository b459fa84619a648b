//! One record of the REST interface, or one STIX object, read without copying.
//!
//! Every field but `type` and `value` is optional and only a hint: a field of the wrong type is as good as absent, an
//! unknown one is passed over, of a repeated one the last counts. Only text that is no JSON object at all is an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::entries::Entries;
use memchr::memchr;

/// A record or a STIX object as the feed sent it. What both have, stands in one place.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// `id`.
    pub id: Text<'a>,
    /// `type`.
    pub kind: Text<'a>,
    /// `value`.
    pub value: Text<'a>,
    /// `confidence`.
    pub confidence: Text<'a>,
    /// `first_seen`.
    pub first_seen: Text<'a>,
    /// `last_seen`.
    pub last_seen: Text<'a>,
    /// `modified`.
    pub modified: Text<'a>,
    /// `expires_at`, `valid_until`.
    pub expires_at: Text<'a>,
    /// `revoked`.
    pub revoked: bool,
    /// `source`.
    pub source: Source<'a>,
    /// `context`, `description`.
    pub context: Text<'a>,
    /// `tags` and `labels`.
    pub tags: Texts<'a>,
    /// `mitre_techniques`.
    pub techniques: Texts<'a>,
    /// `created_by_ref`.
    pub created_by: Text<'a>,
    /// `created`.
    pub created: Text<'a>,
    /// `name`.
    pub name: Text<'a>,
    /// `indicator_types`.
    pub types: Texts<'a>,
    /// `pattern`.
    pub pattern: Text<'a>,
    /// `pattern_type`.
    pub pattern_type: Text<'a>,
    /// `valid_from`.
    pub valid_from: Text<'a>,
    /// `object_marking_refs`.
    pub markings: Texts<'a>,
    /// `granular_markings`.
    pub granular: Entries<'a>,
    /// `kill_chain_phases`.
    pub phases: Entries<'a>,
    /// `external_references`.
    pub references: Entries<'a>,
}

/// JSON in which each escaped half of a surrogate pair is `\ufffd`; `None` where there is none. Texts that were cut in
/// the middle of a character, as JavaScript cuts them, hold such a half, which no text here can.
pub(super) fn mended(json: &str) -> Option<String> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0_usize;
    while let Some(next) = json.as_bytes().get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at = at.saturating_add(next);
        let escape = json.get(at..).unwrap_or_default();
        let length = match unit(escape) {
            Some(0xd800..=0xdbff)
                if escape.get(6..).and_then(unit).is_some_and(|low| (0xdc00..=0xdfff).contains(&low)) =>
            {
                12
            }
            Some(0xd800..=0xdfff) => {
                out.push_str(json.get(copied..at).unwrap_or_default());
                out.push_str("\\ufffd");
                copied = at.saturating_add(6);
                6
            }
            _ => escape.chars().take(2).map(char::len_utf8).sum(),
        };
        at = at.saturating_add(length);
    }
    if copied > 0 {
        out.push_str(json.get(copied..).unwrap_or_default());
    }
    (copied > 0).then_some(out)
}

/// `source` of a record.
#[derive(Debug, Default)]
pub struct Source<'a> {
    /// `article_id`.
    pub article_id: Text<'a>,
    /// `article_title`.
    pub article_title: Text<'a>,
    /// `article_url`.
    pub article_url: Text<'a>,
    /// `reference_url`.
    pub reference_url: Text<'a>,
    /// `feed_name`.
    pub feed_name: Text<'a>,
    /// `category`.
    pub category: Text<'a>,
    /// `origin`.
    pub origin: Text<'a>,
}

/// Text, or a number in its decimal form; nothing for anything else and for blank text.
#[derive(Debug, Clone, Default)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

impl Text<'_> {
    // Not worth its code in thirty places: it is for records that were cut in the middle of a character.

    /// The text, if there is one.
    pub fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// A list of texts; one text counts as a list of one.
#[derive(Debug, Default)]
pub struct Texts<'a>(pub Vec<Cow<'a, str>>);

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Type,
    Value,
    Confidence,
    FirstSeen,
    LastSeen,
    #[serde(alias = "updated_at", alias = "modified_at", alias = "updated")]
    Modified,
    #[serde(alias = "valid_until")]
    ExpiresAt,
    Revoked,
    Source,
    #[serde(alias = "description")]
    Context,
    Tags,
    Labels,
    MitreTechniques,
    CreatedByRef,
    Created,
    Name,
    IndicatorTypes,
    Pattern,
    PatternType,
    ValidFrom,
    ObjectMarkingRefs,
    GranularMarkings,
    KillChainPhases,
    ExternalReferences,
    #[serde(other)]
    Unknown,
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Record<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record: a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record<'de>, A::Error> {
                let mut record = Record::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Id => record.id = map.next_value()?,
                        Key::Type => record.kind = map.next_value()?,
                        Key::Value => record.value = map.next_value()?,
                        Key::Confidence => record.confidence = map.next_value()?,
                        Key::FirstSeen => record.first_seen = map.next_value()?,
                        Key::LastSeen => record.last_seen = map.next_value()?,
                        Key::Modified => record.modified = map.next_value()?,
                        Key::ExpiresAt => record.expires_at = map.next_value()?,
                        Key::Revoked => record.revoked = map.next_value::<Flag>()?.0,
                        Key::Source => record.source = map.next_value()?,
                        Key::Context => record.context = map.next_value()?,
                        Key::Tags | Key::Labels => record.tags.0.extend(map.next_value::<Texts<'de>>()?.0),
                        Key::MitreTechniques => record.techniques = map.next_value()?,
                        Key::CreatedByRef => record.created_by = map.next_value()?,
                        Key::Created => record.created = map.next_value()?,
                        Key::Name => record.name = map.next_value()?,
                        Key::IndicatorTypes => record.types = map.next_value()?,
                        Key::Pattern => record.pattern = map.next_value()?,
                        Key::PatternType => record.pattern_type = map.next_value()?,
                        Key::ValidFrom => record.valid_from = map.next_value()?,
                        Key::ObjectMarkingRefs => record.markings = map.next_value()?,
                        Key::GranularMarkings => record.granular = map.next_value()?,
                        Key::KillChainPhases => record.phases = map.next_value()?,
                        Key::ExternalReferences => record.references = map.next_value()?,
                        Key::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(record)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum SourceKey {
    ArticleId,
    ArticleTitle,
    ArticleUrl,
    ReferenceUrl,
    FeedName,
    Category,
    Origin,
    #[serde(other)]
    Unknown,
}

/// Values of no interest, for visitors that take some.
macro_rules! pass_over {
    ($none:expr; $($what:ident)*) => { $(pass_over!(@ $what, $none);)* };
    (@ bool, $none:expr) => { fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { Ok($none) } };
    (@ number, $none:expr) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { Ok($none) }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { Ok($none) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { Ok($none) }
    };
    (@ text, $none:expr) => { fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { Ok($none) } };
    (@ null, $none:expr) => { fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($none) } };
    (@ list, $none:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($none)
        }
    };
    (@ object, $none:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($none)
        }
    };
}

impl<'de> Deserialize<'de> for Source<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Source<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a source: a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Source<'de>, A::Error> {
                let mut source = Source::default();
                while let Some(key) = map.next_key::<SourceKey>()? {
                    match key {
                        SourceKey::ArticleId => source.article_id = map.next_value()?,
                        SourceKey::ArticleTitle => source.article_title = map.next_value()?,
                        SourceKey::ArticleUrl => source.article_url = map.next_value()?,
                        SourceKey::ReferenceUrl => source.reference_url = map.next_value()?,
                        SourceKey::FeedName => source.feed_name = map.next_value()?,
                        SourceKey::Category => source.category = map.next_value()?,
                        SourceKey::Origin => source.origin = map.next_value()?,
                        SourceKey::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(source)
            }

            pass_over!(Source::default(); bool number text null list);
        }
        deserializer.deserialize_any(Fields)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text((!super::trim(text).is_empty()).then_some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text((!super::trim(text).is_empty()).then(|| Cow::Owned(text.to_owned()))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Text<'de>, E> {
                Ok(Text(decimal(number).map(Cow::Owned)))
            }

            pass_over!(Text(None); bool null list object);
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Texts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts<'de>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element::<Text<'de>>()? {
                    texts.extend(text.0);
                }
                Ok(Texts(texts))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Texts<'de>, E> {
                Ok(Texts(if super::trim(text).is_empty() { Vec::new() } else { vec![Cow::Borrowed(text)] }))
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts<'de>, E> {
                Ok(Texts(if super::trim(text).is_empty() { Vec::new() } else { vec![Cow::Owned(text.to_owned())] }))
            }

            pass_over!(Texts(Vec::new()); bool number null object);
        }
        deserializer.deserialize_any(Any)
    }
}

/// A number as people write it, to six places; `None` where it is too large for that. The standard library's way, which
/// finds the shortest text for any number, costs fourteen kilobytes.
fn decimal(number: f64) -> Option<String> {
    const PLACES: u64 = 1_000_000;
    /// Above, a number has no six places any more.
    const LARGEST: f64 = 1e9;
    if number.abs() >= LARGEST {
        return None;
    }
    let millionths = (number.abs() * PLACES as f64).round() as u64;
    let sign = if number < 0.0 { "-" } else { "" };
    let text = format!("{sign}{}.{:06}", millionths / PLACES, millionths % PLACES);
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// `true`, and nothing else for true.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }

            pass_over!(Flag(false); number text null list object);
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_of_the_wrong_type_are_absent() {
        let text = r#"{"id":7,"type":"ipv4","value":"192.0.2.1","confidence":{"x":[1]},"first_seen":[1,{"a":2}],
            "source":"none","tags":"one","mitre_techniques":["T1059",null,{"a":[]},"T1071"],"revoked":"yes",
            "unknown":{"deep":[[]]},"context":"  ","labels":["two"]}"#;
        let record: Record<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(record.id.as_deref(), Some("7"));
        assert_eq!(record.value.as_deref(), Some("192.0.2.1"));
        assert!(record.confidence.0.is_none() && record.first_seen.0.is_none() && record.context.0.is_none());
        assert_eq!(record.tags.0, ["one", "two"]);
        assert_eq!(record.techniques.0, ["T1059", "T1071"]);
        assert!(!record.revoked);
    }

    #[test]
    fn numbers_count_as_their_decimal_form() {
        for (json, text) in [
            ("85", Some("85")),
            ("-3", Some("-3")),
            ("0.85", Some("0.85")),
            ("85.0", Some("85")),
            ("-0.5", Some("-0.5")),
            ("0.1234567", Some("0.123457")),
            ("0.9999999", Some("1")),
            ("999999999.25", Some("999999999.25")),
            ("1e9", None),
            ("1e300", None),
        ] {
            let text_of: Text<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(text_of.as_deref(), text, "{json}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_mended_and_whole_ones_stay() {
        for (raw, mended) in [
            (r#"{"a":"x\ud83d"}"#, Some(r#"{"a":"x\ufffd"}"#)),
            (r#"{"a":"\ude00\ud83d\ude00"}"#, Some(r#"{"a":"\ufffd\ud83d\ude00"}"#)),
            (r#"{"a":"\uD83D\n"}"#, Some(r#"{"a":"\ufffd\n"}"#)),
            (r#"{"a":"\ud83d\ude00"}"#, None),
            (r#"{"a":"\\ud83d"}"#, None),
            ("{\"a\":\"\\", None),
            ("{\"a\":\"\\u", None),
        ] {
            assert_eq!(super::mended(raw).as_deref(), mended, "{raw}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_field_counts() {
        let record: Record<'_> = serde_json::from_str(r#"{"type":"a","type":"b"}"#).unwrap();
        assert_eq!(record.kind.as_deref(), Some("b"));
    }
}
