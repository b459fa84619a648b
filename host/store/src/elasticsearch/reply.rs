//! What a `_bulk` answer means: one table, from status and error type to what is done about an item.
//!
//! An answer acknowledges only what it names, by `_id`: OpenSearch answers for what an ingest pipeline dropped or failed out of
//! the order of the request. What it does not name is sent again, which is harmless, as identities and versions are ours; and
//! so is all of it where the answer is cut off, is no JSON, or has more items than were sent. `errors: false` is not believed
//! either: with a failure store a document that was refused comes back as 201.

use std::collections::{HashMap, VecDeque};

use reqwest::StatusCode;
use serde::Deserialize;

use super::client::Answer;

/// Everything [`read`] looks at; the rest of the answer stays with the server.
pub(super) const FILTER_PATH: &str = "errors,items.*._id,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store,items.*.result,error.type,error.reason,status";

/// What is done about one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Written.
    Indexed,
    /// The store holds the same or something newer.
    Stale,
    /// An ingest pipeline left it out on purpose.
    Dropped,
    /// Kept aside with the reason; sending it again would change nothing.
    Refused,
    /// Sent again soon.
    Again,
    /// Sent again, but slowly: the cluster's disks are full or the index is blocked.
    AgainSlowly,
    /// An error without a status of its own, of a kind that says nothing of whose fault it is: sent again a few times, and then
    /// kept aside, as others are taken meanwhile.
    Doubtful,
    /// Needs a person: nothing is committed.
    Setup,
}

/// An item that was not simply written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ItemFault {
    /// `error.type`, or `failure_store`.
    pub(super) code: String,
    /// `error.reason`.
    pub(super) detail: String,
}

/// What a whole answer means.
#[derive(Debug)]
pub(super) enum Reading {
    /// What became of each operation, in the order in which they were sent.
    Items(Vec<(Verdict, Option<ItemFault>)>),
    /// Too many bytes at once.
    TooLarge,
    /// All of it is sent again.
    Again { is_slow: bool, is_pressure: bool },
    /// Needs a person.
    Setup,
    /// An answer that acknowledges nothing; the text says why.
    Unreadable(String),
}

/// Reads the answer to a bulk request of operations on these documents.
pub(super) fn read(answer: &Answer, sent: &[&str]) -> Reading {
    let kind = || answer.error_type().unwrap_or_default();
    match answer.status {
        StatusCode::OK => match items(&answer.body) {
            Ok(items) if items.is_empty() || items.len() > sent.len() => {
                Reading::Unreadable(format!("it has {} items where {} were sent", items.len(), sent.len()))
            }
            Ok(items) => Reading::Items(in_order(items, sent)),
            Err(reason) => Reading::Unreadable(reason),
        },
        StatusCode::PAYLOAD_TOO_LARGE => Reading::TooLarge,
        StatusCode::TOO_MANY_REQUESTS => {
            Reading::Again { is_slow: kind() == "cluster_block_exception", is_pressure: true }
        }
        StatusCode::FORBIDDEN if kind() == "cluster_block_exception" => {
            Reading::Again { is_slow: true, is_pressure: false }
        }
        StatusCode::REQUEST_TIMEOUT => Reading::Again { is_slow: false, is_pressure: false },
        status if status.is_server_error() => Reading::Again { is_slow: false, is_pressure: false },
        status if status.is_success() => Reading::Unreadable(format!("its status is {status} instead of 200")),
        _ => Reading::Setup,
    }
}

/// The table. `reason` is looked at only for faults of the set-up that Elasticsearch reports as a document's.
pub(super) fn classify(status: u16, kind: &str, reason: &str, failure_store: &str) -> Verdict {
    match (status, kind) {
        // Captured, or tried to be: in no case in the index.
        _ if matches!(failure_store, "used" | "failed" | "not_enabled") && (status < 300 || !kind.is_empty()) => {
            if is_retriable(status) {
                put_off(status, kind)
            } else {
                Verdict::Refused
            }
        }
        (200..=299, _) => Verdict::Indexed,
        (409, _) => Verdict::Stale,
        (403 | 429, "cluster_block_exception") | (400, "index_closed_exception") => Verdict::AgainSlowly,
        (401 | 403, _) => Verdict::Setup,
        // A delete that finds nothing to delete: another sweep was first.
        (404, "") => Verdict::Stale,
        (404, "shard_not_found_exception") => Verdict::Again,
        // What a processor of a pipeline looks for.
        (404, "resource_not_found_exception") => Verdict::Refused,
        (404, _) => Verdict::Setup,
        (400, "illegal_argument_exception") if is_setup_fault(reason) => Verdict::Setup,
        (400, "index_not_found_exception" | "invalid_index_name_exception") => Verdict::Setup,
        (status, _) if is_retriable(status) => put_off(status, kind),
        _ => Verdict::Refused,
    }
}

