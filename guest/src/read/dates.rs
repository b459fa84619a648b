//! Dates, and what is to be said about those that are not as they should be.
//!
//! A date without a zone is read as UTC, and that is said once a page for each field; what is no date counts as absent, and
//! that is said too: an end that nobody could read would otherwise become another end without a word.

use tipline_ecs::time::told;
use tipline_ecs::time::{DAY, Millis, parse_rfc3339};

use super::Text;
use crate::contract::Note;
use crate::refusal::quote;

/// A date of change further ahead of the observation than this is a mistake (2062, 9999). If it counted, no later version of
/// its object ever would. Less is left to clocks, which may be a year apart.
const AHEAD: Millis = 366 * DAY;

/// What is wrong with a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// It names no zone.
    NoZone,
    /// It is none.
    NoDate,
    /// It lies too far in the future to be one of a change.
    Ahead,
}

/// What was wrong with the dates of a page: sorted by fault and field, with how often, and the first text.
#[derive(Debug, Default)]
pub struct DateFaults(Vec<(Fault, &'static str, u32, String)>);

impl DateFaults {
    /// The date in a field, where there is one.
    pub fn date(&mut self, field: &'static str, text: &Text<'_>) -> Option<Millis> {
        let text = text.as_deref()?;
        if let Some(at) = parse_rfc3339(text) {
            return Some(at);
        }
        let told = told::parse(text);
        match told {
            Some(told) if told.has_zone => {}
            Some(_) => self.note(Fault::NoZone, field, text),
            None => self.note(Fault::NoDate, field, text),
        }
        Some(told?.at)
    }

    /// The same for a date of change, which cannot lie far ahead of when it was `observed`.
    pub fn change(&mut self, field: &'static str, text: &Text<'_>, observed: Millis) -> Option<Millis> {
        let at = self.date(field, text)?;
        if at > observed.saturating_add(AHEAD) {
            self.note(Fault::Ahead, field, text.as_deref().unwrap_or_default());
            return None;
        }
        Some(at)
    }

    fn note(&mut self, fault: Fault, field: &'static str, text: &str) {
        let place = self.0.partition_point(|(known, of, ..)| (*known, *of) < (fault, field));
        match self.0.get_mut(place) {
            Some((known, of, times, _)) if (*known, *of) == (fault, field) => *times = times.saturating_add(1),
            _ => self.0.insert(place, (fault, field, 1, text.to_owned())),
        }
    }

    /// Adds those of one object to those of its page.
    pub fn extend(&mut self, other: Self) {
        for (fault, field, times, text) in other.0 {
            self.note(fault, field, &text);
            if let Some((.., all, _)) = self.0.iter_mut().find(|(known, of, ..)| (*known, *of) == (fault, field)) {
                *all = all.saturating_add(times.saturating_sub(1));
            }
        }
    }

    /// All of it in one sentence for each kind.
    pub fn into_note(self) -> Option<Note> {
        let of = |fault, before: &str, behind: &str| {
            let fields: Vec<String> = self
                .0
                .iter()
                .filter(|(known, ..)| *known == fault)
                .map(|(_, field, times, text)| format!("{field} {times} times, first {}", quote(text)))
                .collect();
            (!fields.is_empty()).then(|| format!("{before}: {}. {behind}", fields.join("; ")))
        };
        let said: Vec<String> = [
            of(Fault::NoZone, "Dates without a zone", "They were read as UTC."),
            of(Fault::NoDate, "Texts that are no date", "They count as absent."),
            of(
                Fault::Ahead,
                "Dates of change over a year ahead",
                "They count as absent, or no later version would ever count.",
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!said.is_empty()).then(|| Note { code: "dates".to_owned(), text: said.join(" ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn text(text: &str) -> Text<'_> {
        Text(Some(Cow::Borrowed(text)))
    }

    #[test]
    fn dates_that_are_as_they_should_be_are_not_spoken_of() {
        let mut faults = DateFaults::default();
        for text_of in ["2026-12-05T08:00:00Z", "1796457600", "2026-12-05 08:00:00 UTC"] {
            assert_eq!(faults.date("modified", &text(text_of)), Some(1_796_457_600_000), "{text_of}");
        }
        assert_eq!(faults.date("modified", &Text::default()), None);
        assert!(faults.into_note().is_none());
    }

    #[test]
    fn what_is_wrong_is_counted_by_field() {
        let mut page = DateFaults::default();
        for _ in 0..2 {
            let mut one = DateFaults::default();
            assert!(one.date("valid_until", &text("2026-12-05")).is_some());
            assert!(one.date("valid_until", &text("2026-12-06")).is_some());
            assert!(one.date("modified", &text("yesterday")).is_none());
            page.extend(one);
        }
        let note = page.into_note().unwrap();
        assert_eq!(
            note.text,
            "Dates without a zone: valid_until 4 times, first \"2026-12-05\". They were read as UTC. Texts that are no date: \
             modified 2 times, first \"yesterday\". They count as absent."
        );
    }

    #[test]
    fn a_change_lies_at_most_a_year_ahead() {
        let mut faults = DateFaults::default();
        let change = text("2026-12-05T08:00:00Z");
        let at = 1_796_457_600_000;
        assert_eq!(faults.change("modified", &change, at - AHEAD), Some(at));
        assert_eq!(faults.change("modified", &change, at - AHEAD - 1), None);
        assert!(faults.into_note().is_some());
    }
}
