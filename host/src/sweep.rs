//! Keeps the store true while no feed speaks of it: live documents are stamped again before rules stop looking at
//! them, expired ones are taken out of matching, retired ones are deleted in the end, and what a changed `exclude:` no
//! longer wants is retired as well.
//!
//! What is excluded is the guest's to say: the values of stored documents are shown to it again as records, once with the
//! input's `exclude:` and once without. So the host needs no second opinion on what a domain suffix or a CIDR matches. An
//! exclusion is about values, whoever claims them, so what it covers is known by `tipline.key`; and an input's is about what
//! that input delivered, by `tipline.input`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::apart::{Broken, blocking};
use crate::clock::{Clock, Millis, millis};
use crate::config::{Input, SweepSettings};
use crate::observer::Observer;
use crate::sandbox::{Failure, Guest, SandboxError};
use crate::state::{Ledger, LedgerError};
use crate::store::{By, Catalog, CatalogError, DELETED_SHARE, Deletes, Hit, Query, Sink, SinkError, SweepOrder, Swept};

/// The reason that `tipline.expiry_reason` gives for what `exclude:` retired.
const EXCLUDED: &str = "excluded";

/// The mark of an input without `exclude:`.
const NOTHING_EXCLUDED: i64 = 0;

/// How lately a feed must have answered for its documents to be deleted. Fixed: a feed is polled several times a day, and
/// what is over may well stay a week longer.
const HEARD_LATELY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Documents shown to the guest in one call: about a page.
const RECORDS_A_CALL: usize = 1_000;

/// Why a sweep ended early. What it had done stays done; the next one goes on.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The store did not take something.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The store could not be searched.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The guest, asked about `exclude:`.
    #[error("{0}")]
    Guest(String),
    /// The guest, asked about `exclude:`, gave no answer.
    #[error("{0}")]
    Unanswered(String),
    /// A fault of this program, or its end.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// What a sweep needs.
#[derive(Clone)]
pub struct Sweeper {
    /// Where documents are.
    pub sink: Arc<dyn Sink>,
    /// The same, to be searched; an output that can't be (a pipe) has none.
    pub catalog: Option<Arc<dyn Catalog>>,
    /// Where the last sweep is noted.
    pub ledger: Ledger,
    /// Inputs with their guests, for `exclude:`.
    pub inputs: Vec<(Arc<Input>, Arc<Guest>)>,
    /// Ages and intervals.
    pub settings: SweepSettings,
    /// The time.
    pub clock: Clock,
    /// Told about each sweep of a run.
    pub observer: Arc<dyn Observer>,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Live documents stamped again.
    pub renewed: u64,
    /// Expired documents retired.
    pub retired: u64,
    /// Documents retired because of a changed `exclude:`.
    pub excluded: u64,
    /// Documents deleted after `keep_expired`.
    pub deleted: u64,
    /// Documents that would have been, and wait for `tipline sweep --confirm`.
    pub withheld: u64,
}

impl SweepReport {
    /// What to say where not all was deleted that is over.
    pub fn withheld(&self) -> Option<String> {
        let withheld = Some(self.withheld).filter(|withheld| *withheld > 0)?;
        Some(format!(
            "{withheld} documents that were retired longer ago than `keep_expired` were not deleted, as they are more than one \
             in {DELETED_SHARE} of their inputs' documents: a wrong clock looks like that. Look at this machine's clock and at `keep_expired`, then \
             stop the run and call `tipline sweep --confirm`."
        ))
    }
}

