//! The stored form of a document: what the host may change in what the guest wrote.
//!
//! Three changes, each a pure function of the document and a moment: [`stored`] at every delivery and in the sweep,
//! [`renewed`] where a live document's `@timestamp` has grown old, [`retired`] where something other than time ends it.
//! Every other field keeps its place and its text, byte for byte. A store never invents a form of its own, so that
//! all of them agree on what an expired document is.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::clock::Millis;
use crate::store::{Document, time};

/// What `socdefenders.expiry_reason` says where the feed took the indicator back: a word of the contract.
pub const REVOKED: &str = "revoked";

/// A text that is no document.
#[derive(Debug, Error)]
#[error("The stored document cannot be read: {0}. Restore the store from a backup, or poll its feed again.")]
pub struct FormError(#[from] serde_json::Error);

/// The form a document is stored in at `now`: unchanged while it lives; where `expires_at` has come, `event.type` is
/// `info` and `socdefenders.retired_at` says since when. What is revoked ends at `now` at the latest: a server whose
/// clock is ahead of this machine's takes back in the future.
pub fn stored<'a>(document: &Document<'a>, now: Millis) -> Cow<'a, str> {
    let change = match document.expires_at {
        Some(at) if at <= now => Change::Expired(at),
        _ if is_revoked(document.json) => Change::Ended(now, REVOKED),
        _ => return Cow::Borrowed(document.json),
    };
    // A document comes from a page, which has read it as an object with the objects that are edited here.
    edit(document.json, &change).map_or(document.json.into(), Cow::Owned)
}

/// Whether [`stored`] retires a document.
pub fn has_ended(document: &Document<'_>, now: Millis) -> bool {
    document.expires_at.is_some_and(|at| at <= now) || is_revoked(document.json)
}

/// Whether a document says that its indicator was taken back.
fn is_revoked(json: &str) -> bool {
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        socdefenders: Option<Own<'a>>,
    }
    #[derive(Deserialize)]
    struct Own<'a> {
        #[serde(borrow)]
        expiry_reason: Option<Cow<'a, str>>,
    }
    // Few have the word at all.
    json.contains(REVOKED)
        && serde_json::from_str::<Whole<'_>>(json)
            .is_ok_and(|whole| whole.socdefenders.and_then(|own| own.expiry_reason).as_deref() == Some(REVOKED))
}

/// A live document, vouched for again at `now`: only `@timestamp` changes.
///
/// # Errors
/// [`FormError`] where the text is no document.
pub fn renewed(json: &str, now: Millis) -> Result<String, FormError> {
    edit(json, &Change::Renewed(now))
}

/// A document that is taken out of matching at `at` for `reason` (`excluded`, `revoked`), whatever its feed says. Its
/// `expires_at` is brought forward to `at`, as the alias and the search go by it; a document that had already been
/// retired keeps the time of its retirement.
///
/// # Errors
/// [`FormError`] where the text is no document.
pub fn retired(json: &str, at: Millis, reason: &str) -> Result<String, FormError> {
    edit(json, &Change::Ended(at, reason))
}

enum Change<'a> {
    Renewed(Millis),
    Expired(Millis),
    Ended(Millis, &'a str),
}

fn edit(json: &str, change: &Change<'_>) -> Result<String, FormError> {
    let mut root: Object<'_> = serde_json::from_str(json)?;
    match change {
        Change::Renewed(now) => root.set("@timestamp", quoted(&time::print(*now))),
        Change::Expired(at) => {
            retype(&mut root)?;
            let mut own = root.object("socdefenders")?;
            // As the guest wrote it, so that the two are the same text.
            let at = own.get("expires_at").map_or_else(|| quoted(&time::print(*at)), str::to_owned);
            own.set("retired_at", at);
            root.set("socdefenders", own.print());
        }
        Change::Ended(at, reason) => {
            retype(&mut root)?;
            let mut own = root.object("socdefenders")?;
            let moment = |own: &Object<'_>, key| {
                own.get(key)
                    .and_then(|raw| serde_json::from_str::<String>(raw).ok())
                    .and_then(|text| time::parse(&text))
            };
            if moment(&own, "expires_at").is_none_or(|expires| expires > *at) {
                own.set("expires_at", quoted(&time::print(*at)));
            }
            own.set("expiry_reason", quoted(reason));
            if moment(&own, "retired_at").is_none() {
                own.set("retired_at", quoted(&time::print(*at)));
            }
            root.set("socdefenders", own.print());
        }
    }
    Ok(root.print())
}

fn retype(root: &mut Object<'_>) -> Result<(), FormError> {
    let mut event = root.object("event")?;
    event.set("type", "[\"info\"]".to_owned());
    root.set("event", event.print());
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A JSON object whose values are text, in the order they stand.
struct Object<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Object<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// Replaces a value in its place, or adds it at the end.
    fn set(&mut self, key: &'static str, value: String) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((key.into(), value.into())),
        }
    }

    /// An object in this one; a missing one is empty.
    fn object(&self, key: &str) -> Result<Object<'static>, FormError> {
        let Some(text) = self.get(key) else { return Ok(Object(Vec::new())) };
        let object: Object<'_> = serde_json::from_str(text)?;
        Ok(Object(object.0.into_iter().map(|(k, v)| (k.into_owned().into(), v.into_owned().into())).collect()))
    }

    fn print(&self) -> String {
        let mut text = String::from("{");
        for (index, (key, value)) in self.0.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&quoted(key));
            text.push(':');
            text.push_str(value);
        }
        text.push('}');
        text
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Object<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut entries = Vec::with_capacity(16);
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            entries.push((Cow::Owned(key), Cow::Borrowed(value.get())));
        }
        Ok(Object(entries))
    }
}
