//! What is held in memory of a store, while the program that writes the store is killed at random moments.
//!
//! One reader looks on all the time, also while pages are delivered. After each kill, and at the end of the feed, it must
//! answer as one does that reads all documents anew.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use tipline::mock::MockSettings;
use tipline::state::Ledger;
use tipline::store::sqlite::Sqlite;
use tipline::store::{Among, Answer, Catalog, Condition, Question, TrendOf};
use tipline_catalog::{Direction, Grouping, Order, SortKey};
use tipline_kql::{Fields, parse, resolve};

use crate::kills::{PAGE, kills, records, run_for};
use crate::support::{Outcome, Stand, Store, trial};

pub fn trials() -> Vec<Trial> {
    vec![trial("kills::what_is_held_in_memory_follows_the_file", follow)]
}

/// One of each kind: of all claims, of words with facets and a trend, of plain text, and one that the documents must tell.
const QUERIES: [&str; 4] =
    ["", "confidence >= medium and not type: url", "d1*9.example", "socdefenders.ioc.type: domain"];

fn question(query: &str, grouping: Grouping, now: u64) -> Result<Question, Failed> {
    let fields = Fields::new([
        ("threat.indicator.name", "keyword"),
        ("threat.indicator.type", "keyword"),
        ("threat.indicator.confidence", "keyword"),
        ("socdefenders.ioc.type", "keyword"),
        ("tipline.observed_at", "date"),
        ("tipline.search", "wildcard"),
    ]);
    let predicate = parse(query).and_then(|tree| resolve(&tree, &fields, i64::try_from(now).unwrap_or(i64::MAX)));
    Ok(Question {
        condition: Condition { predicate: predicate.map_err(|error| error.to_string())?, fields: Arc::new(fields) },
        among: Among::All,
        now,
        grouping,
        order: Order { key: SortKey::Name, direction: Direction::Descending },
        behind: 40,
        limit: 100,
        facets: vec!["threat.indicator.type", "tags"],
        trend: Some(TrendOf {
            time: "threat.indicator.last_seen",
            from: None,
            to: None,
            nearly: false,
            intervals: 20,
            field: "threat.indicator.type",
            top: 2,
        }),
    })
}

async fn told(store: &Sqlite, now: u64) -> Result<impl PartialEq + std::fmt::Debug + use<>, Failed> {
    let mut told = Vec::new();
    for query in QUERIES {
        for grouping in [Grouping::Claims, Grouping::Values] {
            let Answer { total, found, facets, trend, .. } = store.ask(&question(query, grouping, now)?).await?;
            told.push((query, total, found, facets, trend));
        }
    }
    Ok(told)
}

async fn follow() -> Outcome {
    let wanted = kills()?;
    let mut random = fastrand::Rng::with_seed(0x7761_726d);
    let (mut killed, mut compared) = (0, 0);
    let mut span = std::time::Duration::from_secs(3);
    while killed < wanted {
        let input = format!("limit: {PAGE}\nmax_offset: 1000000");
        let stand = Stand::new(MockSettings::default(), records(true), &input, Store::Sqlite).await?;
        let path = stand.config()?.ledger_path();
        let now = stand.hand.clock().now();
        let mut warm: Option<Sqlite> = None;
        loop {
            let after = (killed < wanted).then(|| span.mul_f64(random.f64()));
            let ended = {
                let run = run_for(stand.folder.path(), after);
                tokio::pin!(run);
                loop {
                    let look = async {
                        match &warm {
                            Some(store) => _ = store.ask(&question("", Grouping::Values, now)?).await?,
                            None => std::future::pending().await,
                        }
                        Ok::<_, Failed>(())
                    };
                    tokio::select! {
                        ended = &mut run => break ended?,
                        looked = look => looked?,
                    }
                }
            };
            // A run may be killed before it has made the file.
            if let Ok(ledger) = Ledger::read(&path) {
                let store = warm.get_or_insert_with(|| Sqlite::new(ledger));
                let anew = Sqlite::new(Ledger::read(&path)?);
                assert_eq!(told(store, now).await?, told(&anew, now).await?, "after {killed} kills");
                compared += 1;
            }
            match ended {
                Some(took) => {
                    span = took;
                    break;
                }
                None => killed += 1,
            }
        }
    }
    println!("what is held in memory: {killed} kills, {compared} comparisons");
    assert!(compared > 0);
    Ok(())
}
