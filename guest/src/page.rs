//! What makes a body a page: an object with a list of records in it, in both transports.
//!
//! What is not JSON (truncated, damaged) is [`Unreadable::Garbled`] and worth another try; what is JSON but no page is
//! a [`Failure::Protocol`] at once, with the first bytes shown.

use serde_json::Value;
use serde_json::error::Category;

use crate::contract::Failure;
use crate::read::{Data, Parts};
use crate::refusal::{error_under, is_markup, page_for_people};
use crate::words::{clean, quote};

/// Why there is no page.
pub(crate) enum Unreadable {
    /// Not JSON; the text says where it broke.
    Garbled(String),
    /// Something else than a page.
    Not(Failure),
}

/// Takes the body of a good answer apart. `list` names the member where the records should be.
pub(crate) fn parts<'b>(body: &'b str, list: &str) -> Result<Parts<'b>, Unreadable> {
    let body = body.strip_prefix('\u{feff}').unwrap_or(body);
    let trimmed = body.trim_start();
    if trimmed.is_empty() {
        return Err(no_page("an empty body", list));
    }
    if is_markup(trimmed) {
        return Err(Unreadable::Not(page_for_people(200, trimmed, &format!("a JSON object with `{list}`"))));
    }
    Parts::read(body).map_err(|error| match error.classify() {
        Category::Data => no_page(&format!("another JSON ({}): {}", clean(&error.to_string()), quote(trimmed)), list),
        // A damaged page begins as one; plain words of a proxy do not.
        _ if trimmed.starts_with(['{', '[']) => Unreadable::Garbled(error.to_string()),
        _ => no_page(&format!("no JSON: {}", quote(trimmed)), list),
    })
}

/// The records; `if_absent` says whether a page without them can be an empty one.
pub(crate) fn records<'b>(
    data: Data<'b>,
    error: Option<&str>,
    if_absent: bool,
    body: &str,
    list: &str,
) -> Result<Vec<&'b str>, Unreadable> {
    let may_be_error = error.is_some() || !if_absent;
    if matches!(data, Data::Absent | Data::Null)
        && may_be_error
        && let Some(failure) = error_under(200, body)
    {
        return Err(Unreadable::Not(failure));
    }
    let what = match data {
        Data::List(records) => return Ok(records),
        Data::Other => format!("another JSON, without an array in `{list}`: {}", quote(body)),
        _ if if_absent => return Ok(Vec::new()),
        _ => format!("a JSON object without `{list}`: {}", quote(body)),
    };
    Err(no_page(&what, list))
}

fn no_page(what: &str, list: &str) -> Unreadable {
    Unreadable::Not(Failure::Protocol(format!(
        "The feed answered 200 with {what}. A JSON object with `{list}` was expected: check that `url` is the feed's \
         base URL and that no login page or proxy answers for it."
    )))
}

/// Anything; of a repeated member the last. Nothing for what is nested deeper than anyone would.
pub(crate) fn value(raw: &str) -> Value {
    serde_json::from_str(raw).unwrap_or_default()
}

/// A text that says something.
pub(crate) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}
