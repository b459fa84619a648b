//! The part of a command line that says which documents: a query in KQL, and flags for what is asked most.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, ValueEnum};
use tipline_catalog::{Direction, Grouping, Order, SortKey, time_column};
use tipline_kql::{Fields, Predicate, Test, parse, quote, resolve};

use super::settings::unconnected;
use super::{Misuse, open, when};
use crate::clock::{Clock, Millis};
use crate::config::Config;
use crate::guests::Guests;
use crate::hint;
use crate::store::{Among, Catalog, Condition, Kind, Question};
use crate::text;

/// How a query is written, for `--help`.
pub(super) const LANGUAGE: &str = "\
QUERY is KQL, as in Kibana's search bar (docs/kql.md): `type: url and not tag: sinkhole`, `confidence >= medium`, \
`last_seen > now-7d`, `threat.indicator.ip: 198.51.100.0/24` for the addresses of a network, wildcards, parentheses. What has \
no field is looked for in value, description, tags, software and actor, in any case and defanged or not; a port behind an \
address or a host does not matter. An address alone, or `value: 198.51.100.7`, also finds the ranges that hold it; \
`threat.indicator.ip` has none. Short names: value type feed provider confidence tlp tag software actor first_seen last_seen ends.";

/// Which documents.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// What to look for, in KQL or plain text; everything if left out
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Of this type (ipv4-addr, domain-name, url, file, …), or hashed so (sha256, md5, …)
    #[arg(long = "type", value_name = "TYPE", value_parser = kind)]
    kind: Option<String>,
    /// Who reported it; case does not matter
    #[arg(long)]
    provider: Option<String>,
    /// Seen since this time, or this long ago: 2024-12-09, 24h, now/d
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<Millis>,
    /// The time that --since is of, and by which the newest come first
    #[arg(long, value_enum, value_name = "TIME", default_value_t)]
    by: By,
    /// All that is stored: expired and retired ones too, and conditions, which are no indicators by themselves
    #[arg(long, conflicts_with = "ended")]
    expired: bool,
    /// Only expired and retired ones
    #[arg(long)]
    ended: bool,
}

/// The times of a document, by what people call them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum By {
    /// When its source last saw it
    #[default]
    LastSeen,
    /// When the feed last showed it
    Observed,
}

const PROVIDER: &str = "threat.indicator.provider";
const LAST_SEEN: &str = "threat.indicator.last_seen";
const OBSERVED: &str = "tipline.observed_at";

impl From<By> for crate::store::By {
    fn from(by: By) -> Self {
        match by {
            By::LastSeen => Self::LastSeen,
            By::Observed => Self::Observed,
        }
    }
}

impl By {
    fn field(self) -> &'static str {
        match self {
            Self::LastSeen => LAST_SEEN,
            Self::Observed => OBSERVED,
        }
    }
}

fn kind(text: &str) -> Result<String, String> {
    match Kind::of(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("expected one of {}", Kind::words().collect::<Vec<_>>().join(", "))),
    }
}

/// What can be sorted by, by its short name.
const SORTED: [(&str, &str); 12] = [
    ("value", tipline_catalog::NAME),
    ("type", "threat.indicator.type"),
    ("feed", "threat.feed.name"),
    ("provider", PROVIDER),
    ("confidence", "threat.indicator.confidence"),
    ("tlp", "threat.indicator.marking.tlp"),
    ("tag", "tags"),
    ("software", "threat.software.name"),
    ("first_seen", "threat.indicator.first_seen"),
    ("last_seen", LAST_SEEN),
    ("observed", OBSERVED),
    ("ends", "tipline.expires_at"),
];

/// Reads `FIELD`, `FIELD:asc` or `FIELD:desc`.
pub(super) fn order(written: &str) -> Result<Order, String> {
    let (name, direction) = written.split_once(':').unwrap_or((written, ""));
    let key = match name {
        "claims" => Some(SortKey::Claims),
        name => {
            let field = SORTED.iter().find(|(short, _)| *short == name).map_or(name, |(_, field)| field);
            SortKey::of(field)
        }
    };
    let expected = || {
        let names: Vec<&str> = SORTED.iter().map(|(short, _)| *short).collect();
        format!("expected one of {}, claims; and perhaps `:asc` or `:desc` behind it", names.join(", "))
    };
    let key = key.ok_or_else(expected)?;
    let direction = match direction {
        "asc" => Direction::Ascending,
        "desc" => Direction::Descending,
        // What people look for first: the newest, the most, the surest, and the beginning of the alphabet.
        "" => match key.field() {
            Some(field) if time_column(field).is_some() => Direction::Descending,
            Some("threat.indicator.confidence" | "threat.indicator.marking.tlp") | None => Direction::Descending,
            Some(_) => Direction::Ascending,
        },
        _ => return Err(expected()),
    };
    Ok(Order { key, direction })
}

impl Which {
    /// The newest first, by the time that is asked for.
    fn order(&self) -> Order {
        let column = time_column(self.by.field()).unwrap_or_default();
        Order { key: SortKey::Time(column), direction: Direction::Descending }
    }

    /// The time by which the newest come first.
    pub(super) fn by(&self) -> By {
        self.by
    }

