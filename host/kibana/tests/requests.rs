//! Every kind of request, byte for byte, and that a strict Kibana takes it.
//!
//! They are kept in `tests/requests.ndjson` (`TIPLINE_UPDATE_CASES=1` writes it anew), and written to
//! `target/kibana-requests.ndjson` for whoever has Kibana's OpenAPI to check them with.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tipline_kibana::blocklist::{self, Algorithm, Blocked, Item, Items, Made, Os, Scope};
use tipline_kibana::cases::{
    self, Attached, Attachment, Case, Cases, Form, History, NewCase, Present, Progress, Search, Severity,
};
use tipline_kibana::timeline::{Investigation, Saved};
use tipline_kibana::{Act, Answer, Call, Claim, FromAnswer, KibanaError, Request, Server, Status};

use crate::support::{AT, MD5, SHA256, address, asked, bytes, claim, kibana, read, send};
use tipline_mock::kibana::{Reply, Standin};

/// Sends requests, and writes down what each was.
#[derive(Default)]
struct Wire {
    standin: Standin,
    lines: Vec<String>,
}

impl Wire {
    fn send<T: FromAnswer>(&mut self, call: &Call<T>) -> T {
        self.note(&call.request);
        let reply = send(&mut self.standin, &call.request);
        assert!(reply.status < 300, "{call:?}: {reply:?}");
        call.read(&Answer::new(reply.status, &bytes(&reply))).unwrap()
    }

    fn note(&mut self, request: &Request) {
        let Request { server, method, path, body } = request;
        let headers = request.headers().into_iter().collect::<std::collections::BTreeMap<_, _>>();
        let server = if *server == Server::Kibana { "kibana" } else { "elasticsearch" };
        let headers = serde_json::to_string(&headers).unwrap();
        // The body as its bytes are.
        let body = body.as_deref().unwrap_or("null");
        let (method, path) = (json!(method.as_str()), json!(path));
        self.lines.push(format!(
            r#"{{"server":"{server}","method":{method},"path":{path},"headers":{headers},"body":{body}}}"#
        ));
    }
}

fn file() -> Claim {
    let document = json!({
        "@timestamp": AT, "event.id": "file1", "threat.feed.name": "AbuseCH",
        "threat.indicator": { "type": "file", "file.hash": { "sha256": SHA256.to_uppercase(), "md5": MD5 } },
    });
    Claim::read(&document.to_string(), None).unwrap()
}

