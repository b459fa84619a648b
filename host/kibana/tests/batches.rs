//! Batches against a Kibana in memory: what they come to, and that none of it is done twice, wherever they are killed.

use std::collections::HashSet;

use serde_json::{Value, json};
use tipline_kibana::blocklist::{Algorithm, Blocked, Os, Scope};
use tipline_kibana::cases::{Attachment, Form, NewCase, mark};
use tipline_kibana::{Act, Action, Answer, Batch, KibanaError, MAX_STALE, Settled, Target};

use crate::support::{MD5, SHA256, address, bytes, kibana, send};
use tipline_mock::kibana::{Reply, Standin};

/// More calls than any batch here takes.
const MANY: usize = 1_000;

/// What happens to a call at which a run ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kill {
    /// It never reached Kibana.
    Before,
    /// Kibana did it, and the run ended before it heard of it.
    After,
    /// Kibana did it, and the same run goes on without its answer.
    Unheard,
    /// Kibana did it, and the same run goes on with the answer of a proxy.
    Proxy,
}

/// What is left of the record when a run ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kept {
    /// It was written before the first call only.
    First,
    /// It was written after every answer.
    Last,
}

/// Sends what comes next. None where nothing does.
fn step(batch: &mut Batch, standin: &mut Standin) -> Option<Result<(), KibanaError>> {
    let (_, request) = batch.next(&kibana()).unwrap()?;
    let reply = send(standin, &request);
    Some(batch.answered(&Answer::new(reply.status, &bytes(&reply))))
}

/// Runs to the end and gives the number of calls.
fn finish(batch: &mut Batch, standin: &mut Standin) -> usize {
    (0..MANY).find(|_| step(batch, standin).map(Result::unwrap).is_none()).expect("the batch ends")
}

fn to_new() -> Target {
    let title = "Addresses of AbuseCH".to_owned();
    Target::New(NewCase { title, tags: vec!["cti".to_owned()], extracts_observables: true, ..NewCase::default() })
}

/// The first numbers are from 1.
fn attachments(numbers: std::ops::Range<usize>, form: &Form) -> Vec<Attachment> {
    numbers.map(|number| Attachment::of(&address(number), form.clone())).collect()
}

fn comment() -> Form {
    Form::Comment { link: Some("https://tipline.example/indicators/e".to_owned()) }
}

/// Files numbered so, each on every operating system.
fn files(numbers: std::ops::Range<usize>, scope: &Scope) -> Vec<Blocked> {
    let file = |number: usize, os: Os| {
        let hashes = vec![(Algorithm::Md5, format!("{number:032x}")), (Algorithm::Sha256, format!("{number:064x}"))];
        Blocked::new(hashes, "From a feed.", os, scope.clone()).unwrap()
    };
    numbers.flat_map(|number| Os::ALL.map(|os| file(number, os))).collect()
}

fn batch(action: Action) -> Batch {
    Batch::new("a1", action).unwrap()
}

/// A Kibana with a case to which ten addresses are attached.
fn with_case() -> Standin {
    let mut standin = Standin::default();
    let mut first = batch(Action::Attach { to: to_new(), attachments: attachments(1..11, &Form::Reference) });
    finish(&mut first, &mut standin);
    standin
}

/// The same, but for the last, which somebody has attached twice.
fn with_a_double() -> Standin {
    let mut standin = with_case();
    let mut again = standin.cases[0].comments[9].clone();
    again["id"] = "twice".into();
    standin.cases[0].put(again);
    standin
}

/// What of each thing there is in Kibana: everything that must not be there twice.
fn holds(standin: &Standin) -> (Vec<String>, Vec<String>, Vec<String>) {
    let attached = |comment: &Value| {
        comment.get("externalReferenceId").or_else(|| comment.get("comment")).unwrap().as_str().unwrap().to_owned()
    };
    let cases = standin.cases.iter().map(|case| case.title.clone()).collect();
    let comments = standin.cases.iter().flat_map(|case| &case.comments).map(attached).collect();
    let blocked = standin.blocklist.iter().flatten().map(|entry| entry.item_id.clone()).collect();
    (cases, comments, blocked)
}

