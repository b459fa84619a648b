//! Tests over collections of data: values and STIX of real feeds, and what others say of them.
//!
//! A test whose data is not there is listed as ignored, with the reason in its name's place.

#![allow(unreachable_pub)] // Nothing outside a test binary could reach anything.

mod convergence;
mod data;
mod elastic;
mod indicators;
mod labels;
mod mutations;
mod patterns;
mod talos;
mod values;

// Shared with the tests of what is made up.
#[allow(dead_code)]
#[path = "../host.rs"]
mod host;

use libtest_mimic::Arguments;

fn main() {
    let trials = [
        convergence::trials(),
        elastic::trials(),
        indicators::trials(),
        labels::trials(),
        mutations::trials(),
        patterns::trials(),
        talos::trials(),
        values::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}
