//! What the pager knows between two calls: each collection's place, and the poll in progress.
//!
//! A *place* says up to when a collection was read. While it is being read it has a *chain*: the requests from one
//! `added_after` on. Everything is bounded, so that 100 places stay below the longest state: see the constants here
//! and in `server.rs`.

use serde_json::Value;

use super::instant::Instant;
use crate::checkpoint::{self, Slot, needed_count, read_slots, write_slots};
use crate::config::Config;
use crate::contract::{Failure, MAX_STATE_BYTES};
use crate::members::{self, Members, number};
use crate::pause::Pause;
use crate::refusal::clean;
use crate::seen::Seen;
use tipline_ecs::key;
use tipline_ecs::time::Millis;
use tipline_ecs::{Begun, Json, Key};

/// The format written here. A change of meaning raises it.
const FORMAT: u32 = 1;

/// What is kept from poll to poll, and the poll in progress.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State {
    feed: String,
    /// The observation time of the last complete run.
    pub(super) observed: Millis,
    /// What was last said about the server and its collections, as a fingerprint.
    pub(super) told: Option<u64>,
    /// `Accept` goes without a version.
    pub(super) plain: bool,
    /// `match[type]` was seen to give what it should.
    pub(super) filters: bool,
    /// `match[type]` means something else here, and is left out.
    pub(super) bare: bool,
    /// Objects of the largest page the server has given.
    pub(super) largest: u32,
    /// No request before this time.
    pub(super) wait: Option<Pause>,
    /// The collections read, in the order of reading.
    pub(super) places: Vec<Place>,
    /// Identities and markings that later pages may name, the oldest first.
    pub(super) memory: Vec<(String, String)>,
    pub(super) run: Option<Run>,
}

/// A collection and up to when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Its path from the origin, with the final slash.
    pub(super) path: String,
    /// All that was added up to here has been read; `None` where reading begins at the beginning.
    pub(super) cursor: Option<Instant>,
    pub(super) turn: Turn,
}

/// Where a place stands in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Turn {
    /// Not asked for in this run.
    #[default]
    None,
    Due,
    Read,
    /// The server did not let it be read.
    Refused,
}

/// One poll.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Run {
    /// The server's clock in the first answer, if it can be trusted.
    pub(super) clock: Option<Millis>,
    /// The observation time of every document of this run; set by the first answer.
    pub(super) observed: Option<Millis>,
    /// The largest page to ask for: the setting, or less where the server said so.
    pub(super) cap: u32,
    /// Requests in a row that brought no answer to use.
    pub(super) attempts: u32,
    /// Answers in a row that were not JSON.
    pub(super) garbled: u32,
    /// The other form of `Accept` is being tried.
    pub(super) retyped: bool,
    /// What is known of the server so far; `None` once the collections are known.
    pub(super) survey: Option<Survey>,
    /// The collection being read.
    pub(super) chain: Option<Chain>,
}

/// Discovery in progress.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// The address in `url` was asked what it is.
    pub(super) asked: bool,
    pub(super) title: String,
    /// API roots still to be asked for their collections, as paths.
    pub(super) roots: Vec<String>,
    /// Which of the names in the settings were met, by their number.
    pub(super) met: Vec<u64>,
    /// Collections as people are told of them.
    pub(super) offered: Vec<String>,
    /// Those too many to be told of.
    pub(super) untold: u32,
}

/// A collection being read, from one `added_after` on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Chain {
    pub(super) path: String,
    /// `added_after` of its requests.
    pub(super) after: Option<Instant>,
    /// What the server gave to go on with. Never used by a `start`.
    pub(super) next: Option<String>,
    /// The page size asked for.
    pub(super) limit: u32,
    /// The latest date this run has seen in this collection, in whichever chain.
    pub(super) top: Option<Instant>,
    /// The latest date of this chain.
    pub(super) high: Option<Instant>,
    /// Pages of this chain.
    pub(super) pages: u32,
    /// `top` moved in this chain.
    pub(super) grew: bool,
    /// The dates do not ascend: the latest says nothing about what was read.
    pub(super) unsorted: bool,
    /// How often in this run a chain began again without getting further.
    pub(super) futile: u32,
    /// How often the server forgot a `next`.
    pub(super) lost: u32,
    /// Objects of the page before.
    pub(super) before: u32,
    /// Pages in a row that were seen before.
    pub(super) repeats: u32,
    /// Pages in a row without objects where there should be more.
    pub(super) empties: u32,
    /// A larger page was asked for, to get past an instant.
    pub(super) widened: bool,
    /// The whole collection is asked for, to see how large a page the server gives.
    pub(super) gauge: bool,
    /// A larger page held more.
    pub(super) grown: bool,
    /// It had objects.
    pub(super) any: bool,
    /// The first page is asked for without `match[type]`, to see whether that gives more.
    pub(super) probe: bool,
    pub(super) seen: Seen,
}

