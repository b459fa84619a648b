//! One STIX object, read without copying.
//!
//! Every field is only a hint: one of the wrong type is as good as absent, an unknown one is passed over, of a repeated
//! one the last counts. Only text that is no JSON object at all is an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use tipline_ecs::time::Millis;

use crate::read::{DateFaults, Entries, Flag, InPlace, Text, Texts};

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
    /// `x_opencti_score`, or what OpenCTI's extension says instead: 0 to 100.
    pub score: Text<'a>,
    /// It has properties that the standard does not know.
    pub has_own: bool,
}

/// Properties that the standard has and that say nothing here.
const PASSED_OVER: [&str; 4] = ["defanged", "lang", "pattern_version", "spec_version"];

/// Whether a property is one of the standard's.
pub(crate) fn is_standard(name: &str) -> bool {
    const READ: [&str; 19] = [
        "confidence",
        "created",
        "created_by_ref",
        "description",
        "external_references",
        "granular_markings",
        "id",
        "indicator_types",
        "kill_chain_phases",
        "labels",
        "modified",
        "name",
        "object_marking_refs",
        "pattern",
        "pattern_type",
        "revoked",
        "type",
        "valid_from",
        "valid_until",
    ];
    READ.contains(&name) || PASSED_OVER.contains(&name)
}

/// What is read of `extensions`: the score that OpenCTI puts there.
struct Extensions<'a>(Text<'a>);

/// OpenCTI's own extension.
const OPENCTI: &str = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba";

impl<'de> Deserialize<'de> for Extensions<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named(&'static str);

        impl<'de> Visitor<'de> for Named {
            type Value = Extensions<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("extensions")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut score = Text::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    if name != self.0 {
                        map.next_value::<IgnoredAny>()?;
                    } else if self.0 == OPENCTI {
                        score = map.next_value_seed(Named("score"))?.0;
                    } else {
                        score = map.next_value()?;
                    }
                }
                Ok(Extensions(score))
            }

            pass_over!(Extensions(Text(None)); bool number text null list);
        }

        impl<'de> DeserializeSeed<'de> for Named {
            type Value = Extensions<'de>;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_any(self)
            }
        }

        deserializer.deserialize_any(Named(OPENCTI))
    }
}

impl Object<'_> {
    /// When it was changed, and so which of its versions it is; else when it was made.
    pub(crate) fn changed(&self, observed: Millis, faults: &mut DateFaults) -> Option<Millis> {
        let modified = faults.change("modified", &self.modified, observed);
        modified.or_else(|| faults.change("created", &self.created, observed))
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(crate) enum Key {
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
    XOpenctiScore,
    Extensions,
    #[serde(alias = "lang", alias = "pattern_version", alias = "spec_version")]
    Defanged,
    #[serde(other)]
    Unknown,
}

impl<'a> InPlace<'a> for Object<'a> {
    type Key = Key;

    const WHAT: &'static str = "an object";

    fn member<A: MapAccess<'a>>(&mut self, key: Key, map: &mut A) -> Result<(), A::Error> {
        match key {
            Key::Id => self.id = map.next_value()?,
            Key::Type => self.kind = map.next_value()?,
            Key::Confidence => self.confidence = map.next_value()?,
            Key::Modified => self.modified = map.next_value()?,
            Key::ExpiresAt => self.expires_at = map.next_value()?,
            Key::Revoked => self.revoked = map.next_value::<Flag>()?.0,
            Key::Context => self.context = map.next_value()?,
            Key::Tags | Key::Labels => self.tags.0.extend(map.next_value::<Texts<'a>>()?.0),
            Key::CreatedByRef => self.created_by = map.next_value()?,
            Key::Created => self.created = map.next_value()?,
            Key::Name => self.name = map.next_value()?,
            Key::IndicatorTypes => self.types = map.next_value()?,
            Key::Pattern => self.pattern = map.next_value()?,
            Key::PatternType => self.pattern_type = map.next_value()?,
            Key::ValidFrom => self.valid_from = map.next_value()?,
            Key::ObjectMarkingRefs => self.markings = map.next_value()?,
            Key::GranularMarkings => self.granular = map.next_value()?,
            Key::KillChainPhases => self.phases = map.next_value()?,
            Key::ExternalReferences => self.references = map.next_value()?,
            Key::XOpenctiScore => {
                self.has_own = true;
                self.score = map.next_value()?;
            }
            Key::Extensions => {
                self.has_own = true;
                let Extensions(score) = map.next_value()?;
                if self.score.0.is_none() {
                    self.score = score;
                }
            }
            Key::Defanged => {
                map.next_value::<IgnoredAny>()?;
            }
            Key::Unknown => {
                self.has_own = true;
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
