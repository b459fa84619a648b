//! One STIX object, read without copying.
//!
//! Every field is only a hint: one of the wrong type is as good as absent, an unknown one is passed over, of a repeated
//! one the last counts. Only text that is no JSON object at all is an error.

use serde::de::{IgnoredAny, MapAccess};

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
            Key::Unknown => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