impl State {
    /// Reads a stored state; the empty string is the state before the first poll.
    pub(super) fn read(text: &str, config: &Config) -> Result<Self, Failure> {
        let feed = checkpoint::digest(config);
        let mut state = Self { feed, ..Self::default() };
        if let Some(value) = checkpoint::open(text, FORMAT, &state.feed)? {
            state.parse(&value).map_err(|error| checkpoint::unusable(&clean(&error)))?;
        }
        Ok(state)
    }

    fn parse(&mut self, value: &Value) -> Result<(), String> {
        let mut from = checkpoint::members(value)?;
        self.observed = number(from.needed("observed")?)?;
        read_slots(&mut from, &mut self.slots())?;
        self.wait = from.any("wait").map(Pause::read).transpose()?;
        for value in from.list("places")? {
            let mut place = Place::default();
            place.parse(value)?;
            self.places.push(place);
        }
        for value in from.list("memory")? {
            let mut known = Members::of(value)?;
            let mut of = |name| members::text(known.needed(name)?).map(str::to_owned);
            self.memory.push((of("id")?, of("text")?));
            known.finish()?;
        }
        if let Some(value) = from.any("run") {
            self.run.insert(Run::default()).parse(value)?;
        }
        from.finish()
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 5] {
        [
            (key!("told"), Slot::Number(&mut self.told)),
            (key!("largest"), Slot::Count(&mut self.largest)),
            (key!("plain"), Slot::Flag(&mut self.plain)),
            (key!("filters"), Slot::Flag(&mut self.filters)),
            (key!("bare"), Slot::Flag(&mut self.bare)),
        ]
    }

    /// The text to store, and how many identities and markings had to be forgotten, the oldest first, for it to fit.
    pub(super) fn write(mut self) -> Result<(String, usize), Failure> {
        let before = self.memory.len();
        loop {
            let (out, whole) = self.fill();
            if out.len() < MAX_STATE_BYTES || self.memory.is_empty() {
                return Ok((checkpoint::close(out, whole)?, before.saturating_sub(self.memory.len())));
            }
            // Characters that are escaped take more room than they were counted with.
            self.memory.drain(..self.memory.len().div_ceil(8));
        }
    }

    fn fill(&mut self) -> (Json, Begun) {
        let (mut out, whole) = checkpoint::begin(FORMAT, &self.feed);
        out.number(key!("observed"), self.observed);
        write_slots(&mut out, &mut self.slots());
        if let Some(wait) = &self.wait {
            wait.write(&mut out);
        }
        if !self.places.is_empty() {
            out.open_list(key!("places"));
            for place in &mut self.places {
                let object = out.begin();
                out.text_field(key!("path"), &place.path);
                write_slots(&mut out, &mut [(key!("cursor"), Slot::Number(&mut place.cursor))]);
                out.text_field(key!("turn"), place.turn.word());
                out.close(object);
            }
            out.close_list();
        }
        if !self.memory.is_empty() {
            out.open_list(key!("memory"));
            for (id, text) in &self.memory {
                let object = out.begin();
                out.text_field(key!("id"), id);
                out.text_field(key!("text"), text);
                out.close(object);
            }
            out.close_list();
        }
        if let Some(run) = &mut self.run {
            run.write(&mut out);
        }
        (out, whole)
    }

    /// The place of a collection.
    pub(super) fn place(&mut self, path: &str) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.path == path)
    }
}

impl Turn {
    /// Its word in the state; none for the usual.
    fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Due => "due",
            Self::Read => "read",
            Self::Refused => "refused",
        }
    }
}

