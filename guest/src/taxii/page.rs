//! A page of objects, in either style: TAXII's envelope, or a bare STIX bundle.

use serde_json::Value;

use crate::page::{self, Unreadable, value};

/// Where the objects stand.
const LIST: &str = "objects";

/// The longest `next` that is kept in the state and sent back; a request line has some 8 KiB.
const LONGEST_NEXT: usize = 2 * 1024;

/// A page.
pub(super) struct Page<'b> {
    /// Each object as received.
    pub(super) objects: Vec<&'b str>,
    /// Whether there is more, if it says so.
    pub(super) more: Option<bool>,
    pub(super) next: Option<String>,
    /// It is a bundle, which says nothing about more.
    pub(super) bundle: bool,
}

impl<'b> Page<'b> {
    /// Reads a body. An envelope without objects is an empty page, and so is nothing at all under 204.
    pub(super) fn read(body: &'b str, status: u16) -> Result<Self, Unreadable> {
        if status == 204 {
            return Ok(Self { objects: Vec::new(), more: None, next: None, bundle: false });
        }
        let parts = page::parts(body, LIST)?;
        let bundle = parts.is_bundle();
        let known = bundle || parts.more.is_some() || parts.next.is_some();
        let objects = page::records(parts.objects, parts.error, known || !parts.others, body, LIST)?;
        let next = parts.next.and_then(|next| match value(next) {
            Value::String(text) => Some(text),
            Value::Number(_) => Some(next.to_owned()),
            _ => None,
        });
        let more = parts.more.and_then(|more| more.trim_matches('"').trim().parse().ok());
        let fits = |next: &String| {
            !next.trim().is_empty() && next.len() <= LONGEST_NEXT && !next.contains(|c: char| c.is_control())
        };
        Ok(Self { objects, more, next: next.filter(fits), bundle })
    }

    /// Whether it has an object of the types asked for.
    pub(super) fn has(&self, types: &str) -> bool {
        self.objects.iter().any(|object| {
            let object = value(object);
            let kind = object.get("type").and_then(Value::as_str);
            kind.is_some_and(|kind| types.split(',').any(|word| word == kind))
        })
    }
}
