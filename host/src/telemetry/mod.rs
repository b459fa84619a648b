//! What the program says about itself while it runs: log lines on standard error, and on a loopback port its metrics
//! and its health.

mod health;
mod logging;
mod metrics;
mod server;

pub use health::{Health, InputHealth, LATE_INTERVALS};
pub use logging::init_logging;
pub use metrics::Metrics;
pub use server::{ServeError, Serving, serve};
