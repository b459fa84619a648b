//! Every command's output and exit code, by running the program.
//!
//! Each test has a folder of its own. The feed is the mock one, run by the program itself on a port the system picks.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tipline::clock::Clock;
use tipline::text;

type Outcome = Result<(), Failed>;

/// A test: what it could not do, or what it found.
type Test = fn() -> Outcome;

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 37] = [
        ("help_and_version", help_and_version),
        ("wrong_commands_are_2", wrong_commands_are_2),
        ("wrong_configurations_are_2", wrong_configurations_are_2),
        ("a_file_that_holds_no_secret_is_2", a_file_that_holds_no_secret_is_2),
        ("map_writes_documents_and_rejects", map_writes_documents_and_rejects),
        ("map_takes_the_pages_own_time", map_takes_the_pages_own_time),
        ("map_takes_settings", map_takes_settings),
        ("map_of_nothing_is_1", map_of_nothing_is_1),
        ("a_closed_pipe_is_quiet", a_closed_pipe_is_quiet),
        ("guest_describes_and_exports", guest_describes_and_exports),
        ("demo_once", demo_once),
        ("demo_goes_on_until_it_is_stopped", demo_goes_on_until_it_is_stopped),
        ("run_once_prints_both_sums", run_once_prints_both_sums),
        ("run_once_fails_where_the_feed_refuses", run_once_fails_where_the_feed_refuses),
        ("run_ends_on_a_signal", run_ends_on_a_signal),
        ("status", status),
        ("search_and_show", search_and_show),
        ("search_tells_hashes_and_times_apart", search_tells_hashes_and_times_apart),
        ("search_is_asked_in_kql", search_is_asked_in_kql),
        ("a_query_that_finds_nothing_gets_a_hint", a_query_that_finds_nothing_gets_a_hint),
        ("values_of_any_text_are_looked_up", values_of_any_text_are_looked_up),
        ("what_is_known_near_a_value_is_said", what_is_known_near_a_value_is_said),
        ("what_is_stored_is_exported", what_is_stored_is_exported),
        ("what_is_stored_is_counted", what_is_stored_is_counted),
        ("check", check),
        ("setup_dry_run", setup_dry_run),
        ("rejects", rejects),
        ("rejects_are_retried_together_and_counted_apart", rejects_together),
        ("backfill_keeps_the_checkpoint", backfill_keeps_the_checkpoint),
        ("backfill_tells_of_every_input", backfill_tells_of_every_input),
        ("verify_names_what_is_missing", verify_names_what_is_missing),
        ("state", state),
        ("the_configuration_is_named_anywhere", the_configuration_is_named_anywhere),
        ("the_schema_is_the_one_in_docs", the_schema_is_the_one_in_docs),
        ("completions_and_manual_pages", completions_and_manual_pages),
        ("init_writes_and_tests", init_writes_and_tests),
        ("init_replaces_nothing", init_replaces_nothing),
    ];
    tests.into_iter().map(|(name, test)| Trial::test(format!("cli::{name}"), test)).collect()
}

const RECORDS: &str = concat!(
    r#"{"type":"ipv4","value":"198.51.100.7","confidence":"high","source":{"feed_name":"One"}}"#,
    "\n",
    r#"{"type":"domain","value":"evil[.]example","confidence":"low","source":{"feed_name":"Two"}}"#,
    "\n",
    r#"{"type":"ipv4","value":"192.168.1.1"}"#,
    "\n",
    r#"{"type":"sha256","value":"not a hash"}"#,
    "\n",
);

