//! A feed on virtual time, with a switch for every way in which the documentation contradicts itself.

use std::collections::VecDeque;

use crate::contract::{Event, Response};
use tipline_ecs::time::{MINUTE, Millis, SECOND, parse_rfc3339, rfc3339};

/// What `meta.total` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Total {
    True,
    Text,
    Absent,
    /// Of the whole feed, not of what was asked for.
    WholeFeed,
    /// Of the page.
    Page,
}

/// What `links` holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Links {
    Absolute,
    Relative,
    Absent,
    Null,
    /// Always to the page itself.
    Itself,
    /// Also after the last page.
    Always,
    Odd,
    To(&'static str),
}

/// What becomes of `until`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Until {
    Honoured,
    /// Honoured; null in `meta.filters` while nobody asks for it.
    Null,
    /// Named in `meta.filters` without being used.
    Echoed,
    /// In `meta.filters`, but always the present.
    Present,
    Ignored,
}

/// In which order records come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Order {
    /// As they stand in the list.
    Given,
    /// By their change.
    OldestFirst,
    NewestFirst,
}

#[derive(Debug, Clone)]
pub(super) struct SimRecord {
    pub(super) value: String,
    pub(super) kind: &'static str,
    pub(super) changed: Millis,
}

/// The switches. The default is what the OpenAPI document shows.
#[derive(Debug, Clone)]
pub(super) struct Traits {
    pub(super) clamp: u64,
    pub(super) names_limit: bool,
    pub(super) total: Total,
    pub(super) links: Links,
    pub(super) until: Until,
    pub(super) generated_at: bool,
    pub(super) date: bool,
    pub(super) ids_and_dates: bool,
    pub(super) ignores_offset: bool,
    /// Pages beyond this many come round again.
    pub(super) cycle: Option<u64>,
    /// Nothing is shown from this offset on.
    pub(super) last_offset: Option<u64>,
    /// Lists have so many records at most.
    pub(super) longest: Option<u64>,
    pub(super) order: Order,
    /// A `since` in the future gets this status.
    pub(super) refuses_since: Option<u16>,
    /// A refusal from this offset on.
    pub(super) refuses_offset: Option<u64>,
    pub(super) refuses_with: u16,
    pub(super) look_back: Option<Millis>,
    /// The server's clock minus ours, in milliseconds.
    pub(super) skew: i64,
    /// The dates in the records minus those by which they are found, in milliseconds.
    pub(super) dated: i64,
    /// Requests allowed a minute.
    pub(super) per_minute: Option<u32>,
    /// Spells `mitre-attack`.
    pub(super) dashed: bool,
    /// A page with this value in it is cut in the middle.
    pub(super) damaged: Vec<String>,
    /// Records that are no JSON, each in its way of [`BROKEN`].
    pub(super) broken: Vec<(String, usize)>,
    /// Answers end after so many bytes.
    pub(super) cut: Option<usize>,
    /// As many records as ever, whatever is asked for.
    pub(super) ignores_limit: bool,
    /// A page with this value in it gets no answer.
    pub(super) poison: Vec<String>,
    /// What it gets: a status, or a failure to take it.
    pub(super) poison_with: Option<u16>,
}

/// Members that make a record no JSON.
pub(super) const BROKEN: [&str; 8] = [
    r#""risk":NaN"#,
    "\"context\":\"a\u{1}b\u{7}\"",
    r#""context":"say "hi" now""#,
    r#""tags":["a",]"#,
    r#""tags":["a"}"#,
    r#""context":"\x41""#,
    r#""context":"never closed"#,
    r#""risk":"#,
];

impl Traits {
    /// Not everything can be had by offset.
    pub(super) fn limits_depth(&self) -> bool {
        self.refuses_offset.is_some() || self.last_offset.is_some() || self.longest.is_some() || self.ignores_offset
    }
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            clamp: 10_000,
            names_limit: true,
            total: Total::True,
            links: Links::Absolute,
            until: Until::Honoured,
            generated_at: true,
            date: true,
            ids_and_dates: true,
            ignores_offset: false,
            cycle: None,
            last_offset: None,
            longest: None,
            order: Order::Given,
            refuses_since: None,
            refuses_offset: None,
            refuses_with: 400,
            look_back: None,
            skew: 0,
            dated: 0,
            per_minute: None,
            dashed: false,
            damaged: Vec::new(),
            broken: Vec::new(),
            cut: None,
            ignores_limit: false,
            poison: Vec::new(),
            poison_with: Some(500),
        }
    }
}

