//! Guests of users' own: run from a file that the configuration pins, held to their limits, and what becomes of a page
//! on which one traps.
//!
//! The guest is the obedient one of `tests/guests`, built here as its author would build it. It maps pages of its own kind
//! and does what they say; without its feature `mended` an umlaut traps it.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;
use tipline::clock::{Clock, Millis};
use tipline::config::{Config, Input};
use tipline::observer::Observer;
use tipline::pipeline::Pipeline;
use tipline::poll::trapped::MAX_TRAPS;
use tipline::poll::{MAX_RECALLS, PollError, PollReport};
use tipline::sandbox::{CallLimits, Exceeded, Failure, Guest, Profile, SandboxError};
use tipline::state::{Ledger, RejectFilter};
use tokio_util::sync::CancellationToken;

use crate::builds::{built, obedient, repository, sha256, tested};
use crate::contract::released;
use crate::fake_elasticsearch::FakeElasticsearch;
use crate::support::pages::Pages;
use crate::support::{Documents, HandClock, Outcome, Ran, compiled, in_sqlite, tipline, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("guests::one_of_ones_own_runs_from_its_file", from_its_file),
        trial("guests::a_guest_gets_its_settings_and_no_secret", settings),
        trial("guests::a_file_without_its_sum_is_refused", sums),
        trial("guests::a_file_that_is_no_guest_is_refused", no_guest),
        trial("guests::what_a_guest_says_to_records_alone_is_checked", records_alone),
        trial("guests::inputs_with_one_file_share_its_code", shared),
        trial("guests::each_limit_is_a_setting", limits),
        trial("guests::a_limit_holds_in_a_run_of_the_program", limit_of_a_run),
        trial("guests::a_trap_commits_nothing_and_keeps_its_page", trap),
        trial("guests::a_page_that_changed_is_mapped_by_a_fresh_instance", fresh_instance),
        trial("guests::three_traps_in_a_row_pause_an_input", pause),
        trial("guests::a_good_poll_forgets_the_traps_before_it", good_poll),
        trial("guests::a_replaced_guest_goes_on_and_loses_nothing", replaced),
        trial("guests::its_fields_are_in_the_template", fields),
        trial("guests::every_command_runs_the_inputs_own_guest", commands),
        trial("guests::an_exclusion_leaves_other_guests_alone", exclusion),
        trial("guests::a_request_with_headers_and_a_body_reaches_the_feed_and_its_answer_comes_back", post),
        trial("guests::a_request_that_sets_what_is_the_hosts_is_not_sent", forbidden),
        trial("guests::bytes_come_through_as_they_are", bytes),
        trial("guests::heads_that_do_not_fit_cost_their_page_and_commit_nothing", heads),
        trial("guests::rows_are_committed_with_their_state_and_recalled", rows),
        trial("guests::rows_of_a_page_that_was_not_delivered_are_forgotten", forgotten_rows),
        trial("guests::a_poll_that_leaves_no_trace_has_its_rows_in_memory", untraced_rows),
        trial("guests::rows_are_asked_for_so_often_and_for_a_response", questions),
        trial("guests::every_released_contract_is_still_run", every_release),
        trial("guests::a_new_guest_builds_and_runs", new_guest),
        trial("guests::the_example_of_the_guide_runs", threatfox),
        trial("guests::the_guide_is_followed_to_the_letter", guide),
        Trial::test("guests::a_new_guest_has_the_name_of_its_folder", new_name),
    ]
}

/// A feed, a guest in a file, and the folder with the configuration.
struct Stand {
    folder: TempDir,
    hand: HandClock,
    feed: Pages,
    /// Further lines of the input.
    input: String,
    /// In the place of SQLite.
    output: Option<String>,
}

impl Stand {
    async fn new(guest: &[u8], pages: &[(&str, Value)]) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("state"))?;
        std::os::unix::fs::symlink(compiled()?, folder.path().join("state/cache"))?;
        let pages: Vec<_> = pages.iter().map(|(target, page)| (*target, page.to_string())).collect();
        let feed = Pages::start(&pages).await?;
        let stand = Self { folder, hand: HandClock::default(), feed, input: String::new(), output: None };
        stand.replace(guest)?;
        Ok(stand)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts another file in the guest's place; the next configuration pins it.
    fn replace(&self, guest: &[u8]) -> Outcome {
        Ok(fs::write(self.path("guest.wasm"), guest)?)
    }

    fn configure(&self) -> Outcome {
        let sum = sha256(&fs::read(self.path("guest.wasm"))?);
        self.configure_with(&format!("    type: ./guest.wasm\n    sha256: {sum}\n"))
    }

    fn configure_with(&self, kind: &str) -> Outcome {
        let more: String = self.input.lines().map(|line| format!("    {line}\n")).collect();
        let output = self.output.as_deref().unwrap_or("sqlite: {path: tipline.db}");
        let url = &self.feed.url;
        let text = format!(
            "inputs:\n  - id: feed\n{kind}    url: {url}\n    interval: 10s\n{more}output:\n  {output}\nstate_dir: state\n"
        );
        Ok(fs::write(self.path("tipline.yml"), text)?)
    }

    fn config(&self) -> Result<Config, Failed> {
        self.configure()?;
        crate::support::schema::load(&self.path("tipline.yml"))
    }

    async fn open(&self, observer: Arc<dyn Observer>) -> Result<Pipeline, Failed> {
        Ok(Pipeline::open(&self.config()?, self.hand.clock(), observer).await?)
    }

    async fn poll(&self) -> Result<Result<PollReport, PollError>, Failed> {
        poll(&self.open(Arc::new(())).await?).await
    }

    async fn program(&self, arguments: &'static [&'static str]) -> Result<Ran, Failed> {
        let folder = self.folder.path().to_owned();
        tokio::task::spawn_blocking(move || tipline(&folder, arguments)).await?
    }

    fn ledger(&self) -> Result<Ledger, Failed> {
        Ok(Ledger::read(&self.path("tipline.db"))?)
    }

    /// Where the state lies, with any output.
    fn ledger_of_output(&self) -> Result<Ledger, Failed> {
        Ok(Ledger::read(&crate::support::schema::load(&self.path("tipline.yml"))?.ledger_path())?)
    }

    async fn stored(&self) -> Result<Documents, Failed> {
        in_sqlite(self.ledger()?).await
    }

    /// The identities stored, in their order.
    async fn names(&self) -> Result<Vec<String>, Failed> {
        Ok(self.stored().await?.into_keys().collect())
    }

    /// The pages that are kept, in the order of time.
    fn kept(&self) -> Result<Vec<PathBuf>, Failed> {
        let folder = self.path("state/trapped/feed");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut files: Vec<_> = fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
        files.sort();
        Ok(files)
    }
}

