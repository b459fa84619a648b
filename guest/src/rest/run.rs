//! A run, its windows, and the walk in progress, as they stand in a state.

use serde_json::Value;

use super::edge::Edge;
use super::state::{Clocks, shifted};
use crate::checkpoint::{Slot, needed_count, read_slots, write_slots};
use crate::members::{Members, number};
use crate::retry::Retry;
use crate::seen::Seen;
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

/// A stretch of time, of one type or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kind: Option<String>,
    pub(super) since: Millis,
    pub(super) until: Option<Millis>,
    /// Halving it was tried and did not help.
    pub(super) whole: bool,
    pub(super) share: Share,
}

/// What a window should hold, by the one it is a half of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Unknown,
    /// The older half of a window with so many records.
    Of(u64),
    /// The younger one, where the older half leaves so many.
    Rest(u64),
    /// The younger one of so many, where the older half, from this time on, held nothing and did not say of how many.
    All(u64, Millis),
}

/// A window being read, page by page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) window: Window,
    /// Walks of this window that came to nothing.
    pub(super) torn: u32,
    /// Records of the window's list that are read.
    pub(super) reached: u64,
    /// The last `meta.total` to be believed.
    pub(super) total: Option<u64>,
    pub(super) phase: Phase,
    /// Fingerprints of the pages so far.
    pub(super) seen: Seen,
    /// Pages in a row that were seen before.
    pub(super) repeats: u32,
    /// The offset of the last page that was not seen before.
    pub(super) fresh: u64,
    /// Answers in a row that held nothing where there should be more.
    pub(super) empties: u32,
}

/// What is being asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first page.
    First,
    /// The first page of the first half of a deeper window, while nobody knows whether the server honours `until`.
    Half(Whole),
    /// The page that begins with the edge of the one before.
    Forward(Edge),
    /// A page further back, as the one that came did not begin with it.
    Back(Edge),
    /// An empty stretch of time: what `total` says of it shows whether it speaks of what is asked for.
    Gauge(Edge),
    /// The last page once more, as `total` seems to count something else: a server that is out of order says anything.
    Confirm(Edge),
}

