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
use crate::retry::Retry;
use crate::seen::Seen;
use tipline_ecs::key;
use tipline_ecs::time::Millis;
use tipline_ecs::{Begun, Json, Key};

/// The format written here. A change of meaning raises it.
const FORMAT: u32 = 2;

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
    pub(super) matching: Matching,
    /// Objects of the largest page the server has given.
    pub(super) largest: u32,
    /// Objects of a page to which the server cut what was asked for; 0 where it was not seen to.
    pub(super) clamp: u32,
    /// The largest page the server was asked for after it refused a larger one, and the setting it was refused under.
    pub(super) most: u32,
    pub(super) most_of: u32,
    /// The server takes no `limit` at all.
    pub(super) unlimited: bool,
    /// The server refuses a request without `added_after`.
    pub(super) since: bool,
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
    /// It is there: the server lists it, or gave something of it.
    pub(super) there: bool,
    /// It has given indicators.
    pub(super) gave: bool,
    /// It was told that nobody can know whether its last page is the last.
    pub(super) told_unsaid: bool,
    /// Behind which date there is something that the server fails to give, and how many polls in a row met it.
    pub(super) stuck: Option<Instant>,
    pub(super) stuck_polls: u32,
}

/// What the server makes of `match[type]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Matching {
    #[default]
    Unknown,
    /// It gives what it should.
    Good,
    /// It means something else here or is refused, and is left out.
    LeftOut,
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
    pub(super) retry: Retry,
    /// The status with which `url` itself said nothing of use; 0 where it did.
    pub(super) silent: u32,
    /// Requests that failed on the way past what the server fails to give.
    pub(super) strained: u32,
    /// The status with which the list of collections could not be read; 0 where it could.
    pub(super) unlisted: u32,
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
    /// Which of the names in the settings were met.
    pub(super) met: Vec<Met>,
    /// Which of them were met only where this account may not read, by their number.
    pub(super) barred: Vec<u64>,
    /// The next root to be matched is the default one.
    pub(super) at_default: bool,
    /// Collections as people are told of them.
    pub(super) offered: Vec<String>,
    /// Those too many to be told of.
    pub(super) untold: u32,
}

/// A name in the settings that a collection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Met {
    /// Its number among the names.
    pub(super) name: u64,
    /// By what it was found: the less, the surer.
    pub(super) way: u64,
    /// The number of the collection's place.
    pub(super) place: u64,
    /// It is in the default root.
    pub(super) is_default: bool,
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
    /// Where in this chain an answer was lost or damaged: the number of that page, from 1; 0 for nowhere.
    pub(super) hurt: u32,
    /// Where to begin again behind a page that was taken in part.
    pub(super) passed: Option<Instant>,
    /// Objects of the page before.
    pub(super) before: u32,
    /// Of the page at hand so many objects were delivered, as all of them were too many; and what that page was.
    pub(super) taken: u32,
    pub(super) taken_of: Option<u64>,
    /// Pages in a row that were seen before.
    pub(super) repeats: u32,
    /// Pages in a row without objects where there should be more.
    pub(super) empties: u32,
    pub(super) edge: Edge,
    pub(super) ask: Ask,
    pub(super) form: Form,
    pub(super) passing: Passing,
    /// The latest date before the first thing in this run that the server could not give.
    pub(super) gap: Option<Instant>,
    /// It had objects.
    pub(super) any: bool,
    /// It had indicators.
    pub(super) wanted: bool,
    /// It was said that an instant fills all that the server gives.
    pub(super) told_full: bool,
    pub(super) seen: Seen,
}

/// How a chain without `next` gets past an instant that fills a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Edge {
    /// It has not met one.
    #[default]
    None,
    /// A larger page was asked for.
    Wider,
    /// The whole collection is asked for, to see how large a page the server gives.
    Gauge,
    /// What lies behind it is asked for, so many steps away.
    Behind(u8),
}

