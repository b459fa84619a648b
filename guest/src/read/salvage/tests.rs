use proptest::prelude::*;

use super::*;

const A: &str = r#"{"type":"indicator","id":"indicator--a","x":[{"n":1}]}"#;
const B: &str = r#"{"type":"ipv4","value":"192.0.2.1"}"#;
const C: &str = r#"{"id":"indicator--c","type":"indicator"}"#;

/// What stands in the list of a page, which is whole or not.
fn salvaged(page: &str) -> (Vec<&str>, bool, usize) {
    let Salvage { parts, is_whole, good, .. } = Salvage::read(page).unwrap_or_else(|| panic!("{page}"));
    let ((Data::List(list), _) | (_, Data::List(list))) = (parts.objects, parts.data) else { panic!("{page}") };
    (list, is_whole, good)
}

#[test]
fn one_object_that_is_no_json_costs_itself() {
    for bad in [
        r#"{"type":"indicator","id":"indicator--b","confidence":NaN}"#,
        r#"{"type":"indicator","id":"indicator--b","confidence":-Infinity}"#,
        r#"{'type': 'indicator', 'id': 'indicator--b'}"#,
        r#"{"type":"indicator","id":"indicator--b","labels":["a"}"#,
        r#"{"type":"indicator","id":"indicator--b","labels":["a" "b""#,
        r#"{"type":"indicator","id":"indicator--b","name":"cut"#,
        r#"{"type":"indicator","id":"indicator--b","name":"a "quoted" word"}"#,
        r#"{"type":"indicator","id":"indicator--b",}"#,
        r#"{"type":"indicator" "id":"indicator--b"}"#,
        r#"{"type":"indicator","id":"indicator--b","external_references":[{"source_name":"x","url":"y"}],"n":01}"#,
        r#"{"type":"indicator","id":"indicator--b","name":"\x"}"#,
        r#"{type:"indicator"}"#,
        "indicator",
        "{",
        "\"",
    ] {
        // Wherever it stands.
        for (list, good) in [(vec![A, bad, C], 2), (vec![A, B, bad], 2), (vec![bad, A, B], 2)] {
            let page = format!(r#"{{"more":true,"objects":[{}],"next":"n"}}"#, list.join(","));
            let (found, _, counted) = salvaged(&page);
            assert_eq!((found.len(), counted), (3, good), "{page}: {found:?}");
            for (one, expected) in found.iter().zip(&list) {
                assert!(one.starts_with(expected) || *one == *expected, "{page}: {one}");
            }
            let parts = Salvage::read(&page).unwrap().parts;
            assert_eq!((parts.more, parts.next), (Some("true"), Some(r#""n""#)), "{page}");
        }
    }
}

#[test]
fn a_page_that_was_cut_is_read_as_far_as_it_goes() {
    let page = format!(r#"{{"more":false,"objects":[{A},{C}]}}"#);
    let behind_a = page.find(A).unwrap() + A.len();
    for cut in 26..page.len() {
        let (found, is_whole, good) = salvaged(&page[..cut]);
        assert_eq!(good, usize::from(cut >= behind_a) + usize::from(cut >= page.len() - 2), "{cut}: {found:?}");
        assert!(!is_whole, "{cut}");
        assert!(found.len() <= 2, "{cut}: {found:?}");
    }
    assert_eq!(salvaged(&page), (vec![A, C], true, 2));
    // A broken one at the end may be one that was cut.
    let (_, is_whole, _) = salvaged(&format!(r#"{{"objects":[{A},{{"x":["a"}}]}}"#));
    assert!(!is_whole);
    let (_, is_whole, _) = salvaged(&format!(r#"{{"objects":[{{"x":["a"}},{A}]}}"#));
    assert!(is_whole);
}

#[test]
fn members_around_a_list_are_found_and_what_is_broken_there_is_passed_over() {
    for (page, more) in [
        (format!(r#"{{"more":true,"objects":[{A},{{"x":NaN,"y":["z"}},{B}]}}"#), Some("true")),
        (format!(r#"{{"more":tru,"objects":[{A}]}}"#), None),
        (format!(r#"{{"objects":[{A}],"more":tru}}"#), None),
        (format!(r#"{{"meta":{{"n":NaN}},"data":[{B}]}}"#), None),
    ] {
        let Salvage { parts, good, .. } = Salvage::read(&page).unwrap();
        assert_eq!(parts.more, more, "{page}");
        assert!(good >= 1, "{page}");
    }
    assert!(Salvage::read(r#"{"objects":{}}"#).is_none());
    // The list of a bundle among others, a line each, is not the page's.
    let bundle = format!(r#"{{"type":"bundle","objects":[{A}]}}"#);
    assert!(Salvage::read(&format!("{C}\n{bundle}")).is_none());
    assert!(Salvage::read(&format!("{{\"x\":NaN}}\n{bundle}")).is_none());
    assert!(Salvage::read("<html>").is_none());
}

#[test]
fn values_one_behind_the_other_are_told_apart() {
    for (text, is_whole) in [
        (format!("{A}{B}{C}"), true),
        (format!("{A}\n{B}\n{C}\n"), true),
        (format!("\u{1e}{A}\n\u{1e}{B}\n\u{1e}{C}\n"), true),
        (format!("[{A} {B},{C}]"), true),
        (format!("[{A},{B},{C}"), false),
    ] {
        assert_eq!(pieces(&text), Pieces { list: vec![A, B, C], good: 3, has_end: is_whole, is_whole }, "{text}");
    }
    let text = format!("x{A}y{B}");
    assert_eq!(pieces(&text), Pieces { list: vec!["x", A, "y", B], good: 2, has_end: true, is_whole: true });
    assert!(!pieces(&format!("{A}\n{{\"cut")).is_whole);
}

#[test]
fn containers_give_what_is_in_them_and_nothing_else_does() {
    let bundle = format!(r#"{{"type":"bundle","id":"bundle--1","objects":[{A},{C}]}}"#);
    let broken = bundle.replace(r#""n":1"#, r#""n":["#);
    for (raw, expected) in [
        (bundle.as_str(), Some(vec![A, C])),
        (r#"{"type":"bundle","id":"bundle--1"}"#, Some(Vec::new())),
        (&format!("[{A},{B}]"), Some(vec![A, B])),
        (&format!(r#"{{"objects":[{A}],"more":false}}"#), Some(vec![A])),
        (&format!(r#"{{"data":[{B}],"meta":{{}}}}"#), Some(vec![B])),
        (&broken, Some(vec![r#"{"type":"indicator","id":"indicator--a","x":[{"n":[}]}"#, C])),
        (A, None),
        (B, None),
        ("[]", None),
        ("[1,2]", None),
        ("7", None),
        ("{", None),
        (r#"{"type":"report","objects":[{"type":"x"}]}"#, None),
        (r#"{"type":"observed-data","objects":{"0":{"type":"file"}}}"#, None),
    ] {
        assert_eq!(contents(raw), expected, "{raw}");
    }
}

#[test]
fn what_stands_inside_a_broken_object_is_a_part_of_it() {
    for bad in [
        format!(r#"{{"type":"report","id":"report--1","x_old":{A},"x_score":NaN}}"#),
        format!(r#"{{"type":"report","id":"report--1","x_score":NaN,"x_prev":[{A},{B}]}}"#),
        format!(r#"{{"type":"report","id":"report--1","description":"he said "hi", {A} ok"}}"#),
        format!(r#"{{"type":"report","id":"report--1","x_a":{{"objects":[{A}"#),
        format!(r#"{{"type":"report","id":"report--1","x_a":{A}"#),
    ] {
        let page = format!(r#"{{"objects":[{bad},{C}]}}"#);
        let (found, ..) = salvaged(&page);
        assert!(!found.contains(&A) && !found.contains(&B), "{page}: {found:?}");
        let rows = pieces(&bad);
        assert!(!rows.list.contains(&A), "{bad}: {rows:?}");
        assert!(contents(&bad).is_none_or(|inner| !inner.contains(&A)), "{bad}");
    }
}

#[test]
fn a_text_is_walked_over_so_often() {
    // Objects that begin a line each, one in the other, and never end: each is as long as the rest.
    let deep = |walks: usize| {
        let begun = "{\"a\":\n".repeat(walks);
        let long = format!("[{}]", vec!["1"; 2_000].join(","));
        format!("{begun}{long}\n{A}")
    };
    for (walks, good) in [(MAX_WALKS - 2, true), (MAX_WALKS + 2, false)] {
        let text = deep(walks);
        assert_eq!(pieces(&text).list.last() == Some(&A), good, "{walks}");
    }
}

#[test]
fn the_end_behind_a_broken_element_is_looked_for_so_often() {
    for (brackets, found) in [(MAX_ENDS - 1, true), (MAX_ENDS, false)] {
        let page = format!(r#"{{"objects":[{A},{{"x":NaN,"y":[}}],"other":"{}","more":false}}"#, "]".repeat(brackets));
        assert_eq!(Salvage::read(&page).unwrap().parts.more.is_some(), found, "{brackets}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to a page, every element that is whole and untouched is found, and nothing twice.
    #[test]
    fn damage_costs_what_it_hits(at in 0..400_usize, with in prop::sample::select(vec!["", "\"", "{", "}", "[", "]", "\\", ",", "x", "NaN"]), cut in 0..3_usize) {
        let ids: Vec<String> = (0..5).map(|n| format!(r#"{{"type":"indicator","id":"indicator--{n}","l":["a"],"m":{{"k":"v"}}}}"#)).collect();
        let page = format!(r#"{{"objects":[{}],"more":true}}"#, ids.join(","));
        let at = 12 + at % (page.len() - 27);
        let damaged = format!("{}{with}{}", &page[..at], &page[at + cut..]);
        let Some(Salvage { parts, .. }) = Salvage::read(&damaged) else { return Ok(()) };
        let Data::List(list) = parts.objects else { panic!() };
        for id in &ids {
            let from = page.find(id.as_str()).unwrap();
            // Damage beside an object may be part of it.
            if at + cut < from.saturating_sub(1) || at > from + id.len() + 1 {
                // A bracket before it makes a list of it, which is looked into.
                let found = list.iter().flat_map(|one| contents(one).unwrap_or_else(|| vec![one]));
                prop_assert_eq!(found.filter(|one| *one == id.as_str()).count(), 1, "{}", damaged);
            }
        }
    }
}