/// What was known of the window that is being halved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) until: Option<Millis>,
    pub(super) total: Option<u64>,
    /// Younger halves that wait.
    pub(super) halves: u32,
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
        for window in self.windows.iter_mut().chain(std::iter::once(&mut self.walk.window)) {
            window.since = shifted(window.since, from, to);
            window.until = window.until.map(|until| shifted(until, from, to));
        }
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
        read_slots(&mut from, &mut run.slots())?;
        from.finish()?;
        Ok(run)
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 11] {
        let [attempts, garbled, unreadable] = self.retry.slots();
        [
            (key!("suspect"), Slot::Number(&mut self.suspect)),
            attempts,
            garbled,
            unreadable,
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

impl Window {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let mut window = Self {
            kind: from.text("kind")?.map(str::to_owned),
            since: number(from.needed("since")?)?,
            until: None,
            whole: false,
            share: Share::Unknown,
        };
        window.share = match (from.number("of")?, from.number("rest")?, from.number("all")?, from.number("from")?) {
            (None, None, None, None) => Share::Unknown,
            (Some(of), None, None, None) => Share::Of(of),
            (None, Some(rest), None, None) => Share::Rest(rest),
            (None, None, Some(all), Some(since)) => Share::All(all, since),
            _ => return Err("`of`, `rest` and `all` of a window exclude each other".to_owned()),
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
        match self.share {
            Share::Unknown => {}
            Share::Of(of) => out.number(key!("of"), of),
            Share::Rest(rest) => out.number(key!("rest"), rest),
            Share::All(all, since) => {
                out.number(key!("all"), all);
                out.number(key!("from"), since);
            }
        }
        write_slots(out, &mut self.slots());
    }

    /// One that is no half of another.
    pub(super) fn new(kind: Option<String>, since: Millis, until: Option<Millis>) -> Self {
        Self { kind, since, until, whole: false, share: Share::Unknown }
    }

    /// Begins to read it.
    pub(super) fn walk(self) -> Walk {
        Walk {
            window: self,
            torn: 0,
            reached: 0,
            total: None,
            phase: Phase::First,
            seen: Seen::default(),
            repeats: 0,
            fresh: 0,
            empties: 0,
        }
    }
}

impl Walk {
    /// How many records the page to ask for has in common with the one before.
    pub(super) fn overlap(&self, limit: u32) -> u64 {
        match &self.phase {
            Phase::Forward(edge) | Phase::Confirm(edge) => edge.overlap(limit),
            Phase::First | Phase::Half(_) | Phase::Back(_) | Phase::Gauge(_) => 0,
        }
    }

    /// The offset to ask for.
    pub(super) fn offset(&self, limit: u32) -> u64 {
        match &self.phase {
            Phase::First | Phase::Half(_) | Phase::Gauge(_) => 0,
            Phase::Forward(_) | Phase::Confirm(_) => self.reached.saturating_sub(self.overlap(limit)),
            Phase::Back(edge) => self.reached.saturating_sub(edge.stride(limit)),
        }
    }

    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let mut walk = Window::read(from.needed("window")?)?.walk();
        walk.reached = number(from.needed("reached")?)?;
        walk.seen = Seen::read(&mut from, "seen")?;
        walk.phase = match from.text("phase")? {
            None => Phase::First,
            Some("half") => Phase::Half(Whole::read(from.needed("of")?)?),
            Some("forward") => Phase::Forward(Edge::read(&mut from)?),
            Some("back") => Phase::Back(Edge::read(&mut from)?),
            Some("gauge") => Phase::Gauge(Edge::read(&mut from)?),
            Some("confirm") => Phase::Confirm(Edge::read(&mut from)?),
            Some(_) => return Err("`phase` is none that is known".to_owned()),
        };
        walk.fresh = from.number("fresh")?.unwrap_or(0);
        read_slots(&mut from, &mut walk.slots())?;
        from.finish()?;
        Ok(walk)
    }

    fn slots(&mut self) -> [(Key, Slot<'_>); 4] {
        [
            (key!("torn"), Slot::Count(&mut self.torn)),
            (key!("total"), Slot::Number(&mut self.total)),
            (key!("repeats"), Slot::Count(&mut self.repeats)),
            (key!("empties"), Slot::Count(&mut self.empties)),
        ]
    }

    fn write(&mut self, out: &mut Json) {
        let object = out.open(key!("walk"));
        let window = out.open(key!("window"));
        self.window.members(out);
        out.close(window);
        out.number(key!("reached"), self.reached);
        out.number(key!("fresh"), self.fresh);
        write_slots(out, &mut self.slots());
        self.seen.write(key!("seen"), out);
        let (word, edge) = match &self.phase {
            Phase::First => ("", None),
            Phase::Half(_) => ("half", None),
            Phase::Forward(edge) => ("forward", Some(edge)),
            Phase::Back(edge) => ("back", Some(edge)),
            Phase::Gauge(edge) => ("gauge", Some(edge)),
            Phase::Confirm(edge) => ("confirm", Some(edge)),
        };
        out.text_field(key!("phase"), word);
        if let Some(edge) = edge {
            edge.write(out);
        }
        if let Phase::Half(whole) = &self.phase {
            whole.write(out);
        }
        out.close(object);
    }
}

impl Whole {
    fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let whole = Self {
            until: from.number("until")?,
            total: from.number("total")?,
            halves: needed_count(&mut from, "halves")?,
        };
        from.finish()?;
        Ok(whole)
    }

    fn write(&self, out: &mut Json) {
        let object = out.open(key!("of"));
        for (key, number) in [(key!("until"), self.until), (key!("total"), self.total)] {
            if let Some(number) = number {
                out.number(key, number);
            }
        }
        out.number(key!("halves"), u64::from(self.halves));
        out.close(object);
    }
}