#[test]
fn every_kind_of_request_is_accepted_and_stays_as_it_is() {
    let kibana = kibana();
    let mut wire = Wire::default();
    assert!(!wire.send(&Status::ask(&kibana)).is_serverless);

    let saved: Saved =
        wire.send(&Investigation::of_claim(&claim("threat.indicator.mac", "00-11")).unwrap().save(&kibana).unwrap());
    wire.send(&saved.delete(&kibana).unwrap());

    let new = NewCase {
        title: "IoC 203.0.113.1".to_owned(),
        description: "Seen at the *gateway*.".to_owned(),
        tags: vec!["cti".to_owned()],
        severity: Severity::High,
        extracts_observables: true,
    };
    let case: Case = wire.send(&new.create(&kibana, &[cases::mark("a1"), cases::mark("event1")]).unwrap());
    let plain = NewCase { severity: Severity::default(), extracts_observables: false, ..new };
    wire.send(&plain.create(&kibana, &[]).unwrap());
    let search = Search { text: Some("IoC & \"x\""), tag: None, progress: Some(Progress::InProgress), page: 2 };
    assert!(wire.send(&search.ask(&kibana)).cases.is_empty());
    let found: Cases = wire.send(&cases::find_tagged(&kibana, "event1", 1));
    assert_eq!((found.total, found.cases[0].id.as_str()), (1, "case-2"));
    let reference = Attachment::of(&address(1), Form::Reference);
    wire.send(&cases::attach(&kibana, &case.id, &reference).unwrap());
    // A document without a name, type or feed.
    let bare = Claim::read(r#"{"event.id":"bare"}"#, Some("a/b c")).unwrap();
    wire.send(&cases::attach(&kibana, &case.id, &Attachment::of(&bare, Form::Reference)).unwrap());
    let link = Some("https://tipline.example/indicators/event2".to_owned());
    let comment =
        Attachment::of(&claim("threat.indicator.name", "![x](http://a.example)\u{202e}\n# b"), Form::Comment { link });
    wire.send(&cases::attach(&kibana, &case.id, &comment).unwrap());
    let read: History = wire.send(&cases::history(&kibana, &case.id, 1));
    assert_eq!((read.total, read.goes_on(1)), (3, false));
    let mut present = Present::default();
    present.read(&read, &[comment, reference]);
    let [(1, attached), (0, commented)] = &present.found[..] else { panic!("{present:?}") };
    assert!(wire.send(&cases::is_attached(&kibana, &case.id, attached)));
    wire.send(&cases::detach(&kibana, &case.id, attached));
    wire.send(&cases::detach(&kibana, &case.id, commented));
    let current: Case = wire.send(&Case::ask(&kibana, &case.id));
    assert_eq!(wire.standin.cases[0].comments.len(), 1);
    wire.send(&current.retag(&kibana, &["cti".to_owned()]).unwrap());

    let list = |wire: &mut Wire| wire.send(&blocklist::create_list(&kibana).unwrap());
    assert_eq!(list(&mut wire), Made::New);
    let global = Blocked::of(&file(), Os::Windows, Scope::Global).unwrap();
    assert_eq!(wire.send(&global.block(&kibana).unwrap()), Made::New);
    let item: Option<Item> = wire.send(&blocklist::read(&kibana, &global.item_id()));
    let item = item.unwrap();
    assert!(global.is_in(&item) && item.is_ours());
    let two = Scope::Policies(vec!["p1".to_owned(), "p2".to_owned()]);
    let policies = Blocked::of(&file(), Os::Windows, two.clone()).unwrap();
    assert!(!policies.is_in(&item));
    let item = wire.send(&policies.change(&kibana, &item).unwrap());
    assert!(policies.is_in(&item) && !global.is_in(&item));
    wire.send(&Blocked::of(&file(), Os::Macos, two).unwrap().block(&kibana).unwrap());
    let found: Items = wire.send(&blocklist::find(&kibana, MD5, 1));
    assert_eq!(found.total, 2);
    assert!(!found.goes_on(1));
    wire.send(&blocklist::all(&kibana, 1));
    wire.send(&blocklist::unblock(&kibana, &global.item_id()));

    let reference = Attachment::of(&address(3), Form::Reference);
    wire.send(&cases::attach(&kibana, &case.id, &reference).unwrap());
    let found = wire.send(&cases::find_attached(&kibana, &["doc2".to_owned(), reference.id]).unwrap()).unwrap();
    assert_eq!(found.pairs, [(case.id, "doc3".to_owned())]);
    let lines = wire.lines.join("\n") + "\n";
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    fs::write(target.join("kibana-requests.ndjson"), &lines).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests.ndjson");
    if std::env::var_os("TIPLINE_UPDATE_CASES").is_some() {
        fs::write(&kept, &lines).unwrap();
    }
    let kept = fs::read_to_string(&kept).unwrap();
    for (sent, kept) in lines.lines().zip(kept.lines()) {
        assert_eq!(sent, kept);
    }
    assert_eq!(lines.lines().count(), kept.lines().count());
}

#[test]
fn each_space_has_its_own_paths_and_each_id_stays_one_part_of_them() {
    let kibana = tipline_kibana::Kibana::new("https://kibana.example/base", Some("soc")).unwrap();
    let hostile = "../x?y#z/%2e";
    let coded = "..%2Fx%3Fy%23z%2F%252e";
    for (path, expected) in [
        (Case::ask(&kibana, hostile).request.path, format!("/s/soc/api/cases/{coded}")),
        (cases::detach(&kibana, hostile, hostile).request.path, format!("/s/soc/api/cases/{coded}/comments/{coded}")),
        (cases::link(&kibana, hostile), format!("https://kibana.example/base/s/soc/app/security/cases/{coded}")),
        (
            blocklist::unblock(&kibana, hostile).request.path,
            format!("/s/soc/api/exception_lists/items?item_id={coded}&namespace_type=agnostic"),
        ),
    ] {
        assert_eq!(path, expected);
    }
}

#[test]
fn what_is_made_is_not_made_twice_and_what_is_gone_is_gone() {
    let mut standin = Standin::default();
    let kibana = kibana();
    let mut made = |call: &Call<Made>| {
        let reply = send(&mut standin, &call.request);
        call.read(&Answer::new(reply.status, &bytes(&reply))).unwrap()
    };
    let list = blocklist::create_list(&kibana).unwrap();
    assert_eq!([made(&list), made(&list)], [Made::New, Made::Existing]);
    let entry = Blocked::of(&file(), Os::Linux, Scope::Global).unwrap();
    let block = entry.block(&kibana).unwrap();
    assert_eq!([made(&block), made(&block)], [Made::New, Made::Existing]);
    let gone = Reply::error(404, "exception list item item_id: \"x\" does not exist");
    read::<()>(Act::Unblock, &gone).unwrap();
    assert_eq!(read::<Option<Item>>(Act::FindBlocked, &gone).unwrap(), None);
    read::<()>(Act::Detach, &Reply::error(404, "Saved object [cases-comments/x] not found")).unwrap();
    assert!(!read::<bool>(Act::ReadAttached, &Reply::error(404, "Saved object [cases-comments/x] not found")).unwrap());
    // A wrong address has nothing to say of what is gone.
    assert!(read::<bool>(Act::ReadAttached, &Reply::error(404, "Not Found")).is_err());
    for act in [Act::Unblock, Act::Detach] {
        assert!(read::<()>(act, &Reply::error(404, "Not Found")).is_err());
    }
    assert!(read::<Option<Item>>(Act::FindBlocked, &Reply::error(404, "Not Found")).is_err());
}

#[test]
fn a_page_of_somebody_else_is_never_taken_for_something_done() {
    for body in ["<html>Sign in</html>", "", "\"\"x"] {
        let answer = Answer::new(200, body.as_bytes());
        for result in [
            <()>::from_answer(Act::Detach, &answer),
            <()>::from_answer(Act::Unblock, &answer),
            Made::from_answer(Act::Block, &answer).map(|_| ()),
            Made::from_answer(Act::CreateBlocklist, &answer).map(|_| ()),
            bool::from_answer(Act::ReadAttached, &answer).map(|_| ()),
            Case::from_answer(Act::Attach, &answer).map(|_| ()),
            Saved::from_answer(Act::SaveTimeline, &answer).map(|_| ()),
            Option::<Item>::from_answer(Act::FindBlocked, &answer).map(|_| ()),
            Option::<Attached>::from_answer(Act::FindAttached, &answer).map(|_| ()),
        ] {
            assert!(matches!(result, Err(KibanaError::Unreadable { .. })), "{body}: {result:?}");
        }
    }
}

#[test]
fn the_cases_of_an_indicator_are_read_from_the_index_where_there_is_one() {
    let hits = json!({ "hits": { "total": { "value": 3 }, "hits": [
        { "_id": "1", "fields": { "case.id": ["c1"], "attachment.attachment_id": ["doc1"] } },
        { "_id": "2", "fields": { "case.id": ["c2"], "attachment.attachment_id": ["doc1", "doc2"] } },
        { "_id": "3", "fields": { "attachment.attachment_id": ["doc3"] } },
    ] } });
    let found: Option<Attached> = read(Act::FindAttached, &Reply { status: 200, body: hits }).unwrap();
    let pair = |case: &str, id: &str| (case.to_owned(), id.to_owned());
    assert_eq!(found.unwrap().pairs, [pair("c1", "doc1"), pair("c2", "doc1"), pair("c2", "doc2")]);
    for status in [403, 404] {
        let none: Option<Attached> = read(Act::FindAttached, &Reply::error(status, "no such index")).unwrap();
        assert_eq!(none, None);
    }
    assert!(read::<Option<Attached>>(Act::FindAttached, &Reply::error(500, "x")).is_err());
    let many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
    cases::find_attached(&kibana(), &many[..1_000]).unwrap();
    cases::find_attached(&kibana(), &many).unwrap_err();
}

#[test]
fn hashes_are_of_their_length_and_hexadecimal() {
    let of = |field: &str, value: &str| {
        Blocked::of(&claim(&format!("threat.indicator.file.hash.{field}"), value), Os::Linux, Scope::Global)
    };
    let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    for (field, value) in [("md5", MD5), ("sha1", sha1), ("sha256", SHA256)] {
        let entry = of(field, &value.to_uppercase()).unwrap();
        assert_eq!(entry.item_id(), format!("tipline-linux-{value}"));
    }
    for (field, value) in [("md5", sha1), ("sha256", MD5), ("md5", "d41d8cd98f00b204e9800998ecf8427x"), ("sha1", "")] {
        assert!(of(field, value).is_err(), "{field} {value}");
    }
    assert!(
        of("sha512", SHA256)
            .unwrap_err()
            .to_string()
            .starts_with("The document has no MD5, SHA-1 or SHA-256 of a file")
    );
    let policies =
        |count: usize| Blocked::of(&file(), Os::Linux, Scope::Policies((0..count).map(|n| n.to_string()).collect()));
    policies(100).unwrap();
    for count in [0, 101] {
        policies(count).unwrap_err();
    }
}

#[test]
fn an_entry_has_so_many_hashes_and_so_long_a_description_and_no_more() {
    let hash = |number: usize| format!("{number:032x}");
    let entry = |description: &str| {
        Blocked::new(vec![(Algorithm::Md5, hash(5_000))], description, Os::Linux, Scope::Global).unwrap()
    };
    let item = |count: usize| {
        let values: Vec<String> = (0..count).map(hash).collect();
        let entries =
            json!([{ "field": "file.hash.md5", "type": "match_any", "operator": "included", "value": values }]);
        let body = json!({ "item_id": "x", "_version": "v1", "name": "x", "os_types": ["linux"], "tags": [], "entries": entries });
        read::<Item>(Act::ChangeBlocked, &Reply { status: 200, body }).unwrap()
    };
    entry("").change(&kibana(), &item(blocklist::MAX_VALUES - 1)).unwrap();
    entry("").change(&kibana(), &item(blocklist::MAX_VALUES)).unwrap_err();
    assert_eq!(entry(&"🦀".repeat(200)).description.chars().count(), 200);
    assert_eq!(entry(&"🦀".repeat(201)).description.chars().count(), 200);
}

#[test]
fn an_answer_is_read_up_to_so_many_bytes() {
    const MOST: usize = 16 * 1024 * 1024;
    let case = r#"{"id":"c","version":"v","title":"t","status":"open"}"#;
    for (length, is_read) in [(MOST, true), (MOST + 1, false)] {
        let body = case.to_owned() + &" ".repeat(length - case.len());
        assert_eq!(Case::from_answer(Act::ReadCase, &Answer::new(200, body.as_bytes())).is_ok(), is_read);
    }
}

#[test]
fn comments_are_as_long_as_kibana_takes_whatever_the_name_is() {
    let case = "case-1";
    let attach = |name: &str, link: Option<String>| {
        cases::attach(&kibana(), case, &Attachment::of(&claim("threat.indicator.name", name), Form::Comment { link }))
    };
    for name in ["*".repeat(65_536), "\u{202e}".repeat(65_536), "🦀".repeat(65_536)] {
        let body: Value = serde_json::from_str(&attach(&name, None).unwrap().request.body.unwrap()).unwrap();
        assert!(body["comment"].as_str().unwrap().encode_utf16().count() < 10_000);
    }
    attach("x", Some("x".repeat(30_000))).unwrap_err();
}

#[test]
fn what_writes_says_so_and_what_reads_does_not() {
    let kibana = kibana();
    let get = asked(&Case::ask(&kibana, "c").request);
    let names =
        |asked: &tipline_mock::kibana::Asked| asked.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&get), ["accept", "elastic-api-version", "authorization"]);
    let delete = asked(&cases::detach(&kibana, "c", "x").request);
    assert_eq!(names(&delete), ["accept", "elastic-api-version", "kbn-xsrf", "authorization"]);
    let post = asked(&blocklist::create_list(&kibana).unwrap().request);
    assert_eq!(names(&post), ["accept", "content-type", "elastic-api-version", "kbn-xsrf", "authorization"]);
    // Elasticsearch is told nothing of Kibana's.
    let search = asked(&cases::find_attached(&kibana, &[]).unwrap().request);
    assert_eq!(names(&search), ["accept", "content-type", "authorization"]);
}
