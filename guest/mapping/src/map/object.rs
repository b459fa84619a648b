//! One STIX object, read without copying.
//!
//! As with records, every property is only a hint: one of the wrong type is as good as absent, an unknown one is passed
//! over. Versions 2.0 and 2.1 are read alike, ids have any form.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::record::{Flag, Text, Texts};

/// An object as the feed sent it.
#[derive(Debug, Default)]
pub struct Object<'a> {
    /// `type`.
    pub kind: Text<'a>,
    /// `id`.
    pub id: Text<'a>,
    /// `created_by_ref`.
    pub created_by: Text<'a>,
    /// `created`.
    pub created: Text<'a>,
    /// `modified`.
    pub modified: Text<'a>,
    /// `revoked`.
    pub revoked: bool,
    /// `name`.
    pub name: Text<'a>,
    /// `description`.
    pub description: Text<'a>,
    /// `indicator_types`.
    pub types: Texts<'a>,
    /// `pattern`.
    pub pattern: Text<'a>,
    /// `pattern_type`.
    pub pattern_type: Text<'a>,
    /// `valid_from`.
    pub valid_from: Text<'a>,
    /// `valid_until`.
    pub valid_until: Text<'a>,
    /// `confidence`.
    pub confidence: Text<'a>,
    /// `labels`.
    pub labels: Texts<'a>,
    /// `object_marking_refs`.
    pub markings: Texts<'a>,
    /// `granular_markings`.
    pub granular: Entries<'a>,
    /// `kill_chain_phases`.
    pub phases: Entries<'a>,
    /// `external_references`.
    pub references: Entries<'a>,
}

/// A member of `kill_chain_phases`, `external_references` or `granular_markings`.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    /// The chain, the source, or the marking.
    pub name: Text<'a>,
    /// The phase, or the URL.
    pub what: Text<'a>,
    /// The source's id for it.
    pub id: Text<'a>,
}

/// A list of them.
#[derive(Debug, Default)]
pub struct Entries<'a>(pub Vec<Entry<'a>>);

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Type,
    Id,
    CreatedByRef,
    Created,
    Modified,
    Revoked,
    Name,
    Description,
    IndicatorTypes,
    Pattern,
    PatternType,
    ValidFrom,
    ValidUntil,
    Confidence,
    Labels,
    ObjectMarkingRefs,
    GranularMarkings,
    KillChainPhases,
    ExternalReferences,
    #[serde(other)]
    Unknown,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a STIX object: a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object::default();
                while let Some(key) = map.next_key::<Key>()? {
                    let text = match key {
                        Key::Type => &mut object.kind,
                        Key::Id => &mut object.id,
                        Key::CreatedByRef => &mut object.created_by,
                        Key::Created => &mut object.created,
                        Key::Modified => &mut object.modified,
                        Key::Name => &mut object.name,
                        Key::Description => &mut object.description,
                        Key::Pattern => &mut object.pattern,
                        Key::PatternType => &mut object.pattern_type,
                        Key::ValidFrom => &mut object.valid_from,
                        Key::ValidUntil => &mut object.valid_until,
                        Key::Confidence => &mut object.confidence,
                        Key::IndicatorTypes => {
                            object.types = map.next_value()?;
                            continue;
                        }
                        Key::Labels => {
                            object.labels = map.next_value()?;
                            continue;
                        }
                        Key::ObjectMarkingRefs => {
                            object.markings = map.next_value()?;
                            continue;
                        }
                        Key::GranularMarkings => {
                            object.granular = map.next_value()?;
                            continue;
                        }
                        Key::KillChainPhases => {
                            object.phases = map.next_value()?;
                            continue;
                        }
                        Key::ExternalReferences => {
                            object.references = map.next_value()?;
                            continue;
                        }
                        Key::Revoked => {
                            object.revoked = map.next_value::<Flag>()?.0;
                            continue;
                        }
                        Key::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *text = map.next_value()?;
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element::<Entry<'de>>()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }

            pass_over!(Entries(Vec::new()); bool number text null object);
        }
        deserializer.deserialize_any(List)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum EntryKey {
    #[serde(alias = "source_name", alias = "marking_ref")]
    KillChainName,
    #[serde(alias = "url")]
    PhaseName,
    ExternalId,
    #[serde(other)]
    Unknown,
}

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
                let mut entry = Entry::default();
                while let Some(key) = map.next_key::<EntryKey>()? {
                    let text = match key {
                        EntryKey::KillChainName => &mut entry.name,
                        EntryKey::PhaseName => &mut entry.what,
                        EntryKey::ExternalId => &mut entry.id,
                        EntryKey::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *text = map.next_value()?;
                }
                Ok(entry)
            }

            pass_over!(Entry::default(); bool number text null list);
        }
        deserializer.deserialize_any(Fields)
    }
}