impl Sweeper {
    /// When the next sweep is due; in the past if it is overdue.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn due(&self) -> Result<Millis, LedgerError> {
        let last = self.ledger.last_sweep()?;
        // One that was noted by a clock that ran ahead must not put off the next until that time.
        let last = last.filter(|last| *last <= self.clock.now());
        Ok(last.map_or(0, |last| last.saturating_add(millis(self.settings.interval))))
    }

    /// Sweeps now. With `confirmed`, whatever number of documents may go.
    ///
    /// # Errors
    /// [`SweepError`].
    pub async fn sweep(&self, confirmed: bool) -> Result<SweepReport, SweepError> {
        let now = self.clock.earliest();
        let orders = self.orders(now, confirmed).await?;
        let excluded = self.exclude(now).await?;
        let mut swept = Swept::default();
        for order in orders {
            swept.add(self.sink.sweep(order).await?);
        }
        // When it was is told by the clock that the next one is due by.
        let (known, at) = (self.clock.known(), self.clock.now());
        let noted = self.ledger.apart(move |ledger| {
            ledger.set_last_sweep(at)?;
            known.iter().try_for_each(|known| ledger.keep_time(known))
        });
        noted.await??;
        let Swept { renewed, retired, deleted, withheld } = swept;
        Ok(SweepReport { renewed, retired, excluded, deleted, withheld })
    }

    /// One order for all inputs whose feeds' clocks agree with ours, one for each that is behind by its own. What is over
    /// stays where its feed has not answered for long, as only a feed can tell that our clock is right.
    async fn orders(&self, now: Millis, confirmed: bool) -> Result<Vec<SweepOrder>, SweepError> {
        let mut former = self.ledger.apart(Ledger::inputs).await??;
        former.retain(|input| self.inputs.iter().all(|(configured, _)| configured.id != *input));
        let mut groups: BTreeMap<(Millis, Deletes), (Vec<String>, Vec<String>)> = BTreeMap::new();
        let mut any = Deletes::None;
        for (input, _) in &self.inputs {
            let deletes = match self.clock.has_heard(&input.id, HEARD_LATELY) {
                _ if confirmed => Deletes::Confirmed,
                true => Deletes::Bounded,
                false => Deletes::None,
            };
            any = any.max(deletes);
            groups.entry((self.clock.behind(&input.id), deletes)).or_default().0.push(input.id.clone());
        }
        if !former.is_empty() {
            groups.entry((0, any)).or_default().1 = former;
        }
        let order = |((behind, deletes), (inputs, former)): ((Millis, Deletes), (Vec<String>, Vec<String>))| {
            let ended_by = now.saturating_sub(behind);
            SweepOrder {
                now,
                ended_by,
                renew_before: now.saturating_sub(millis(self.settings.renew_after)),
                delete_before: ended_by.saturating_sub(millis(self.settings.keep_expired)),
                deletes,
                inputs: inputs.into(),
                former: former.into(),
            }
        };
        Ok(groups.into_iter().map(order).collect())
    }

    /// Retires what a changed `exclude:` no longer wants.
    async fn exclude(&self, now: Millis) -> Result<u64, SweepError> {
        let Some(catalog) = &self.catalog else { return Ok(0) };
        let mut retired = 0;
        for (input, guest) in &self.inputs {
            let seen = format!("exclude/{}", input.id);
            let mark = seen.clone();
            let known = self.ledger.apart(move |ledger| ledger.mark(&mark)).await??;
            let others: Vec<_> = self.inputs.iter().filter(|(other, _)| other.id != input.id).cloned().collect();
            let Some(settings) = Exclusion::of(input, &others)? else {
                // The same list is a change when it comes back: what was polled in between is stored.
                if known.is_some_and(|known| known != NOTHING_EXCLUDED) {
                    self.ledger.apart(move |ledger| ledger.set_mark(&seen, NOTHING_EXCLUDED)).await??;
                }
                continue;
            };
            if known == Some(settings.digest) {
                continue;
            }
            let is_own = input.guest_file.is_some();
            let digest = settings.digest;
            let asked = Asked { settings, input: input.clone(), guest: guest.clone(), others, now };
            let ids = match asked.of_all(catalog.clone()).await {
                // Such a guest may mean something else by `exclude:`, or know its own feed's records only.
                Err(SweepError::Guest(reason)) if is_own => {
                    tracing::warn!(input.id = input.id, "What is stored stays, whatever `exclude:` says: {reason}");
                    Vec::new()
                }
                // What was not answered is not done.
                Err(SweepError::Unanswered(reason)) => {
                    tracing::warn!(
                        input.id = input.id,
                        "What `exclude:` no longer wants is asked again by the next sweep: {reason}"
                    );
                    continue;
                }
                ids => ids?,
            };
            retired += self.sink.retire(&ids, EXCLUDED, now).await?;
            self.ledger.apart(move |ledger| ledger.set_mark(&seen, digest)).await??;
        }
        Ok(retired)
    }
}

