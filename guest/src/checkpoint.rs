//! What every state has, whichever pager wrote it: the checkpoint's envelope.
//!
//! A state is JSON with a format version and a digest of the settings it depends on: `url`, `transport` and
//! `collection`. It never holds a secret and never has more than [`MAX_STATE_BYTES`]. One that cannot be read, comes
//! from a newer version, or belongs to another feed is a [`Failure::State`]: starting over silently could lose a
//! window or fetch months again, so a person has to decide (`tipline state reset`).

use serde_json::Value;

use crate::config::{Config, Transport};
use crate::contract::{Failure, MAX_STATE_BYTES};
use crate::members::{self, Members, number};
use crate::words::clean;
use tipline_ecs::key;
use tipline_ecs::{Begun, Json, Key, write_hex};

/// What a stored state holds; nothing for the empty string, which is the state before the first poll. `feed` is the
/// [`digest`] of the settings.
pub(crate) fn open(text: &str, format: u32, feed: &str) -> Result<Option<Value>, Failure> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    if text.len() > MAX_STATE_BYTES {
        return Err(unusable(&format!("it has {} bytes, more than {MAX_STATE_BYTES}", text.len())));
    }
    read(text, format, feed).map(Some).map_err(|error| unusable(&clean(&error)))
}

fn read(text: &str, format: u32, feed: &str) -> Result<Value, String> {
    let value = members::parse(text)?;
    let mut from = Members::of(&value)?;
    let v = number(from.needed("v")?)?;
    // Each transport counts its own formats, so a state of the other one is told by its feed. A newer format need not
    // have today's fields.
    let other = from.any("feed").and_then(Value::as_str).is_some_and(|written_for| written_for != feed);
    if other {
        return Err("`url`, `transport` or `collection` has changed since it was written".to_owned());
    }
    if v != u64::from(format) {
        return Err(format!("its format is {v}, this version reads {format}"));
    }
    members::text(from.needed("feed")?)?;
    Ok(value)
}

/// The members of what [`open`] gave, those of the envelope already taken.
pub(crate) fn members(value: &Value) -> Result<Members<'_>, String> {
    let mut from = Members::of(value)?;
    from.needed("v")?;
    from.needed("feed")?;
    Ok(from)
}

/// Begins a state's text.
pub(crate) fn begin(format: u32, feed: &str) -> (Json, Begun) {
    let mut out = Json::default();
    let whole = out.begin();
    out.number(key!("v"), u64::from(format));
    out.text_field(key!("feed"), feed);
    (out, whole)
}

/// The text to store.
pub(crate) fn close(mut out: Json, whole: Begun) -> Result<String, Failure> {
    out.close(whole);
    let text = out.into_text();
    if text.len() > MAX_STATE_BYTES {
        return Err(unusable(&format!("it would have {} bytes, more than {MAX_STATE_BYTES}", text.len())));
    }
    Ok(text)
}

/// 16 hex digits over what makes the feed another one. Spelling (a final slash, letter case of the host) does not.
pub(crate) fn digest(config: &Config) -> String {
    let url = url::Url::parse(&config.url).map_or_else(|_| config.url.clone(), String::from);
    let transport = match config.transport {
        Transport::Rest => "rest",
        Transport::Taxii => "taxii",
    };
    let mut hash = blake3::Hasher::new();
    let collections = config.collections.iter().map(String::as_str);
    for part in [url.trim_end_matches('/'), transport].into_iter().chain(collections) {
        // As 64 bits: the digest must be the same on 32-bit machines.
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut digest = [0_u8; 8];
    hash.finalize_xof().fill(&mut digest);
    let mut hex = String::with_capacity(16);
    write_hex(&digest, &mut hex);
    hex
}

/// The failure of a state that cannot be used.
pub(crate) fn unusable(why: &str) -> Failure {
    Failure::State(format!(
        "The stored state cannot be used: {why}. Undo the change of the settings, or run `tipline state reset` to begin \
         again from `initial_interval`."
    ))
}

/// The failure of an answer that nobody asked for.
pub(crate) fn unasked() -> Failure {
    Failure::State(
        "An answer came although this state asks for none. Pass the state that came with the request, or begin with \
         `start`."
            .to_owned(),
    )
}

/// A count that has to be there.
pub(crate) fn needed_count(from: &mut Members<'_>, name: &'static str) -> Result<u32, String> {
    from.count(name)?.ok_or_else(|| format!("missing field `{name}`"))
}

/// A member of a state that is left out where it says nothing: 0, no, none.
pub(crate) enum Slot<'s> {
    Count(&'s mut u32),
    Flag(&'s mut bool),
    Number(&'s mut Option<u64>),
}

/// Reads such members. One table for both directions, as each member read or written by itself costs a hundred bytes of
/// code.
pub(crate) fn read_slots(from: &mut Members<'_>, slots: &mut [(Key, Slot<'_>)]) -> Result<(), String> {
    for (key, slot) in slots {
        // `,"name":`
        let name = key.name();
        match slot {
            Slot::Count(count) => **count = from.count(name)?.unwrap_or(0),
            Slot::Flag(flag) => **flag = from.flag(name)?,
            Slot::Number(number) => **number = from.number(name)?,
        }
    }
    Ok(())
}

/// Writes such members.
pub(crate) fn write_slots(out: &mut Json, slots: &mut [(Key, Slot<'_>)]) {
    for (key, slot) in slots {
        match slot {
            Slot::Count(count) if **count > 0 => out.number(*key, u64::from(**count)),
            Slot::Flag(flag) if **flag => out.yes(*key),
            Slot::Number(Some(number)) => out.number(*key, *number),
            _ => {}
        }
    }
}
