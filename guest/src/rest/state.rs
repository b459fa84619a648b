//! What the pager knows between two calls: the checkpoint.
//!
//! It never holds a record. Everything in it is bounded, so it stays far below the longest state; see `checkpoint.rs`
//! for what every state has and for what becomes of one that cannot be read.
//!
//! A request is outstanding exactly when there is a run and no wait: the position of the walk *is* the request.

use serde_json::Value;

use crate::checkpoint::{self, Slot, needed_count, read_slots, write_slots};
use crate::config::Config;
use crate::contract::Failure;
use crate::members::{Members, at, number};
use crate::pause::Pause;
use crate::refusal::clean;
use crate::seen::Seen;
use tipline_ecs::key;
use tipline_ecs::time::Millis;
use tipline_ecs::{Json, Key, write_number, write_string};

/// The format written here. A change of meaning raises it.
const FORMAT: u32 = 1;

/// What is kept from poll to poll, and the poll in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    feed: String,
    /// The observation time of the last complete run.
    pub(super) observed: Millis,
    /// For each type (`*` for all): everything the feed changed up to here has been read.
    pub(super) marks: Marks,
    /// The server wants `mitre-attack` for `mitre_attack`.
    pub(super) dashed: bool,
    /// Runs in a row that could not read all and therefore left the marks where they were.
    pub(super) held: u32,
    /// No request before this time.
    pub(super) wait: Option<Pause>,
    pub(super) run: Option<Run>,
}

/// The marks by type, sorted by it. There are eleven types.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Marks(Vec<(String, Millis)>);

/// One poll: all windows from the marks to the feed's present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// The marks that move when all windows are read.
    pub(super) covers: Vec<String>,
    /// Where the marks move to: the server's clock in the first answer, if it can be trusted.
    pub(super) clock: Option<Millis>,
    /// The observation time of every document of this run; set by the first answer.
    pub(super) observed: Option<Millis>,
    /// The largest page to ask for: the setting, or less where the server said so.
    pub(super) cap: u32,
    /// What is asked for now: `cap`, or less while an unreadable page is narrowed down.
    pub(super) limit: u32,
    /// The end of the offsets an unreadable page covered.
    pub(super) suspect: Option<u64>,
    /// Requests in a row that brought no answer to use.
    pub(super) attempts: u32,
    /// Answers in a row that were not JSON.
    pub(super) garbled: u32,
    /// Records given up as unreadable.
    pub(super) unreadable: u32,
    /// The other spelling of the type was tried.
    pub(super) respelled: bool,
    /// The server does not honour `until`.
    pub(super) until_ignored: bool,
    /// The server refuses offsets above this one.
    pub(super) ceiling: Option<u64>,
    /// The `since` for which a gap was reported.
    pub(super) gap: Option<Millis>,
    /// A window ended before all of it was read.
    pub(super) incomplete: bool,
    /// The walk in progress.
    pub(super) walk: Walk,
    /// Windows still to be walked, the next one last.
    pub(super) windows: Vec<Window>,
}

/// A stretch of time, of one type or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kind: Option<String>,
    pub(super) since: Millis,
    pub(super) until: Option<Millis>,
    /// Halving it was tried and did not help.
    pub(super) whole: bool,
}

/// A window being read, page by page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) window: Window,
    pub(super) offset: u64,
    /// A page of it was answered.
    pub(super) begun: bool,
    /// `meta.total` of the last page.
    pub(super) total: Option<u64>,
    /// `total` went down: a record may have slipped past the offset.
    pub(super) shrunk: bool,
    /// This is the second walk, because of that.
    pub(super) again: bool,
    /// Fingerprints of the pages so far.
    pub(super) seen: Seen,
    /// Pages in a row that were seen before.
    pub(super) repeats: u32,
    /// Empty pages in a row where there should have been more.
    pub(super) empties: u32,
    /// This is the first half of a deeper window; the answer shows whether the server honours `until`.
    pub(super) probe: Option<Probe>,
}

/// What was known before a window was halved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) until: Option<Millis>,
    pub(super) total: u64,
}

impl State {
    /// Reads a stored state; the empty string is the state before the first poll.
    pub(super) fn read(text: &str, config: &Config) -> Result<Self, Failure> {
        let feed = checkpoint::digest(config);
        let Some(value) = checkpoint::open(text, FORMAT, &feed)? else {
            return Ok(Self {
                feed,
                observed: 0,
                marks: Marks::default(),
                dashed: false,
                held: 0,
                wait: None,
                run: None,
            });
        };
        Self::parse(&value, feed).map_err(|error| checkpoint::unusable(&clean(&error)))
    }

