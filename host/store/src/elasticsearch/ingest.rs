//! Ingest pipelines that documents pass: the one that `pipeline:` names, and those that the index names itself.

use super::Elasticsearch;
use super::client::{Call, encoded};
use super::finding::{Finding, Level};
use serde_json::Value;

/// What an index calls the pipelines of its own.
const OF_INDEX: [&str; 2] = ["index.default_pipeline", "index.final_pipeline"];

/// What is set where there is none.
const NONE: &str = "_none";

/// Where a pipeline is named: ours, or the setting of the index.
struct Named {
    name: String,
    by: String,
}

impl Elasticsearch {
    /// Whether the pipelines are there. Nothing is said where there are none.
    pub(super) async fn find_pipelines(&self, findings: &mut Vec<Finding>) {
        for Named { name, by } in self.pipelines().await {
            let Ok(answer) = self.ask(Call::get(format!("/_ingest/pipeline/{}", encoded(&name)))).await else { return };
            let shown = self.client.excerpt(&name);
            let (level, text) = match answer.status.as_u16() {
                200 => (Level::Good, format!("The ingest pipeline {shown}, which {by} names, is there.")),
                404 => (
                    Level::Fault,
                    format!(
                        "The ingest pipeline {shown}, which {by} names, is not there: make it, or name one that is."
                    ),
                ),
                401 | 403 => (
                    Level::Warning,
                    format!(
                        "The credential may not look at the ingest pipeline {shown} (`read_pipeline` of the cluster), so it is not \
                         known whether it is there; the first page will tell."
                    ),
                ),
                _ => (
                    Level::Warning,
                    format!(
                        "It is not known whether the ingest pipeline {shown} is there: {}.",
                        self.client.describe(&answer)
                    ),
                ),
            };
            findings.push(Finding { subject: "pipeline", level, text });
        }
    }

    async fn pipelines(&self) -> Vec<Named> {
        let own = self.settings.pipeline.clone();
        let path = format!("/{}/_settings?flat_settings=true", encoded(&self.settings.index));
        let answer = self.ask(Call::get(path)).await.ok().filter(|answer| answer.status == 200);
        let json = answer.map(|answer| answer.json()).unwrap_or_default();
        let mut all: Vec<Named> =
            own.iter().map(|name| Named { name: name.clone(), by: "`pipeline`".to_owned() }).collect();
        for setting in OF_INDEX {
            // The one of a request stands in for the index's default.
            let is_used = setting != OF_INDEX[0] || own.is_none();
            let names = json.as_object().into_iter().flatten().filter_map(|(_, index)| {
                index.get("settings").and_then(|settings| settings.get(setting)).and_then(Value::as_str)
            });
            for name in names.filter(|name| is_used && *name != NONE) {
                if all.iter().all(|known| known.name != name) {
                    all.push(Named { name: name.to_owned(), by: format!("the index's `{setting}`") });
                }
            }
        }
        all
    }
}