/// The guest's settings with `exclude:` and without, and nothing else that makes it skip.
struct Exclusion {
    with: String,
    without: String,
    digest: i64,
}

impl Exclusion {
    /// `None` where nothing is excluded.
    fn of(input: &Input, others: &[(Arc<Input>, Arc<Guest>)]) -> Result<Option<Self>, SweepError> {
        let mut settings: Map<String, Value> = serde_json::from_str(&input.guest_config)
            .map_err(|e| SweepError::Guest(format!("The settings of input {} cannot be read: {e}.", input.id)))?;
        for narrowing in ["types", "min_confidence"] {
            settings.remove(narrowing);
        }
        settings.insert("allow_private".to_owned(), Value::Bool(true));
        let with = Value::Object(settings.clone()).to_string();
        let Some(list) = settings.remove("exclude") else { return Ok(None) };
        if list.as_array().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        // What others want is kept, until they no longer want it.
        let mut digest = Sha256::new_with_prefix(list.to_string());
        for (other, _) in others {
            digest.update(&other.guest_config);
        }
        let digest = digest.finalize();
        let digest = digest.first_chunk().map_or(0, |first| i64::from_le_bytes(*first));
        Ok(Some(Self { with, without: Value::Object(settings).to_string(), digest }))
    }
}

/// The question what of the store an input's `exclude:` no longer wants.
struct Asked {
    settings: Exclusion,
    input: Arc<Input>,
    guest: Arc<Guest>,
    others: Vec<(Arc<Input>, Arc<Guest>)>,
    now: Millis,
}

impl Asked {
    /// The identities of all documents that are excluded. The guest computes between two rows, so both are done on a thread for
    /// blocking work; it ends soon after its caller does.
    async fn of_all(self, catalog: Arc<dyn Catalog>) -> Result<Vec<String>, SweepError> {
        let query = Query {
            text: None,
            kind: None,
            provider: None,
            since: None,
            by: By::default(),
            expired: false,
            now: self.now,
            limit: usize::MAX,
        };
        let ended = CancellationToken::new();
        let _ends = ended.clone().drop_guard();
        let runtime = Handle::current();
        blocking(move || {
            let (mut excluded, mut stored) = (Vec::new(), Vec::new());
            let mut failure = None;
            let mut visit = |hit: Hit| {
                if failure.is_some() || ended.is_cancelled() {
                    return;
                }
                stored.extend(Stored::read(hit, &self.input.id));
                if stored.len() == RECORDS_A_CALL {
                    failure = self.ask(std::mem::take(&mut stored), &mut excluded).err();
                }
            };
            let scanned = runtime.block_on(ended.run_until_cancelled(catalog.scan(&query, &mut visit)));
            scanned.ok_or(Broken::Ending)??;
            match failure {
                Some(failure) => Err(failure),
                None => self.ask(stored, &mut excluded).map(|()| excluded),
            }
        })
        .await?
    }

