use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

fn read(text: &str) -> Result<Value, NotPlain> {
    let mut reader = Plain::new(text);
    let value = Value::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

fn passed(text: &str) -> Result<&str, NotPlain> {
    let mut reader = Plain::new(text);
    let raw = reader.raw()?;
    reader.end()?;
    Ok(raw)
}

#[test]
fn an_outline_ends_where_its_bracket_does() {
    for (inside, is_whole) in
        [("", true), ("\\\\", true), (r#"\""#, true), ("}]{", true), (r#"\\\""#, true), (r#"\"#, false), ("\"", false)]
    {
        for before in 0..20 {
            for after in 0..10 {
                let text = format!(r#"{{"k":"{}{inside}{}"}}"#, "x".repeat(before), "y".repeat(after));
                let outline = Plain::new(&format!("{text},")).outline().map(str::to_owned);
                assert_eq!(outline == Ok(text.clone()), is_whole || after > 0 && inside == r#"\"#, "{text}");
            }
        }
    }
}

/// It gives up, or gives what `serde_json` gives; what is read is also passed over.
fn agrees(text: &str) {
    if let Ok(value) = read(text) {
        assert_eq!(serde_json::from_str::<Value>(text).ok(), Some(value), "{text:?}");
        assert!(passed(text).is_ok(), "{text:?}");
    }
    if let Ok(raw) = passed(text) {
        assert_eq!(serde_json::from_str::<&RawValue>(text).map(RawValue::get).ok(), Some(raw), "{text:?}");
        let mut reader = Plain::new(text);
        assert_eq!(reader.outline(), Ok(raw), "{text:?}");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z\"\\\\ü]{0,4}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn plain_records_are_read() {
    for text in [
        r#"{"type":"ipv4","value":"192.0.2.1","tags":["a","ü"],"source":{"x":null},"n":7,"f":true}"#,
        " [ 1 , { } , [ ] , \"\\u00fc\\n\" , 0.5 , -3 ] \r\n\t",
        r#"{"a":1,"a":2}"#,
        "\"\"",
        "999999999999999999",
        "18446744073709551615",
        "18446744073709551616",
        "9999999999999999999",
        "99999999999999999999",
        "100000000000000000000",
        "0",
        "10",
        "[0,1 ,2]",
        "1e2",
        "1.5",
    ] {
        assert_eq!(read(text).ok(), serde_json::from_str::<Value>(text).ok(), "{text}");
        assert_eq!(passed(text), Ok(text.trim()), "{text}");
    }
}

#[test]
fn what_is_no_json_is_not_read() {
    for text in [
        "",
        "{",
        "[1",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "[,1]",
        "[1 2]",
        "01",
        "1.",
        "-",
        "nul",
        "tru e",
        "\"a",
        "\"\\x\"",
        "\"\\ud83d\"",
        "\"a\nb\"",
        "{\"a\":1}}",
        "1 1",
        "nullx",
        "{1:2}",
        "\u{feff}{}",
        "+1",
        "\"\\",
    ] {
        assert_eq!(read(text), Err(NotPlain), "{text:?}");
        assert_eq!(passed(text), Err(NotPlain), "{text:?}");
    }
}

#[test]
fn so_deep_and_no_deeper() {
    let nested = |depth: u8| "[".repeat(depth.into()) + &"]".repeat(depth.into());
    assert!(read(&nested(DEEPEST)).is_ok() && passed(&nested(DEEPEST)).is_ok());
    assert_eq!(read(&nested(DEEPEST + 1)), Err(NotPlain));
    assert_eq!(passed(&nested(DEEPEST + 1)), Err(NotPlain));
}

proptest! {
    #[test]
    fn any_json_is_read_as_serde_reads_it(value in json(), pretty in any::<bool>()) {
        let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let text = write(&value).unwrap();
        agrees(&text);
        prop_assert!(passed(&text).is_ok());
    }

    #[test]
    fn damaged_json_is_read_as_serde_reads_it(
        value in json(), at in any::<prop::sample::Index>(), put in "[]\\[{}\",:\\\\0-9.e+ntu\u{0}-\u{20}ü-]{0,2}", cut in 0..3_usize,
    ) {
        let text: Vec<char> = value.to_string().chars().collect();
        let at = at.index(text.len());
        let damaged: String = text[..at].iter().copied().chain(put.chars()).chain(text[(at + cut).min(text.len())..].iter().copied()).collect();
        agrees(&damaged);
    }
}