fn is_retriable(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// What an error means that may go by itself. Elasticsearch gives 500 to whatever has no status of its own: the cluster's
/// troubles, and what a processor of an ingest pipeline throws at one document.
fn put_off(status: u16, kind: &str) -> Verdict {
    match status {
        500 if is_of_the_document(kind) => Verdict::Refused,
        500 if !kind.is_empty() && !is_of_the_cluster(kind) => Verdict::Doubtful,
        _ => Verdict::Again,
    }
}

/// What processors and scripts throw at what a document says: the `fail` processor, and Java's words for a value that does not
/// fit. No trouble of a cluster is called so.
fn is_of_the_document(kind: &str) -> bool {
    const KINDS: [&str; 17] = [
        "find_match",
        "script_exception",
        "script_error",
        "painless_error",
        "painless_explain_error",
        "parse_exception",
        "date_time_parse_exception",
        "date_time_exception",
        "number_format_exception",
        "arithmetic_exception",
        "class_cast_exception",
        "null_pointer_exception",
        "index_out_of_bounds_exception",
        "array_index_out_of_bounds_exception",
        "string_index_out_of_bounds_exception",
        "pattern_syntax_exception",
        "grok_match_failure_exception",
    ];
    kind.ends_with("_processor_exception") || kind.ends_with("_parse_exception") || KINDS.contains(&kind)
}

/// What a node, a shard or the way between them says of itself.
fn is_of_the_cluster(kind: &str) -> bool {
    const PARTS: [&str; 22] = [
        "shard",
        "node",
        "engine",
        "transport",
        "timeout",
        "timed_out",
        "rejected",
        "circuit_breaking",
        "master",
        "primary",
        "replica",
        "translog",
        "lucene",
        "recovery",
        "snapshot",
        "already_closed",
        "closed_by_interrupt",
        "file_system",
        "out_of_memory",
        "interrupted",
        "cancelled",
        "cluster",
    ];
    kind == "i_o_exception" || kind == "io_exception" || PARTS.iter().any(|part| kind.contains(part))
}

/// Faults of the index or the pipeline that come back once for every document.
fn is_setup_fault(reason: &str) -> bool {
    [
        "only write ops with an op_type of create are allowed in data streams",
        "pipeline with id [",
        "is not a data stream",
    ]
    .iter()
    .any(|text| reason.contains(text))
}

/// What became of each operation: what its item says. One without an item is sent again.
///
/// An item whose `_id` was not sent is taken for the operation at its place only where nothing shows another order: a document
/// that went to a failure store has an id of its own there, and a server may be told to leave ids out.
fn in_order(items: Vec<ItemReply>, sent: &[&str]) -> Vec<(Verdict, Option<ItemFault>)> {
    let mut places: HashMap<&str, VecDeque<usize>> = HashMap::with_capacity(sent.len());
    for (place, id) in sent.iter().enumerate() {
        places.entry(id).or_default().push_back(place);
    }
    let mut outcomes: Vec<Option<ItemReply>> = sent.iter().map(|_| None).collect();
    let (mut strangers, mut is_in_order) = (Vec::new(), items.len() == sent.len());
    for (at, item) in items.into_iter().enumerate() {
        let known = item.id.as_deref().and_then(|id| places.get_mut(id));
        match known.and_then(VecDeque::pop_front) {
            Some(place) => {
                is_in_order &= place == at;
                if let Some(outcome) = outcomes.get_mut(place) {
                    *outcome = Some(item);
                }
            }
            None => strangers.push((at, item)),
        }
    }
    for (at, item) in strangers.into_iter().filter(|_| is_in_order) {
        if let Some(outcome) = outcomes.get_mut(at) {
            *outcome = Some(item);
        }
    }
    outcomes.into_iter().map(|outcome| outcome.map_or_else(unanswered, judged)).collect()
}

/// What is known of an operation that the answer does not name.
fn unanswered() -> (Verdict, Option<ItemFault>) {
    let detail = "the answer names other documents, and not this one".to_owned();
    (Verdict::Again, Some(ItemFault { code: "no_item".to_owned(), detail }))
}

fn items(body: &[u8]) -> Result<Vec<ItemReply>, String> {
    let reply: Reply = serde_json::from_slice(body).map_err(|error| match body.first() {
        None => "it is empty".to_owned(),
        Some(b'<') => "it is a web page, so a proxy or a login page stands where Elasticsearch should".to_owned(),
        Some(_) => format!("it is no whole bulk answer: {error}"),
    })?;
    Ok(reply.items.into_iter().map(|item| item.operation).collect())
}

fn judged(item: ItemReply) -> (Verdict, Option<ItemFault>) {
    let failure_store = item.failure_store.unwrap_or_default();
    let error = item.error.unwrap_or_default();
    let verdict = match classify(item.status, &error.kind, &error.reason, &failure_store) {
        Verdict::Indexed if item.result.as_deref() == Some("noop") => Verdict::Dropped,
        verdict => verdict,
    };
    let fault = match verdict {
        Verdict::Indexed | Verdict::Stale | Verdict::Dropped => None,
        _ if error.kind.is_empty() && !failure_store.is_empty() => Some(ItemFault {
            code: "failure_store".to_owned(),
            detail: "Elasticsearch did not index it but put it into the data stream's failure store; see \
                     `<data stream>::failures` for its reason"
                .to_owned(),
        }),
        _ if error.kind.is_empty() => {
            Some(ItemFault { code: format!("status_{}", item.status), detail: "no reason given".to_owned() })
        }
        _ => Some(ItemFault { code: error.kind, detail: error.reason }),
    };
    (verdict, fault)
}

#[derive(Deserialize)]
struct Reply {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "index", alias = "create", alias = "delete")]
    operation: ItemReply,
}

