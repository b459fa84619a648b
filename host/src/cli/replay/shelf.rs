//! Which recorded answer a request gets.
//!
//! A request is known again by all it says, or, where answers go by order, by all but the times in it. Many requests of
//! one poll may then be alike: a window of time that is too deep is read in parts, which differ in nothing but times. So
//! the order decides, as it was recorded: the request after the one answered last, if it is alike, is the one meant. If
//! it is not, a request like the last one is the last one again: a guest that learns the feed's clock by an answer asks
//! for the same anew. Else it is the next one alike, and behind the end the recording begins anew.
//!
//! A feed says what it made of a request's times (`"until":"…"`), and a guest that reads other ones than it asked for takes it
//! for a feed that heeds none. So an answer to other times than the recorded ones names those that are asked for (`echo`).

mod echo;

use std::collections::HashMap;

use serde_json::Value;
use url::Position;

use crate::recording::Exchange;
use crate::sandbox::Response;
use crate::time;

/// Requests remembered with what they stand for: a poll has some thousands at most. Past it all are forgotten, and a
/// request that comes again is found by its order.
const MAX_MEANT: usize = 100_000;

/// An answer, or the host's reason for none.
pub(super) type Answer = Result<Response, String>;

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    method: String,
    target: String,
    body: Vec<u8>,
}

/// A recorded request with its answer.
struct Recorded {
    /// What it says, by each likeness of the shelf: as the guest asked for it, and with the base URL's path, as `url:` may be
    /// either here.
    forms: Vec<[Asked; 2]>,
    answer: Answer,
}

/// How much of a request has to be as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// All of it.
    Whole,
    /// All but times.
    ButTimes,
    /// Method and target.
    ButBody,
    /// Method and target, but times.
    ButTimesAndBody,
}

/// What is served.
pub(super) struct Shelf {
    /// In the order in which it was recorded.
    recorded: Vec<Recorded>,
    /// What counts as the same request, the closest first.
    likenesses: &'static [Likeness],
    /// The one answered last.
    last: Option<usize>,
    /// For what was asked, the first recorded request that it stands for.
    meant: HashMap<Asked, usize>,
    /// For the first of equal recorded requests, the one of them that was answered last.
    given: HashMap<usize, usize>,
}

impl Shelf {
    /// Of these requests and answers; `by_order` where times may differ.
    pub(super) fn new(exchanges: Vec<Exchange>, by_order: bool) -> Self {
        use Likeness::{ButBody, ButTimes, ButTimesAndBody, Whole};
        let likenesses = if by_order { &[Whole, ButTimes, ButBody, ButTimesAndBody][..] } else { &[Whole, ButBody] };
        let recorded = |Exchange { url, request, answer, .. }: Exchange| {
            let body = request.body.unwrap_or_default();
            let asked = |target| Asked { method: request.method.clone(), target, body: body.clone() };
            let names = [request.target, url[Position::BeforePath..Position::AfterQuery].to_owned()].map(asked);
            let forms = likenesses.iter().map(|likeness| names.each_ref().map(|name| likeness.of(name))).collect();
            Recorded { forms, answer }
        };
        let recorded = exchanges.into_iter().map(recorded).collect();
        Self { recorded, likenesses, last: None, meant: HashMap::new(), given: HashMap::new() }
    }

    /// The next answer to this request; the last one stays. None where none was recorded.
    pub(super) fn answer(&mut self, method: &str, target: &str, body: &[u8]) -> Option<Answer> {
        let asked = Asked { method: method.to_owned(), target: target.to_owned(), body: body.to_owned() };
        let place = match self.meant.get(&asked) {
            Some(first) => self.next_of(*first)?,
            None => {
                let (place, is_whole) = self.found(&asked)?;
                let first = (0..=place).find(|other| self.is_same(*other, place))?;
                if self.meant.len() >= MAX_MEANT {
                    self.meant.clear();
                }
                self.meant.insert(asked, first);
                if is_whole { self.next_of(first)? } else { place }
            }
        };
        let first = (0..=place).find(|other| self.is_same(*other, place))?;
        self.given.insert(first, place);
        self.last = Some(place);
        let recorded = self.recorded.get(place)?;
        let then = recorded.forms.first().map_or("", |[name, _]| name.target.as_str());
        Some(recorded.answer.clone().map(|answer| echo::renamed(answer, then, target)))
    }