    /// Adds the identities of those of these documents whose value the guest maps without `exclude:`, but not with it, nor
    /// with the settings of another input: several may read one feed. Another feed's mapping gives other identities.
    fn ask(&self, stored: Vec<Stored>, excluded: &mut Vec<String>) -> Result<(), SweepError> {
        let Self { settings, guest, others, now, .. } = self;
        if stored.is_empty() {
            return Ok(());
        }
        let records: Vec<&str> = stored.iter().map(|document| document.record.as_str()).collect();
        let records = records.join("\n");
        let mut unwanted = mapped(guest, &settings.without, *now, &records)?;
        for id in mapped(guest, &settings.with, *now, &records)?.into_keys() {
            unwanted.remove(&id);
        }
        for (other, guest) in others {
            if unwanted.is_empty() {
                break;
            }
            let wanted = match mapped(guest, &other.guest_config, *now, &records) {
                // A guest that cannot read these records has none of them.
                Err(SweepError::Guest(_)) if other.guest_file.is_some() => continue,
                wanted => wanted?,
            };
            for id in wanted.into_keys() {
                unwanted.remove(&id);
            }
        }
        let unwanted: BTreeSet<String> = unwanted.into_values().collect();
        let ids = stored.into_iter().filter(|document| unwanted.contains(&document.key)).map(|document| document.id);
        excluded.extend(ids);
        Ok(())
    }
}

/// What a guest makes of records that name no source: keys of values by identity.
fn mapped(guest: &Guest, settings: &str, now: Millis, records: &str) -> Result<BTreeMap<String, String>, SweepError> {
    #[derive(Deserialize)]
    struct Document {
        tipline: Shared,
    }
    #[derive(Deserialize)]
    struct Shared {
        key: String,
    }
    let batch = guest
        .map_records(settings, now, records.as_bytes())
        .map_err(|e: SandboxError| SweepError::Unanswered(e.to_string()))?
        .map_err(|f: Failure| SweepError::Guest(f.text().to_owned()))?;
    let keys = batch.documents.lines().map(|line| Some(serde_json::from_str::<Document>(line).ok()?.tipline.key));
    Ok(batch.heads.iter().zip(keys).filter_map(|(head, key)| Some((head.id.clone(), key?))).collect())
}

/// A document as it is shown to the guest again.
struct Stored {
    id: String,
    key: String,
    record: String,
}

