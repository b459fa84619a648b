//! Where a collection ends, as servers say it or do not.

use super::quirk::{Asked, Polled, domain, indicator, reply_with, usual};
use crate::contract::Event;
use tipline_ecs::time::HOUR;

const ROOT: &str = "https://taxii.example/api/";
const ONE: &str = r#","collection":"one""#;

/// What a page says of those behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Says {
    /// Nothing at all.
    Nothing,
    /// That there is more, and nothing where there is none.
    MoreIfAny,
    /// Whether there is more.
    More,
    /// `more` and `next`.
    Next,
    /// `more: false`, whatever is behind.
    NoMore,
    /// A bundle, which says nothing.
    Bundle,
}

/// How a page is dated.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Dates {
    Good,
    Absent,
    /// The newest first.
    Descend,
    /// Good ones, and whatever is asked after is not heeded.
    Unheeded,
}

/// A server of objects added at these seconds, of which a page has at most so many.
struct Server {
    added: Vec<usize>,
    cap: usize,
    says: Says,
    dates: Dates,
    is_inclusive: bool,
}

impl Server {
    /// Objects a second apart.
    fn new(count: usize, cap: usize, says: Says) -> Self {
        Self { added: (0..count).collect(), cap, says, dates: Dates::Good, is_inclusive: false }
    }

