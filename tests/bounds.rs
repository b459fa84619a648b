//! Every bound has its tests: BOUNDS.md lists them, and what it lists is checked against the sources.
//!
//! Here are those that need more than one part: what a sandboxed guest may cost, and the space for rejects. The others
//! have their pair beside the code they bound.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use tipline::sandbox::{Batch, CallLimits, Cost, Exceeded, Guest, Head, Profile, SandboxError};

use tipline::mock::{MockSettings, Records};
use tipline::state::RejectFilter;

use crate::support::{Outcome, Stand, Store, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("bounds::a_sandboxed_call_is_held_to_its_limits", sandboxed_call),
        Trial::test("bounds::every_bound_is_listed_with_its_tests", every_bound),
        Trial::test("bounds::every_fault_names_tests_that_are_there", every_fault),
        trial("bounds::the_space_for_rejects_is_a_setting", space_for_rejects),
    ]
}

/// The files of a folder and all below it that end with this.
fn files(folder: &Path, end: &str, found: &mut Vec<PathBuf>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, end, found)?;
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    Ok(())
}

/// All Rust texts of these folders of the repository.
fn sources(folders: &[&str]) -> Result<Vec<(PathBuf, String)>, Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = Vec::new();
    for folder in folders {
        files(&root.join(folder), ".rs", &mut paths)?;
    }
    Ok(paths.into_iter().map(|path| fs::read_to_string(&path).map(|text| (path, text))).collect::<Result<_, _>>()?)
}

