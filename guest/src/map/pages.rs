//! Records as they come: a page, a list, one a line.

use serde::de::IgnoredAny;

use tipline_ecs::time::Millis;

use super::Mapper;
use crate::contract::{Batch, Failure};
use crate::memory::Memory;
use crate::objects::Context;
use crate::read::{Body, Data, Parts, Salvage, escaped, list, pieces};
use crate::rules::Settings;

/// How much of a text that is no records is shown in the failure.
const SHOWN: usize = 80;

/// Maps records in any form they come in.
///
/// # Errors
/// [`Failure::Protocol`] where the text is none of the forms.
pub fn records(
    settings: &Settings,
    observed: Millis,
    body: &Body<'_>,
    context: &mut Context,
) -> Result<Batch, Failure> {
    let text = body.text().trim_start_matches('\u{feff}').trim();
    let mut memory = Memory::none();
    let mut mapper = Mapper::new(settings, observed, body, context, &mut memory);
    if text.is_empty() {
        return Ok(mapper.finish());
    }
    if text.starts_with('[') {
        if let Ok(list) = list(text) {
            mapper.expect(list.len(), text.len());
            mapper.records(&list);
            return Ok(mapper.finish());
        }
    } else if let Ok(page) = Parts::read(text) {
        return one(mapper, &page, text);
    }
    broken(mapper, text)
}

/// A text that is no JSON as a whole: one record a line, or records one behind the other, or a page or a list in which
/// something is broken. Whatever can be read is; the rest are rejects.
fn broken<'a>(mut mapper: Mapper<'a>, text: &'a str) -> Result<Batch, Failure> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_object = |line: &&&str| line.starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok();
    let objects = lines.iter().filter(is_object).count();
    // A page written over many lines has some that are objects, too.
    if objects.saturating_mul(2) >= lines.len() {
        mapper.records(&lines);
        return Ok(mapper.finish());
    }
    match Salvage::read(text) {
        Some(Salvage { parts, good: 1.., .. }) => return one(mapper, &parts, text),
        _ if !text.starts_with(['{', '[']) && objects == 0 => {}
        _ => {
            let pieces = pieces(text);
            if pieces.good > 0 {
                mapper.records(&pieces.list);
                return Ok(mapper.finish());
            }
        }
    }
    Err(Failure::Protocol(format!(
        "Expected were records: an object with `data`, a list, or one record a line. What came begins with {}.",
        beginning(text)
    )))
}

fn one<'a>(mut mapper: Mapper<'a>, page: &Parts<'a>, text: &'a str) -> Result<Batch, Failure> {
    match &page.objects {
        Data::Absent => {}
        Data::List(list) => {
            mapper.expect(list.len(), text.len());
            mapper.objects(list);
            return Ok(mapper.finish());
        }
        Data::Null | Data::Other => {
            return Err(Failure::Protocol(format!(
                "The `objects` of a bundle or an envelope should be a list of STIX objects; what came begins with {}.",
                beginning(text)
            )));
        }
    }
    let is_empty = page.is_bundle() || page.is_envelope() && matches!(page.data, Data::Absent);
    if is_empty {
        return Ok(mapper.finish());
    }
    match &page.data {
        Data::Absent => mapper.records(&[text]),
        Data::List(list) => {
            mapper.expect(list.len(), text.len());
            mapper.records(list);
        }
        Data::Null | Data::Other => {
            return Err(Failure::Protocol(format!(
                "A page's `data` should be a list of records; the page begins with {}.",
                beginning(text)
            )));
        }
    }
    Ok(mapper.finish())
}

