//! Any value comes back from a query as it went in, and no text harms.

use libtest_mimic::{Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tipline_kql::{
    Document, Expr, Literal, MAX_DEPTH, MAX_PATTERN_CHARS, MAX_QUERY_BYTES, Pattern, Spanned, Values, complete, parse,
    print, print_for_kibana, quote, resolve,
};

use crate::data::{NOW, fields};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("quoting::values_come_back_as_they_went_in", values),
        Trial::test("quoting::any_text_is_read_or_refused_at_a_place", any_text),
        Trial::test("quoting::texts_like_queries_are_read_or_refused_at_a_place", like_queries),
        Trial::test("quoting::a_query_has_so_many_bytes_and_no_more", bytes),
        Trial::test("quoting::a_query_has_so_many_levels_and_no_more", levels),
        Trial::test("quoting::a_query_asks_for_so_many_things_and_no_more", clauses),
        Trial::test("quoting::a_part_of_a_text_has_so_many_characters_and_no_more", characters),
    ]
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

/// What breaks quoting elsewhere, and all of Unicode.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just("*".to_owned()),
        Just("?".to_owned()),
        Just("and".to_owned()),
        Just(" or ".to_owned()),
        Just("not ".to_owned()),
        Just("\u{202e}\u{200f}".to_owned()),
        Just("🦀".to_owned()),
        Just("\\u0041".to_owned()),
        Just("://".to_owned()),
        Just("\r\n\t".to_owned()),
        Just("{}()<>:".to_owned()),
        Just("\u{a0}".to_owned()),
        Just("\0".to_owned()),
        any::<String>(),
        "[a-z ]{1,8}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn literal_of(query: &str) -> Result<Literal, String> {
    let tree = parse(query).map_err(|error| format!("{query}: {error}"))?;
    match tree.node {
        Expr::Is { values: Spanned { node: Values::One(literal), .. }, .. } => Ok(literal),
        other => Err(format!("{other:?}")),
    }
}

fn values() -> Result<(), Failed> {
    let fields = fields();
    let long = "x\\\"🦀*".repeat(1_250);
    assert!(long.len() >= 10_000);
    assert_eq!(literal_of(&format!("tags: {}", quote(&long)))?, Literal::Quoted(long));
    runner(500).run(&value(), |text| {
        let quoted = literal_of(&format!("tags: {}", quote(&text))).unwrap();
        prop_assert_eq!(&quoted, &Literal::Quoted(text.clone()));
        let is = |literal: Literal| {
            Spanned::from(Expr::Is {
                field: Spanned::from(Pattern::exact("tags")),
                values: Spanned::from(Values::One(literal)),
            })
        };
        // The document that has it is found, also by what Kibana is given.
        let document = Document::of(&serde_json::json!({ "tags": [text] }), &fields);
        let kibana = print_for_kibana(&is(quoted), &fields).unwrap();
        let found = document.matches(&resolve(&parse(&kibana).unwrap(), &fields, NOW).unwrap());
        prop_assert!(found || text.encode_utf16().count() > 1_024);
        if !text.is_empty() {
            for plain in [
                Pattern::exact(&text),
                Pattern::prefix(&text),
                Pattern::new(["a".to_owned(), text.clone(), String::new()]),
            ] {
                let tree = is(Literal::Plain(plain));
                let printed = print(&tree);
                prop_assert_eq!(parse(&printed), Ok(tree), "{}", printed);
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// A query is read to the same tree it is printed from, or is refused within its text; a cursor is welcome anywhere.
fn harmless(text: &str) -> Result<(), TestCaseError> {
    let fields = fields();
    let within = |error: tipline_kql::KqlError| {
        prop_assert!(text.get(error.span.start..error.span.end).is_some(), "{:?}", error);
        prop_assert_eq!(error.span.column, text[..error.span.start].chars().count() + 1);
        Ok(())
    };
    match parse(text) {
        Err(error) => within(error)?,
        Ok(tree) => {
            let printed = print(&tree);
            prop_assert_eq!(parse(&printed), Ok(tree.clone()), "{}", printed);
            if let Err(error) = resolve(&tree, &fields, NOW) {
                within(error)?;
            }
        }
    }
    for cursor in 0..=text.len() {
        for choice in complete(text, cursor) {
            prop_assert!(text.get(choice.span.start..choice.span.end).is_some(), "{:?} at {}", choice, cursor);
        }
    }
    Ok(())
}

fn any_text() -> Result<(), Failed> {
    runner(500).run(&any::<String>(), |text| harmless(&text))?;
    Ok(())
}

fn like_queries() -> Result<(), Failed> {
    let word = prop::sample::select(vec![
        "tags",
        "value",
        "type",
        "threat.*",
        "last_seen",
        ":",
        ":",
        ":",
        "(",
        ")",
        "and",
        "or",
        "not",
        "<=",
        ">",
        "\"",
        "\"a b\"",
        "*",
        "\\",
        "\\*",
        "\\u",
        "\\ud83d\\ude00",
        "{",
        "evil",
        "198.51.100.0/24",
        "2001:db8::1",
        "hxxp://e[.]x",
        "now-1d/d",
        "2026-11-27",
        "é",
        "🦀",
        " ",
        "  ",
        "\n",
        "\\and",
        "high",
    ]);
    runner(1_000).run(&prop::collection::vec(word, 0..14), |words| {
        harmless(&words.join(if words.len() % 2 == 0 { " " } else { "" }))
    })?;
    Ok(())
}

fn bytes() -> Result<(), Failed> {
    let longest = format!("tags: {}", quote(&"x".repeat(MAX_QUERY_BYTES - 8)));
    assert_eq!(longest.len(), MAX_QUERY_BYTES);
    assert!(parse(&longest).is_ok());
    assert!(parse(&format!("{longest} ")).is_err());
    Ok(())
}

fn levels() -> Result<(), Failed> {
    for [open, close] in [["(", ")"], ["not ", ""]] {
        let nested = |levels: usize| format!("{}tags: a{}", open.repeat(levels), close.repeat(levels));
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(parse(&nested(MAX_DEPTH + 1)).unwrap_err().span.start, open.len() * MAX_DEPTH);
        assert!(parse(&nested(10_000)).is_err());
    }
    Ok(())
}

fn clauses() -> Result<(), Failed> {
    let fields = fields();
    let many = |count: usize| (0..count).map(|n| format!("tags: \"{n}\"")).collect::<Vec<_>>().join(" or ");
    let asked = |query: &str| resolve(&parse(query).unwrap(), &fields, NOW).map(|predicate| predicate.tests());
    assert_eq!(asked(&many(1_024)).unwrap(), 1_024);
    assert!(asked(&many(1_025)).is_err());
    // A wildcard counts for each of its fields.
    assert!(asked(&["*: x"; 4].join(" or ")).is_ok());
    assert!(asked(&["*: x"; 20].join(" or ")).is_err());
    Ok(())
}

fn characters() -> Result<(), Failed> {
    let fields = fields();
    for query in ["TEXT", "\"TEXT\"", "tags: TEXT*"] {
        let asked = |count: usize| {
            let extra = query.matches('*').count();
            resolve(&parse(&query.replace("TEXT", &"é".repeat(count - extra))).unwrap(), &fields, NOW)
        };
        assert!(asked(MAX_PATTERN_CHARS).is_ok(), "{query}");
        assert!(asked(MAX_PATTERN_CHARS + 1).is_err(), "{query}");
    }
    Ok(())
}
