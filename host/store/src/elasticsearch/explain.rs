//! What answers that are not as they should be mean to a person, and which of them may be others later.

use reqwest::StatusCode;

use super::client::{Answer, Client};

/// What to do about a block, of which the refusal itself tells only that it is there.
pub(super) const LIFTED_BY: &str = "`tipline check` names the block and how to lift it.";

/// What a refused request means for a person.
pub(super) fn request_needs_person(client: &Client, answer: &Answer) -> String {
    if is_put_off(answer.status) {
        return put_off(client, answer);
    }
    let said = client.describe(answer);
    match answer.status.as_u16() {
        401 if client.has_credential() => {
            let file = client.key_file_advice().map(|advice| format!(" {advice}")).unwrap_or_default();
            format!(
                "Elasticsearch refuses the credential: {said}. Check `api_key`, `username` and `password`, or `auth`; the key may have been revoked or have expired.{file}"
            )
        }
        401 => {
            format!("Elasticsearch wants a credential: {said}. Set `api_key`, `username` and `password`, or `auth`.")
        }
        403 => format!(
            "The Elasticsearch credential lacks a privilege: {said}. Run `tipline check` for the list of those needed."
        ),
        404 => stranger(client, answer)
            .unwrap_or_else(|| format!("Elasticsearch finds nothing there: {said}. Run `tipline setup`.")),
        300..=399 => {
            format!("{} redirects, which is not followed: {said}. Put the final address into `hosts`.", client.hosts())
        }
        _ => stranger(client, answer)
            .unwrap_or_else(|| format!("Elasticsearch refuses the request: {said}. Run `tipline check`.")),
    }
}

/// What answers where Elasticsearch should, unless it is Elasticsearch or something like it: their answers say what they are,
/// or have the form of their errors.
pub(super) fn stranger(client: &Client, answer: &Answer) -> Option<String> {
    let json = answer.json();
    let is_error = json.get("error").is_some() && json.get("status").is_some_and(serde_json::Value::is_number);
    if answer.is_elastic || is_error {
        return None;
    }
    Some(format!(
        "At {} answers {}, and not Elasticsearch: {}. Put the address of Elasticsearch itself into `hosts`, with its port (often \
         9200) and, behind a proxy, its path.",
        client.hosts(),
        answer.server.as_deref().unwrap_or("something else"),
        client.describe(answer)
    ))
}

/// Whether an answer of this status may be another one later.
pub(super) fn is_put_off(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500..=599)
}

/// What an answer means that may be another one later.
pub(super) fn put_off(client: &Client, answer: &Answer) -> String {
    let said = client.describe(answer);
    let is_blocked = answer.error_type().as_deref() == Some("cluster_block_exception");
    match answer.status.as_u16() {
        _ if is_blocked => format!(
            "Elasticsearch takes no documents, as an index or the cluster is blocked: {said}. Free disk space on its nodes, or \
             remove the block (`index.blocks.*`). {LIFTED_BY}"
        ),
        429 => format!("Elasticsearch is overloaded and puts requests off: {said}."),
        503 => format!(
            "Elasticsearch answers but is not ready: {said}. It may be starting, or lack a node; `GET _cluster/health` tells."
        ),
        502 | 504 => format!("A proxy answers, and Elasticsearch behind it does not: {said}."),
        _ => format!("Elasticsearch answers with an error of its own: {said}. Its log tells more."),
    }
}

/// What there is to say of a closed index.
pub(super) fn closed_text(index: &str) -> String {
    CLOSED.replace("{index}", index)
}

/// The same, with `{index}` for its name.
pub(super) const CLOSED: &str =
    "{index} is closed, so it takes no documents and shows none. Open it: POST {index}/_open";

/// Whether an error says that a pipeline is missing.
pub(super) fn lacks_pipeline(code: &str, reason: &str) -> bool {
    matches!(code, "illegal_argument_exception" | "illegal_state_exception")
        && (reason.contains("pipeline with id [") || reason.contains("non-existent pipeline ["))
}

/// What to do where a pipeline is missing. `own` is what `pipeline:` names.
pub(super) fn pipeline_advice(own: Option<&str>) -> String {
    match own {
        Some(own) => format!("Make the ingest pipeline, or change `pipeline`, which names {own}; then run `tipline check`."),
        None => {
            "Make the ingest pipeline, or change the index's `index.default_pipeline` or `index.final_pipeline`, which names it; \
             then run `tipline check`."
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipline_config::ElasticsearchSettings;

    #[test]
    fn a_block_is_told_with_where_to_look() {
        let hosts = vec!["http://127.0.0.1:9".parse().unwrap()];
        let client = Client::new(&ElasticsearchSettings::new(hosts, tipline_config::Mode::Latest)).unwrap();
        for (body, is_told) in [
            (r#"{"error":{"type":"cluster_block_exception","reason":"index [i] blocked by: [FORBIDDEN/8]"}}"#, true),
            ("{}", false),
        ] {
            let answer = Answer {
                status: StatusCode::TOO_MANY_REQUESTS,
                body: bytes::Bytes::from_static(body.as_bytes()),
                location: None,
                is_elastic: true,
                server: None,
                retry_after: None,
            };
            assert_eq!(put_off(&client, &answer).contains(LIFTED_BY), is_told, "{body}");
        }
    }
}
