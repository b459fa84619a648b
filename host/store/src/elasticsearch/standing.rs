//! Which index documents go to, whether it is the one they went to before, and whether it takes any.
//!
//! An index has a UUID of its own, so one that was deleted and made anew under its name is another one; of a data stream it is
//! those of its indices, of which at least one stays from poll to poll. Where the credential may not look (in events mode it
//! may only create), hosts and name stand for it.

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Elasticsearch;
use super::client::{Call, ClientError, encoded};
use super::explain::{LIFTED_BY, closed_text, is_put_off, put_off, stranger};
use super::reply::{self, FILTER_PATH, Reading, Verdict};
use crate::{SinkError, Standing};
use tipline_config::{Mode, Setup};

/// What is asked to be deleted, to learn whether anything is taken. No document has this id.
const PROBE: &str = "tipline-probe";

/// What is looked at of each index, and of an answer that has none.
const OF_INDEX: &str = "*.settings.index.uuid,*.settings.index.verified_before_close,error,status";

impl Elasticsearch {
    /// As [`crate::Sink::standing`]. An index that is missing is made with `setup: auto`; else it is waited for, as for one that
    /// takes nothing: whoever makes it again need not start Tipline anew.
    pub(super) async fn stand(&self) -> Result<Standing, SinkError> {
        let mut standing = self.look().await?;
        if standing.ids.as_ref().is_some_and(std::collections::BTreeSet::is_empty) && self.settings.mode == Mode::Latest
        {
            if self.settings.setup == Setup::Check {
                return Err(self.unavailable(self.missing_text().await).await);
            }
            self.set_up().await?;
            standing = self.look().await?;
        }
        Ok(standing)
    }

    /// A closed index takes no alias; what it answers then names no cause.
    pub(super) async fn refuse_closed(&self) -> Result<(), SinkError> {
        match self.look().await {
            Err(SinkError::Unavailable(text)) if text == closed_text(&self.settings.index) => {
                Err(SinkError::Unavailable(text))
            }
            _ => Ok(()),
        }
    }

    async fn look(&self) -> Result<Standing, SinkError> {
        let index = &self.settings.index;
        let path = format!("/{}/_settings?filter_path={OF_INDEX}", encoded(index));
        let answer = match self.client.send(Call::get(path)).await {
            Ok(answer) => answer,
            Err(ClientError::Refused(text)) => return Err(SinkError::Setup(text)),
            Err(ClientError::Unreachable(text)) => {
                self.bulk.availability().failed(&text, false).await;
                return Err(SinkError::Unavailable(text));
            }
        };
        let names = self.client.addresses().iter().map(|host| format!("{host}{index}")).collect();
        let json = answer.json();
        let indices = || json.as_object().into_iter().flat_map(|indices| indices.values());
        let own = |index: &Value, name: &str| index.pointer(&format!("/settings/index/{name}")).cloned();
        let is_gone = answer.error_type().as_deref() == Some("index_not_found_exception");
        let ids = match answer.status {
            status if is_put_off(status) => return Err(self.unavailable(put_off(&self.client, &answer)).await),
            StatusCode::OK if indices().any(|index| own(index, "verified_before_close") == Some(json!("true"))) => {
                return Err(self.unavailable(closed_text(index)).await);
            }
            StatusCode::OK => indices()
                .map(|index| own(index, "uuid").and_then(|uuid| uuid.as_str().map(str::to_owned)))
                .collect::<Option<_>>(),
            StatusCode::NOT_FOUND if is_gone => Some(std::collections::BTreeSet::new()),
            StatusCode::NOT_FOUND => {
                let text = stranger(&self.client, &answer);
                return Err(self.unavailable(text.unwrap_or_else(|| self.client.describe(&answer))).await);
            }
            // What else there is to say, a delivery says.
            _ => None,
        };
        // An answer without any index tells nothing.
        let ids = ids.filter(|ids| is_gone || !ids.is_empty());
        let is_filled = match ids.as_ref().is_some_and(|ids| !ids.is_empty()) {
            true => self.is_filled().await,
            false => None,
        };
        Ok(Standing { names, ids, is_filled })
    }

    /// Whether the index holds documents; of none it is certain only after a refresh.
    async fn is_filled(&self) -> Option<bool> {
        let all = json!({ "match_all": {} });
        match self.count_of(&all).await.ok()? {
            0 if self.refresh().await => Some(self.count_of(&all).await.ok()? > 0),
            0 => None,
            _ => Some(true),
        }
    }

    async fn unavailable(&self, text: String) -> SinkError {
        self.bulk.availability().failed(&text, true).await;
        SinkError::Unavailable(text)
    }

    /// As [`crate::Sink::takes`]: asks for a deletion that finds nothing, or where the credential may only create, for a document
    /// that is none. Both pass every block and queue that a document has to pass.
    pub(super) async fn ask_whether_it_takes(&self) -> Result<(), SinkError> {
        let index = &self.settings.index;
        let target = format!("/{}/_bulk?filter_path={FILTER_PATH}", encoded(index));
        let body = match self.settings.mode {
            Mode::Latest => format!("{}\n", json!({ "delete": { "_id": PROBE } })),
            Mode::Events => {
                format!("{}\n{}\n", json!({ "create": { "_id": PROBE } }), json!({ "@timestamp": PROBE }))
            }
        };
        let answer = self.ask(Call::new(Method::POST, target).ndjson(Bytes::from(body))).await?;
        let text = match reply::read(&answer, &[PROBE]) {
            Reading::Again { .. } => put_off(&self.client, &answer),
            Reading::Unreadable(reason) => {
                format!(
                    "An answer to a bulk request can't be used, as {reason}; it was {}.",
                    self.client.describe(&answer)
                )
            }
            Reading::Items(items) => match items.into_iter().next() {
                Some((_, Some(fault))) if fault.code == "index_closed_exception" => closed_text(index),
                Some((verdict @ (Verdict::Again | Verdict::AgainSlowly), fault)) => {
                    let fault = fault.map(|fault| format!("{}: {}", fault.code, fault.detail)).unwrap_or_default();
                    let advice = if verdict == Verdict::AgainSlowly { format!(" {LIFTED_BY}") } else { String::new() };
                    format!("Elasticsearch takes no documents for {index} ({}).{advice}", self.client.excerpt(&fault))
                }
                Some((Verdict::Setup, Some(fault))) if fault.code == "index_not_found_exception" => {
                    self.missing_text().await
                }
                // What else needs a person is the next delivery's to say.
                _ => return Ok(()),
            },
            Reading::TooLarge | Reading::Setup => return Ok(()),
        };
        Err(SinkError::Unavailable(text))
    }
}
