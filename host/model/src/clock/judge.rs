//! Which time it is, where no clock is trusted alone.
//!
//! There are three clocks: the machine's (*wall*), which anybody may set; the one that only counts on (*steady*), which knows
//! no date and begins anew with the program; and those of the feeds, which come with their answers. As long as wall and
//! steady clock go along with each other, the time is the wall's. Where they come apart, the wall was set, rightly or
//! wrongly, and the time is counted on by the steady clock until a feed's answer agrees with the wall. A program that is
//! started again only knows when it last ran: it goes by the wall, but nothing ends by it ([`Judge::earliest`]) before a feed
//! agrees.
//!
//! A feed is a witness by how far it was from us before: one that has always been an hour late is a good clock. Where there
//! is no witness, because the feeds that answer give no date, the wall is believed after [`DOUBT`]. Where none answers, nothing
//! is judged, but a pause is believed after [`SILENCE`], as what is over must not stay for ever.
//!
//! Everything here is a function of readings that are passed in; see `tests` for what it must withstand.

use std::collections::BTreeMap;

use super::Millis;

/// Clocks that differ by no more than this agree: NTP's slow corrections, a slow answer, a server that keeps no good time.
/// The guest's bound is the same.
pub const APART: Millis = 10 * 60 * 1_000;

/// How long a wall clock is doubted where feeds answer and none says what time it is: they are polled several times a day.
pub const DOUBT: Millis = 24 * 60 * 60 * 1_000;

/// How long what ended during a pause waits for a feed's answer.
pub const SILENCE: Millis = 7 * DOUBT;

/// Both clocks of the machine at one moment, in milliseconds; the steady one's since the program began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What the machine says.
    pub wall: Millis,
    /// What has passed.
    pub steady: Millis,
}

impl Reading {
    /// What the wall would say at a later reading of the steady clock.
    fn carried(self, steady: Millis) -> Millis {
        self.wall.saturating_add(steady.saturating_sub(self.steady))
    }
}

/// What the time is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    /// The wall goes along with the steady clock since this reading.
    Wall(Reading),
    /// It did so since the program began, which was not before `since`, and perhaps much later. It is doubted since the
    /// wall said `doubted`, perhaps in an earlier run.
    Gap { since: Millis, began: Reading, doubted: Millis, heard: Heard },
    /// They came apart `when` the steady clock said so: this is the time, as if the wall had not been set.
    /// After a pause it is the least that it can be, until a feed says how long that was; what passed between runs by the wall,
    /// which goes on from wherever it stands, is `counted`.
    Steady { from: Reading, when: Millis, heard: Heard, is_least: bool, counted: Millis },
}

/// What feeds have answered since the wall is doubted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// Answers that do not say what time it is.
    NoDate,
    Date,
}

/// What a feed's clock was when it could be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// How far it is ahead of the time, in milliseconds; unknown where it gave no date, or none that could be compared.
    pub ahead: Option<i64>,
    /// When it last answered.
    pub heard: Millis,
    /// What the time went on by since, on the word of others.
    pub unheard: Option<Unheard>,
}

/// A feed that has not answered since the time went on by the word of another one: by its own clock, that may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unheard {
    /// By how much.
    pub by: Millis,
    /// When that was.
    pub since: Millis,
}

impl Witness {
    /// One that answered at this time, and was so far ahead.
    pub fn new(ahead: Option<i64>, heard: Millis) -> Self {
        Self { ahead, heard, unheard: None }
    }
}

/// What a run leaves for the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The time, or the least that it was.
    pub time: Millis,
    /// What the machine said then.
    pub wall: Option<Millis>,
    /// What passed between runs since then, by the machine's clock, while that was not believed.
    pub counted: Millis,
    /// Since when, by the wall, a pause is doubted that nobody has confirmed.
    pub doubted: Option<Millis>,
    /// The clock of each input's feed.
    pub witnesses: BTreeMap<String, Witness>,
}

/// A change that a person should know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The wall was set and is not believed.
    Doubted {
        /// What it says.
        wall: Millis,
        /// What it is taken to be.
        time: Millis,
    },
    /// It is believed, or right again.
    Believed {
        /// The time that was gone by before.
        before: Millis,
        /// The time.
        wall: Millis,
    },
}

/// Judges the machine's clock.
#[derive(Debug, Clone)]
pub struct Judge {
    ground: Ground,
    witnesses: BTreeMap<String, Witness>,
    /// What the feeds that answered while the wall was doubted said, and when.
    answers: BTreeMap<String, Reading>,
}

impl Judge {
    /// One that knows nothing but this reading.
    pub fn new(reading: Reading) -> Self {
        Self { ground: Ground::Wall(reading), witnesses: BTreeMap::new(), answers: BTreeMap::new() }
    }

