//! Where a run is: the walk in progress, its window, and what is being asked for, as they stand in a state.

use serde_json::Value;

use super::edge::Edge;
use super::times::shifted;
use crate::checkpoint::{Slot, needed_count, read_slots, write_slots};
use crate::members::{Members, number};
use crate::seen::Seen;
use tipline_ecs::time::Millis;
use tipline_ecs::{Json, Key, key};

/// A stretch of time, of one type or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kind: Option<String>,
    pub(super) since: Millis,
    pub(super) until: Option<Millis>,
    /// Halving it was tried and did not help.
    pub(super) whole: bool,
    /// It is a hole in what the marks say is read: what is missing of it is asked for by each poll.
    pub(super) hole: bool,
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

impl Window {
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let mut window = Self {
            kind: from.text("kind")?.map(str::to_owned),
            since: number(from.needed("since")?)?,
            until: None,
            whole: false,
            hole: false,
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

    fn slots(&mut self) -> [(Key, Slot<'_>); 3] {
        [
            (key!("until"), Slot::Number(&mut self.until)),
            (key!("whole"), Slot::Flag(&mut self.whole)),
            (key!("hole"), Slot::Flag(&mut self.hole)),
        ]
    }

    pub(super) fn members(&mut self, out: &mut Json) {
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
        Self { kind, since, until, whole: false, hole: false, share: Share::Unknown }
    }

    /// Moves it by what a clock was set.
    pub(super) fn shift(&mut self, from: Millis, to: Millis) {
        self.since = shifted(self.since, from, to);
        self.until = self.until.map(|until| shifted(until, from, to));
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

    pub(super) fn read(value: &Value) -> Result<Self, String> {
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

    pub(super) fn write(&mut self, out: &mut Json) {
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

/// Writes a list of windows.
pub(super) fn write_windows(key: Key, windows: &mut [Window], out: &mut Json) {
    out.open_list(key);
    for window in windows {
        let object = out.begin();
        window.members(out);
        out.close(object);
    }
    out.close_list();
}
