//! What was found, what of it has a reason that is known, and how it is told.

use std::collections::HashSet;
use std::io::{self, Write};

use serde_json::json;

use super::shown::{Claims, NAMED, Refused};
use crate::clock::Millis;
use crate::state::{InputStatus, Ledger, LedgerError, MAX_DROPPED};
use crate::text;

/// Feeds date to the second: what has changed in the second of a poll may have changed after it.
const DATED_TO_MS: Millis = 1_000;

/// From when on the feed may have changed what the last poll has seen; none where there was no poll that ended well.
fn polled(status: &InputStatus) -> Option<Millis> {
    // One that began later than the last good one ended did not end well, or is under way.
    status.last_success.map(|ended| status.last_attempt.filter(|began| *began <= ended).unwrap_or(ended))
}

/// What store and feed disagree on.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) shown: usize,
    pub(super) missing: Vec<String>,
    pub(super) older: Vec<String>,
    pub(super) not_live: Vec<String>,
    pub(super) not_ended: Vec<String>,
    pub(super) ahead: Vec<String>,
    pub(super) unshown: Vec<String>,
    pub(super) refused: Refused,
    /// Those that differ as an ingest pipeline of the output dropped them.
    dropped: Vec<String>,
    /// Whether more were dropped than the ledger notes.
    is_full_of_dropped: bool,
    /// Those that differ as the output refused them.
    quarantined: Vec<String>,
    /// Those that differ as the feed has them from after the last poll.
    since_then: Vec<String>,
    /// Why the feed was not read to its end, where it was not.
    pub(super) unread: Option<String>,
}

impl Found {
    /// Nothing yet, among so many claims.
    pub(super) fn among(shown: usize) -> Self {
        Self { shown, ..Self::default() }
    }

    /// Sets aside what differs for a reason that the ledger knows.
    pub(super) fn set_aside(
        &mut self,
        claims: &Claims,
        ledger: &Ledger,
        input: &str,
        pipeline: Option<&str>,
    ) -> Result<(), LedgerError> {
        let lists = [&self.missing, &self.older, &self.not_live, &self.not_ended];
        let dropped = ledger.dropped_of(input, pipeline, lists.into_iter().flatten().map(String::as_str))?;
        self.is_full_of_dropped = ledger.is_full_of_dropped(input)?;
        let quarantined = ledger.quarantined_ids(input)?;
        let polled = polled(&ledger.status(input)?);
        let is_newer = |id: &str| {
            let dated = claims.get(id).and_then(|claim| claim.dated);
            dated.zip(polled).is_some_and(|(dated, polled)| dated.saturating_add(DATED_TO_MS) > polled)
        };
        self.set_aside_known(&dropped, &quarantined, is_newer);
        Ok(())
    }

    fn set_aside_known(
        &mut self,
        dropped: &HashSet<String>,
        quarantined: &HashSet<String>,
        is_newer: impl Fn(&str) -> bool,
    ) {
        for list in [&mut self.missing, &mut self.older, &mut self.not_live, &mut self.not_ended] {
            for id in std::mem::take(list) {
                match () {
                    () if dropped.contains(&id) => self.dropped.push(id),
                    () if quarantined.contains(&id) => self.quarantined.push(id),
                    () if is_newer(&id) => self.since_then.push(id),
                    () => list.push(id),
                }
            }
        }
        for list in [&mut self.dropped, &mut self.quarantined, &mut self.since_then] {
            list.sort_unstable();
        }
    }

    /// Whether a pipeline drops whatever the feed shows, which nobody can want.
    fn is_all_dropped(&self) -> bool {
        self.shown > 0 && self.dropped.len() == self.shown
    }

    pub(super) fn is_quiet(&self) -> bool {
        !self.is_all_dropped()
            && [&self.missing, &self.older, &self.not_live, &self.not_ended, &self.ahead].into_iter().all(Vec::is_empty)
    }

