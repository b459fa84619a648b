//! One behaviour: the native crate, the component under wasmtime in both profiles and compiled in one pass, and the core
//! module driven by hand give the same bytes for the same input, also in an instance that has mapped other pages before.

use std::collections::HashMap;

use libtest_mimic::{Failed, Trial};

use tipline::clock::Clock;
use tipline::sandbox::{self, CallLimits, Event, Guest, Head, Profile, Response, Row};
use tipline::state::Commit;
use tipline::store::Page;

use crate::cases::Case;
use crate::core_module::CoreModule;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("three_ways::mapping_cases", mapping_cases),
        Trial::test("three_ways::pager_scenarios", pager_scenarios),
        Trial::test("three_ways::the_host_takes_what_the_guest_writes", host_takes_all),
        Trial::test("three_ways::component_imports_nothing", imports_nothing),
        Trial::test("three_ways::component_is_small", is_small),
    ]
}

/// Every case of `guest/tests/cases`, in one go and in order, so that all but the first run in a used instance.
fn mapping_cases() -> Result<(), Failed> {
    let trusted = Guest::built_in(Profile::Trusted, None)?;
    let sandboxed = Guest::built_in(Profile::Sandboxed(CallLimits::SANDBOXED), None)?;
    let one_pass = Guest::built_in_one_pass()?;
    let mut core = CoreModule::new();
    let cases = cases();
    if cases.len() < 20 {
        return Err(format!("only {} cases were found", cases.len()).into());
    }
    // Twice: the second time every instance has seen all pages.
    for case in cases.iter().chain(&cases) {
        let native = socdefenders::map_records(&case.config, case.observed, &case.page);
        let native = format!("{native:?}");
        let named = [
            ("trusted", trusted.map_records(&case.config, case.observed, &case.page)?),
            ("sandboxed", sandboxed.map_records(&case.config, case.observed, &case.page)?),
            ("one pass", one_pass.map_records(&case.config, case.observed, &case.page)?),
            ("core", core.map_records(&case.config, case.observed, &case.page)),
        ];
        for (way, result) in named {
            same(&format!("{}: {way}", case.name), &native, &contract(&format!("{result:?}")))?;
        }
    }
    Ok(())
}

/// A feed's way to say "never".
const NEVER: &str = r#"{"objects":[{"type":"indicator","spec_version":"2.1","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
    "created":"2024-01-01T00:00:00Z","modified":"2024-01-01T00:00:00Z","valid_from":"2024-01-01T00:00:00Z",
    "valid_until":"9999-12-31T23:59:59Z","pattern_type":"stix","pattern":"[domain-name:value = 'evil.example.net']"}]}"#;

/// No document of the guest's is one that the host refuses: it would be quarantined in every run.
fn host_takes_all() -> Result<(), Failed> {
    let pages = cases().into_iter().map(|case| (case.name, case.config, case.page));
    let never = ("never".to_owned(), "{}".to_owned(), NEVER.as_bytes().to_vec());
    let demo = format!("[{}]", include_str!("corpus/demo.jsonl").lines().collect::<Vec<_>>().join(","));
    let mut documents = 0;
    for (name, config, page) in pages.chain([never, ("demo".to_owned(), "{}".to_owned(), demo.into_bytes())]) {
        let Ok(batch) = socdefenders::map_records(&config, 1_733_740_200_000, &page) else { continue };
        if name == "never" && !batch.documents.contains(r#""expires_at":"9999-12-31T23:59:59"#) {
            return Err(format!("the case is none any more: {}", batch.documents).into());
        }
        let head = |h: socdefenders::Head| Head { id: h.id, version: h.version, expires: h.expires, length: h.length };
        let heads = batch.heads.into_iter().map(head).collect();
        let page = Page::new(batch.documents, heads, Commit::default(), Clock::system().now())?;
        documents += page.len();
        if let Some(refused) = page.commit.refused.first() {
            return Err(format!("{name}: {}: {}\n{}", refused.code, refused.detail, refused.document).into());
        }
    }
    if documents < 2_000 { Err(format!("only {documents} documents").into()) } else { Ok(()) }
}