/// Kills the action at every call in every way, and lets a second run complete it: each time Kibana holds what it holds where
/// nobody is killed, and nothing twice.
fn survives(action: &Action, setup: &dyn Fn() -> Standin) {
    let mut standin = setup();
    let mut whole = batch_of(action);
    let calls = finish(&mut whole, &mut standin);
    let expected = (holds(&standin), tags(&standin));
    let (_, comments, blocked) = &expected.0;
    for things in [comments, blocked] {
        assert_eq!(things.iter().collect::<HashSet<_>>().len(), things.len(), "something is there twice");
    }
    assert_eq!(whole.settled(), action.count());
    let (mut first, mut so_far) = (batch_of(action), setup());
    let begun = first.record();
    for killed_at in 0..calls {
        let (act, request) = first.next(&kibana()).unwrap().unwrap();
        for (kill, kept) in [
            (Kill::Before, Kept::Last),
            (Kill::After, Kept::First),
            (Kill::After, Kept::Last),
            (Kill::Unheard, Kept::Last),
            (Kill::Proxy, Kept::Last),
        ] {
            let mut standin = so_far.clone();
            if kill != Kill::Before {
                send(&mut standin, &request);
            }
            let record = if kept == Kept::First { begun.clone() } else { first.record() };
            let mut second = if matches!(kill, Kill::Unheard | Kill::Proxy) {
                first.clone()
            } else {
                Batch::resume(&record).unwrap()
            };
            if kill == Kill::Unheard {
                assert!(second.lost(act, "none within 30 seconds").is_passing());
            }
            if kill == Kill::Proxy {
                let error = second.answered(&Answer::new(502, b"<html>")).unwrap_err();
                assert!(matches!(error, KibanaError::Broken { .. }), "{error}");
            }
            finish(&mut second, &mut standin);
            let case = format!("call {killed_at}, {kill:?}, {kept:?}");
            assert_eq!(second.outcome().unwrap().settled.len(), action.count(), "{case}");
            assert_eq!((holds(&standin), tags(&standin)), expected, "{case}");
        }
        step(&mut first, &mut so_far).unwrap().unwrap();
    }
}

fn existing() -> Target {
    Target::Existing { case: "case-1".to_owned() }
}

fn with_blocked() -> Standin {
    let mut standin = Standin::default();
    finish(&mut batch(Action::Block { files: files(1..5, &Scope::Global) }), &mut standin);
    standin
}

#[test]
fn killed_at_any_call_fifty_are_attached_to_a_new_case_once() {
    let attachments = attachments(1..51, &Form::Reference);
    survives(&Action::Attach { to: to_new(), attachments }, &Standin::default);
}

#[test]
fn killed_at_any_call_comments_are_made_once() {
    survives(&Action::Attach { to: to_new(), attachments: attachments(1..7, &comment()) }, &Standin::default);
}

#[test]
fn killed_at_any_call_a_case_is_made_once_by_a_release_that_refuses_observables() {
    let setup = || Standin { refuses_observables: true, ..Standin::default() };
    survives(&Action::Attach { to: to_new(), attachments: attachments(1..4, &Form::Reference) }, &setup);
}

#[test]
fn killed_at_any_call_what_an_existing_case_has_is_left() {
    survives(&Action::Attach { to: existing(), attachments: attachments(6..16, &Form::Reference) }, &with_case);
}

#[test]
fn killed_at_any_call_a_case_that_others_change_is_tagged() {
    let setup = || Standin { meddling: 2, ..with_case() };
    survives(&Action::Attach { to: existing(), attachments: attachments(6..14, &Form::Reference) }, &setup);
}

#[test]
fn killed_at_any_call_all_are_taken_off() {
    let attachments = attachments(5..21, &Form::Reference);
    survives(&Action::Detach { case: "case-1".to_owned(), attachments }, &with_a_double);
}

#[test]
fn killed_at_any_call_fifty_entries_are_blocked_once() {
    let files = files(1..18, &Scope::Policies(vec!["p1".to_owned()]));
    survives(&Action::Block { files }, &with_blocked);
}

