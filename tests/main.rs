//! The tests that need more than one part of the program, in one binary: a link for each file would cost minutes.
//!
//! Each module gives its tests as `trials()`. A test whose outside part is missing is listed as ignored, with the
//! reason in its name's place; `TIPLINE_REQUIRE_SERVERS=1` makes that a failure.

#![allow(unreachable_pub)] // Nothing outside a test binary could reach anything.

mod access;
mod bounds;
mod builds;
mod canary;
#[allow(dead_code, reason = "the guest's own tests write cases, too")]
#[path = "../guest/tests/cases.rs"]
mod cases;
mod cli;
mod clocks;
mod connections;
mod contract;
mod core_module;
mod corrections;
mod dry_run;
mod elasticsearch;
mod evaluation;
mod examples;
mod fake_elasticsearch;
mod faults;
mod guests;
mod health;
mod hostile;
mod kills;
mod listed;
mod medallion;
mod mutants;
mod outputs;
mod pipeline;
mod program;
mod signals;
mod support;
mod taxii;
mod three_ways;
mod transports;
mod trial;
mod verify;
mod warm;

use libtest_mimic::{Arguments, Trial};

fn main() {
    // What runs here is no program that could compile guests.
    tipline::sandbox::compile_with(env!("CARGO_BIN_EXE_tipline").into());
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

/// All of them.
fn trials() -> Vec<Trial> {
    let trials = [
        access::trials(),
        bounds::trials(),
        canary::trials(),
        cli::trials(),
        clocks::trials(),
        connections::trials(),
        contract::trials(),
        corrections::trials(),
        dry_run::trials(),
        elasticsearch::trials(),
        evaluation::trials(),
        examples::trials(),
        faults::trials(),
        guests::trials(),
        health::trials(),
        hostile::trials(),
        kills::trials(),
        listed::trials(),
        medallion::trials(),
        mutants::trials(),
        outputs::trials(),
        pipeline::trials(),
        signals::trials(),
        taxii::trials(),
        three_ways::trials(),
        transports::trials(),
        verify::trials(),
        warm::trials(),
    ];
    trials.into_iter().flatten().collect()
}