impl Stored {
    /// `None` for what another input delivered, or what has no value.
    fn read(hit: Hit, input: &str) -> Option<Self> {
        let document: Value = serde_json::from_str(&hit.json).ok()?;
        if document.pointer("/tipline/input")?.as_str()? != input {
            return None;
        }
        let key = document.pointer("/tipline/key")?.as_str()?.to_owned();
        let kind = document.pointer("/socdefenders/ioc/type")?;
        let value = document.pointer("/threat/indicator/name")?;
        let record = serde_json::json!({ "type": kind, "value": value }).to_string();
        Some(Self { id: hit.id, key, record })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::clock::judge::{Known, Reading};
    use crate::sandbox::Profile;
    use crate::state::Commit;
    use crate::store::Page;
    use crate::store::sqlite::Sqlite;
    use crate::store::testing::{DAY, NOW, live};

    /// An input of SOC Defenders' own feed with these settings beside the usual ones.
    fn input(id: &str, more: Value) -> Arc<Input> {
        let mut input = Input::new(id, "https://socdefenders.ai".parse().unwrap());
        let mut settings: Map<String, Value> = serde_json::from_str(&input.guest_config).unwrap();
        settings.extend(more.as_object().cloned().unwrap_or_default());
        input.guest_config = Value::Object(settings).to_string();
        Arc::new(input)
    }

    struct Fixture {
        guest: Arc<Guest>,
        store: Arc<Sqlite>,
        now: Arc<AtomicU64>,
    }

    impl Fixture {
        fn new(folder: &Path) -> Self {
            let ledger = Ledger::open(&folder.join("tipline.db")).unwrap();
            Self {
                guest: Arc::new(Guest::built_in(Profile::Trusted, None).unwrap()),
                store: Arc::new(Sqlite::new(ledger)),
                now: Arc::new(AtomicU64::new(NOW)),
            }
        }

        fn sweeper(&self, inputs: Vec<Arc<Input>>) -> Sweeper {
            let now = self.now.clone();
            Sweeper {
                sink: self.store.clone(),
                catalog: Some(self.store.clone()),
                ledger: self.store.ledger().clone(),
                inputs: inputs.into_iter().map(|input| (input, self.guest.clone())).collect(),
                settings: SweepSettings::default(),
                clock: Clock::told_by(move || now.load(Ordering::Relaxed)),
                observer: Arc::new(()),
            }
        }

        /// Stores what the guest makes of these records, as the input's feed shows them a moment later.
        async fn deliver(&self, input: &Input, records: &[(&str, &str)]) {
            let records: Vec<String> = records
                .iter()
                .map(|(kind, value)| {
                    serde_json::json!({ "type": kind, "value": value, "source": { "feed_name": "URLhaus" } })
                        .to_string()
                })
                .collect();
            self.deliver_as_written(input, &records.join("\n")).await;
        }

        async fn deliver_as_written(&self, input: &Input, records: &str) {
            let now = self.now.fetch_add(1_000, Ordering::Relaxed) + 1_000;
            let batch = self.guest.map_records(&input.guest_config, now, records.as_bytes()).unwrap().unwrap();
            assert_eq!(batch.rejects, []);
            let commit = Commit { input: input.id.clone(), at: now, ..Commit::default() };
            self.store.deliver(Page::of(batch, commit).unwrap()).await.unwrap();
        }

        async fn live(&self) -> Vec<String> {
            let hits = self.store.search(&live(self.now.load(Ordering::Relaxed))).await.unwrap();
            let mut names: Vec<String> = hits
                .iter()
                .map(|hit| serde_json::from_str::<Value>(&hit.json).unwrap()["threat"]["indicator"]["name"].clone())
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect();
            names.sort();
            names
        }
    }

    const RECORDS: [(&str, &str); 5] = [
        ("domain", "a.evil.example.com"),
        ("domain", "b.other.example.net"),
        ("ipv4", "203.0.113.7:8080"),
        ("url", "hxxp://c.evil.example.com/x"),
        ("cve", "CVE-2024-3094"),
    ];

    #[tokio::test]
    async fn nothing_is_deleted_where_no_feed_has_answered_for_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let feed = input("feed", Value::Null);
        fixture.deliver(&feed, &RECORDS[..1]).await;
        let now = fixture.now.clone();
        let mut sweeper = fixture.sweeper(vec![feed]);
        let began = now.load(Ordering::Relaxed);
        sweeper.clock = Clock::judged(move || {
            let wall = now.load(Ordering::Relaxed);
            Reading { wall, steady: wall - began }
        });
        // Long over.
        fixture.now.fetch_add(400 * DAY, Ordering::Relaxed);
        assert_eq!(sweeper.sweep(false).await.unwrap(), SweepReport { retired: 1, ..SweepReport::default() });
        for (heard, silent, deleted) in [(false, 0, 0), (true, 7 * DAY + 1, 0), (true, 7 * DAY, 1)] {
            if heard {
                sweeper.clock.heard("feed", None);
                fixture.now.fetch_add(silent, Ordering::Relaxed);
            }
            assert_eq!(sweeper.sweep(false).await.unwrap().deleted, deleted, "{heard} {silent}");
        }
        fixture.deliver_as_written(&sweeper.inputs[0].0, r#"{"type":"domain","value":"a.example.org"}"#).await;
        fixture.now.fetch_add(400 * DAY, Ordering::Relaxed);
        assert_eq!(sweeper.sweep(false).await.unwrap().deleted, 0);
        assert_eq!(sweeper.sweep(true).await.unwrap().deleted, 1, "where a person says so");
    }

    #[tokio::test]
    async fn after_a_pause_a_sweep_is_due_an_interval_after_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let mut sweeper = fixture.sweeper(vec![input("feed", Value::Null)]);
        let now = fixture.now.load(Ordering::Relaxed);
        sweeper.clock = Clock::judged(move || Reading { wall: now, steady: 0 });
        // Nobody has said yet how long it was.
        sweeper.clock.resume(Known { time: now - 30 * DAY, doubted: None, witnesses: BTreeMap::new() });
        assert_eq!(sweeper.clock.earliest(), now - 30 * DAY);
        sweeper.sweep(false).await.unwrap();
        assert_eq!(sweeper.due().unwrap(), now + millis(sweeper.settings.interval));
    }

