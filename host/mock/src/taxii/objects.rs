//! A page of objects, as a bundle or as an envelope, with the headers it is paged by.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::PoisonError;

use serde_json::{Value, json};

use super::settings::{AnswerStyle, EmptyForm, LastForm, NextForm};
use super::stix::{self, Label};
use super::{Content, TaxiiSettings};
use crate::call::{Answer, Call};
use crate::lock;
use crate::records::instant;
use crate::shelf::{Item, Mark};
use crate::synthetic::{push_iso, push_iso_fraction};
use tipline_model::clock::Millis;

/// The vendor's default.
const DEFAULT_LIMIT: u64 = 500;
/// Chains kept; a client has one, and tests are not thousands of clients.
const MOST_CHAINS: usize = 1_000;
const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// Chains of pages whose `next` is used up.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    made: u64,
    open: BTreeMap<u64, (Mark, u64)>,
}

impl Chains {
    fn add(&mut self, at: Mark, digest: u64) -> u64 {
        self.made += 1;
        if self.open.len() >= MOST_CHAINS {
            self.open.pop_first();
        }
        self.open.insert(self.made, (at, digest));
        self.made
    }
}

/// A request for objects.
struct Wanted {
    added_after: Option<Millis>,
    limit: u64,
    next: Option<String>,
    types: Option<Vec<String>>,
    ids: Option<Vec<String>>,
    /// Versions named by their time; none takes the only one there is.
    versions: Option<Vec<Millis>>,
    /// Of the filters, without limit and next.
    digest: u64,
}

/// What was found.
struct Page {
    objects: String,
    first: Option<Millis>,
    last: Option<(Mark, Millis)>,
    more: bool,
}

impl Wanted {
    /// The parameter and its value where one can't be understood.
    fn parse(query: &[(String, String)], bundle: bool, collection: &str) -> Result<Self, (String, String)> {
        let mut wanted = Self {
            added_after: None,
            limit: DEFAULT_LIMIT,
            next: None,
            types: None,
            ids: None,
            versions: None,
            digest: 0,
        };
        let mut filters = DefaultHasher::new();
        collection.hash(&mut filters);
        for (name, value) in query {
            let bad = || (name.clone(), value.clone());
            let list = || Some(value.split(',').map(str::to_owned).collect::<Vec<_>>());
            match name.as_str() {
                "limit" => wanted.limit = value.parse().ok().filter(|limit| *limit > 0).ok_or_else(bad)?,
                // The vendor's text about `next` describes `added_after`.
                "next" if bundle => wanted.added_after = wanted.added_after.or(instant(value)),
                "next" => wanted.next = Some(value.clone()),
                _ => {
                    (name, value).hash(&mut filters);
                    match name.as_str() {
                        "added_after" => wanted.added_after = Some(instant(value).ok_or_else(bad)?),
                        "match[type]" => wanted.types = list(),
                        "type" if bundle => wanted.types = list(),
                        "match[id]" => wanted.ids = list(),
                        "match[version]" if !value.split(',').any(|v| matches!(v, "first" | "last" | "all")) => {
                            let times = value.split(',').map(instant).collect::<Option<_>>();
                            wanted.versions = Some(times.ok_or_else(bad)?);
                        }
                        // As servers do, what is not known is not looked at.
                        _ => {}
                    }
                }
            }
        }
        wanted.digest = filters.finish();
        Ok(wanted)
    }

    /// In a bundle's style a type may also be the one that a pattern is about.
    fn takes(&self, label: &Label<'_>, bundle: bool) -> bool {
        // What is odd is shown whatever is asked for.
        label.object.is_empty()
            || (self.ids.as_ref().is_none_or(|ids| ids.contains(&label.id))
                && self.versions.as_ref().is_none_or(|times| times.contains(&label.modified))
                && self.types.as_ref().is_none_or(|types| {
                    types.iter().any(|kind| kind == label.object || bundle && kind == stix::observable(label.kind))
                }))
    }
}

