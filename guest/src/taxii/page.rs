//! A page of objects, in whichever style: TAXII's envelope, a bare STIX bundle, a list, or bundles a line each.

use serde_json::Value;

use crate::page::{self, Unreadable, value};
use crate::read::{Data, MAX_NESTING, Parts, Pieces, Salvage, contents, list, pieces, says_what_it_is};
use crate::refusal::{ServerError, is_error};

/// Where the objects stand.
const LIST: &str = "objects";

/// The longest `next` that is kept in the state and sent back; a request line has some 8 KiB.
const LONGEST_NEXT: usize = 2 * 1024;

/// A page.
#[derive(Default)]
pub(super) struct Page<'b> {
    /// Each object as received.
    pub(super) objects: Vec<&'b str>,
    /// Whether there is more, if it says so.
    pub(super) more: Option<bool>,
    pub(super) next: Option<String>,
    /// It is a bundle, which says nothing about more.
    pub(super) bundle: bool,
    /// It ends in its midst, or may: what would follow was not received.
    pub(super) cut: bool,
    /// Of a damaged page: what looks like its end was found, if behind a broken object.
    pub(super) has_end: bool,
    /// Objects of a damaged page that could be read.
    pub(super) good: usize,
}

impl<'b> Page<'b> {
    /// Reads a body. An envelope without objects is an empty page, and so is nothing at all under 204 and 205.
    pub(super) fn read(body: &'b str, status: u16) -> Result<Self, Unreadable> {
        if matches!(status, 204 | 205) {
            return Ok(Self::default());
        }
        let trimmed = body.trim_start_matches('\u{feff}').trim();
        let bare = |objects| Ok(Self { objects, bundle: true, ..Self::default() });
        if trimmed.starts_with('[') {
            match list(trimmed) {
                Ok(objects) if objects.is_empty() || are_objects(&objects) => return bare(objects),
                // Others are no objects, and no damage.
                Err(error) if trimmed.contains('{') => return Err(Unreadable::Garbled(error.to_string())),
                _ => {}
            }
        }
        match page::parts(body, LIST) {
            Ok(parts) if matches!(parts.objects, Data::Absent) && says_what_it_is(trimmed) => bare(vec![trimmed]),
            Ok(parts) => Self::of_any(parts, body, 0),
            Err(Unreadable::Garbled(why)) => match lines(trimmed) {
                Some(objects) => bare(objects),
                None => Err(Unreadable::Garbled(why)),
            },
            Err(not) => Err(not),
        }
    }

    /// What can be read of a body that is damaged; `None` where nothing says that it is a page.
    pub(super) fn salvage(body: &'b str) -> Option<Self> {
        let trimmed = body.trim_start_matches('\u{feff}').trim();
        let Some(Salvage { parts, has_end, is_whole, good, .. }) =
            Salvage::read(trimmed).filter(|_| !trimmed.starts_with('['))
        else {
            // A list, or objects a line each.
            let Pieces { list: objects, good, has_end, is_whole } = pieces(trimmed);
            let is_said = trimmed.contains("\"type\"") && !trimmed.contains("\"objects\"");
            let is_of_objects = good > 0 || is_said || trimmed.starts_with('[');
            return is_of_objects.then_some(Self {
                objects,
                bundle: true,
                cut: !is_whole,
                has_end,
                good,
                ..Self::default()
            });
        };
        Some(Self { cut: !is_whole, has_end, good, ..Self::of(parts, body).ok()? })
    }

    /// A page whose objects may stand in `data`, or in a page within the page.
    fn of_any(mut parts: Parts<'b>, body: &'b str, depth: u8) -> Result<Self, Unreadable> {
        match (&parts.objects, &parts.data) {
            (Data::Absent | Data::Null, Data::List(_)) => parts.objects = std::mem::take(&mut parts.data),
            (Data::Absent | Data::Null, Data::Other) if depth < MAX_NESTING => {
                if let Some(inner) = Parts::inner(body) {
                    let mut inner = Self::of_any(page::parts(inner, LIST)?, inner, depth.saturating_add(1))?;
                    let outer = Self { more: more(&parts), next: next(&parts), ..Self::default() };
                    (inner.more, inner.next) = (inner.more.or(outer.more), inner.next.or(outer.next));
                    return Ok(inner);
                }
                parts.objects = Data::Other;
            }
            (Data::Absent, Data::Other) => parts.objects = Data::Other,
            _ => {}
        }
        Self::of(parts, body)
    }

    fn of(parts: Parts<'b>, body: &str) -> Result<Self, Unreadable> {
        let bundle = parts.is_bundle();
        let known = bundle || parts.more.is_some() || parts.next.is_some();
        let (more, next) = (more(&parts), next(&parts));
        let is_page = known || !parts.others;
        let is_silent = matches!(parts.objects, Data::Absent | Data::Null);
        if is_silent && !is_page && says_that_nothing_is_there(body) {
            return Ok(Self { more: Some(false), ..Self::default() });
        }
        let objects = page::records(parts.objects, parts.error, is_page, body, LIST)?;
        Ok(Self { objects, more, next, bundle, ..Self::default() })
    }

    /// Whether it has nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether it has something that cannot be read.
    pub(super) fn has_broken(&self) -> bool {
        self.objects.iter().any(|raw| value(raw).is_null())
    }

    /// Whether it has an object of a type.
    pub(super) fn has(&self, is_meant: &dyn Fn(&str) -> bool) -> bool {
        has(&self.objects, 0, is_meant)
    }
}

/// Whether there is more, as an envelope says it.
fn more(parts: &Parts<'_>) -> Option<bool> {
    parts.more.and_then(|more| more.trim_matches('"').trim().to_ascii_lowercase().parse().ok())
}

/// What to go on with, if it can be sent back.
fn next(parts: &Parts<'_>) -> Option<String> {
    let raw = parts.next?;
    let text = match value(raw) {
        Value::String(text) => text,
        Value::Number(_) => raw.to_owned(),
        _ => return None,
    };
    let fits = !text.trim().is_empty() && text.len() <= LONGEST_NEXT && !text.contains(|c: char| c.is_control());
    fits.then_some(text)
}

/// Whether an error under a good status says that there are no objects.
fn says_that_nothing_is_there(body: &str) -> bool {
    let value = value(body);
    is_error(&value) && ServerError::read(body).says_nothing_is_there()
}

/// Whether there is such a type among objects and those within bundles.
fn has(objects: &[&str], depth: u8, is_meant: &dyn Fn(&str) -> bool) -> bool {
    objects.iter().any(|raw| {
        let object = value(raw);
        let kind = object.get("type").and_then(Value::as_str);
        let id = object.get("id").and_then(Value::as_str);
        match kind.or_else(|| Some(id?.split_once("--")?.0)) {
            Some(kind) if kind != "bundle" => is_meant(kind),
            _ => {
                depth < MAX_NESTING && contents(raw).is_some_and(|inner| has(&inner, depth.saturating_add(1), is_meant))
            }
        }
    })
}

fn are_objects(list: &[&str]) -> bool {
    list.iter().all(|one| one.starts_with(['{', '[']))
}

/// Objects or bundles, a line each.
fn lines(text: &str) -> Option<Vec<&str>> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_object = |line: &&str| line.starts_with('{') && Parts::read(line).is_ok();
    (lines.len() > 1 && lines.iter().all(is_object)).then_some(lines)
}
