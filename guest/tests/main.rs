//! Tests of the mapping from outside, through the crate's public functions only.

mod cases;
mod convergence;
mod described;
mod host;
mod laws;
mod patterns;
mod stix;
mod suffixes;
mod table;