#[derive(Deserialize)]
struct ItemReply {
    #[serde(rename = "_id", default)]
    id: Option<String>,
    status: u16,
    #[serde(default)]
    failure_store: Option<String>,
    /// `noop` where nothing was written, as a pipeline dropped the document.
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    error: Option<ItemError>,
}

#[derive(Deserialize, Default)]
struct ItemError {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: String,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn every_outcome_has_its_verdict() {
        use Verdict::{Again, AgainSlowly, Doubtful, Indexed, Refused, Setup, Stale};
        let data_stream = "only write ops with an op_type of create are allowed in data streams";
        for (status, kind, reason, failure_store, expected) in [
            (201, "", "", "", Indexed),
            (200, "", "", "", Indexed),
            (201, "", "", "not_applicable_or_unknown", Indexed),
            (201, "", "", "used", Refused),
            (400, "document_parsing_exception", "", "not_enabled", Refused),
            (400, "document_parsing_exception", "", "failed", Refused),
            (429, "es_rejected_execution_exception", "", "not_enabled", Again),
            (409, "version_conflict_engine_exception", "", "", Stale),
            (409, "version_conflict_engine_exception", "", "not_applicable_or_unknown", Stale),
            (429, "es_rejected_execution_exception", "", "", Again),
            (429, "circuit_breaking_exception", "", "", Again),
            (429, "cluster_block_exception", "TOO_MANY_REQUESTS/12", "", AgainSlowly),
            (403, "cluster_block_exception", "FORBIDDEN/8", "", AgainSlowly),
            (400, "index_closed_exception", "closed", "", AgainSlowly),
            (403, "security_exception", "", "", Setup),
            (401, "security_exception", "", "", Setup),
            (400, "mapper_parsing_exception", "", "", Refused),
            (400, "document_parsing_exception", "", "", Refused),
            (400, "strict_dynamic_mapping_exception", "", "", Refused),
            (400, "illegal_argument_exception", "a term is too long", "", Refused),
            (400, "illegal_argument_exception", data_stream, "", Setup),
            (400, "illegal_argument_exception", "pipeline with id [x] does not exist", "", Setup),
            (404, "index_not_found_exception", "", "", Setup),
            (404, "", "", "", Stale),
            (503, "unavailable_shards_exception", "", "", Again),
            (404, "shard_not_found_exception", "", "", Again),
            (404, "resource_not_found_exception", "", "", Refused),
            (500, "", "", "", Again),
            (500, "node_closed_exception", "", "", Again),
            (500, "connect_transport_exception", "", "", Again),
            (500, "already_closed_exception", "", "", Again),
            (500, "i_o_exception", "No space left on device", "", Again),
            (500, "index_engine_exception", "", "", Again),
            (500, "exception", "", "", Doubtful),
            (500, "illegal_state_exception", "a pipeline within names one that is not there", "", Doubtful),
            (503, "exception", "", "", Again),
            (500, "fail_processor_exception", "", "", Refused),
            (500, "find_match", "Unable to find match for dissect pattern", "", Refused),
            (500, "script_exception", "", "", Refused),
            (500, "null_pointer_exception", "", "", Refused),
            (500, "fail_processor_exception", "", "not_enabled", Refused),
            (500, "node_closed_exception", "", "failed", Again),
            (504, "timeout_exception", "", "", Again),
            (413, "", "", "", Refused),
        ] {
            assert_eq!(
                classify(status, kind, reason, failure_store),
                expected,
                "{status} {kind} {reason} {failure_store}"
            );
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            location: None,
            is_elastic: true,
            server: None,
            retry_after: None,
        }
    }