#[test]
fn killed_at_any_call_all_entries_are_taken_off() {
    let item_ids = files(1..8, &Scope::Global).iter().map(Blocked::item_id).collect();
    survives(&Action::Unblock { item_ids }, &with_blocked);
}

fn batch_of(action: &Action) -> Batch {
    Batch::new("a2", action.clone()).unwrap()
}

fn tags(standin: &Standin) -> Vec<Vec<String>> {
    standin.cases.iter().map(|case| case.tags.clone()).collect()
}

#[test]
fn a_new_case_has_its_tags_and_what_is_attached() {
    let mut standin = Standin::default();
    let mut action = batch(Action::Attach { to: to_new(), attachments: attachments(1..4, &Form::Reference) });
    // To look for it, to make it, and to attach each.
    assert_eq!(finish(&mut action, &mut standin), 5);
    let [case] = &standin.cases[..] else { panic!("{standin:?}") };
    assert_eq!(case.tags, ["cti", "tipline:a1", "tipline:event1", "tipline:event2", "tipline:event3"]);
    assert!(case.observables);
    assert_eq!(case.comments[0]["externalReferenceMetadata"]["indicatorFeedName"], "AbuseCH");
    let outcome = action.outcome().unwrap();
    assert_eq!((outcome.case.as_deref(), outcome.settled), (Some("case-1"), vec![Settled::Done; 3]));
}

#[test]
fn a_release_that_refuses_observables_is_asked_without() {
    let mut standin = Standin { refuses_observables: true, ..Standin::default() };
    finish(&mut batch(Action::Attach { to: to_new(), attachments: attachments(1..2, &Form::Reference) }), &mut standin);
    assert!(!standin.cases[0].observables);
    assert_eq!(standin.cases[0].comments.len(), 1);
}

#[test]
fn what_is_attached_already_is_left_and_said_to_be() {
    let mut standin = with_case();
    let mut action = batch_of(&Action::Attach { to: existing(), attachments: attachments(9..13, &Form::Reference) });
    finish(&mut action, &mut standin);
    assert_eq!(action.outcome().unwrap().settled, [Settled::Already, Settled::Already, Settled::Done, Settled::Done]);
    assert_eq!(standin.cases[0].comments.len(), 12);
    assert!(standin.cases[0].tags.contains(&mark("event12")));
}

#[test]
fn what_is_chosen_twice_is_attached_once() {
    let mut standin = Standin::default();
    let mut chosen = attachments(1..4, &Form::Reference);
    chosen.extend(attachments(1..3, &comment()));
    let mut action = batch(Action::Attach { to: to_new(), attachments: chosen });
    finish(&mut action, &mut standin);
    use Settled::{Already, Done};
    assert_eq!(action.outcome().unwrap().settled, [Done, Done, Done, Already, Already]);
    assert_eq!(standin.cases[0].comments.len(), 3);
}

#[test]
fn of_two_cases_with_the_tag_of_the_action_the_older_is_taken() {
    let mut standin = with_case();
    let mut copy = standin.cases[0].clone();
    copy.id = "copy".to_owned();
    standin.cases.push(copy);
    let mut action = batch(Action::Attach { to: to_new(), attachments: attachments(20..21, &Form::Reference) });
    finish(&mut action, &mut standin);
    assert_eq!(action.outcome().unwrap().case.as_deref(), Some("case-1"));
}

