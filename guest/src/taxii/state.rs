//! What the pager knows between two calls: each collection's place, and the poll in progress.
//!
//! A *place* says up to when a collection was read. While it is being read it has a *chain*: the requests from one
//! `added_after` on. Everything is bounded, so that 100 places stay below the longest state: see the constants here
//! and in `server.rs`.

use serde_json::Value;

use super::instant::Instant;
use crate::checkpoint::{self, count, flag, needed_count, optional};
use crate::config::Config;
use crate::members::{self, Members, number};
use crate::pause::Pause;
use crate::refusal::clean;
use crate::seen::Seen;
use socdefenders_mapping::contract::Failure;
use socdefenders_mapping::ecs::Json;
use socdefenders_mapping::key;
use socdefenders_mapping::time::Millis;

/// The format written here. A change of meaning raises it.
const FORMAT: u32 = 1;

/// What is kept from poll to poll, and the poll in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    feed: String,
    /// The observation time of the last complete run.
    pub(super) observed: Millis,
    /// What was last said about the server and its collections, as a fingerprint.
    pub(super) told: u64,
    /// `Accept` goes without a version.
    pub(super) plain: bool,
    /// `match[type]` was seen to give what it should.
    pub(super) filters: bool,
    /// `match[type]` means something else here, and is left out.
    pub(super) bare: bool,
    /// No request before this time.
    pub(super) wait: Option<Pause>,
    /// The collections read, in the order of reading.
    pub(super) places: Vec<Place>,
    pub(super) run: Option<Run>,
}

/// A collection and up to when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Its path from the origin, with the final slash.
    pub(super) path: String,
    /// All that was added up to here has been read; `None` where reading begins at the beginning.
    pub(super) cursor: Option<Instant>,
    pub(super) turn: Turn,
}

/// Where a place stands in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Not asked for in this run.
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
        let Some(value) = checkpoint::open(text, FORMAT, &feed)? else {
            return Ok(Self {
                feed,
                observed: 0,
                told: 0,
                plain: false,
                filters: false,
                bare: false,
                wait: None,
                places: Vec::new(),
                run: None,
            });
        };
        Self::parse(&value, feed).map_err(|error| checkpoint::unusable(&clean(&error)))
    }

    fn parse(value: &Value, feed: String) -> Result<Self, String> {
        let mut from = checkpoint::members(value)?;
        let state = Self {
            feed,
            observed: number(from.needed("observed")?)?,
            told: from.number("told")?.unwrap_or(0),
            plain: from.flag("plain")?,
            filters: from.flag("filters")?,
            bare: from.flag("bare")?,
            wait: from.any("wait").map(Pause::read).transpose()?,
            places: from.list("places")?.iter().map(Place::read).collect::<Result<_, _>>()?,
            run: from.any("run").map(Run::read).transpose()?,
        };
        from.finish()?;
        Ok(state)
    }

    /// The text to store.
    pub(super) fn write(&self) -> Result<String, Failure> {
        let (mut out, whole) = checkpoint::begin(FORMAT, &self.feed);
        out.number(key!("observed"), self.observed);
        optional(&mut out, key!("told"), Some(self.told).filter(|told| *told > 0));
        flag(&mut out, key!("plain"), self.plain);
        flag(&mut out, key!("filters"), self.filters);
        flag(&mut out, key!("bare"), self.bare);
        if let Some(wait) = &self.wait {
            wait.write(&mut out);
        }
        if !self.places.is_empty() {
            out.open_list(key!("places"));
            for place in &self.places {
                let object = out.begin();
                out.text_field(key!("path"), &place.path);
                optional(&mut out, key!("cursor"), place.cursor);
                out.text_field(key!("turn"), place.turn.word());
                out.close(object);
            }
            out.close_list();
        }
        if let Some(run) = &self.run {
            run.write(&mut out);
        }
        checkpoint::close(out, whole)
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
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let place = Self {
            path: members::text(from.needed("path")?)?.to_owned(),
            cursor: from.number("cursor")?,
            turn: match from.text("turn")? {
                None => Turn::None,
                Some(word) => [Turn::Due, Turn::Read, Turn::Refused]
                    .into_iter()
                    .find(|turn| turn.word() == word)
                    .ok_or_else(|| members::at("turn", "an unknown word"))?,
            },
        };
        from.finish()?;
        Ok(place)
    }
}