/// The names of all tests, as functions or as trials of this folder.
fn tests_there() -> Result<BTreeSet<String>, Failed> {
    let mut names = BTreeSet::new();
    for (_, text) in sources(&["host", "guest", "tests"])? {
        for line in text.lines() {
            let function = line.trim_start().trim_start_matches("async ").strip_prefix("fn ");
            names.extend(function.and_then(|rest| rest.split(['(', '<']).next()).map(str::to_owned));
            for text in line.split('"').skip(1).step_by(2) {
                // Those of real clusters are listed for each of them.
                names.insert(text.strip_prefix("{name}::").unwrap_or(text).to_owned());
            }
        }
    }
    Ok(names)
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_bound(name: &str) -> bool {
    name.starts_with("MAX_") || name.contains("_MAX_") || name.starts_with("LONGEST_") || name.ends_with("_TIMEOUT")
}

fn every_bound() -> Outcome {
    let list = include_str!("BOUNDS.md");
    let there = tests_there()?;
    let mut listed = BTreeSet::new();
    for row in list.lines().filter(|line| line.starts_with("| `")) {
        let [bound, _, setting, tests] = row.trim_matches('|').split('|').collect::<Vec<_>>()[..] else {
            return Err(format!("not a row of four: {row}").into());
        };
        listed.extend(quoted(bound));
        assert!(!setting.trim().is_empty(), "neither a setting nor a reason: {row}");
        let mut named = quoted(tests).peekable();
        assert!(named.peek().is_some(), "no test: {row}");
        for test in named {
            assert!(there.contains(test), "there is no test {test}: {row}");
        }
    }
    for (path, text) in
        sources(&["host", "guest/src", "guest/sdk/src", "guest/ecs/src", "guest/observable/src", "guest/stix/src"])?
    {
        // The mock feed and tests bound nothing of the program's.
        let shown = path.display().to_string();
        if shown.contains("/mock/") || shown.contains("/tests") {
            continue;
        }
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in text.lines() {
            let Some((_, rest)) = line.split_once("const ") else { continue };
            let name = rest.split(':').next().unwrap_or_default();
            assert!(!is_bound(name) || listed.contains(name), "{name} of {shown} is not in tests/BOUNDS.md");
        }
    }
    Ok(())
}

fn every_fault() -> Outcome {
    let there = tests_there()?;
    let mut count = 0;
    for row in include_str!("FAULTS.md").lines().filter(|line| line.starts_with("| ")).skip(1) {
        let Some(tests) = row.trim_matches('|').split('|').nth(2) else { return Err(row.into()) };
        for name in quoted(tests).filter(|name| !name.contains('*') && !name.contains(' ')) {
            let name = name.strip_prefix("rest::").unwrap_or(name);
            // The tests of some groups are listed without it.
            let of_group = name.split_once("::").filter(|(group, _)| ["cli", "evaluation"].contains(group));
            let is_there = there.contains(name) || of_group.is_some_and(|(_, name)| there.contains(name));
            assert!(is_there, "there is no test {name}: {row}");
            count += 1;
        }
    }
    assert!(count > 80, "only {count} tests are named");
    Ok(())
}

async fn space_for_rejects() -> Outcome {
    let bad = || serde_json::json!({ "type": "sha256", "value": "no hash", "context": "x".repeat(2_000) });
    for (settings, kept, is_cut) in
        [("max_total: 0", 0, false), ("max_raw: 1KiB", 1, true), ("max_raw: 4KiB", 1, false)]
    {
        let records = Records::listed([bad()]);
        let mut stand = Stand::new(MockSettings::default(), records, "", Store::Sqlite).await?;
        stand.more = format!("rejects: {{{settings}}}\n");
        let report = stand.poll().await?;
        assert_eq!(report.counts.rejected, 1, "{settings}");
        let ledger = stand.ledger()?;
        let rejects = ledger.rejects(&RejectFilter::default(), 10)?;
        assert_eq!((rejects.len(), rejects.iter().any(|reject| reject.cut)), (kept, is_cut), "{settings}");
        assert_eq!(ledger.status("feed")?.degraded.is_some(), kept == 0, "{settings}");
    }
    Ok(())
}

/// A page whose mapping takes some memory beyond what an instance begins with.
fn page() -> String {
    let records: Vec<String> =
        (0..2_000).map(|n| format!(r#"{{"type":"domain","value":"host{n}.example","context":"{n:0>400}"}}"#)).collect();
    format!(r#"{{"data":[{}]}}"#, records.join(","))
}

fn sandboxed_call() -> Outcome {
    let page = page();
    let (cost, answer) = mapped(CallLimits::SANDBOXED, &page)?.map_err(|e| Failed::from(e.to_string()))?;
    let roomy = CallLimits::SANDBOXED;
    let fuel = |units| CallLimits { fuel: Some(units), ..roomy };
    let memory = |bytes| CallLimits { memory_bytes: bytes, ..roomy };
    let output = |bytes| CallLimits { output_bytes: bytes, ..roomy };

    // Fuel is taken in blocks, so a little more is needed than was used in the end.
    mapped(fuel(cost.fuel + cost.fuel / 100), &page)??;
    mapped(memory(cost.peak_memory), &page)??;
    mapped(output(answer + 64 * 1024), &page)??;

    type IsExpected = fn(&Exceeded) -> bool;
    let exceeded: [(&str, CallLimits, IsExpected); 3] = [
        ("fuel", fuel(cost.fuel / 2), |e| matches!(e, Exceeded::Fuel { .. })),
        ("memory", memory(cost.peak_memory - 1), |e| matches!(e, Exceeded::Memory { .. })),
        ("output", output(answer / 2), |e| matches!(e, Exceeded::Output { .. })),
    ];
    for (what, limits, is_expected) in exceeded {
        match mapped(limits, &page)? {
            Err(SandboxError::Exceeded(exceeded)) if is_expected(&exceeded) => {}
            other => return Err(format!("{what}: {other:?}").into()),
        }
    }
    Ok(())
}

/// What mapping the page costs under these limits, and how long its answer is.
fn mapped(limits: CallLimits, page: &str) -> Result<Result<(Cost, usize), SandboxError>, Failed> {
    let guest = Guest::built_in(Profile::Sandboxed(limits), Some(&crate::support::compiled()?))?;
    Ok(guest.map_records_metered("", 1_733_740_200_000, page.as_bytes()).map(|(answer, cost)| {
        let heads = |batch: &Batch| batch.heads.iter().map(|head| size_of::<Head>() + head.id.len()).sum::<usize>();
        let answer = answer.map_or(0, |batch| batch.documents.len() + heads(&batch));
        (cost, answer)
    }))
}