/// What a chain asks for of all types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ask {
    /// Those wanted, where `match[type]` is of use.
    #[default]
    Wanted,
    /// All, to see whether that gives more than `match[type]` did.
    All,
    /// All, as the request with `match[type]` was refused.
    Refused,
    /// All, as the server failed at `match[type]`; or at that moment.
    Failing,
    /// Those wanted once more, as the server did not fail without `match[type]`.
    Confirm,
    /// All, to see whether a collection without indicators has anything.
    Look,
}

/// What else a chain tries where requests in their usual form are refused, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    #[default]
    Usual,
    /// With an `added_after` from which on there is everything.
    Since,
    /// Usual, as that was in vain.
    SinceInVain,
    /// Without `limit`.
    Unlimited,
    /// With that `added_after` and without `limit`.
    Bare,
}

/// How a chain gets past what the server fails to give. Of what is asked for to find the way nothing is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Passing {
    #[default]
    None,
    /// Whether it fails at what would be added now, too.
    Far,
    /// Pages are halved at each failure, down to one object, and read as usual.
    Narrow,
    /// How far behind it something can be had again: so many steps away.
    Reach(u8),
    /// The nearest such place lies between these two.
    Between { bad: Instant, good: Instant },
    /// Whether it still fails. If so, the chain goes on behind this place.
    Check { good: Instant },
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
        self.matching = word(&mut from, "matching", &Matching::WORDS)?;
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

    fn slots(&mut self) -> [(Key, Slot<'_>); 8] {
        [
            (key!("told"), Slot::Number(&mut self.told)),
            (key!("largest"), Slot::Count(&mut self.largest)),
            (key!("clamp"), Slot::Count(&mut self.clamp)),
            (key!("most"), Slot::Count(&mut self.most)),
            (key!("most_of"), Slot::Count(&mut self.most_of)),
            (key!("unlimited"), Slot::Flag(&mut self.unlimited)),
            (key!("since"), Slot::Flag(&mut self.since)),
            (key!("plain"), Slot::Flag(&mut self.plain)),
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
        out.text_field(key!("matching"), written(self.matching, &Matching::WORDS));
        if let Some(wait) = &self.wait {
            wait.write(&mut out);
        }
        if !self.places.is_empty() {
            out.open_list(key!("places"));
            for place in &mut self.places {
                let object = out.begin();
                out.text_field(key!("path"), &place.path);
                write_slots(&mut out, &mut place.slots());
                out.text_field(key!("turn"), written(place.turn, &Turn::WORDS));
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

/// A word of a state for one of a few things; none for the usual one.
fn word<T: Copy>(from: &mut Members<'_>, name: &'static str, words: &[(&'static str, T)]) -> Result<T, String> {
    let word = from.text(name)?.unwrap_or_default();
    let known = words.iter().find(|(known, _)| *known == word).map(|(_, thing)| *thing);
    known.ok_or_else(|| format!("an unknown `{name}`"))
}

fn written<T: PartialEq>(thing: T, words: &[(&'static str, T)]) -> &'static str {
    words.iter().find(|(_, known)| *known == thing).map_or("", |(word, _)| word)
}

impl Matching {
    const WORDS: [(&'static str, Self); 3] = [("", Self::Unknown), ("good", Self::Good), ("left_out", Self::LeftOut)];
}

impl Ask {
    const WORDS: [(&'static str, Self); 6] = [
        ("", Self::Wanted),
        ("all", Self::All),
        ("refused", Self::Refused),
        ("failing", Self::Failing),
        ("confirm", Self::Confirm),
        ("look", Self::Look),
    ];
}

impl Form {
    const WORDS: [(&'static str, Self); 5] = [
        ("", Self::Usual),
        ("since", Self::Since),
        ("since_in_vain", Self::SinceInVain),
        ("unlimited", Self::Unlimited),
        ("bare", Self::Bare),
    ];
}

impl Passing {
    /// As numbers, which of them it is and what it holds.
    fn numbers(self) -> Vec<u64> {
        match self {
            Self::None => Vec::new(),
            Self::Far => vec![1],
            Self::Narrow => vec![2],
            Self::Reach(step) => vec![3, step.into()],
            Self::Between { bad, good } => vec![4, bad, good],
            Self::Check { good } => vec![5, good],
        }
    }

    fn of(numbers: &[u64]) -> Result<Self, String> {
        Ok(match *numbers {
            [] => Self::None,
            [1] => Self::Far,
            [2] => Self::Narrow,
            [3, step] => Self::Reach(u8::try_from(step).unwrap_or(u8::MAX)),
            [4, bad, good] => Self::Between { bad, good },
            [5, good] => Self::Check { good },
            _ => return Err("an unknown `passing`".to_owned()),
        })
    }
}

impl Turn {
    const WORDS: [(&'static str, Self); 4] =
        [("", Self::None), ("due", Self::Due), ("read", Self::Read), ("refused", Self::Refused)];
}

impl Edge {
    /// As a number: from 3 on the steps.
    fn number(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Wider => 1,
            Self::Gauge => 2,
            Self::Behind(step) => u32::from(step).saturating_add(3),
        }
    }

    fn of(number: u32) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Wider,
            2 => Self::Gauge,
            step => Self::Behind(u8::try_from(step.saturating_sub(3)).unwrap_or(u8::MAX)),
        }
    }
}

impl Place {
    fn parse(&mut self, value: &Value) -> Result<(), String> {
        let mut from = Members::of(value)?;
        members::text(from.needed("path")?)?.clone_into(&mut self.path);
        read_slots(&mut from, &mut self.slots())?;
        self.turn = word(&mut from, "turn", &Turn::WORDS)?;
        from.finish()
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 6] {
        [
            (key!("cursor"), Slot::Number(&mut self.cursor)),
            (key!("there"), Slot::Flag(&mut self.there)),
            (key!("gave"), Slot::Flag(&mut self.gave)),
            (key!("told_unsaid"), Slot::Flag(&mut self.told_unsaid)),
            (key!("stuck"), Slot::Number(&mut self.stuck)),
            (key!("stuck_polls"), Slot::Count(&mut self.stuck_polls)),
        ]
    }
}

impl Run {
    fn parse(&mut self, value: &Value) -> Result<(), String> {
        let mut from = Members::of(value)?;
        self.cap = needed_count(&mut from, "cap")?;
        read_slots(&mut from, &mut self.slots())?;
        read_slots(&mut from, &mut self.retry.slots())?;
        if let Some(value) = from.any("survey") {
            self.survey.insert(Survey::default()).parse(value)?;
        }
        if let Some(value) = from.any("chain") {
            self.chain.insert(Chain::default()).parse(value)?;
        }
        from.finish()
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 6] {
        [
            (key!("clock"), Slot::Number(&mut self.clock)),
            (key!("observed"), Slot::Number(&mut self.observed)),
            (key!("silent"), Slot::Count(&mut self.silent)),
            (key!("strained"), Slot::Count(&mut self.strained)),
            (key!("unlisted"), Slot::Count(&mut self.unlisted)),
            (key!("retyped"), Slot::Flag(&mut self.retyped)),
        ]
    }

    fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("run"));
        out.number(key!("cap"), u64::from(self.cap));
        write_slots(out, &mut self.slots());
        write_slots(out, &mut self.retry.slots());
        if let Some(survey) = &mut self.survey {
            survey.write(out);
        }
        if let Some(chain) = &mut self.chain {
            chain.write(out);
        }
        out.close(object);
    }
}

impl Met {
    fn numbers(self) -> [u64; 4] {
        [self.name, self.way, self.place, self.is_default.into()]
    }

    fn read(numbers: &[u64]) -> Result<Vec<Self>, String> {
        let (all, rest) = numbers.as_chunks::<4>();
        if !rest.is_empty() {
            return Err("`met` has no fours".to_owned());
        }
        let one = |[name, way, place, is_default]: [u64; 4]| Self { name, way, place, is_default: is_default > 0 };
        Ok(all.iter().copied().map(one).collect())
    }
}

impl Survey {
    fn parse(&mut self, value: &Value) -> Result<(), String> {
        let mut from = Members::of(value)?;
        for (name, list) in [("roots", &mut self.roots), ("offered", &mut self.offered)] {
            *list = from.texts(name)?.into_iter().map(str::to_owned).collect();
        }
        let met: Vec<u64> = from.list("met")?.iter().map(number).collect::<Result<_, _>>()?;
        self.met = Met::read(&met)?;
        self.barred = from.list("barred")?.iter().map(number).collect::<Result<_, _>>()?;
        from.text("title")?.unwrap_or_default().clone_into(&mut self.title);
        read_slots(&mut from, &mut self.slots())?;
        from.finish()
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 3] {
        [
            (key!("asked"), Slot::Flag(&mut self.asked)),
            (key!("at_default"), Slot::Flag(&mut self.at_default)),
            (key!("untold"), Slot::Count(&mut self.untold)),
        ]
    }

    fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("survey"));
        out.list(key!("roots"), &self.roots);
        out.list(key!("offered"), &self.offered);
        let met: Vec<u64> = self.met.iter().flat_map(|met| met.numbers()).collect();
        out.numbers(key!("met"), &met);
        out.numbers(key!("barred"), &self.barred);
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
        self.edge = Edge::of(from.count("edge")?.unwrap_or(0));
        self.ask = word(&mut from, "ask", &Ask::WORDS)?;
        self.form = word(&mut from, "form", &Form::WORDS)?;
        self.passing = Passing::of(&from.list("passing")?.iter().map(number).collect::<Result<Vec<u64>, _>>()?)?;
        read_slots(&mut from, &mut self.slots())?;
        from.finish()
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 19] {
        [
            (key!("after"), Slot::Number(&mut self.after)),
            (key!("top"), Slot::Number(&mut self.top)),
            (key!("high"), Slot::Number(&mut self.high)),
            (key!("passed"), Slot::Number(&mut self.passed)),
            (key!("gap"), Slot::Number(&mut self.gap)),
            (key!("taken_of"), Slot::Number(&mut self.taken_of)),
            (key!("taken"), Slot::Count(&mut self.taken)),
            (key!("pages"), Slot::Count(&mut self.pages)),
            (key!("futile"), Slot::Count(&mut self.futile)),
            (key!("lost"), Slot::Count(&mut self.lost)),
            (key!("hurt"), Slot::Count(&mut self.hurt)),
            (key!("before"), Slot::Count(&mut self.before)),
            (key!("repeats"), Slot::Count(&mut self.repeats)),
            (key!("empties"), Slot::Count(&mut self.empties)),
            (key!("grew"), Slot::Flag(&mut self.grew)),
            (key!("unsorted"), Slot::Flag(&mut self.unsorted)),
            (key!("any"), Slot::Flag(&mut self.any)),
            (key!("wanted"), Slot::Flag(&mut self.wanted)),
            (key!("told_full"), Slot::Flag(&mut self.told_full)),
        ]
    }

    fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("chain"));
        out.text_field(key!("path"), &self.path);
        out.text_field(key!("next"), self.next.as_deref().unwrap_or_default());
        out.number(key!("limit"), u64::from(self.limit));
        write_slots(out, &mut self.slots());
        write_slots(out, &mut [(key!("edge"), Slot::Count(&mut self.edge.number()))]);
        out.text_field(key!("ask"), written(self.ask, &Ask::WORDS));
        out.text_field(key!("form"), written(self.form, &Form::WORDS));
        out.numbers(key!("passing"), &self.passing.numbers());
        self.seen.write(key!("seen"), out);
        out.close(object);
    }
}