    /// Goes on where an earlier program ended: at this time, or somewhat later, with these witnesses.
    pub fn resume(&mut self, known: Known, reading: Reading) -> Option<Turn> {
        let Known { time: known, wall: before, counted, doubted, witnesses } = known;
        self.witnesses = witnesses;
        let wall = reading.wall;
        if wall.saturating_add(APART) < known {
            // Waits that were noted by that time would never end if the time between two short runs counted for nothing.
            let passed = before.map_or(0, |before| wall.saturating_sub(before)).min(DOUBT);
            let turn = self.doubt(known, true, reading);
            if let Ground::Steady { counted: all, .. } = &mut self.ground {
                *all = counted.saturating_add(passed);
            }
            return Some(turn);
        }
        self.ground = match wall.saturating_sub(known) {
            ..=APART => Ground::Wall(reading),
            _ => {
                // What is not about as long ago as runs by a timer are apart says nothing of this doubt.
                let is_of_late = |doubted: &Millis| *doubted <= wall && wall - *doubted <= SILENCE + DOUBT;
                let doubted = doubted.filter(is_of_late).unwrap_or(wall);
                Ground::Gap { since: known, began: reading, doubted, heard: Heard::Nothing }
            }
        };
        None
    }

    /// Looks at the clocks; what became of it, where that changed.
    pub fn look(&mut self, reading: Reading) -> Option<Turn> {
        match self.ground {
            Ground::Wall(before) => {
                let expected = before.carried(reading.steady);
                if agree(reading.wall, expected) {
                    self.ground = Ground::Wall(reading);
                    return None;
                }
                Some(self.doubt(expected, false, reading))
            }
            Ground::Gap { since, began, .. } if !agree(reading.wall, began.carried(reading.steady)) => {
                let passed = reading.steady.saturating_sub(began.steady);
                Some(self.doubt(since.saturating_add(passed), true, reading))
            }
            Ground::Gap { began, doubted, heard, .. } => {
                // Where nobody answers, a wall that was set between two runs must not confirm itself.
                let is_long = match heard {
                    Heard::NoDate => reading.wall.saturating_sub(doubted) >= DOUBT,
                    _ => reading.steady.saturating_sub(began.steady) >= SILENCE,
                };
                is_long.then(|| self.ground = Ground::Wall(reading));
                None
            }
            Ground::Steady { from, when, heard, .. } => {
                let is_long = heard == Heard::NoDate && reading.steady.saturating_sub(when) >= DOUBT;
                (is_long || agree(reading.wall, from.carried(reading.steady))).then(|| self.believe(reading))
            }
        }
    }

    /// Hears a feed's answer, with what its clock says where it says anything.
    pub fn hear(&mut self, feed: &str, said: Option<Millis>, reading: Reading) -> Option<Turn> {
        let turn = self.look(reading);
        if let Some(said) = said
            && !matches!(self.ground, Ground::Wall(_))
        {
            self.answers.insert(feed.to_owned(), Reading { wall: said, ..reading });
        }
        let turn = said.and_then(|said| self.weigh(feed, said, reading)).or(turn);
        if let Ground::Gap { heard, .. } | Ground::Steady { heard, .. } = &mut self.ground {
            // One that gives a date, and does not agree, contradicts for good.
            *heard = if said.is_some() || *heard == Heard::Date { Heard::Date } else { Heard::NoDate };
        }
        let time = self.now(reading);
        let before = self.witnesses.get(feed).and_then(|witness| witness.ahead);
        // After a pause that nobody has confirmed, there is nothing to compare it with.
        let ahead = match (said, self.ground) {
            (Some(said), Ground::Wall(_) | Ground::Steady { is_least: false, .. }) => Some(difference(said, time)),
            _ => before,
        };
        // One without a date says nothing of the time, then or now.
        let is_compared =
            said.is_none() || !matches!(self.ground, Ground::Gap { .. } | Ground::Steady { is_least: true, .. });
        let unheard = self.witnesses.get(feed).and_then(|witness| witness.unheard).filter(|_| !is_compared);
        self.witnesses.insert(feed.to_owned(), Witness { ahead, heard: time, unheard });
        turn
    }

    /// What an answer says about a doubtful wall.
    fn weigh(&mut self, feed: &str, said: Millis, reading: Reading) -> Option<Turn> {
        let corrected = self.witnesses.get(feed).and_then(|witness| witness.ahead);
        let corrected = corrected.map(|ahead| said.saturating_add_signed(ahead.saturating_neg()));
        let wall = reading.wall;
        match self.ground {
            Ground::Wall(_) => None,
            // Two clocks that nobody set together say the same.
            _ if agree(said, wall) || corrected.is_some_and(|said| agree(said, wall)) => {
                let is_news = matches!(self.ground, Ground::Steady { .. });
                let turn = self.believe(reading);
                is_news.then_some(turn)
            }
            Ground::Gap { since, .. } => {
                let said = corrected?;
                if said > wall {
                    self.believe(reading);
                    return None;
                }
                // Not before the last run, unless the feed's was set back.
                (said.saturating_add(APART) >= since).then(|| self.doubt(said.max(since), false, reading))
            }
            Ground::Steady { is_least: true, .. } => {
                let said = corrected.filter(|said| *said >= self.earliest(reading))?;
                Some(self.doubt(said, false, reading))
            }
            Ground::Steady { .. } => None,
        }
    }

