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

/// The most elements of a list in which not one is a record or a list of records. Fewer are rejected each, as a feed's fault that
/// a person looks at; a list of so many is no list of records, and each page that is asked for after it would be the same.
pub(crate) const MAX_NO_RECORDS: usize = 200_000;

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
        Data::List(records) if records.len() <= MAX_NO_RECORDS || records.iter().any(|one| may_be_record(one)) => {
            return Ok(records);
        }
        Data::List(records) => {
            let first = records.first().copied().unwrap_or_default();
            format!(
                "a list of {} elements in `{list}`, none of which is an object; the first is {}",
                records.len(),
                quote(first)
            )
        }
        Data::Other => format!("another JSON, without an array in `{list}`: {}", quote(body)),
        _ if if_absent => return Ok(Vec::new()),
        _ => format!("a JSON object without `{list}`: {}", quote(body)),
    };
    Err(no_page(&what, list))
}

fn may_be_record(raw: &str) -> bool {
    raw.starts_with(['{', '['])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_what_is_no_record_is_a_page_up_to_so_many() {
        for (zeros, object, is_page) in [
            (MAX_NO_RECORDS, None, true),
            (MAX_NO_RECORDS + 1, None, false),
            (MAX_NO_RECORDS + 1, Some("{}"), true),
            (MAX_NO_RECORDS + 1, Some("[{}]"), true),
        ] {
            let list: Vec<&str> = std::iter::repeat_n("0", zeros).chain(object).collect();
            let length = list.len();
            match records(Data::List(list), None, false, "{}", "data") {
                Ok(read) => assert!(is_page && read.len() == length, "{zeros} {object:?}"),
                Err(Unreadable::Not(Failure::Protocol(text))) if !is_page => {
                    assert!(text.contains("a list of 200001 elements in `data`, none of which is an object"), "{text}");
                }
                Err(_) => panic!("{zeros} {object:?}"),
            }
        }
    }
}
