//! What counts as an indicator, and for how long: harmless and excluded values, confidence, times to live. The same for
//! records and for STIX objects.

mod confidence;
mod exclude;
mod labels;
mod left;
mod life;
mod settings;

pub use confidence::confidence;
pub use exclude::Exclude;
pub(crate) use exclude::excluded;
pub use labels::{Verdict, technique, verdict};
pub(crate) use left::{left_out, unwanted};
pub(crate) use life::{BENIGN, NOT_FOR_DETECTION, REVOKED};
pub use life::{Clocks, Dates, Shown, expiry, held, standing};
pub use settings::{Keep, Settings, TimeToLive};
pub use tipline_guest::{Left, rejected};
pub use tipline_observable::{empty_file, harmless};