/// Walks the pagers through answers good and bad, comparing each step. Rows are kept as a host keeps them, and given when they
/// are asked for.
fn pager_scenarios() -> Result<(), Failed> {
    let trusted = Guest::built_in(Profile::Trusted, None)?;
    let sandboxed = Guest::built_in(Profile::Sandboxed(CallLimits::SANDBOXED), None)?;
    let one_pass = Guest::built_in_one_pass()?;
    let mut core = CoreModule::new();
    let rest = r#"{"limit":2}"#;
    let taxii =
        r#"{"url":"http://127.0.0.1/root/","transport":"taxii","feed":{"name":"Ways"},"initial_interval":"24h"}"#;
    let now = 1_733_740_200_000;
    let page = |offset: u32, values: &[&str]| {
        let data: Vec<String> = values.iter().map(|v| format!(r#"{{"type":"domain","value":"{v}"}}"#)).collect();
        let meta = format!(r#"{{"total":3,"limit":2,"offset":{offset},"generated_at":"2024-12-09T10:30:00Z"}}"#);
        answer(200, &format!(r#"{{"meta":{meta},"data":[{}]}}"#, data.join(",")))
    };
    let poll = |modified: &str, pattern: &str| {
        let root = r#"{"title":"Root","versions":["application/taxii+json;version=2.1"]}"#;
        let id = "91a7b528-80eb-42ed-a74d-c6fbd5a26116";
        let collections =
            format!(r#"{{"collections":[{{"id":"{id}","title":"All","can_read":true,"can_write":false}}]}}"#);
        let created = "2024-11-01T00:00:00Z";
        let object = format!(
            r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--{id}","created":"{created}","modified":"{modified}","valid_from":"{created}","pattern_type":"stix","pattern":"{pattern}"}}"#
        );
        let objects = format!(r#"{{"objects":[{object}]}}"#);
        [Event::Start, answer(200, root), answer(200, &collections), answer(200, &objects)]
    };
    let first = poll("2024-11-02T00:00:00Z", "[domain-name:value IN ('old.example', 'kept.example')]");
    let second = poll("2024-11-03T00:00:00Z", "[domain-name:value = 'kept.example']");
    let mut recalled = 0;
    let scenarios: [(&str, Vec<Event>); 8] = [
        (
            "two pages",
            vec![
                Event::Start,
                page(0, &["a.example.com", "b.example.com"]),
                page(1, &["b.example.com", "c.example.com"]),
            ],
        ),
        ("no connection", vec![Event::Start, Event::Failed("connection refused".to_owned()), Event::Wake]),
        ("rate limit", vec![Event::Start, answer(429, "{}"), Event::Wake]),
        ("login page", vec![Event::Start, answer(200, "<html>")]),
        ("truncated", vec![Event::Start, answer(200, r#"{"data":[{"#), Event::Wake]),
        ("wrong key", vec![Event::Start, answer(401, r#"{"error":{"code":"invalid_api_key","message":"no"}}"#)]),
        ("taxii: a page that is none", vec![Event::Start, answer(200, "<html>")]),
        ("taxii: a correction", [first, second].concat()),
    ];
    for (name, events) in scenarios {
        let config = if name.starts_with("taxii") { taxii } else { rest };
        let (mut state, mut rows) = (String::new(), HashMap::new());
        let mut events = events.into_iter();
        let mut asked = None;
        while let Some(event) = asked.take().or_else(|| events.next()) {
            let native = socdefenders::advance(config, &state, now, native_event(&event));
            let native_text = format!("{native:?}");
            let named = [
                ("trusted", trusted.advance(config, &state, now, &event)?),
                ("sandboxed", sandboxed.advance(config, &state, now, &event)?),
                ("one pass", one_pass.advance(config, &state, now, &event)?),
                ("core", core.advance(config, &state, now, &event)),
            ];
            for (way, result) in named {
                same(&format!("{name}: {way}"), &native_text, &contract(&format!("{result:?}")))?;
            }
            let Ok(step) = native else { break };
            state = step.state;
            for row in step.remember {
                rows.insert(row.key.clone(), Row { key: row.key, value: row.value, expires: row.expires });
            }
            if let (socdefenders::Next::Recall(keys), Event::Response(response)) = (step.next, event) {
                let known: Vec<Row> = keys.iter().filter_map(|key| rows.get(key).cloned()).collect();
                recalled += known.len();
                asked = Some(Event::Recalled((known, response)));
            }
        }
    }
    if recalled == 1 {
        Ok(())
    } else {
        Err(format!("{recalled} rows were recalled where the correction needs one").into())
    }
}

fn imports_nothing() -> Result<(), Failed> {
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::new(&engine, sandbox::BUILT_IN)?;
    let imports: Vec<_> = component.component_type().imports(&engine).map(|(name, _)| name.to_owned()).collect();
    let core: Vec<_> = wasmtime::Module::new(&engine, sandbox::BUILT_IN_CORE)?
        .imports()
        .map(|i| format!("{}.{}", i.module(), i.name()))
        .collect();
    if imports.is_empty() && core.is_empty() { Ok(()) } else { Err(format!("imports: {imports:?} {core:?}").into()) }
}

/// At most 2 MB: it is downloaded by browsers and compiled at start.
fn is_small() -> Result<(), Failed> {
    let size = sandbox::BUILT_IN.len();
    if size <= 2_000_000 { Ok(()) } else { Err(format!("the component has {size} bytes").into()) }
}

/// The golden cases of the guest.
pub fn cases() -> Vec<Case> {
    Case::all(&crate::builds::repository("guest/tests/cases"))
}

fn answer(status: u16, body: &str) -> Event {
    let headers = vec![("date".to_owned(), "Mon, 09 Dec 2024 10:30:00 GMT".to_owned())];
    Event::Response(Response { status, headers, body: body.as_bytes().to_vec() })
}

fn native_event(event: &Event) -> socdefenders::Event {
    match event {
        Event::Start => socdefenders::Event::Start,
        Event::Response(r) => socdefenders::Event::Response(native_response(r)),
        Event::Recalled((rows, r)) => {
            let row = |r: &Row| socdefenders::Row { key: r.key.clone(), value: r.value.clone(), expires: r.expires };
            socdefenders::Event::Recalled(rows.iter().map(row).collect(), native_response(r))
        }
        Event::Failed(reason) => socdefenders::Event::Failed(reason.clone()),
        Event::Wake => socdefenders::Event::Wake,
    }
}

fn native_response(r: &Response) -> socdefenders::Response {
    socdefenders::Response { status: r.status, headers: r.headers.clone(), body: r.body.clone() }
}

/// wasmtime's generated types write `Failure::Config("…")` in Debug where the crate's own write `Config("…")`.
fn contract(text: &str) -> String {
    let mut text = text.to_owned();
    for name in ["Failure", "Next", "Event"] {
        text = text.replace(&format!("{name}::"), "");
    }
    text
}

fn same(what: &str, expected: &str, found: &str) -> Result<(), Failed> {
    if expected == found {
        return Ok(());
    }
    let at = expected.bytes().zip(found.bytes()).take_while(|(a, b)| a == b).count();
    let cut = |text: &str| text.chars().skip(at.saturating_sub(40)).take(160).collect::<String>();
    Err(format!("{what} differs at byte {at}:\n native: …{}\n  found: …{}", cut(expected), cut(found)).into())
}
