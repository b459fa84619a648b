//! A run and what it knows of its server, as they stand in a state.

use serde_json::Value;

use super::position::{Walk, Window, write_windows};
use super::times::Clocks;
use crate::checkpoint::{Slot, needed_count, read_slots, write_slots};
use crate::members::{Members, number};
use crate::retry::Retry;
use tipline_ecs::key;
use tipline_ecs::time::Millis;
use tipline_ecs::{Json, Key};

/// One poll: all windows from the marks to the feed's present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// The marks that move when all windows are read.
    pub(super) covers: Vec<String>,
    /// What the first answer said of the time; every document of the run goes by it.
    pub(super) began: Option<Began>,
    /// The largest page to ask for: the setting, or less where the server said so.
    pub(super) cap: u32,
    /// What is asked for now: `cap`, or less while an unreadable page is narrowed down.
    pub(super) limit: u32,
    /// The end of the offsets an unreadable page covered.
    pub(super) suspect: Option<u64>,
    pub(super) retry: Retry,
    /// What is done about a page for which no answer comes.
    pub(super) hunt: Option<Hunt>,
    /// Windows made smaller to find what gets no answer.
    pub(super) dug: u32,
    /// The offset at which the last poll gave up.
    pub(super) gave_up: Option<u64>,
    /// The other spelling of the type was tried.
    pub(super) respelled: bool,
    /// A page said how many records there are.
    pub(super) counted: bool,
    /// A page had records.
    pub(super) filled: bool,
    /// A link to another host was reported.
    pub(super) linked: bool,
    pub(super) until: Until,
    pub(super) ceiling: Option<Ceiling>,
    /// The `since` for which a gap was reported.
    pub(super) gap: Option<Millis>,
    /// Up to here all was read, as far as it can be shown; nothing where that is up to the end.
    pub(super) short_of: Option<Millis>,
    /// The walk in progress.
    pub(super) walk: Walk,
    /// Windows still to be walked, the next one last.
    pub(super) windows: Vec<Window>,
}

/// The time by the first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Began {
    /// The clocks, if the feed has one.
    pub(super) clocks: Option<Clocks>,
    /// The observation time of every document of the run.
    pub(super) observed: Millis,
}

/// A search for what the server does not answer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hunt {
    /// Does it answer at all?
    Probe,
    /// It does: ever smaller windows and pages.
    Dig(Over),
    /// Does it still, as it does not for one record?
    Check(Over),
}

/// What was passed over since the last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Over {
    /// The offset of the first record.
    pub(super) from: u64,
    /// How often.
    pub(super) times: u32,
}

/// What is known of the server's `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Nothing.
    Unknown,
    /// A window with it holds fewer records than the same one without.
    Honoured,
    /// It changes nothing.
    Ignored,
}

/// How far the server lets anyone page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ceiling {
    /// The last offset to ask for.
    pub(super) offset: u64,
    pub(super) why: Why,
}

/// Why no offset above a ceiling is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The server refuses them.
    Refused,
    /// It sends nothing there.
    Empty,
    /// It sends what it has sent before.
    Repeated,
    /// What is there is in another order each time.
    Reordered,
}

impl Run {
    /// A run at its beginning.
    pub(super) fn new(covers: Vec<String>, cap: u32, walk: Walk, windows: Vec<Window>) -> Self {
        Self {
            covers,
            began: None,
            cap,
            limit: cap,
            suspect: None,
            retry: Retry::default(),
            hunt: None,
            dug: 0,
            gave_up: None,
            respelled: false,
            counted: false,
            filled: false,
            linked: false,
            until: Until::Unknown,
            ceiling: None,
            gap: None,
            short_of: None,
            walk,
            windows,
        }
    }

    /// The feed's clock at the first answer.
    pub(super) fn clock(&self) -> Option<Millis> {
        self.began?.clocks.map(|clocks| clocks.feed)
    }

    /// Where the present was when the run began.
    pub(super) fn present(&self, now: Millis) -> Millis {
        self.clock().or(self.began.map(|began| began.observed)).unwrap_or(now)
    }

