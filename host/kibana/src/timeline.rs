//! Events with a value around a time: in Timeline, unsaved by a link or saved by a call, and in Discover.
//!
//! The query asks for the value in the events' fields of [`crate::fields`] and in the indicator's own, joined by `or`, each
//! value in quotes as [`tipline_kql::quote`] writes them. Kibana's own page makes *data providers* instead, which it joins
//! without escaping backslashes and cuts one at the end (kibana#277605 is of that family), so that `HKLM\Software\test` is
//! asked for with a tab in it; a query of our own is taken as it is. For the same reason the saved Timeline has no providers.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tipline_kql::{Expr, Literal, Node, Pattern, Spanned, Values, print};

use crate::answer::{Answer, FromAnswer, json};
use crate::error::is_hidden;
use crate::fields::{mapped, own};
use crate::kibana::coded;
use crate::request::{Act, Call, Method};
use crate::rison::Rison;
use crate::{Claim, Kibana, KibanaError, Pair};

/// Kibana's page shows so much before the indicator's time, and as much behind it.
pub const AROUND: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The longest link whose state the server is asked with. Proxies commonly take 8 KiB of a request's first line.
pub const MAX_LINK_BYTES: usize = 8_000;

/// A Timeline's title is cut to so many characters; its list shows fewer.
const MAX_TITLE_CHARS: usize = 100;

/// The most pairs of one query: a file with all its hashes has fewer, and Elasticsearch takes a thousand clauses.
pub const MAX_PAIRS: usize = 64;

/// What is looked for, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Investigation {
    title: String,
    query: String,
    from: Timestamp,
    to: Timestamp,
}

impl Investigation {
    /// Of a row: what the document is about, around its `@timestamp`.
    ///
    /// # Errors
    /// [`KibanaError::Document`] where it has no mapped field or no time.
    pub fn of_claim(claim: &Claim) -> Result<Self, KibanaError> {
        let pairs = claim.pairs();
        Self::of_pairs(claim, &pairs)
    }

    /// Of a cell: this field and value of the document, around its `@timestamp`.
    ///
    /// # Errors
    /// As [`Self::of_claim`].
    pub fn of_cell(claim: &Claim, pair: &Pair) -> Result<Self, KibanaError> {
        Self::of_pairs(claim, std::slice::from_ref(pair))
    }

    fn of_pairs(claim: &Claim, pairs: &[Pair]) -> Result<Self, KibanaError> {
        let missing = |missing| KibanaError::Document { missing, consequence: "no events can be looked for" };
        let at = claim.timestamp().and_then(|text| text.parse::<Timestamp>().ok());
        let at = at.ok_or_else(|| missing("time in `@timestamp`"))?;
        let from = at.checked_sub(AROUND).unwrap_or(Timestamp::MIN);
        let to = at.checked_add(AROUND).unwrap_or(Timestamp::MAX);
        Self::between(pairs, from, to)
    }

    /// Of anything between two times: an entry of the trend's legend and the page's own range.
    ///
    /// # Errors
    /// [`KibanaError::Document`] without any pair, [`KibanaError::TooMuch`] with more than [`MAX_PAIRS`].
    pub fn between(pairs: &[Pair], from: Timestamp, to: Timestamp) -> Result<Self, KibanaError> {
        let missing = "field that events have, too";
        let first =
            pairs.first().ok_or(KibanaError::Document { missing, consequence: "no events can be looked for" })?;
        if pairs.len() > MAX_PAIRS {
            let (what, unit) = ("The query", "values");
            return Err(KibanaError::TooMuch { what, unit, given: pairs.len(), most: MAX_PAIRS });
        }
        let shown: String =
            first.value.chars().map(|c| if is_hidden(c) { ' ' } else { c }).take(MAX_TITLE_CHARS).collect();
        Ok(Self { title: format!("Indicator {shown}"), query: kql(pairs), from, to })
    }

    /// The query.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The first moment, as it is written.
    pub fn from(&self) -> String {
        written(self.from)
    }

    /// The moment behind the last.
    pub fn to(&self) -> String {
        written(self.to)
    }

    /// A link that opens a Timeline which is not saved. None where it would be too long for the servers on the way: then
    /// [`Self::save`] does, or [`Self::discover`]. Releases differ in what they make of the range; those before this state
    /// existed open an empty Timeline.
    pub fn link(&self, kibana: &Kibana) -> Option<String> {
        let timeline = Rison::Object(vec![
            ("activeTab", Rison::text("query")),
            ("isOpen", Rison::Bool(true)),
            ("query", Rison::Object(vec![("expression", Rison::text(&self.query)), ("kind", Rison::text("kuery"))])),
        ]);
        let range = Rison::Object(vec![
            ("linkTo", Rison::List(Vec::new())),
            (
                "timerange",
                Rison::Object(vec![
                    ("from", Rison::text(self.from())),
                    ("kind", Rison::text("absolute")),
                    ("to", Rison::text(self.to())),
                ]),
            ),
        ]);
        let ranges = Rison::Object(vec![("global", range.clone()), ("timeline", range)]);
        let state = format!("timeline={}&timerange={}", coded(&timeline.write()), coded(&ranges.write()));
        let link = kibana.link(&format!("/app/security/alerts?{state}"));
        (link.len() <= MAX_LINK_BYTES).then_some(link)
    }

