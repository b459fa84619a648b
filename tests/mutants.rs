//! Wrong guests, and what `tipline eval` says of each.
//!
//! They are one guest (`tests/guests/mutants`) with the name of its fault written over, so that it is built once.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tipline::config::{ElasticsearchSettings, Mode};
use tipline::store::elasticsearch::client::{Call, Client};

use crate::program::finished;
use crate::trial::with_server;

type Outcome = Result<(), Failed>;
type Test = fn() -> Outcome;

/// Each fault, and the findings that must name it: kind, and a part of what it is about.
const FAULTS: [(&str, &[(&str, &str)]); 9] = [
    ("confidence-scale", &[("field-changed", "threat.indicator.confidence")]),
    ("lost-port", &[("field-removed", "threat.indicator.port")]),
    (
        "cidr-into-ip",
        &[("ecs", "threat.indicator.ip is a string and no `ip`"), ("field-removed", "socdefenders.ioc.cidr")],
    ),
    ("unstable-identity", &[("identity", "event.id")]),
    ("nondeterministic-order", &[("nondeterminism", "the order of the documents")]),
    ("endless-loop", &[("limit", "units of fuel")]),
    ("memory-bomb", &[("limit", "bytes of memory")]),
    ("panic-on-unicode", &[("trap", "unreachable")]),
    ("upper-case-hashes", &[("field-changed", "threat.indicator.file.hash.sha256")]),
];

/// Records in which each fault shows: every kind of value, over several pages.
const RECORDS: &str = concat!(
    r#"{"type":"ipv4","value":"198.51.100.7:443","confidence":"low","source":{"feed_name":"One"}}"#,
    "\n",
    r#"{"type":"ipv4","value":"198.51.100.0/24","confidence":"medium"}"#,
    "\n",
    r#"{"type":"domain","value":"bücher.example","confidence":"low","source":{"feed_name":"Two"}}"#,
    "\n",
    r#"{"type":"sha256","value":"3f9c0cbb1e0cdf6e3c0d24cc2f6a1a3c6a7bd5ed6b7a0d25e5d9b4d1c9f1e2ab"}"#,
    "\n",
    r#"{"type":"url","value":"hxxp://evil[.]example:8080/a"}"#,
    "\n",
);

/// A component that asks for a network.
const WITH_IMPORT: &str = r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)))"#;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = FAULTS
        .iter()
        .map(|(fault, expected)| Trial::test(format!("mutants::{fault}"), || is_found(fault, expected)))
        .collect();
    let others: [(&str, Test); 5] = [
        ("network_import", network_import),
        ("no_component", no_component),
        ("none", none),
        ("wrong_page", wrong_page),
        ("intended", intended),
    ];
    trials.extend(others.into_iter().map(|(name, test)| Trial::test(format!("mutants::{name}"), test)));
    for (name, variable) in [("elasticsearch", "TIPLINE_TEST_ELASTICSEARCH"), ("opensearch", "TIPLINE_TEST_OPENSEARCH")]
    {
        trials.push(with_server(format!("{name}::documents_are_tried_and_nothing_is_left"), variable, in_cluster));
    }
    trials
}

/// The component with this fault.
fn mutant(fault: &str) -> Result<Vec<u8>, Failed> {
    static BUILT: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
    let mut component = BUILT.get_or_init(build).clone()?;
    let marker = b"fault=none                      ";
    let at = component.windows(marker.len()).position(|bytes| bytes == marker).ok_or("no marker in the component")?;
    let text = format!("fault={fault:26}");
    component[at..at + marker.len()].copy_from_slice(text.as_bytes());
    Ok(component)
}

fn build() -> Result<Vec<u8>, String> {
    let project = crate::builds::repository("tests/guests/mutants");
    crate::builds::built(&project, "").map_err(|failed| failed.message().unwrap_or("it does not build").to_owned())
}

/// A folder with the records as three pages and a component.
fn place(component: &[u8]) -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("pages"))?;
    for page in ["a", "b", "c"] {
        fs::write(folder.path().join(format!("pages/{page}.jsonl")), RECORDS)?;
    }
    fs::write(folder.path().join("candidate.wasm"), component)?;
    Ok(folder)
}

