//! One STIX object, read without copying.
//!
//! Every field is only a hint: one of the wrong type is as good as absent, an unknown one is passed over, of a repeated
//! one the last counts. Only text that is no JSON object at all is an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use tipline_ecs::time::Millis;

use crate::read::{DateFaults, Entries, Flag, InPlace, Switch, Text, Texts, sorted};
use crate::rules::{Shown, Verdict, verdict};

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
    /// `labels`.
    pub labels: Texts<'a>,
    /// `tags`, as some write them beside or in the place of labels.
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
    /// `x_opencti_score`: 0 to 100.
    pub score: Text<'a>,
    /// `x_opencti_detection`.
    pub detection: Option<bool>,
    /// What OpenCTI's extension says in their place.
    pub(crate) opencti: OpenCti<'a>,
    /// `x_misp_to_ids`, or `to_ids` as MISP itself has it.
    pub to_ids: Option<bool>,
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

/// What is read of `extensions`: the score that OpenCTI puts there, and whether it is for detection.
#[derive(Default)]
struct Extensions<'a>(OpenCti<'a>);

/// What OpenCTI's own extension says.
#[derive(Debug, Default)]
pub(crate) struct OpenCti<'a> {
    score: Text<'a>,
    detection: Switch,
}

/// OpenCTI's own extension.
const OPENCTI: &str = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba";

impl<'de> Deserialize<'de> for Extensions<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Extensions<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("extensions")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut of_all = Extensions::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    if name == OPENCTI {
                        of_all.0 = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(of_all)
            }

            pass_over!(Extensions::default(); bool number text null list);
        }

        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for OpenCti<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = OpenCti<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an extension")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut said = OpenCti::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    match name.as_ref() {
                        "score" => said.score = map.next_value()?,
                        "detection" => said.detection = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(said)
            }

            pass_over!(OpenCti::default(); bool number text null list);
        }

        deserializer.deserialize_any(Any)
    }
}

/// When an object was changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// As its document says it: not after it was shown.
    pub(crate) at: Option<Millis>,
    /// As it counts among the versions of the object.
    pub(crate) version: Option<Millis>,
    /// Its date lies ahead of when it was shown, so that it tells nothing of which version is the newer one.
    pub(crate) is_ahead: bool,
}