impl Call<'_> {
    pub(super) fn objects(
        &self,
        collection: &str,
        content: Content,
        object: Option<&str>,
        without_objects: bool,
    ) -> Answer {
        let settings = &self.settings.taxii;
        let bundle = settings.is_bundle();
        let mut wanted = match Wanted::parse(&self.query, bundle, collection) {
            Ok(wanted) => wanted,
            Err((name, value)) => {
                let shown: String = value.chars().take(100).collect();
                return self.error(400, "invalid_parameter", &format!("{name}={shown} cannot be understood."));
            }
        };
        if let Some(id) = object {
            wanted.ids = Some(vec![id.to_owned()]);
        }
        if let Some(most) = settings.refuse_over.filter(|most| wanted.limit > u64::from(*most)) {
            let message = format!("At most {most} objects can be asked for.");
            return self.error(settings.refuse_status, "limit_too_large", &message);
        }
        let (past, constant) = match self.place_of(&wanted) {
            Ok(place) => place,
            Err(refusal) => return *refusal,
        };
        let page = self.find(&wanted, content, past, without_objects);
        if object.is_some() && page.first.is_none() {
            return self.error(404, "not_found", "There is no such object.");
        }
        let body = if bundle { self.bundle(&page) } else { self.envelope(&wanted, &page, past, constant) };
        let status = if settings.partial && page.more { 206 } else { 200 };
        self.dated(Answer::new(status, settings.media_type(), body), &wanted, &page)
    }

    /// Where a page begins: past which mark, and the chain that goes on under one `next`.
    fn place_of(&self, wanted: &Wanted) -> Result<(Option<Mark>, Option<u64>), Box<Answer>> {
        let Some(next) = &wanted.next else { return Ok((None, None)) };
        let refuse = |message: &str| Err(Box::new(self.error(400, "invalid_next", message)));
        let gone = "This `next` is not known, or was used before.";
        let (place, digest, constant) = match self.settings.taxii.next {
            NextForm::Destructive | NextForm::Constant => {
                let number = u64::from_str_radix(next, 16).ok();
                let Some((number, (place, digest))) =
                    number.and_then(|number| Some((number, lock(&self.shared.chains).open.remove(&number)?)))
                else {
                    return refuse(gone);
                };
                (place, digest, Some(number))
            }
            NextForm::Cursor | NextForm::Missing | NextForm::Repeating | NextForm::WithoutMore => {
                let mut parts = next.split('-').map(|part| u64::from_str_radix(part, 16).ok());
                let (Some(Some(at)), Some(Some(serial)), Some(Some(digest)), None) =
                    (parts.next(), parts.next(), parts.next(), parts.next())
                else {
                    return refuse(gone);
                };
                (Mark { at, serial }, digest, None)
            }
        };
        if digest != wanted.digest {
            return refuse("The filters are not those that this `next` was given for.");
        }
        Ok((Some(place), constant))
    }

    fn find(&self, wanted: &Wanted, content: Content, past: Option<Mark>, without_objects: bool) -> Page {
        let settings = &self.settings.taxii;
        let limit = wanted.limit.min(u64::from(self.settings.max_limit.unwrap_or(TaxiiSettings::page_cap())));
        let earliest = self.settings.look_back().map(|hours| self.now.saturating_sub(Millis::from(hours) * HOUR));
        // Records are dated by the host's clock, requests by the server's.
        let added_after = wanted.added_after.max(earliest).map(|at| self.skewed(at, -1));
        let heap = settings.heap_seconds.map_or(0, |seconds| Millis::from(seconds) * 1_000);
        let mut page = Page { objects: String::new(), first: None, last: None, more: false };
        let mut count = 0;
        let shelf = self.shared.shelf.read().unwrap_or_else(PoisonError::into_inner);
        for (mark, added, item) in shelf.ascend(added_after, past, heap) {
            // A bundle carries the feed's own identity and no other.
            if settings.is_bundle() && matches!(item, Item::Source(_)) {
                continue;
            }
            let label = Label::of(&item, mark.at);
            if !content.holds(&label) || !wanted.takes(&label, settings.is_bundle()) {
                continue;
            }
            if count == limit || without_objects {
                page.more = true;
                break;
            }
            if count > 0 {
                page.objects.push(',');
            }
            stix::push(&mut page.objects, &item, mark.at, settings);
            count += 1;
            page.first = page.first.or(Some(added));
            page.last = Some((mark, added));
        }
        page
    }

    fn bundle(&self, page: &Page) -> String {
        let settings = &self.settings.taxii;
        let empty = page.first.is_none();
        if empty && settings.empty == EmptyForm::Bare {
            return "{}".to_owned();
        }
        let mut body = format!("{{\"type\":\"bundle\",\"id\":\"{}\"", stix::id("bundle", &self.id));
        if settings.style == AnswerStyle::VersionedBundle {
            body.push_str(",\"spec_version\":\"2.1\"");
        }
        if !(empty && settings.empty == EmptyForm::Missing) {
            body.push_str(",\"objects\":[");
            // The same at any time, and long ago, as an organization does not change.
            stix::push_identity(&mut body, stix::OWNER, 1_700_000_000_000);
            if !empty {
                body.push(',');
            }
            body.push_str(&page.objects);
            body.push(']');
        }
        body.push('}');
        body
    }

    fn envelope(&self, wanted: &Wanted, page: &Page, past: Option<Mark>, constant: Option<u64>) -> String {
        let settings = &self.settings.taxii;
        let empty = page.first.is_none();
        if empty && !page.more && settings.empty == EmptyForm::Bare {
            return "{}".to_owned();
        }
        let start = past.unwrap_or(Mark { at: 0, serial: 0 });
        let mut parts = Vec::new();
        if settings.next != NextForm::WithoutMore {
            parts.push(format!("\"more\":{}", page.more));
        }
        if page.more {
            let cursor = |at: Mark| format!("{:x}-{:x}-{:x}", at.at, at.serial, wanted.digest);
            let at = page.last.map_or(start, |(mark, _)| mark);
            let next = match settings.next {
                NextForm::Cursor | NextForm::WithoutMore => Some(cursor(at)),
                NextForm::Destructive => Some(format!("{:x}", lock(&self.shared.chains).add(at, wanted.digest))),
                NextForm::Constant => {
                    let mut chains = lock(&self.shared.chains);
                    Some(match constant {
                        Some(number) => {
                            chains.open.insert(number, (at, wanted.digest));
                            format!("{number:x}")
                        }
                        None => format!("{:x}", chains.add(at, wanted.digest)),
                    })
                }
                NextForm::Repeating => Some(cursor(start)),
                NextForm::Missing => None,
            };
            parts.extend(next.map(|next| format!("\"next\":\"{next}\"")));
        }
        if !(empty && settings.empty == EmptyForm::Missing) {
            parts.push(format!("\"objects\":[{}]", page.objects));
        }
        format!("{{{}}}", parts.join(","))
    }

    /// Adds the headers that say when the page's objects were added.
    fn dated(&self, answer: Answer, wanted: &Wanted, page: &Page) -> Answer {
        const LAST: &str = "x-taxii-date-added-last";
        let settings = &self.settings.taxii;
        let micros = |at: Millis| {
            let mut text = String::with_capacity(27);
            push_iso_fraction(&mut text, self.skewed(at, 1), 6);
            text
        };
        let last = page.last.map(|(_, added)| added);
        let answer = match page.first {
            Some(first) => answer.with("x-taxii-date-added-first", micros(first)),
            None => answer,
        };
        match (settings.last, last) {
            (LastForm::Absent, _) => answer,
            (LastForm::Undefined, _) => answer.with(LAST, "undefined"),
            (LastForm::Malformed, _) => answer.with(LAST, "yesterday"),
            (_, None) => answer,
            (LastForm::Micros, Some(at)) => answer.with(LAST, micros(at)),
            (LastForm::Seconds, Some(at)) => {
                let mut text = String::with_capacity(20);
                push_iso(&mut text, self.skewed(at, 1));
                answer.with(LAST, text)
            }
            (LastForm::JavaScript, Some(at)) => answer.with(LAST, javascript(self.skewed(at, 1))),
            (LastForm::Older, Some(at)) => {
                let is_first = wanted.added_after.is_none() && wanted.next.is_none();
                answer.with(LAST, micros(if is_first { at } else { at.saturating_sub(30 * DAY) }))
            }
        }
    }

    /// From the host's clock to the server's, or back.
    fn skewed(&self, at: Millis, side: i64) -> Millis {
        at.saturating_add_signed(self.settings.clock_skew.saturating_mul(1_000).saturating_mul(side))
    }

    /// An error as TAXII has it.
    pub(crate) fn taxii_error(&self, status: u16, code: &str, message: &str) -> Answer {
        let body: Value = json!({
            "title": message, "error_id": self.id, "error_code": code, "http_status": status.to_string(),
        });
        Answer::new(status, self.settings.taxii.media_type(), body.to_string())
    }
}

/// An instant as JavaScript shows a date: `Thu Feb 20 2020 22:10:20 GMT+0000 (Coordinated Universal Time)`.
fn javascript(at: Millis) -> String {
    let at = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok()).unwrap_or_default();
    at.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)").to_string()
}
