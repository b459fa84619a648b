//! STIX 2.x, as far as it is a language: patterns and what they ask for. Nothing here knows of ECS.
//!
//! Sans-IO and pure: no clock, no recursion on input, no panic.

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

pub mod pattern;
