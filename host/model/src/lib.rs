//! The words that the parts of Tipline share.
//!
//! Nothing here knows of feeds, guests or stores: it is what all of them speak of. [`time`] and [`clock`] say what time it
//! is and how far that is to be believed, [`secret`] keeps keys from being printed, [`text`] makes a stranger's words
//! harmless and figures readable, [`said`] knows whose words a message is made of, [`file`] opens what somebody named,
//! [`folder`] makes folders that are nobody else's, [`apart`] keeps long work out of the way of short.

pub mod apart;
pub mod clock;
pub mod file;
pub mod folder;
pub mod said;
pub mod secret;
pub mod text;
pub mod time;