impl Run {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let run = Self {
            clock: from.number("clock")?,
            observed: from.number("observed")?,
            cap: needed_count(&mut from, "cap")?,
            attempts: from.count("attempts")?.unwrap_or(0),
            garbled: from.count("garbled")?.unwrap_or(0),
            retyped: from.flag("retyped")?,
            survey: from.any("survey").map(Survey::read).transpose()?,
            chain: from.any("chain").map(Chain::read).transpose()?,
        };
        from.finish()?;
        Ok(run)
    }

    fn write(&self, out: &mut Json) {
        let object = out.open(key!("run"));
        optional(out, key!("clock"), self.clock);
        optional(out, key!("observed"), self.observed);
        out.number(key!("cap"), u64::from(self.cap));
        count(out, key!("attempts"), self.attempts);
        count(out, key!("garbled"), self.garbled);
        flag(out, key!("retyped"), self.retyped);
        if let Some(survey) = &self.survey {
            survey.write(out);
        }
        if let Some(chain) = &self.chain {
            chain.write(out);
        }
        out.close(object);
    }
}

impl Survey {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let mut owned =
            |name| -> Result<Vec<String>, String> { Ok(from.texts(name)?.into_iter().map(str::to_owned).collect()) };
        let (roots, offered) = (owned("roots")?, owned("offered")?);
        let survey = Self {
            roots,
            met: from.list("met")?.iter().map(number).collect::<Result<_, _>>()?,
            offered,
            asked: from.flag("asked")?,
            title: from.text("title")?.unwrap_or_default().to_owned(),
            untold: from.count("untold")?.unwrap_or(0),
        };
        from.finish()?;
        Ok(survey)
    }

    fn write(&self, out: &mut Json) {
        let object = out.open(key!("survey"));
        out.list(key!("roots"), &self.roots);
        out.numbers(key!("met"), &self.met);
        out.list(key!("offered"), &self.offered);
        flag(out, key!("asked"), self.asked);
        out.text_field(key!("title"), &self.title);
        count(out, key!("untold"), self.untold);
        out.close_even_empty(object);
    }
}

impl Chain {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let chain = Self {
            path: members::text(from.needed("path")?)?.to_owned(),
            after: from.number("after")?,
            next: from.text("next")?.map(str::to_owned),
            limit: needed_count(&mut from, "limit")?,
            top: from.number("top")?,
            high: from.number("high")?,
            pages: from.count("pages")?.unwrap_or(0),
            grew: from.flag("grew")?,
            unsorted: from.flag("unsorted")?,
            futile: from.count("futile")?.unwrap_or(0),
            lost: from.count("lost")?.unwrap_or(0),
            before: from.count("before")?.unwrap_or(0),
            repeats: from.count("repeats")?.unwrap_or(0),
            empties: from.count("empties")?.unwrap_or(0),
            widened: from.flag("widened")?,
            gauge: from.flag("gauge")?,
            grown: from.flag("grown")?,
            any: from.flag("any")?,
            probe: from.flag("probe")?,
            seen: Seen::read(&mut from, "seen")?,
        };
        from.finish()?;
        Ok(chain)
    }

    fn write(&self, out: &mut Json) {
        let object = out.open(key!("chain"));
        out.text_field(key!("path"), &self.path);
        optional(out, key!("after"), self.after);
        out.text_field(key!("next"), self.next.as_deref().unwrap_or_default());
        out.number(key!("limit"), u64::from(self.limit));
        optional(out, key!("top"), self.top);
        optional(out, key!("high"), self.high);
        count(out, key!("pages"), self.pages);
        flag(out, key!("grew"), self.grew);
        flag(out, key!("unsorted"), self.unsorted);
        count(out, key!("futile"), self.futile);
        count(out, key!("lost"), self.lost);
        count(out, key!("before"), self.before);
        count(out, key!("repeats"), self.repeats);
        count(out, key!("empties"), self.empties);
        flag(out, key!("widened"), self.widened);
        flag(out, key!("gauge"), self.gauge);
        flag(out, key!("grown"), self.grown);
        flag(out, key!("any"), self.any);
        flag(out, key!("probe"), self.probe);
        self.seen.write(key!("seen"), out);
        out.close(object);
    }
}