#[test]
fn no_answer_whatever_it_is_makes_a_batch_fail_or_do_anything_twice() {
    let answers: [(u16, &[u8]); 12] = [
        (200, b""),
        (200, b"{}"),
        (200, b"null"),
        (200, b"[]"),
        (200, b"<html>"),
        (200, b"{\"cases\":[],\"total\":-1}"),
        (200, b"{\"userActions\":[{}],\"total\":1}"),
        (204, b""),
        (302, b""),
        (404, b"\xff"),
        (408, b""),
        (503, b"Kibana server is not ready yet"),
    ];
    let setups: [(Action, fn() -> Standin); 4] = [
        (Action::Attach { to: to_new(), attachments: attachments(1..3, &Form::Reference) }, Standin::default),
        (Action::Attach { to: existing(), attachments: attachments(10..12, &Form::Reference) }, with_case),
        (
            Action::Detach { case: "case-1".to_owned(), attachments: attachments(9..11, &Form::Reference) },
            with_a_double,
        ),
        (Action::Block { files: files(1..2, &Scope::Policies(vec!["p".to_owned()])) }, with_blocked),
    ];
    for (action, setup) in setups {
        let (mut whole, mut standin) = (batch_of(&action), setup());
        finish(&mut whole, &mut standin);
        let expected = (holds(&standin), tags(&standin));
        let (mut first, mut so_far) = (batch_of(&action), setup());
        while first.next(&kibana()).unwrap().is_some() {
            for (status, body) in answers {
                let (mut second, mut standin) = (first.clone(), so_far.clone());
                // What is taken for the answer, such as that something is gone, was not made up by the batch.
                if second.answered(&Answer::new(status, body)).is_err() {
                    finish(&mut second, &mut standin);
                    assert_eq!((holds(&standin), tags(&standin)), expected, "{status}");
                }
            }
            step(&mut first, &mut so_far).unwrap().unwrap();
        }
    }
}

#[test]
fn what_others_and_newer_releases_have_attached_is_known_again() {
    let mut standin = with_case();
    let case = &mut standin.cases[0];
    case.activity.clear();
    case.comments.clear();
    for comment in [
        json!({ "id": "1", "type": "security.indicator", "attachmentId": "doc1", "metadata": {} }),
        json!({ "id": "2", "type": "security.indicator", "attachmentId": ["x", "doc2"], "metadata": null }),
        json!({ "id": "3", "type": "comment", "data": { "content": "written by Tipline `tipline:event3`\n" } }),
        json!({ "id": "4", "type": "alert", "alertId": ["doc4"], "index": ["i"] }),
        json!({ "id": "5", "type": "externalReference", "externalReferenceId": "doc4",
                "externalReferenceAttachmentTypeId": "endpoint" }),
        json!({ "id": "6", "type": "user", "comment": "see `tipline:event4` there" }),
    ] {
        case.put(comment);
    }
    let mut action = batch_of(&Action::Attach { to: existing(), attachments: attachments(1..5, &Form::Reference) });
    finish(&mut action, &mut standin);
    use Settled::{Already, Done};
    assert_eq!(action.outcome().unwrap().settled, [Already, Already, Already, Done]);
}

#[test]
fn what_was_taken_off_or_changed_since_is_not_attached() {
    let mut standin = with_case();
    let case = &mut standin.cases[0];
    let nine = case.comments[8]["id"].as_str().unwrap().to_owned();
    assert!(case.take(&nine));
    let comment = |text: &str| json!({ "id": "c", "type": "user", "comment": text });
    case.put(comment("`tipline:event11`"));
    case.note("update", &comment("something else"));
    case.put(json!({ "id": "d", "type": "user", "comment": "something else" }));
    case.note("update", &json!({ "id": "d", "type": "user", "comment": "`tipline:event12`" }));
    let mut action = batch_of(&Action::Attach { to: existing(), attachments: attachments(9..13, &Form::Reference) });
    finish(&mut action, &mut standin);
    use Settled::{Already, Done};
    assert_eq!(action.outcome().unwrap().settled, [Done, Already, Done, Already]);
}

#[test]
fn what_was_taken_off_without_a_note_is_not_attached() {
    let mut standin = with_case();
    standin.cases[0].comments.remove(8);
    let mut action = batch_of(&Action::Attach { to: existing(), attachments: attachments(8..11, &Form::Reference) });
    finish(&mut action, &mut standin);
    use Settled::{Already, Done};
    assert_eq!(action.outcome().unwrap().settled, [Already, Done, Already]);
    assert_eq!(standin.cases[0].comments.len(), 10);
    let case = "case-1".to_owned();
    standin.cases[0].comments.remove(0);
    let mut action = batch_of(&Action::Detach { case, attachments: attachments(1..3, &Form::Reference) });
    finish(&mut action, &mut standin);
    assert_eq!(standin.cases[0].comments.len(), 8);
}

