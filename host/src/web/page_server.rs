//! The page as an address serves it: it answers from the beginning, and shows something once what it is about was opened.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use tokio_util::task::AbortOnDropHandle;

use super::access::{Access, wall_clock};
use super::link::{LinkError, LinkKey, Published};
use super::refusal::again;
use super::turns::TakingTurns;
use super::{App, page};
use crate::clock::Clock;
use crate::store::kept::Kept;

/// What people may do at a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Everything that the page offers.
    Change,
    /// Look, and check lists of their own.
    Look,
}

/// The page of an address. Clones are the same one.
#[derive(Clone)]
pub struct PageServer {
    access: Access,
    key: Arc<LinkKey>,
    clock: Clock,
    kept: Kept,
    inside: Arc<OnceLock<Inside>>,
    /// Whoever may read the state folder makes links meanwhile.
    _published: Arc<Published>,
}

/// What there is behind the door.
pub(super) struct Inside {
    pub(super) app: Arc<App>,
    pub(super) views: Router,
    /// Keeps the answers ready, as long as the page is there.
    _warm: AbortOnDropHandle<()>,
}

impl PageServer {
    /// The page of a server that listens at this address, with its key in this folder.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn new(address: SocketAddr, state_dir: &Path, kept: Kept, rights: Rights) -> Result<Self, LinkError> {
        Self::with_clock(address, state_dir, kept, rights, wall_clock())
    }

    /// As [`PageServer::new`], with another clock than the machine's.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn with_clock(
        address: SocketAddr,
        state_dir: &Path,
        kept: Kept,
        rights: Rights,
        clock: Clock,
    ) -> Result<Self, LinkError> {
        let key = LinkKey::new(address)?;
        let published = key.publish(state_dir)?;
        let access = Access::new(key.clone(), kept.clone(), clock.clone(), rights == Rights::Change);
        let inside = Arc::default();
        Ok(Self { access, key: Arc::new(key), clock, kept, inside, _published: Arc::new(published) })
    }

    /// A link that lets a browser in, once.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn link(&self) -> Result<String, LinkError> {
        self.key.link(self.clock.now())
    }

    /// What is kept for it.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Shows this from now on.
    pub fn open(&self, app: App) {
        let catalog = Arc::new(TakingTurns::new(app.catalog.clone()));
        let app = Arc::new(App { catalog, ..app });
        let views = page::routes().with_state(app.clone());
        let (catalog, fields) = (app.catalog.clone(), app.fields.clone());
        let warm = AbortOnDropHandle::new(tokio::spawn(async move { catalog.keep_warm(fields).await }));
        // A page is opened once.
        let _ = self.inside.set(Inside { app, views, _warm: warm });
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn inside(&self) -> Option<&Inside> {
        self.inside.get()
    }

    pub(super) fn now(&self) -> crate::clock::Millis {
        self.clock.now()
    }
}

/// A run shows its page from the beginning, also while its output is waited for.
pub(super) fn starting() -> Response {
    let lines =
        ["The output was not reached yet; the log says what is waited for.", "This page looks again by itself."];
    again(StatusCode::SERVICE_UNAVAILABLE, "Starting", &lines, 2)
}
