//! Metrics, health and status of a run under way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tipline::mock::MockSettings;
use tipline::state::Ledger;

use crate::program::{Running, Served, ensure, finished, printed};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("health::the_three_urls", the_three_urls),
        Trial::test("health::an_address_that_cannot_be_used", an_address_that_cannot_be_used),
        Trial::test("health::status_shows_what_a_run_waits_for", status_shows_what_a_run_waits_for),
    ]
}

const RECORDS: u64 = 300;

const ANY_PORT: &str = "monitoring: {listen: '127.0.0.1:0'}\n";

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
        (r#"tipline_health{input="feed"}"#, 1),
        (r#"tipline_sweeps_total{outcome="done"}"#, 1),
    ] {
        ensure(text.contains(&format!("{series} {expected}\n")), format!("{series} is not {expected} in {text}"))?;
    }
    for present in ["checkpoint_timestamp_seconds", "last_success_timestamp_seconds", "rate_limit_remaining"] {
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

fn an_address_that_cannot_be_used() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), 1)?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for (address, code, advice) in [(address.as_str(), 1, "free port"), ("0.0.0.0:0", 2, "an address on 127.0.0.1")] {
        served.configure(place.path(), &format!("monitoring: {{listen: '{address}'}}\n"))?;
        let output = finished(place.path(), &["run"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        let clear = said.contains(address) && said.contains(advice) && said.contains("`monitoring.listen`");
        ensure(output.status.code() == Some(code) && clear, format!("{:?}: {said}", output.status))?;
    }
    ensure(served.feed.requests().is_empty(), "the feed was asked all the same")
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
