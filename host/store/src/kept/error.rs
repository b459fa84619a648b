//! Why something is not kept.

use thiserror::Error;

/// Why something is not kept, or not found.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeptError {
    /// What was given cannot be kept like this.
    #[error("{0}")]
    Invalid(String),
    /// There is no room.
    #[error("{0}")]
    Full(String),
    /// Another one has this name.
    #[error("There is a view `{0}` already. Take another name, or delete that one first.")]
    Taken(String),
    /// There is none of this name.
    #[error("There is no view `{0}` (any more). The list of views has those that there are.")]
    NoView(String),
    /// The file cannot be read or written.
    #[error("{0}")]
    Unusable(String),
}
