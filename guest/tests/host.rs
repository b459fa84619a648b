//! A host in miniature for a TAXII server of one collection: pages, rows and states, kills at any moment, and a reader of
//! documents who keeps the highest version of each identity.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use socdefenders::time::{HOUR, MINUTE, SECOND, parse_rfc3339, rfc3339};
use socdefenders::{Batch, Event, Next, Response, Row, Step, advance, map_records};

/// 2026-03-01T12:00:00Z.
pub(crate) const NOON: u64 = 1_772_366_400_000;

/// Page sizes: one by one, small, larger, and all at once.
pub(crate) const SIZES: [usize; 5] = [1, 7, 100, 500, 10_000];

/// The forms in which records come, see [`page`].
pub(crate) const FORMS: [&str; 3] = ["page", "array", "lines"];

/// How a server gives its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// TAXII's envelope with `next`.
    Envelope,
    /// A bare STIX bundle.
    Bundle,
}

/// A document as a reader holds it.
pub(crate) type Held = BTreeMap<String, (u64, String)>;

/// Takes in a batch as any store does.
pub(crate) fn read(batch: &Batch, held: &mut Held) {
    for (head, line) in batch.heads.iter().zip(batch.documents.lines()) {
        let known = held.entry(head.id.clone()).or_default();
        if head.version >= known.0 {
            *known = (head.version, line.to_owned());
        }
    }
}

/// What is live at this moment, without version and times of observation.
pub(crate) fn live(held: &Held, now: u64) -> Vec<String> {
    let mut live = Vec::new();
    for (_, line) in held.values() {
        let mut document: Value = serde_json::from_str(line).unwrap();
        let expires = document["tipline"]["expires_at"].as_str().map(|t| socdefenders::time::parse_rfc3339(t).unwrap());
        let is_indicator = document["event"]["type"] == json!(["indicator"]);
        if !is_indicator || expires.is_some_and(|at| at <= now) {
            continue;
        }
        document.as_object_mut().unwrap().remove("@timestamp");
        document["event"].as_object_mut().unwrap().remove("sequence");
        document["tipline"].as_object_mut().unwrap().remove("observed_at");
        live.push(document.to_string());
    }
    live
}

/// What every batch has in common: the counts add up, and the heads say what the documents say.
pub(crate) fn adds_up(batch: &Batch) {
    assert_eq!(batch.read, batch.mapped + batch.rejected + batch.skipped);
    assert_eq!(batch.rejects.len(), batch.rejected as usize);
    assert_eq!(batch.skips.iter().map(|skip| skip.count).sum::<u32>(), batch.skipped);
    assert_eq!(batch.documents.matches('\n').count(), batch.heads.len());
    for (line, head) in batch.documents.lines().zip(&batch.heads) {
        assert_eq!(line.len(), head.length as usize);
        let document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(document["event"]["id"], *head.id);
        assert_eq!(document["event"]["sequence"], head.version);
        let expires = document["tipline"]["expires_at"].as_str().map(|text| parse_rfc3339(text).unwrap());
        assert_eq!(expires, head.expires);
    }
}

/// Leaves out records of which two of one claim have the same version and say different things: one in a thousand of those
/// seen in one hour, for which no order is promised (the ten bits of the version that stand for what is said are equal).
pub(crate) fn told_apart(records: Vec<String>, observed: u64) -> Vec<String> {
    let mut said: BTreeMap<(String, u64), String> = BTreeMap::new();
    let mut is_told_apart =
        |record: &String| {
            let batch = map_records("", observed, record.as_bytes()).unwrap();
            batch.heads.iter().zip(batch.documents.lines()).all(|(head, line)| {
                *said.entry((head.id.clone(), head.version)).or_insert_with(|| line.to_owned()) == line
            })
        };
    records.into_iter().filter(|record| is_told_apart(record)).collect()
}

/// Records in one of the forms they come in.
pub(crate) fn page(form: &str, records: &[String], observed: u64) -> Batch {
    let text = match form {
        "page" => format!("{{\"data\":[{}]}}", records.join(",")),
        "array" => format!("[{}]", records.join(",")),
        _ => records.join("\n"),
    };
    map_records("", observed, text.as_bytes()).unwrap()
}

/// Two contents of one claim under one version are left out, as no order is promised for them.
pub(crate) fn any_cut_gives_the_same(records: &[String], observed: u64) {
    let records = told_apart(records.to_vec(), observed);
    let mut shuffled = records.clone();
    let mut dice = Dice(2_026);
    for end in (1..shuffled.len()).rev() {
        shuffled.swap(end, dice.roll(end as u64 + 1) as usize);
    }
    let reversed = records.iter().rev().cloned().collect();
    let mut wanted = None;
    for order in [&records, &reversed, &shuffled] {
        for size in SIZES {
            for form in FORMS {
                let mut held = Held::new();
                order.chunks(size).for_each(|chunk| read(&page(form, chunk, observed), &mut held));
                let is = live(&held, observed);
                assert!(!is.is_empty());
                assert!(*wanted.get_or_insert_with(|| is.clone()) == is, "{form} by {size}");
            }
        }
    }
}

/// A number generator for kills.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// The host and its store.
pub(crate) struct Host {
    config: String,
    style: Style,
    state: String,
    rows: BTreeMap<String, Row>,
    pub(crate) held: Held,
    pub(crate) now: u64,
    /// Gives rows back; a host without a memory does not.
    pub(crate) remembers: bool,
    pub(crate) codes: Vec<String>,
}

