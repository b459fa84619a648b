//! Generated servers: any of what servers were seen to do, mixed, and faults at any place for a while. None of them stands in
//! the way for good or loses what can be read.

use std::collections::BTreeSet;

use super::crashes::Dice;
use super::quirk::{Asked, At, Polled, domain, indicator, reply, reply_with};
use super::{NOON, http_date};
use crate::contract::{Event, Failure};
use crate::taxii::instant::{self, Instant, from_millis, to_millis};
use tipline_ecs::time::{HOUR, MINUTE, Millis, SECOND, rfc3339};

/// How many servers the tests meet. `.ci/full` sets the variable to more.
fn servers() -> u64 {
    std::env::var("TIPLINE_SERVERS").ok().map_or(300, |count| count.parse().expect("TIPLINE_SERVERS is a number"))
}

/// How pages follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    Next,
    More,
    /// An envelope that says nothing.
    Silent,
    Bundle,
    /// A list without an envelope.
    List,
    /// An object a line.
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Dates {
    Usual,
    NoZone,
    Space,
    Micros,
    Http,
    JavaScript,
    Absent,
    Null,
    Odd,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Filter {
    Honoured,
    Ignored,
    /// Nothing is an indicator.
    Misread,
    Refused(u16),
}

/// An object as the server sends it.
#[derive(Debug)]
struct Sent {
    name: String,
    added: Instant,
    /// No indicator.
    is_other: bool,
    /// No JSON.
    bad: Option<&'static str>,
    /// It stands in a bundle of its own.
    is_nested: bool,
    /// A page with it ends in its midst.
    is_cut: bool,
}

impl Sent {
    fn text(&self) -> String {
        let text = indicator(&self.name);
        let text = if self.is_other { text.replace("indicator", "malware") } else { text };
        let text = match self.bad {
            Some(bad) => format!("{}{bad}", &text[..text.len() - 1]),
            None => text,
        };
        match self.is_nested {
            true => format!(r#"{{"type":"bundle","id":"bundle--{}","objects":[{text}]}}"#, self.name),
            false => text,
        }
    }

    fn is_good(&self) -> bool {
        !self.is_other && self.bad.is_none() && !self.is_cut
    }
}

/// What makes an object no JSON, in the place of its last brace.
const BAD: [&str; 6] =
    [r#","n":NaN}"#, r#","n":-Infinity}"#, r#","n":["a"}"#, r#","n":'x'}"#, r#","n":"half"#, r#","n":}"#];

#[derive(Debug)]
struct Server {
    objects: Vec<Sent>,
    style: Style,
    dates: Dates,
    filter: Filter,
    /// Pages have at most so many.
    clamp: usize,
    /// More than so many are refused.
    refuses: Option<(usize, u16)>,
    is_inclusive: bool,
    /// What nothing looks like.
    nothing: (u16, &'static str),
    root: (u16, &'static str),
    list: (u16, &'static str),
    has_clock: bool,
}

const LIST: &str = r#"{"collections":[{"id":"one","title":"One","can_read":true}]}"#;

impl Server {
    fn new(dice: &mut Dice) -> Self {
        let style = dice.pick(&[
            Style::Next,
            Style::Next,
            Style::More,
            Style::Silent,
            Style::Bundle,
            Style::List,
            Style::Lines,
        ]);
        let dates = match style {
            Style::Next => dice.pick(&[
                Dates::Usual,
                Dates::NoZone,
                Dates::Space,
                Dates::Micros,
                Dates::Http,
                Dates::JavaScript,
                Dates::Absent,
                Dates::Null,
                Dates::Odd,
            ]),
            // Nothing but dates leads on, and what shares one has to fit into a page.
            _ => dice.pick(&[Dates::Usual, Dates::NoZone, Dates::Space, Dates::Micros, Dates::Http, Dates::JavaScript]),
        };
        let mut added = from_millis(NOON - 20 * HOUR);
        let count = dice.pick(&[0, 1, 2, 5, 17, 60]);
        let may_be_cut = matches!(dates, Dates::Usual | Dates::NoZone | Dates::Space | Dates::Micros);
        let mut cuts = if may_be_cut && dice.roll(4) == 0 { 2 } else { 0 };
        let mut objects = Vec::new();
        for number in 0..count {
            // Whole seconds apart for those that date by the second; of one instant only where `next` leads on.
            let apart = [SECOND, MINUTE, 3 * SECOND][dice.roll(3) as usize];
            let is_together = style == Style::Next && cuts == 0 && dice.roll(5) == 0;
            added += if is_together { 0 } else { from_millis(apart) };
            let is_cut = cuts > 0 && dice.roll(8) == 0;
            cuts -= u32::from(is_cut);
            objects.push(Sent {
                name: format!("n{number:02}"),
                added: added + u64::from(may_be_cut && dice.roll(2) == 0),
                is_other: dice.roll(8) == 0,
                bad: (dice.roll(12) == 0).then(|| dice.pick(&BAD)),
                is_nested: dice.roll(12) == 0,
                is_cut,
            });
        }
        objects.sort_by_key(|object| object.added);
        let refusals = [400, 413, 416, 422];
        Self {
            objects,
            style,
            dates,
            filter: match dice.roll(6) {
                0 => Filter::Ignored,
                1 => Filter::Misread,
                2 => Filter::Refused(dice.pick(&[400, 422, 501])),
                _ => Filter::Honoured,
            },
            clamp: dice.pick(&[1_000, 7, 30]),
            refuses: (dice.roll(4) == 0).then(|| (dice.pick(&[1, 5, 40]), dice.pick(&refusals))),
            is_inclusive: dice.roll(3) == 0,
            nothing: dice.pick(&[
                (200, "{}"),
                (200, r#"{"objects":[]}"#),
                (200, r#"{"objects":null,"more":false}"#),
                (204, ""),
                (404, r#"{"title":"No objects"}"#),
                (404, r#"{"description":"the collection is empty"}"#),
            ]),
            root: dice.pick(&[
                (200, r#"{"title":"A Root"}"#),
                (200, r#"{"title":"A Root"}"#),
                (200, "<html>Welcome</html>"),
                (404, ""),
                (403, "{}"),
                (500, ""),
            ]),
            list: dice.pick(&[
                (200, LIST),
                (200, LIST),
                (200, LIST),
                (401, "{}"),
                (403, "{}"),
                (404, ""),
                (405, ""),
                (503, ""),
                (200, "<html>List</html>"),
                (200, r#"{"collections":"none"}"#),
                (200, r#"{"collections":[{"id""#),
            ]),
            has_clock: dice.roll(3) > 0,
        }
    }

    fn answer(&self, asked: &Asked, now: Millis) -> Event {
        match asked.at {
            At::Server => reply(self.root.0, self.root.1),
            At::Collections => reply(self.list.0, self.list.1),
            At::Objects => self.page(asked, now),
            At::Nowhere => reply(404, r#"{"title":"not found"}"#),
        }
    }

    fn page(&self, asked: &Asked, now: Millis) -> Event {
        if let Some((_, status)) = self.refuses.filter(|(most, _)| asked.limit() > *most) {
            return reply(status, r#"{"title":"Bad Request"}"#);
        }
        let types = asked.get("match[type]");
        if let (Filter::Refused(status), Some(_)) = (self.filter, types) {
            return reply(status, r#"{"title":"Bad Request"}"#);
        }
        let after = asked.get("added_after").map(|text| instant::parse(text).unwrap());
        let is_meant = |object: &&Sent| {
            let is_behind =
                after.is_none_or(|after| object.added > after || self.is_inclusive && object.added == after);
            is_behind
                && match (self.filter, types) {
                    (Filter::Honoured, Some(_)) => !object.is_other,
                    (Filter::Misread, Some(_)) => false,
                    _ => true,
                }
        };
        let found: Vec<&Sent> = self.objects.iter().filter(is_meant).collect();
        let start: usize = asked.get("next").map_or(0, |next| next.parse().unwrap());
        let shown: Vec<&Sent> = found.iter().skip(start).take(asked.limit().min(self.clamp)).copied().collect();
        if shown.is_empty() {
            return reply(self.nothing.0, self.nothing.1);
        }
        let at = start + shown.len();
        let is_more = at < found.len();
        let texts: Vec<String> = shown.iter().map(|object| object.text()).collect();
        let list = texts.join(",");
        let mut body = match self.style {
            Style::Next if is_more => format!(r#"{{"more":true,"next":"{at}","objects":[{list}]}}"#),
            Style::Next | Style::More => format!(r#"{{"objects":[{list}],"more":{is_more}}}"#),
            Style::Silent => format!(r#"{{"objects":[{list}]}}"#),
            Style::Bundle => format!(r#"{{"type":"bundle","id":"bundle--1","objects":[{list}]}}"#),
            Style::List => format!("[{list}]"),
            Style::Lines => texts.join("\n"),
        };
        if let Some(cut) = shown.iter().find(|object| object.is_cut) {
            let place = body.find(&format!("--{}\"", cut.name)).unwrap();
            body.truncate(place + 8);
        }
        let mut headers = Vec::new();
        if self.has_clock {
            headers.push(("date", http_date(now)));
        }
        for (name, object) in [("x-taxii-date-added-first", shown.first()), ("x-taxii-date-added-last", shown.last())] {
            headers.extend(object.and_then(|object| self.date(object.added)).map(|date| (name, date)));
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        reply_with(200, &headers, &body)
    }

    fn date(&self, added: Instant) -> Option<String> {
        let mut usual = String::new();
        instant::write(added, &mut usual);
        let bare = usual.trim_end_matches('Z').to_owned();
        Some(match self.dates {
            Dates::Usual => usual,
            Dates::NoZone => bare,
            Dates::Space => bare.replace('T', " "),
            Dates::Micros => added.to_string(),
            Dates::Http => http_date(to_millis(added)),
            Dates::JavaScript => super::server::java_script(to_millis(added)),
            Dates::Absent => return None,
            Dates::Null => "null".to_owned(),
            Dates::Odd => "yesterday".to_owned(),
        })
    }
}

/// A fault that a server, or what stands before it, has for a moment.
fn fault(dice: &mut Dice, answer: Event, has_end: bool) -> Event {
    let Event::Response(mut response) = answer else { return answer };
    match dice.roll(10) {
        // Of lines nobody sees that one was cut off.
        6 | 7 if !has_end => Event::Failed("connection reset".to_owned()),
        0 => Event::Failed("connection reset".to_owned()),
        1 => reply(200, "<html>Proxy error</html>"),
        2 => reply(200, ""),
        3 => reply(dice.pick(&[500, 502, 503, 504, 408, 425]), "oops"),
        4 => reply(dice.pick(&[400, 401, 403, 404, 409, 410, 413, 418, 429]), r#"{"title":"no"}"#),
        5 => reply(200, "<html><input type=\"password\"></html>"),
        6 | 7 => {
            // What was cut to nothing but brackets says nothing.
            let length = response.body.len();
            response.body.truncate(length.saturating_sub(1 + dice.roll(length.max(1) as u64) as usize));
            Event::Response(response)
        }
        _ => {
            let text = response.text().into_owned();
            let places: Vec<usize> = text.match_indices(",\"").map(|(at, _)| at + 1).collect();
            if !places.is_empty() {
                let at = places[dice.roll(places.len() as u64) as usize];
                let with = dice.pick(&["\"", "{", "}", "[", "]", "\\", "NaN", "\u{0}"]);
                response.body = format!("{}{with}{}", &text[..at], &text[at..]).into();
            }
            Event::Response(response)
        }
    }
}

/// What is read may be a reject, where it was damaged on the way; its text is kept.
fn missing<'s>(polled: &Polled, server: &'s Server) -> Vec<&'s str> {
    let good = server.objects.iter().filter(|object| object.is_good());
    let is_kept = |name: &str| {
        let id = format!("indicator--{name}\"");
        polled.names.contains(&domain(name)) || polled.rejects.iter().any(|(_, raw)| raw.contains(&id))
    };
    good.map(|object| object.name.as_str()).filter(|name| !is_kept(name)).collect()
}

/// A failure says what came, and is never one that stops an input.
fn is_fair(seed: u64, failure: &Failure) {
    assert!(!matches!(failure, Failure::Config(_) | Failure::State(_)), "{seed}: {failure}");
}

fn meet(seed: u64) {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed + 1).wrapping_mul(0x2545_F491_4F6C_DD1D));
    let mut server = Server::new(&mut dice);
    let limit = dice.pick(&[500, 100, 20, 3]);
    let mut polled = Polled::new("https://taxii.example/api/", &format!(r#","collection":"one","limit":{limit}"#));

    // Faults of a moment, or one that stays for some polls.
    let lasting = (dice.roll(3) == 0).then(|| {
        (
            dice.pick(&[At::Server, At::Collections, At::Objects]),
            dice.pick(&[400, 401, 402, 403, 405, 410, 418, 429, 451, 500, 503, 511]),
        )
    });
    let mut left = dice.roll(30);
    for _ in 0..2 {
        polled.notes.clear();
        let now = polled.now;
        let result = polled.poll(&mut |asked| {
            let answer = server.answer(asked, now);
            match lasting {
                Some((at, status)) if asked.at == at => reply(status, r#"{"title":"no"}"#),
                Some(_) => answer,
                None if left > 0 && dice.roll(3) == 0 => {
                    left -= 1;
                    fault(&mut dice, answer, server.style != Style::Lines)
                }
                None => answer,
            }
        });
        if let Err(failure) = &result {
            is_fair(seed, failure);
            if let Some((At::Objects, status)) = lasting {
                assert!(failure.to_string().contains(&status.to_string()), "{seed} {status}: {failure}");
            }
        }
        polled.now += HOUR;
    }

    // Once it is over, all that can be read is; with many that are cut, poll by poll.
    let mut last = Ok(());
    for _ in 0..10 {
        let now = polled.now;
        last = polled.poll(&mut |asked| server.answer(asked, now));
        polled.now += HOUR;
        if last.is_ok() && missing(&polled, &server).is_empty() {
            break;
        }
    }
    let tell = |polled: &Polled| {
        let sent: Vec<&str> = polled.requests.iter().rev().take(12).rev().map(|asked| asked.target.as_str()).collect();
        format!("{seed} limit {limit} {lasting:?}\n{server:#?}\n{:?}\n{sent:#?}", polled.codes())
    };
    assert!(last.is_ok(), "{last:?} {}", tell(&polled));
    assert_eq!(missing(&polled, &server), Vec::<&str>::new(), "{}", tell(&polled));
    // What is no JSON is kept, with its place.
    for object in server.objects.iter().filter(|object| object.bad.is_some() && !object.is_other && !object.is_cut) {
        let id = format!("--{}\"", object.name);
        let known = polled.rejects.iter().find(|(_, raw)| raw.contains(&id));
        let is_told = known.is_some_and(|(detail, _)| detail.contains("begins at byte"));
        assert!(is_told, "{object:?} {:?} {}", polled.rejects, tell(&polled));
    }
    // And what is added then is read at the next poll, which is short.
    let added = from_millis(polled.now) - from_millis(MINUTE);
    let new = Sent { name: "new".to_owned(), added, is_other: false, bad: None, is_nested: false, is_cut: false };
    server.objects.push(new);
    let before = polled.requests.len();
    for _ in 0..3 {
        let now = polled.now;
        polled.poll(&mut |asked| server.answer(asked, now)).unwrap_or_else(|failure| panic!("{seed}: {failure}"));
        polled.now += HOUR;
    }
    assert_eq!(missing(&polled, &server), Vec::<&str>::new(), "{seed} after {} {server:#?}", rfc3339(to_millis(added)));
    assert!(polled.requests.len() - before < 3 * 200, "{seed}: {}", polled.requests.len() - before);
}

#[test]
fn no_generated_server_stands_in_the_way_or_loses_what_can_be_read() {
    let failed: BTreeSet<u64> =
        (0..servers()).filter(|seed| std::panic::catch_unwind(|| meet(*seed)).is_err()).collect();
    assert!(failed.is_empty(), "seeds {failed:?}");
}