    fn doubt(&mut self, time: Millis, is_least: bool, reading: Reading) -> Turn {
        let from = Reading { wall: time, steady: reading.steady };
        self.ground = Ground::Steady { from, when: reading.steady, heard: Heard::Nothing, is_least, counted: 0 };
        Turn::Doubted { wall: reading.wall, time }
    }

    fn believe(&mut self, reading: Reading) -> Turn {
        let before = self.earliest(reading);
        self.ground = Ground::Wall(reading);
        self.keep_apart(reading, before);
        Turn::Believed { before, wall: reading.wall }
    }

    /// The time went on by the word of one feed or more: what each other one says of it counts for its own documents, also
    /// where it said so before, or nothing yet.
    fn keep_apart(&mut self, reading: Reading, before: Millis) {
        let wall = reading.wall;
        let by = wall.saturating_sub(before);
        let answers = std::mem::take(&mut self.answers);
        for (feed, witness) in &mut self.witnesses {
            if let Some(answer) = answers.get(feed) {
                let ahead = difference(answer.carried(reading.steady), wall);
                (witness.ahead, witness.unheard) = (Some(ahead), None);
            } else if witness.ahead.is_some() && by > 0 {
                witness.unheard = match witness.unheard.filter(|unheard| unheard.since <= wall) {
                    // It has not answered for long, and is no longer waited for, unless this is no mere pause.
                    Some(long) if wall - long.since >= SILENCE => match by {
                        ..=SILENCE => Some(long),
                        _ => Some(Unheard { by, since: wall }),
                    },
                    Some(Unheard { by: earlier, since }) => Some(Unheard { by: by.saturating_add(earlier), since }),
                    None => Some(Unheard { by, since: wall }),
                };
            }
        }
    }

    /// The time.
    pub fn now(&self, reading: Reading) -> Millis {
        match self.ground {
            Ground::Wall(_) | Ground::Gap { .. } => reading.wall,
            Ground::Steady { from, counted, .. } => from.carried(reading.steady).saturating_add(counted),
        }
    }

    /// The least that it can be; what nobody takes back, such as a deletion, goes by this.
    pub fn earliest(&self, reading: Reading) -> Millis {
        match self.ground {
            Ground::Gap { since, began, .. } => {
                let passed = reading.steady.saturating_sub(began.steady);
                since.saturating_add(passed).min(reading.wall)
            }
            Ground::Steady { from, .. } => from.carried(reading.steady),
            Ground::Wall(_) => reading.wall,
        }
    }

    /// How far this feed's clock is behind, where it does not agree, or may be behind as it has not answered since the time
    /// went on by the word of others; for a week at most.
    pub fn behind(&self, feed: &str, reading: Reading) -> Millis {
        let Some(witness) = self.witnesses.get(feed) else { return 0 };
        let now = self.now(reading);
        let is_of_late = |unheard: &Unheard| unheard.since <= now && now - unheard.since < SILENCE;
        let unheard = witness.unheard.filter(is_of_late).map_or(0, |unheard| unheard.by);
        let behind = witness.ahead.unwrap_or(0).min(0).unsigned_abs().max(unheard);
        Some(behind).filter(|behind| *behind > APART).unwrap_or(0)
    }

    /// What a later run has to know.
    pub fn known(&self, reading: Reading) -> Known {
        let doubted = match self.ground {
            Ground::Gap { doubted, .. } => Some(doubted),
            _ => None,
        };
        let counted = match self.ground {
            Ground::Steady { counted, .. } => counted,
            _ => 0,
        };
        let witnesses = self.witnesses.clone();
        Known { time: self.earliest(reading), wall: Some(reading.wall), counted, doubted, witnesses }
    }

    /// What is known of each feed's clock.
    pub fn witnesses(&self) -> &BTreeMap<String, Witness> {
        &self.witnesses
    }
}

fn agree(one: Millis, other: Millis) -> bool {
    one.abs_diff(other) <= APART
}

fn difference(one: Millis, other: Millis) -> i64 {
    let apart = i64::try_from(one.abs_diff(other)).unwrap_or(i64::MAX);
    if one < other { -apart } else { apart }
}

#[cfg(test)]
mod tests;
