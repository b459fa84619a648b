//! Links and saved Timelines give back the query and the range, byte for byte.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tipline_kibana::timeline::{Investigation, MAX_LINK_BYTES, MAX_PAIRS, Saved};
use tipline_kibana::{Act, Kibana, KibanaError, Pair, fields};
use tipline_kql::{Expr, Literal, Values, parse};

use crate::rison;
use crate::support::{AT, MD5, SHA256, bytes, claim, kibana, read, send};
use tipline_mock::kibana::Standin;

const FROM: &str = "2026-01-01T12:00:00.000Z";
const TO: &str = "2026-01-15T12:00:00.000Z";

/// What breaks links and queries elsewhere.
const VALUES: &[&str] = &[
    "203.0.113.9",
    r"HKLM\Software\test\new\",
    r#"a"b\"c"#,
    "tab\there, line\r\nthere",
    "*.example?*",
    "\u{202e}gpj.exe\u{200f}\u{200b}",
    "🦀 𝕏 é 中",
    "it's !(a:'b',c:!t) and or not",
    "https://a.example/p?q=1&r=a+b%20c#d",
    " ends in spaces ",
    "{}()<>:@$;,",
    r"\u0041\\",
    "null",
    "true",
    "123",
    "-1",
    "\0",
];

/// The parameters of a link, from `?` on.
fn parameters(state: &str) -> Vec<(String, Value)> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        assert!(!value.contains(['+', '(', '\'', '#']), "{value} breaks where it is pasted");
        (decoded(name), rison::read(&decoded(value)))
    };
    state.split('&').map(pair).collect()
}