/// A folder for one test, and the program run in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Result<Self, Failed> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Outcome {
        Ok(fs::write(self.path(name), text)?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        crate::support::schema::hold_all(self.folder.path(), arguments);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tipline"));
        command.current_dir(self.folder.path()).args(arguments);
        command.env_remove("SOCDEFENDERS_API_KEY").env("COLUMNS", "100");
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Ran, Failed> {
        Ran::of(arguments, self.command(arguments).stdin(Stdio::null()).output()?)
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Result<Ran, Failed> {
        let mut child =
            self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        match child.stdin.take().ok_or("no standard input")?.write_all(input.as_bytes()) {
            // A wrong command has ended before it read anything.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        Ran::of(arguments, child.wait_with_output()?)
    }

    /// Starts a feed with these records and writes a configuration that polls it.
    fn feed(&self, records: &str, switches: &[&str], input: &str) -> Result<MockFeed, Failed> {
        self.write("records.jsonl", records)?;
        let feed = MockFeed::start(self, switches)?;
        let yaml = format!("inputs:\n  - id: feed\n    url: {}\n    feed: {{name: SOC Defenders}}\n{input}", feed.url);
        self.write("tipline.yml", &yaml)?;
        Ok(feed)
    }
}

/// What a run of the program gave.
struct Ran {
    what: String,
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(arguments: &[&str], output: Output) -> Result<Self, Failed> {
        Ok(Self {
            what: format!("tipline {}", arguments.join(" ")),
            code: output.status.code(),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    fn exits(self, code: i32) -> Result<Self, Failed> {
        if self.code == Some(code) { Ok(self) } else { Err(self.fault(&format!("exit code {code}"))) }
    }

    fn prints(self, part: &str) -> Result<Self, Failed> {
        if self.out.contains(part) { Ok(self) } else { Err(self.fault(&format!("output with `{part}`"))) }
    }

    fn says(self, part: &str) -> Result<Self, Failed> {
        if self.err.contains(part) { Ok(self) } else { Err(self.fault(&format!("a message with `{part}`"))) }
    }

    fn json_lines(&self) -> Result<Vec<Value>, Failed> {
        Ok(self.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    fn fault(&self, expected: &str) -> Failed {
        let Self { what, code, out, err } = self;
        format!("{what}: expected {expected}; it ended with {code:?}\nstandard output:\n{out}\nstandard error:\n{err}")
            .into()
    }
}

/// `tipline mock-feed` until it is dropped.
struct MockFeed {
    child: Child,
    url: String,
}

impl MockFeed {
    fn start(place: &Place, switches: &[&str]) -> Result<Self, Failed> {
        let mut arguments = vec!["mock-feed", "--records", "records.jsonl"];
        arguments.extend(switches);
        let mut child = place.command(&arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
        let url = line.trim().rsplit_once(" at ").ok_or_else(|| format!("the mock feed printed: {line}"))?.1.to_owned();
        Ok(Self { child, url })
    }
}

impl Drop for MockFeed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn terminate(child: &Child) -> Outcome {
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    if killed.success() { Ok(()) } else { Err("the process could not be signalled".into()) }
}

fn ensure(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn help_and_version() -> Outcome {
    let place = Place::new()?;
    place.run(&["--version"])?.exits(0)?.prints(concat!("tipline ", env!("CARGO_PKG_VERSION")))?;
    let commands = [
        "demo",
        "run",
        "serve",
        "open",
        "status",
        "check",
        "setup",
        "map",
        "search",
        "show",
        "rejects",
        "backfill",
        "verify",
        "state",
        "mock-feed",
        "guest",
        "init",
        "schema",
        "completions",
        "man",
    ];
    let help = place.run(&["--help"])?.exits(0)?.prints("Exit codes: 0 done")?;
    for command in commands {
        ensure(help.out.contains(&format!("\n  {command} ")), &format!("--help does not name {command}"))?;
        place.run(&[command, "--help"])?.exits(0)?.prints("Usage: tipline")?;
    }
    for command in [["rejects", "retry"], ["rejects", "list"], ["state", "reset"], ["guest", "export"]] {
        place
            .run(&[command[0], command[1], "--help"])?
            .exits(0)?
            .prints("Examples:")
            .or_else(|_| place.run(&[command[0], command[1], "--help"])?.exits(0)?.prints("Example:"))?;
    }
    Ok(())
}

fn wrong_commands_are_2() -> Outcome {
    let place = Place::new()?;
    for (arguments, part) in [
        (&[][..], "Usage: tipline"),
        (&["poll"], "unrecognized subcommand"),
        (&["run", "--twice"], "--twice"),
        (&["search", "--type", "ship"], "expected one of ipv4-addr"),
        (&["search", "--since", "yesterday"], "expected a time such as"),
        (&["search", "--since", "now-1x"], "or date math: now-1d"),
        (&["lookup", "."], ". is a folder. Name a file of text in it"),
        (&["search", "--limit", "0"], "expected a whole number from 1 on"),
        (&["rejects", "list", "--limit", "0"], "expected a whole number from 1 on"),
        (&["backfill"], "--since"),
        (&["rejects", "drop"], "NUMBER"),
        (&["map", "--set", "limit"], "expected KEY=VALUE"),
        (&["map", "--set", "limitt=1"], "limitt"),
        (&["run", "--json"], "--once"),
    ] {
        place.run_with(arguments, "{}\n")?.exits(2)?.says(part)?;
    }
    Ok(())
}

fn wrong_configurations_are_2() -> Outcome {
    let place = Place::new()?;
    place.run(&["run", "-c", "none.yml"])?.exits(2)?.says("none.yml cannot be read")?;
    place.run(&["run"])?.exits(2)?.says("No input is configured")?;
    for (yaml, part) in [
        (
            "inputs:\n  - id: feed\n    intervall: 1h\n",
            "bad.yml:3:16: `inputs[0].intervall` is no setting; did you mean `interval`?",
        ),
        ("inputs:\n  - id: feed\n    min_confidnce: low\n", "min_confidnce"),
        ("inputs:\n  - id: feed\n    min_confidence: huge\n", "huge"),
        // What the guest refuses has its place, too.
        ("log: {}\ninputs:\n  - id: feed\n    types: [nonsense]\n", "tipline: bad.yml:3:"),
        ("inputs:\n  - id: feed\n    api_key: ${TIPLINE_TEST_NOT_SET}\n", "TIPLINE_TEST_NOT_SET is not set"),
        ("inputs: [\n", "not YAML that can be read"),
        ("inputs:\n  - id: feed\n    url: http://feed.example\n    api_key: sk_live_canary\n", "http"),
    ] {
        place.write("bad.yml", yaml)?;
        let ran = place.run(&["run", "--once", "-c", "bad.yml"])?.exits(2)?.says(part)?;
        ensure(!ran.err.contains("canary"), "the key was printed")?;
    }
    Ok(())
}

/// A secret's file that is empty, or not there, is a fault of the configuration for whoever needs the secret.
fn a_file_that_holds_no_secret_is_2() -> Outcome {
    let place = Place::new()?;
    place.write("empty.key", " \n\t\r\n")?;
    let feed = |settings: &str| {
        format!(
            "inputs:\n  - id: feed\n    url: http://127.0.0.1:9/\n    feed: {{name: F}}\n{settings}output: {{sqlite: {{path: t.db}}}}\n"
        )
    };
    let cluster = |settings: &str| {
        let output = format!("output:\n  elasticsearch:\n    hosts: [\"http://127.0.0.1:9\"]\n{settings}");
        format!("inputs:\n  - id: feed\n    url: http://127.0.0.1:9/\n    feed: {{name: F}}\n{output}")
    };
    let (run, setup, search): (&[&str], &[&str], &[&str]) = (&["run", "--once"], &["setup"], &["search"]);
    let sweep: &[&str] = &["sweep"];
    for (yaml, setting, commands) in [
        (feed("    api_key_file: empty.key\n"), "`api_key_file`", &[run, sweep][..]),
        (feed("    username: u\n    password_file: empty.key\n"), "`password_file`", &[run]),
        (feed("    auth: {scheme: Token, key_file: empty.key}\n"), "`auth.key_file`", &[run]),
        (cluster("    api_key_file: empty.key\n"), "`api_key_file`", &[run, setup, search, sweep]),
        (cluster("    api_key_file: none.key\n"), "`api_key_file`", &[run, setup]),
        (cluster("    username: u\n    password_file: empty.key\n"), "`password_file`", &[run, setup]),
        (
            cluster("    proxy: http://127.0.0.1:9\n    proxy_username: u\n    proxy_password_file: empty.key\n"),
            "`proxy_password_file`",
            &[run, setup],
        ),
    ] {
        place.write("secret.yml", &yaml)?;
        for command in commands {
            let ran = place.run(&[command, &["-c", "secret.yml"][..]].concat())?.exits(2)?.says(setting)?;
            ensure(ran.err.contains("is empty") || yaml.contains("none.key"), &format!("why: {}", ran.err))?;
        }
    }
    Ok(())
}

fn map_writes_documents_and_rejects() -> Outcome {
    let place = Place::new()?;
    place.write("records.jsonl", RECORDS)?;
    let ran = place
        .run(&["map", "records.jsonl", "--rejects", "rejects.jsonl"])?
        .exits(0)?
        .says("read 4 = mapped 2 + rejected 1 + skipped 1")?
        .says("made 2 documents")?;
    let documents = ran.json_lines()?;
    ensure(documents.len() == 2, "two documents")?;
    ensure(documents[1]["threat"]["indicator"]["url"]["domain"] == "evil.example", "the domain is refanged")?;
    let rejects = fs::read_to_string(place.path("rejects.jsonl"))?;
    let reject: Value = serde_json::from_str(rejects.trim())?;
    ensure(reject["raw"].as_str().is_some_and(|raw| raw.contains("not a hash")), "the reject holds its text")?;
    let piped = place.run_with(&["map"], RECORDS)?.exits(0)?;
    ensure(piped.out.lines().count() == 2, "standard input is read")?;
    place.run_with(&["map", "-"], RECORDS)?.exits(0)?.says("read 4")?;
    Ok(())
}

fn map_takes_the_pages_own_time() -> Outcome {
    let place = Place::new()?;
    let page = r#"{"meta":{"generated_at":"2024-12-09T10:30:00Z"},"data":[{"type":"ipv4","value":"198.51.100.7"}]}"#;
    let own = place.run_with(&["map"], page)?.exits(0)?;
    ensure(
        own.json_lines()?[0]["@timestamp"].as_str().is_some_and(|t| t.starts_with("2024-12-09T10:30:00")),
        "the page's",
    )?;
    let given = place.run_with(&["map", "--observed", "2024-12-10T00:00:00Z"], page)?.exits(0)?;
    ensure(
        given.json_lines()?[0]["@timestamp"].as_str().is_some_and(|t| t.starts_with("2024-12-10T00:00:00")),
        "given",
    )?;
    Ok(())
}

fn map_takes_settings() -> Outcome {
    let place = Place::new()?;
    place.run_with(&["map", "--allow-private"], RECORDS)?.exits(0)?.says("mapped 3 + rejected 1 + skipped 0")?;
    place.run_with(&["map", "--set", "allow_private=true"], RECORDS)?.exits(0)?.says("mapped 3")?;
    place.write("one.yml", "inputs:\n  - id: a\n    allow_private: true\n")?;
    place.run_with(&["map", "-c", "one.yml"], RECORDS)?.exits(0)?.says("mapped 3")?;
    place.write("two.yml", "inputs:\n  - id: a\n    allow_private: true\n  - id: b\n")?;
    place.run_with(&["map", "-c", "two.yml"], RECORDS)?.exits(2)?.says("name one with --input (a, b)")?;
    place.run_with(&["map", "-c", "two.yml", "--input", "b"], RECORDS)?.exits(0)?.says("mapped 2")?;
    Ok(())
}

fn map_of_nothing_is_1() -> Outcome {
    let place = Place::new()?;
    for (input, part) in [("", "The input is empty"), ("<html>", "begins with `<html>`"), ("[{", "not valid JSON")] {
        place.run_with(&["map"], input)?.exits(1)?.says(part)?;
    }
    place.run(&["map", "none.jsonl"])?.exits(1)?.says("none.jsonl cannot be read")?;
    Ok(())
}

fn a_closed_pipe_is_quiet() -> Outcome {
    let place = Place::new()?;
    place.write("many.jsonl", &RECORDS.repeat(2_000))?;
    let mut child = place.command(&["map", "many.jsonl"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    let ran = Ran::of(&["map", "many.jsonl"], output)?.exits(0)?;
    ensure(!ran.err.contains("panicked") && !ran.err.contains("roken pipe"), &ran.err)
}

fn guest_describes_and_exports() -> Outcome {
    let place = Place::new()?;
    let described: Value = serde_json::from_str(&place.run(&["guest", "describe"])?.exits(0)?.out)?;
    ensure(described["fields"].is_object() || described["fields"].is_array(), "the description lists its fields")?;
    place.run(&["guest", "export", "out"])?.exits(0)?.prints("socdefenders.component.wasm")?;
    let sums = fs::read_to_string(place.path("out/SHA256SUMS"))?;
    for name in ["socdefenders.component.wasm", "socdefenders.core.wasm", "input.wit"] {
        let sum = sha256(&place.path("out").join(name))?;
        ensure(sums.contains(&format!("{sum}  {name}\n")), &format!("the sum of {name}"))?;
    }
    place.write("file", "")?;
    place.run(&["guest", "export", "file"])?.exits(1)?.says("cannot be made")?;
    Ok(())
}

fn sha256(path: &Path) -> Result<String, Failed> {
    use sha2::Digest as _;
    Ok(sha2::Sha256::digest(fs::read(path)?).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn demo_once() -> Outcome {
    let place = Place::new()?;
    let demo = place.run(&["demo", "--once"])?.exits(0)?.prints("read ")?.prints("What to type next:")?;
    ensure(!demo.out.contains("token="), "there is no page to be opened")?;
    let read =
        demo.out.lines().find_map(|line| line.strip_prefix("read ")).ok_or_else(|| demo.fault("a line `read N`"))?;
    let read: u64 = read.chars().take_while(char::is_ascii_digit).collect::<String>().parse()?;
    ensure(read >= 2_000, "at least 2,000 records are read")?;
    ensure(
        !demo.out.contains("http://evil") && !demo.out.contains('\u{1b}'),
        "nothing is printed with teeth or colour",
    )?;
    // What it says to type next works.
    let next: Vec<Vec<String>> = demo
        .out
        .lines()
        .skip_while(|line| *line != "What to type next:")
        .skip(1)
        .map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect())
        .collect();
    ensure(next.len() >= 4, "four commands are named")?;
    for arguments in next {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        place.run(&arguments)?.exits(0)?;
    }
    let numbers = |line: &str| -> Vec<u64> {
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
    };
    let sum = demo.out.lines().find(|line| line.starts_with("indexed ") && line.contains(" = live "));
    let [indexed, live, ended, replaced] = numbers(sum.ok_or_else(|| demo.fault("the store's sum"))?)[..] else {
        return Err(demo.fault("four figures"));
    };
    ensure(indexed == live + ended + replaced && live > 1_500, "it adds up")?;
    for (arguments, expected) in [(&["--count"][..], live), (&["--count", "--expired"], live + ended)] {
        let count = place.run(&[&["search", "-c", ".tipline/demo.yml"], arguments].concat())?.exits(0)?;
        ensure(count.out.trim().parse::<u64>()? == expected, "the store holds what was said")?;
    }
    // Again, from a clean store.
    place.write("records.jsonl", RECORDS)?;
    place
        .run(&["demo", "--once", "--records", "records.jsonl"])?
        .exits(0)?
        .prints("read 4, mapped 2, rejected 1, skipped 1\n")?
        .prints("indexed 2,")?;
    place.run(&["demo", "--once", "--records", "none.jsonl"])?.exits(1)?.says("none.jsonl")?;
    Ok(())
}

fn demo_goes_on_until_it_is_stopped() -> Outcome {
    let place = Place::new()?;
    place.write("records.jsonl", RECORDS)?;
    let arguments = ["demo", "--records", "records.jsonl"];
    let mut child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
    let link = lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.contains("/open?token=")));
    let link = link.ok_or("no link to the page")??;
    let page = crate::access::visit(&link)?;
    ensure(page.contains("<title>"), "the page is shown")?;
    let polled = lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.contains("Z  read ")));
    ensure(polled.is_some(), "a line for each poll")?;
    terminate(&child)?;
    let rest: Vec<String> = lines.collect::<Result<_, _>>()?;
    ensure(rest.iter().any(|line| line == "What to type next:"), "it ends in order")?;
    ensure(child.wait()?.success(), "exit code 0")
}

fn run_once_prints_both_sums() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    place
        .run(&["run", "--once"])?
        .exits(0)?
        .prints("feed: read 4 = mapped 2 + rejected 1 + skipped 1\n")?
        .prints("feed: made 2 = indexed 2 + stale 0 + quarantined 0\n")?;
    let again = place.run(&["run", "--once", "--json"])?.exits(0)?;
    let report = &again.json_lines()?[0];
    ensure(report["input"] == "feed" && report["adds_up"] == true && report["counts"]["stale"].is_u64(), "JSON")
}

fn run_once_fails_where_the_feed_refuses() -> Outcome {
    let place = Place::new()?;
    let feed = place.feed(RECORDS, &["--key", "sk_live_right"], "    api_key: sk_live_canary\n")?;
    let ran = place.run(&["run", "--once"])?.exits(1)?.prints("feed: failed: ")?;
    ensure(!ran.out.contains("canary") && !ran.err.contains("canary"), "the key was printed")?;
    drop(feed);
    let _limited = place.feed(RECORDS, &["--limited-every", "1", "--limited-seconds", "7200"], "    max_wait: 1s\n")?;
    place.run(&["run", "--once"])?.exits(1)?.prints("Come back at 20")?;
    Ok(())
}

fn run_ends_on_a_signal() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    let mut child =
        place.command(&["run", "--log-format", "json"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
    let polled = lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.contains("polled")));
    let polled: Value = serde_json::from_str(&polled.ok_or("no line about the poll")??)?;
    ensure(polled.to_string().contains("feed"), "the log line names the input")?;
    terminate(&child)?;
    for line in lines {
        line?;
    }
    ensure(child.wait()?.success(), "exit code 0")?;
    let count = place.run(&["search", "--count"])?.exits(0)?;
    ensure(count.out == "2\n", "what was polled is stored")
}

fn status() -> Outcome {
    let place = Place::new()?;
    place.run(&["status"])?.exits(1)?.says("tipline.db")?;
    let _feed = place.feed(RECORDS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    place.run(&["status"])?.exits(0)?.prints("LAST SUCCESS")?.prints("feed   ok")?.prints("rejects list")?;
    let status: Value = serde_json::from_str(&place.run(&["status", "--json"])?.exits(0)?.out)?;
    let input = &status["inputs"][0];
    ensure(input["health"] == "ok" && input["rejects"] == 1 && input["counts"]["read"] == 4, &status.to_string())?;
    // No run is at work, and so no next poll is known.
    ensure(status["running"] == false && input["next_poll"].is_null(), &status.to_string())?;
    let known_at = status["output"]["known_at"].as_str().ok_or("when it was known")?;
    place
        .run(&["status"])?
        .exits(0)?
        .prints(&format!("no `tipline run` is at work; this is what was known at {known_at}"))?;
    Ok(())
}

fn search_and_show() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    place.run(&["search"])?.exits(0)?.prints("198[.]51[.]100[.]7")?.prints("evil[.]example")?.prints("2 of 2")?;
    for (arguments, count) in [
        (&["search", "--count"][..], "2\n"),
        (&["search", "evil[.]example", "--count"], "1\n"),
        (&["search", "--type", "ipv4", "--count"], "1\n"),
        (&["search", "--provider", "Two", "--count"], "1\n"),
        (&["search", "--provider", "tWO", "--count"], "1\n"),
        (&["search", "--since", "1h", "--by", "observed", "--count"], "2\n"),
        (&["search", "--expired", "--count"], "2\n"),
        (&["search", "nothing", "--count"], "0\n"),
        (&["search", "--count", "--json"], "{\"count\":2}\n"),
    ] {
        let ran = place.run(arguments)?.exits(0)?;
        ensure(ran.out == count, &format!("{}: {}", ran.what, ran.out))?;
    }
    place.run(&["search", "nothing"])?.exits(0)?.prints("Nothing found.")?;
    let found = place.run(&["search", "evil", "--json"])?.exits(0)?.json_lines()?;
    let id = found[0]["event"]["id"].as_str().ok_or("no event.id")?.to_owned();
    place.run(&["show", &id])?.exits(0)?.prints("threat.indicator.name")?.prints("evil[.]example")?;
    let shown = place.run(&["show", &id, "--json"])?.exits(0)?.json_lines()?;
    ensure(shown[0]["threat"]["indicator"]["name"] == "evil.example", "JSON is as it is stored")?;
    place.run(&["show", "abc"])?.exits(2)?.says("`abc` is too short for an id")?;
    place.run(&["show", "abcdef"])?.exits(1)?.says("`tipline search --expired` prints the ids")?;
    place.run(&["show", "evil.example"])?.exits(1)?.says("If it is a value, `tipline search` looks for it")?;
    for capitals in [id.to_ascii_uppercase(), format!(" {}", id[..12].to_ascii_uppercase())] {
        place
            .run(&["show", &capitals])?
            .exits(0)?
            .prints("evil[.]example")?
            .prints("ecs.version")?
            .prints(" 8.17.0")?;
    }
    // A beginning that only one has, as a table that was cut shows it, too.
    for beginning in [&id[..12], &format!("{}…", &id[..12])] {
        let shown = place.run(&["show", beginning, "--json"])?.exits(0)?.json_lines()?;
        ensure(shown[0]["event"]["id"] == id.as_str(), &format!("{beginning} is {id}"))?;
    }
    place.run(&["show", &id[..3]])?.exits(2)?.says("write its first 4 characters or more")?;
    Ok(())
}

fn search_is_asked_in_kql() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(&records_of_kinds(), &[], "    ttl: {ip: none, hash: none, email: none}\n")?;
    place.run(&["run", "--once"])?.exits(0)?;
    for (query, count) in [
        ("type: ip", "2\n"),
        ("type: (ip or domain) and not type: ipv6", "2\n"),
        ("threat.indicator.ip: 198.51.100.0/24", "1\n"),
        ("threat.indicator.file.hash.*: *", "4\n"),
        ("last_seen > now-132h and type: hash", "1\n"),
        ("not type: *", "2\n"),
    ] {
        let ran = place.run(&["search", query, "--count"])?.exits(0)?;
        ensure(ran.out == count, &format!("{}: {}", ran.what, ran.out))?;
    }
    // The place of an error stands below it, and the nearest names in it.
    place
        .run(&["search", "typ: url and confidence >= medium"])?
        .exits(2)?
        .says("Column 1: there is no field `typ`. Did you mean `type`")?
        .says("\n  typ: url and confidence >= medium\n  ^^^")?;
    place.run(&["search", "type: url and"])?.exits(2)?.says("Column 14")?;
    place.run(&["search", "--sort", "colour"])?.exits(2)?.says("expected one of value, type,")?;
    // Pages follow each other.
    let whole = place.run(&["search", "--json", "--sort", "value"])?.exits(0)?.json_lines()?;
    let mut pages = Vec::new();
    for skip in ["0", "4", "8"] {
        let page = place.run(&["search", "--json", "--sort", "value", "--limit", "4", "--skip", skip])?.exits(0)?;
        pages.extend(page.json_lines()?);
    }
    ensure(whole == pages && whole.len() == 10, "three pages are the whole")?;
    place.run(&["search", "--group", "--sort", "claims"])?.exits(0)?.prints("CLAIMS")?.prints("10 of 10")?;
    Ok(())
}

fn a_query_that_finds_nothing_gets_a_hint() -> Outcome {
    const CLAIMS: &str = concat!(
        r#"{"type":"ipv4","value":"198.51.100.7","confidence":"high","tags":["C2"],"source":{"feed_name":"One"}}"#,
        "\n",
        r#"{"type":"cidr","value":"203.0.113.0/24","confidence":"low","source":{"feed_name":"One"}}"#,
        "\n",
        r#"{"type":"domain","value":"evil.example","confidence":"low","source":{"feed_name":"Two"}}"#,
        "\n",
        r#"{"type":"url","value":"https://bad.example/Gate","age":{"updated":60,"last_seen":17280000}}"#,
        "\n",
        r#"{"type":"cve","value":"CVE-2021-44228"}"#,
        "\n",
    );
    let place = Place::new()?;
    let _feed = place.feed(CLAIMS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    for (query, hint) in [
        ("confidence = high", "A condition is written with a colon. Did you mean `confidence: high`?"),
        ("confidence=high", "Did you mean `confidence: high`?"),
        ("Tag != C2", "Did you mean `not tag: C2`?"),
        ("confidence high", "Did you mean `confidence: high`?"),
        ("type: foo", "No claim has type `foo`. There are: "),
        ("tag: c2", "Upper and lower case count here: there is tag `C2`."),
        ("threat.indicator.type: Domain-Name", "there is threat.indicator.type `domain-name`."),
        ("provider: Three", "No claim has provider `Three`."),
        ("software: *", "No stored claim has `software` at all."),
        ("threat.indicator.port: 80", "No stored claim has `threat.indicator.port` at all."),
        ("threat.indicator.port > 80", "No stored claim has `threat.indicator.port` at all."),
        ("last_seen < 2020 and type: domain", "1 is found without the time."),
        ("bad.example", "1 ended one matches: add --ended, or --expired for all."),
        ("threat.indicator.ip: 203.0.113.9", "1 range holds it: value: 203.0.113.9"),
        ("value: evil", "`value` is asked for as a whole. In plain text, 1 is found: `\"evil\"`"),
        ("type: domain and nowhere", "Nothing fits `nowhere` alone."),
        ("type: domain and tag: C2", "No claim fits all of it. Each alone finds: `type: domain` 1, `tag: C2` 1."),
        ("evil nowhere", "All words of plain text must occur, and `nowhere` occurs nowhere."),
        ("\"example evil\"", "In quotes the words stand side by side."),
        ("\"evil*\"", "In quotes, `*` is an asterisk."),
        ("other.example:8080", "There is no field `other.example`, so it was read as a host with its port."),
    ] {
        let ran = place.run(&["search", query])?.exits(0)?.prints("Nothing found.")?.says(hint)?;
        ensure(ran.err.lines().all(|line| line.starts_with("hint: ")), &ran.err)?;
        for command in [&["export", query][..], &["stats", query], &["search", "--count", query]] {
            place.run(command)?.exits(0)?.says(hint)?;
        }
    }
    place.run(&["search", "--provider", "Thr"])?.exits(0)?.says("--provider takes the whole name")?;
    place.run(&["search", "--ended", "evil.example"])?.exits(0)?.says("1 live one matches: leave --ended out.")?;
    // Whoever finds something is told nothing.
    for query in ["type: domain", "evil.example:8080", "198[.]51[.]100[.]7:443", "confidence: HIGH", "203.0.113.9:53"] {
        let ran = place.run(&["search", query])?.exits(0)?.prints("1 of 1")?;
        ensure(ran.err.is_empty(), &ran.err)?;
    }
    for since in ["now-1d", "now-2d/d", "2d"] {
        place.run(&["search", "--since", since, "type: domain"])?.exits(0)?.prints("1 of 1")?;
    }
    Ok(())
}

fn values_of_any_text_are_looked_up() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    place.write(
        "report.txt",
        "The loader at hxxps://EVIL[.]example/a (evil[.]example), its C2 198[.]51[.]100[.]7:443, \
         10.1.2.3 behind it, and http://203.0.113.9/b.",
    )?;
    place
        .run(&["lookup", "report.txt"])?
        .exits(0)?
        .prints("VERDICT")?
        .prints("evil[.]example")?
        .prints("198[.]51[.]100[.]7")?
        .prints("2 known, 1 harmless, 3 unknown")?;
    let lines = place.run(&["lookup", "--json", "report.txt"])?.exits(0)?.json_lines()?;
    let verdicts: Vec<(&str, &str)> =
        lines.iter().map(|l| (l["value"].as_str().unwrap_or(""), l["verdict"].as_str().unwrap_or(""))).collect();
    let expected = [
        ("https://evil.example/a", "unknown"),
        ("evil.example", "known"),
        ("198.51.100.7", "known"),
        ("10.1.2.3", "harmless"),
        ("http://203.0.113.9/b", "unknown"),
        ("203.0.113.9", "unknown"),
    ];
    ensure(verdicts == expected, &format!("{verdicts:?}"))?;
    ensure(lines[1]["times"] == 2 && lines[1]["claims"][0]["live"] == true, &lines[1].to_string())?;
    place.run(&["lookup", "--all", "report.txt"])?.exits(0)?.prints("private address")?.prints("unknown")?;
    place.write("words.txt", "nothing of this is a value")?;
    place.run(&["lookup", "words.txt"])?.exits(0)?.says("The text has no value that could be looked up")?;
    place.write("report.pdf", "%PDF-1.7 and so on")?;
    place
        .run(&["lookup", "report.pdf"])?
        .exits(2)?
        .says("report.pdf is a PDF and no text. Convert or unpack it first.")?;
    // So much and no more, of which nothing is a value.
    place.write("longest.txt", &" ".repeat(20 * 1024 * 1024))?;
    place.run(&["lookup", "longest.txt"])?.exits(0)?.says("The text has no value")?;
    place.write("longest.txt", &" ".repeat(20 * 1024 * 1024 + 1))?;
    place.run(&["lookup", "longest.txt"])?.exits(2)?.says("longest.txt has more than 20 MiB. Look it up in parts")?;
    place.run(&["lookup", "none.txt"])?.exits(2)?.says("none.txt cannot be read")?;
    Ok(())
}

fn what_is_known_near_a_value_is_said() -> Outcome {
    const CLAIMS: &str = concat!(
        r#"{"type":"domain","value":"evil.example"}"#,
        "\n",
        r#"{"type":"url","value":"https://bad.example/x?y=1"}"#,
        "\n",
        r#"{"type":"url","value":"http://198.51.100.7:8080/x"}"#,
        "\n",
    );
    let place = Place::new()?;
    let _feed = place.feed(CLAIMS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    place.write(
        "list.txt",
        "user@evil.example bad[.]example 198.51.100.7 evil.example user@bad.example x.bad.example",
    )?;
    let lines = place.run(&["lookup", "--json", "list.txt"])?.exits(0)?.json_lines()?;
    let said: Vec<(&str, &str, &str)> = lines
        .iter()
        .map(|line| {
            let [value, verdict] = ["value", "verdict"].map(|key| line[key].as_str().unwrap_or_default());
            (value, verdict, line["claims"][0]["value"].as_str().unwrap_or_default())
        })
        .collect();
    let expected = [
        ("user@evil.example", "its domain is known", "evil.example"),
        ("bad.example", "host of a known URL", "https://bad.example/x?y=1"),
        ("198.51.100.7", "host of a known URL", "http://198.51.100.7:8080/x"),
        ("evil.example", "known", "evil.example"),
        ("user@bad.example", "unknown", ""),
        ("x.bad.example", "unknown", ""),
    ];
    ensure(said == expected, &format!("{said:?}"))?;
    place
        .run(&["lookup", "list.txt"])?
        .exits(0)?
        .prints("hxxps://bad[.]example/x?y=1")?
        .prints("1 known, 1 its domain is known, 2 host of a known URL, 2 unknown")?;
    Ok(())
}

fn what_is_stored_is_exported() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    let found = place.run(&["search", "--json"])?.exits(0)?;
    ensure(place.run(&["export"])?.exits(0)?.says("2 written.")?.out == found.out, "NDJSON is what search prints")?;
    let list = place.run(&["export", "--format", "list", "--type", "domain"])?.exits(0)?;
    ensure(list.out == "evil.example\n", &list.out)?;
    let csv = place.run(&["export", "--format", "csv"])?.exits(0)?;
    ensure(csv.out.lines().count() == 3 && csv.out.contains("198.51.100.7"), &csv.out)?;
    place.run(&["export", "--format", "stix", "-o", "bundle.json"])?.exits(0)?.says("2 written.")?;
    let bundle: serde_json::Value = serde_json::from_str(&fs::read_to_string(place.path("bundle.json"))?)?;
    let patterns: Vec<_> =
        bundle["objects"].as_array().into_iter().flatten().filter_map(|o| o["pattern"].as_str()).collect();
    ensure(patterns.contains(&"[domain-name:value = 'evil.example']"), &bundle.to_string())?;
    // Nothing that is there is written over.
    place.run(&["export", "-o", "bundle.json"])?.exits(1)?.says("bundle.json cannot be made")?;
    Ok(())
}

fn what_is_stored_is_counted() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    place.run(&["stats"])?.exits(0)?.prints("TYPE")?.prints("domain-name")?.prints("2 in all")?;
    let counted = place.run(&["stats", "--json", "type: domain"])?.exits(0)?.json_lines()?;
    ensure(counted[0]["total"] == 1, &counted[0].to_string())?;
    ensure(counted[0]["facets"]["threat.indicator.type"][0][0] == "domain-name", &counted[0].to_string())?;
    place
        .run(&["stats", "--trend", "observed"])?
        .exits(0)?
        .prints("OBSERVED")?
        .prints("█ domain-name 1")?
        .prints("▓ ipv4-addr 1")?
        .prints("2 in all")?;
    let drawn = place.run(&["stats", "--trend", "observed", "--stack", "feed", "--json"])?.exits(0)?.json_lines()?;
    let trend = &drawn[0]["trend"];
    ensure(drawn[0]["total"] == 2 && trend["time"] == "tipline.observed_at", &drawn[0].to_string())?;
    ensure(trend["series"][0]["total"] == 2 && trend["field"] == "threat.feed.name", &drawn[0].to_string())?;
    place.run(&["stats", "--trend", "retired"])?.exits(0)?.prints("None of them has this time")?;
    place.run(&["stats", "--stack", "tag"])?.exits(2)?.says("--trend")?;
    Ok(())
}

fn the_configuration_is_named_anywhere() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    fs::rename(place.path("tipline.yml"), place.path("other.yml"))?;
    for arguments in [
        &["-c", "other.yml", "run", "--once"][..],
        &["run", "--once", "-c", "other.yml"],
        &["run", "--config=other.yml", "--once"],
        &["state", "-c", "other.yml", "show"],
        &["-c", "other.yml", "rejects", "list"],
        &["map", "-c", "other.yml", "records.jsonl"],
        &["-c", "other.yml", "map", "records.jsonl"],
    ] {
        place.run(arguments)?.exits(0)?;
    }
    place.run(&["-c", "none.yml", "status"])?.exits(2)?.says("none.yml cannot be read")?;
    for command in [&["schema"][..], &["guest", "describe"], &["man"], &["completions", "bash"], &["demo", "--once"]] {
        let named = [&["-c", "other.yml"], command].concat();
        place.run(&named)?.exits(2)?.says("reads no configuration")?;
    }
    Ok(())
}

fn the_schema_is_the_one_in_docs() -> Outcome {
    let place = Place::new()?;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for (arguments, file) in [(&["schema"][..], "tipline.schema.json"), (&["schema", "--markdown"], "settings.md")] {
        let ran = place.run(arguments)?.exits(0)?;
        ensure(ran.out == fs::read_to_string(docs.join(file))?, &format!("{} is docs/{file}", ran.what))?;
    }
    Ok(())
}

fn completions_and_manual_pages() -> Outcome {
    let place = Place::new()?;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        place.run(&["completions", shell])?.exits(0)?.prints("mock-feed")?;
    }
    place.run(&["man"])?.exits(0)?.prints(".TH tipline 1")?;
    place.run(&["man", "--out", "pages"])?.exits(0)?;
    for page in ["tipline.1", "tipline-run.1", "tipline-rejects-list.1"] {
        ensure(place.path("pages").join(page).exists(), page)?;
    }
    Ok(())
}

fn init_writes_and_tests() -> Outcome {
    let place = Place::new()?;
    let feed = place.feed(RECORDS, &[], "")?;
    fs::remove_file(place.path("tipline.yml"))?;
    place.write("key", "sk_live_right\n")?;
    // What `check` says stands on standard output.
    let ran = place.run(&["init", "--url", &feed.url, "--feed-name", "mine", "--api-key-file", "key"])?.exits(0)?;
    let ran = ran.prints("wrote tipline.yml")?.prints("wrote tipline.schema.json")?.prints("1 configured")?;
    ran.prints("next:  tipline run")?;
    let text = fs::read_to_string(place.path("tipline.yml"))?;
    ensure(text.starts_with("# yaml-language-server: $schema=tipline.schema.json\n"), &text)?;
    ensure(!text.contains("sk_live"), "the key is in its file")?;
    place.run(&["run", "--once"])?.exits(0)?.prints("made 2 = indexed 2")?;

    let place = Place::new()?;
    let ran = place.run(&["init"])?.exits(0)?;
    ran.prints("not tested: set SOCDEFENDERS_API_KEY")?.prints("tipline check")?;
    for wrong in ["ftp://a.example", "https://a.example"] {
        // The second is of no feed with a name of its own.
        place.run(&["init", "-c", "wrong.yml", "--url", wrong])?.exits(2)?.says("Nothing was written")?;
    }
    ensure(!place.path("wrong.yml").exists(), "nothing was written")
}

fn init_replaces_nothing() -> Outcome {
    let place = Place::new()?;
    place.write("tipline.yml", "mine")?;
    let given = ["init", "--no-check", "--api-key-file", "key"];
    place.run(&given)?.exits(2)?.says("tipline.yml is there already")?;
    ensure(fs::read_to_string(place.path("tipline.yml"))? == "mine", "it is still there")?;
    ensure(!place.path("tipline.schema.json").exists(), "nothing else was written")?;
    place.run(&[&given[..], &["--force"]].concat())?.exits(0)?.prints("wrote tipline.yml")?;
    ensure(fs::read_to_string(place.path("tipline.yml"))?.contains("api_key_file"), "it was replaced")
}

/// One of each kind, seen at other times than they are listed in.
fn records_of_kinds() -> String {
    let (md5, sha1, sha256, sha512) = ("1a".repeat(16), "2b".repeat(20), "3c".repeat(32), "4d".repeat(64));
    let values = [
        ("md5", md5.as_str(), 7),
        ("sha256", &sha256, 5),
        ("sha1", &sha1, 9),
        ("sha512", &sha512, 6),
        ("ipv4", "198.51.100.7", 4),
        ("ipv6", "2a00:1450::7", 8),
        ("domain", "www.evil.example", 0),
        ("email", "who@evil.example", 3),
        ("cve", "CVE-2024-3400", 2),
        ("mitre_attack", "T1059.001", 1),
    ];
    let line = |(kind, value, days): (&str, &str, u64)| {
        let context = "a\u{9b}31m\u{202e}b";
        let mut record = serde_json::json!({"type": kind, "value": value, "context": context});
        if days > 0 {
            record["age"] = serde_json::json!({ "updated": 60, "last_seen": days * 86_400 });
        } else {
            // Nobody says when it was seen last.
            record["first_seen"] = text::instant(Clock::system().now() - 60_000).into();
        }
        format!("{record}\n")
    };
    values.map(line).concat()
}

fn search_tells_hashes_and_times_apart() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(&records_of_kinds(), &[], "    ttl: {ip: none, hash: none, email: none}\n")?;
    place.run(&["run", "--once"])?.exits(0)?;
    for (kind, values) in [
        ("md5", vec!["md5"]),
        ("sha1", vec!["sha1"]),
        ("sha256", vec!["sha256"]),
        ("SHA-512", vec!["sha512"]),
        ("hash", vec!["sha256", "sha512", "md5", "sha1"]),
        ("file", vec!["sha256", "sha512", "md5", "sha1"]),
        ("ip", vec!["ipv4", "ipv6"]),
        ("ipv6", vec!["ipv6"]),
        ("domain", vec!["domain"]),
        ("email-addr", vec!["email"]),
        ("cve", vec!["cve"]),
        ("technique", vec!["mitre_attack"]),
        ("mutex", vec![]),
    ] {
        let found = place.run(&["search", "--type", kind, "--json"])?.exits(0)?;
        ensure(!found.out.contains(['\u{9b}', '\u{202e}']), "a terminal gets no control characters")?;
        let found: Vec<_> = found.json_lines()?.iter().map(|d| d["socdefenders"]["ioc"]["type"].clone()).collect();
        ensure(found == values, &format!("{kind}: {found:?}"))?;
    }
    place.run(&["search", "--type", "sha"])?.exits(2)?.says("sha256")?;
    // The newest by what the column shows; what has no time last.
    let table = place.run(&["search"])?.exits(0)?.prints("LAST SEEN")?.prints("T1059.001")?;
    let is_time = |word: &&str| word.len() >= 20 && word.starts_with("20") && word.ends_with('Z');
    let times: Vec<&str> = table.out.split_whitespace().filter(is_time).collect();
    ensure(times.len() == 9 && times.is_sorted_by(|a, b| a >= b), &format!("{times:?}"))?;
    ensure(times.iter().all(|time| !time.contains('[')), "times are no addresses")?;
    for (arguments, count) in [
        (&["--since", "132h"][..], "6\n"),
        (&["--since", "132h", "--type", "hash"], "1\n"),
        (&["--since", "1h", "--by", "observed"], "10\n"),
        (&["--since", "1h"], "1\n"),
    ] {
        let ran = place.run(&[&["search", "--count"], arguments].concat())?.exits(0)?;
        ensure(ran.out == count, &format!("{}: {}", ran.what, ran.out))?;
    }
    place.run(&["search", "--by", "observed"])?.exits(0)?.prints("OBSERVED")?;
    Ok(())
}

fn check() -> Outcome {
    let place = Place::new()?;
    let feed = place.feed(RECORDS, &["--key", "sk_live_right", "--plan", "free"], "    api_key: sk_live_right\n")?;
    let good = place.run(&["check"])?.exits(0)?;
    for part in ["ok    feed connection", "ok    feed clock", "ok    feed requests: At least 96", "ok    output state"]
    {
        ensure(good.out.contains(part), &format!("no `{part}` in\n{}", good.out))?;
    }
    ensure(!place.path("tipline.db").exists(), "checking stores nothing")?;
    let yaml = fs::read_to_string(place.path("tipline.yml"))?;
    place.write("tipline.yml", &yaml.replace("sk_live_right", "sk_live_canary"))?;
    let bad = place.run(&["check", "--json"])?.exits(1)?;
    ensure(bad.json_lines()?.iter().any(|f| f["level"] == "fail" && f["subject"] == "credential"), &bad.out)?;
    ensure(!bad.out.contains("canary") && !bad.err.contains("canary"), "the key was printed")?;
    // Folders that nobody may write to, not even the superuser.
    place.write("tipline.yml", &format!("{yaml}state_dir: /proc/self/tipline\n"))?;
    place.run(&["check"])?.exits(1)?.prints("fail  output state_dir: `state_dir` /proc/self/tipline cannot be used")?;
    place.write("tipline.yml", &format!("{yaml}output: {{sqlite: {{path: /proc/self/tipline.db}}}}\n"))?;
    place.run(&["check"])?.exits(1)?.prints("fail  output state: /proc/self/tipline.db cannot be made")?;
    place.write("tipline.yml", &yaml)?;
    drop(feed);
    let gone = place.run(&["check"])?.exits(1)?.prints("fail  feed connection")?;
    ensure(!gone.out.contains("[.]"), "our own addresses can be copied")?;
    Ok(())
}

fn setup_dry_run() -> Outcome {
    let place = Place::new()?;
    place.run(&["setup"])?.exits(0)?.prints("needs no set-up")?;
    place.write("es.yml", "output:\n  elasticsearch:\n    hosts: [http://127.0.0.1:9]\n")?;
    place
        .run(&["setup", "-c", "es.yml", "--dry-run"])?
        .exits(0)?
        .prints("PUT /_index_template/")?
        .prints("logs-ti.socdefenders-default")?
        .prints("logs-ti_socdefenders_latest.ioc")?;
    place.run(&["setup", "-c", "es.yml"])?.exits(1)?.says("127.0.0.1:9")?;
    Ok(())
}

fn rejects() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    place.run(&["rejects", "list"])?.exits(0)?.prints("not a hash")?.prints("1 of 1")?;
    let listed = place.run(&["rejects", "list", "--json"])?.exits(0)?.json_lines()?;
    let number = listed[0]["id"].to_string();
    place.run(&["rejects", "retry", &number])?.exits(1)?.prints("settled 0, refused again 1")?;
    place.run(&["rejects", "retry", "99"])?.exits(2)?.says("no reject 99")?;

    // One that cannot be tried costs itself, and is told.
    let yaml = fs::read_to_string(place.path("tipline.yml"))?;
    place.write("tipline.yml", &yaml.replace("id: feed", "id: another"))?;
    place.run(&["rejects", "retry", "--all"])?.exits(1)?.prints("failed 1\n")?.prints("`feed` is not configured")?;
    place.write("tipline.yml", &yaml)?;
    place.run(&["rejects", "list", "--kind", "quarantined"])?.exits(0)?.prints("There are no rejects.")?;
    place.run(&["rejects", "drop", "99"])?.exits(1)?.prints("dropped 0")?;
    place.run(&["rejects", "drop", "--all"])?.exits(0)?.prints("dropped 1")?;
    place.run(&["rejects", "list"])?.exits(0)?.prints("There are no rejects.")?;
    Ok(())
}