impl<'a> Object<'a> {
    /// When it was changed, and so which of its versions it is; else when it was made.
    ///
    /// A date ahead would shield its object from all that its source says until then. So it counts as of when the object was
    /// made, which any other date replaces; but what is taken back stays so, as STIX has no version behind that.
    pub(crate) fn changed(&self, shown: Shown, faults: &mut DateFaults) -> Change {
        let observed = shown.observed;
        let mut is_ahead = false;
        let mut date = |field, text: &Text<'_>| {
            let at = faults.date(field, text)?;
            if faults.is_ahead(field, text, at, shown.latest) {
                is_ahead = true;
                return Some(None);
            }
            Some(Some(at))
        };
        let modified = date("modified", &self.modified);
        let created = if matches!(modified, Some(Some(_))) { None } else { date("created", &self.created) };
        let version = modified.flatten().or(created.flatten());
        // Of when it was made its change says nothing.
        match modified.or(created) {
            Some(None) if self.revoked => Change { at: Some(observed), version: Some(observed), is_ahead },
            Some(None) => Change { at: Some(observed), version, is_ahead },
            _ => Change { at: version, version, is_ahead: false },
        }
    }

    /// How bad its source says it is, of 100.
    pub(crate) fn score(&self) -> Option<f64> {
        let text = self.score.0.as_ref().or(self.opencti.score.0.as_ref());
        let score = text.and_then(|text| text.trim().parse::<f64>().ok());
        score.filter(|score| (0.0..=100.0).contains(score))
    }

    /// Why nobody is to be warned of it, by what its source says.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let is_off = self.detection.or(self.opencti.detection.0) == Some(false) || self.to_ids == Some(false);
        let mut said = verdict(&self.types.0, &self.labels.0);
        if !self.tags.0.is_empty() {
            said = said.max(verdict(&self.types.0, &self.tags.0));
        }
        said.max(is_off.then_some(Verdict::NotForDetection))
    }

    /// Its labels and tags, sorted, which takes them out of it.
    pub(crate) fn take_tags(&mut self) -> Vec<Cow<'a, str>> {
        let mut tags = std::mem::take(&mut self.labels.0);
        tags.append(&mut self.tags.0);
        sorted(tags)
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
    XOpenctiDetection,
    #[serde(alias = "to_ids")]
    XMispToIds,
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
            Key::Tags => self.tags = map.next_value()?,
            Key::Labels => self.labels = map.next_value()?,
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
            Key::XOpenctiDetection => {
                self.has_own = true;
                self.detection = map.next_value::<Switch>()?.0;
            }
            Key::XMispToIds => {
                self.has_own = true;
                self.to_ids = map.next_value::<Switch>()?.0;
            }
            Key::Extensions => {
                self.has_own = true;
                self.opencti = map.next_value::<Extensions<'a>>()?.0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Clocks;
    use tipline_ecs::time::{DAY, HOUR, parse_rfc3339};

    /// When it was changed as its document says it, and as it counts among versions.
    #[test]
    fn a_change_lies_ahead_where_both_clocks_say_so() {
        let text = r#"{"type":"indicator","id":"indicator--1","created":"2026-01-01T00:00:00Z",
            "modified":"2026-12-05T08:00:00Z"}"#;
        let at = |text| parse_rfc3339(text).unwrap();
        let (created, modified) = (at("2026-01-01T00:00:00Z"), at("2026-12-05T08:00:00Z"));
        let revoked = text.replace("\"type\"", "\"revoked\":true,\"type\"");
        for (text, observed, latest, shown, version) in [
            (text, modified, modified, modified, modified),
            (text, modified - HOUR, modified - HOUR, modified - HOUR, created),
            (text, modified - 60 * DAY, modified, modified, modified),
            (text, modified - 60 * DAY, modified - HOUR, modified - 60 * DAY, created),
            (&revoked, modified - HOUR, modified - HOUR, modified - HOUR, modified - HOUR),
        ] {
            let mut object = Object::default();
            object.read(text).unwrap();
            let change = object.changed(Shown::by(observed, Clocks { ours: None, latest }), &mut DateFaults::default());
            assert_eq!((change.at, change.version), (Some(shown), Some(version)), "{observed} {latest}");
            assert_eq!(change.is_ahead, shown != modified);
        }
    }
    /// The properties that STIX 2.1 gives to all objects and to indicators, but for `extensions`, which holds others' own.
    const OF_STIX: [&str; 23] = [
        "confidence",
        "created",
        "created_by_ref",
        "defanged",
        "description",
        "external_references",
        "granular_markings",
        "id",
        "indicator_types",
        "kill_chain_phases",
        "labels",
        "lang",
        "modified",
        "name",
        "object_marking_refs",
        "pattern",
        "pattern_type",
        "pattern_version",
        "revoked",
        "spec_version",
        "type",
        "valid_from",
        "valid_until",
    ];

    #[test]
    fn what_the_standard_has_is_read_and_never_kept_as_an_objects_own() {
        for name in OF_STIX {
            assert!(is_standard(name), "{name}");
            let text = format!(r#"{{"{name}":null}}"#);
            let mut object = Object::default();
            object.read(&text).unwrap();
            assert!(!object.has_own, "{name} is none that is read or passed over");
        }
        for name in ["x_own", "extensions", "x_opencti_score", "to_ids"] {
            let text = format!(r#"{{"{name}":null}}"#);
            let mut object = Object::default();
            object.read(&text).unwrap();
            assert!(object.has_own && !is_standard(name), "{name}");
        }
    }
}