pub(super) struct SimServer {
    pub(super) records: Vec<SimRecord>,
    pub(super) traits: Traits,
    /// Answers that come before the usual ones.
    pub(super) script: VecDeque<Event>,
    pub(super) targets: Vec<String>,
    minute: (u64, u32),
}

/// An answer, and the values of the records in it.
pub(super) struct Served {
    pub(super) event: Event,
    pub(super) values: Values,
}

/// Values, and when each of them was changed.
pub(super) type Values = Vec<(String, Millis)>;

impl SimServer {
    pub(super) fn new(records: Vec<SimRecord>, traits: Traits) -> Self {
        Self { records, traits, script: VecDeque::new(), targets: Vec::new(), minute: (0, 0) }
    }

    pub(super) fn clock(&self, now: Millis) -> Millis {
        now.saturating_add_signed(self.traits.skew)
    }

    pub(super) fn answer(&mut self, now: Millis, target: &str) -> Served {
        self.targets.push(target.to_owned());
        if let Some(event) = self.script.pop_front() {
            return Served { event, values: Vec::new() };
        }
        let clock = self.clock(now);
        let mut headers = Vec::new();
        if self.traits.date {
            headers.push(("date".to_owned(), http_date(clock)));
        }
        if let Some(limit) = self.traits.per_minute {
            let minute = clock / MINUTE;
            if self.minute.0 != minute {
                self.minute = (minute, 0);
            }
            self.minute.1 += 1;
            let left = i64::from(limit) - i64::from(self.minute.1);
            headers.push(("x-ratelimit-limit".to_owned(), limit.to_string()));
            headers.push(("x-ratelimit-remaining".to_owned(), left.max(0).to_string()));
            headers.push(("x-ratelimit-reset".to_owned(), ((minute + 1) * 60).to_string()));
            if left < 0 {
                let body = r#"{"error":{"code":"rate_limit_exceeded","message":"slow down"}}"#.to_owned();
                return Served {
                    event: Event::Response(Response { status: 429, headers, body: body.into() }),
                    values: Vec::new(),
                };
            }
        }
        let (status, body, values) = self.page(clock, target);
        if values.iter().any(|(value, _)| self.traits.poison.contains(value)) {
            let event = match self.traits.poison_with {
                Some(status) => Event::Response(Response { status, headers, body: "oops".into() }),
                None => Event::Failed("the answer is longer than 64 MiB".to_owned()),
            };
            return Served { event, values: Vec::new() };
        }
        Served { event: Event::Response(Response { status, headers, body: body.into() }), values }
    }

