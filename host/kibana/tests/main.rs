//! Requests byte for byte, links decoded again, refusals in words, and batches that are killed at every call.

mod batches;
mod links;
mod refusals;
mod requests;
mod rison;
mod support;
