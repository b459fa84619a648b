//! One STIX object, read without copying.
//!
//! Every field is only a hint: one of the wrong type is as good as absent, an unknown one is passed over, of a repeated
//! one the last counts. Only text that is no JSON object at all is an error.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::map::{Entries, Flag, Text, Texts};

/// An object as the feed sent it.
#[derive(Debug, Default)]
pub struct Object<'a> {
    /// `id`.
    pub id: Text<'a>,
    /// `type`.
    pub kind: Text<'a>,
    /// `confidence`.
    pub confidence: Text<'a>,
    /// `modified`.
    pub modified: Text<'a>,
    /// `valid_until`.
    pub expires_at: Text<'a>,
    /// `revoked`.
    pub revoked: bool,
    /// `description`.
    pub context: Text<'a>,
    /// `labels`, and what some write as `tags`.
    pub tags: Texts<'a>,
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

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Type,
    Confidence,
    #[serde(alias = "updated_at", alias = "modified_at", alias = "updated")]
    Modified,
    #[serde(alias = "valid_until")]
    ExpiresAt,
    Revoked,
    #[serde(alias = "description")]
    Context,
    Tags,
    Labels,
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

impl<'a> Object<'a> {
    /// Reads one, in place of what was there.
    ///
    /// # Errors
    /// The text is no JSON, or no object.
    pub fn read(&mut self, raw: &'a str) -> serde_json::Result<()> {
        *self = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(raw);
        Fields(self).deserialize(&mut deserializer)?;
        deserializer.end()
    }
}

/// Filled in place, as it is large.
struct Fields<'r, 'a>(&'r mut Object<'a>);

impl<'de> DeserializeSeed<'de> for Fields<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object: a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(record) = self;
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Id => record.id = map.next_value()?,
                Key::Type => record.kind = map.next_value()?,
                Key::Confidence => record.confidence = map.next_value()?,
                Key::Modified => record.modified = map.next_value()?,
                Key::ExpiresAt => record.expires_at = map.next_value()?,
                Key::Revoked => record.revoked = map.next_value::<Flag>()?.0,
                Key::Context => record.context = map.next_value()?,
                Key::Tags | Key::Labels => record.tags.0.extend(map.next_value::<Texts<'de>>()?.0),
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
        Ok(())
    }
}