impl Place {
    fn parse(&mut self, value: &Value) -> Result<(), String> {
        let mut from = Members::of(value)?;
        members::text(from.needed("path")?)?.clone_into(&mut self.path);
        read_slots(&mut from, &mut [(key!("cursor"), Slot::Number(&mut self.cursor))])?;
        let word = from.text("turn")?.unwrap_or_default();
        let turns = [Turn::None, Turn::Due, Turn::Read, Turn::Refused];
        self.turn = turns.into_iter().find(|turn| turn.word() == word).ok_or("an unknown `turn`")?;
        from.finish()
    }
}

impl Run {
    fn parse(&mut self, value: &Value) -> Result<(), String> {
        let mut from = Members::of(value)?;
        self.cap = needed_count(&mut from, "cap")?;
        read_slots(&mut from, &mut self.slots())?;
        if let Some(value) = from.any("survey") {
            self.survey.insert(Survey::default()).parse(value)?;
        }
        if let Some(value) = from.any("chain") {
            self.chain.insert(Chain::default()).parse(value)?;
        }
        from.finish()
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 5] {
        [
            (key!("clock"), Slot::Number(&mut self.clock)),
            (key!("observed"), Slot::Number(&mut self.observed)),
            (key!("attempts"), Slot::Count(&mut self.attempts)),
            (key!("garbled"), Slot::Count(&mut self.garbled)),
            (key!("retyped"), Slot::Flag(&mut self.retyped)),
        ]
    }

    fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("run"));
        out.number(key!("cap"), u64::from(self.cap));
        write_slots(out, &mut self.slots());
        if let Some(survey) = &mut self.survey {
            survey.write(out);
        }
        if let Some(chain) = &mut self.chain {
            chain.write(out);
        }
        out.close(object);
    }
}

impl Survey {
    fn parse(&mut self, value: &Value) -> Result<(), String> {
        let mut from = Members::of(value)?;
        for (name, list) in [("roots", &mut self.roots), ("offered", &mut self.offered)] {
            *list = from.texts(name)?.into_iter().map(str::to_owned).collect();
        }
        self.met = from.list("met")?.iter().map(number).collect::<Result<_, _>>()?;
        from.text("title")?.unwrap_or_default().clone_into(&mut self.title);
        read_slots(&mut from, &mut self.slots())?;
        from.finish()
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 2] {
        [(key!("asked"), Slot::Flag(&mut self.asked)), (key!("untold"), Slot::Count(&mut self.untold))]
    }

    fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("survey"));
        out.list(key!("roots"), &self.roots);
        out.list(key!("offered"), &self.offered);
        out.numbers(key!("met"), &self.met);
        out.text_field(key!("title"), &self.title);
        write_slots(out, &mut self.slots());
        out.close_even_empty(object);
    }
}

impl Chain {
    fn parse(&mut self, value: &Value) -> Result<(), String> {
        let mut from = Members::of(value)?;
        members::text(from.needed("path")?)?.clone_into(&mut self.path);
        self.next = from.text("next")?.map(str::to_owned);
        self.limit = needed_count(&mut from, "limit")?;
        self.seen = Seen::read(&mut from, "seen")?;
        read_slots(&mut from, &mut self.slots())?;
        from.finish()
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 16] {
        [
            (key!("after"), Slot::Number(&mut self.after)),
            (key!("top"), Slot::Number(&mut self.top)),
            (key!("high"), Slot::Number(&mut self.high)),
            (key!("pages"), Slot::Count(&mut self.pages)),
            (key!("futile"), Slot::Count(&mut self.futile)),
            (key!("lost"), Slot::Count(&mut self.lost)),
            (key!("before"), Slot::Count(&mut self.before)),
            (key!("repeats"), Slot::Count(&mut self.repeats)),
            (key!("empties"), Slot::Count(&mut self.empties)),
            (key!("grew"), Slot::Flag(&mut self.grew)),
            (key!("unsorted"), Slot::Flag(&mut self.unsorted)),
            (key!("widened"), Slot::Flag(&mut self.widened)),
            (key!("gauge"), Slot::Flag(&mut self.gauge)),
            (key!("grown"), Slot::Flag(&mut self.grown)),
            (key!("any"), Slot::Flag(&mut self.any)),
            (key!("probe"), Slot::Flag(&mut self.probe)),
        ]
    }

    fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("chain"));
        out.text_field(key!("path"), &self.path);
        out.text_field(key!("next"), self.next.as_deref().unwrap_or_default());
        out.number(key!("limit"), u64::from(self.limit));
        write_slots(out, &mut self.slots());
        self.seen.write(key!("seen"), out);
        out.close(object);
    }
}
