//! The quick reader of JSON gives what `serde_json` gives, or gives up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use socdefenders::read::plain::Plain;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut reader = Plain::new(text);
    if let Ok(value) = Value::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)) {
        assert_eq!(serde_json::from_str::<Value>(text).ok(), Some(value));
    }
    let mut reader = Plain::new(text);
    if let Ok(raw) = reader.raw().and_then(|raw| reader.end().map(|()| raw)) {
        assert_eq!(serde_json::from_str::<&RawValue>(text).map(RawValue::get).ok(), Some(raw));
    }
    // An outline is of whatever has its brackets and quotes in order; of JSON it is the same.
    if let Ok(whole) = serde_json::from_str::<&RawValue>(text) {
        let outline = Plain::new(text).outline();
        assert!(outline.is_err() || outline == Ok(whole.get()));
    }
});
