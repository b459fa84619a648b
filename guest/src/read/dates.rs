//! Dates, and what is to be said about those that are not as they should be.
//!
//! A date without a zone is read as UTC, and that is said once a page for each field; what is no date counts as absent, and
//! that is said too: an end that nobody could read would otherwise become another end without a word.

use tipline_ecs::time::told;
use tipline_ecs::time::{HOUR, MINUTE, Millis, parse_rfc3339};

use super::Text;
use crate::contract::Note;
use crate::words::quote;

/// A date further ahead of the observation than this lies in the future. Less is left to clocks, which differ.
const AHEAD: Millis = 10 * MINUTE;

/// The zone furthest ahead of UTC: who writes the time there without saying so writes one so much ahead.
const EASTERNMOST: Millis = 14 * HOUR;

/// What is wrong with a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// It names no zone.
    NoZone,
    /// It is none.
    NoDate,
    /// It lies in the future, where no change can be.
    Ahead,
}

/// What was wrong with the dates of a page: sorted by fault and field, with how often, and the first text.
#[derive(Debug, Default)]
pub struct DateFaults(Vec<(Fault, &'static str, u32, String)>);

impl DateFaults {
    /// The date in a field, where there is one.
    pub fn date(&mut self, field: &'static str, text: &Text<'_>) -> Option<Millis> {
        Some(self.told(field, text)?.0)
    }

    /// Whether a date of change lies ahead of when it was `observed`, where none can.
    pub fn is_ahead(&mut self, field: &'static str, text: &Text<'_>, at: Millis, observed: Millis) -> bool {
        let is_ahead = at > observed.saturating_add(AHEAD);
        if is_ahead {
            self.note(Fault::Ahead, field, text.as_deref().unwrap_or_default());
        }
        is_ahead
    }

    /// A date from which on something holds: itself, and once more where that has not come yet when it was `observed`. One
    /// without a zone may be of any.
    pub fn beginning(
        &mut self,
        field: &'static str,
        text: &Text<'_>,
        observed: Millis,
    ) -> (Option<Millis>, Option<Millis>) {
        let Some((at, has_zone)) = self.told(field, text) else { return (None, None) };
        let earliest = if has_zone { at } else { at.saturating_sub(EASTERNMOST) };
        (Some(at), (earliest > observed.saturating_add(AHEAD)).then_some(at))
    }

    /// A date, and whether it names its zone.
    fn told(&mut self, field: &'static str, text: &Text<'_>) -> Option<(Millis, bool)> {
        let text = text.as_deref()?;
        if let Some(at) = parse_rfc3339(text) {
            return Some((at, true));
        }
        let told = told::parse(text);
        match told {
            Some(told) if told.has_zone => {}
            Some(_) => self.note(Fault::NoZone, field, text),
            None => self.note(Fault::NoDate, field, text),
        }
        told.map(|told| (told.at, told.has_zone))
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
                "Dates of change that lie ahead",
                "They count as of when they were shown, and whatever their source says later replaces what they stand in.",
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
    fn a_change_does_not_lie_ahead_by_more_than_clocks_differ() {
        let mut faults = DateFaults::default();
        let change = text("2026-12-05T08:00:00Z");
        let at = 1_796_457_600_000;
        assert!(!faults.is_ahead("modified", &change, at, at - AHEAD));
        assert!(faults.is_ahead("modified", &change, at, at - AHEAD - 1));
        assert!(faults.into_note().is_some());
    }

    #[test]
    fn a_beginning_lies_ahead_wherever_it_was_written() {
        let at = 1_796_457_600_000;
        for (written, earliest) in [("2026-12-05T08:00:00Z", at), ("2026-12-05T08:00:00", at - EASTERNMOST)] {
            for (observed, ahead) in [(earliest - AHEAD, None), (earliest - AHEAD - 1, Some(at))] {
                let mut faults = DateFaults::default();
                assert_eq!(faults.beginning("valid_from", &text(written), observed), (Some(at), ahead), "{written}");
            }
        }
    }
}