    #[test]
    fn whole_answers_have_their_reading() {
        let one = r#"{"errors":false,"items":[{"index":{"status":201}}]}"#;
        let block = r#"{"error":{"type":"cluster_block_exception"},"status":429}"#;
        for (status, body, expected) in [
            (200, one, "Items([(Indexed, None)])"),
            (200, &one[..one.len() - 4], "Unreadable("),
            (200, r#"{"items":[]}"#, "Unreadable(\"it has 0 items where 1 were sent\")"),
            (200, "", "Unreadable(\"it is empty\")"),
            (200, "<html>login</html>", "Unreadable(\"it is a web page"),
            (204, "", "Unreadable("),
            (413, "", "TooLarge"),
            (429, "{}", "Again { is_slow: false, is_pressure: true }"),
            (429, block, "Again { is_slow: true, is_pressure: true }"),
            (403, block, "Again { is_slow: true, is_pressure: false }"),
            (503, "", "Again { is_slow: false, is_pressure: false }"),
            (401, "", "Setup"),
            (403, "", "Setup"),
            (404, "", "Setup"),
            (302, "", "Setup"),
            (400, "", "Setup"),
        ] {
            let reading = format!("{:?}", read(&answer(status, body), &["a"]));
            assert!(reading.starts_with(expected), "{status} {body}: {reading}");
        }
    }

    #[test]
    fn what_a_pipeline_dropped_is_not_taken_for_written() {
        let body = r#"{"errors":false,"items":[{"index":{"result":"noop","status":200}},{"create":{"result":"noop","status":200}},{"index":{"result":"updated","status":200}},{"delete":{"result":"not_found","status":404}}]}"#;
        let Reading::Items(items) = read(&answer(200, body), &["a", "b", "c", "d"]) else { panic!("no items") };
        let verdicts: Vec<_> = items.into_iter().map(|(verdict, _)| verdict).collect();
        assert_eq!(verdicts, [Verdict::Dropped, Verdict::Dropped, Verdict::Indexed, Verdict::Stale]);
    }

    #[test]
    fn each_operation_gets_its_own_item_in_whatever_order_they_come() {
        // Of each item its id, and a status that tells them apart.
        for (sent, items, expected) in [
            (&["a", "b", "c"][..], &[("a", 1), ("b", 2), ("c", 3)][..], &[1, 2, 3][..]),
            (&["a", "b", "c"], &[("c", 3), ("a", 1), ("b", 2)], &[1, 2, 3]),
            // One document twice: its operations are done in their order.
            (&["a", "b", "a"], &[("b", 2), ("a", 1), ("a", 3)], &[1, 2, 3]),
            // An id that was not sent, and none.
            (&["a", "b", "c"], &[("a", 1), ("x", 2), ("c", 3)], &[1, 2, 3]),
            (&["a", "b", "c"], &[("", 1), ("", 2), ("", 3)], &[1, 2, 3]),
            (&["a", "b", "c"], &[("b", 2), ("x", 1), ("c", 3)], &[0, 2, 3]),
            // An item too few, and one that comes twice.
            (&["a", "b", "c"], &[("a", 1), ("c", 3)], &[1, 0, 3]),
            (&["a", "b", "c"], &[("a", 1), ("x", 2)], &[1, 0, 0]),
            (&["a", "b", "c"], &[("b", 2), ("b", 9), ("c", 3)], &[0, 2, 3]),
        ] {
            let items: Vec<_> = items.iter().map(|(id, number)| item(id, 460 + number)).collect();
            let body = serde_json::json!({ "items": items }).to_string();
            let Reading::Items(read) = read(&answer(200, &body), sent) else { panic!("no items") };
            let numbers: Vec<_> = read
                .into_iter()
                .map(|(verdict, fault)| match (verdict, fault.unwrap().code.as_str()) {
                    (Verdict::Again, "no_item") => 0,
                    (_, code) => code.strip_prefix("status_46").unwrap().parse().unwrap(),
                })
                .collect();
            assert_eq!(numbers, expected, "{sent:?} {body}");
        }
    }

    fn item(id: &str, status: u16) -> serde_json::Value {
        match id {
            "" => serde_json::json!({ "index": { "status": status } }),
            id => serde_json::json!({ "index": { "_id": id, "status": status } }),
        }
    }

    #[test]
    fn a_refused_item_keeps_the_servers_reason() {
        let body = r#"{"errors":true,"items":[{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"not an ip"}}},{"index":{"status":201,"failure_store":"used"}}]}"#;
        let Reading::Items(items) = read(&answer(200, body), &["a", "b"]) else { panic!("no items") };
        let faults: Vec<_> = items.into_iter().map(|(verdict, fault)| (verdict, fault.unwrap().code)).collect();
        assert_eq!(
            faults,
            [
                (Verdict::Refused, "document_parsing_exception".to_owned()),
                (Verdict::Refused, "failure_store".to_owned())
            ]
        );
    }
}
