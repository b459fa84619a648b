//! Tests of the mapping from outside, through the crate's public functions only.

mod cases;
mod corpus;
mod described;
mod elastic;
mod laws;
mod stix;
mod suffixes;
mod table;