/// The query's clauses as fields and values, by the language's own parser.
fn clauses(query: &str) -> Vec<(String, String)> {
    let tree = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let parts = if let Expr::Or(parts) = tree.node { parts } else { vec![tree] };
    let clause = |part: &tipline_kql::Node| match &part.node {
        Expr::Is { field, values } => match &values.node {
            Values::One(Literal::Quoted(text)) => (field.node.as_exact().unwrap().to_owned(), text.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    parts.iter().map(clause).collect()
}

/// What each way of opening it says: the query, the first moment and the last.
fn opened(investigation: &Investigation) -> [(String, String, String); 3] {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let link = investigation.link(&kibana()).unwrap();
    let state = parameters(link.strip_prefix("https://kibana.example/app/security/alerts?").unwrap());
    let [(first, timeline), (second, ranges)] = &state[..] else { panic!("{state:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("timeline", "timerange"));
    let range = &ranges["timeline"]["timerange"];
    let query = text(&timeline["query"]["expression"]);
    let expected = json!({
        "activeTab": "query", "isOpen": true, "query": { "expression": query, "kind": "kuery" },
    });
    assert_eq!(*timeline, expected);
    let timerange = json!({ "from": range["from"], "kind": "absolute", "to": range["to"] });
    let side = json!({ "linkTo": [], "timerange": timerange });
    assert_eq!(*ranges, json!({ "global": side, "timeline": side }));
    let unsaved = (query, text(&range["from"]), text(&range["to"]));

    let link = investigation.discover(&kibana());
    let state = parameters(link.strip_prefix("https://kibana.example/app/discover#/?").unwrap());
    let [(first, global), (second, app)] = &state[..] else { panic!("{state:?}") };
    assert_eq!((first.as_str(), second.as_str(), &app["query"]["language"]), ("_g", "_a", &json!("kuery")));
    let discover = (text(&app["query"]["query"]), text(&global["time"]["from"]), text(&global["time"]["to"]));

    let mut standin = Standin::default();
    let call = investigation.save(&kibana()).unwrap();
    let saved: Saved = read(call.act, &send(&mut standin, &call.request)).unwrap();
    assert_eq!(saved.id, "timeline-1");
    let saved = &standin.timelines[0];
    let range = &saved["dateRange"];
    let saved =
        (text(&saved["kqlQuery"]["filterQuery"]["kuery"]["expression"]), text(&range["start"]), text(&range["end"]));
    [unsaved, discover, saved]
}

#[test]
fn every_family_and_every_value_come_back_as_they_went_in() {
    for mapped in fields::MAP {
        for value in VALUES {
            let investigation = Investigation::of_claim(&claim(mapped.indicator, value)).unwrap();
            let query = investigation.query().to_owned();
            let mut expected: Vec<(String, String)> =
                mapped.events().map(|field| (field.to_owned(), (*value).to_owned())).collect();
            let own = fields::own(mapped.indicator);
            if !expected.iter().any(|(field, _)| field == own) {
                expected.push((own.to_owned(), (*value).to_owned()));
            }
            assert_eq!(clauses(&query), expected, "{query}");
            let opened = opened(&investigation);
            for way in opened {
                assert_eq!(way, (query.clone(), FROM.to_owned(), TO.to_owned()));
            }
        }
    }
}

#[test]
fn queries_are_written_so() {
    for (field, value, query) in [
        (
            "threat.indicator.file.hash.sha256",
            "11",
            r#"file.hash.sha256: "11" or process.hash.sha256: "11" or dll.hash.sha256: "11" or process.parent.hash.sha256: "11" or email.attachments.file.hash.sha256: "11" or related.hash: "11" or threat.indicator.file.hash.sha256: "11""#,
        ),
        (
            "threat.indicator.ip",
            "203.0.113.9",
            r#"source.ip: "203.0.113.9" or destination.ip: "203.0.113.9" or client.ip: "203.0.113.9" or server.ip: "203.0.113.9" or host.ip: "203.0.113.9" or dns.resolved_ip: "203.0.113.9" or related.ip: "203.0.113.9" or threat.indicator.ip: "203.0.113.9""#,
        ),
        (
            "threat.indicator.registry.path",
            "HKLM\\a\\tb\\\"c\"\t*",
            r#"registry.path: "HKLM\\a\\tb\\\"c\"\t*" or threat.indicator.registry.path: "HKLM\\a\\tb\\\"c\"\t*""#,
        ),
        ("vulnerability.id", "CVE-2026-1", r#"vulnerability.id: "CVE-2026-1""#),
        (
            "threat.indicator.file.hash.sha512/224",
            "1",
            r#"file.hash.sha512/224: "1" or related.hash: "1" or threat.indicator.file.hash.sha512/224: "1""#,
        ),
    ] {
        assert_eq!(Investigation::of_claim(&claim(field, value)).unwrap().query(), query);
    }
}

#[test]
fn a_file_is_looked_for_by_all_its_hashes() {
    let document = json!({
        "@timestamp": AT, "event.id": "e",
        "threat.indicator.file": { "name": "a.exe", "hash": { "md5": MD5, "sha256": SHA256 } },
    });
    let claim = tipline_kibana::Claim::read(&document.to_string(), None).unwrap();
    let found = clauses(Investigation::of_claim(&claim).unwrap().query());
    for (field, value) in [("file.hash.sha256", SHA256), ("process.hash.md5", MD5), ("related.hash", MD5)] {
        assert!(found.contains(&(field.to_owned(), value.to_owned())), "{field}");
    }
    assert!(!found.iter().any(|(field, _)| field == "file.name"));
    // Those of the indicator come last, as in Kibana's own.
    let own: Vec<bool> = found.iter().map(|(field, _)| field.starts_with("threat.")).collect();
    assert!(own.is_sorted());
}

#[test]
fn a_cell_of_any_field_is_looked_for() {
    let claim = claim("threat.indicator.ip", "203.0.113.9");
    let cell = |field: &str| {
        let investigation = Investigation::of_cell(&claim, &Pair::new(field, "x")).unwrap();
        clauses(investigation.query()).into_iter().map(|(field, _)| field).collect::<Vec<_>>()
    };
    assert_eq!(cell("threat.feed.name"), ["threat.feed.name"]);
    assert_eq!(cell("socdefenders.ioc.user_agent"), ["user_agent.original", "socdefenders.ioc.user_agent"]);
}

#[test]
fn an_entry_of_the_legend_has_the_range_of_the_page() {
    let pairs = [Pair::new("threat.feed.name", "AbuseCH")];
    let [from, to] = ["2026-02-01T00:00:00Z", "2026-02-02T06:30:00.5Z"].map(|at| at.parse().unwrap());
    let [unsaved, discover, saved] = opened(&Investigation::between(&pairs, from, to).unwrap());
    assert_eq!(
        unsaved,
        (
            r#"threat.feed.name: "AbuseCH""#.to_owned(),
            "2026-02-01T00:00:00.000Z".to_owned(),
            "2026-02-02T06:30:00.500Z".to_owned()
        )
    );
    assert_eq!((&discover, &saved), (&unsaved, &unsaved));
}

#[test]
fn links_begin_with_the_base_path_and_the_space() {
    let kibana = Kibana::new("https://example.org/kibana/", Some("soc")).unwrap();
    let investigation = Investigation::of_claim(&claim("threat.indicator.ip", "203.0.113.9")).unwrap();
    let begin = "https://example.org/kibana/s/soc/app/";
    for link in [investigation.link(&kibana).unwrap(), investigation.discover(&kibana)] {
        assert!(link.starts_with(begin), "{link}");
    }
    let saved = Saved { id: "a-b'c".to_owned() };
    let link = saved.link(&kibana);
    let state = parameters(link.strip_prefix(&format!("{begin}security/timelines?")).unwrap());
    assert_eq!(state, [("timeline".to_owned(), json!({ "id": "a-b'c", "isOpen": true }))]);
    assert_eq!(investigation.save(&kibana).unwrap().request.path, "/s/soc/api/timeline");
}

#[test]
fn a_link_is_as_long_as_servers_take_and_no_longer() {
    let link = |length: usize| {
        Investigation::of_claim(&claim("threat.indicator.url.full", &"x".repeat(length))).unwrap().link(&kibana())
    };
    let (mut longest, mut too_long) = (1, MAX_LINK_BYTES);
    while longest + 1 < too_long {
        let between = longest.midpoint(too_long);
        *if link(between).is_some() { &mut longest } else { &mut too_long } = between;
    }
    // The value stands in the query three times.
    assert!(link(longest).unwrap().len() > MAX_LINK_BYTES - 3);
    assert_eq!(link(longest + 1), None);
}

#[test]
fn a_saved_timeline_has_a_title_of_so_many_characters_of_the_value() {
    for (length, shown) in [(100, 100), (101, 100)] {
        let claim = claim(
            "threat.indicator.url.full",
            &"\u{202e}🦀".repeat(length / 2 + 1)[..].chars().take(length).collect::<String>(),
        );
        let call = Investigation::of_claim(&claim).unwrap().save(&kibana()).unwrap();
        let body: Value = serde_json::from_str(&call.request.body.unwrap()).unwrap();
        let title = body["timeline"]["title"].as_str().unwrap();
        assert_eq!(title.chars().count(), "Indicator ".len() + shown);
        assert!(!title.contains('\u{202e}'));
    }
}

#[test]
fn a_query_has_so_many_values_and_no_more() {
    let pairs = |count: usize| (0..count).map(|n| Pair::new("tags", n.to_string())).collect::<Vec<_>>();
    let between = |pairs: &[Pair]| Investigation::between(pairs, FROM.parse().unwrap(), TO.parse().unwrap());
    assert_eq!(clauses(between(&pairs(MAX_PAIRS)).unwrap().query()).len(), MAX_PAIRS);
    assert!(matches!(between(&pairs(MAX_PAIRS + 1)), Err(KibanaError::TooMuch { .. })));
    assert!(matches!(between(&[]), Err(KibanaError::Document { .. })));
}

#[test]
fn a_document_without_a_time_or_a_value_is_refused_in_words() {
    let read = |document: Value| tipline_kibana::Claim::read(&document.to_string(), None).unwrap();
    let error =
        Investigation::of_claim(&read(json!({ "event.id": "e", "threat.indicator.ip": "192.0.2.1" }))).unwrap_err();
    assert!(error.to_string().starts_with("The document has no time in `@timestamp`, so no events"), "{error}");
    let error = Investigation::of_claim(&read(json!({ "event.id": "e", "@timestamp": AT }))).unwrap_err();
    assert!(error.to_string().starts_with("The document has no field that events have, too, so no"), "{error}");
}

#[test]
fn times_at_the_ends_of_time_stay_in_it() {
    for at in ["-009999-01-02T01:59:59Z", "9999-12-30T22:00:00.999999999Z", "1970-01-01T00:00:00Z"] {
        let claim = tipline_kibana::Claim::read(
            &json!({ "event.id": "e", "@timestamp": at, "threat.indicator.ip": "192.0.2.1" }).to_string(),
            None,
        );
        Investigation::of_claim(&claim.unwrap()).unwrap();
    }
}

#[test]
fn a_saved_timeline_is_read_from_the_answers_of_old_and_new_releases_and_deleted() {
    for body in [
        json!({ "savedObjectId": "t1", "version": "v", "title": "x" }),
        json!({ "data": { "persistTimeline": { "code": 200, "timeline": { "savedObjectId": "t1", "version": "v" } } } }),
    ] {
        let reply = tipline_mock::kibana::Reply { status: 200, body };
        assert_eq!(read::<Saved>(Act::SaveTimeline, &reply).unwrap(), Saved { id: "t1".to_owned() });
    }
    let mut standin = Standin::default();
    let call = Investigation::of_claim(&claim("threat.indicator.ip", "203.0.113.9")).unwrap().save(&kibana()).unwrap();
    let saved: Saved = read(call.act, &send(&mut standin, &call.request)).unwrap();
    let call = saved.delete(&kibana()).unwrap();
    let reply = send(&mut standin, &call.request);
    call.read(&tipline_kibana::Answer::new(reply.status, &bytes(&reply))).unwrap();
    assert!(standin.timelines.is_empty());
}
