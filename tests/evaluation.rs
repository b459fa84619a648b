//! `tipline eval`, `record` and `replay` as people use them: output, files and exit codes. What the evaluation finds in
//! wrong guests is in `mutants.rs`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tipline::mock::MockSettings;

use crate::builds::repository;
use crate::program::{Served, command, finished, printed};

type Outcome = Result<(), Failed>;
type Test = fn() -> Outcome;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 12] = [
        ("the_guests_own_cases_are_golden_cases", own_cases),
        ("golden_cases_are_compared_and_updated", golden),
        ("reports_in_four_forms", reports),
        ("wrong_commands_are_2_and_wrong_files_1", wrong),
        ("a_recording_holds_the_poll_and_no_key", recording),
        ("a_recording_is_served_again", replay),
        ("a_recording_is_polled_again_by_order", replay_by_order),
        ("a_recording_of_a_divided_window_is_polled_again", replay_divided),
        ("the_settings_of_a_guests_folder_are_taken", settings_beside_a_guest),
        ("a_run_records_its_polls", run_records),
        ("a_recording_is_not_replaced_unasked", record_over),
        ("a_recording_on_a_full_disk_leaves_nothing", record_on_a_full_disk),
    ];
    tests.into_iter().map(|(name, test)| Trial::test(format!("evaluation::{name}"), test)).collect()
}

fn own_cases() -> Outcome {
    let cases = repository("guest/tests/cases");
    let folder = tempfile::tempdir()?;
    let cases = cases.to_string_lossy();
    let said = printed(folder.path(), &["eval", "--golden", &cases])?;
    assert!(said.contains("verdict: ship"), "{said}");
    // The same cases as pages: the guest against itself.
    let report: Value =
        serde_json::from_str(&printed(folder.path(), &["eval", &cases, "--candidate", "built-in", "--json"])?)?;
    assert!(report["pages"].as_u64() >= Some(20), "{report:#}");
    assert_eq!(report["findings"], serde_json::json!([]));
    Ok(())
}

fn golden() -> Outcome {
    let folder = tempfile::tempdir()?;
    let case = folder.path().join("cases/one");
    fs::create_dir_all(&case)?;
    fs::write(
        case.join("page.json"),
        r#"{"data":[{"type":"domain","value":"evil.example"},{"type":"md5","value":"no"}]}"#,
    )?;
    let golden = &["eval", "--golden", "cases"];
    let output = finished(folder.path(), golden)?;
    assert_eq!(output.status.code(), Some(1), "nothing is written down yet");
    let said = printed(folder.path(), &[&golden[..], &["--update"]].concat())?;
    assert!(said.contains("verdict: ship"), "{said}");
    assert!(fs::read_to_string(case.join("expected.ndjson"))?.contains("evil.example"));
    assert!(fs::read_to_string(case.join("expected-counts.txt"))?.starts_with("read 2\nmapped 1\nrejected 1\n"));
    assert!(printed(folder.path(), golden)?.contains("verdict: ship"));
    fs::write(case.join("expected-rejects.ndjson"), "")?;
    let output = finished(folder.path(), golden)?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("one expected-rejects.ndjson"), "{said}");
    Ok(())
}