    fn page(&self, clock: Millis, target: &str) -> (u16, String, Values) {
        let t = &self.traits;
        let url = url::Url::parse("https://feed.example/").unwrap().join(target).unwrap();
        assert_eq!(url.path(), "/api/v1/iocs", "{target}");
        let parameter = |name: &str| url.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
        let asked_since = parse_rfc3339(&parameter("since").unwrap()).unwrap();
        let since = t.look_back.map_or(asked_since, |back| asked_since.max(clock - back));
        let asked_until = parameter("until").map(|text| parse_rfc3339(&text).unwrap());
        let until = asked_until.filter(|_| matches!(t.until, Until::Honoured | Until::Null)).unwrap_or(Millis::MAX);
        let limit = parameter("limit").unwrap().parse::<u64>().unwrap().min(t.clamp);
        let limit = if t.ignores_limit { t.clamp } else { limit };
        let offset = parameter("offset").unwrap().parse::<u64>().unwrap();
        let kind = parameter("type");
        if kind.as_deref() == Some(if t.dashed { "mitre_attack" } else { "mitre-attack" }) {
            let body = r#"{"error":{"code":"invalid_parameter","message":"unknown type","request_id":"r-1"}}"#;
            return (400, body.to_owned(), Vec::new());
        }
        if let Some(status) = t.refuses_since.filter(|_| asked_since > clock) {
            return (status, r#"{"error":{"code":"since_in_future"}}"#.to_owned(), Vec::new());
        }
        if t.refuses_offset.is_some_and(|refused| offset >= refused) {
            return (t.refuses_with, r#"{"error":{"code":"offset_too_large"}}"#.to_owned(), Vec::new());
        }

        let mut wanted: Vec<&SimRecord> = self
            .records
            .iter()
            .filter(|r| kind.as_ref().is_none_or(|kind| kind.replace('-', "_") == r.kind))
            // The strictest reading: neither end of the window belongs to it.
            .filter(|r| r.changed > since && r.changed < until)
            .collect();
        match t.order {
            Order::Given => {}
            Order::OldestFirst => wanted.sort_by_key(|r| r.changed),
            Order::NewestFirst => wanted.sort_by_key(|r| std::cmp::Reverse(r.changed)),
        }
        let mut begin = if t.ignores_offset { 0 } else { offset };
        if let Some(pages) = t.cycle {
            begin %= pages * limit;
        }
        let shown: Vec<&SimRecord> = match t.last_offset {
            Some(last) if begin >= last => Vec::new(),
            _ => {
                let end = t.longest.unwrap_or(u64::MAX).min(begin + limit);
                wanted.iter().copied().take(end as usize).skip(begin as usize).collect()
            }
        };

        let mut meta = vec![format!(r#""offset":{offset}"#)];
        match t.total {
            Total::True => meta.push(format!(r#""total":{}"#, wanted.len())),
            Total::Text => meta.push(format!(r#""total":"{}""#, wanted.len())),
            Total::Absent => {}
            Total::WholeFeed => meta.push(format!(r#""total":{}"#, self.records.len())),
            Total::Page => meta.push(format!(r#""total":{}"#, shown.len())),
        }
        if t.names_limit {
            meta.push(format!(r#""limit":{limit}"#));
        }
        if t.generated_at {
            meta.push(format!(r#""generated_at":"{}""#, rfc3339(clock)));
        }
        let shown_until = match (t.until, asked_until) {
            (Until::Honoured | Until::Null | Until::Echoed, Some(until)) => format!(r#","until":"{}""#, rfc3339(until)),
            (Until::Null, None) => r#","until":null"#.to_owned(),
            (Until::Ignored, _) => String::new(),
            _ => format!(r#","until":"{}""#, rfc3339(clock)),
        };
        meta.push(format!(r#""filters":{{"since":"{}"{shown_until}}}"#, rfc3339(since)));
        let records: Vec<String> = shown.iter().map(|r| self.record(r)).collect();
        let next = format!("/api/v1/iocs?limit={limit}&offset={}", offset + shown.len() as u64);
        let itself = format!("/api/v1/iocs?limit={limit}&offset={offset}");
        let last = offset + shown.len() as u64 >= wanted.len() as u64;
        let host = "https://feed.example";
        let links = match t.links {
            Links::Absent => String::new(),
            Links::Null => r#","links":{"next":null}"#.to_owned(),
            Links::Odd => r#","links":{"next":{"href":7}}"#.to_owned(),
            Links::Itself => format!(r#","links":{{"self":"{host}{itself}","next":"{host}{itself}"}}"#),
            Links::To(to) => format!(r#","links":{{"next":"{to}"}}"#),
            Links::Always => format!(r#","links":{{"next":"{host}{next}"}}"#),
            _ if last => r#","links":{"next":null}"#.to_owned(),
            Links::Absolute => format!(r#","links":{{"self":"{host}{itself}","next":"{host}{next}"}}"#),
            Links::Relative => format!(r#","links":{{"next":"{next}"}}"#),
        };
        let mut body = format!(r#"{{"meta":{{{}}},"data":[{}]{links}}}"#, meta.join(","), records.join(","));
        if shown.iter().any(|r| t.damaged.contains(&r.value)) {
            body.truncate(body.len() / 2);
            return (200, body, Vec::new());
        }
        body.truncate(t.cut.unwrap_or(usize::MAX));
        let whole = shown.iter().filter(|r| self.broken(r).is_none());
        (200, body, whole.map(|r| (r.value.clone(), r.changed)).collect())
    }

    fn broken(&self, r: &SimRecord) -> Option<&'static str> {
        let (_, how) = self.traits.broken.iter().find(|(value, _)| *value == r.value)?;
        Some(BROKEN[how % BROKEN.len()])
    }

    fn record(&self, r: &SimRecord) -> String {
        let rest = if self.traits.ids_and_dates {
            format!(
                r#","id":"id-{}","last_seen":"{}""#,
                r.value,
                rfc3339(r.changed.saturating_add_signed(self.traits.dated))
            )
        } else {
            String::new()
        };
        let broken = self.broken(r).map(|how| format!(",{how}")).unwrap_or_default();
        format!(r#"{{"type":"{}","value":"{}","confidence":"high"{broken}{rest}}}"#, r.kind, r.value)
    }
}

/// Distinct domains, changed one after the other, the newest first.
pub(super) fn domains(count: u64, newest: Millis, apart: Millis) -> Vec<SimRecord> {
    (0..count)
        .map(|i| SimRecord { value: format!("d{i}.example.net"), kind: "domain", changed: newest - i * apart })
        .collect()
}

pub(super) fn http_date(instant: Millis) -> String {
    let instant = jiff::Timestamp::from_millisecond((instant / SECOND * SECOND) as i64).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).unwrap()
}