    fn parse(value: &Value, feed: String) -> Result<Self, String> {
        let mut from = checkpoint::members(value)?;
        let mut state = Self {
            feed,
            observed: number(from.needed("observed")?)?,
            marks: Marks::read(from.needed("marks")?)?,
            dashed: false,
            held: 0,
            wait: from.any("wait").map(Pause::read).transpose()?,
            run: from.any("run").map(Run::read).transpose()?,
        };
        read_slots(&mut from, &mut state.slots())?;
        from.finish()?;
        Ok(state)
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 2] {
        [(key!("dashed"), Slot::Flag(&mut self.dashed)), (key!("held"), Slot::Count(&mut self.held))]
    }

    /// The text to store.
    pub(super) fn write(mut self) -> Result<String, Failure> {
        let (mut out, whole) = checkpoint::begin(FORMAT, &self.feed);
        out.number(key!("observed"), self.observed);
        self.marks.write(&mut out);
        write_slots(&mut out, &mut self.slots());
        if let Some(wait) = &self.wait {
            wait.write(&mut out);
        }
        if let Some(run) = &mut self.run {
            run.write(&mut out);
        }
        checkpoint::close(out, whole)
    }
}

impl Marks {
    pub(super) fn get(&self, kind: &str) -> Option<Millis> {
        self.0.iter().find(|(known, _)| known == kind).map(|(_, mark)| *mark)
    }

    pub(super) fn set(&mut self, kind: &str, mark: Millis) {
        match self.0.binary_search_by(|(known, _)| known.as_str().cmp(kind)) {
            Ok(place) => {
                if let Some((_, known)) = self.0.get_mut(place) {
                    *known = mark;
                }
            }
            Err(place) => self.0.insert(place, (kind.to_owned(), mark)),
        }
    }

    pub(super) fn oldest(&self) -> Option<Millis> {
        self.0.iter().map(|(_, mark)| *mark).min()
    }

    /// Moves the marks of these types on, never back, and forgets all others.
    pub(super) fn advance(&mut self, kinds: &[String], reached: Millis) {
        self.0.retain(|(kind, _)| kinds.contains(kind));
        for (_, mark) in &mut self.0 {
            *mark = reached.max(*mark);
        }
    }

    fn read(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("invalid type of `marks`, expected an object")?;
        let mut marks = Self::default();
        for (kind, mark) in object {
            marks.set(kind, number(mark).map_err(|error| at("marks", &error))?);
        }
        Ok(marks)
    }

    fn write(&self, out: &mut Json) {
        let object = out.open(key!("marks"));
        for (kind, mark) in &self.0 {
            let mut pair = String::new();
            write_string(kind, &mut pair);
            pair.push(':');
            write_number(*mark, &mut pair);
            out.ready(&pair);
        }
        out.close_even_empty(object);
    }
}

impl Run {
    /// A run at its beginning.
    pub(super) fn new(covers: Vec<String>, cap: u32, walk: Walk, windows: Vec<Window>) -> Self {
        Self {
            covers,
            clock: None,
            observed: None,
            cap,
            limit: cap,
            suspect: None,
            attempts: 0,
            garbled: 0,
            unreadable: 0,
            respelled: false,
            until_ignored: false,
            ceiling: None,
            gap: None,
            incomplete: false,
            walk,
            windows,
        }
    }

    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        from.needed("covers")?;
        let covers = from.texts("covers")?.into_iter().map(str::to_owned).collect();
        let cap = needed_count(&mut from, "cap")?;
        let limit = needed_count(&mut from, "limit")?;
        let walk = Walk::read(from.needed("walk")?)?;
        let windows = from.list("windows")?.iter().map(Window::read).collect::<Result<_, _>>()?;
        let mut run = Self { limit, ..Self::new(covers, cap, walk, windows) };
        read_slots(&mut from, &mut run.slots())?;
        from.finish()?;
        Ok(run)
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 11] {
        [
            (key!("clock"), Slot::Number(&mut self.clock)),
            (key!("observed"), Slot::Number(&mut self.observed)),
            (key!("suspect"), Slot::Number(&mut self.suspect)),
            (key!("attempts"), Slot::Count(&mut self.attempts)),
            (key!("garbled"), Slot::Count(&mut self.garbled)),
            (key!("unreadable"), Slot::Count(&mut self.unreadable)),
            (key!("respelled"), Slot::Flag(&mut self.respelled)),
            (key!("until_ignored"), Slot::Flag(&mut self.until_ignored)),
            (key!("ceiling"), Slot::Number(&mut self.ceiling)),
            (key!("gap"), Slot::Number(&mut self.gap)),
            (key!("incomplete"), Slot::Flag(&mut self.incomplete)),
        ]
    }

    fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("run"));
        out.list(key!("covers"), &self.covers);
        out.number(key!("cap"), u64::from(self.cap));
        out.number(key!("limit"), u64::from(self.limit));
        write_slots(out, &mut self.slots());
        self.walk.write(out);
        if !self.windows.is_empty() {
            out.open_list(key!("windows"));
            for window in &mut self.windows {
                let object = out.begin();
                window.members(out);
                out.close(object);
            }
            out.close_list();
        }
        out.close(object);
    }
}

