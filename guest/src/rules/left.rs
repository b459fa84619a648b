//! What is left out on purpose.

use tipline_observable::{Observable, harmless};

use super::settings::Settings;

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