    /// Whether two recorded requests say the same.
    fn is_same(&self, one: usize, other: usize) -> bool {
        let whole = |place: usize| self.recorded.get(place).and_then(|recorded| recorded.forms.first());
        whole(one) == whole(other)
    }

    /// The next of the recorded requests that say what this one says; the last one stays.
    fn next_of(&self, first: usize) -> Option<usize> {
        let Some(given) = self.given.get(&first).copied() else { return Some(first) };
        (given + 1..self.recorded.len()).find(|place| self.is_same(*place, given)).or(Some(given))
    }

    /// The recorded request that is meant, by the closest likeness, and whether that is all of it.
    fn found(&self, asked: &Asked) -> Option<(usize, bool)> {
        self.likenesses.iter().enumerate().find_map(|(form, likeness)| {
            let asked = likeness.of(asked);
            Some((self.next_like(&asked, form)?, *likeness == Likeness::Whole))
        })
    }

    /// The recorded request of this form that is meant, by the order.
    fn next_like(&self, asked: &Asked, form: usize) -> Option<usize> {
        let is_like = |place: &usize| {
            let names = self.recorded.get(*place).and_then(|recorded| recorded.forms.get(form));
            names.is_some_and(|names| names.contains(asked))
        };
        let count = self.recorded.len();
        let Some(last) = self.last else { return (0..count).find(is_like) };
        let (next, is_end) = (last + 1, last + 1 == count);
        let again = (!is_like(&next) && !is_end).then_some(last);
        again.into_iter().chain(next..count).chain(0..next).find(is_like)
    }
}

impl Likeness {
    /// What is left of a request, to be compared.
    fn of(self, asked: &Asked) -> Asked {
        let Asked { method, target, body } = asked.clone();
        match self {
            Self::Whole => Asked { method, target, body },
            Self::ButTimes => Asked { method, target: timeless(&target), body: timeless_body(&body) },
            Self::ButBody => Asked { method, target, body: Vec::new() },
            Self::ButTimesAndBody => Asked { method, target: timeless(&target), body: Vec::new() },
        }
    }
}

/// Stands where a time was.
const A_TIME: &str = "*";

/// A target whose query has a mark in the place of each time. Its other values stay, in their order.
fn timeless(target: &str) -> String {
    match target.split_once('?') {
        Some((path, query)) => format!("{path}?{}", timeless_form(query)),
        None => target.to_owned(),
    }
}

/// The same for `key=value&key=value`.
fn timeless_form(form: &str) -> String {
    let is_a_time = |value: &str| {
        let decoded = url::form_urlencoded::parse(format!("v={value}").as_bytes()).next().map(|(_, v)| v.into_owned());
        decoded.is_some_and(|text| is_time(&text))
    };
    let part = |part: &str| match part.split_once('=') {
        Some((key, value)) if is_a_time(value) => format!("{key}={A_TIME}"),
        _ => part.to_owned(),
    };
    form.split('&').map(part).collect::<Vec<_>>().join("&")
}

/// The same for a body in JSON, or else for one as a form has it.
fn timeless_body(body: &[u8]) -> Vec<u8> {
    fn mark(value: &mut Value) {
        let is_a_time = match value {
            Value::String(text) => is_time(text),
            Value::Number(number) => is_time(&number.to_string()),
            Value::Array(items) => {
                items.iter_mut().for_each(mark);
                false
            }
            Value::Object(entries) => {
                entries.values_mut().for_each(mark);
                false
            }
            Value::Null | Value::Bool(_) => false,
        };
        if is_a_time {
            *value = A_TIME.into();
        }
    }
    if let Ok(mut value) = serde_json::from_slice::<Value>(body) {
        mark(&mut value);
        return value.to_string().into_bytes();
    }
    std::str::from_utf8(body).map_or_else(|_| body.to_owned(), |text| timeless_form(text).into_bytes())
}

