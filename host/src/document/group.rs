//! What the claims of one value say together.

use serde_json::Value;

use super::{is_live, kind, name, text_at, texts_at};
use crate::clock::Millis;
use crate::store::Hit;

/// From the least sure to the surest.
pub(crate) const CONFIDENCES: [&str; 5] = ["Not Specified", "None", "Low", "Medium", "High"];

/// From the loosest to the strictest.
pub(crate) const MARKINGS: [&str; 6] = ["WHITE", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"];

/// The claims of a value, or a single one; never empty.
#[derive(Debug)]
pub(crate) struct Group {
    claims: Vec<(String, Value)>,
}

impl Group {
    /// The claims found, the leading one first; none where there are none.
    pub(crate) fn of(hits: &[Hit]) -> Option<Self> {
        let claims: Vec<_> =
            hits.iter().map(|hit| (hit.id.clone(), serde_json::from_str(&hit.json).unwrap_or_default())).collect();
        (!claims.is_empty()).then_some(Self { claims })
    }

    /// Each claim's id and document.
    pub(crate) fn claims(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.claims.iter().map(|(id, document)| (id.as_str(), document))
    }

    /// How many claims there are.
    pub(crate) fn count(&self) -> u64 {
        self.claims.len() as u64
    }

    /// The leading claim's id.
    pub(crate) fn id(&self) -> &str {
        self.claims.first().map_or("", |(id, _)| id)
    }

    fn leading(&self) -> &Value {
        self.claims.first().map_or(&Value::Null, |(_, document)| document)
    }

    /// The value as people write it.
    pub(crate) fn name(&self) -> &str {
        name(self.leading())
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> &str {
        kind(self.leading())
    }

    /// All that the claims say at a path, each once, in the claims' order.
    pub(crate) fn texts(&self, path: &str) -> Vec<&str> {
        let mut texts = Vec::new();
        for text in self.claims.iter().flat_map(|(_, document)| texts_at(document, path)) {
            if !text.is_empty() && !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }

    /// The surest confidence; empty where nobody says any.
    pub(crate) fn confidence(&self) -> &str {
        self.highest("threat.indicator.confidence", &CONFIDENCES)
    }

    /// The strictest marking; empty where nobody says any.
    pub(crate) fn marking(&self) -> &str {
        self.highest("threat.indicator.marking.tlp", &MARKINGS)
    }

    fn highest(&self, path: &str, order: &[&str]) -> &str {
        let place = |word: &&str| order.iter().position(|known| known.eq_ignore_ascii_case(word));
        self.texts(path).into_iter().max_by_key(place).unwrap_or_default()
    }

    /// The earliest time at a path, as it is written. Times are written alike, so their texts are in their order.
    pub(crate) fn earliest(&self, path: &str) -> &str {
        self.texts(path).into_iter().min().unwrap_or_default()
    }

    /// The latest time at a path, as it is written.
    pub(crate) fn latest(&self, path: &str) -> &str {
        self.texts(path).into_iter().max().unwrap_or_default()
    }

    /// When the last claim ends; empty where one has no end.
    pub(crate) fn ends(&self) -> &str {
        let path = "tipline.expires_at";
        let has_none = self.claims.iter().any(|(_, document)| text_at(document, path).is_empty());
        if has_none { "" } else { self.latest(path) }
    }

    /// Whether one of the claims is matched against.
    pub(crate) fn is_live(&self, now: Millis) -> bool {
        self.claims.iter().any(|(_, document)| is_live(document, now))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(claims: &[Value]) -> Group {
        let hit = |claim: &Value| Hit { id: String::new(), version: 0, json: claim.to_string() };
        Group::of(&claims.iter().map(hit).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn claims_say_together_what_is_surest_strictest_earliest_and_latest() {
        let claim = |confidence: &str, tlp: &str, first: &str, last: &str, ends: Option<&str>| {
            json!({
                "threat.indicator": {"confidence": confidence, "marking": {"tlp": tlp}, "first_seen": first, "last_seen": last},
                "tags": ["a", confidence], "tipline.expires_at": ends,
            })
        };
        let mut claims = vec![
            claim("Low", "GREEN", "2026-02-01", "2026-03-01", Some("2026-09-01")),
            claim("High", "AMBER+STRICT", "2026-01-01", "2026-02-01", Some("2026-08-01")),
            claim("Not Specified", "AMBER", "2026-04-01", "2026-04-01", Some("2026-10-01")),
        ];
        let all = group(&claims);
        assert_eq!((all.confidence(), all.marking()), ("High", "AMBER+STRICT"));
        assert_eq!(all.earliest("threat.indicator.first_seen"), "2026-01-01");
        assert_eq!((all.latest("threat.indicator.last_seen"), all.ends()), ("2026-04-01", "2026-10-01"));
        assert_eq!(all.texts("tags"), ["a", "Low", "High", "Not Specified"]);
        claims.push(claim("None", "CLEAR", "2026-05-01", "2026-05-01", None));
        assert_eq!(group(&claims).ends(), "");
        assert!(Group::of(&[]).is_none());
    }
}
