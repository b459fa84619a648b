//! Runs the table of cases natively.

use std::path::Path;

use crate::cases::{Case, Outcome};

#[test]
fn every_case_gives_what_is_written_beside_it() {
    let cases = Case::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    assert!(cases.len() >= 15, "only {} cases were found", cases.len());
    let update = std::env::var_os("TIPLINE_UPDATE_CASES").is_some();
    for case in cases {
        let batch = socdefenders::map_records(&case.config, case.observed, &case.page)
            .unwrap_or_else(|failure| panic!("{}: {failure}", case.name));
        crate::host::adds_up(&batch);
        let outcome = Outcome::of(&batch);
        if update {
            case.update(&outcome);
        }
        assert_eq!(outcome, case.expected(), "{}", case.name);
    }
}
