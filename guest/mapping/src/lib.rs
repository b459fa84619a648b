//! The mapping half of the guest: what a record of a threat-indicator feed is, and the ECS document it becomes.
//!
//! The way of a record: [`map`] reads it, [`observable`] tells what its value is, [`ecs`] writes the document. [`settings`]
//! are what a person may say about that, [`contract`] the types in which the guest answers, [`suffix`] and [`time`] what
//! names and dates need. The pager and the reading of settings stand in the crate above, `socdefenders`; programs use that
//! one.
//!
//! The same arguments give the same bytes everywhere: nothing here reads a clock, depends on the order of a hash table or
//! panics on input. The crate stands by itself because it is compiled for speed and the rest of the guest for size.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::unreachable
    )
)]
#![forbid(unsafe_code)]

pub mod contract;
pub mod ecs;
pub mod exclude;
pub mod map;
pub mod observable;
pub mod order;
pub mod settings;
pub mod suffix;
pub mod time;
