//! What gives no document: left out on purpose, or not understood.

use tipline_observable::{Misfit, Observable};

use super::harmless::harmless;
use super::settings::Settings;

/// Why a record gave no document.
#[derive(Debug)]
pub enum Left {
    /// Left out on purpose.
    Skipped(&'static str),
    /// Not understood.
    Rejected(Misfit),
}

/// An answer that rejects a record.
///
/// # Errors
/// Always.
pub fn rejected<T>(code: &'static str, detail: impl Into<String>) -> Result<T, Left> {
    Err(Left::Rejected(Misfit::new(code, detail)))
}

/// Why a value is left out on purpose.
pub(crate) fn left_out(settings: &Settings, what: &Observable) -> Option<&'static str> {
    if !settings.types.is_empty() && !settings.types.iter().any(|label| label.fits(what)) {
        return Some("type not selected");
    }
    unwanted(settings, what)
}

/// Why nobody wants a value, whatever types are selected: it is harmless, or excluded by name.
pub(crate) fn unwanted(settings: &Settings, what: &Observable) -> Option<&'static str> {
    if !settings.allow_private
        && let Some(reason) = harmless(what)
    {
        return Some(reason);
    }
    settings.exclude.covers(what).then_some("excluded by the configuration")
}
