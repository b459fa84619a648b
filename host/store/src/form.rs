//! The stored form of a document: what the host may change in what the guest wrote.
//!
//! Five changes, each a pure function of the document and a moment: [`stored`] at every delivery and in the sweep alike,
//! [`delivered`] at a delivery, which also names the input, [`renewed`] where a live document's `@timestamp` has grown
//! old, [`retired`] where something other than time ends it, [`set_back`] where it is dated ahead of the time. Every other field keeps its place and its text, byte for
//! byte. A store never invents a form of its own, so that all of them agree on what a document is.
//!
//! A document is one of four things, which are told apart by `tipline.*` and ECS's own words:
//!
//! * *retired*: it has `tipline.retired_at`. What has expired gets it from here, what was corrected comes with it from the
//!   guest. It matches nothing and is deleted in the end.
//! * *a condition*: `event.category: threat` with `event.type: info`, and not retired. It says something of a threat that
//!   is no indicator by itself. It is searched as what is retired is, and neither renewed nor counted as live; where it
//!   has `tipline.expires_at`, it is retired then.
//! * *an indicator*: `event.type: indicator`. It is live until it expires.
//! * *context*: all others, such as vulnerabilities and techniques, which are of another category or none. As live as an
//!   indicator.
//!
//! So live is what is not retired, has not expired, and does not say `info` of a `threat`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;
use tipline_catalog::walk;
use tipline_kql::{SEARCHED, search_text};

use crate::Document;
use tipline_model::clock::Millis;
use tipline_model::time;

/// What a document of this `event.category` says with [`INFO`] as its `event.type` is no indicator.
pub const THREAT: &str = "threat";

/// The `event.type` of what is retired, of conditions and of context.
pub const INFO: &str = "info";

/// Whether a field says what the mapping or the host makes of it (versions, kinds, identities, times), and never a value that
/// a feed has sent: nobody has to be kept from clicking on it.
pub fn is_of_the_mapping(field: &str) -> bool {
    const FIELDS: [&str; 13] = [
        "@timestamp",
        "ecs.version",
        "event.category",
        "event.dataset",
        "event.id",
        "event.ingested",
        "event.kind",
        "event.module",
        "event.sequence",
        "event.type",
        "threat.indicator.type",
        "threat.indicator.marking.tlp",
        "threat.indicator.marking.tlp_version",
    ];
    // The text that plain text is looked for in is the feed's.
    let is_shared = field.starts_with("tipline.") && field != tipline_kql::SEARCH;
    FIELDS.contains(&field) || is_shared || field.starts_with("data_stream.")
}

/// A text that is no document.
#[derive(Debug, Error)]
#[error("The stored document cannot be read: {0}. Restore the store from a backup, or poll its feed again.")]
pub struct FormError(#[from] serde_json::Error);

/// The form a document is stored in, where what ends until `ended_by` has ended: unchanged while it lives; where its
/// `expires_at` has come, `event.type` is `info` and `tipline.retired_at` says since when. One that the guest has retired
/// keeps its time.
pub fn stored<'a>(document: &Document<'a>, ended_by: Millis) -> Cow<'a, str> {
    let change = match (document.retired_at, document.expires_at) {
        (Some(at), _) => Change::Expired(at),
        (None, Some(at)) if at <= ended_by => Change::Expired(at),
        _ => return Cow::Borrowed(document.json),
    };
    // A document comes from a page, which has read it as an object with the objects that are edited here.
    edit(document.json, &change).map_or(document.json.into(), Cow::Owned)
}

/// The stored form with `tipline.input`, the input that delivers it.
pub fn delivered(document: &Document<'_>, input: &str, ended_by: Millis) -> String {
    with_shared(&stored(document, ended_by), "input", input)
}

/// A delivered document with `tipline.search`, the text in which plain text is looked for, for a store that has no other
/// place for it.
pub fn searchable(delivered: String) -> String {
    let mut texts: [Vec<String>; SEARCHED.len()] = Default::default();
    let read = walk(&delivered, &mut |path, leaf| {
        if let Some(values) = SEARCHED.iter().position(|known| *known == path) {
            texts[values].push(leaf.text().into_owned());
        }
    });
    let text = search_text(texts.iter().flatten().map(String::as_str));
    match read {
        Ok(()) if !text.is_empty() => with_shared(&delivered, "search", &text),
        _ => delivered,
    }
}

/// Whether [`stored`] gives a retired document.
pub fn has_ended(document: &Document<'_>, ended_by: Millis) -> bool {
    document.retired_at.is_some() || document.expires_at.is_some_and(|at| at <= ended_by)
}

/// How the object begins that host and guest share, as a guest that prints no spaces writes it.
const SHARED: &str = "\"tipline\":{";