/// Polls the only input once.
async fn poll(pipeline: &Pipeline) -> Result<Result<PollReport, PollError>, Failed> {
    let mut report = pipeline.run_once(&CancellationToken::new()).await;
    Ok(report.inputs.pop().ok_or("no input was polled")?.poll)
}

fn page(values: &[&str]) -> Value {
    json!({ "values": values })
}

fn page_before(values: &[&str], next: &str) -> Value {
    json!({ "values": values, "next": next })
}

/// Three pages, of which the second traps a guest with its fault.
fn pages_with_an_umlaut() -> [(&'static str, Value); 3] {
    [
        ("/1", page_before(&["one.example", "two.example"], "/2")),
        ("/2", page_before(&["drü.example", "four.example"], "/3")),
        ("/3", page(&["five.example"])),
    ]
}

async fn from_its_file() -> Outcome {
    let stand =
        Stand::new(obedient(false)?, &[("/1", page_before(&["a.example"], "/2")), ("/2", page(&["b.example"]))])
            .await?;
    stand.configure()?;
    let checked = stand.program(&["check"]).await?;
    assert!(checked.out.contains("guest.wasm (sha256 ") && checked.out.contains("in the sandbox"), "{checked:?}");
    assert_eq!(stand.feed.requests(), ["/1"], "a check stores nothing and needs one page");
    let ran = stand.program(&["run", "--once"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("feed: read 2 = mapped 2 + rejected 0 + skipped 0"), "{ran:?}");
    assert_eq!(stand.names().await?, ["a.example", "b.example"]);
    assert_eq!(stand.ledger()?.checkpoint("feed")?.as_deref(), Some("/1"), "the guest's own state");
    let found = stand.program(&["search", "b.example", "--json"]).await?;
    assert!(found.out.contains(r#""mood":"fine""#), "{found:?}");
    Ok(())
}

async fn settings() -> Outcome {
    let mut stand = Stand::new(obedient(false)?, &[("/1", page(&["a.example"]))]).await?;
    fs::write(stand.path("list.txt"), "c.example # why\n")?;
    // What is near to one of the host's own keys is a guest's own business here.
    stand.input =
        "api_key: sk_canary\nintervals: [1]\ntransport: {kind: pigeon}\nexclude: [b.example, \"file:list.txt\"]\n\
                   sandbox: {fuel: 1000000000}\nmax_pages: 7\nhttp: {timeout: 9s}"
            .to_owned();
    let report = stand.poll().await??;
    let [note] = report.notes.as_slice() else { return Err(format!("{:?}", report.notes).into()) };
    let given: Value = serde_json::from_str(&note.text)?;
    let expected = json!({
        "url": stand.feed.url.as_str(), "intervals": [1], "transport": { "kind": "pigeon" },
        "exclude": ["b.example", "c.example"],
    });
    assert_eq!(given, expected);
    assert_eq!(stand.feed.authorization().as_deref(), Some("Bearer sk_canary"), "the host adds it");
    Ok(())
}

async fn sums() -> Outcome {
    let stand = Stand::new(obedient(false)?, &[("/1", page(&["a.example"]))]).await?;
    let sum = sha256(obedient(false)?);
    let other = "a7".repeat(32);
    for (kind, parts) in [
        (
            "type: ./guest.wasm\n".to_owned(),
            vec!["`inputs[0].sha256` is missing".to_owned(), format!("`sha256: {sum}`")],
        ),
        (
            format!("type: ./guest.wasm\n    sha256: {other}\n"),
            vec![format!("is {other}, but"), format!("has {sum}"), "If you replaced the file".to_owned()],
        ),
        (
            "type: ./guest.wasm\n    sha256: secret\n".to_owned(),
            vec!["expected 64 hexadecimal digits".to_owned(), sum.clone()],
        ),
        (format!("type: ./none.wasm\n    sha256: {sum}\n"), vec!["none.wasm, which cannot be read".to_owned()]),
    ] {
        stand.configure_with(&format!("    {kind}"))?;
        for arguments in [&["run", "--once"][..], &["check"]] {
            let ran = stand.program(if arguments.len() > 1 { &["run", "--once"] } else { &["check"] }).await?;
            assert_eq!(ran.code, Some(2), "{ran:?}");
            assert!(ran.err.contains("tipline.yml:"), "{ran:?}");
            for part in &parts {
                assert!(ran.err.contains(part.as_str()), "{part}: {ran:?}");
            }
        }
    }
    assert_eq!(stand.feed.requests(), Vec::<String>::new(), "nothing was asked for");
    // Any way of writing the digits will do, and a path is relative to the configuration.
    stand.configure_with(&format!("    type: guest.wasm\n    sha256: {}\n", sum.to_uppercase()))?;
    let config = crate::support::schema::load(&stand.path("tipline.yml"))?;
    let file = config.inputs[0].guest_file.as_ref().ok_or("no guest")?;
    assert_eq!((&file.sha256, file.path.as_path()), (&sum, stand.path("guest.wasm").as_path()));
    Ok(())
}

async fn no_guest() -> Outcome {
    // (component)
    let empty: &[u8] = b"\0asm\x0d\0\x01\0";
    for (file, part) in [(&b"text"[..], "cannot be loaded"), (empty, "cannot be loaded")] {
        let stand = Stand::new(file, &[("/1", page(&[]))]).await?;
        stand.configure()?;
        let ran = stand.program(&["run", "--once"]).await?;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("Input feed, guest ") && ran.err.contains(part), "{ran:?}");
        let checked = stand.program(&["check"]).await?;
        assert_eq!(checked.code, Some(1), "{checked:?}");
        assert!(checked.out.contains("fail  feed guest: Input feed"), "{checked:?}");
    }
    Ok(())
}

/// `map`, `eval` and `rejects retry` call a guest's other function, which may refuse or trap where a poll goes well.
async fn records_alone() -> Outcome {
    for (setting, expected) in [
        ("", None),
        ("alone: refused", Some(("fail  feed settings: ", "`alone` lets nothing be mapped outside of polls"))),
        ("alone: trapped", Some(("fail  feed guest: ", "trapped"))),
    ] {
        let mut stand = Stand::new(obedient(false)?, &[("/1", page(&["a.example"]))]).await?;
        stand.input = setting.to_owned();
        stand.configure()?;
        let checked = stand.program(&["check"]).await?;
        assert_eq!(checked.code, Some(i32::from(expected.is_some())), "{checked:?}");
        let faults: Vec<_> = checked.out.lines().filter(|line| line.starts_with("fail ")).collect();
        assert_eq!(faults.len(), usize::from(expected.is_some()), "{checked:?}");
        if let Some((begins, part)) = expected {
            assert!(faults[0].starts_with(begins) && faults[0].contains(part), "{faults:?}");
        }
        assert!(checked.out.contains("guest.wasm (sha256 "), "the rest is checked, too: {checked:?}");
    }
    Ok(())
}

async fn shared() -> Outcome {
    let stand = Stand::new(obedient(false)?, &[]).await?;
    let mut config = stand.config()?;
    let one = config.inputs.remove(0);
    let input = |id: &str| Input { id: id.to_owned(), ..one.clone() };
    let mut roomy = input("roomy");
    if let Some(file) = &mut roomy.guest_file {
        file.limits.memory_bytes *= 2;
    }
    let built_in = Input { guest_file: None, ..input("built-in") };
    config.inputs = vec![input("one"), input("two"), roomy, built_in];
    let pipeline = Pipeline::open(&config, Clock::system(), Arc::new(())).await?;
    let [one, two, roomy, built_in] = pipeline.pollers.as_slice() else { return Err("not four inputs".into()) };
    assert!(Arc::ptr_eq(&one.guest, &two.guest));
    assert!(!Arc::ptr_eq(&one.guest, &roomy.guest), "other limits are another sandbox");
    assert_eq!(one.guest.sha256(), roomy.guest.sha256());
    assert_ne!(one.guest.sha256(), built_in.guest.sha256());
    Ok(())
}

async fn limits() -> Outcome {
    type IsExpected = fn(&Exceeded) -> bool;
    let cases: [(Value, &str, &str, IsExpected); 3] = [
        (json!({ "spin": 1_000_000 }), "fuel: 100000000", "fuel: 1000000", |e| {
            matches!(e, Exceeded::Fuel { limit: 1_000_000 })
        }),
        (json!({ "grow": 16 << 20 }), "memory: 32MiB", "memory: 8MiB", |e| {
            matches!(e, Exceeded::Memory { limit: 8_388_608, .. })
        }),
        (json!({ "shout": 1 << 20 }), "output: 4MiB", "output: 64KiB", |e| {
            matches!(e, Exceeded::Output { limit: 65_536 })
        }),
    ];
    for (what, kept, exceeded, is_expected) in cases {
        let mut stand = Stand::new(obedient(false)?, &[("/1", json!({ "values": ["a.example"], "do": what }))]).await?;
        stand.input = format!("sandbox: {{{exceeded}}}");
        match stand.poll().await? {
            Err(PollError::Trapped(trapped)) => {
                assert!(matches!(&trapped.reason, SandboxError::Exceeded(e) if is_expected(e)), "{trapped}");
            }
            other => return Err(format!("{exceeded}: {other:?}").into()),
        }
        assert_eq!(stand.names().await?, Vec::<String>::new(), "{exceeded}");
        stand.input = format!("sandbox: {{{kept}}}");
        stand.poll().await??;
        assert_eq!(stand.names().await?, ["a.example"], "{kept}");
    }
    Ok(())
}

async fn limit_of_a_run() -> Outcome {
    let endless = json!({ "values": ["a.example"], "do": { "spin": u64::MAX } });
    let mut stand = Stand::new(obedient(false)?, &[("/1", endless)]).await?;
    stand.input = "sandbox: {fuel: 5000000}".to_owned();
    stand.configure()?;
    let ran = stand.program(&["run", "--once"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("it used up its 5000000 units of fuel without an answer"), "{ran:?}");
    let status = stand.program(&["status"]).await?;
    assert!(status.out.contains("failing") && status.out.contains("units of fuel"), "{status:?}");
    Ok(())
}

async fn trap() -> Outcome {
    let mut stand = Stand::new(obedient(false)?, &pages_with_an_umlaut()).await?;
    stand.input = "api_key: sk_canary_of_this_test".to_owned();
    let before = stand.hand.clock().now();
    let told = match stand.poll().await? {
        Err(PollError::Trapped(trapped)) => trapped.to_string(),
        other => return Err(format!("{other:?}").into()),
    };
    // What came before that page is committed, and nothing of it.
    let ledger = stand.ledger()?;
    assert_eq!(ledger.checkpoint("feed")?.as_deref(), Some("/2"));
    let counts = ledger.counts("feed")?;
    assert!(counts.read == 2 && counts.indexed == 2 && counts.adds_up(), "{counts:?}");
    assert_eq!(stand.names().await?, ["one.example", "two.example"]);
    assert_eq!(ledger.status("feed")?.last_error.map(|said| said.plain()), Some(told.clone()));

    let [file] = stand.kept()?.try_into().map_err(|files| format!("{files:?}"))?;
    assert!(told.contains("trapped") && told.contains(&file.display().to_string()), "{told}");
    let text = fs::read_to_string(&file)?;
    assert!(!text.contains("sk_canary_of_this_test"), "{text}");
    let har: Value = serde_json::from_str(&text)?;
    let entry = &har["log"]["entries"][0];
    assert_eq!(entry["request"]["url"], format!("{}2", stand.feed.url));
    let [_, (_, second), _] = pages_with_an_umlaut();
    assert_eq!(entry["response"]["content"]["text"], second.to_string());
    let own = &har["log"]["_tipline"];
    assert_eq!(own["state"], "/2");
    assert!(own["began"].as_u64().is_some_and(|now| now >= before), "{own}");
    let comment = har["log"]["comment"].as_str().unwrap_or_default();
    assert!(comment.contains(&sha256(obedient(false)?)) && comment.contains("trapped"), "{comment}");
    Ok(())
}

async fn fresh_instance() -> Outcome {
    let stand = Stand::new(obedient(false)?, &pages_with_an_umlaut()).await?;
    let pipeline = stand.open(Arc::new(())).await?;
    assert!(matches!(poll(&pipeline).await?, Err(PollError::Trapped(_))));
    stand.feed.put("/2", page_before(&["three.example"], "/3").to_string());
    let report = poll(&pipeline).await??;
    assert_eq!(report.counts.read, 2, "it went on at the page that trapped it");
    assert_eq!(stand.names().await?, ["five.example", "one.example", "three.example", "two.example"]);
    Ok(())
}

/// Stops the run when the input is paused, and remembers how polls ended.
struct Watch {
    stop: CancellationToken,
    ends: Mutex<Vec<String>>,
}

impl Observer for Watch {
    fn polled(&self, _: &Input, result: &Result<PollReport, PollError>, _: Millis) {
        let end = match result {
            Ok(_) => "good",
            Err(PollError::Trapped(_)) => "trapped",
            Err(PollError::Paused(_)) => "paused",
            Err(_) => "failed",
        };
        self.ends.lock().expect("no panic while locked").push(end.to_owned());
        if end == "paused" {
            self.stop.cancel();
        }
    }
}

impl Watch {
    fn new() -> Arc<Self> {
        Arc::new(Self { stop: CancellationToken::new(), ends: Mutex::default() })
    }

    fn ends(&self) -> Vec<String> {
        self.ends.lock().expect("no panic while locked").clone()
    }
}

async fn pause() -> Outcome {
    let stand = Stand::new(obedient(false)?, &pages_with_an_umlaut()).await?;
    let watch = Watch::new();
    let pipeline = stand.open(watch.clone()).await?;
    // All but the last by hand, so that no interval has to pass.
    for _ in 1..MAX_TRAPS {
        assert!(matches!(poll(&pipeline).await?, Err(PollError::Trapped(_))));
    }
    pipeline.run(&watch.stop).await?;
    assert_eq!(watch.ends(), ["trapped", "trapped", "paused"]);
    let status = stand.ledger()?.status("feed")?;
    let why = status.degraded.ok_or("the status does not say it")?;
    let why = why.plain();
    assert!(why.contains("no answer in 3 polls in a row") && why.contains("start Tipline again"), "{why}");
    assert_eq!(stand.kept()?.len(), 3);
    assert_eq!(stand.ledger()?.checkpoint("feed")?.as_deref(), Some("/2"), "it stands where it stood");
    drop(pipeline);
    let shown = stand.program(&["status"]).await?;
    assert!(shown.out.contains("degraded"), "{shown:?}");
    // A start polls again, and a good poll takes the word back.
    stand.feed.put("/2", page_before(&["three.example"], "/3").to_string());
    stand.poll().await??;
    assert_eq!(stand.ledger()?.status("feed")?.degraded, None);
    assert_eq!(stand.names().await?, ["five.example", "one.example", "three.example", "two.example"]);
    Ok(())
}

async fn good_poll() -> Outcome {
    let stand = Stand::new(obedient(false)?, &[]).await?;
    let watch = Watch::new();
    let pipeline = stand.open(watch.clone()).await?;
    let (bad, good) = (page(&["drü.example"]).to_string(), page(&["d.example"]).to_string());
    // A poll that fails for another reason, as this page is none, neither counts nor forgives.
    for text in [&bad, &bad, &good, &bad, "no page", &bad, "no page", &bad] {
        stand.feed.put("/1", text.to_owned());
        // How it ended is what the observer was told.
        let _ = poll(&pipeline).await?;
    }
    assert_eq!(watch.ends(), ["trapped", "trapped", "good", "trapped", "failed", "trapped", "failed", "paused"]);
    Ok(())
}

async fn replaced() -> Outcome {
    let stand = Stand::new(obedient(false)?, &pages_with_an_umlaut()).await?;
    stand.configure()?;
    let ran = stand.program(&["run", "--once"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("feed: read 2 = ") && ran.out.contains("trapped"), "{ran:?}");
    assert_eq!(stand.names().await?, ["one.example", "two.example"]);

    // The new file under the old sum does not run; under its own it goes on from the committed state.
    stand.replace(obedient(true)?)?;
    let ran = stand.program(&["run", "--once"]).await?;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    stand.configure()?;
    let ran = stand.program(&["run", "--once"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("feed: read 3 = mapped 3 "), "{ran:?}");
    let all = ["drü.example", "five.example", "four.example", "one.example", "two.example"];
    assert_eq!(stand.names().await?, all, "nothing is lost");
    assert_eq!(stand.feed.requests(), ["/1", "/2", "/2", "/3"], "and only the trapped page was asked for again");
    let counts = stand.ledger()?.counts("feed")?;
    assert!(counts.read == 5 && counts.adds_up(), "{counts:?}");
    Ok(())
}

async fn fields() -> Outcome {
    let fake = FakeElasticsearch::start().await;
    let mut stand = Stand::new(obedient(false)?, &[("/1", page(&["a.example"]))]).await?;
    stand.output = Some(format!("elasticsearch:\n    hosts: [\"{}\"]", fake.url));
    stand.configure()?;
    let ran = stand.program(&["setup", "--dry-run"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("\"mood\"") && ran.out.contains("\"registered_domain\""), "its own beside ECS's: {ran:?}");
    stand.poll().await??;
    assert_eq!(fake.documents().into_keys().collect::<Vec<_>>(), ["a.example"]);
    Ok(())
}

async fn commands() -> Outcome {
    let stand = Stand::new(obedient(false)?, &[("/1", page(&["a.example", "b.example"]))]).await?;
    stand.configure()?;
    fs::write(stand.path("page.json"), page(&["mapped.example"]).to_string())?;
    let mapped = stand.program(&["map", "page.json", "-c", "tipline.yml"]).await?;
    assert!(mapped.code == Some(0) && mapped.out.contains("mapped.example"), "{mapped:?}");
    assert!(mapped.err.contains("read 1 = mapped 1"), "{mapped:?}");
    let ran = stand.program(&["backfill", "--since", "7d"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(stand.names().await?, ["a.example", "b.example"]);
    assert_eq!(stand.ledger()?.checkpoint("feed")?, None, "it stays where it is");
    let verified = stand.program(&["verify"]).await?;
    assert!(
        verified.code == Some(0) && verified.out.contains("in the store 0 are missing, 0 are older, 0 are not live"),
        "{verified:?}"
    );
    Ok(())
}

/// An `exclude:` of the built-in guest is asked of every guest; one that knows other records only is no fault.
async fn exclusion() -> Outcome {
    let stand = Stand::new(obedient(false)?, &[("/1", page(&["a.example"]))]).await?;
    let mut config = stand.config()?;
    let mut built_in = Input::new("built-in", stand.feed.url.clone());
    built_in.guest_config =
        json!({ "type": "socdefenders", "url": stand.feed.url.as_str(), "max_retries": 0, "exclude": ["a.example"] })
            .to_string();
    let mut own = config.inputs.remove(0);
    own.guest_config = json!({ "url": stand.feed.url.as_str(), "exclude": ["a.example"] }).to_string();
    config.inputs = vec![built_in, own];
    let pipeline = Pipeline::open(&config, stand.hand.clock(), Arc::new(())).await?;
    for _ in 0..2 {
        let report = pipeline.run_once(&CancellationToken::new()).await;
        let swept = report.sweep.ok_or("no sweep was due")??;
        assert_eq!(swept.excluded, 0);
        stand.hand.turn(Duration::from_secs(2 * 24 * 60 * 60));
    }
    let stored = stand.stored().await?;
    assert_eq!(stored["a.example"].pointer("/tipline/retired_at"), None, "{stored:?}");
    Ok(())
}

/// A page whose next request is this one.
fn page_before_asking(method: &str, headers: Value, body: Value) -> Value {
    let next = json!({ "method": method, "target": "/2", "headers": headers, "body": body });
    json!({ "values": ["a.example"], "next": next })
}

async fn post() -> Outcome {
    let headers = json!([["accept", "application/json"], ["content-type", "text/plain"], ["x-own", "a b;c=1"]]);
    let (first, last) = (page_before_asking("POST", headers, json!("what is new?")), page(&["b.example"]));
    let mut stand = Stand::new(obedient(false)?, &[("/1", first), ("/2", last)]).await?;
    stand.input = "api_key: sk_canary_of_this_test".to_owned();
    stand.configure()?;
    let recorded = stand.program(&["record", "--out", "poll.har"]).await?;
    assert_eq!(recorded.code, Some(0), "{recorded:?}");
    stand.poll().await??;
    assert_eq!(stand.names().await?, ["a.example", "b.example"]);
    let asked = stand.feed.asked();
    for posted in [&asked[1], &asked[3]] {
        assert_eq!((posted.method.as_str(), posted.target.as_str()), ("POST", "/2"));
        assert_eq!(posted.body, b"what is new?");
        let header = |name: &str| posted.headers.get(name).map(String::as_str);
        assert_eq!((header("content-type"), header("accept")), (Some("text/plain"), Some("application/json")));
        assert_eq!(header("x-own"), Some("a b;c=1"));
        assert_eq!(header("authorization"), Some("Bearer sk_canary_of_this_test"), "the host adds it");
    }
    // What was recorded is served again, to whoever asks the same.
    let text = fs::read_to_string(stand.path("poll.har"))?;
    assert!(!text.contains("sk_canary_of_this_test"), "{text}");
    let har: Value = serde_json::from_str(&text)?;
    let request = &har["log"]["entries"][1]["request"];
    assert_eq!((&request["method"], &request["postData"]["text"]), (&json!("POST"), &json!("what is new?")));
    assert_eq!(har["log"]["entries"][1]["response"]["content"]["text"], page(&["b.example"]).to_string());
    let evaluated = stand.program(&["eval", "poll.har", "--base", "guest.wasm", "--candidate", "guest.wasm"]).await?;
    assert_eq!(evaluated.code, Some(0), "{evaluated:?}");
    assert!(evaluated.out.contains("2 requests of 2 recorded ones, as with the base"), "{evaluated:?}");
    Ok(())
}

async fn forbidden() -> Outcome {
    let plain = json!([]);
    let of_the_host = [
        "authorization",
        "host",
        "cookie",
        "user-agent",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "X-Api-Key\r\nAuthorization",
    ];
    let mut cases: Vec<(Value, String)> = of_the_host
        .iter()
        .map(|name| {
            (page_before_asking("GET", json!([[name, "x"]]), Value::Null), format!("`{}", &name[..1].to_lowercase()))
        })
        .collect();
    for method in ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "post"] {
        cases.push((page_before_asking(method, plain.clone(), Value::Null), format!("`{method}`")));
    }
    cases.push((page_before_asking("GET", plain.clone(), json!("x")), "a GET with a body".to_owned()));
    let stand = Stand::new(obedient(false)?, &[("/2", page(&["b.example"]))]).await?;
    let pipeline = stand.open(Arc::new(())).await?;
    for (first, part) in cases {
        stand.feed.put("/1", first.to_string());
        match poll(&pipeline).await? {
            Err(PollError::Refused(text)) => {
                assert!(text.to_lowercase().contains(&part.to_lowercase()), "{part}: {text}");
                assert!(text.contains("fault of the guest"), "{text}");
            }
            other => return Err(format!("{first}: {other:?}").into()),
        }
        // It stands before the request that was refused; the next case begins anew.
        drop_state(&pipeline)?;
    }
    assert!(stand.feed.requests().iter().all(|target| target == "/1"), "none of them was sent");
    Ok(())
}

fn drop_state(pipeline: &Pipeline) -> Outcome {
    pipeline.ledger.reset("feed")?;
    Ok(())
}

async fn bytes() -> Outcome {
    let raw = b"\xff\x00 no text \xfe".to_vec();
    let stand = Stand::new(obedient(false)?, &[]).await?;
    stand.feed.put("/1", raw.clone());
    stand.configure()?;
    let recorded = stand.program(&["record", "--out", "poll.har"]).await?;
    assert_eq!(recorded.code, Some(0), "{recorded:?}");
    let har: Value = serde_json::from_str(&fs::read_to_string(stand.path("poll.har"))?)?;
    let content = &har["log"]["entries"][0]["response"]["content"];
    assert_eq!((&content["encoding"], &content["size"]), (&json!("base64"), &json!(raw.len())));
    stand.poll().await??;
    let kept = stand.ledger()?.rejects(&RejectFilter::default(), 10)?;
    let [reject] = kept.as_slice() else { return Err(format!("{kept:?}").into()) };
    assert_eq!((reject.code.as_str(), &reject.raw), ("no-text", &raw));
    // It is tried again with every byte it came with.
    let retried = stand.program(&["rejects", "retry", "--all"]).await?;
    assert!(retried.out.contains("settled 0, refused again 1"), "{retried:?}");
    let again = stand.ledger()?.rejects(&RejectFilter::default(), 10)?;
    assert!(again.len() == 1 && again[0].raw == raw && again[0].count == 1, "{again:?}");
    fs::write(stand.path("page.bin"), &raw)?;
    let mapped = stand.program(&["map", "page.bin", "-c", "tipline.yml", "--rejects", "out.jsonl"]).await?;
    assert_eq!(mapped.code, Some(0), "{mapped:?}");
    let line: Value = serde_json::from_str(&fs::read_to_string(stand.path("out.jsonl"))?)?;
    assert_eq!(line["raw_base64"], "/wAgbm8gdGV4dCD+");
    Ok(())
}

async fn heads() -> Outcome {
    let lie = json!({ "values": ["c.example"], "do": { "lie": true }, "next": "/3" });
    let pages = [("/1", page_before(&["a.example"], "/2")), ("/2", lie), ("/3", page(&["d.example"]))];
    let stand = Stand::new(obedient(false)?, &pages).await?;
    match stand.poll().await? {
        Err(PollError::Guest(Failure::Protocol(text))) => {
            assert!(text.contains("head 1 of 1") && text.contains("Nothing of this page was stored"), "{text}");
        }
        other => return Err(format!("{other:?}").into()),
    }
    assert_eq!(stand.names().await?, ["a.example"]);
    let ledger = stand.ledger()?;
    assert_eq!(ledger.checkpoint("feed")?.as_deref(), Some("/2"));
    assert!(ledger.counts("feed")?.adds_up() && ledger.counts("feed")?.read == 1);
    // The next poll goes on there, and loses nothing.
    stand.feed.put("/2", page_before(&["c.example"], "/3").to_string());
    stand.poll().await??;
    assert_eq!(stand.names().await?, ["a.example", "c.example", "d.example"]);
    Ok(())
}

/// A page that needs rows of these keys and leaves these.
fn page_with_rows(value: &str, recall: &[&str], remember: Value, next: Value) -> Value {
    json!({ "values": [value], "recall": recall, "remember": remember, "next": next })
}

/// What polls were given of their memory, page by page.
fn recalled(report: &PollReport) -> Vec<&str> {
    report.notes.iter().filter(|note| note.code == "recalled").map(|note| note.text.as_str()).collect()
}

async fn rows() -> Outcome {
    let pages = [
        ("/1", page_with_rows("a.example", &["x", "y"], json!({ "x": "1", "y": "1" }), json!("/2"))),
        ("/2", page_with_rows("b.example", &["y", "x", "z"], json!({ "x": "2", "y": "" }), json!("/3"))),
        ("/3", page_with_rows("c.example", &["x", "y"], json!({ "z": "3" }), Value::Null)),
    ];
    for output in [None, Some("ndjson: {path: out.ndjson}".to_owned())] {
        let mut stand = Stand::new(obedient(false)?, &pages).await?;
        stand.output = output;
        stand.configure()?;
        let report = stand.poll().await??;
        assert_eq!(recalled(&report), ["", "y=1 x=1", "x=2"], "of the page before, which is still under way");
        let report = stand.poll().await??;
        // The third page is given what the first one was, and a report has each note once.
        assert_eq!(recalled(&report), ["x=2", "y=1 x=1 z=3"], "and of the poll before");
        // Read again from its beginning, what is remembered is committed; the state is not.
        let before = stand.ledger_of_output()?.checkpoint("feed")?;
        let ran = stand.program(&["backfill", "--since", "7d"]).await?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let ledger = stand.ledger_of_output()?;
        assert_eq!((ledger.memory("feed")?.0, ledger.checkpoint("feed")?), (2, before));
        let row = |key: &str| ledger.recall("feed", &[key], usize::MAX).map(|(rows, _)| rows);
        assert_eq!(row("x")?[0].as_ref().map(|row| row.value.as_str()), Some("2"));
        assert_eq!(row("y")?[0], None);
        drop(ledger);
        let reset = stand.program(&["state", "reset", "feed"]).await?;
        assert_eq!(reset.code, Some(0), "{reset:?}");
        assert_eq!(stand.ledger_of_output()?.memory("feed")?, (0, 0));
        assert_eq!(recalled(&stand.poll().await??), ["", "y=1 x=1", "x=2"]);
    }
    Ok(())
}

async fn forgotten_rows() -> Outcome {
    let lie = json!({ "values": ["c.example"], "do": { "lie": true }, "remember": { "x": "2" }, "next": "/3" });
    let pages = [
        ("/1", page_with_rows("a.example", &[], json!({ "x": "1" }), json!("/2"))),
        ("/2", lie),
        ("/3", page_with_rows("d.example", &["x"], json!({ "x": "3" }), Value::Null)),
    ];
    let stand = Stand::new(obedient(false)?, &pages).await?;
    let pipeline = stand.open(Arc::new(())).await?;
    assert!(matches!(poll(&pipeline).await?, Err(PollError::Guest(Failure::Protocol(_)))));
    let row = |key: &str| pipeline.ledger.recall("feed", &[key], usize::MAX).map(|(rows, _)| rows);
    assert_eq!(row("x")?[0].as_ref().map(|row| row.value.as_str()), Some("1"), "with the state before that page");
    stand.feed.put("/2", page_with_rows("c.example", &["x"], json!({}), json!("/3")).to_string());
    assert_eq!(recalled(&poll(&pipeline).await??), ["x=1"], "each note once: both pages were given it");
    assert_eq!(row("x")?[0].as_ref().map(|row| row.value.as_str()), Some("3"));
    Ok(())
}

async fn untraced_rows() -> Outcome {
    let pages = [
        ("/1", page_with_rows("a.example", &["x"], json!({ "x": "1" }), json!("/2"))),
        ("/2", page_with_rows("b.example", &["x"], json!({}), Value::Null)),
    ];
    let stand = Stand::new(obedient(false)?, &pages).await?;
    stand.configure()?;
    for _ in 0..2 {
        let recorded = stand.program(&["record", "--out", "poll.har", "--force"]).await?;
        assert_eq!(recorded.code, Some(0), "{recorded:?}");
        let har: Value = serde_json::from_str(&fs::read_to_string(stand.path("poll.har"))?)?;
        let given: Vec<&Value> = (0..2).map(|n| &har["log"]["entries"][n]["_tiplineRecalled"]).collect();
        let row = json!([[{ "key": "x", "value": "1", "expires": null }]]);
        assert_eq!(given, [&json!([[]]), &row], "from an empty memory on, each time");
    }
    assert!(!stand.path("tipline.db").exists());
    let evaluated = stand.program(&["eval", "poll.har", "--base", "guest.wasm", "--candidate", "guest.wasm"]).await?;
    assert_eq!(evaluated.code, Some(0), "{evaluated:?}");
    assert!(evaluated.out.contains("2 requests of 2 recorded ones, as with the base"), "{evaluated:?}");
    let checked = stand.program(&["check"]).await?;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    Ok(())
}

async fn questions() -> Outcome {
    let asking = |what: Value| json!({ "values": ["a.example"], "recall": ["x"], "do": what });
    for (what, refusal) in [
        (json!({ "asks": MAX_RECALLS }), None),
        (json!({ "asks": MAX_RECALLS + 1 }), Some("again and again")),
        (json!({ "hurry": true }), Some("together with a batch")),
    ] {
        let stand = Stand::new(obedient(false)?, &[("/1", asking(what.clone()))]).await?;
        match (stand.poll().await?, refusal) {
            (Ok(_), None) => assert_eq!(stand.ledger()?.checkpoint("feed")?.as_deref(), Some("/1")),
            (Err(PollError::Guest(Failure::Protocol(text))), Some(part)) => {
                assert!(text.contains(part) && text.contains("fault of the guest"), "{text}");
                assert_eq!(stand.names().await?, Vec::<String>::new());
                assert_eq!(stand.ledger()?.checkpoint("feed")?, None, "a state given with a question is no checkpoint");
            }
            (other, _) => return Err(format!("{what}: {other:?}").into()),
        }
    }
    Ok(())
}

async fn every_release() -> Outcome {
    for version in released()? {
        let guest = built(&repository("tests/guests").join(&version), "")?;
        let stand = Stand::new(&guest, &pages_with_an_umlaut()).await?;
        let report = stand.poll().await??;
        assert_eq!((report.counts.read, report.counts.indexed), (5, 5), "{version}");
    }
    // Today's, which the next release freezes.
    let stand = Stand::new(obedient(true)?, &pages_with_an_umlaut()).await?;
    assert_eq!(stand.poll().await??.counts.indexed, 5);
    Ok(())
}

async fn new_guest() -> Outcome {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("new");
    // One of an earlier run.
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place)?;
    let ran = tipline(&place, &["guest", "new", "my-mapper"])?;
    assert!(ran.code == Some(0) && ran.out.contains("README.md"), "{ran:?}");
    let again = tipline(&place, &["guest", "new", "my-mapper"])?;
    assert!(again.code == Some(2) && again.err.contains("is not empty"), "{again:?}");
    let project = place.join("my-mapper");
    let guest = tokio::task::spawn_blocking(move || {
        tested(&project)?;
        built(&project, "")
    })
    .await??;

    let feed_page: Value = serde_json::from_str(include_str!("../host/template/tests/page.json"))?;
    let mut stand = Stand::new(&guest, &[("/indicators.json", feed_page)]).await?;
    let report = stand.poll().await??;
    assert_eq!((report.counts.read, report.counts.indexed, report.counts.rejected), (4, 2, 1));
    assert_eq!(report.counts.skipped, 1, "a loopback address");
    let stored = stand.stored().await?;
    let first = stored.values().find(|one| one["my_mapper"]["ioc"]["id"] == "1").ok_or("no first document")?;
    assert_eq!(first["threat"]["indicator"]["ip"], "192.0.2.1");
    // It is limited like any other, and refuses a setting that it does not know.
    stand.input = "sandbox: {memory: 1MiB}".to_owned();
    assert!(matches!(stand.poll().await?, Err(PollError::Trapped(t)) if matches!(t.reason, SandboxError::Exceeded(_))));
    stand.input = "expire_after_day: 3".to_owned();
    stand.configure()?;
    let ran = stand.program(&["run", "--once"]).await?;
    assert!(ran.code == Some(2) && ran.err.contains("unknown field `expire_after_day`"), "{ran:?}");
    // What is refused by the guest can be tried again by it.
    stand.input = String::new();
    stand.configure()?;
    let retried = stand.program(&["rejects", "retry", "--all"]).await?;
    assert!(retried.out.contains("settled 0, refused again 1"), "{retried:?}");
    Ok(())
}

async fn threatfox() -> Outcome {
    let project = repository("examples/threatfox");
    let guest = tokio::task::spawn_blocking(move || {
        tested(&project)?;
        built(&project, "")
    })
    .await??;
    let answer: Value = serde_json::from_str(include_str!("../examples/threatfox/tests/page.json"))?;
    let mut stand = Stand::new(&guest, &[("/api/v1/", answer)]).await?;
    stand.input =
        "auth: {header: Auth-Key, key: tf_live_canary}\nmin_confidence: 25\nexpire_after_days: 3650".to_owned();
    stand.configure()?;
    let ran = stand.program(&["run", "--once"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("feed: read 10 = mapped 6 + rejected 2 + skipped 2"), "{ran:?}");
    assert!(ran.out.contains("feed: made 6 = indexed 6 + stale 0 + quarantined 0"), "{ran:?}");
    let posted = |stand: &Stand, days: u32| {
        let asked = stand.feed.asked().pop().expect("a request");
        assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/api/v1/"));
        assert_eq!(asked.headers["content-type"], "application/json");
        assert_eq!(asked.headers["auth-key"], "tf_live_canary");
        assert!(!asked.headers.contains_key("authorization"));
        assert_eq!(String::from_utf8_lossy(&asked.body), format!(r#"{{"days":{days},"query":"get_iocs"}}"#));
    };
    posted(&stand, 7);
    let stored = stand.stored().await?;
    for line in include_str!("../examples/threatfox/tests/expected.ndjson").lines() {
        let expected: Value = serde_json::from_str(line)?;
        let id = expected["event"]["id"].as_str().ok_or("no identity")?;
        assert_eq!(stored[id]["threat"], expected["threat"], "but for its times it is the golden document");
    }
    let found = stand.program(&["search", "192.0.2.44"]).await?;
    assert!(found.out.contains("192[.]0[.]2[.]44"), "{found:?}");
    // What was rejected is tried again by the same guest, in the form it gave it.
    let retried = stand.program(&["rejects", "retry", "--all"]).await?;
    assert!(retried.out.contains("retried 2: settled 0, refused again 2"), "{retried:?}");
    // The next poll asks for what is new, a backfill for all there is.
    let ran = stand.program(&["run", "--once"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    posted(&stand, 1);
    let ran = stand.program(&["backfill", "--since", "7d"]).await?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    posted(&stand, 7);

    // What the guide says of costs.
    let many: Vec<Value> = (0..10_000)
        .map(|n| {
            json!({
                "id": n.to_string(), "ioc": format!("host{n}.example.com"), "ioc_type": "domain",
                "ioc_type_desc": "Domain that is used for botnet Command&control (C&C)", "threat_type": "botnet_cc",
                "threat_type_desc": "Indicator that identifies a botnet command&control server (C&C)",
                "malware": "win.example_bot", "malware_printable": "Example Bot", "malware_alias": "ExBot,Sample Bot",
                "malware_malpedia": "https://malpedia.example.org/details/win.example_bot", "confidence_level": 100,
                "first_seen": "2026-01-30 21:04:11 UTC", "last_seen": null, "reporter": "a_reporter",
                "reference": "https://reports.example.org/1", "tags": ["c2", "ExampleBot"],
            })
        })
        .collect();
    let many = json!({ "query_status": "ok", "data": many }).to_string();
    let guest = Guest::new(&guest, Profile::Sandboxed(CallLimits::SANDBOXED), Some(&compiled()?))?;
    let config = r#"{"url":"https://feed.example"}"#;
    let (batch, cost) = guest.map_records_metered(config, 1_769_860_800_000, many.as_bytes())?;
    assert_eq!(batch?.mapped, 10_000);
    let (fuel, memory) = (cost.fuel / 1_000_000, cost.peak_memory >> 20);
    assert!((700..1_300).contains(&fuel) && (20..80).contains(&memory), "{fuel} million units, {memory} MiB");
    Ok(())
}

/// The guide is followed to the letter, from an empty folder to a guest that runs; but for its tests it is the example.
async fn guide() -> Outcome {
    let text = fs::read_to_string(repository("docs/write-a-guest.md"))?;
    let blocks = |language: &str| -> Vec<&str> {
        let begin = format!("```{language}\n");
        text.split(&begin).skip(1).filter_map(|rest| rest.split("```").next()).collect()
    };
    let (rust, page) = (blocks("rust"), blocks("json"));
    let [mapper, lib @ .., test] = rust.as_slice() else { return Err("too few blocks".into()) };
    let source = |name: &str| fs::read_to_string(repository(&format!("examples/threatfox/src/{name}")));
    assert_eq!(*mapper, source("mapper.rs")?);
    let example = source("lib.rs")?;
    assert_eq!(lib.join("\n"), example.split("\n#[cfg(test)]").next().unwrap_or_default());

    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guide");
    // One of an earlier run.
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place)?;
    let ran = tipline(&place, &["guest", "new", "threatfox"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let project = place.join("threatfox");
    fs::write(project.join("tests/page.json"), page.first().ok_or("no page")?)?;
    fs::write(project.join("src/mapper.rs"), mapper)?;
    fs::write(project.join("src/lib.rs"), [lib.join("\n").as_str(), test].join("\n"))?;
    let guest = tokio::task::spawn_blocking(move || -> Result<Vec<u8>, Failed> {
        // As the guide says: the first run fails and prints the documents, which become the expected ones.
        let failed = tested(&project).err().ok_or("the documents of the beginning are those of the guide")?;
        let said = failed.message().unwrap_or_default().to_owned();
        let documents: Vec<_> = said.lines().filter(|line| line.starts_with("{\"@timestamp\"")).collect();
        assert_eq!(documents.len(), 2, "{said}");
        fs::write(project.join("tests/expected.ndjson"), documents.join("\n") + "\n")?;
        tested(&project)?;
        built(&project, "")
    })
    .await??;
    let page: Value = serde_json::from_str(page.first().ok_or("no page")?)?;
    let mut stand = Stand::new(&guest, &[("/api/v1/", page)]).await?;
    let yaml = blocks("yaml").into_iter().next().ok_or("no configuration")?;
    stand.input = yaml
        .lines()
        .filter(|line| ["auth:", "min_confidence:", "sandbox:"].iter().any(|key| line.trim().starts_with(key)))
        .map(|line| line.trim().replace("${THREATFOX_KEY}", "tf_live_canary") + "\n")
        .collect();
    stand.configure()?;
    let ran = stand.program(&["run", "--once"]).await?;
    assert!(ran.code == Some(0) && ran.out.contains("mapped 1 + rejected 1 + skipped 3"), "{ran:?}");
    assert_eq!(stand.feed.asked().pop().ok_or("no request")?.headers["auth-key"], "tf_live_canary");
    Ok(())
}

fn new_name() -> Outcome {
    let place = tempfile::tempdir()?;
    let ran = tipline(place.path(), &["guest", "new", "deep/zeta-feed2"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let read = |name: &str| fs::read_to_string(place.path().join("deep/zeta-feed2").join(name));
    assert!(read("Cargo.toml")?.contains("name = \"zeta-feed2\""));
    assert!(read("tipline.yml")?.contains("/zeta_feed2.wasm") && read("src/lib.rs")?.contains("\"zeta_feed2\""));
    assert_eq!(read("wit/input.wit")?, fs::read_to_string(repository("wit/input.wit"))?);
    let sources = "observable/src/classify.rs";
    assert_eq!(
        read(&format!("tipline-guest/{sources}"))?,
        fs::read_to_string(repository(&format!("guest/{sources}")))?
    );
    for manifest in ["sdk", "ecs", "observable"].map(|name| read(&format!("tipline-guest/{name}/Cargo.toml"))) {
        assert!(!manifest?.contains("workspace"), "it stands alone");
    }
    let (longest, too_long) = ("a".repeat(64), "a".repeat(65));
    assert_eq!(tipline(place.path(), &["guest", "new", &longest])?.code, Some(0));
    for name in [".", "Mapper", "1st", "über", &too_long] {
        let ran = tipline(place.path(), &["guest", "new", name])?;
        assert!(ran.code == Some(2) && ran.err.contains("The folder's name becomes the crate's"), "{ran:?}");
    }
    Ok(())
}
