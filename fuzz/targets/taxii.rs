//! A TAXII server that answers anything: every answer has a next step, and the state stays small.
//!
//! The first three bytes pick the place in a poll, the status and the headers; the rest is the body of that answer and of
//! all that come after it.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use socdefenders::{Event, MAX_STATE_BYTES, Next, Response, Step, advance};

/// 2026-03-01T12:00:00Z.
const NOON: u64 = 1_772_366_400_000;
const SETTINGS: &str = r#"{"transport":"taxii","url":"https://taxii.example/taxii2/","feed":{"name":"Example"},
    "collection":["one","two"],"context":true,"limit":10}"#;
const STATUSES: [u16; 12] = [200, 206, 200, 400, 401, 403, 404, 406, 413, 416, 429, 503];
const HEADERS: [&[(&str, &str)]; 6] = [
    &[],
    &[("content-type", "application/taxii+json;version=2.1")],
    &[("x-taxii-date-added-last", "2026-02-28T10:00:00.000001Z")],
    &[("x-taxii-date-added-last", "2020-01-01T00:00:00Z"), ("date", "Sun, 01 Mar 2026 12:00:00 GMT")],
    &[("x-taxii-date-added-last", "undefined"), ("retry-after", "3")],
    &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1772366460")],
];
/// What the contract allows a row.
const MAX_KEY_BYTES: usize = 512;
const MAX_ROW_BYTES: usize = 64 * 1024;
/// How long one answer is given again.
const STEPS: usize = 6;

/// The states of a poll, one behind each of its answers.
static STATES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let answers = [
        r#"{"title":"A server","api_roots":["/api/"]}"#,
        r#"{"collections":[{"id":"one","title":"One","can_read":true},{"id":"two","can_read":true}]}"#,
        r#"{"more":true,"next":"a","objects":[{"type":"identity","id":"identity--1","name":"A"}]}"#,
        r#"{"type":"bundle","objects":[{"type":"indicator","id":"indicator--1","pattern":"[url:value = 'http://a.example/']"}]}"#,
    ];
    let mut states = vec![String::new()];
    let mut step = advance(SETTINGS, "", NOON, Event::Start).expect("a first request");
    for body in answers {
        states.push(step.state.clone());
        let response = Response {
            status: 200,
            headers: vec![("x-taxii-date-added-last".to_owned(), "2026-02-28T09:00:00Z".to_owned())],
            body: body.as_bytes().to_vec(),
        };
        step = advance(SETTINGS, &step.state, NOON, Event::Response(response.clone())).expect("a step");
        if let Next::Recall(_) = step.next {
            step = advance(SETTINGS, &step.state, NOON, Event::Recalled(Vec::new(), response)).expect("a page");
        }
    }
    states.push(step.state);
    states
});

fn check(step: &Step) {
    assert!(step.state.len() <= MAX_STATE_BYTES);
    if let Next::Fetch(request) = &step.next {
        assert!(request.target.starts_with('/') && request.target.len() <= 8 * 1024, "{}", request.target);
        assert!(request.target.bytes().all(|byte| byte.is_ascii_graphic()), "{}", request.target);
    }
    if let Some(batch) = &step.batch {
        assert_eq!(batch.read, batch.mapped + batch.rejected + batch.skipped);
        let lines = batch.documents.split_terminator('\n').map(str::len);
        assert!(lines.eq(batch.heads.iter().map(|head| head.length as usize)));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([place, status, headers], body)) = bytes.split_first_chunk() else { return };
    let pick = |number: u8, of: usize| usize::from(number) % of;
    let mut state = STATES[pick(*place, STATES.len())].clone();
    let headers = HEADERS[pick(*headers, HEADERS.len())];
    let answer = Response {
        status: STATUSES[pick(*status, STATUSES.len())],
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: body.to_vec(),
    };
    let (mut now, mut event, mut rows) = (NOON, Event::Response(answer.clone()), BTreeMap::new());
    for _ in 0..STEPS {
        let Ok(step) = advance(SETTINGS, &state, now, event) else { return };
        check(&step);
        // A restart in the middle goes on from there.
        check(&advance(SETTINGS, &step.state, now, Event::Start).expect("a state that was given is taken"));
        for row in step.remember {
            assert!((1..=MAX_KEY_BYTES).contains(&row.key.len()) && row.value.len() <= MAX_ROW_BYTES, "{}", row.key);
            rows.insert(row.key.clone(), row);
        }
        event = match &step.next {
            Next::Fetch(_) => Event::Response(answer.clone()),
            Next::Recall(keys) => {
                assert!(step.batch.is_none(), "a question comes before its page");
                Event::Recalled(keys.iter().filter_map(|key| rows.get(key).cloned()).collect(), answer.clone())
            }
            Next::WaitUntil(wait) => {
                assert!(wait.until > now, "a pause in the past");
                now = wait.until;
                Event::Wake
            }
            Next::Done => Event::Start,
        };
        state = step.state;
    }
});