/// More than are tried at once: after a changed setting some are mapped, and the others stay as they were.
fn rejects_together() -> Outcome {
    let place = Place::new()?;
    let record = |n: usize| match n % 3 {
        0 => format!("{{\"type\":\"sha256\",\"value\":\"no hash {n}\"}}\n"),
        _ => format!("{{\"type\":\"domain\",\"value\":\"no name {n}\"}}\n"),
    };
    let records: String = (0..450).map(record).collect();
    let _feed = place.feed(&records, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?.prints("read 450 = mapped 0 + rejected 450")?;
    place
        .run(&["rejects", "retry", "--all"])?
        .exits(1)?
        .prints("retried 450: settled 0, refused again 450, cut and not retried 0")?;
    let listed = place.run(&["rejects", "list", "--limit", "1000", "--json"])?.exits(0)?.json_lines()?;
    // The feed showed each of them once; a retry is no showing.
    ensure(listed.len() == 450 && listed.iter().all(|reject| reject["count"] == 1), "each stays as it was shown")?;
    // Types that are not wanted are skipped, which settles them.
    let yaml = fs::read_to_string(place.path("tipline.yml"))?;
    place.write("tipline.yml", &format!("{yaml}    types: [domain]\n"))?;
    let retried = place.run(&["rejects", "retry", "--all"])?.exits(1)?;
    let left = place.run(&["rejects", "list", "--limit", "1000", "--json"])?.exits(0)?.json_lines()?.len();
    retried.prints(&format!("retried 450: settled {}, refused again {left},", 450 - left))?;
    Ok(())
}

fn backfill_keeps_the_checkpoint() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    place.run(&["backfill", "--since", "7d"])?.exits(0)?.prints("feed: read 4 =")?.prints("indexed 2")?;
    place.run(&["state", "show"])?.exits(0)?.prints("feed: none")?;
    place.run(&["search", "--count"])?.exits(0)?.prints("2\n")?;
    place.run(&["backfill", "--since", "9999-01-01"])?.exits(1)?.says("not in the past")?;
    Ok(())
}

