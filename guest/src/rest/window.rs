//! Which stretches of time a poll reads, and how a stretch that is too deep is halved.
//!
//! Each type has a mark: everything the feed changed up to it has been read. A type without one (the first poll, or a
//! type added to the configuration) starts `initial_interval` back. A poll reads as few windows as it can: the API
//! takes one type as a filter, so a lone type that lies further back than the others gets a window of its own, and
//! several are read unfiltered from the oldest mark, which covers the younger ones too.
//!
//! Times go to the server in whole seconds, as not all servers read more; `since` is cut, never rounded up. The halves
//! of a window share a second, because nobody says whether its ends belong to it.

use super::position::{Phase, Share, Whole, Window};
use super::run::{Hunt, Run, Until};
use super::state::State;
use crate::config::Config;
use crate::contract::Request;
use tipline_ecs::time::{DAY, Millis, SECOND, rfc3339};

/// The mark's name where all types are wanted.
const ALL: &str = "*";

/// A window shorter than this is not halved: its halves are one second, and the ends of it that may not belong to it.
const SHORTEST_WINDOW: Millis = 3 * SECOND;

/// Windows waiting at one time. A year halved down to the shortest window leaves 25; the rest is room for types.
const MAX_WINDOWS: usize = 64;

/// What the next poll has to read. Gives every wanted type its mark.
pub(super) fn plan(config: &Config, state: &mut State, now: Millis) -> Run {
    let covers = wanted(config);
    let present = state.clocks.map_or(now, |clocks| clocks.expected(now));
    let first = whole_second(present.saturating_sub(config.initial_interval));
    let oldest = state.marks.oldest();
    let all = state.marks.get(ALL);
    for kind in &covers {
        let mark = match (kind.as_str(), state.marks.get(kind), all) {
            (_, Some(mark), _) => mark,
            // From some types to all: what those have not read yet must not be skipped either.
            (ALL, None, _) => oldest.map_or(first, |oldest| oldest.min(first)),
            (_, None, Some(all)) => all,
            (_, None, None) => first,
        };
        state.marks.set(kind, mark);
    }

    let mut by_age: Vec<(Millis, &String)> =
        covers.iter().map(|kind| (state.marks.get(kind).unwrap_or(first), kind)).collect();
    by_age.sort_unstable();
    let mut windows = Vec::new();
    let mut rest = by_age.as_slice();
    while let Some(((since, kind), younger)) = rest.split_first() {
        let alone = younger.first().is_none_or(|(next, _)| next > since);
        let kind = (alone && kind.as_str() != ALL).then(|| (*kind).clone());
        rest = if kind.is_some() { younger } else { &[] };
        windows.push(Window::new(kind, *since, None));
    }
    // Holes come last: nothing new waits for them.
    let holes = std::mem::take(&mut state.holes).into_iter();
    let is_wanted = |hole: &Window| hole.kind.as_ref().is_none_or(|kind| config.types.contains(kind));
    windows.extend(holes.filter(is_wanted).map(|hole| Window { hole: true, ..hole }));
    windows.reverse();
    let first = windows.pop().unwrap_or_else(|| Window::new(None, first, None));
    Run::new(covers, config.limit.max(1), first.walk(), windows)
}

/// The GET for the run's position.
pub(super) fn request(run: &Run, dashed: bool, now: Millis) -> Request {
    let window = &run.walk.window;
    let in_future = (run.clock().unwrap_or(now).saturating_add(DAY), None);
    let is_probe = matches!(run.hunt, Some(Hunt::Probe | Hunt::Check(_)));
    let (since, until) = match &run.walk.phase {
        _ if is_probe => in_future,
        Phase::Gauge(_) => in_future,
        _ => (window.since, window.until),
    };
    let mut target = format!(
        "/api/v1/iocs?since={}&limit={}&offset={}",
        encoded(&rfc3339(whole_second(since))),
        if is_probe { 1 } else { run.limit },
        if is_probe { 0 } else { run.walk.offset(run.limit) }
    );
    if let Some(until) = until {
        target.push_str("&until=");
        target.push_str(&encoded(&rfc3339(whole_second(until))));
    }
    if let Some(kind) = &window.kind {
        let kind = if dashed { kind.replace('_', "-") } else { kind.clone() };
        target.push_str("&type=");
        target.push_str(&encoded(&kind));
    }
    Request::get(target, "application/json")
}

