//! An action of several calls, one after the other, which is completed by another run wherever the first one ended.
//!
//! Whoever runs it writes [`Batch::record`] down before the first call and, to save calls, after any answer; sends what
//! [`Batch::next`] says, and hands the answer to [`Batch::answered`], or says by [`Batch::lost`] that none came. A batch that
//! goes on from its record, or behind a call of which nobody knows what became, looks at what is there before it makes
//! anything: the case by the action's tag, what is attached by reading it. What has ids of our own (entries of the blocklist)
//! or is only taken away may be done twice.
//!
//! Kibana finds what it has just made after a second at most, so whoever runs a batch again waits [`SETTLES`] before.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Outcome, Settled, Target};
use crate::answer::{Answer, FromAnswer};
use crate::blocklist::{self, Blocked, Item, Made};
use crate::cases::{self, Attachment, Case, Cases, History, MAX_TAGS, NewCase, Present, Retagged, Search, mark};
use crate::request::{Act, Call, Request};
use crate::{Kibana, KibanaError};

/// How often something that others change meanwhile is read again before it is left.
pub const MAX_STALE: u32 = 5;

/// After so long, searches find what was made before.
pub const SETTLES: Duration = Duration::from_secs(2);

/// Pages of a case's history that are read at most: Kibana keeps no more than 10,000 actions of one.
const MAX_HISTORY_PAGES: u32 = 100;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// Is the case there that this action makes?
    FindCase,
    MakeCase {
        extracts_observables: bool,
    },
    /// What is attached already?
    ReadHistory {
        page: u32,
    },
    /// Is the last of what was found still there?
    Confirm,
    /// The first that is not settled.
    Attach,
    ReadCase,
    TagCase {
        version: String,
        tags: Vec<String>,
    },
    /// The last of what was found.
    Detach,
    MakeList,
    Block,
    ReadBlocked,
    ChangeBlocked {
        item: Box<Item>,
    },
    Unblock,
    Done,
}

/// An action on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// By which the case it makes is known.
    id: String,
    action: Action,
    phase: Phase,
    case: Option<String>,
    settled: Vec<Option<Settled>>,
    /// What of it the case has, as far as that was read.
    present: Present,
    /// How often the same thing was changed by others.
    stale: u32,
}

impl Batch {
    /// Of an action that nobody has begun. The id must be new: a random one, or a count with a name.
    ///
    /// # Errors
    /// [`KibanaError::TooMuch`] for more than can be done at once, [`KibanaError::Incomplete`] for a case without a title.
    pub fn new(id: impl Into<String>, action: Action) -> Result<Self, KibanaError> {
        action.check()?;
        let settled = vec![None; action.count()];
        let case = match &action {
            Action::Attach { to: Target::Existing { case }, .. } | Action::Detach { case, .. } => Some(case.clone()),
            _ => None,
        };
        let mut batch =
            Self { id: id.into(), action, phase: Phase::Done, case, settled, present: Present::default(), stale: 0 };
        batch.look();
        Ok(batch)
    }

