//! The program, killed at random moments of a poll and started again: the store ends up equal to the feed.
//!
//! Over REST and over TAXII. A round begins with an empty store and ends with the run that reaches the end of the feed;
//! runs before it are killed after a seeded random time. Rounds go on until enough runs were killed, `TIPLINE_KILLS` of them. Records are unique,
//! or a third of them comes again on a later page with other contents; pages are the same in every run, so native
//! mapping, page by page, says what must be stored.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::json;
use tipline::mock::{AnswerStyle, MockSettings, NextForm, Records, TaxiiSettings};

use crate::fake_elasticsearch::FakeElasticsearch;
use crate::support::{Documents, Outcome, Stand, Store, command, same, trial};

/// Records of the feed.
const RECORDS: usize = 20_000;

/// Records a page: forty pages.
pub const PAGE: usize = 500;

/// Over TAXII so many seconds of records have one date of adding: some 250, half a page.
const HEAP_SECONDS: u32 = 900;

/// Runs killed where `TIPLINE_KILLS` says nothing: enough to notice a fault, few enough for every build.
const KILLS: u32 = 8;

/// Between two records of one identity, in records: seven hours, as the feed spreads them over twenty, so that one is
/// clearly the newer.
const APART: usize = 7_000;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("kills::sqlite_unique", || sqlite(false)),
        trial("kills::sqlite_duplicates", || sqlite(true)),
        trial("kills::elasticsearch_unique", || elasticsearch(false)),
        trial("kills::elasticsearch_duplicates", || elasticsearch(true)),
        trial("kills::taxii_bundle_unique", || taxii(AnswerStyle::Bundle, false)),
        trial("kills::taxii_bundle_duplicates", || taxii(AnswerStyle::Bundle, true)),
        trial("kills::taxii_envelope_unique", || taxii(AnswerStyle::Envelope, false)),
        trial("kills::taxii_envelope_duplicates", || taxii(AnswerStyle::Envelope, true)),
    ]
}

async fn sqlite(duplicates: bool) -> Outcome {
    rest(duplicates, "sqlite", async || Store::Sqlite).await
}

async fn elasticsearch(duplicates: bool) -> Outcome {
    rest(duplicates, "elasticsearch", async || Store::Elasticsearch(FakeElasticsearch::start().await)).await
}

async fn rest(duplicates: bool, output: &str, store: impl AsyncFn() -> Store) -> Outcome {
    let stand = async |_: usize| {
        let input = format!("limit: {PAGE}\nmax_offset: 1000000");
        Stand::new(MockSettings::default(), records(duplicates), &input, store().await).await
    };
    survive(output, duplicates, stand, async |stand: &Stand| stand.expected(PAGE).await).await
}

async fn taxii(style: AnswerStyle, duplicates: bool) -> Outcome {
    let stand = async |round: usize| {
        // A `next` that is lost with the process must not be needed again.
        let forms = [NextForm::Destructive, NextForm::Constant, NextForm::Cursor];
        let taxii = TaxiiSettings {
            style,
            next: forms[round % forms.len()],
            heap_seconds: Some(HEAP_SECONDS),
            ..TaxiiSettings::default()
        };
        let mock = MockSettings { taxii, ..MockSettings::default() };
        Stand::taxii(mock, records(duplicates), &format!("limit: {PAGE}"), Store::Sqlite).await
    };
    survive(&format!("{style:?}"), duplicates, stand, async |stand: &Stand| stand.expected_objects(PAGE).await).await
}

/// Rounds on stands that are made by their number, until enough runs were killed.
async fn survive(
    way: &str,
    duplicates: bool,
    stand: impl AsyncFn(usize) -> Result<Stand, Failed>,
    expected: impl AsyncFn(&Stand) -> Result<Documents, Failed>,
) -> Outcome {
    let wanted = kills()?;
    let what = format!("{way}, {}", if duplicates { "duplicates" } else { "unique" });
    let mut random = fastrand::Rng::with_seed(0x6b69_6c6c + u64::from(duplicates));
    let (mut killed, mut round) = (0, 0);
    // How long a run takes that is not killed: as the last one did.
    let mut span = Duration::from_secs(3);
    while killed < wanted {
        round += 1;
        let stand = stand(round).await?;
        stand.config()?;
        loop {
            let after = span.mul_f64(random.f64());
            match run_for(stand.folder.path(), (killed < wanted).then_some(after)).await? {
                Some(took) => {
                    span = took;
                    break;
                }
                None => {
                    killed += 1;
                    if killed % 20 == 0 {
                        println!("kills ({what}): {killed} of {wanted}, round {round}");
                    }
                }
            }
        }
        let expected = expected(&stand).await?;
        let unique = if duplicates { RECORDS - APART } else { RECORDS };
        assert_eq!(expected.len(), unique, "{what}");
        same(&expected, &stand.stored().await?).map_err(|e| format!("{what}, round {round}, {killed} kills: {e:?}"))?;
        let counts = stand.ledger()?.counts("feed")?;
        assert!(counts.adds_up(), "{what}: {counts:?}");
    }
    Ok(())
}

/// How many runs are to be killed.
pub fn kills() -> Result<u32, Failed> {
    match std::env::var("TIPLINE_KILLS") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(KILLS),
    }
}

/// Runs the program to its end, or kills it after a time. How long it took, where it ended by itself.
pub async fn run_for(folder: &Path, kill_after: Option<Duration>) -> Result<Option<Duration>, Failed> {
    let mut command = command(folder, &["run", "--once"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn()?;
    if let Some(after) = kill_after {
        tokio::time::sleep(after).await;
        // SIGKILL; a program that has ended in the meantime is not hurt.
        if child.try_wait()?.is_none() {
            child.kill()?;
        }
    }
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
    match output.status.code() {
        None => Ok(None),
        Some(0) => Ok(Some(began.elapsed())),
        Some(code) => Err(format!("it ended with {code}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// The feed's records; with duplicates a third of them comes again.
pub fn records(duplicates: bool) -> Records {
    if duplicates { repeated() } else { Records::synthetic(RECORDS as u64, 1) }
}

/// Records of which the last third has the identities of the first, older and with other contents.
fn repeated() -> Records {
    Records::listed((0..RECORDS).map(|number| {
        let identity = number % (RECORDS - APART);
        let value = match identity % 3 {
            0 => json!({ "type": "domain", "value": format!("d{identity}.example") }),
            1 => json!({ "type": "ipv4", "value": format!("11.{}.{}.7", identity / 250, identity % 250) }),
            _ => json!({ "type": "sha256", "value": format!("{identity:064x}") }),
        };
        let mut record = value;
        record["confidence"] = json!(["low", "medium", "high"][number % 3]);
        record["tags"] = json!([format!("n{number}")]);
        record["source"] = json!({ "feed_name": "One" });
        record
    }))
}