/// The report of an evaluation, and its exit code.
fn report(folder: &Path, more: &[&str]) -> Result<(Value, Option<i32>), Failed> {
    let mut arguments = vec!["eval", "pages", "--candidate", "candidate.wasm", "--json", "--fuel", "300000000"];
    arguments.extend(more);
    let output = finished(folder, &arguments)?;
    let report = serde_json::from_slice(&output.stdout).map_err(|e| {
        format!("{e}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })?;
    Ok((report, output.status.code()))
}

/// Kind and subject of each finding.
fn findings(report: &Value) -> Vec<(&str, &str)> {
    let list = report["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|f| (f["kind"].as_str().unwrap_or_default(), f["about"].as_str().unwrap_or_default())).collect()
}

fn has(report: &Value, kind: &str, about: &str) -> Outcome {
    let found = findings(report);
    if found.iter().any(|(k, a)| *k == kind && a.contains(about)) {
        return Ok(());
    }
    Err(format!("no `{kind}` about `{about}` in {found:#?}").into())
}

fn is_found(fault: &str, expected: &[(&str, &str)]) -> Outcome {
    let folder = place(&mutant(fault)?)?;
    // Whatever the number of cores.
    for threads in ["1", "8"] {
        let (report, code) = report(folder.path(), &["--threads", threads])?;
        assert_eq!((code, report["verdict"].as_str()), (Some(1), Some("do not ship")));
        for (kind, about) in expected {
            has(&report, kind, about)?;
        }
        assert_eq!(report["pages"], 3, "a fault on one page ends none of the others");
    }
    Ok(())
}

fn network_import() -> Outcome {
    let folder = place(WITH_IMPORT.as_bytes())?;
    fs::write(folder.path().join("candidate.wasm"), wat::parse_str(WITH_IMPORT)?)?;
    let (report, code) = report(folder.path(), &[])?;
    assert_eq!(code, Some(1));
    has(&report, "imports", "wasi:http/outgoing-handler@0.2.0")
}

fn no_component() -> Outcome {
    for bytes in [&b"not wasm"[..], b"", b"\0asm\x01\0\0\0"] {
        let folder = place(bytes)?;
        let (report, code) = report(folder.path(), &[])?;
        assert_eq!(code, Some(1));
        has(&report, "load", "the component")?;
    }
    Ok(())
}

/// The built-in guest against itself, and wrapped without a fault.
fn none() -> Outcome {
    let folder = place(&mutant("none")?)?;
    let fails = ["--max-growth", "1000"];
    for candidate in ["candidate.wasm", "built-in"] {
        let more = [&["--candidate", candidate], &fails[..]].concat();
        let arguments = [&["eval", "pages", "--json"], &more[..]].concat();
        let output = finished(folder.path(), &arguments)?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(findings(&report), [], "{candidate}");
        assert_eq!((output.status.code(), report["verdict"].as_str()), (Some(0), Some("ship")));
        assert_eq!(report["base_sums"], report["candidate_sums"]);
    }
    Ok(())
}

/// A pager that asks for pages which were not recorded.
fn wrong_page() -> Outcome {
    let folder = place(&mutant("wrong-page")?)?;
    let feed = crate::program::Served::start(tipline::mock::MockSettings::default(), 25)?;
    feed.configure(folder.path(), "")?;
    let said = crate::program::printed(folder.path(), &["record", "--out", "today.har"])?;
    assert!(said.contains("today.har: 1 requests"), "{said}");
    let evaluate = |candidate: &str| -> Result<Value, Failed> {
        let output = finished(folder.path(), &["eval", "today.har", "--candidate", candidate, "--json"])?;
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let report = evaluate("candidate.wasm")?;
    has(&report, "paging", "a request that the recording cannot answer")?;
    has(&report, "paging", "a page that is no longer asked for")?;
    let report = evaluate("built-in")?;
    assert_eq!(findings(&report), []);
    assert_eq!(report["paging"], "today.har: 1 requests of 1 recorded ones, as with the base");
    assert_eq!(report["candidate_sums"]["read"], 25);
    Ok(())
}

/// A change that is wanted passes with a waiver, and the waiver is a finding once the change is gone.
fn intended() -> Outcome {
    let folder = place(&mutant("confidence-scale")?)?;
    let waivers = "- {finding: field-changed, about: threat.indicator.confidence, reason: a new scale}\n\
                   - {finding: cost, about: '*', reason: the wrapper of a test}\n";
    fs::write(folder.path().join("intended.yml"), waivers)?;
    let (changed, code) = report(folder.path(), &["--waivers", "intended.yml"])?;
    assert_eq!(code, Some(0), "{:#?}", findings(&changed));
    let output =
        finished(folder.path(), &["eval", "pages", "--candidate", "built-in", "--waivers", "intended.yml", "--json"])?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(output.status.code(), Some(1));
    has(&report, "stale-waiver", "field-changed threat.indicator.confidence")
}

/// The cluster refuses a network as an address, takes what the built-in guest writes, and keeps no index of either.
async fn in_cluster(url: String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("records.jsonl"), RECORDS).unwrap();
    fs::write(folder.path().join("candidate.wasm"), mutant("cidr-into-ip").unwrap()).unwrap();
    fs::write(folder.path().join("es.yml"), format!("output: {{elasticsearch: {{hosts: [\"{url}\"]}}}}\n")).unwrap();
    let evaluated = |candidate: &str| -> Value {
        let arguments = ["eval", "records.jsonl", "--allow-private", "--cluster", "es.yml", "--json", "--candidate"];
        let output = finished(folder.path(), &[&arguments[..], &[candidate]].concat()).unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    };
    let report = evaluated("built-in");
    assert_eq!(report["findings"], serde_json::json!([]));
    assert_eq!(report["cluster"], "5 documents tried in a temporary index, 0 refused");
    let report = evaluated("candidate.wasm");
    let refused: Vec<&Value> =
        report["findings"].as_array().unwrap().iter().filter(|found| found["kind"] == "cluster").collect();
    assert_eq!(refused.len(), 1, "{report:#}");
    let about = refused[0]["about"].as_str().unwrap();
    assert!(about.ends_with("failed to parse field [threat.indicator.ip] of type [ip]"), "{about}");
    assert!(refused[0]["examples"][0]["subject"].as_str().unwrap().contains("198.51.100.0/24"), "{report:#}");
    let settings = ElasticsearchSettings::new(vec![url.parse().unwrap()], Mode::Latest);
    let left = Client::new(&settings).unwrap().send(Call::get("/tipline-eval-*/_alias")).await.unwrap();
    assert_eq!(left.json(), serde_json::json!({}), "an index is left behind");
}
