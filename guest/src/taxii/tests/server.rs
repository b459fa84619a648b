//! A TAXII server on virtual time, in both styles, with a switch for every trap.

use std::collections::{BTreeMap, VecDeque};

use crate::contract::{Event, Request, Response};
use tipline_ecs::time::{MINUTE, Millis};

use super::super::instant::{Instant, from_millis, parse, to_millis, write};

/// What an answer with objects looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Style {
    /// `more` and `next`.
    Envelope,
    /// `more` without `next`.
    MoreOnly,
    /// A bare bundle, which says nothing about more.
    Bundle,
}

/// The headers that date a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Dates {
    Good,
    Absent,
    Undefined,
    JavaScript,
    /// Cut to whole seconds.
    Seconds,
    /// Absent on all pages but each third.
    Sometimes,
}

/// What `match[type]` means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Match {
    Honoured,
    Ignored,
    /// The kind of indicator: nothing is an `indicator`.
    Misread,
    /// 400.
    Refused,
}

/// The switches. The default is the standard.
#[derive(Debug, Clone)]
pub(super) struct Traits {
    pub(super) style: Style,
    pub(super) dates: Dates,
    pub(super) matching: Match,
    /// Pages are cut to this.
    pub(super) clamp: usize,
    /// More than this is answered with this status.
    pub(super) refuses_limit: Option<(usize, u16)>,
    /// What a `next` gives is gone once given; the `next` stays the same.
    pub(super) destructive: bool,
    /// A `next` lives no longer.
    pub(super) token_life: Millis,
    /// `added_after` includes its instant.
    pub(super) inclusive: bool,
    /// An empty page is `{}`.
    pub(super) nothing: bool,
    /// The same page for ever, always with `more`.
    pub(super) loops: bool,
    /// A bundle begins with the vendor's identity.
    pub(super) identity: bool,
    /// That identity is another one in each answer.
    pub(super) restless: bool,
    /// The media type accepted, where only one is.
    pub(super) accepts: Option<&'static str>,
    /// 206 for a page.
    pub(super) partial: bool,
    /// Requests allowed a minute.
    pub(super) per_minute: Option<u32>,
    pub(super) date: bool,
    /// The URL gives 404 for itself.
    pub(super) silent_root: bool,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            style: Style::Envelope,
            dates: Dates::Good,
            matching: Match::Honoured,
            clamp: 100_000,
            refuses_limit: None,
            destructive: false,
            token_life: Millis::MAX,
            inclusive: false,
            nothing: true,
            loops: false,
            identity: false,
            restless: false,
            accepts: None,
            partial: false,
            per_minute: None,
            date: true,
            silent_root: false,
        }
    }
}

/// One object of a collection.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) added: Instant,
    pub(super) kind: &'static str,
}

#[derive(Debug, Clone)]
pub(super) struct Collection {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) readable: bool,
    /// Sorted by date, unless the test wants otherwise.
    pub(super) objects: Vec<Object>,
    /// The status of its objects where it is not to be had.
    pub(super) broken: Option<u16>,
}

/// A chain of pages as the server remembers it.
struct Token {
    /// Path and query without `next`.
    of: String,
    all: Vec<Object>,
    /// How much of it was given.
    at: usize,
    used: Millis,
}

pub(super) struct SimServer {
    pub(super) collections: Vec<Collection>,
    pub(super) traits: Traits,
    /// Answers that come before the usual ones.
    pub(super) script: VecDeque<Event>,
    pub(super) requests: Vec<Request>,
    /// The discovery's roots; the server has one at `/api/`.
    pub(super) roots: Vec<String>,
    tokens: BTreeMap<String, Token>,
    pages: usize,
    minute: (u64, u32),
}

/// An answer, and the names of the objects in it.
pub(super) struct Served {
    pub(super) event: Event,
    pub(super) names: Vec<String>,
}

pub(super) fn collection(id: &'static str, objects: Vec<Object>) -> Collection {
    Collection { id, title: id, readable: true, objects, broken: None }
}

impl SimServer {
    pub(super) fn new(collections: Vec<Collection>, traits: Traits) -> Self {
        Self {
            collections,
            traits,
            script: VecDeque::new(),
            requests: Vec::new(),
            roots: vec!["https://taxii.example/api/".to_owned()],
            tokens: BTreeMap::new(),
            pages: 0,
            minute: (0, 0),
        }
    }

