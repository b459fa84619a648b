//! For any bytes as state, headers or body there is an answer, and the states stay small.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::server::{Style, Traits};
use super::{CONFIG, Driver, NOON, http_date, indicators, one};
use crate::contract::{Event, MAX_STATE_BYTES, Next, Response};
use tipline_ecs::time::MINUTE;

/// Something like JSON, with the pager's own words in it.
fn jsonish() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"objects\"",
        "\"more\"",
        "\"next\"",
        "\"type\"",
        "\"bundle\"",
        "\"indicator\"",
        "\"api_roots\"",
        "\"default\"",
        "\"collections\"",
        "\"id\"",
        "\"one\"",
        "\"can_read\"",
        "\"title\"",
        "0",
        "-1",
        "18446744073709551615",
        "null",
        "true",
        "false",
        "\"/api/\"",
        "\"//evil.test\"",
        "\u{fffd}",
        "\\ud800",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        jsonish(),
        ".{0,60}",
        Just(r#"{"title":"T","api_roots":["/api/"]}"#.to_owned()),
        Just(r#"{"collections":[{"id":"one"},{"id":"two"}]}"#.to_owned()),
        (any::<bool>(), ".{0,8}", prop::collection::vec(0..9_u32, 0..5)).prop_map(|(more, next, objects)| {
            let objects: Vec<_> = objects.iter().map(|n| serde_json::json!({"type": "indicator", "n": n})).collect();
            serde_json::json!({"more": more, "next": next, "objects": objects}).to_string()
        }),
        prop::collection::vec(0..9_u32, 0..5).prop_map(|objects| {
            let objects: Vec<_> = objects.iter().map(|n| serde_json::json!({"type": "indicator", "n": n})).collect();
            serde_json::json!({"type": "bundle", "objects": objects}).to_string()
        }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let name = prop::sample::select(vec![
        "date",
        "retry-after",
        "x-ratelimit-reset",
        "x-ratelimit-remaining",
        "x-taxii-date-added-first",
        "x-taxii-date-added-last",
    ]);
    let value = prop_oneof![
        ".{0,12}",
        any::<u64>().prop_map(|n| n.to_string()),
        (0..4_000_000_000_000_u64).prop_map(http_date),
        (0..4_000_000_000_000_u64).prop_map(crate::time::rfc3339),
    ];
    let headers = prop::collection::vec((name.prop_map(str::to_owned), value), 0..5);
    let status = prop_oneof![
        5 => Just(200_u16),
        2 => prop::sample::select(vec![204, 206, 400, 401, 403, 404, 406, 413, 416, 429, 503]),
        1 => any::<u16>(),
    ];
    prop_oneof![
        1 => Just(Event::Start),
        1 => Just(Event::Wake),
        1 => ".{0,20}".prop_map(Event::Failed),
        9 => (status, headers, body())
            .prop_map(|(status, headers, body)| Event::Response(Response { status, headers, body: body.into() })),
    ]
}

/// The states of real runs, one after each step.
static STATES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut states = Vec::new();
    for style in [Style::Envelope, Style::Bundle] {
        let traits = Traits { per_minute: Some(5), style, ..Traits::default() };
        let mut driver = Driver::new(CONFIG, one(indicators(650), traits));
        let mut event = Event::Start;
        for _ in 0..12 {
            let step = driver.advance(event).unwrap();
            states.push(step.state.clone());
            driver.state = step.state;
            event = match step.next {
                Next::Fetch(request) => driver.server.answer(driver.now, &request).event,
                _ => Event::Wake,
            };
            driver.now += MINUTE;
        }
    }
    states
});

/// A real state with one of its numbers replaced.
fn twisted_state() -> impl Strategy<Value = String> {
    (0..40_usize, any::<u64>(), prop::sample::select(STATES.as_slice())).prop_map(|(which, number, state)| {
        let starts: Vec<usize> = state
            .match_indices([':', ',', '['])
            .map(|(at, _)| at + 1)
            .filter(|at| state[*at..].starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        let start = starts[which % starts.len()];
        let end = start + state[start..].find(|c: char| !c.is_ascii_digit()).unwrap();
        format!("{}{number}{}", &state[..start], &state[end..])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_as_state_gives_an_answer(state in jsonish(), event in event()) {
        let _ = crate::advance(CONFIG, &state, NOON, event);
    }

    #[test]
    fn any_history_gives_answers_and_small_states(
        state in prop_oneof![Just(String::new()), twisted_state()],
        events in prop::collection::vec((any::<u64>(), event()), 1..14),
    ) {
        let mut state = state;
        for (now, event) in events {
            let again = crate::advance(CONFIG, &state, now, event.clone());
            let step = crate::advance(CONFIG, &state, now, event);
            prop_assert_eq!(&step, &again, "the same arguments give the same answer");
            if let Ok(step) = step {
                prop_assert!(step.state.len() <= MAX_STATE_BYTES);
                if let Next::Fetch(request) = &step.next {
                    prop_assert!(request.target.starts_with('/') && request.target.len() <= 8 * 1024);
                    prop_assert!(request.target.bytes().all(|b| b.is_ascii_graphic()));
                }
                if let Some(batch) = &step.batch {
                    prop_assert_eq!(batch.read, batch.mapped + batch.rejected + batch.skipped);
                }
                state = step.state;
            }
        }
    }
}
