//! What a changed `exclude:` no longer wants of what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::report::SweepError;
use crate::apart::{Broken, blocking};
use crate::clock::Millis;
use crate::config::Input;
use crate::sandbox::{Failure, Guest, SandboxError};
use crate::state::Ledger;
use crate::store::{By, Catalog, Hit, Query};

/// Documents shown to the guest in one call: about a page.
const RECORDS_A_CALL: usize = 1_000;

/// The guest's settings with `exclude:` and without, and nothing else that makes it skip.
pub(super) struct Exclusion {
    with: String,
    without: String,
    pub(super) digest: i64,
}

impl Exclusion {
    /// `None` where nothing is excluded.
    pub(super) fn of<'i>(
        input: &Input,
        others: impl IntoIterator<Item = &'i Input>,
    ) -> Result<Option<Self>, SweepError> {
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
        for other in others {
            digest.update(&other.guest_config);
        }
        let digest = digest.finalize();
        let digest = digest.first_chunk().map_or(0, |first| i64::from_le_bytes(*first));
        Ok(Some(Self { with, without: Value::Object(settings).to_string(), digest }))
    }
}

/// Whether an input's `exclude:`, or what the others want of what it excludes, is another one than the last sweep acted on.
///
/// # Errors
/// [`SweepError`].
pub fn has_changed<'i>(
    ledger: &Ledger,
    input: &Input,
    others: impl IntoIterator<Item = &'i Input>,
) -> Result<bool, SweepError> {
    let wanted = Exclusion::of(input, others)?.map_or(NOTHING_EXCLUDED, |settings| settings.digest);
    let known = ledger.mark(&mark(&input.id))?;
    Ok(known.unwrap_or(NOTHING_EXCLUDED) != wanted)
}

/// What a changed `exclude:` means for what is stored.
pub const CHANGED: &str = "What it no longer wants is retired by the first sweep of a run. What it wants again comes back as the \
     feed shows it anew; `tipline backfill --since 30d` reads it before that.";

/// Under which name the ledger keeps what the last sweep acted on.
pub(super) fn mark(input: &str) -> String {
    format!("exclude/{input}")
}

/// The mark of an input without `exclude:`.
pub(super) const NOTHING_EXCLUDED: i64 = 0;

/// The question what of the store an input's `exclude:` no longer wants.
pub(super) struct Asked {
    pub(super) settings: Exclusion,
    pub(super) input: Arc<Input>,
    pub(super) guest: Arc<Guest>,
    pub(super) others: Vec<(Arc<Input>, Arc<Guest>)>,
    pub(super) now: Millis,
}

impl Asked {
    /// The identities of all documents that are excluded. The guest computes between two rows, so both are done on a thread for
    /// blocking work; it ends soon after its caller does.
    pub(super) async fn of_all(self, catalog: Arc<dyn Catalog>) -> Result<Vec<String>, SweepError> {
        let query = Query {
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