    /// Says on standard error what may be wrong where nothing was found.
    pub(super) async fn hint(&self, catalog: &dyn Catalog, question: &Question) -> Result<()> {
        let mut hints = hint::hints(catalog, question, &self.query.join(" "), hint::Reader::Terminal).await?;
        if self.provider.is_some() && hints.is_empty() {
            hints.push("--provider takes the whole name, as the column PROVIDER shows it.".to_owned());
        }
        for hint in hints {
            writeln!(io::stderr(), "hint: {}", text::escape(&hint))?;
        }
        Ok(())
    }

    /// Among which documents.
    fn among(&self) -> Among {
        match (self.expired, self.ended) {
            (false, false) => Among::Live,
            (_, true) => Among::Ended,
            (true, false) => Among::All,
        }
    }

    /// The question for all of them, of a configuration's store: claims, the newest first.
    pub(super) fn question(&self, config: &Config) -> Result<Question> {
        Ok(Question {
            condition: self.condition(config)?,
            among: self.among(),
            now: now(config),
            grouping: Grouping::Claims,
            order: self.order(),
            behind: 0,
            limit: usize::MAX,
            facets: Vec::new(),
            trend: None,
        })
    }

    /// What is asked of a document.
    fn condition(&self, config: &Config) -> Result<Condition> {
        let fields = Arc::new(fields(config)?);
        let now = i64::try_from(judged(config).earliest()).unwrap_or(i64::MAX);
        let query = self.query.join(" ");
        let mut parts = vec![understood(&query, &fields, now)?];
        if let Some(kind) = &self.kind {
            let of_kind = understood(&format!("type: {}", quote(kind)), &fields, now);
            parts.push(of_kind.map_err(|error| error.context("--type can't be understood"))?);
        }
        if let Some(provider) = &self.provider {
            parts.push(Predicate::Test(PROVIDER.to_owned(), Test::Named(provider.trim().to_owned())));
        }
        if let Some(since) = self.since {
            let from = Some(i64::try_from(since).unwrap_or(i64::MAX));
            let after = |field: &str| Predicate::Test(field.to_owned(), Test::Time { from, to: None });
            let unseen = Predicate::Test(LAST_SEEN.to_owned(), Test::Exists).negated();
            parts.push(match self.by {
                By::Observed => after(OBSERVED),
                By::LastSeen => Predicate::any([after(LAST_SEEN), Predicate::all([unseen, after(OBSERVED)])]),
            });
        }
        Ok(Condition { predicate: Predicate::all(parts), fields })
    }
}

/// A time by which nobody is told of a doubt: what ends is dated by the day.
const MATTERS: Millis = 24 * 60 * 60 * 1_000;

/// The moment by which what is stored has ended or has not: the one that a sweep goes by. Where this machine's clock says a
/// much later one, that is said.
pub(super) fn now(config: &Config) -> Millis {
    let clock = judged(config);
    let (now, latest) = (clock.earliest(), clock.latest());
    if latest.saturating_sub(now) > MATTERS {
        // Whoever reads the answer alone misses nothing of it.
        let _ = writeln!(
            io::stderr(),
            "note: This machine's clock says {}, and the last run knew of {}. What ends in between is shown as live, until a run \
             has heard from a feed which of them is right.",
            text::instant(latest),
            text::instant(now)
        );
    }
    now
}

/// The machine's clock, judged by what the last run has noted of the time; alone where there was none.
pub(super) fn judged(config: &Config) -> Clock {
    let clock = Clock::system();
    // What cannot be read is said by who opens the store.
    if let Ok(Some(mut known)) = open::ledger(config).and_then(|ledger| Ok(ledger.known_time()?)) {
        // A feed that is no longer asked is no witness.
        known.witnesses.retain(|id, _| config.inputs.iter().any(|input| input.id == *id));
        clock.resume(known);
    }
    clock
}

/// The fields that can be asked for: those that the configured guests describe.
pub(super) fn fields(config: &Config) -> Result<Fields> {
    Guests::new(Some(&config.state_dir)).fields(config).map_err(unconnected)
}

fn understood(query: &str, fields: &Fields, now: i64) -> Result<Predicate> {
    let resolved = parse(query).and_then(|node| resolve(&node, fields, now));
    resolved.map_err(|error| {
        // The place is shown where the query is one line, as the terminal shows it.
        let shown = text::show(query);
        let column = error.span.column;
        let mut message = format!("The query cannot be understood. Column {column}: {}", error.text);
        if shown == query && !query.contains('\n') {
            let length = query.get(error.span.start..error.span.end).map_or(1, |part| part.chars().count().max(1));
            let (space, marks) = (" ".repeat(column.saturating_sub(1)), "^".repeat(length));
            message = format!("{message}\n  {query}\n  {space}{marks}");
        }
        Misuse(message).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_people_mean_them() {
        for (written, field, direction) in [
            ("value", Some(tipline_catalog::NAME), Direction::Ascending),
            ("value:desc", Some(tipline_catalog::NAME), Direction::Descending),
            ("last_seen", Some(LAST_SEEN), Direction::Descending),
            ("confidence", Some("threat.indicator.confidence"), Direction::Descending),
            ("tags:asc", Some("tags"), Direction::Ascending),
            ("claims", None, Direction::Descending),
        ] {
            let order = order(written).unwrap();
            assert_eq!((order.key.field(), order.direction), (field, direction), "{written}");
        }
        assert!(tipline_catalog::word_column("tags").is_some());
        for wrong in ["", "colour", "value:up", ":asc"] {
            assert!(order(wrong).unwrap_err().starts_with("expected one of value, type,"), "{wrong}");
        }
    }
}