impl Host {
    pub(crate) fn new(style: Style, limit: usize) -> Self {
        let config = json!({"transport": "taxii", "url": "https://taxii.example/taxii2/", "feed": {"name": "Example"},
            "collection": "one", "allow_private": true, "limit": limit, "initial_interval": "all"});
        Self {
            config: config.to_string(),
            style,
            state: String::new(),
            rows: BTreeMap::new(),
            held: Held::new(),
            now: NOON,
            remembers: true,
            codes: Vec::new(),
        }
    }

    pub(crate) fn live(&self) -> Vec<String> {
        live(&self.held, self.now)
    }

    /// One poll of a collection whose objects were added a second apart in this order.
    pub(crate) fn poll(&mut self, objects: &[Value]) {
        self.poll_killed(objects, &mut Dice(1), 0);
    }

    /// One poll that is killed so many times, each after some steps: what was under way may be stored or not, and its
    /// rows and states are gone.
    pub(crate) fn poll_killed(&mut self, objects: &[Value], dice: &mut Dice, mut kills: u32) {
        let mut state = self.state.clone();
        let mut under_way: Vec<Step> = Vec::new();
        let mut event = Event::Start;
        for _ in 0..20_000 {
            let step = advance(&self.config, &state, self.now, event.clone()).unwrap();
            let recalled = matches!(step.next, Next::Recall(_));
            if !recalled {
                state.clone_from(&step.state);
                self.codes.extend(step.batch.iter().flat_map(|batch| &batch.notes).map(|note| note.code.clone()));
                under_way.push(step.clone());
            }
            if under_way.len() > 2 {
                let first = under_way.remove(0);
                self.commit(first);
            }
            if kills > 0 && dice.roll(4) == 0 {
                kills -= 1;
                // Deliveries go in order, so that what arrived is a beginning of what was under way.
                let arrived = dice.roll(under_way.len() as u64 + 1) as usize;
                for step in under_way.drain(..).take(arrived) {
                    step.batch.iter().for_each(|batch| read(batch, &mut self.held));
                }
                state.clone_from(&self.state);
                event = Event::Start;
                self.now += SECOND;
                continue;
            }
            event = match step.next {
                Next::Done => {
                    std::mem::take(&mut under_way).into_iter().for_each(|step| self.commit(step));
                    self.now += 15 * MINUTE;
                    return;
                }
                Next::Recall(keys) => {
                    let Event::Response(response) = event else { panic!("rows for {event:?}") };
                    Event::Recalled(self.recall(&keys, &under_way), response)
                }
                Next::WaitUntil(wait) => {
                    self.now = wait.until;
                    Event::Wake
                }
                Next::Fetch(request) => {
                    self.now += 200;
                    Event::Response(self.answer(objects, &request.target))
                }
            };
        }
        panic!("no end");
    }

    /// The rows of these keys: those of steps under way over the committed ones.
    fn recall(&self, keys: &[String], under_way: &[Step]) -> Vec<Row> {
        assert!(keys.is_sorted_by(|one, next| one < next), "each key once");
        if !self.remembers {
            return Vec::new();
        }
        let newest = |key: &String| {
            let of_steps = under_way.iter().rev().flat_map(|step| step.remember.iter().rev());
            of_steps.into_iter().find(|row| row.key == *key).or_else(|| self.rows.get(key)).cloned()
        };
        keys.iter().filter_map(newest).collect()
    }

    fn commit(&mut self, step: Step) {
        step.batch.iter().for_each(|batch| {
            adds_up(batch);
            read(batch, &mut self.held);
        });
        for row in step.remember {
            self.rows.insert(row.key.clone(), row);
        }
        self.state = step.state;
    }

    fn answer(&self, objects: &[Value], target: &str) -> Response {
        let mut headers = vec![("date".to_owned(), http_date(self.now))];
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body = match path {
            "/taxii2/" => json!({"title": "Some Server", "api_roots": ["/api/"]}),
            "/api/collections/" => json!({"collections": [{"id": "one", "title": "One", "can_read": true}]}),
            _ => self.objects(objects, query, &mut headers),
        };
        Response { status: 200, headers, body: body.to_string().into_bytes() }
    }

    /// Objects added after a moment, so many of them, from a place on.
    fn objects(&self, objects: &[Value], query: &str, headers: &mut Vec<(String, String)>) -> Value {
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.replace("%3A", ":"))
        };
        let added = |place: usize| NOON - 2 * HOUR + place as u64 * SECOND;
        let after = parameter("added_after").map(|text| socdefenders::time::parse_rfc3339(&text).unwrap());
        let limit: usize = parameter("limit").unwrap().parse().unwrap();
        let start: usize = parameter("next").map_or(0, |next| next.parse().unwrap());
        let all: Vec<(usize, &Value)> =
            objects.iter().enumerate().filter(|(place, _)| after.is_none_or(|after| added(*place) > after)).collect();
        let page: Vec<(usize, &Value)> = all.iter().copied().skip(start).take(limit).collect();
        if let (Some((first, _)), Some((last, _))) = (page.first(), page.last()) {
            headers.push(("x-taxii-date-added-first".to_owned(), rfc3339(added(*first))));
            headers.push(("x-taxii-date-added-last".to_owned(), rfc3339(added(*last))));
        }
        let shown: Vec<&Value> = page.iter().map(|(_, object)| *object).collect();
        let end = start + page.len();
        match self.style {
            Style::Bundle => json!({"type": "bundle", "id": "bundle--1", "objects": shown}),
            Style::Envelope if end < all.len() => json!({"more": true, "next": end.to_string(), "objects": shown}),
            Style::Envelope => json!({"more": false, "objects": shown}),
        }
    }
}

fn http_date(instant: u64) -> String {
    let instant = jiff::Timestamp::from_millisecond((instant / SECOND * SECOND) as i64).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).unwrap()
}
