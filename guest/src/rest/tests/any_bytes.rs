//! For any bytes as configuration, state, headers or body there is an answer, and the states stay small.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::server::{Traits, http_date};
use super::{CONFIG, Driver, NOON, feed};
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
        "\"data\"",
        "\"meta\"",
        "\"links\"",
        "\"total\"",
        "\"limit\"",
        "\"next\"",
        "\"filters\"",
        "\"until\"",
        "\"since\"",
        "0",
        "-1",
        "18446744073709551615",
        "1e308",
        "null",
        "true",
        "\"x\"",
        "\"2026-03-01T12:00:00Z\"",
        "\"9999-12-31T23:59:59Z\"",
        "\u{fffd}",
        "\\ud800",
        "\"//evil.test\"",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

fn page() -> impl Strategy<Value = String> {
    (any::<u64>(), any::<u64>(), any::<i64>(), prop::collection::vec(0..9_u32, 0..6), ".{0,20}").prop_map(
        |(total, limit, seconds, records, next)| {
            let next = serde_json::to_string(&next).unwrap();
            let at = jiff::Timestamp::from_second(seconds % 200_000_000_000).unwrap_or_default();
            let filters = format!(r#"{{"since":"{at}","until":"{at}"}}"#);
            format!(
                r#"{{"meta":{{"total":{total},"limit":{limit},"generated_at":"{at}","filters":{filters}}},"data":{records:?},"links":{{"next":{next}}}}}"#
            )
        },
    )
}

/// The states of a real run, one after each step.
static STATES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut driver = Driver::new(CONFIG, feed(1_500, Traits { per_minute: Some(5), ..Traits::default() }));
    let (mut states, mut event) = (Vec::new(), Event::Start);
    for _ in 0..12 {
        let step = driver.advance(event).unwrap();
        states.push(step.state.clone());
        driver.state = step.state;
        event = match step.next {
            Next::Fetch(request) => driver.server.answer(driver.now, &request.target).event,
            _ => Event::Wake,
        };
        driver.now += MINUTE;
    }
    states
});

/// A real state with one of its numbers replaced.
fn twisted_state() -> impl Strategy<Value = String> {
    (0..40_usize, any::<u64>(), prop::sample::select(STATES.as_slice())).prop_map(|(which, number, state)| {
        // Numbers stand behind a colon, a comma or a bracket; digits in texts do not.
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

fn event() -> impl Strategy<Value = Event> {
    let name = prop::sample::select(vec!["date", "retry-after", "x-ratelimit-reset", "x-ratelimit-remaining"]);
    let value = prop_oneof![
        ".{0,12}",
        any::<u64>().prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        (0..4_000_000_000_000_u64).prop_map(http_date),
    ];
    let headers = prop::collection::vec((name.prop_map(str::to_owned), value), 0..4);
    let status = prop_oneof![4 => Just(200_u16), 2 => prop::sample::select(vec![204, 400, 401, 403, 429, 503]), 1 => any::<u16>()];
    prop_oneof![
        1 => Just(Event::Start),
        1 => Just(Event::Wake),
        1 => ".{0,20}".prop_map(Event::Failed),
        9 => (status, headers, prop_oneof![jsonish(), page(), ".{0,60}"])
            .prop_map(|(status, headers, body)| Event::Response(Response { status, headers, body: body.into() })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_as_configuration_and_state_gives_an_answer(config in jsonish(), state in jsonish(), event in event()) {
        let _ = crate::advance(&config, "", NOON, event.clone());
        let _ = crate::advance(CONFIG, &state, NOON, event);
    }

    #[test]
    fn any_history_gives_answers_and_small_states(
        state in prop_oneof![Just(String::new()), twisted_state()],
        events in prop::collection::vec((any::<u64>(), event()), 1..12),
    ) {
        let mut state = state;
        for (now, event) in events {
            let again = crate::advance(CONFIG, &state, now, event.clone());
            let step = crate::advance(CONFIG, &state, now, event);
            prop_assert_eq!(&step, &again, "the same arguments give the same answer");
            if let Ok(step) = step {
                prop_assert!(step.state.len() <= MAX_STATE_BYTES);
                if let Some(batch) = &step.batch {
                    prop_assert_eq!(batch.read, batch.mapped + batch.rejected + batch.skipped);
                }
                state = step.state;
            }
        }
    }
}

#[test]
fn the_largest_state_is_far_below_the_limit() {
    // Deep windows all the way down, many pages, a pause, and all types.
    let config = r#"{"url":"https://feed.example","feed":{"name":"E"},"initial_interval":"365d","limit":5,"max_offset":10,
        "types":["cve","domain","email","ipv4","ipv6","md5","mitre_attack","sha1","sha256","sha512","url"]}"#;
    let mut driver = Driver::new(config, feed(4_000, Traits { per_minute: Some(500), ..Traits::default() }));
    let mut largest = 0;
    let mut event = Event::Start;
    for _ in 0..super::MAX_STEPS {
        let step = driver.advance(event).unwrap();
        largest = largest.max(step.state.len());
        driver.state = step.state;
        match step.next {
            Next::Done => break,
            Next::Recall(_) => panic!("the driver looks rows up"),
            Next::WaitUntil(wait) => {
                driver.now = wait.until;
                event = Event::Wake;
            }
            Next::Fetch(request) => event = driver.server.answer(driver.now, &request.target).event,
        }
    }
    assert!((500..8 * 1024).contains(&largest), "{largest}");
}