/// A folder with one page, and a candidate that differs from the built-in guest in its settings' effect: none does, so
/// the findings come from a case that is wrong.
fn reports() -> Outcome {
    let folder = tempfile::tempdir()?;
    let case = folder.path().join("cases/<one>");
    fs::create_dir_all(&case)?;
    fs::write(case.join("page.json"), r#"{"data":[{"type":"sha256","value":"evil.example is no hash"}]}"#)?;
    let output =
        finished(folder.path(), &["eval", "--golden", "cases", "--html", "r.html", "--junit", "r.xml", "--json"])?;
    let json: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((json["verdict"].as_str(), json["findings"][0]["kind"].as_str()), (Some("do not ship"), Some("golden")));
    let html = fs::read_to_string(folder.path().join("r.html"))?;
    assert!(html.starts_with("<!doctype html>") && html.contains("do not ship"));
    assert!(html.contains("default-src 'none'") && !html.contains("src=") && !html.contains("href="));
    assert!(html.contains("&lt;one&gt;") && !html.contains("<one>"), "names are text, not markup");
    assert!(html.contains("evil[.]example") && !html.contains("evil.example"), "nobody clicks an indicator");
    let xml = fs::read_to_string(folder.path().join("r.xml"))?;
    assert!(
        xml.contains("failures=\"1\"") && xml.contains("<failure message=") && xml.contains("&lt;one&gt;"),
        "{xml}"
    );
    Ok(())
}

fn wrong() -> Outcome {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    write("a.jsonl", "{\"type\":\"domain\",\"value\":\"a.example\"}\n")?;
    write("w.yml", "- {finding: nonsense, about: a, reason: b}")?;
    write("bad.har", "{\"log\":{}}")?;
    write("sqlite.yml", "output: {sqlite: {path: a.db}}")?;
    // Nobody listens on a port below 1024 that is given to nothing.
    write("gone.yml", "output: {elasticsearch: {hosts: ['http://127.0.0.1:1']}}")?;
    for (arguments, code, expected) in [
        (&["eval"][..], 2, "INPUT"),
        (&["eval", "a.jsonl", "--fail-on", "nonsense"], 2, "there is no `nonsense`"),
        (&["eval", "a.jsonl", "--waivers", "w.yml"], 2, "there is no finding `nonsense`"),
        (&["eval", "a.jsonl"], 2, "--candidate FILE"),
        (&["eval", "a.jsonl", "--candidate-set", "limit"], 2, "--candidate-set limit: expected KEY=VALUE"),
        (&["guest", "build", "x.wasm"], 2, "--clone DIR"),
        (&["eval", "a.jsonl", "--candidate", "built-in", "--set", "limt=5"], 1, "maps none of the pages"),
        (&["eval", "a.jsonl", "--fail-on", ""], 2, "expected any, faults, none"),
        (&["eval", "a.jsonl", "--memory", "lots"], 2, "expected a size such as 64MiB"),
        (&["eval", "a.jsonl", "--update"], 2, "--golden"),
        (&["eval", "--golden", ".", "--set", "limit=5"], 2, "config.json"),
        (&["eval", "gone.har", "--candidate", "built-in"], 1, "gone.har cannot be read"),
        (&["eval", "bad.har", "--candidate", "built-in"], 1, "missing field `entries`"),
        (&["eval", "a.jsonl", "--candidate", "gone.wasm"], 1, "The guest gone.wasm cannot be read"),
        (&["eval", "a.jsonl", "--base", "a.jsonl", "--candidate", "built-in"], 1, "The base, a.jsonl"),
        (&["eval", "--golden", "."], 1, "holds no golden case"),
        (&["eval", "a.jsonl", "--candidate", "built-in", "--cluster", "sqlite.yml"], 2, "no cluster to ask"),
        (&["eval", "a.jsonl", "--candidate", "built-in", "--cluster", "gone.yml"], 1, "127.0.0.1:1"),
        (&["record", "--out", "x.har"], 2, "No input is configured"),
        (&["replay", "a.jsonl"], 1, "This is no recording"),
    ] {
        let output = finished(folder.path(), arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    Ok(())
}

const KEY: &str = "canary-key-of-a-recording-7f3a";

/// A feed that asks for a key, and its configuration.
fn keyed(folder: &Path, records: u64) -> Result<Served, Failed> {
    let served = Served::start(MockSettings { key: Some(KEY.to_owned()), ..MockSettings::default() }, records)?;
    let url = served.feed.url();
    fs::write(
        folder.join("tipline.yml"),
        format!(
            "inputs:\n  - {{id: feed, url: {url}, api_key: {KEY}, feed: {{name: SOC Defenders}}, limit: 100, allow_private: true}}\n"
        ),
    )?;
    Ok(served)
}

fn recording() -> Outcome {
    let folder = tempfile::tempdir()?;
    let _served = keyed(folder.path(), 250)?;
    let said = printed(folder.path(), &["record", "--out", "today.har"])?;
    assert!(said.starts_with("today.har: 3 requests, "), "{said}");
    let text = fs::read_to_string(folder.path().join("today.har"))?;
    assert!(!text.contains(KEY) && !text.to_ascii_lowercase().contains("authorization"), "no key is written");
    let har: Value = serde_json::from_str(&text)?;
    assert_eq!(har["log"]["version"], "1.2");
    let entry = &har["log"]["entries"][0];
    for member in ["startedDateTime", "time", "request", "response", "cache", "timings"] {
        assert!(!entry[member].is_null(), "HAR asks for `{member}`");
    }
    assert!(
        !folder.path().join("tipline.db").exists() || printed(folder.path(), &["search", "--count"])?.trim() == "0"
    );
    let report: Value =
        serde_json::from_str(&printed(folder.path(), &["eval", "today.har", "--candidate", "built-in", "--json"])?)?;
    // Each page begins with the last record of the one before, and an evaluation maps each page as it came.
    assert_eq!(
        (&report["base_sums"]["read"], &report["paging"]),
        (&252.into(), &"today.har: 3 requests of 3 recorded ones, as with the base".into())
    );
    // A change leaves the other settings as they were recorded: pages of 100, private values mapped.
    let arguments = ["eval", "today.har", "--candidate", "built-in", "--json", "--set", "min_confidence=high"];
    let changed: Value = serde_json::from_str(&printed(folder.path(), &arguments)?)?;
    assert_eq!((&changed["base_sums"]["read"], &changed["paging"]), (&252.into(), &report["paging"]));
    assert_ne!(changed["base_sums"]["mapped"], report["base_sums"]["mapped"]);
    // A change of the candidate's alone is what is tried: the pages tell what it does, and paging is none of it.
    let arguments = ["eval", "today.har", "--json", "--candidate-set", "min_confidence=high"];
    let output = finished(folder.path(), &arguments)?;
    let tried: Value = serde_json::from_slice(&output.stdout)?;
    let kinds: Vec<_> = tried["findings"].as_array().into_iter().flatten().filter_map(|f| f["kind"].as_str()).collect();
    assert_eq!(output.status.code(), Some(1));
    assert!(kinds.contains(&"document-removed") && kinds.contains(&"skips"), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| matches!(*kind, "paging" | "template" | "ecs")), "{kinds:?}");
    assert_eq!(tried["candidate_sums"]["mapped"], changed["candidate_sums"]["mapped"]);
    assert_eq!(tried["base_sums"]["mapped"], report["base_sums"]["mapped"]);
    let reversed = ["eval", "today.har", "--json", "--base-set", "min_confidence=high"];
    let reversed: Value = serde_json::from_slice(&finished(folder.path(), &reversed)?.stdout)?;
    assert_eq!(reversed["base_sums"]["mapped"], tried["candidate_sums"]["mapped"]);
    // What more is mapped is searchable, also what stands below a field that takes anything.
    let more = ["eval", "today.har", "--json", "--candidate-set", "keep=original", "--fail-on", "template,ecs,paging"];
    printed(folder.path(), &more)?;
    // Cut at its bound: said, and no success.
    let output = finished(folder.path(), &["record", "--out", "cut.har", "--max-size", "60KiB"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--max-size"), "{output:?}");
    Ok(())
}

fn replay() -> Outcome {
    let folder = tempfile::tempdir()?;
    let served = keyed(folder.path(), 250)?;
    printed(folder.path(), &["record", "--out", "today.har", "--since", "2001-01-01"])?;
    drop(served);
    let mut server = Serving(command(folder.path(), &["replay", "today.har"]).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let address =
        line.trim().strip_prefix("serving 3 recorded answers at http://").ok_or(format!("unexpected: {line}"))?;
    let address = address.trim_end_matches('/');
    let har: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("today.har"))?)?;
    for entry in har["log"]["entries"].as_array().ok_or("no entries")? {
        let target = entry["_tiplineTarget"].as_str().ok_or("no target")?;
        let recorded = entry["response"]["content"]["text"].as_str().ok_or("no text")?;
        let answer = get(address, target)?;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(recorded), "{target}: {answer}");
    }
    assert!(get(address, "/elsewhere")?.starts_with("HTTP/1.1 404 "));
    Ok(())
}

/// What `record` left in a folder, served again, and where.
fn replayed_by_order(folder: &Path) -> Result<(Serving, String), Failed> {
    let arguments = ["replay", "today.har", "--by-order"];
    let mut server = Serving(command(folder, &arguments).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let (_, address) = line.trim().split_once(" at ").ok_or(format!("unexpected: {line}"))?;
    Ok((server, address.to_owned()))
}

/// `record`, then `replay` and `run --once`: what was recorded is stored, though the poll asks from another time on.
fn replay_by_order() -> Outcome {
    let folder = tempfile::tempdir()?;
    let served = keyed(folder.path(), 250)?;
    printed(folder.path(), &["record", "--out", "today.har"])?;
    drop(served);
    let (_server, address) = replayed_by_order(folder.path())?;
    fs::write(
        folder.path().join("again.yml"),
        format!(
            "inputs:\n  - {{id: feed, url: '{address}', limit: 100, allow_private: true, initial_interval: 48h, feed: {{name: again}}}}\n\
             output: {{sqlite: {{path: again.db}}}}\n"
        ),
    )?;
    for _ in 0..2 {
        let said = printed(folder.path(), &["run", "-c", "again.yml", "--once"])?;
        assert!(said.contains("feed: read 2"), "{said}");
    }
    let count = printed(folder.path(), &["search", "-c", "again.yml", "--expired", "--count"])?;
    assert!(count.trim().parse::<u64>()? > 200, "{count}");
    Ok(())
}

/// The window was too deep to be walked and was read in parts: they are read again, though their times are others.
fn replay_divided() -> Outcome {
    let folder = tempfile::tempdir()?;
    let served = keyed(folder.path(), 250)?;
    let shallow = "limit: 20, max_offset: 60";
    let file = folder.path().join("tipline.yml");
    fs::write(&file, fs::read_to_string(&file)?.replace("limit: 100", shallow))?;
    printed(folder.path(), &["record", "--out", "today.har"])?;
    drop(served);
    let recorded = fs::read_to_string(folder.path().join("today.har"))?;
    assert!(recorded.contains("until="), "the window was not divided");
    let (_server, address) = replayed_by_order(folder.path())?;
    // Half an hour longer than then, so that no time is the recorded one.
    fs::write(
        folder.path().join("again.yml"),
        format!(
            "inputs:\n  - {{id: feed, url: '{address}', {shallow}, allow_private: true, initial_interval: 1470m, feed: {{name: again}}}}\n\
             output: {{sqlite: {{path: again.db}}}}\n"
        ),
    )?;
    let said = printed(folder.path(), &["run", "-c", "again.yml", "--once"])?;
    assert!(!said.contains("no way to divide it"), "{said}");
    let count = printed(folder.path(), &["search", "-c", "again.yml", "--expired", "--count"])?;
    assert!(count.trim().parse::<u64>()? > 200, "{count}: {said}");
    Ok(())
}

fn record_over() -> Outcome {
    let folder = tempfile::tempdir()?;
    let _served = keyed(folder.path(), 30)?;
    fs::write(folder.path().join("today.har"), "of yesterday")?;
    let output = finished(folder.path(), &["record", "--out", "today.har"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("add --force to replace it"), "{said}");
    assert_eq!(fs::read_to_string(folder.path().join("today.har"))?, "of yesterday");
    printed(folder.path(), &["record", "--out", "today.har", "--force"])?;
    assert!(fs::read_to_string(folder.path().join("today.har"))?.starts_with("{\"log\""));
    Ok(())
}

/// A limit on the size of files stands in for a full disk.
fn record_on_a_full_disk() -> Outcome {
    let folder = tempfile::tempdir()?;
    let _served = keyed(folder.path(), 9_000)?;
    let mut limited = std::process::Command::new("sh");
    limited.current_dir(folder.path()).stdin(Stdio::null()).args([
        "-c",
        // In blocks of 512 bytes, two MiB: a guest's memory is a file, too, which the engine keeps in memory.
        "ulimit -f 4096; exec \"$0\" record --out today.har",
        env!("CARGO_BIN_EXE_tipline"),
    ]);
    let output = limited.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("today.har.part cannot be written"), "{said}");
    let names: Vec<_> = fs::read_dir(folder.path())?.map(|e| Ok(e?.file_name())).collect::<Result<_, Failed>>()?;
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("har")), "{names:?}");
    Ok(())
}

/// The settings of a guest's own configuration are taken, though it pins another file than the one that is tried.
fn settings_beside_a_guest() -> Outcome {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    write("a.jsonl", "{\"type\":\"domain\",\"value\":\"a.example\",\"confidence\":\"low\"}\n")?;
    write(
        "tipline.yml",
        "inputs:\n  - id: mine\n    type: target/gone.wasm\n    sha256:\n    url: https://feed.example\n    min_confidence: high\n    feed: {name: mine}\n",
    )?;
    let arguments = ["eval", "a.jsonl", "-c", "tipline.yml", "--candidate", "built-in", "--json"];
    let report: Value = serde_json::from_str(&printed(folder.path(), &arguments)?)?;
    assert_eq!((&report["base_sums"]["read"], &report["base_sums"]["skipped"]), (&1.into(), &1.into()));
    let output = finished(folder.path(), &["map", "a.jsonl", "-c", "tipline.yml"])?;
    assert_eq!(output.status.code(), Some(2), "what runs is held to its sum");
    Ok(())
}

/// A server that ends with the test, however that ends.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The whole answer to a GET, as it comes.
fn get(address: &str, target: &str) -> Result<String, Failed> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn run_records() -> Outcome {
    let folder = tempfile::tempdir()?;
    let _served = keyed(folder.path(), 30)?;
    printed(folder.path(), &["run", "--once", "--record", "recordings"])?;
    printed(folder.path(), &["run", "--once", "--record", "recordings"])?;
    let mut names: Vec<_> = fs::read_dir(folder.path().join("recordings"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, Failed>>()?;
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("feed-2") && name.ends_with("Z.har")), "{names:?}");
    let said = printed(folder.path(), &["eval", "recordings", "--candidate", "built-in"])?;
    assert!(said.contains("verdict: ship"), "{said}");
    printed(folder.path(), &["run", "--once", "--record", "recordings", "--record-keep", "1"])?;
    assert_eq!(fs::read_dir(folder.path().join("recordings"))?.count(), 1);
    Ok(())
}