#[test]
fn a_case_with_more_than_a_page_of_activity_is_read_to_its_end() {
    for filler in [89, 90, 91, 250] {
        let mut standin = with_case();
        let case = &mut standin.cases[0];
        let last = case.comments[9]["id"].as_str().unwrap().to_owned();
        (0..filler).for_each(|n| case.put(json!({ "id": format!("f{n}"), "type": "user", "comment": "x" })));
        assert!(case.take(&last));
        case.put(json!({ "id": "again", "type": "security.indicator", "attachmentId": "doc11" }));
        let mut action =
            batch_of(&Action::Attach { to: existing(), attachments: attachments(10..12, &Form::Reference) });
        finish(&mut action, &mut standin);
        assert_eq!(action.outcome().unwrap().settled, [Settled::Done, Settled::Already], "{filler}");
    }
}

#[test]
fn taken_off_it_is_gone_as_often_as_it_was_there_and_its_tag_too() {
    let mut standin = with_a_double();
    let case = "case-1".to_owned();
    let mut action = batch_of(&Action::Detach { case, attachments: attachments(10..12, &Form::Reference) });
    finish(&mut action, &mut standin);
    assert_eq!(action.outcome().unwrap().settled, [Settled::Done, Settled::Already]);
    assert_eq!(standin.cases[0].comments.len(), 9);
    assert!(!standin.cases[0].tags.contains(&mark("event10")) && standin.cases[0].tags.contains(&mark("event9")));
}

#[test]
fn a_case_that_others_never_leave_alone_is_left_with_what_was_attached() {
    let mut standin = Standin { meddling: u32::MAX, ..with_case() };
    let mut action = batch_of(&Action::Attach { to: existing(), attachments: attachments(11..12, &Form::Reference) });
    let error = (0..MANY).find_map(|_| step(&mut action, &mut standin).expect("it does not end").err()).unwrap();
    assert!(error.to_string().contains("changed by somebody else"), "{error}");
    assert_eq!(action.settled(), 1);
    // Once they do, it goes on.
    standin.meddling = 0;
    finish(&mut action, &mut standin);
    assert!(standin.cases[0].tags.contains(&mark("event11")));
}

#[test]
fn what_others_change_is_read_again_so_often_and_no_more() {
    for (meddling, is_left) in [(MAX_STALE, false), (MAX_STALE + 1, true)] {
        let mut standin = Standin { meddling, ..with_case() };
        let mut action =
            batch_of(&Action::Attach { to: existing(), attachments: attachments(11..12, &Form::Reference) });
        let errors = (0..MANY).map_while(|_| step(&mut action, &mut standin)).filter(Result::is_err).count();
        assert_eq!(errors > 0, is_left);
    }
}

#[test]
fn so_much_of_a_case_s_activity_is_read_and_no_more() {
    // Ten were attached before; Kibana itself keeps ten thousand actions.
    for (filler, settled) in [(9_989, Settled::Already), (9_990, Settled::Done)] {
        let mut standin = with_case();
        let case = &mut standin.cases[0];
        (0..filler).for_each(|n| case.note("create", &json!({ "id": format!("f{n}"), "type": "user" })));
        case.put(json!({ "id": "last", "type": "security.indicator", "attachmentId": "doc11" }));
        let mut action =
            batch_of(&Action::Attach { to: existing(), attachments: attachments(11..12, &Form::Reference) });
        finish(&mut action, &mut standin);
        assert_eq!(action.outcome().unwrap().settled, [settled]);
    }
}

