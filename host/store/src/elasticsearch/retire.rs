//! Renewal, retirement and deletion.
//!
//! Everything is written under the version it was read with, so a document that was confirmed in between stays as the
//! feed has it: the write is a conflict, and a conflict is left alone. A sweep walks in pages by identity, so that
//! what it changes can't make it skip or repeat, and holds one page at a time. Documents that Elasticsearch refuses
//! are logged and left for the next sweep. Only documents of the order's inputs are touched. Events mode is history and is never swept.

use reqwest::Method;
use serde_json::{Value, json};

use super::Elasticsearch;
use super::body::Operations;
use super::bulk::Settled;
use super::client::{Call, encoded};
use super::search::{Found, condition, expired, retired};
use crate::{Deletes, INPUT_REMOVED, SinkError, SweepOrder, Swept, form, observed_since};
use tipline_config::Mode;
use tipline_model::clock::Millis;
use tipline_model::time;

/// Documents read and written at once: some megabytes at the largest.
const SWEEP_PAGE: usize = 500;

impl Elasticsearch {
    /// Deletes what was retired long ago, retires what has expired, renews what lives and has an old `@timestamp`; what
    /// has one and came from an input that is no longer configured is retired.
    ///
    /// # Errors
    /// [`SinkError`]; what was done until then stays, and the next sweep goes on.
    pub async fn sweep_index(&self, order: &SweepOrder) -> Result<Swept, SinkError> {
        if self.settings.mode == Mode::Events {
            return Ok(Swept::default());
        }
        self.refresh().await;
        let SweepOrder { now, ended_by, .. } = *order;
        let of = |inputs: &[String]| json!({ "terms": { "tipline.input": inputs } });
        let of_both = of(&[&*order.inputs, &*order.former].concat());
        let old = |field: &str, before: Millis| json!({ "range": { field: { "lt": time::print(before) } } });
        let unvouched = || old("@timestamp", order.renew_before);

        let over = json!({ "bool": { "filter": [
            of_both, old("tipline.retired_at", order.delete_before), old("@timestamp", order.delete_before),
        ] } });
        let withheld = match order.deletes {
            Deletes::None => 0,
            deletes => {
                let count =
                    async |query| self.count_of(query).await.map_err(|error| SinkError::Unavailable(error.to_string()));
                let (number, all) = (count(&over).await?, count(&of_both).await?);
                if deletes.allow(number, all) { 0 } else { number }
            }
        };
        let deleted = self.rewrite(&over, |found, operations| {
            operations.delete(&found.id, found.version);
            Ok(())
        });
        let deleted = if order.deletes == Deletes::None || withheld > 0 { 0 } else { deleted.await? };

        let ended = json!({ "bool": { "filter": [of_both, expired(ended_by)], "must_not": [retired()] } });
        let ended = self.rewrite(&ended, |found, operations| {
            let at = found.expires_at().unwrap_or(now);
            let stored = form::stored(&found.document(Some(at)), ended_by);
            operations.index(&found.id, found.version, &stored, None);
            Ok(())
        });
        let ended = ended.await?;

        let orphaned = json!({ "bool": {
            "filter": [of(&order.former), unvouched()], "must_not": [retired(), expired(ended_by)],
        } });
        let orphaned = self.rewrite(&orphaned, |found, operations| {
            let stored = form::retired(found.json(), now, INPUT_REMOVED)?;
            operations.index(&found.id, found.version, &stored, None);
            Ok(())
        });
        let orphaned = if order.former.is_empty() { 0 } else { orphaned.await? };

        let renew = json!({ "bool": {
            "filter": [of(&order.inputs), unvouched()], "must_not": [retired(), expired(ended_by), condition()],
        } });
        let renewed = self.rewrite(&renew, |found, operations| {
            let fresh = form::renewed(found.json(), now)?;
            operations.index(&found.id, found.version, &fresh, None);
            Ok(())
        });
        let renewed = renewed.await?;
        // A lower version is refused, and after a deletion for a while too, so these can only be counted.
        let ahead = match order.ahead_from {
            None => 0,
            Some(from) => {
                let ahead = json!({ "range": { "event.sequence": { "gte": observed_since(from) } } });
                let ahead = json!({ "bool": { "filter": [of_both, ahead] } });
                self.count_of(&ahead).await.map_err(|error| SinkError::Unavailable(error.to_string()))?
            }
        };
        Ok(Swept { renewed, retired: ended + orphaned, deleted, withheld, set_back: 0, ahead })
    }

    /// Retires these documents for a reason, whatever their feed says; how many were live.
    ///
    /// # Errors
    /// [`SinkError`].
    pub async fn retire_ids(&self, ids: &[String], reason: &str, now: Millis) -> Result<u64, SinkError> {
        if self.settings.mode == Mode::Events {
            return Ok(0);
        }
        self.refresh().await;
        let mut live = 0;
        for some in ids.chunks(SWEEP_PAGE) {
            let query = json!({ "bool": {
                "filter": [{ "terms": { "event.id": some } }],
                "must_not": [retired()],
            } });
            let done = self.rewrite(&query, |found, operations| {
                let stored = form::retired(found.json(), now, reason)?;
                operations.index(&found.id, found.version, &stored, None);
                Ok(())
            });
            live += done.await?;
        }
        Ok(live)
    }

    /// Writes what `change` makes of every document that matches; how many were written.
    async fn rewrite(
        &self,
        query: &Value,
        mut change: impl FnMut(&Found, &mut Operations) -> Result<(), form::FormError> + Send,
    ) -> Result<u64, SinkError> {
        let mut written = 0;
        let (mut after, mut size) = (None, SWEEP_PAGE);
        loop {
            let page = self.found_page(query, after.as_ref(), &mut size).await.map_err(SinkError::from)?;
            let Some(last) = page.last() else { return Ok(written) };
            after = Some(last.sort.clone());
            let is_last = page.len() < size;
            let mut operations = Operations::default();
            for found in &page {
                if let Err(error) = change(found, &mut operations) {
                    tracing::warn!(id = %self.client.excerpt(&found.id), %error, "a stored document is left as it is");
                }
            }
            for settled in self.bulk.write(operations).await? {
                match settled {
                    Settled::Indexed => written += 1,
                    // Confirmed by the feed in between, or left as it is by a pipeline.
                    Settled::Stale | Settled::Dropped => {}
                    Settled::Refused { code, detail } => {
                        tracing::warn!(code, detail = %self.client.excerpt(&detail), "Elasticsearch refused a changed document; the next sweep tries again");
                    }
                }
            }
            if is_last {
                return Ok(written);
            }
        }
    }

    /// Lets searches see what was written. Without the privilege they see it a little later, or at the next sweep.
    /// Whether they do.
    pub(super) async fn refresh(&self) -> bool {
        let call = Call::new(Method::POST, format!("/{}/_refresh", encoded(&self.settings.index)));
        match self.client.send(call).await {
            Ok(answer) if answer.status.is_success() => return true,
            Ok(answer) => tracing::debug!(status = %answer.status, "the index was not refreshed"),
            Err(error) => tracing::debug!(%error, "the index was not refreshed"),
        }
        false
    }
}