    pub(super) fn print(&self, input: &str, own: &[String], json: bool, out: &mut impl Write) -> io::Result<()> {
        let Self { shown, missing, older, not_live, not_ended, ahead, unshown, refused, unread, .. } = self;
        let Self { dropped, quarantined, since_then, .. } = self;
        if json {
            let json = json!({
                "input": input, "complete": unread.is_none(), "error": unread, "shown": shown, "refused": refused.count,
                "refused_for": refused.reasons, "missing": missing, "older": older, "not_live": not_live,
                "not_ended": not_ended, "ahead": ahead, "not_shown": unshown, "dropped": dropped,
                "quarantined": quarantined, "since_then": since_then,
            });
            return writeln!(out, "{}", text::json(&json.to_string()));
        }
        writeln!(
            out,
            "{input}: the feed shows {shown} claims; in the store {} are missing, {} are older, {} are not live, {} have not \
             ended; {} live ones were not shown",
            missing.len(),
            older.len(),
            not_live.len(),
            not_ended.len(),
            unshown.len()
        )?;
        let lists = [
            ("missing", missing),
            ("older", older),
            ("not live", not_live),
            ("not ended", not_ended),
            ("ahead", ahead),
            ("not shown", unshown),
            ("dropped", dropped),
            ("quarantined", quarantined),
            ("since then", since_then),
        ];
        for (word, ids) in lists {
            for id in ids.iter().take(NAMED) {
                writeln!(out, "  {word}: {}", text::show(id))?;
            }
            if ids.len() > NAMED {
                writeln!(out, "  {word}: {} more; --json names all", ids.len() - NAMED)?;
            }
        }
        if let Some(ahead) = crate::sweep::report::ahead(ahead.len() as u64) {
            writeln!(out, "  {ahead}")?;
        }
        if !dropped.is_empty() {
            let count = dropped.len();
            match self.is_all_dropped() {
                true => writeln!(out, "  an ingest pipeline of the output drops all of them: look at its conditions")?,
                false => {
                    writeln!(
                        out,
                        "  {count} more differ as an ingest pipeline of the output drops them; that is no fault"
                    )?;
                }
            }
        }
        if self.is_full_of_dropped {
            let beyond = "what was dropped beyond that counts as missing";
            writeln!(out, "  {MAX_DROPPED} dropped documents are noted, which is the limit: {beyond}")?;
        }
        if !quarantined.is_empty() {
            let count = quarantined.len();
            writeln!(out, "  {count} more differ as the output refused them: `tipline rejects list` says why")?;
        }
        if !since_then.is_empty() {
            let count = since_then.len();
            writeln!(out, "  {count} more the feed dates after the last poll began: the next one stores them")?;
        }
        if refused.count > 0 {
            writeln!(out, "  {} documents broke a rule of the host and would be quarantined", refused.count)?;
        }
        for reason in &refused.reasons {
            writeln!(out, "  refused: {}", text::show(reason))?;
        }
        if let Some(reason) = unread {
            let reason = text::show_beside(reason, own);
            writeln!(out, "{input}: the feed was not read to its end, so more may be missing: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_was_found_is_said_with_its_reasons() {
        let found = Found {
            refused: Refused { count: 1, reasons: vec!["a (version-ahead): see http://evil.example".to_owned()] },
            unread: Some("http://127.0.0.1:8080/ answers with status 500.".to_owned()),
            ..Found::default()
        };
        let printed = |json| {
            let mut out = Vec::new();
            found.print("feed", &["http://127.0.0.1:8080/".to_owned()], json, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = printed(false);
        assert!(text.contains("refused: a (version-ahead): see hxxp://evil[.]example"), "{text}");
        assert!(text.contains("more may be missing: http://127.0.0.1:8080/ answers with status 500."), "{text}");
        let json: Value = serde_json::from_str(&printed(true)).unwrap();
        assert_eq!((&json["complete"], &json["refused"]), (&json!(false), &json!(1)));
        assert!(json["error"].is_string() && json["refused_for"][0].is_string(), "{json}");
    }

    #[test]
    fn what_differs_for_a_known_reason_is_told_and_no_alarm() {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<HashSet<_>>();
        for (dropped, quarantined, newer, missing, words) in [
            (&[][..], &[][..], &[][..], &["a", "b"][..], &[][..]),
            (&["a"], &[], &[], &["b"], &["dropped: a\n", "1 more differ as an ingest pipeline"]),
            // However many were dropped, what was not is missing.
            (&["a", "x", "y", "z"], &[], &[], &["b"], &["dropped: a\n"]),
            (&["a", "b"], &[], &[], &[], &["2 more differ as an ingest pipeline"]),
            (&[], &["b"], &[], &["a"], &["quarantined: b\n", "`tipline rejects list`"]),
            (&[], &[], &["a", "b"], &[], &["since then: a\n", "2 more the feed dates after the last poll"]),
            (&["a"], &["a", "b"], &["a", "b"], &[], &["dropped: a\n", "quarantined: b\n"]),
        ] {
            let mut found = Found { missing: vec!["a".to_owned(), "b".to_owned()], ..Found::default() };
            found.set_aside_known(&set(dropped), &set(quarantined), |id| newer.contains(&id));
            assert_eq!(found.missing, missing);
            assert_eq!(found.is_quiet(), missing.is_empty(), "{missing:?}");
            let mut out = Vec::new();
            found.print("feed", &[], false, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains(&format!("{} are missing", missing.len())), "{text}");
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn a_pipeline_that_drops_all_is_a_fault() {
        for (shown, dropped, is_quiet) in [(2, 2, false), (3, 2, true), (0, 0, true)] {
            let dropped = vec!["a".to_owned(); dropped];
            let found = Found { shown, dropped, ..Found::default() };
            assert_eq!(found.is_quiet(), is_quiet, "{shown}");
            let mut out = Vec::new();
            found.print("feed", &[], false, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.contains("drops all of them"), !is_quiet, "{text}");
        }
    }

    #[test]
    fn what_is_newer_than_the_last_good_poll_is_told_by_when_that_began() {
        for (last_attempt, last_success, expected) in [
            (None, None, None),
            (Some(5), None, None),
            (Some(5), Some(7), Some(5)),
            // A later one that failed, or is under way.
            (Some(9), Some(7), Some(7)),
        ] {
            let status = InputStatus { last_attempt, last_success, ..InputStatus::default() };
            assert_eq!(polled(&status), expected, "{last_attempt:?} {last_success:?}");
        }
    }
}
