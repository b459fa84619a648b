//! Its Timelines.

use serde::Deserialize;
use serde_json::{Value, json};

use super::standin::{Answered, Call, Reply, Standin};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct New {
    timeline_type: Option<String>,
    status: Option<String>,
    timeline: Timeline,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(dead_code, reason = "that it is there, and of which kind, is what counts")]
struct Timeline {
    title: String,
    description: String,
    timeline_type: String,
    status: String,
    event_type: String,
    kql_mode: String,
    index_names: Vec<String>,
    kql_query: KqlQuery,
    date_range: DateRange,
    data_providers: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KqlQuery {
    filter_query: FilterQuery,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FilterQuery {
    kuery: Kuery,
    serialized_query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kuery {
    kind: String,
    expression: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DateRange {
    start: String,
    end: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Deleted {
    saved_object_ids: Vec<String>,
}

impl Standin {
    pub(super) fn timeline(&mut self, method: &str, call: &Call<'_>) -> Answered {
        match method {
            "POST" => {
                let New { timeline_type, status, timeline } = call.body()?;
                let kuery = &timeline.kql_query.filter_query.kuery;
                let is_good = timeline_type.is_none_or(|kind| kind == "default")
                    && status.is_none_or(|status| status == "active")
                    && timeline.kql_mode == "filter"
                    && kuery.kind == "kuery"
                    && timeline.kql_query.filter_query.serialized_query.is_empty()
                    && tipline_kql::parse(&kuery.expression).is_ok()
                    && timeline.date_range.start < timeline.date_range.end;
                if !is_good {
                    return Err(Reply::error(405, "timeline type is not valid"));
                }
                let mut saved: Value = call.body::<Value>()?["timeline"].take();
                let id = self.id("timeline");
                saved["savedObjectId"] = json!(id);
                saved["version"] = json!("v1");
                self.timelines.push(saved.clone());
                Ok(Reply::ok(saved))
            }
            "DELETE" => {
                let Deleted { saved_object_ids } = call.body()?;
                self.timelines.retain(|saved| !saved_object_ids.iter().any(|id| saved["savedObjectId"] == *id));
                Ok(Reply::ok(json!({ "data": { "deleteTimeline": true } })))
            }
            _ => Err(Reply::error(404, "Not Found")),
        }
    }
}
