//! Renewal, retirement and deletion.
//!
//! Everything is written under the version it was read with, so a document that was confirmed in between stays as the
//! feed has it: the write is a conflict, and a conflict is left alone. A sweep walks in pages by identity, so that
//! what it changes can't make it skip or repeat, and holds one page at a time. Documents that Elasticsearch refuses
//! are logged and left for the next sweep. Events mode is history and is never swept.

use reqwest::Method;
use serde_json::{Value, json};

use super::Elasticsearch;
use super::body::Operations;
use super::bulk::Settled;
use super::client::{Call, encoded};
use super::search::Found;
use crate::clock::Millis;
use crate::config::Mode;
use crate::store::{SinkError, SweepOrder, Swept, form, time};

/// Documents read and written at once: some megabytes at the largest.
const SWEEP_PAGE: usize = 500;

impl Elasticsearch {
    /// Deletes what was retired long ago, retires what has expired, renews what lives and has an old `@timestamp`.
    ///
    /// # Errors
    /// [`SinkError`]; what was done until then stays, and the next sweep goes on.
    pub async fn sweep_index(&self, order: SweepOrder) -> Result<Swept, SinkError> {
        if self.settings.mode == Mode::Events {
            return Ok(Swept::default());
        }
        self.refresh().await;
        let retired = json!({ "exists": { "field": "socdefenders.retired_at" } });
        let expired = json!({ "range": { "socdefenders.expires_at": { "lte": time::print(order.now) } } });
        let old = |field: &str, before: Millis| json!({ "range": { field: { "lt": time::print(before) } } });

        let deleted = json!({ "bool": { "filter": [old("socdefenders.retired_at", order.delete_before)] } });
        let deleted = self.rewrite(&deleted, |found, operations| {
            operations.delete(&found.id, found.version);
            Ok(())
        });
        let deleted = deleted.await?;

        let retire = json!({ "bool": { "filter": [expired], "must_not": [retired] } });
        let retired_now = self.rewrite(&retire, |found, operations| {
            let at = found.expires_at().unwrap_or(order.now);
            let stored = form::stored(&found.document(Some(at)), order.now);
            operations.index(&found.id, found.version, &stored, None);
            Ok(())
        });
        let retired_now = retired_now.await?;

        let renew =
            json!({ "bool": { "filter": [old("@timestamp", order.renew_before)], "must_not": [retired, expired] } });
        let renewed = self.rewrite(&renew, |found, operations| {
            let fresh = form::renewed(found.json(), order.now)?;
            operations.index(&found.id, found.version, &fresh, None);
            Ok(())
        });
        Ok(Swept { renewed: renewed.await?, retired: retired_now, deleted })
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
                "must_not": [{ "exists": { "field": "socdefenders.retired_at" } }],
            } });
            let retired = self.rewrite(&query, |found, operations| {
                let stored = form::retired(found.json(), now, reason)?;
                operations.index(&found.id, found.version, &stored, None);
                Ok(())
            });
            live += retired.await?;
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
        let mut after = None;
        loop {
            let page = self.found_page(query, after.as_ref(), SWEEP_PAGE).await.map_err(SinkError::from)?;
            let Some(last) = page.last() else { return Ok(written) };
            after = Some(last.sort.clone());
            let is_last = page.len() < SWEEP_PAGE;
            let mut operations = Operations::default();
            for found in &page {
                if let Err(error) = change(found, &mut operations) {
                    tracing::warn!(id = %self.client.excerpt(&found.id), %error, "a stored document is left as it is");
                }
            }
            for settled in self.bulk.write(operations).await? {
                match settled {
                    Settled::Indexed => written += 1,
                    // Confirmed by the feed in between.
                    Settled::Stale => {}
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
    async fn refresh(&self) {
        let call = Call::new(Method::POST, format!("/{}/_refresh", encoded(&self.settings.index)));
        match self.client.send(call).await {
            Ok(answer) if answer.status.is_success() => {}
            Ok(answer) => tracing::debug!(status = %answer.status, "the index was not refreshed"),
            Err(error) => tracing::debug!(%error, "the index was not refreshed"),
        }
    }
}