    /// What to write down, so that another run can go on.
    pub fn record(&self) -> String {
        // Strings, numbers and lists only: nothing that JSON can't say.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Goes on from what was written down.
    ///
    /// # Errors
    /// [`KibanaError::Record`] where that is no record, or not of this program's kind.
    pub fn resume(record: &str) -> Result<Self, KibanaError> {
        let unreadable = |_| KibanaError::Record { reason: "it is not as this version of Tipline writes it" };
        let mut batch: Self = serde_json::from_str(record).map_err(unreadable)?;
        batch.action.check()?;
        if batch.settled.len() != batch.action.count() {
            return Err(KibanaError::Record { reason: "it does not say as much as there is to do" });
        }
        batch.stale = 0;
        if batch.phase != Phase::Done {
            batch.look();
        }
        Ok(batch)
    }

    /// Begins with looking at what is there.
    fn look(&mut self) {
        self.present = Present::default();
        self.phase = match (&self.action, &self.case) {
            (Action::Attach { .. }, None) => Phase::FindCase,
            (Action::Attach { .. } | Action::Detach { .. }, _) => Phase::ReadHistory { page: 1 },
            (Action::Block { .. }, _) => Phase::MakeList,
            (Action::Unblock { .. }, _) => Phase::Unblock,
        };
        if self.settled.is_empty() && !matches!(self.phase, Phase::FindCase) {
            self.phase = Phase::Done;
        }
    }

    /// The action's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it does.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// How many things of it are settled.
    pub fn settled(&self) -> usize {
        self.settled.iter().flatten().count()
    }

    /// What it has come to, once there is nothing left to do.
    pub fn outcome(&self) -> Option<Outcome> {
        let is_done = self.phase == Phase::Done;
        is_done.then(|| Outcome { case: self.case.clone(), settled: self.settled.iter().flatten().copied().collect() })
    }

    /// The call that comes next; none where all is done. Asked twice without an answer between, it is the same.
    ///
    /// # Errors
    /// [`KibanaError`] where the request can't be made.
    pub fn next(&self, kibana: &Kibana) -> Result<Option<(Act, Request)>, KibanaError> {
        Ok(match &self.phase {
            Phase::FindCase => {
                let tag = mark(&self.id);
                sent(Search { tag: Some(&tag), ..Search::default() }.ask(kibana))
            }
            Phase::MakeCase { extracts_observables } => {
                let mut case = self.new_case()?.clone();
                case.extracts_observables &= extracts_observables;
                let marks: Vec<String> =
                    [mark(&self.id)].into_iter().chain(self.attachments().iter().map(Attachment::mark)).collect();
                sent(case.create(kibana, &marks)?)
            }
            Phase::ReadHistory { page } => sent(cases::history(kibana, self.case()?, *page)),
            Phase::Confirm => {
                let (_, id) = self.present.found.last().ok_or(NOTHING_LEFT)?;
                sent(cases::is_attached(kibana, self.case()?, id))
            }
            Phase::Attach => {
                let attachment = self.open().and_then(|index| self.attachments().get(index)).ok_or(NOTHING_LEFT)?;
                sent(cases::attach(kibana, self.case()?, attachment)?)
            }
            Phase::ReadCase => sent(Case::ask(kibana, self.case()?)),
            Phase::TagCase { version, tags } => sent(cases::retag(kibana, self.case()?, version, tags)?),
            Phase::Detach => {
                let (_, id) = self.present.found.last().ok_or(NOTHING_LEFT)?;
                sent(cases::detach(kibana, self.case()?, id))
            }
            Phase::MakeList => sent(blocklist::create_list(kibana)?),
            Phase::Block => sent(self.file()?.block(kibana)?),
            Phase::ReadBlocked => sent(blocklist::read(kibana, &self.file()?.item_id())),
            Phase::ChangeBlocked { item } => sent(self.file()?.change(kibana, item)?),
            Phase::Unblock => sent(blocklist::unblock(kibana, self.item_id()?)),
            Phase::Done => None,
        })
    }

    /// Takes the answer to the call that [`Self::next`] gave.
    ///
    /// # Errors
    /// [`KibanaError`] where it is a refusal. The batch stays, and can go on once that is mended: at the same call, or by
    /// looking at what is there where nobody knows what became of the call.
    pub fn answered(&mut self, answer: &Answer<'_>) -> Result<(), KibanaError> {
        let result = self.take(answer);
        if let Err(error) = &result {
            let is_unknown = matches!(error, KibanaError::Broken { .. } | KibanaError::Unreadable { .. });
            if is_unknown {
                self.look();
            }
        }
        result
    }

    /// Says that no answer came to the call that [`Self::next`] gave, and gives the error to show.
    pub fn lost(&mut self, act: Act, reason: impl Into<String>) -> KibanaError {
        if self.phase != Phase::Done {
            self.look();
        }
        KibanaError::NoAnswer { act, reason: reason.into() }
    }

    fn take(&mut self, answer: &Answer<'_>) -> Result<(), KibanaError> {
        match self.phase.clone() {
            Phase::FindCase => {
                // The oldest: somebody may have given its tags to another one.
                let found = Cases::from_answer(Act::FindCases, answer)?.cases.pop();
                let extracts_observables = self.new_case()?.extracts_observables;
                match found {
                    Some(case) => self.enter(case.id, Phase::ReadHistory { page: 1 }),
                    None => self.phase = Phase::MakeCase { extracts_observables },
                }
            }
            // Releases that don't know the setting refuse the whole.
            Phase::MakeCase { extracts_observables: true } if answer.status == 400 => {
                self.phase = Phase::MakeCase { extracts_observables: false };
            }
            Phase::MakeCase { .. } => {
                let case = Case::from_answer(Act::CreateCase, answer)?;
                // Nothing can be attached to what was not there.
                self.enter(case.id, Phase::Attach);
            }
            Phase::ReadHistory { page } => {
                let read = History::from_answer(Act::ReadHistory, answer)?;
                let mut present = std::mem::take(&mut self.present);
                present.read(&read, self.attachments());
                self.present = present;
                if read.goes_on(page) && page < MAX_HISTORY_PAGES {
                    self.phase = Phase::ReadHistory { page: page + 1 };
                } else if matches!(self.action, Action::Detach { .. }) {
                    self.phase = Phase::Detach;
                } else {
                    self.phase = Phase::Confirm;
                }
                self.proceed();
            }
            Phase::Confirm => {
                let is_there = bool::from_answer(Act::ReadAttached, answer)?;
                if let Some((index, _)) = self.present.found.pop()
                    && is_there
                {
                    self.settled[index].get_or_insert(Settled::Already);
                }
                self.proceed();
            }
            Phase::Attach => {
                Case::from_answer(Act::Attach, answer)?;
                // Chosen twice, it is attached once.
                for index in self.like_the_first_open() {
                    self.settled[index].get_or_insert(Settled::Already);
                }
                self.settle(Settled::Done);
            }
            Phase::ReadCase => {
                let case = Case::from_answer(Act::ReadCase, answer)?;
                let tags = self.tags(&case);
                self.phase =
                    if tags == case.tags { Phase::Done } else { Phase::TagCase { version: case.version, tags } };
            }
            Phase::TagCase { .. } => match Retagged::from_answer(Act::TagCase, answer) {
                Ok(_) => self.phase = Phase::Done,
                Err(error) => self.again(error, Phase::ReadCase)?,
            },
            Phase::Detach => {
                <()>::from_answer(Act::Detach, answer)?;
                if let Some((index, _)) = self.present.found.pop() {
                    self.settled[index] = Some(Settled::Done);
                }
                self.proceed();
            }
            Phase::MakeList => {
                Made::from_answer(Act::CreateBlocklist, answer)?;
                self.phase = Phase::Block;
                self.proceed();
            }
            Phase::Block => match Made::from_answer(Act::Block, answer)? {
                Made::New => self.settle(Settled::Done),
                Made::Existing => self.phase = Phase::ReadBlocked,
            },
            Phase::ReadBlocked => match Option::<Item>::from_answer(Act::FindBlocked, answer)? {
                Some(item) if self.file()?.is_in(&item) => self.settle(Settled::Already),
                Some(item) => self.phase = Phase::ChangeBlocked { item: Box::new(item) },
                // It was taken off between the two calls.
                None => self.again(stale(Act::Block), Phase::Block)?,
            },
            Phase::ChangeBlocked { .. } => match Item::from_answer(Act::ChangeBlocked, answer) {
                Ok(_) => self.settle(Settled::Done),
                Err(error) => self.again(error, Phase::ReadBlocked)?,
            },
            Phase::Unblock => {
                let settled = if answer.status == 404 { Settled::Already } else { Settled::Done };
                <()>::from_answer(Act::Unblock, answer)?;
                self.settle(settled);
            }
            Phase::Done => return Err(NOTHING_LEFT),
        }
        Ok(())
    }

    /// Reads again what somebody else has changed, a few times.
    fn again(&mut self, error: KibanaError, phase: Phase) -> Result<(), KibanaError> {
        let is_stale = matches!(error, KibanaError::Conflict { .. }) && self.stale < MAX_STALE;
        // Whoever goes on later reads it first, too.
        if matches!(error, KibanaError::Conflict { .. }) {
            self.phase = phase;
        }
        if !is_stale {
            self.stale = 0;
            return Err(error);
        }
        self.stale += 1;
        Ok(())
    }

    fn enter(&mut self, case: String, phase: Phase) {
        self.case = Some(case);
        self.phase = phase;
        self.proceed();
    }

    /// The first thing that is not settled is now.
    fn settle(&mut self, settled: Settled) {
        if let Some(index) = self.open() {
            self.settled[index] = Some(settled);
        }
        self.stale = 0;
        if matches!(self.phase, Phase::ReadBlocked | Phase::ChangeBlocked { .. }) {
            self.phase = Phase::Block;
        }
        self.proceed();
    }

    /// On to what is behind a phase that has nothing left to do.
    fn proceed(&mut self) {
        if self.phase == Phase::Confirm {
            let settled = &self.settled;
            self.present.found.retain(|(index, _)| settled[*index].is_none());
            if self.present.found.is_empty() {
                self.phase = Phase::Attach;
            }
        }
        match self.phase {
            Phase::Attach if self.open().is_none() => {
                // The case that this action made has its tags from the beginning.
                let is_new = matches!(self.action, Action::Attach { to: Target::New(_), .. });
                self.phase = if is_new || self.settled.is_empty() { Phase::Done } else { Phase::ReadCase };
            }
            Phase::Detach if self.present.found.is_empty() => {
                // What was not attached is off as it is.
                self.settled.iter_mut().for_each(|settled| _ = settled.get_or_insert(Settled::Already));
                self.phase = Phase::ReadCase;
            }
            Phase::Block | Phase::Unblock if self.open().is_none() => self.phase = Phase::Done,
            _ => {}
        }
    }

    /// A case's tags as they are to be: with those of what was attached as far as there is room, without those of what was
    /// taken off.
    fn tags(&self, case: &Case) -> Vec<String> {
        let mut tags = case.tags.clone();
        let marks = self.attachments().iter().map(Attachment::mark);
        if matches!(self.action, Action::Detach { .. }) {
            let marks: Vec<String> = marks.collect();
            tags.retain(|tag| !marks.contains(tag));
            return tags;
        }
        for mark in marks {
            if !tags.contains(&mark) && tags.len() < MAX_TAGS {
                tags.push(mark);
            }
        }
        tags
    }

    fn open(&self) -> Option<usize> {
        self.settled.iter().position(Option::is_none)
    }

    /// The numbers of others that are the same document as the first that is not settled.
    fn like_the_first_open(&self) -> Vec<usize> {
        let Some((first, attachment)) = self.open().and_then(|first| Some((first, self.attachments().get(first)?)))
        else {
            return Vec::new();
        };
        let others = self.attachments().iter().enumerate().skip(first + 1);
        others.filter(|(_, other)| other.id == attachment.id).map(|(index, _)| index).collect()
    }

    fn attachments(&self) -> &[Attachment] {
        match &self.action {
            Action::Attach { attachments, .. } | Action::Detach { attachments, .. } => attachments,
            Action::Block { .. } | Action::Unblock { .. } => &[],
        }
    }

    fn case(&self) -> Result<&str, KibanaError> {
        self.case.as_deref().ok_or(KibanaError::Record { reason: "it names no case" })
    }

    fn new_case(&self) -> Result<&NewCase, KibanaError> {
        match &self.action {
            Action::Attach { to: Target::New(case), .. } => Ok(case),
            _ => Err(KibanaError::Record { reason: "it is about no new case" }),
        }
    }

    fn file(&self) -> Result<&Blocked, KibanaError> {
        match &self.action {
            Action::Block { files } => self.open().and_then(|index| files.get(index)).ok_or(NOTHING_LEFT),
            _ => Err(KibanaError::Record { reason: "it is about no file" }),
        }
    }

    fn item_id(&self) -> Result<&str, KibanaError> {
        match &self.action {
            Action::Unblock { item_ids } => {
                self.open().and_then(|index| item_ids.get(index)).map(String::as_str).ok_or(NOTHING_LEFT)
            }
            _ => Err(KibanaError::Record { reason: "it is about no entry" }),
        }
    }
}

const NOTHING_LEFT: KibanaError = KibanaError::Record { reason: "there is nothing left to do in it" };

fn stale(act: Act) -> KibanaError {
    KibanaError::Conflict { act, message: String::new() }
}

fn sent<T: FromAnswer>(call: Call<T>) -> Option<(Act, Request)> {
    Some((call.act, call.request))
}
