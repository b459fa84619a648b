//! One record of the REST interface, read without copying.
//!
//! Every field but `type` and `value` is optional and only a hint: a field of the wrong type is as good as absent, an
//! unknown one is passed over, of a repeated one the last counts. Only text that is no JSON object at all is an error.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::read::{Flag, InPlace, Text, Texts};

/// A record as the feed sent it.
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
    /// `tags`.
    pub tags: Texts<'a>,
    /// `labels`.
    pub labels: Texts<'a>,
    /// `mitre_techniques`.
    pub techniques: Texts<'a>,
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

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(crate) enum Key {
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
    #[serde(other)]
    Unknown,
}

impl<'a> InPlace<'a> for Record<'a> {
    type Key = Key;

    const WHAT: &'static str = "a record";

    fn member<A: MapAccess<'a>>(&mut self, key: Key, map: &mut A) -> Result<(), A::Error> {
        match key {
            Key::Id => self.id = map.next_value()?,
            Key::Type => self.kind = map.next_value()?,
            Key::Value => self.value = map.next_value()?,
            Key::Confidence => self.confidence = map.next_value()?,
            Key::FirstSeen => self.first_seen = map.next_value()?,
            Key::LastSeen => self.last_seen = map.next_value()?,
            Key::Modified => self.modified = map.next_value()?,
            Key::ExpiresAt => self.expires_at = map.next_value()?,
            Key::Revoked => self.revoked = map.next_value::<Flag>()?.0,
            Key::Source => self.source = map.next_value()?,
            Key::Context => self.context = map.next_value()?,
            Key::Tags => self.tags = map.next_value()?,
            Key::Labels => self.labels = map.next_value()?,
            Key::MitreTechniques => self.techniques = map.next_value()?,
            Key::Unknown => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_of_the_wrong_type_are_absent() {
        let text = r#"{"id":7,"type":"ipv4","value":"192.0.2.1","confidence":{"x":[1]},"first_seen":[1,{"a":2}],
            "source":"none","tags":"one","mitre_techniques":["T1059",null,{"a":[]},"T1071"],"revoked":"yes",
            "unknown":{"deep":[[]]},"context":"  ","labels":["two"]}"#;
        let mut record = Record::default();
        record.read(text).unwrap();
        assert_eq!(record.id.as_deref(), Some("7"));
        assert_eq!(record.value.as_deref(), Some("192.0.2.1"));
        assert!(record.confidence.0.is_none() && record.first_seen.0.is_none() && record.context.0.is_none());
        assert_eq!((record.tags.0, record.labels.0), (vec!["one".into()], vec!["two".into()]));
        assert_eq!(record.techniques.0, ["T1059", "T1071"]);
        assert!(!record.revoked);
    }

    #[test]
    fn the_last_of_a_repeated_field_counts() {
        let mut record = Record::default();
        record.read(r#"{"type":"a","type":"b"}"#).unwrap();
        assert_eq!(record.kind.as_deref(), Some("b"));
    }
}
