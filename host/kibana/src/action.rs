//! What a person wants done, and what became of it.

use serde::{Deserialize, Serialize};

use crate::KibanaError;
use crate::blocklist::Blocked;
use crate::cases::{Attachment, MAX_ATTACHED, NewCase};

/// The most things of one action: what a person can have meant, and what a record may hold.
pub const MAX_ACTIONS: usize = 1_000;

/// Where indicators are attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// To this case.
    Existing {
        /// Its id.
        case: String,
    },
    /// To one that is to be made.
    New(NewCase),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Attaches indicators.
    Attach {
        /// Where.
        to: Target,
        /// Which.
        attachments: Vec<Attachment>,
    },
    /// Takes indicators off a case, as often as they are attached.
    Detach {
        /// The case's id.
        case: String,
        /// Which.
        attachments: Vec<Attachment>,
    },
    /// Puts files on the blocklist.
    Block {
        /// Which.
        files: Vec<Blocked>,
    },
    /// Takes files off the blocklist.
    Unblock {
        /// The entries' ids.
        item_ids: Vec<String>,
    },
}

impl Action {
    /// How many things it is about.
    pub fn count(&self) -> usize {
        match self {
            Self::Attach { attachments, .. } | Self::Detach { attachments, .. } => attachments.len(),
            Self::Block { files } => files.len(),
            Self::Unblock { item_ids } => item_ids.len(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), KibanaError> {
        let most = if matches!(self, Self::Attach { .. }) { MAX_ATTACHED } else { MAX_ACTIONS };
        let given = self.count();
        if given > most {
            let (what, unit) = ("The action", "indicators");
            return Err(KibanaError::TooMuch { what, unit, given, most });
        }
        match self {
            Self::Attach { to: Target::New(case), .. } => case.check(),
            _ => Ok(()),
        }
    }
}

/// What became of one thing of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// It was done.
    Done,
    /// It was so already.
    Already,
}

/// What a finished action has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The case it was about.
    pub case: Option<String>,
    /// What became of each thing, in their order.
    pub settled: Vec<Settled>,
}