/// A time as feeds are asked for one: RFC 3339, with or without a zone, a date alone, seconds or milliseconds since 1970.
fn is_time(text: &str) -> bool {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let is_number = whole.bytes().chain(text.bytes().skip(whole.len() + 1)).all(|byte| byte.is_ascii_digit());
    if is_number {
        // From 2001 on; a smaller number may be any number.
        return matches!(whole.len(), 10 | 13) && whole.starts_with('1');
    }
    time::parse(text).is_some()
        || text.parse::<jiff::civil::DateTime>().is_ok()
        || text.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Request;

    /// A recording of these requests (`POST body target`, or a target), each answered with its place.
    fn shelf(requests: &[&str], by_order: bool) -> Shelf {
        let exchange = |(place, text): (usize, &&str)| {
            let (method, body, target) = parts(text);
            let request = Request { method, body: Some(body.into_bytes()), ..Request::get(&target) };
            let url = format!("https://feed.example/base{target}").parse().unwrap();
            let answer = Ok(Response { status: 200, headers: Vec::new(), body: place.to_string().into_bytes() });
            Exchange { url, request, at: 0, answer, recalled: Vec::new() }
        };
        Shelf::new(requests.iter().enumerate().map(exchange).collect(), by_order)
    }

    fn parts(text: &str) -> (String, String, String) {
        match text.split(' ').collect::<Vec<_>>().as_slice() {
            [method, body, target] => ((*method).to_owned(), (*body).to_owned(), (*target).to_owned()),
            _ => ("GET".to_owned(), String::new(), text.to_owned()),
        }
    }

    fn asked(shelf: &mut Shelf, request: &str) -> Option<usize> {
        let (method, body, target) = parts(request);
        let answer = shelf.answer(&method, &target, body.as_bytes())?.unwrap();
        Some(String::from_utf8(answer.body).unwrap().parse().unwrap())
    }

    /// A time of then, and one of now.
    fn at(year: u16, minute: u8) -> String {
        format!("{year}-03-01T12%3A{minute:02}%3A00Z")
    }

    #[test]
    fn what_was_recorded_is_answered_in_its_order_and_the_last_one_stays() {
        let mut shelf = shelf(&["/a?x=1", "/b", "/a?x=1", "POST q /b"], false);
        for (request, expected) in [
            ("/a?x=1", Some(0)),
            ("/base/a?x=1", Some(2)),
            ("/a?x=1", Some(2)),
            ("/b", Some(1)),
            ("POST q /b", Some(3)),
            ("POST other /b", Some(3)),
            ("/a?x=2", None),
            ("POST q /a?x=1", None),
        ] {
            assert_eq!(asked(&mut shelf, request), expected, "{request}");
        }
    }

    #[test]
    fn windows_that_differ_in_times_are_answered_as_they_were_recorded() {
        // A window too deep for the feed, in halves, the older of them in halves again.
        let all = |year| {
            let since = |minute| at(year, minute);
            [
                format!("/iocs?since={}&offset=0", since(0)),
                format!("/iocs?since={}&offset=99", since(0)),
                format!("/iocs?since={}&offset=0&until={}", since(0), since(30)),
                format!("/iocs?since={}&offset=0&until={}", since(0), since(15)),
                format!("/iocs?since={}&offset=0&until={}", since(15), since(30)),
                format!("/iocs?since={}&offset=0", since(30)),
                format!("/iocs?since={}&offset=99", since(30)),
            ]
        };
        let then = all(2024);
        let mut shelf = shelf(&then.each_ref().map(String::as_str), true);
        // The feed's clock is learned by the first answer, and the same is asked for anew, by it.
        for run in [2026, 2027] {
            assert_eq!(asked(&mut shelf, &format!("/iocs?since={}&offset=0", at(run, 59))), Some(0));
            for (expected, request) in all(run).iter().enumerate() {
                assert_eq!(asked(&mut shelf, request), Some(expected), "{request}");
            }
            // What is asked for again, as after a stop, is answered as it was.
            assert_eq!(asked(&mut shelf, &all(run)[3]), Some(3));
            assert_eq!(asked(&mut shelf, &all(run)[6]), Some(6));
        }
        assert_eq!(asked(&mut shelf, &format!("/iocs?since={}&offset=0&limit=5", at(2026, 0))), None);
    }

    #[test]
    fn a_window_that_was_read_twice_and_then_divided_is_followed() {
        let all = |year| {
            let window =
                |until, offset| format!("/iocs?since={}&offset={offset}&until={}", at(year, 0), at(year, until));
            [
                format!("/iocs?since={}&offset=0", at(year, 0)),
                window(30, 0),
                window(30, 99),
                // The pages do not fit each other: once more, and then in parts.
                window(30, 0),
                window(15, 0),
                window(7, 0),
                format!("/iocs?since={}&offset=0", at(year, 30)),
            ]
        };
        let then = all(2024);
        let mut by_order = shelf(&then.each_ref().map(String::as_str), true);
        for (expected, request) in all(2026).iter().enumerate() {
            assert_eq!(asked(&mut by_order, request), Some(expected), "{request}");
        }
        // A second run goes the same way; what comes twice has its last answer by then.
        for (request, expected) in all(2027).iter().zip([0, 1, 2, 3, 4, 5, 6]) {
            assert_eq!(asked(&mut by_order, request), Some(expected), "{request}");
        }
    }

    #[test]
    fn a_recorded_clock_that_was_learned_and_a_failure_are_met_again() {
        let requests = [
            format!("/iocs?since={}", at(2024, 0)),
            format!("/iocs?since={}", at(2024, 5)),
            format!("/iocs?since={}&offset=99", at(2024, 5)),
            format!("/iocs?since={}&offset=99", at(2024, 5)),
        ];
        let mut by_order = shelf(&requests.each_ref().map(String::as_str), true);
        let next = format!("/iocs?since={}&offset=99", at(2026, 5));
        for (request, expected) in [
            (format!("/iocs?since={}", at(2026, 0)), 0),
            (format!("/iocs?since={}", at(2026, 5)), 1),
            (next.clone(), 2),
            (next.clone(), 3),
            (next, 3),
        ] {
            assert_eq!(asked(&mut by_order, &request), Some(expected), "{request}");
        }
        // A guest that knows the feed's clock already does not ask twice.
        let mut by_order = shelf(&requests.each_ref().map(String::as_str), true);
        assert_eq!(asked(&mut by_order, &format!("/iocs?since={}", at(2026, 0))), Some(0));
        assert_eq!(asked(&mut by_order, &format!("/iocs?since={}&offset=99", at(2026, 0))), Some(2));
    }

    #[test]
    fn times_are_known_in_every_form_and_other_values_tell_requests_apart() {
        for (then, now) in [
            ("/x?t=2024-03-01", "/x?t=2026-11-27"),
            ("/x?t=2024-03-01T10:00:00", "/x?t=2026-11-27T10:00:00"),
            ("/x?t=2024-03-01+10%3A00%3A00", "/x?t=2026-11-27+10%3A00%3A00"),
            ("/x?t=1709287200", "/x?t=1795773600"),
            ("/x?t=1709287200000", "/x?t=1795773600123"),
            ("/x?t=1709287200.5", "/x?t=1795773600.25"),
            (
                r#"POST {"since":"2024-03-01T10:00:00Z","page":2} /x"#,
                r#"POST {"since":"2026-11-27T10:00:00Z","page":2} /x"#,
            ),
            (r#"POST {"last":{"from":1709287200}} /x"#, r#"POST {"last":{"from":1795773600}} /x"#),
            ("POST from=2024-03-01&page=2 /x", "POST from=2026-11-27&page=2 /x"),
        ] {
            let other = then.replace("/x", "/y");
            let mut by_order = shelf(&[&other, then], true);
            assert_eq!(asked(&mut by_order, now), Some(1), "{now}");
            assert_eq!(asked(&mut shelf(&[&other, then], false), &now.replace("/x", "/z")), None, "{now}");
        }
        for (then, now) in [("/x?page=2", "/x?page=3"), ("/x?id=12345678", "/x?id=12345679"), ("/x?t=1d", "/x?t=2d")] {
            assert_eq!(asked(&mut shelf(&[then], true), now), None, "{now}");
        }
    }

    #[test]
    fn so_many_requests_are_remembered_and_no_more() {
        let mut by_order = shelf(&["/x?t=1700000000", "/x?t=1700000001"], true);
        for second in 0..=MAX_MEANT {
            asked(&mut by_order, &format!("/x?t={}", 1_710_000_000 + second));
            assert!(by_order.meant.len() <= MAX_MEANT);
        }
        assert_eq!(by_order.meant.len(), 1);
    }
}
