//! What counts as an indicator, and for how long: harmless and excluded values, confidence, times to live. The same for
//! records and for STIX objects.

mod confidence;
mod exclude;
mod harmless;
mod left;
mod life;
mod settings;

pub use confidence::confidence;
pub use exclude::Exclude;
pub(crate) use exclude::excluded;
pub use harmless::{empty_file, harmless};
pub(crate) use left::{left_out, unwanted};
pub(crate) use life::REVOKED;
pub use life::{Dates, expiry, standing};
pub use settings::{Keep, Settings, TimeToLive};
pub use tipline_guest::{Left, rejected};