    pub(super) fn targets(&self) -> Vec<&str> {
        self.requests.iter().map(|request| request.target.as_str()).collect()
    }

    pub(super) fn answer(&mut self, now: Millis, request: &Request) -> Served {
        self.requests.push(request.clone());
        if let Some(event) = self.script.pop_front() {
            return Served { event, names: Vec::new() };
        }
        let mut headers = Vec::new();
        if self.traits.date {
            headers.push(("date".to_owned(), super::http_date(now)));
        }
        let (mut status, mut body, mut names) = (200, String::new(), Vec::new());
        if self.traits.accepts.is_some_and(|accepted| request.header("accept") != Some(accepted)) {
            (status, body) = (406, r#"{"title":"Not acceptable","http_status":"406"}"#.to_owned());
        } else if self.limited(now, &mut headers) {
            (status, body) = (429, r#"{"error":{"code":"rate_limit_exceeded"}}"#.to_owned());
        } else {
            let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
            match path {
                "/taxii2/" => {
                    let roots = serde_json::to_string(&self.roots).unwrap();
                    body = format!(
                        r#"{{"title":"Some Server","default":{},"api_roots":{roots}}}"#,
                        serde_json::json!(self.roots[0])
                    );
                }
                "/api/" if self.traits.silent_root => status = 404,
                "/api/" => body = r#"{"title":"A Root","versions":["application/taxii+json;version=2.1"]}"#.to_owned(),
                "/api/collections/" => {
                    let list: Vec<_> = self
                        .collections
                        .iter()
                        .map(|c| serde_json::json!({"id": c.id, "title": c.title, "can_read": c.readable}))
                        .collect();
                    body = serde_json::json!({ "collections": list }).to_string();
                }
                _ => (status, body, names) = self.objects(now, path, query, &mut headers),
            }
        }
        Served { event: Event::Response(Response { status, headers, body: body.into() }), names }
    }

    fn limited(&mut self, now: Millis, headers: &mut Vec<(String, String)>) -> bool {
        let Some(limit) = self.traits.per_minute else { return false };
        let minute = now / MINUTE;
        if self.minute.0 != minute {
            self.minute = (minute, 0);
        }
        self.minute.1 += 1;
        let left = i64::from(limit) - i64::from(self.minute.1);
        headers.push(("x-ratelimit-limit".to_owned(), limit.to_string()));
        headers.push(("x-ratelimit-remaining".to_owned(), left.max(0).to_string()));
        headers.push(("x-ratelimit-reset".to_owned(), ((minute + 1) * 60).to_string()));
        left < 0
    }

    fn objects(
        &mut self,
        now: Millis,
        path: &str,
        query: &str,
        headers: &mut Vec<(String, String)>,
    ) -> (u16, String, Vec<String>) {
        let none = |status: u16| (status, r#"{"title":"no"}"#.to_owned(), Vec::new());
        let id = path.strip_prefix("/api/collections/").and_then(|rest| rest.strip_suffix("/objects/"));
        let Some(collection) = id.and_then(|id| self.collections.iter().find(|c| c.id == id)) else { return none(404) };
        if let Some(status) = collection.broken {
            return none(status);
        }
        let pairs: BTreeMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into(), value.into())).collect();
        let mut limit = pairs["limit"].parse::<usize>().unwrap();
        if let Some((_, status)) = self.traits.refuses_limit.filter(|(most, _)| limit > *most) {
            return none(status);
        }
        limit = limit.min(self.traits.clamp);
        let types = pairs.get("match[type]");
        if types.is_some() && self.traits.matching == Match::Refused {
            return none(400);
        }
        let after = pairs.get("added_after").map(|text| parse(text).unwrap());
        let of = format!("{path}?{}", query.split("&next=").next().unwrap());
        let (name, start, all) = match pairs.get("next") {
            None => (format!("t{}", self.tokens.len()), 0, self.listed(&collection.objects, after, types, now)),
            Some(next) => {
                let (name, offset) = next.split_once('-').unwrap_or((next, ""));
                let Some(known) = self.tokens.remove(name) else { return none(400) };
                assert_eq!(known.of, of, "every filter is sent with a `next`");
                if now - known.used > self.traits.token_life {
                    return none(404);
                }
                let start = if self.traits.destructive { known.at } else { offset.parse().unwrap() };
                (name.to_owned(), start, known.all)
            }
        };
        let start = if self.traits.loops { 0 } else { start };
        let shown: Vec<Object> = all.iter().skip(start).take(limit).cloned().collect();
        let at = start + shown.len();
        let mut fields = Vec::new();
        if at < all.len() || self.traits.loops {
            match self.traits.style {
                Style::Bundle => {}
                Style::MoreOnly => fields.push(r#""more":true"#.to_owned()),
                Style::Envelope => {
                    // One `next` for all pages, or one that says where it stands.
                    let next = if self.traits.destructive { name.clone() } else { format!("{name}-{at}") };
                    fields.push(format!(r#""more":true,"next":"{next}""#));
                    self.tokens.insert(name, Token { of, all, at, used: now });
                }
            }
        } else if self.traits.style == Style::Envelope && !shown.is_empty() {
            fields.push(r#""more":false"#.to_owned());
        }
        self.date_page(&shown, headers);
        let traits = &self.traits;
        let mut names: Vec<String> = shown.iter().map(|o| o.name.clone()).collect();
        let mut texts: Vec<String> = shown.iter().map(text).collect();
        if traits.identity && traits.style == Style::Bundle {
            let made = if traits.restless { self.pages } else { 0 };
            texts.insert(0, format!(r#"{{"type":"identity","id":"identity--socdefenders","name":"made {made}"}}"#));
            names.insert(0, "identity".to_owned());
        }
        if traits.style == Style::Bundle {
            fields.push(r#""type":"bundle","id":"bundle--1","spec_version":"2.1""#.to_owned());
        }
        if !(texts.is_empty() && traits.nothing) {
            fields.push(format!(r#""objects":[{}]"#, texts.join(",")));
        }
        (if traits.partial { 206 } else { 200 }, format!("{{{}}}", fields.join(",")), names)
    }

    /// What there is of a collection for a request.
    fn listed(&self, objects: &[Object], after: Option<Instant>, types: Option<&String>, now: Millis) -> Vec<Object> {
        let is_after = |o: &&Object| after.is_none_or(|a| o.added > a || (self.traits.inclusive && o.added == a));
        let matches = |o: &&Object| match (types, self.traits.matching) {
            (Some(types), Match::Honoured) => types.split(',').any(|kind| kind == o.kind),
            (Some(_), Match::Misread) => false,
            _ => true,
        };
        // What is dated in the future is not there yet.
        let there = |o: &&Object| o.added <= from_millis(now);
        objects.iter().filter(is_after).filter(matches).filter(there).cloned().collect()
    }

    fn date_page(&mut self, shown: &[Object], headers: &mut Vec<(String, String)>) {
        self.pages += 1;
        let dates = match self.traits.dates {
            Dates::Sometimes if self.pages.is_multiple_of(3) => Dates::Good,
            Dates::Sometimes => Dates::Absent,
            other => other,
        };
        for (name, object) in [("first", shown.first()), ("last", shown.last())] {
            let mut date = String::new();
            match (dates, object) {
                (Dates::Undefined, _) => date.push_str("undefined"),
                (Dates::Absent | Dates::Sometimes, _) | (_, None) => continue,
                (Dates::JavaScript, Some(object)) => date = java_script(to_millis(object.added)),
                (Dates::Good, Some(object)) => write(object.added, &mut date),
                (Dates::Seconds, Some(object)) => {
                    write(object.added, &mut date);
                    date.truncate(19);
                    date.push('Z');
                }
            }
            headers.push((format!("x-taxii-date-added-{name}"), date));
        }
    }
}

/// A date in the words of JavaScript.
pub(super) fn java_script(millis: Millis) -> String {
    let date = super::http_date(millis);
    let parts: Vec<&str> = date.trim_end_matches(" GMT").split([',', ' ']).filter(|part| !part.is_empty()).collect();
    let [weekday, day, month, year, time] = parts[..] else { panic!("{date}") };
    format!("{weekday} {month} {day} {year} {time} GMT+0000 (Coordinated Universal Time)")
}

fn text(object: &Object) -> String {
    let name = &object.name;
    format!(
        r#"{{"type":"{}","id":"{}--{name}","created_by_ref":"identity--maker","pattern":"[domain-name:value = '{name}.example.net']","name":"{name}"}}"#,
        object.kind, object.kind
    )
}