    /// A link to Discover, which everyone has, whatever their licence. Its state stays in the browser, so it may be long.
    pub fn discover(&self, kibana: &Kibana) -> String {
        let range = Rison::Object(vec![(
            "time",
            Rison::Object(vec![("from", Rison::text(self.from())), ("to", Rison::text(self.to()))]),
        )]);
        let query = Rison::Object(vec![(
            "query",
            Rison::Object(vec![("language", Rison::text("kuery")), ("query", Rison::text(&self.query))]),
        )]);
        kibana.link(&format!("/app/discover#/?_g={}&_a={}", coded(&range.write()), coded(&query.write())))
    }

    /// Saves a Timeline, which works in every release; each call saves another one. [`Saved::link`] opens it.
    ///
    /// # Errors
    /// [`KibanaError::Unwritable`].
    pub fn save(&self, kibana: &Kibana) -> Result<Call<Saved>, KibanaError> {
        let timeline = Timeline {
            title: &self.title,
            description: "",
            timeline_type: "default",
            status: "active",
            event_type: "all",
            kql_mode: "filter",
            index_names: [],
            kql_query: KqlQuery {
                filter_query: FilterQuery {
                    kuery: Kuery { kind: "kuery", expression: &self.query },
                    // Kibana makes it from the expression when the Timeline is opened.
                    serialized_query: "",
                },
            },
            date_range: DateRange { start: self.from(), end: self.to() },
            data_providers: [],
        };
        let body = NewTimeline { timeline_type: "default", status: "active", timeline };
        Call::new(kibana, Act::SaveTimeline, Method::Post, "/api/timeline").with(&body)
    }
}

/// Each pair in the fields of events and then in its own, joined by `or`.
fn kql(pairs: &[Pair]) -> String {
    let is = |field: &str, value: &str| {
        Node::from(Expr::Is {
            field: Spanned::from(Pattern::exact(field)),
            values: Spanned::from(Values::One(Literal::Quoted(value.to_owned()))),
        })
    };
    let mut clauses: Vec<Node> = Vec::new();
    let mut add = |clause: Node| {
        if !clauses.contains(&clause) {
            clauses.push(clause);
        }
    };
    for Pair { field, value } in pairs {
        mapped(field).into_iter().flat_map(|mapped| mapped.events()).for_each(|event| add(is(event, value)));
    }
    pairs.iter().for_each(|Pair { field, value }| add(is(own(field), value)));
    match clauses.pop() {
        Some(only) if clauses.is_empty() => print(&only),
        Some(last) => {
            clauses.push(last);
            print(&Node::from(Expr::Or(clauses)))
        }
        None => String::new(),
    }
}

fn written(at: Timestamp) -> String {
    format!("{at:.3}")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewTimeline<'a> {
    timeline_type: &'static str,
    status: &'static str,
    timeline: Timeline<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timeline<'a> {
    title: &'a str,
    description: &'static str,
    timeline_type: &'static str,
    status: &'static str,
    event_type: &'static str,
    kql_mode: &'static str,
    /// None: the default view of Security.
    index_names: [&'static str; 0],
    kql_query: KqlQuery<'a>,
    date_range: DateRange,
    data_providers: [&'static str; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KqlQuery<'a> {
    filter_query: FilterQuery<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilterQuery<'a> {
    kuery: Kuery<'a>,
    serialized_query: &'static str,
}

#[derive(Serialize)]
struct Kuery<'a> {
    kind: &'static str,
    expression: &'a str,
}

#[derive(Serialize)]
struct DateRange {
    start: String,
    end: String,
}

/// A Timeline that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Its id.
    pub id: String,
}

impl Saved {
    /// A link that opens it.
    pub fn link(&self, kibana: &Kibana) -> String {
        let state = Rison::Object(vec![("id", Rison::text(&self.id)), ("isOpen", Rison::Bool(true))]);
        kibana.link(&format!("/app/security/timelines?timeline={}", coded(&state.write())))
    }

    /// Deletes it.
    ///
    /// # Errors
    /// [`KibanaError::Unwritable`].
    pub fn delete(&self, kibana: &Kibana) -> Result<Call<()>, KibanaError> {
        let body = Deleted { saved_object_ids: [&self.id] };
        Call::new(kibana, Act::DeleteTimeline, Method::Delete, "/api/timeline").with(&body)
    }
}

#[derive(Serialize)]
struct Deleted<'a> {
    #[serde(rename = "savedObjectIds")]
    saved_object_ids: [&'a str; 1],
}

/// As newer releases answer, and as those to 8.x do.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answered {
    Flat(Id),
    Wrapped { data: Persist },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Persist {
    persist_timeline: Persisted,
}

#[derive(Deserialize)]
struct Persisted {
    timeline: Id,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Id {
    saved_object_id: String,
}

impl FromAnswer for Saved {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        let id = match json(act, answer)? {
            Answered::Flat(id) => id,
            Answered::Wrapped { data } => data.persist_timeline.timeline,
        };
        Ok(Self { id: id.saved_object_id })
    }
}
