//! What may stand at a cursor: the table is a text with `▸` for the cursor, and what is expected there.

use libtest_mimic::{Failed, Trial};
use tipline_kql::{Expected, complete};

use crate::data::fields;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("completion::what_is_expected_at_a_cursor", expected),
        Trial::test("completion::fields_are_found_by_any_of_their_parts", names),
    ]
}

/// `kind:prefix@replaced text`, in the order they are proposed.
const CASES: [(&str, &str); 37] = [
    ("▸", "field:@ not:@"),
    ("ty▸", "field:ty@ty not:ty@ty op(ty):@"),
    ("ty▸pe: x", "field:ty@type not:ty@type op(ty):@"),
    ("type▸", "field:type@type not:type@type op(type):@"),
    ("type ▸", "op(type):@ conj:@"),
    ("\"type\"▸", "op(type):@ conj:@"),
    ("type: ▸", "val(type):@"),
    ("type:▸", "val(type):@"),
    ("type: fi▸", "val(type):fi@fi"),
    ("type: fi▸le and x", "val(type):fi@file"),
    ("last_seen > ▸", "val(last_seen):@"),
    ("last_seen >= now▸", "val(last_seen):now@now"),
    ("last_seen >= 2026-11-27T10:1▸", "val(last_seen):2026-11-27T10:1@2026-11-27T10:1"),
    ("tag: cobalt st▸", "val(tag):cobalt st@cobalt st conj:st@st"),
    ("tag: cobalt ▸", "val(tag):cobalt @cobalt  conj:@"),
    ("tag: \"cob▸", "val(tag):cob@\"cob"),
    ("tag: \"cobalt st▸\"", "val(tag):cobalt st@\"cobalt st\""),
    ("tag: \"a\\\"b▸", "val(tag):a\"b@\"a\\\"b"),
    ("tag: \"a\\▸", "val(tag):a@\"a\\"),
    ("tag: \"a\" ▸", "conj:@"),
    ("tag: (▸", "val(tag):@ not:@"),
    ("tag: (a or ▸", "val(tag):@ not:@"),
    ("tag: (a or not ▸", "val(tag):@ not:@"),
    ("tag: (no▸", "val(tag):no@no not:no@no"),
    ("tag: (a) ▸", "conj:@"),
    ("tag: a and ▸", "field:@ not:@"),
    ("not ▸", "field:@ not:@"),
    ("(ta▸", "field:ta@ta not:ta@ta op(ta):@"),
    ("(tag: a) o▸", "conj:o@o"),
    ("evil dom▸", "conj:dom@dom"),
    ("evil domain ▸", "conj:@"),
    ("threat.indicator.f*: ▸", "val(threat.indicator.f*):@"),
    ("é🦀 ▸", "op(é🦀):@ conj:@"),
    ("tag: é▸é", "val(tag):é@éé"),
    ("a: b: ▸", ""),
    (") ▸", ""),
    ("a \"b\" ▸", ""),
];

fn expected() -> Result<(), Failed> {
    for (marked, expected) in CASES {
        let cursor = marked.find('▸').unwrap();
        let text = marked.replace('▸', "");
        let found: Vec<_> = complete(&text, cursor)
            .into_iter()
            .map(|choice| {
                let kind = match choice.expected {
                    Expected::Field => "field".to_owned(),
                    Expected::Operator { field } => format!("op({field})"),
                    Expected::Value { field } => format!("val({field})"),
                    Expected::Conjunction => "conj".to_owned(),
                    Expected::Negation => "not".to_owned(),
                };
                assert_eq!(choice.span.column, text[..choice.span.start].chars().count() + 1, "{marked}");
                format!("{kind}:{}@{}", choice.prefix, &text[choice.span.start..choice.span.end])
            })
            .collect();
        assert_eq!(found.join(" "), expected, "{marked}");
    }
    Ok(())
}

fn names() -> Result<(), Failed> {
    let fields = fields();
    assert_eq!(
        fields.complete("ta"),
        ["tag", "tags"].into_iter().chain(fields.complete("ta").into_iter().skip(2)).collect::<Vec<_>>()
    );
    assert!(fields.complete("imph").contains(&"threat.indicator.file.pe.imphash"));
    assert_eq!(fields.complete("threat.indicator.file.hash.sha").len(), 4);
    assert!(fields.complete("nothing so").is_empty());
    Ok(())
}
