//! Metrics, health and status of a run under way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tipline::mock::MockSettings;
use tipline::state::Ledger;

use crate::fake_elasticsearch::FakeElasticsearch;
use crate::program::{Running, Served, ensure, finished, printed};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("health::the_three_urls", the_three_urls),
        Trial::test("health::an_address_that_cannot_be_used", an_address_that_cannot_be_used),
        Trial::test("health::an_output_that_is_down_at_the_start_is_waited_for", down_at_the_start),
        Trial::test("health::an_output_that_goes_and_comes_is_told_once_each", goes_and_comes),
        Trial::test("health::a_refused_credential_is_not_waited_for", refused_credential),
        Trial::test("health::status_tells_of_a_first_poll_and_of_its_end", first_poll),
        Trial::test("health::status_shows_what_a_run_waits_for", status_shows_what_a_run_waits_for),
    ]
}

const RECORDS: u64 = 300;

const ANY_PORT: &str = "http: {listen: '127.0.0.1:0'}\n";

fn the_three_urls() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings { max_limit: Some(100), ..MockSettings::default() }, RECORDS)?;
    served.configure(place.path(), ANY_PORT)?;
    let mut run = Running::start(place.path())?;
    let line = run.until("served at http://")?;
    let address = line.split_once("served at http://").ok_or("no address")?.1.trim().to_owned();
    run.until("swept")?;
    if !run.seen().contains("polled") {
        run.until("polled")?;
    }

    let (status, body) = get(&address, "/readyz", "localhost")?;
    ensure(status == 200, format!("/readyz: {status} {body}"))?;
    let (status, body) = get(&address, "/healthz", "127.0.0.1:9464")?;
    let health: Value = serde_json::from_str(&body)?;
    let input = &health["inputs"][0];
    ensure(status == 200 && input["healthy"] == true && input["last_success"].is_string(), body)?;

    let (status, text) = get(&address, "/metrics", "localhost")?;
    let counts = Ledger::read(&place.path().join("tipline.db"))?.counts("feed")?;
    ensure(status == 200 && counts.read == RECORDS, format!("/metrics: {status}, {counts:?}"))?;
    for (series, expected) in [
        (r#"tipline_requests_total{input="feed",code_class="2xx"}"#, 4),
        (r#"tipline_pages_total{input="feed"}"#, 4),
        (r#"tipline_records_total{input="feed",outcome="mapped"}"#, counts.mapped),
        (r#"tipline_records_total{input="feed",outcome="rejected"}"#, counts.rejected),
        (r#"tipline_records_total{input="feed",outcome="skipped"}"#, counts.skipped),
        (r#"tipline_documents_total{input="feed",outcome="indexed"}"#, counts.indexed),
        (r#"tipline_delivery_seconds_count{input="feed"}"#, 4),
        (r#"tipline_rejects_kept{input="feed"}"#, 0),
        (r#"tipline_health{input="feed"}"#, 1),
        (r#"tipline_sweeps_total{outcome="done"}"#, 1),
    ] {
        ensure(text.contains(&format!("{series} {expected}\n")), format!("{series} is not {expected} in {text}"))?;
    }
    for present in [
        "feed_clock_ahead_seconds",
        "checkpoint_timestamp_seconds",
        "last_success_timestamp_seconds",
        "rate_limit_remaining",
    ] {
        ensure(text.contains(&format!("tipline_{present}{{input=\"feed\"}} ")), format!("{present}: {text}"))?;
    }

    for path in ["/metrics", "/healthz", "/readyz"] {
        let (status, body) = get(&address, path, "evil.example")?;
        ensure(status == 403 && !body.contains("feed"), format!("{path}: {status} {body}"))?;
    }

    let overview: Value = serde_json::from_str(&printed(place.path(), &["status", "--json"])?)?;
    let input = &overview["inputs"][0];
    let told = input["rate_limit"].is_u64() && input["rate_remaining"].is_u64() && input["requests_today"] == 4;
    ensure(told && input["health"] == "ok", input.to_string())?;
    run.signal("TERM")?;
    let code = run.code()?;
    ensure(code == Some(0), format!("it ended with {code:?}:\n{}", run.seen()))
}

/// What is logged once for each outage.
const GOES: &str = "nothing is lost meanwhile";
const COMES: &str = "takes documents again";

/// Serves an output beside the test.
fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

fn output(url: &str, more: &str) -> String {
    format!("output: {{elasticsearch: {{hosts: ['{url}'], retry: {{initial: 100ms, max: 100ms}}{more}}}}}\n{ANY_PORT}")
}

/// Where a run serves its state.
fn served_at(run: &mut Running) -> Result<String, Failed> {
    let line = run.until("served at http://")?;
    Ok(line.split_once("served at http://").ok_or("no address")?.1.trim().to_owned())
}

fn overview(place: &std::path::Path) -> Result<Value, Failed> {
    Ok(serde_json::from_str(&printed(place, &["status", "--json"])?)?)
}

fn down_at_the_start() -> Result<(), Failed> {
    let runtime = runtime()?;
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), 20)?;
    // The port is free again: nothing answers there.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    served.configure(place.path(), &output(&format!("http://{address}"), ""))?;
    let mut run = Running::start(place.path())?;
    let own = served_at(&mut run)?;
    let gone = run.until(GOES)?;
    ensure(gone.contains(&address) && gone.contains("gave no answer"), gone)?;
    // The log's line comes first; the state is told right after it, and no later than the next try.
    run.until("Elasticsearch gave no answer")?;
    let (status, body) = get(&own, "/readyz", "localhost")?;
    ensure(status == 503 && body.contains("waiting for the output") && body.contains("gave no answer"), body)?;
    let (status, body) = get(&own, "/healthz", "localhost")?;
    let health: Value = serde_json::from_str(&body)?;
    ensure(status == 200 && health["output"]["up"] == false && health["output"]["since"].is_string(), body)?;
    let (_, text) = get(&own, "/metrics", "localhost")?;
    ensure(
        text.contains("\ntipline_output_up 0\n") && text.contains("\ntipline_output_changed_timestamp_seconds 1"),
        text,
    )?;
    let told = overview(place.path())?["output"].clone();
    ensure(told["up"] == false && told["reason"].as_str().is_some_and(|r| r.contains(&address)), told.to_string())?;
    let shown = printed(place.path(), &["status"])?;
    ensure(shown.contains("output: takes nothing since"), shown)?;
    ensure(served.feed.requests().is_empty(), "a feed is not asked for what can't be stored")?;

    let fake = runtime.block_on(FakeElasticsearch::start_at(&address));
    run.until(COMES)?;
    run.until("polled")?;
    ensure(!fake.documents().is_empty(), "nothing was stored")?;
    let (status, body) = get(&own, "/readyz", "localhost")?;
    ensure(status == 200, body)?;
    let (_, text) = get(&own, "/metrics", "localhost")?;
    ensure(text.contains("\ntipline_output_up 1\n"), text)?;
    let told = overview(place.path())?["output"].clone();
    ensure(told["up"] == true, told.to_string())?;
    for what in [GOES, COMES] {
        ensure(run.seen().matches(what).count() == 1, format!("{what}:\n{}", run.seen()))?;
    }
    run.signal("TERM")?;
    let code = run.code()?;
    ensure(code == Some(0), format!("it ended with {code:?}:\n{}", run.seen()))
}

fn goes_and_comes() -> Result<(), Failed> {
    let runtime = runtime()?;
    for (status, body, named) in [
        (503, r#"{"error":{"type":"master_not_discovered_exception","reason":null},"status":503}"#, "not ready: 503"),
        (
            429,
            r#"{"error":{"type":"circuit_breaking_exception","reason":"x"},"status":429}"#,
            "overloaded and puts requests off: 429",
        ),
        (504, "", "A proxy answers, and Elasticsearch behind it does not: 504"),
        (500, "", "an error of its own: 500"),
    ] {
        let place = tempfile::tempdir()?;
        let served = Served::start(MockSettings { max_limit: Some(20), delay_ms: 20, ..MockSettings::default() }, 400)?;
        let fake = runtime.block_on(FakeElasticsearch::start());
        served.configure(place.path(), &output(fake.url.as_str().trim_end_matches('/'), ""))?;
        let mut run = Running::start(place.path())?;
        let own = served_at(&mut run)?;
        for _ in 0..3 {
            run.until("The feed answered")?;
        }
        fake.answers_all(Some((status, body)));
        let gone = run.until(GOES)?;
        ensure(gone.contains(named) && !gone.contains("did not answer"), gone)?;
        // Tried again and again, and not told.
        for _ in 0..3 {
            run.until("waits before the next try")?;
        }
        let (ready, body) = get(&own, "/readyz", "localhost")?;
        ensure(ready == 503 && body.contains(named), body)?;
        fake.answers_all(None);
        run.until(COMES)?;
        run.until("polled")?;
        let (ready, body) = get(&own, "/readyz", "localhost")?;
        ensure(ready == 200, body)?;
        for what in [GOES, COMES] {
            ensure(run.seen().matches(what).count() == 1, format!("{status}: {what}:\n{}", run.seen()))?;
        }
        let counts = Ledger::read(&place.path().join(".tipline/tipline.db"))?.counts("feed")?;
        ensure(counts.adds_up() && counts.read >= 400, format!("{counts:?}"))?;
    }
    Ok(())
}

fn refused_credential() -> Result<(), Failed> {
    let runtime = runtime()?;
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), 1)?;
    let fake = runtime.block_on(FakeElasticsearch::start());
    fake.let_in("ApiKey another");
    served.configure(place.path(), &output(fake.url.as_str().trim_end_matches('/'), ", api_key: 'id:secret'"))?;
    for arguments in [&["run"][..], &["run", "--once"]] {
        let output = finished(place.path(), arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let is_named = said.contains("refuses the credential") && said.matches("refuses the credential").count() == 1;
        ensure(output.status.code() == Some(1) && is_named && !said.contains(GOES), format!("{arguments:?}: {said}"))?;
    }
    ensure(served.feed.requests().is_empty(), "the feed was asked all the same")
}

fn an_address_that_cannot_be_used() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), 1)?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for (address, code, advice) in [(address.as_str(), 1, "to a free one"), ("0.0.0.0:0", 2, "an address on 127.0.0.1")]
    {
        served.configure(place.path(), &format!("http: {{listen: '{address}'}}\n"))?;
        let output = finished(place.path(), &["run"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        let clear = said.contains(address) && said.contains(advice) && said.contains("`http.listen`");
        ensure(output.status.code() == Some(code) && clear, format!("{:?}: {said}", output.status))?;
    }
    ensure(served.feed.requests().is_empty(), "the feed was asked all the same")
}

/// A poll that is under way, one that was killed and one that was stopped are told apart from none.
fn first_poll() -> Result<(), Failed> {
    let mock = MockSettings { max_limit: Some(20), delay_ms: 50, ..MockSettings::default() };
    let served = Served::start(mock, 2_000)?;
    for (signal, said) in [("KILL", "was cut short"), ("TERM", "was stopped before its end")] {
        let place = tempfile::tempdir()?;
        served.configure(place.path(), "")?;
        let mut run = Running::start(place.path())?;
        for _ in 0..4 {
            run.until("The feed answered")?;
        }
        let told = overview(place.path())?["inputs"][0].clone();
        ensure(told["health"] == "first poll" && told["polling_since"].is_string(), told.to_string())?;
        run.signal(signal)?;
        run.code()?;
        let told = overview(place.path())?["inputs"][0].clone();
        ensure(told["health"] == "cut short" && told["polling_since"].is_null(), told.to_string())?;
        let shown = printed(place.path(), &["status"])?;
        ensure(shown.contains(said) && !shown.contains("never polled"), shown)?;
    }
    Ok(())
}

fn status_shows_what_a_run_waits_for() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let limited = MockSettings { limited_every: Some(1), limited_seconds: 3_600, ..MockSettings::default() };
    let served = Served::start(limited, 10)?;
    served.configure(place.path(), "")?;
    let mut run = Running::start(place.path())?;
    // The wait is logged once it is noted.
    run.until("Waits until")?;
    let overview: Value = serde_json::from_str(&printed(place.path(), &["status", "--json"])?)?;
    let input = &overview["inputs"][0];
    let told = input["waiting_until"].is_string() && input["waiting_reason"].as_str().is_some_and(|r| !r.is_empty());
    ensure(told && input["health"] == "waiting", input.to_string())?;
    let shown = printed(place.path(), &["status"])?;
    ensure(shown.contains("feed waits until"), shown)
}

/// Asks with this `Host`; gives the status and the body.
pub fn get(address: &str, path: &str, host: &str) -> Result<(u16, String), Failed> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, body.to_owned()))
}