impl Window {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let mut window = Self {
            kind: from.text("kind")?.map(str::to_owned),
            since: number(from.needed("since")?)?,
            until: None,
            whole: false,
        };
        read_slots(&mut from, &mut window.slots())?;
        from.finish()?;
        Ok(window)
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 2] {
        [(key!("until"), Slot::Number(&mut self.until)), (key!("whole"), Slot::Flag(&mut self.whole))]
    }

    fn members(&mut self, out: &mut Json) {
        out.text_field(key!("kind"), self.kind.as_deref().unwrap_or_default());
        out.number(key!("since"), self.since);
        write_slots(out, &mut self.slots());
    }

    /// Begins to read it.
    pub(super) fn walk(self) -> Walk {
        Walk {
            window: self,
            offset: 0,
            begun: false,
            total: None,
            shrunk: false,
            again: false,
            seen: Seen::default(),
            repeats: 0,
            empties: 0,
            probe: None,
        }
    }
}

impl Walk {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let mut walk = Window::read(from.needed("window")?)?.walk();
        walk.offset = number(from.needed("offset")?)?;
        walk.seen = Seen::read(&mut from, "seen")?;
        walk.probe = from.any("probe").map(Probe::read).transpose()?;
        read_slots(&mut from, &mut walk.slots())?;
        from.finish()?;
        Ok(walk)
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 6] {
        [
            (key!("begun"), Slot::Flag(&mut self.begun)),
            (key!("total"), Slot::Number(&mut self.total)),
            (key!("shrunk"), Slot::Flag(&mut self.shrunk)),
            (key!("again"), Slot::Flag(&mut self.again)),
            (key!("repeats"), Slot::Count(&mut self.repeats)),
            (key!("empties"), Slot::Count(&mut self.empties)),
        ]
    }

    fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("walk"));
        let window = out.open(key!("window"));
        self.window.members(out);
        out.close(window);
        out.number(key!("offset"), self.offset);
        write_slots(out, &mut self.slots());
        self.seen.write(key!("seen"), out);
        if let Some(probe) = &self.probe {
            let object = out.open(key!("probe"));
            // Without an end it is written as such: this member has no default.
            match probe.until {
                Some(until) => out.number(key!("until"), until),
                None => out.ready("\"until\":null"),
            }
            out.number(key!("total"), probe.total);
            out.close(object);
        }
        out.close(object);
    }
}

impl Probe {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let probe = Self {
            until: from.any("until").filter(|until| !until.is_null()).map(number).transpose()?,
            total: number(from.needed("total")?)?,
        };
        from.finish()?;
        Ok(probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::MAX_STATE_BYTES;

    #[test]
    fn a_state_is_read_up_to_its_longest_form() {
        let config = Config::default();
        let text = State::read("", &config).unwrap().write().unwrap();
        let padded = |bytes: usize| format!("{text}{}", " ".repeat(bytes - text.len()));
        assert!(State::read(&padded(MAX_STATE_BYTES), &config).is_ok());
        let refused = State::read(&padded(MAX_STATE_BYTES + 1), &config).unwrap_err();
        assert!(matches!(&refused, Failure::State(text) if text.contains("65537 bytes")), "{refused:?}");
    }
}