/// The first characters, with control characters escaped.
fn beginning(text: &str) -> String {
    let start: String = text.chars().take(SHOWN).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", escaped(&start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::MAX_NESTING;

    const RECORD: &str = r#"{"type":"ipv4","value":"192.0.2.1"}"#;
    const STIX: &str = r#"{"type":"indicator","id":"indicator--1","pattern":"[ipv4-addr:value = '192.0.2.1']"}"#;

    fn counts(text: &str) -> (u32, u32, u32) {
        let batch = records(&Settings::default(), 0, &Body::of(text.as_bytes()), &mut Context::default()).unwrap();
        (batch.read, batch.mapped + batch.skipped, batch.rejected)
    }

    #[test]
    fn records_come_in_several_forms() {
        for (text, expected) in [
            (format!(r#"{{"meta":{{}},"data":[{RECORD},{RECORD}]}}"#), (2, 2, 0)),
            (format!(r#"{{"data":[{RECORD},7,null]}}"#), (3, 1, 2)),
            (format!("[{RECORD}]"), (1, 1, 0)),
            (RECORD.to_owned(), (1, 1, 0)),
            (format!("{RECORD}\n\n{RECORD}\r\n"), (2, 2, 0)),
            (format!("{RECORD}\nnonsense\n{RECORD}"), (3, 2, 1)),
            (format!("\u{feff}nonsense\n{RECORD}"), (2, 1, 1)),
            (r#"{"data":[]}"#.to_owned(), (0, 0, 0)),
            (format!(r#"{{"type":"bundle","id":"bundle--1","objects":[{STIX},{STIX}]}}"#), (2, 2, 0)),
            (format!(r#"{{"more":false,"objects":[{STIX}]}}"#), (1, 1, 0)),
            (format!("[{STIX},{RECORD}]"), (2, 2, 0)),
            (format!("{STIX}\n{RECORD}"), (2, 2, 0)),
            (STIX.to_owned(), (1, 1, 0)),
            (r#"{"type":"bundle","objects":[]}"#.to_owned(), (0, 0, 0)),
            ("{}".to_owned(), (0, 0, 0)),
            (r#"{"more":false}"#.to_owned(), (0, 0, 0)),
            (r#"{"next":"x","more":false}"#.to_owned(), (0, 0, 0)),
            (r#"{"next":"x"}"#.to_owned(), (1, 0, 1)),
            (r#"{"type":"bundle","id":"bundle--1"}"#.to_owned(), (0, 0, 0)),
            (String::new(), (0, 0, 0)),
            // Bundles in bundles, in lists, in envelopes, a line each; a page a line.
            (format!(r#"[{{"type":"bundle","id":"bundle--1","objects":[{STIX}]}},{STIX}]"#), (2, 2, 0)),
            (format!(r#"{{"type":"bundle","objects":[{{"type":"bundle","objects":[[{STIX}],{STIX}]}}]}}"#), (2, 2, 0)),
            (format!(r#"{{"objects":[{{"objects":[{STIX}],"more":false}}]}}"#), (1, 1, 0)),
            (
                format!("{{\"type\":\"bundle\",\"objects\":[{STIX}]}}\n{{\"type\":\"bundle\",\"objects\":[{STIX}]}}"),
                (2, 2, 0),
            ),
            (format!("{{\"data\":[{RECORD}]}}\n{{\"data\":[{RECORD}]}}"), (2, 2, 0)),
            (format!("[[{RECORD}],[[{STIX}]]]"), (2, 2, 0)),
            (format!("[{RECORD},[7]]"), (2, 1, 1)),
            // What is no JSON costs itself: in a page, a list, a line, one behind the other.
            (format!(r#"{{"data":[{RECORD},{{"type":"ipv4","value":NaN}},{RECORD}]}}"#), (3, 2, 1)),
            (format!(r#"{{"objects":[{STIX},{{"type":"indicator","labels":["a"}},{STIX}]}}"#), (3, 2, 1)),
            (format!(r#"[{RECORD},{{"a":["b"}},{RECORD}]"#), (3, 2, 1)),
            (format!("[{RECORD},{{'type':'ipv4'}},{RECORD}]"), (3, 2, 1)),
            (format!("[{RECORD},{{\"type\":\"ip"), (2, 1, 1)),
            (format!("{RECORD}\n{{\"a\":[\"b\"}}\n{RECORD}"), (3, 2, 1)),
            (format!("{RECORD}{STIX}"), (2, 2, 0)),
            (format!("{{\n\"data\":[\n{RECORD},\n{{\"a\":[\"b\"}},\n{RECORD}\n],\n\"n\":[\n{{}}\n]\n}}"), (3, 2, 1)),
        ] {
            assert_eq!(counts(&text), expected, "{text}");
        }
    }

    #[test]
    fn among_millions_of_what_is_none_each_record_is_read() {
        const REJECTS: u32 = 200_000;
        let zeros = "0,".repeat(250_000);
        for text in [
            format!(r#"{{"data":[{RECORD},{zeros}{RECORD},7,[{RECORD}]]}}"#),
            format!("[{zeros}{RECORD},{STIX},[{RECORD}],0]"),
            format!(r#"{{"objects":[{STIX},{zeros}0]}}"#),
        ] {
            let batch = records(&Settings::default(), 0, &Body::of(text.as_bytes()), &mut Context::default()).unwrap();
            let good = u32::try_from(text.matches("192.0.2.1").count()).unwrap();
            assert_eq!((batch.read, batch.mapped, batch.rejected), (250_001 + good, good, REJECTS), "{}", &text[..80]);
            assert_eq!(batch.skipped, 50_001, "what is no record is counted, and no more is kept of it");
        }
    }

    #[test]
    fn containers_are_looked_into_so_deep() {
        let nested = |depth: u8| {
            (0..depth).fold(STIX.to_owned(), |inner, _| format!(r#"{{"type":"bundle","objects":[{inner}]}}"#))
        };
        for (depth, expected) in [(MAX_NESTING, (1, 1, 0)), (MAX_NESTING + 1, (1, 0, 1))] {
            // As records and as objects.
            assert_eq!(counts(&format!("[{}]", nested(depth))), expected, "{depth}");
            assert_eq!(counts(&format!(r#"{{"objects":[{}]}}"#, nested(depth))), expected, "{depth}");
            let lists = format!("[{}{RECORD}{}]", "[".repeat(depth.into()), "]".repeat(depth.into()));
            assert_eq!(counts(&lists), expected, "{depth}");
        }
    }

    #[test]
    fn a_record_that_is_no_json_says_where_it_stands() {
        let text = format!(r#"{{"data":[{RECORD},{{"type":"ipv4","value":NaN}}]}}"#);
        let batch = records(&Settings::default(), 0, &Body::of(text.as_bytes()), &mut Context::default()).unwrap();
        let reject = &batch.rejects[0];
        let at = text.find(r#"{"type":"ipv4","value":NaN"#).unwrap();
        assert!(reject.detail.contains(&format!("begins at byte {at} ")), "{}", reject.detail);
        assert_eq!((reject.code.as_str(), reject.raw.as_slice()), ("bad-json", &text.as_bytes()[at..text.len() - 2]));
    }

    #[test]
    fn other_texts_are_failures_that_say_what_came() {
        for (text, part) in [
            ("<html><body>Log in</body></html>", "<html>"),
            (r#"{"type":"bundle","objects":{}}"#, "`objects`"),
            (r#"{"data":{"matches":[]}}"#, "`data`"),
            (r#"{"data":null}"#, "`data`"),
            (r#"{"meta":{"total":1},"data":[{"type":"ip"#, "begins with"),
            (r#"[{"type":"ip"#, "begins with"),
            ("nothing\u{1b}[31m", "\\u{1b}"),
        ] {
            match records(&Settings::default(), 0, &Body::of(text.as_bytes()), &mut Context::default()) {
                Err(Failure::Protocol(said)) => assert!(said.contains(part), "{said}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