    fn page(&self, asked: &Asked) -> Event {
        let date = |number: usize| {
            let second = self.added[number];
            format!("2026-02-01T00:{:02}:{:02}.000001Z", second / 60, second % 60)
        };
        let after = asked
            .get("added_after")
            .filter(|_| !matches!(self.dates, Dates::Absent | Dates::Unheeded))
            .unwrap_or_default();
        let is_after = |date: String| date.as_str() > after || self.is_inclusive && date == after;
        let mut found: Vec<usize> = (0..self.added.len()).filter(|number| is_after(date(*number))).collect();
        if self.dates == Dates::Descend {
            found.reverse();
        }
        let start = asked.get("next").map_or(0, |next| next.parse().unwrap());
        let shown: Vec<usize> = found.iter().copied().skip(start).take(asked.limit().min(self.cap)).collect();
        let at = start + shown.len();
        let is_more = at < found.len();
        let fields = match self.says {
            Says::Nothing => String::new(),
            Says::MoreIfAny if !is_more => String::new(),
            Says::MoreIfAny | Says::More => format!(r#""more":{is_more},"#),
            Says::Next if is_more => format!(r#""more":true,"next":"{at}","#),
            Says::Next | Says::NoMore => r#""more":false,"#.to_owned(),
            Says::Bundle => r#""type":"bundle","id":"bundle--1","#.to_owned(),
        };
        let list: Vec<String> = shown.iter().map(|number| indicator(&format!("n{number:03}"))).collect();
        let dates = shown.first().zip(shown.last()).filter(|_| self.dates != Dates::Absent);
        let dates = dates.map(|(first, last)| (date(*first), date(*last)));
        let headers: Vec<(&str, &str)> = dates
            .iter()
            .flat_map(|(first, last)| [("x-taxii-date-added-first", &**first), ("x-taxii-date-added-last", &**last)])
            .collect();
        reply_with(200, &headers, &format!(r#"{{{fields}"objects":[{}]}}"#, list.join(",")))
    }

    fn poll(&self, polled: &mut Polled) -> usize {
        let before = polled.pages().len();
        polled.notes.clear();
        polled.poll(&mut |asked| usual(asked).unwrap_or_else(|| self.page(asked))).unwrap();
        polled.now += HOUR;
        polled.pages().len() - before
    }

    fn missing(&self, polled: &Polled) -> Vec<usize> {
        let is_read = |number: usize| polled.names.contains(&domain(&format!("n{number:03}")));
        (0..self.added.len()).filter(|number| !is_read(*number)).collect()
    }
}

#[test]
fn a_page_that_says_nothing_is_the_end_only_if_nothing_comes_behind_it() {
    for says in [Says::Nothing, Says::MoreIfAny, Says::Bundle] {
        for (count, cap) in [(30, 2), (30, 7), (30, 29), (30, 30), (300, 100), (3, 2)] {
            for is_inclusive in [false, true] {
                for overlap in ["0s", "10m"] {
                    let case = format!("{says:?} {cap} of {count}, inclusive {is_inclusive}, {overlap}");
                    let mut server = Server { is_inclusive, ..Server::new(count, cap, says) };
                    let mut polled = Polled::new(ROOT, &format!(r#"{ONE},"limit":500"#));
                    polled.config = polled.config.replace(r#""overlap":"0s""#, &format!(r#""overlap":"{overlap}""#));
                    for new in 0..3 {
                        server.poll(&mut polled);
                        assert_eq!(server.missing(&polled), Vec::<usize>::new(), "{case}, poll {new}");
                        assert_eq!(polled.codes(), Vec::<&str>::new(), "{case}: {:?}", polled.notes);
                        let last = server.added.last().copied().unwrap_or_default();
                        server.added.push(last + 100);
                    }
                }
            }
        }
    }
}

#[test]
fn where_the_end_is_said_it_is_not_asked_for() {
    // Requests of a first poll, of one that brings one object, and of one that brings nothing.
    for (says, requests) in [
        (Says::Nothing, [2, 2, 1]),
        (Says::MoreIfAny, [2, 2, 1]),
        (Says::More, [1, 1, 1]),
        (Says::Next, [1, 1, 1]),
        (Says::NoMore, [1, 1, 1]),
    ] {
        let mut server = Server::new(30, 1_000, says);
        let mut polled = Polled::new(ROOT, ONE);
        let first = server.poll(&mut polled);
        server.added.push(40);
        let second = server.poll(&mut polled);
        assert_eq!(
            ([first, second, server.poll(&mut polled)], server.missing(&polled)),
            (requests, vec![]),
            "{says:?}"
        );
    }
}

#[test]
fn what_cannot_be_known_without_dates_is_said_once() {
    for dates in [Dates::Absent, Dates::Descend, Dates::Unheeded] {
        for (says, code) in [(Says::Nothing, Some("end-unsaid")), (Says::More, None), (Says::NoMore, None)] {
            let server = Server { dates, ..Server::new(5, 1_000, says) };
            let mut polled = Polled::new(ROOT, ONE);
            for poll in 0..3 {
                server.poll(&mut polled);
                let codes: Vec<&str> = code.into_iter().filter(|_| poll == 0).collect();
                assert_eq!((polled.codes(), server.missing(&polled)), (codes, vec![]), "{dates:?} {says:?} {poll}");
                assert!(poll > 0 || code.is_none() || polled.says("end-unsaid").contains("operator"));
            }
        }
    }
}

#[test]
fn what_one_date_may_hold_beside_a_small_page_is_not_lost_in_silence() {
    // Seconds at which objects were added, how many of them a page has, and which cannot be reached.
    let together: Vec<usize> = vec![0, 1, 1, 2];
    for (says, added, cap, lost) in [
        // One at a time, of which two share a date.
        (Says::Nothing, together.clone(), 1, vec![2]),
        (Says::MoreIfAny, together.clone(), 1, vec![2]),
        (Says::More, together.clone(), 1, vec![2]),
        (Says::Bundle, together.clone(), 1, vec![2]),
        // Whether they do cannot be known.
        (Says::More, (0..5).collect(), 1, vec![]),
        // Two at a time, three of one date.
        (Says::More, vec![0, 0, 0, 1, 2], 2, vec![2]),
    ] {
        let server = Server { added, ..Server::new(0, cap, says) };
        let mut polled = Polled::new(ROOT, ONE);
        server.poll(&mut polled);
        let case = format!("{says:?} {:?}", server.added);
        assert_eq!((polled.codes(), server.missing(&polled)), (vec!["instant-full"], lost), "{case}");
        assert!(polled.says("instant-full").contains("of one instant (2026-02-01T00:00:0"), "{:?}", polled.notes);
    }
    // With `next`, or where the end is said, nothing is in doubt; nor where one page has it all.
    for (says, added, cap) in [
        (Says::Next, together.clone(), 1),
        (Says::NoMore, vec![0], 1),
        (Says::More, vec![0], 1),
        (Says::More, vec![0, 1], 2),
        (Says::Nothing, vec![0], 1_000),
        (Says::Nothing, together, 1_000),
    ] {
        let server = Server { added, ..Server::new(0, cap, says) };
        let mut polled = Polled::new(ROOT, ONE);
        for _ in 0..2 {
            server.poll(&mut polled);
            assert_eq!((polled.codes(), server.missing(&polled)), (vec![], vec![]), "{says:?} {:?}", server.added);
        }
    }
}
