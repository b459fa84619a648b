//! A stand-in for Kibana: for the demo, for trying actions without one, and for the tests.
//!
//! It takes what the real one is documented, or was read in its public sources, to take, and refuses everything else: wrong
//! headers, unknown and missing fields, values out of bounds, stale versions, ids that are there already, hashes that are
//! none. It shares no code with what it judges. [`Standin`] is the whole of it, in memory and without HTTP; [`KibanaServer`]
//! lets it answer on loopback. What it accepts says nothing of what a real Kibana makes of it.

mod analytics;
mod blocklist;
mod cases;
mod server;
mod standin;
mod timeline;

pub use blocklist::Entry;
pub use cases::Case;
pub use server::KibanaServer;
pub use standin::{Asked, KEY, Reply, Standin};
