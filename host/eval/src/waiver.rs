//! Changes that are intended, with the reason: a YAML list.
//!
//! ```yaml
//! - finding: field-changed
//!   about: threat.indicator.confidence
//!   reason: the scale of the feed has three steps since March
//!   max: 1000            # may be left out: however often
//! - finding: identity
//!   about: "*"
//!   reason: …
//! ```
//!
//! A waiver takes findings of one kind; `about` is the finding's own word, or `*` for all of the kind. One that waives
//! nothing is a finding itself: it would hide the next change. One that waives more than its `max` waives nothing.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::finding::{Finding, Kind};

/// The longest file: some thousand waivers. Fixed: it guards the memory against a wrong file.
pub const MAX_WAIVER_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiver {
    finding: String,
    about: String,
    reason: String,
    max: Option<u64>,
}

/// Intended changes.
#[derive(Debug, Default)]
pub struct Waivers(Vec<(Kind, Waiver)>);

impl Waivers {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong in it, with the waiver's number.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let text = tipline_model::file::read_text(file, MAX_WAIVER_BYTES);
        let text = text.with_context(|| format!("The waivers {name} cannot be read"))?;
        Self::parse(&text).with_context(|| format!("The waivers {name} cannot be used"))
    }

    fn parse(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let list: Vec<Waiver> = serde_saphyr::from_str(text).context(
            "expected a list of `finding`, `about` and `reason`, such as `- {finding: field-changed, about: \
             threat.indicator.confidence, reason: a new scale}`",
        )?;
        let mut waivers = Vec::with_capacity(list.len());
        for (number, waiver) in list.into_iter().enumerate() {
            let Some(kind) = Kind::of(&waiver.finding).filter(|kind| *kind != Kind::StaleWaiver) else {
                let known: Vec<_> = Kind::ALL.into_iter().map(Kind::word).collect();
                bail!(
                    "waiver {}: there is no finding `{}`; there are: {}",
                    number + 1,
                    tipline_model::text::escape(&waiver.finding),
                    known.join(", ")
                );
            };
            if waiver.reason.trim().is_empty() {
                bail!("waiver {}: `reason` is empty; say why the change is intended", number + 1);
            }
            waivers.push((kind, waiver));
        }
        Ok(Self(waivers))
    }

    /// Marks what is intended, and adds a finding for each waiver that is not needed.
    pub fn apply(&self, findings: &mut Vec<Finding>, fails: impl Fn(Kind) -> bool) {
        for (kind, waiver) in &self.0 {
            let mut used = false;
            for finding in findings.iter_mut().filter(|finding| finding.kind == *kind) {
                let is_meant = waiver.about == "*" || waiver.about == finding.about;
                if is_meant && waiver.max.is_none_or(|max| finding.count <= max) {
                    used = true;
                    finding.waived.get_or_insert_with(|| waiver.reason.trim().to_owned());
                }
            }
            if !used {
                findings.push(Finding {
                    kind: Kind::StaleWaiver,
                    about: format!("{} {}", kind.word(), waiver.about),
                    count: 1,
                    ways: Vec::new(),
                    examples: Vec::new(),
                    fails: fails(Kind::StaleWaiver),
                    waived: None,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn finding(kind: Kind, about: &str, count: u64) -> Finding {
        let (ways, examples) = (Vec::new(), Vec::new());
        Finding { kind, about: about.to_owned(), count, ways, examples, fails: true, waived: None }
    }

    #[test]
    fn what_is_intended_is_waived_and_a_stale_waiver_is_a_finding() {
        for (waiver, waived, stale) in [
            ("- {finding: field-changed, about: a, reason: r}", vec!["a"], 0),
            ("- {finding: field-changed, about: '*', reason: r}", vec!["a", "b"], 0),
            ("- {finding: field-changed, about: a, reason: r, max: 10}", vec!["a"], 0),
            ("- {finding: field-changed, about: a, reason: r, max: 9}", vec![], 1),
            ("- {finding: field-added, about: a, reason: r}", vec![], 1),
            ("- {finding: field-changed, about: c, reason: r}", vec![], 1),
            ("", vec![], 0),
        ] {
            let mut findings = vec![finding(Kind::FieldChanged, "a", 10), finding(Kind::FieldChanged, "b", 1)];
            Waivers::parse(waiver).unwrap().apply(&mut findings, |_| true);
            let is_waived: Vec<_> =
                findings.iter().filter(|f| f.waived.as_deref() == Some("r")).map(|f| f.about.as_str()).collect();
            assert_eq!(is_waived, waived, "{waiver}");
            assert_eq!(findings.iter().filter(|f| f.kind == Kind::StaleWaiver).count(), stale, "{waiver}");
        }
    }

    #[test]
    fn a_wrong_waiver_is_told_by_its_number() {
        for (text, expected) in [
            (
                "- {finding: nonsense, about: a, reason: r}",
                "waiver 1: there is no finding `nonsense`; there are: load, ",
            ),
            ("- {finding: ecs, about: a, reason: ' '}", "waiver 1: `reason` is empty"),
            ("- {finding: ecs, about: a}", "expected a list of"),
            ("- {finding: ecs, about: a, reason: r, until: x}", "expected a list of"),
        ] {
            let error = format!("{:#}", Waivers::parse(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_has_a_longest_form() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.yml");
        for (bytes, is_read) in [(MAX_WAIVER_BYTES, true), (MAX_WAIVER_BYTES + 1, false)] {
            fs::write(&file, " ".repeat(bytes as usize)).unwrap();
            assert_eq!(Waivers::read(&file).is_ok(), is_read);
        }
    }
}
