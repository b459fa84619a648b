//! What `docs/kql.md` says, held by tables that anyone can add to, by random queries, and by Kibana's own code.
//!
//! One binary, so that a test whose outside part is missing is reported as ignored.

mod cases;
mod completion;
mod data;
mod judge;
mod quoting;
mod store;
mod trees;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let trials: Vec<Trial> =
        [cases::trials(), completion::trials(), quoting::trials(), trees::trials(), store::trials(), judge::trials()]
            .into_iter()
            .flatten()
            .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
