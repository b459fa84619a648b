//! Out of how many patterns of a feed a value is taken, by Elastic's rules and by Tipline.
//!
//! `cargo run --release -p socdefenders --example talos -- FILE…`, where each file is a STIX bundle, such as those of
//! <https://github.com/Cisco-Talos/IOCs>, or has a JSON object with `pattern` a line.

#![allow(unreachable_pub)] // The test that takes the same numbers includes both modules.

mod count;
mod rules;

use std::collections::BTreeSet;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut all = BTreeSet::new();
    let mut files = 0;
    for file in std::env::args_os().skip(1) {
        let path = std::path::PathBuf::from(file);
        let found = std::fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|text| {
            count::patterns(&text).map_err(|error| format!("neither a STIX bundle nor JSON a line: {error}"))
        });
        match found {
            Ok(patterns) => all.extend(patterns),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
        files += 1;
    }
    if files == 0 {
        eprintln!("Name files: STIX bundles, or files with a JSON object with `pattern` a line.");
        return ExitCode::from(2);
    }
    print!("{}", count::Count::of(&all));
    ExitCode::SUCCESS
}
