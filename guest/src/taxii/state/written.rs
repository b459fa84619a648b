//! The state as the text that a host stores.

use serde_json::Value;

use super::{Ask, Chain, Edge, Form, Matching, Met, Passing, Place, Run, State, Survey, Turn};
use crate::checkpoint::{self, Slot, needed_count, read_slots, write_slots};
use crate::config::Config;
use crate::contract::{Failure, MAX_STATE_BYTES};
use crate::members::{self, Members, number};
use crate::pause::Pause;
use crate::seen::Seen;
use crate::words::clean;
use tipline_ecs::key;
use tipline_ecs::{Begun, Json, Key};

/// The format written here. A change of meaning raises it.
const FORMAT: u32 = 2;

impl State {
    /// Reads a stored state; the empty string is the state before the first poll.
    pub(in crate::taxii) fn read(text: &str, config: &Config) -> Result<Self, Failure> {
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
    pub(in crate::taxii) fn write(mut self) -> Result<(String, usize), Failure> {
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
    pub(in crate::taxii) fn place(&mut self, path: &str) -> Option<&mut Place> {
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