    #[tokio::test]
    async fn a_changed_exclude_retires_what_it_covers_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let plain = input("feed", Value::Null);
        let foreign = input("foreign", serde_json::json!({ "feed": { "name": "Another feed" } }));
        fixture.deliver(&plain, &RECORDS).await;
        fixture.deliver(&foreign, &RECORDS[..1]).await;
        assert_eq!(fixture.live().await.len(), 6);
        let narrowed = input(
            "feed",
            serde_json::json!({
                "exclude": ["evil.example.com", "203.0.113.0/24"], "types": ["sha256"], "min_confidence": "high",
            }),
        );
        let sweeper = fixture.sweeper(vec![narrowed.clone(), foreign.clone()]);
        assert_eq!(sweeper.sweep(false).await.unwrap().excluded, 3);
        let left = fixture.live().await;
        assert_eq!(left, ["CVE-2024-3094", "a.evil.example.com", "b.other.example.net"], "one is another feed's");
        let all = fixture.store.search(&Query { expired: true, ..live(NOW + DAY) }).await.unwrap();
        let reasons = all.iter().filter(|hit| hit.json.contains(r#""expiry_reason":"excluded""#)).count();
        assert_eq!((all.len(), reasons), (6, 3));
        // Unchanged, it isn't looked at again.
        fixture.deliver(&plain, &RECORDS[..1]).await;
        assert_eq!(sweeper.sweep(false).await.unwrap().excluded, 0);
    }

    #[tokio::test]
    async fn an_exclusion_that_a_guest_gave_no_answer_to_is_asked_again() {
        use crate::config::GuestFile;
        use crate::sandbox::{CallLimits, CompileLimits};
        let limits = CallLimits { fuel: Some(1_000), ..CallLimits::SANDBOXED };
        let tired = Arc::new(Guest::built_in(Profile::Sandboxed(limits), None).unwrap());
        let file = GuestFile {
            path: "guest.wasm".into(),
            bytes: Vec::new().into(),
            sha256: String::new(),
            limits,
            compile: CompileLimits::DEFAULT,
        };
        // The input's own guest, and another one's that may still want what is excluded here.
        for who in [0, 1] {
            let folder = tempfile::tempdir().unwrap();
            let fixture = Fixture::new(folder.path());
            let plain = input("feed", Value::Null);
            fixture.deliver(&plain, &RECORDS).await;
            let narrowed = input("feed", serde_json::json!({ "exclude": ["evil.example.com", "203.0.113.0/24"] }));
            let other = input("other", serde_json::json!({ "feed": { "name": "Another feed" } }));
            let mut inputs = vec![narrowed, other];
            inputs[who] = Arc::new(Input { guest_file: Some(file.clone()), ..(*inputs[who]).clone() });
            let mut sweeper = fixture.sweeper(inputs);
            sweeper.inputs[who].1 = tired.clone();
            assert_eq!(sweeper.sweep(false).await.unwrap().excluded, 0, "{who}");
            sweeper.inputs[who].1 = fixture.guest.clone();
            assert_eq!(sweeper.sweep(false).await.unwrap().excluded, 3, "{who}");
        }
    }

    /// A STIX object of one creator, or of nobody.
    fn object(number: u32, pattern: &str, more: Value) -> String {
        let mut object = serde_json::json!({
            "type": "indicator", "spec_version": "2.1", "id": format!("indicator--{number}"), "pattern_type": "stix",
            "pattern": pattern, "modified": "2025-10-01T00:00:00Z",
        });
        object.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        object.to_string()
    }

    #[tokio::test]
    async fn a_stix_object_is_excluded_whoever_made_it() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let of_somebody = serde_json::json!({ "created_by_ref": "identity--1" });
        let objects = [
            object(1, "[domain-name:value = 'a.evil.example.com']", of_somebody.clone()),
            object(2, "[domain-name:value = 'a.evil.example.com']", Value::Null),
            object(3, "[url:value = 'http://b.evil.example.com/x' OR ipv4-addr:value = '203.0.113.9']", of_somebody),
        ];
        fixture.deliver_as_written(&input("feed", Value::Null), &objects.join("\n")).await;
        assert_eq!(fixture.live().await.len(), 4);
        let narrowed = input("feed", serde_json::json!({ "exclude": ["evil.example.com"] }));
        assert_eq!(fixture.sweeper(vec![narrowed]).sweep(false).await.unwrap().excluded, 3);
        assert_eq!(fixture.live().await, ["203.0.113.9"]);
    }

