//! The Rust examples in `examples/rust`: each way of mapping gives the native bytes, for every golden case.
//!
//! The other examples are tested by their own READMEs' commands, which `.ci/run` runs.

use libtest_mimic::{Failed, Trial};
use tipline::sandbox::BUILT_IN;
use tipline_example_rust::{component, compose, native};

use crate::builds::{built, repository};
use crate::three_ways::cases;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("examples::the_crate_and_the_component", crate_and_component),
        Trial::test("examples::the_composed_pipeline", composed_pipeline),
    ]
}

fn crate_and_component() -> Result<(), Failed> {
    let mut guest = component::Guest::new(BUILT_IN).map_err(|e| format!("{e:#}"))?;
    for case in cases() {
        let native = native::map(&case.config, case.observed, &case.page)?;
        let ours = guest.map(&case.config, case.observed, &case.page).map_err(|e| format!("{e:#}"))?;
        assert_eq!(ours.documents, native.documents, "{}", case.name);
        // The same record, made by two generators.
        let heads: Vec<_> = ours.heads.iter().map(|h| (&h.id, h.version, h.expires, h.length)).collect();
        let expected: Vec<_> = native.heads.iter().map(|h| (&h.id, h.version, h.expires, h.length)).collect();
        assert_eq!(heads, expected, "{}", case.name);
        let rejects: Vec<_> = ours.rejects.iter().map(|r| (&r.code, &r.detail, &r.raw)).collect();
        let expected: Vec<_> = native.rejects.iter().map(|r| (&r.code, &r.detail, &r.raw)).collect();
        assert_eq!(rejects, expected, "{}", case.name);
        assert_eq!(
            (ours.observed, ours.read, ours.mapped, ours.skipped),
            (native.observed, native.read, native.mapped, native.skipped),
            "{}",
            case.name
        );
        assert_eq!(native.documents, case.expected().documents, "{}", case.name);
    }
    Ok(())
}

fn composed_pipeline() -> Result<(), Failed> {
    let stage = built(&repository("examples/rust/stage"), "")?;
    let composed = compose::compose(&stage, BUILT_IN)?;
    let mut found = 0;
    for case in cases() {
        let native = native::map(&case.config, case.observed, &case.page)?;
        let (documents, addresses) =
            compose::run(&composed, &case.config, case.observed, &case.page).map_err(|e| format!("{e:#}"))?;
        assert_eq!(documents, native.documents, "{}", case.name);
        found += addresses.len();
    }
    assert!(found > 0, "some case has an address of high confidence");
    Ok(())
}