#[test]
fn an_entry_with_another_scope_is_changed_and_keeps_what_else_it_has() {
    let mut standin = Standin::default();
    let entry = |os, scope, hashes: &[(Algorithm, &str)]| {
        let hashes = hashes.iter().map(|(algorithm, hash)| (*algorithm, (*hash).to_owned())).collect();
        Blocked::new(hashes, "", os, scope).unwrap()
    };
    let both = [(Algorithm::Sha256, SHA256), (Algorithm::Md5, MD5)];
    finish(&mut batch(Action::Block { files: vec![entry(Os::Linux, Scope::Global, &both)] }), &mut standin);
    standin.blocklist.as_mut().unwrap()[0].tags.push("ownerSpaceId:default".to_owned());
    standin.meddling = 2;
    let policies = Scope::Policies(vec!["p1".to_owned(), "p2".to_owned()]);
    let mut action = batch_of(&Action::Block { files: vec![entry(Os::Linux, policies, &both[..1])] });
    finish(&mut action, &mut standin);
    assert_eq!(action.outcome().unwrap().settled, [Settled::Done]);
    let [entry] = &standin.blocklist.as_ref().unwrap()[..] else { panic!("{standin:?}") };
    assert_eq!(entry.tags, ["policy:p1", "policy:p2", "ownerSpaceId:default"]);
    assert_eq!(entry.os_types, ["linux"]);
    let (sha256, md5) = (("file.hash.sha256", SHA256), ("file.hash.md5", MD5));
    let blocked: Vec<(&str, &str)> =
        entry.entries.iter().map(|(field, values)| (field.as_str(), values[0].as_str())).collect();
    assert_eq!(blocked, [sha256, md5]);
}

#[test]
fn a_refusal_leaves_the_batch_where_it_is() {
    let refusals =
        [(401, "x"), (403, "x"), (404, "Saved object [cases/case-1] not found"), (413, "x"), (429, "x"), (400, "x")];
    for (status, message) in refusals {
        let mut standin = Standin::default();
        let mut action = batch(Action::Attach { to: to_new(), attachments: attachments(1..6, &Form::Reference) });
        (0..4).for_each(|_| step(&mut action, &mut standin).unwrap().unwrap());
        let next = action.next(&kibana()).unwrap();
        let reply = Reply::error(status, message);
        action.answered(&Answer::new(reply.status, &bytes(&reply))).unwrap_err();
        assert_eq!(action.next(&kibana()).unwrap(), next, "{status}");
        finish(&mut action, &mut standin);
        assert_eq!(standin.cases[0].comments.len(), 5);
    }
}

#[test]
fn an_action_of_nothing_ends_at_once() {
    for (action, calls) in [
        (Action::Attach { to: existing(), attachments: Vec::new() }, 0),
        (Action::Attach { to: to_new(), attachments: Vec::new() }, 2),
        (Action::Block { files: Vec::new() }, 0),
        (Action::Unblock { item_ids: Vec::new() }, 0),
    ] {
        let mut action = batch(action);
        assert_eq!(finish(&mut action, &mut Standin::default()), calls);
        assert!(action.outcome().unwrap().settled.is_empty());
    }
}

#[test]
fn an_action_is_about_so_much_and_no_more() {
    let attach = |count: usize| {
        Batch::new("a", Action::Attach { to: to_new(), attachments: attachments(0..count, &Form::Reference) })
    };
    attach(100).unwrap();
    assert_eq!(
        attach(101).unwrap_err().to_string(),
        "The action has 101 indicators, and Kibana takes 100. Make it shorter, or do it in parts."
    );
    let unblock = |count: usize| Batch::new("a", Action::Unblock { item_ids: vec![String::new(); count] });
    unblock(1_000).unwrap();
    unblock(1_001).unwrap_err();
}

#[test]
fn what_is_no_record_is_refused() {
    let good = batch(Action::Unblock { item_ids: vec!["a".to_owned()] }).record();
    Batch::resume(&good).unwrap();
    for record in ["", "{}", &good[1..], &good.replace("\"settled\":[null]", "\"settled\":[]")] {
        assert!(matches!(Batch::resume(record), Err(KibanaError::Record { .. })), "{record}");
    }
}

#[test]
fn a_finished_batch_asks_for_nothing_and_takes_no_answer() {
    let mut standin = Standin::default();
    let mut action = batch(Action::Block { files: files(1..2, &Scope::Global) });
    finish(&mut action, &mut standin);
    let mut again = Batch::resume(&action.record()).unwrap();
    assert_eq!(again.next(&kibana()).unwrap(), None);
    assert!(again.answered(&Answer::new(200, b"{}")).is_err());
    assert_eq!(
        again.lost(Act::Block, "x").to_string().split(':').next(),
        Some("Tipline could not put the hashes on the blocklist of Elastic Defend")
    );
    assert_eq!(again, action);
}