fn backfill_tells_of_every_input() -> Outcome {
    let place = Place::new()?;
    place.write("records.jsonl", RECORDS)?;
    let refuses = MockFeed::start(&place, &["--forbidden"])?;
    let _feed = place.feed(RECORDS, &[], "")?;
    let yaml = fs::read_to_string(place.path("tipline.yml"))?;
    let first = format!("inputs:\n  - id: first\n    url: {}\n    feed: {{name: SOC Defenders}}\n", refuses.url);
    place.write("tipline.yml", &yaml.replacen("inputs:\n", &first, 1))?;
    place
        .run(&["backfill", "--since", "7d"])?
        .exits(1)?
        .prints("first: failed: ")?
        .prints("feed: read 4 = mapped 2 + rejected 1 + skipped 1\n")?;
    place.write("tipline.yml", &format!("{yaml}    types: [nonsense]\n"))?;
    place.run(&["backfill", "--since", "7d"])?.exits(2)?.says("nonsense")?;
    place.write("tipline.yml", &format!("{yaml}    limit: 1\n    max_pages: 1\n"))?;
    place
        .run(&["backfill", "--since", "7d"])?
        .exits(1)?
        .prints("feed: read 1 =")?
        .prints("raise it and start again")?;
    Ok(())
}

fn verify_names_what_is_missing() -> Outcome {
    let place = Place::new()?;
    let feed = place.feed(RECORDS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    place
        .run(&["verify"])?
        .exits(0)?
        .prints("shows 2 claims; in the store 0 are missing, 0 are older, 0 are not live")?;
    drop(feed);
    let more = format!("{RECORDS}{}\n", r#"{"type":"domain","value":"new.example"}"#);
    let fewer: String = more.lines().skip(1).map(|line| format!("{line}\n")).collect();
    let _changed = place.feed(&fewer, &[], "")?;
    place.run(&["verify"])?.exits(1)?.prints("  missing: ")?.prints("  not shown: ")?;
    let found = &place.run(&["verify", "--json"])?.exits(1)?.json_lines()?[0];
    ensure(found["missing"].as_array().is_some_and(|ids| ids.len() == 1), &found.to_string())?;
    let count = place.run(&["search", "--count"])?.exits(0)?;
    ensure(count.out == "2\n", "verifying stores nothing")
}

fn state() -> Outcome {
    let place = Place::new()?;
    let _feed = place.feed(RECORDS, &[], "")?;
    place.run(&["run", "--once"])?.exits(0)?;
    place.run(&["state", "show"])?.exits(0)?.prints("feed: {")?;
    let shown = place.run(&["state", "show", "feed", "--json"])?.exits(0)?.json_lines()?;
    ensure(shown[0]["state"].is_object(), "the state as JSON")?;
    place.run(&["state", "show", "other"])?.exits(1)?.says("no input other")?;
    place.run(&["state", "reset", "other"])?.exits(1)?.says("no input other")?;
    place.run(&["state", "reset", "feed"])?.exits(0)?.prints("forgotten")?;
    place.run(&["state", "reset", "feed"])?.exits(0)?.prints("there was no checkpoint")?;
    place.run(&["run", "--once"])?.exits(0)?.prints("feed: read 4 =")?;
    Ok(())
}
