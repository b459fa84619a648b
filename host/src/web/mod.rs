//! The Indicators page: what is stored, as a table that people search, count, compare and export.
//!
//! Everything is drawn on the server and works without scripts for reading; the state of a view is its address. What comes
//! from a feed is text here and nothing else: never a link, never markup.
//!
//! The views are in [`page`]. Everything around them is here: the address and its bounds ([`server`]), who is let in and what a
//! request has to prove ([`access`], [`link`]), and the lists that other programs fetch (`list`). The same address serves
//! metrics and health, which need no session.

pub mod access;
pub mod link;
mod list;
pub mod page;
mod page_server;
mod refusal;
pub mod server;
mod site;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::Arc;

use tipline_kql::Fields;

use crate::clock::Clock;
use crate::config::Config;
use crate::retry::Desk;
use crate::state::Ledger;
use crate::store::Catalog;
use crate::store::kept::Kept;

pub use access::OWN_LISTS;
pub use page_server::{PageServer, Rights};
pub use server::{Listener, ServeError, Serving, listen};
pub use site::Site;
pub use turns::{QUESTIONS_AT_ONCE, STREAMS_AT_ONCE, TakingTurns};

/// What the page is about, and what its handlers share.
pub struct App {
    /// What is searched.
    pub catalog: Arc<dyn Catalog>,
    /// The fields that can be asked for.
    pub fields: Arc<Fields>,
    /// The judged clock.
    pub clock: Clock,
    /// What the program was told.
    pub config: Config,
    /// Checkpoints and rejects, to be read; none where there is no file yet.
    pub ledger: Option<Ledger>,
    /// Where rejects are tried again or dropped; none where this process does not run the inputs.
    pub desk: Option<Desk>,
    /// Views, keys and lists. Where [`Session::may_change`] says no, nothing but the session's own lists may be put there.
    pub kept: Kept,
}

/// Who asks. Access puts it into every request that it lets through.
#[derive(Debug, Clone)]
pub struct Session {
    /// Names the session's own lists; no secret.
    pub id: String,
    /// What a form has to send back as `csrf`.
    pub csrf: String,
    /// Whether anything but the session's own lists may be changed.
    pub may_change: bool,
}