    /// Moves all windows by what a clock was set; the walk begins again.
    pub(super) fn shift(&mut self, from: Millis, to: Millis) {
        self.windows.iter_mut().for_each(|window| window.shift(from, to));
        self.walk.window.shift(from, to);
        self.walk = self.walk.window.clone().walk();
    }

    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        from.needed("covers")?;
        let covers = from.texts("covers")?.into_iter().map(str::to_owned).collect();
        let cap = needed_count(&mut from, "cap")?;
        let limit = needed_count(&mut from, "limit")?;
        let walk = Walk::read(from.needed("walk")?)?;
        let windows = from.list("windows")?.iter().map(Window::read).collect::<Result<_, _>>()?;
        let mut run = Self { limit, ..Self::new(covers, cap, walk, windows) };
        run.began = from.any("began").map(Began::read).transpose()?;
        run.until = match from.text("until")? {
            None => Until::Unknown,
            Some("honoured") => Until::Honoured,
            Some("ignored") => Until::Ignored,
            Some(_) => return Err("`until` is neither `honoured` nor `ignored`".to_owned()),
        };
        run.ceiling = from.any("ceiling").map(Ceiling::read).transpose()?;
        run.hunt = from.any("hunt").map(Hunt::read).transpose()?;
        read_slots(&mut from, &mut run.slots())?;
        from.finish()?;
        Ok(run)
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 12] {
        let [attempts, garbled, unreadable] = self.retry.slots();
        [
            (key!("suspect"), Slot::Number(&mut self.suspect)),
            attempts,
            garbled,
            unreadable,
            (key!("dug"), Slot::Count(&mut self.dug)),
            (key!("gave_up"), Slot::Number(&mut self.gave_up)),
            (key!("respelled"), Slot::Flag(&mut self.respelled)),
            (key!("counted"), Slot::Flag(&mut self.counted)),
            (key!("filled"), Slot::Flag(&mut self.filled)),
            (key!("linked"), Slot::Flag(&mut self.linked)),
            (key!("gap"), Slot::Number(&mut self.gap)),
            (key!("short_of"), Slot::Number(&mut self.short_of)),
        ]
    }

    pub(super) fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("run"));
        out.list(key!("covers"), &self.covers);
        out.number(key!("cap"), u64::from(self.cap));
        out.number(key!("limit"), u64::from(self.limit));
        if let Some(began) = &self.began {
            began.write(out);
        }
        write_slots(out, &mut self.slots());
        match self.until {
            Until::Unknown => {}
            Until::Honoured => out.text_field(key!("until"), "honoured"),
            Until::Ignored => out.text_field(key!("until"), "ignored"),
        }
        if let Some(ceiling) = &self.ceiling {
            ceiling.write(out);
        }
        if let Some(hunt) = self.hunt {
            hunt.write(out);
        }
        self.walk.write(out);
        if !self.windows.is_empty() {
            write_windows(key!("windows"), &mut self.windows, out);
        }
        out.close(object);
    }
}

impl Began {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let began = Self {
            clocks: from.any("clocks").map(Clocks::read).transpose()?,
            observed: number(from.needed("observed")?)?,
        };
        from.finish()?;
        Ok(began)
    }

    fn write(&self, out: &mut Json) {
        let object = out.open(key!("began"));
        if let Some(clocks) = self.clocks {
            clocks.write(key!("clocks"), out);
        }
        out.number(key!("observed"), self.observed);
        out.close(object);
    }
}

impl Hunt {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let over = Over { from: from.number("from")?.unwrap_or(0), times: from.count("times")?.unwrap_or(0) };
        from.needed("for")?;
        let hunt = match from.text("for")? {
            Some("life") => Self::Probe,
            Some("record") => Self::Dig(over),
            Some("others") => Self::Check(over),
            _ => return Err("`for` of a hunt is none that is known".to_owned()),
        };
        from.finish()?;
        Ok(hunt)
    }

    fn write(self, out: &mut Json) {
        let object = out.open(key!("hunt"));
        let (word, over) = match self {
            Self::Probe => ("life", Over::default()),
            Self::Dig(over) => ("record", over),
            Self::Check(over) => ("others", over),
        };
        out.text_field(key!("for"), word);
        if over.times > 0 {
            out.number(key!("from"), over.from);
            out.number(key!("times"), u64::from(over.times));
        }
        out.close(object);
    }
}

impl Over {
    /// Once more.
    pub(super) fn again(self) -> Self {
        Self { times: self.times.saturating_add(1), ..self }
    }
}

impl Ceiling {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let offset = number(from.needed("offset")?)?;
        from.needed("why")?;
        let said = from.text("why")?.unwrap_or_default();
        let why = Why::ALL.into_iter().find(|why| why.word() == said).ok_or("`why` is none that is known")?;
        from.finish()?;
        Ok(Self { offset, why })
    }

    fn write(&self, out: &mut Json) {
        let object = out.open(key!("ceiling"));
        out.number(key!("offset"), self.offset);
        out.text_field(key!("why"), self.why.word());
        out.close(object);
    }
}

impl Why {
    const ALL: [Self; 4] = [Self::Refused, Self::Empty, Self::Repeated, Self::Reordered];

    fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Empty => "empty",
            Self::Repeated => "repeated",
            Self::Reordered => "reordered",
        }
    }
}