/// With a text in the object that host and guest share, where it has none of this key. A page has made sure that there is at
/// most one `tipline`, an object without those of the host.
fn with_shared(json: &str, key: &'static str, value: &str) -> String {
    let Some(at) = root_object(json, SHARED) else {
        return edit(json, &Change::Shared(key, value)).unwrap_or_else(|_| json.to_owned());
    };
    let (before, after) = json.split_at(at);
    let comma = if after.starts_with('}') { "" } else { "," };
    let value = quoted(value);
    let mut text = String::with_capacity(json.len() + key.len() + value.len() + "\"\":,".len());
    for part in [before, "\"", key, "\":", &value, comma, after] {
        text.push_str(part);
    }
    text
}

/// Just after the brace of an object of the root that begins so, where it is found at a look: what is looked for stands near
/// the end, as our own guest writes `tipline` and `event`.
///
/// The quote after a brace or a comma opens a key, as one inside a text has a backslash before it. Whether it is a key of
/// the root, the rest of the text says: there, one more object ends than begins.
pub(crate) fn root_object(json: &str, beginning: &str) -> Option<usize> {
    let key = json.rfind(beginning)?;
    let bytes = json.as_bytes();
    if !matches!(bytes.get(key.checked_sub(1)?), Some(b'{' | b',')) {
        return None;
    }
    let inside = key + beginning.len();
    let (mut depth, mut at) = (2_usize, inside);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                at += 1;
                // To the closing quote; what is escaped is stepped over.
                while let Some(&inner) = bytes.get(at).filter(|inner| **inner != b'"') {
                    at += if inner == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    (depth == 0).then_some(inside)
}

/// A live document, vouched for again at `now`: only `@timestamp` changes.
///
/// # Errors
/// [`FormError`] where the text is no document.
pub fn renewed(json: &str, now: Millis) -> Result<String, FormError> {
    edit(json, &Change::Renewed(now))
}

/// A document that is taken out of matching at `at` for `reason` (such as `excluded`), whatever its feed says. Its
/// `expires_at` is brought forward to `at`, as the alias and the search go by it; a document that had already been
/// retired keeps the time of its retirement.
///
/// # Errors
/// [`FormError`] where the text is no document.
pub fn retired(json: &str, at: Millis, reason: &str) -> Result<String, FormError> {
    edit(json, &Change::Ended(at, reason))
}

/// A document that was dated ahead of the time, dated `now`, with a version of now.
///
/// # Errors
/// [`FormError`] where the text is no document.
pub fn set_back(json: &str, now: Millis, version: u64) -> Result<String, FormError> {
    edit(json, &Change::SetBack(now, version))
}

enum Change<'a> {
    Renewed(Millis),
    Expired(Millis),
    Ended(Millis, &'a str),
    Shared(&'static str, &'a str),
    SetBack(Millis, u64),
}

fn edit(json: &str, change: &Change<'_>) -> Result<String, FormError> {
    let mut root: Object<'_> = serde_json::from_str(json)?;
    match change {
        Change::Renewed(now) => root.set("@timestamp", quoted(&time::print(*now))),
        Change::Expired(at) => {
            retype(&mut root)?;
            let mut shared = root.object("tipline")?;
            if moment(&shared, "retired_at").is_none() {
                // As the guest wrote it, so that the two are the same text.
                let at = shared.get("expires_at").map_or_else(|| quoted(&time::print(*at)), str::to_owned);
                shared.set("retired_at", at);
            }
            root.set("tipline", shared.print());
        }
        Change::SetBack(now, version) => {
            let now = quoted(&time::print(*now));
            root.set("@timestamp", now.clone());
            let (mut event, mut shared) = (root.object("event")?, root.object("tipline")?);
            event.set("sequence", version.to_string());
            root.set("event", event.print());
            if shared.get("observed_at").is_some() {
                shared.set("observed_at", now);
                root.set("tipline", shared.print());
            }
        }
        Change::Shared(key, value) => {
            let mut shared = root.object("tipline")?;
            shared.set(key, quoted(value));
            root.set("tipline", shared.print());
        }
        Change::Ended(at, reason) => {
            retype(&mut root)?;
            let mut shared = root.object("tipline")?;
            if moment(&shared, "expires_at").is_none_or(|expires| expires > *at) {
                shared.set("expires_at", quoted(&time::print(*at)));
            }
            shared.set("expiry_reason", quoted(reason));
            if moment(&shared, "retired_at").is_none() {
                shared.set("retired_at", quoted(&time::print(*at)));
            }
            root.set("tipline", shared.print());
        }
    }
    Ok(root.print())
}

fn moment(object: &Object<'_>, key: &str) -> Option<Millis> {
    let text: String = serde_json::from_str(object.get(key)?).ok()?;
    time::parse(&text)
}

fn retype(root: &mut Object<'_>) -> Result<(), FormError> {
    let mut event = root.object("event")?;
    event.set("type", format!("[{}]", quoted(INFO)));
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
