//! What counts as an indicator, and for how long: harmless and excluded values, confidence, times to live. The same for
//! records and for STIX objects.

mod exclude;
mod left;
mod life;
mod settings;

use tipline_ecs::Confidence;

pub use exclude::Exclude;
pub(crate) use exclude::excluded;
pub(crate) use left::{left_out, unwanted};
pub(crate) use life::REVOKED;
pub use life::{Dates, expiry, standing};
pub use settings::{Settings, TimeToLive};
pub use tipline_guest::{Left, rejected};
pub use tipline_observable::{empty_file, harmless};

/// The feed's words, or 0 to 100 by ECS's ranges.
pub fn confidence(text: &str) -> Option<Confidence> {
    for (word, confidence) in [
        ("high", Confidence::High),
        ("medium", Confidence::Medium),
        ("low", Confidence::Low),
        ("none", Confidence::None),
    ] {
        if text.eq_ignore_ascii_case(word) {
            return Some(confidence);
        }
    }
    // As JSON writes numbers; the standard library's parser costs ten kilobytes more.
    let number: f64 = serde_json::from_str(text).ok()?;
    Confidence::of_percent(number)
}
