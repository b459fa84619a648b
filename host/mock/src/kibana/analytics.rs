//! The index of attachments that Kibana keeps in Elasticsearch since 9.5.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::standin::{Answered, Asked, Reply, Standin};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookUp {
    size: usize,
    _source: bool,
    fields: Vec<String>,
    query: Query,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    bool: Filters,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filters {
    filter: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    terms: HashMap<String, Vec<String>>,
}

/// In the shape of Elasticsearch's errors.
fn error(status: u16, kind: &str, reason: &str) -> Reply {
    Reply { status, body: json!({ "error": { "type": kind, "reason": reason }, "status": status }) }
}

impl Standin {
    pub(super) fn analytics(&self, asked: &Asked) -> Answered {
        if asked.method != "POST" || asked.path != "/.cases-attachments/_search" {
            return Err(error(400, "illegal_argument_exception", "no such page"));
        }
        if self.has_no_analytics {
            return Err(error(404, "index_not_found_exception", "no such index [.cases-attachments]"));
        }
        let body = asked.body.as_deref().unwrap_or_default();
        let look_up: LookUp =
            serde_json::from_str(body).map_err(|wrong| error(400, "parsing_exception", &wrong.to_string()))?;
        let mut hits = Vec::new();
        for case in &self.cases {
            for comment in &case.comments {
                let text = |name: &str| comment.get(name).and_then(Value::as_str).unwrap_or_default();
                let attached = if text("type") == "externalReference" { text("externalReferenceId") } else { "" };
                let document = [
                    ("case.id", case.id.as_str()),
                    ("attachment.attachment_id", attached),
                    ("attachment.type", text("type")),
                    ("owner", case.owner.as_str()),
                    ("space_id", "default"),
                ];
                let value = |field: &str| document.iter().find(|(name, _)| *name == field).map(|(_, value)| *value);
                let fits = |filter: &Filter| {
                    filter
                        .terms
                        .iter()
                        .all(|(field, terms)| value(field).is_some_and(|value| terms.iter().any(|term| term == value)))
                };
                if look_up.query.bool.filter.iter().all(fits) {
                    let fields =
                        look_up.fields.iter().filter_map(|field| Some((field.clone(), json!([value(field)?]))));
                    hits.push(json!({ "fields": fields.collect::<serde_json::Map<_, _>>() }));
                }
            }
        }
        hits.truncate(look_up.size);
        Ok(Reply::ok(json!({ "hits": { "total": { "value": hits.len() }, "hits": hits } })))
    }
}
