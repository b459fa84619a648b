//! What the pager knows between two calls: the checkpoint.
//!
//! It never holds a record. Everything in it is bounded, so it stays far below the longest state; see `checkpoint.rs`
//! for what every state has and for what becomes of one that cannot be read.
//!
//! A request is outstanding exactly when there is a run and no wait: the position of the walk *is* the request. What is
//! known of a run, of a walk and of the server's `until` at a time is said by an enum each; a run, its windows and its
//! walk are in `run.rs`.

use serde_json::Value;

use super::position::{Window, write_windows};
use super::run::Run;
use super::times::{Clocks, shifted};
use crate::checkpoint::{self, Slot, read_slots, write_slots};
use crate::config::Config;
use crate::contract::Failure;
use crate::members::{at, number};
use crate::pause::Pause;
use crate::words::clean;
use tipline_ecs::key;
use tipline_ecs::time::Millis;
use tipline_ecs::{Json, Key, write_number, write_string};

/// The format written here. A change of meaning raises it.
const FORMAT: u32 = 2;

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
    /// `meta.total` counts more than what is asked for, and says nothing.
    pub(super) overcounts: bool,
    /// The clocks at the last run whose feed had one.
    pub(super) clocks: Option<Clocks>,
    /// What the marks have passed although it got no answer; each poll asks for it.
    pub(super) holes: Vec<Window>,
    /// No request before this time.
    pub(super) wait: Option<Pause>,
    pub(super) run: Option<Run>,
}

/// The marks by type, sorted by it. There are eleven types.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Marks(Vec<(String, Millis)>);

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
                overcounts: false,
                clocks: None,
                holes: Vec::new(),
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
            overcounts: false,
            clocks: from.any("clocks").map(Clocks::read).transpose()?,
            holes: from.list("holes")?.iter().map(Window::read).collect::<Result<_, _>>()?,
            wait: from.any("wait").map(Pause::read).transpose()?,
            run: from.any("run").map(Run::read).transpose()?,
        };
        read_slots(&mut from, &mut state.slots())?;
        from.finish()?;
        Ok(state)
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 2] {
        [(key!("dashed"), Slot::Flag(&mut self.dashed)), (key!("overcounts"), Slot::Flag(&mut self.overcounts))]
    }

    /// The text to store.
    pub(super) fn write(mut self) -> Result<String, Failure> {
        let (mut out, whole) = checkpoint::begin(FORMAT, &self.feed);
        out.number(key!("observed"), self.observed);
        self.marks.write(&mut out);
        write_slots(&mut out, &mut self.slots());
        if let Some(clocks) = &self.clocks {
            clocks.write(key!("clocks"), &mut out);
        }
        if !self.holes.is_empty() {
            write_windows(key!("holes"), &mut self.holes, &mut out);
        }
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

    /// Moves all of them by what a clock was set.
    pub(super) fn shift(&mut self, from: Millis, to: Millis) {
        for (_, mark) in &mut self.0 {
            *mark = shifted(*mark, from, to);
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