/// The older half of the run's window becomes what is walked, the younger one waits. `false` if it cannot be halved.
/// Where the server looks back only to `begin`, the window begins there.
pub(super) fn halve(run: &mut Run, begin: Millis, total: Option<u64>, now: Millis) -> bool {
    let window = &run.walk.window;
    let since = whole_second(window.since.max(begin));
    let end = whole_second(window.until.unwrap_or_else(|| run.present(now)));
    let span = end.saturating_sub(since);
    if window.whole || run.until == Until::Ignored || span < SHORTEST_WINDOW || run.windows.len() >= MAX_WINDOWS {
        return false;
    }
    // Of an odd number of seconds the older half gets one more, so that three are halved too.
    let middle = end.saturating_sub(whole_second(span / 2));
    let mut older = Window::new(window.kind.clone(), since, Some(middle));
    older.share = total.map_or(Share::Unknown, Share::Of);
    older.hole = window.hole;
    let mut younger = Window::new(window.kind.clone(), middle.saturating_sub(SECOND), window.until);
    younger.hole = window.hole;
    let phase = match (&run.walk.phase, run.until) {
        (_, Until::Honoured | Until::Ignored) => Phase::First,
        // Still as many records as before: nobody knows yet.
        (Phase::Half(whole), Until::Unknown) => {
            Phase::Half(Whole { halves: whole.halves.saturating_add(1), ..whole.clone() })
        }
        (_, Until::Unknown) => Phase::Half(Whole { until: window.until, total, halves: 1 }),
    };
    run.windows.push(younger);
    run.walk = older.walk();
    run.walk.phase = phase;
    true
}

/// Takes back each [`halve`] of a window of which no half turned out smaller: it is walked as a whole.
pub(super) fn rejoin(run: &mut Run, whole: &Whole) {
    let halves = usize::try_from(whole.halves).unwrap_or(usize::MAX);
    run.windows.truncate(run.windows.len().saturating_sub(halves));
    let older = &run.walk.window;
    let window = Window::new(older.kind.clone(), older.since, whole.until);
    run.walk = Window { whole: true, ..window }.walk();
    run.until = Until::Ignored;
}

/// Takes back the halving of which the run's window is the oldest part: it is walked with all that was cut off from it.
/// `false` if there is nothing of that.
pub(super) fn rejoin_all(run: &mut Run) -> bool {
    let window = &run.walk.window;
    let (kind, mut until) = (window.kind.clone(), window.until);
    let mut is_joined = false;
    while let (Some(end), Some(younger)) = (until, run.windows.last())
        && younger.kind == kind
        && !younger.hole
        && younger.since == whole_second(end).saturating_sub(SECOND)
    {
        until = younger.until;
        run.windows.pop();
        is_joined = true;
    }
    if is_joined {
        let joined = Window::new(kind, run.walk.window.since, until);
        run.walk = Window { whole: true, ..joined }.walk();
        run.until = Until::Ignored;
    }
    is_joined
}

/// An instant without its fraction of a second.
pub(super) fn whole_second(instant: Millis) -> Millis {
    (instant / SECOND).saturating_mul(SECOND)
}

/// The marks' names of the configured types.
fn wanted(config: &Config) -> Vec<String> {
    if config.types.is_empty() { vec![ALL.to_owned()] } else { config.types.clone() }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_windows_wait_and_no_more() {
        let config = Config::default();
        let mut state = State::read("", &config).unwrap();
        let mut run = plan(&config, &mut state, 10 * DAY);
        for (waiting, is_halved) in [(MAX_WINDOWS - 1, true), (MAX_WINDOWS, false)] {
            run.walk = Window::new(None, 0, None).walk();
            run.windows = vec![Window::new(None, 0, None); waiting];
            assert_eq!(halve(&mut run, 0, Some(5_000), 10 * DAY), is_halved, "{waiting}");
            assert!(run.windows.len() <= MAX_WINDOWS);
        }
    }
}