    #[tokio::test]
    async fn each_object_that_says_an_indicator_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let feed = input("feed", Value::Null);
        let pattern = "[ipv4-addr:value = '203.0.113.9']";
        let revoked = |number| object(number, pattern, serde_json::json!({ "revoked": true }));
        let said = [object(1, pattern, Value::Null), object(2, pattern, Value::Null)];
        fixture.deliver_as_written(&feed, &said.join("\n")).await;
        assert_eq!(fixture.live().await, ["203.0.113.9"; 2]);
        fixture.deliver_as_written(&feed, &revoked(1)).await;
        assert_eq!(fixture.live().await, ["203.0.113.9"]);
        fixture.deliver_as_written(&feed, &revoked(2)).await;
        assert_eq!(fixture.live().await, [""; 0]);
    }

    #[tokio::test]
    async fn a_list_that_was_taken_away_is_new_when_it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let plain = input("feed", Value::Null);
        let narrowed = input("feed", serde_json::json!({ "exclude": ["evil.example.com"] }));
        for (input, excluded) in [(&narrowed, 2), (&plain, 0), (&narrowed, 2), (&narrowed, 0)] {
            if excluded > 0 {
                fixture.deliver(&plain, &RECORDS).await;
            }
            let report = fixture.sweeper(vec![input.clone()]).sweep(false).await.unwrap();
            assert_eq!(report.excluded, excluded);
        }
    }

    #[tokio::test]
    async fn what_another_input_of_the_feed_wants_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let exclude = serde_json::json!(["evil.example.com"]);
        let narrowed = input("narrowed", serde_json::json!({ "exclude": exclude }));
        let domains = input("domains", serde_json::json!({ "types": ["domain"] }));
        fixture.deliver(&input("narrowed", Value::Null), &RECORDS).await;
        fixture.deliver(&input("other", Value::Null), &[("url", "http://d.evil.example.com/")]).await;
        assert_eq!(fixture.sweeper(vec![narrowed.clone(), domains]).sweep(false).await.unwrap().excluded, 1, "the URL");
        // Now the other one does not want it either.
        let domains = input("domains", serde_json::json!({ "types": ["domain"], "exclude": exclude }));
        assert_eq!(fixture.sweeper(vec![narrowed, domains]).sweep(false).await.unwrap().excluded, 1, "the domain");
    }

    #[test]
    fn a_sweep_is_due_an_interval_after_the_last_and_at_once_where_that_lies_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let fixture = Fixture::new(folder.path());
        let sweeper = fixture.sweeper(Vec::new());
        for (last, due) in
            [(None, 0), (Some(NOW - DAY / 2), NOW + DAY / 2), (Some(NOW), NOW + DAY), (Some(NOW + 400 * DAY), 0)]
        {
            last.into_iter().for_each(|last| sweeper.ledger.set_last_sweep(last).unwrap());
            assert_eq!(sweeper.due().unwrap(), due, "{last:?}");
        }
    }
}
