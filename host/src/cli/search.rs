//! `tipline search` and `tipline show`.

use std::io::{self, Write};

use anyhow::{Result, bail};
use clap::Args;
use tipline_catalog::{Grouping, Order};

use super::query::{self, LANGUAGE, Which};
use super::settings::Settings;
use super::{Misuse, document, runtime, waiting};
use crate::said::Said;
use crate::store::{Catalog, Hit, form};
use crate::text::{self, Style};

/// More documents than a person reads; `--limit` asks for more.
const DEFAULT_LIMIT: usize = 50;

/// Search what is stored, in KQL or plain text
#[derive(Debug, Args)]
#[command(after_long_help = format!("\
{LANGUAGE}

Expired and retired indicators are left out unless --expired is given. What its source saw last comes first, as the column \
LAST SEEN shows; where a source does not say, --since goes by when the feed showed it, and it comes behind the others. With \
--by observed both go by when the feed last showed it. What is equal goes by its id.

TYPE is a type of ECS (ipv4-addr, domain-name, url, file, email-addr, windows-registry-key, …), vulnerability or technique; \
what feeds call them (ip, ipv4, domain, email, cve); or what a file is hashed with (sha256, sha1, md5, …; hash for any).

Examples:
  tipline search evil.example
  tipline search 'type: url and confidence >= medium and not tag: sinkhole'
  tipline search --type ipv4 --since 24h
  tipline search --type sha256 --by observed --since 1h      # what the last polls brought
  tipline search --sort ends:asc 'ends < now+7d'                 # what ends within a week
  tipline search --group --sort claims                       # what most sources speak of
  tipline search --provider \"Krebs on Security\" --json | jq .threat.indicator.ip
  tipline search --expired --count      # how many are stored at all"))]
pub(super) struct Search {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    which: Which,
    /// What comes first: value, type, provider, confidence, first_seen, last_seen, ends, claims, …; `:asc` or `:desc` behind
    #[arg(long, value_name = "FIELD", value_parser = query::order)]
    sort: Option<Order>,
    /// One row for each value, whoever speaks of it
    #[arg(long)]
    group: bool,
    /// Print only how many there are
    #[arg(long, conflicts_with_all = ["limit", "skip"])]
    count: bool,
    /// At most so many; --count tells how many there are
    #[arg(long, default_value_t = DEFAULT_LIMIT, value_parser = limit)]
    limit: usize,
    /// Leave out so many at the beginning
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Print the documents, one JSON object a line (with --group those of a value in one list); with --count {"count": n}
    #[arg(long)]
    json: bool,
}

/// How many are shown.
pub(super) fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| "expected a whole number from 1 on".to_owned())
}

impl Search {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        let mut question = self.which.question(&config)?;
        question.grouping = if self.group { Grouping::Values } else { Grouping::Claims };
        question.order = self.sort.unwrap_or(question.order);
        question.behind = self.skip;
        question.limit = if self.count { 0 } else { self.limit };
        let answer = runtime()?.block_on(waiting::on(&config.output, async {
            let catalog = super::open::catalog(&config)?;
            // What a run has just stored is found.
            catalog.settle().await;
            let answer = catalog.ask(&question).await?;
            if answer.total == 0 {
                self.which.hint(catalog.as_ref(), &question).await?;
            }
            anyhow::Ok(answer)
        }))?;
        if self.group && !answer.is_grouped {
            writeln!(io::stderr(), "Elasticsearch does not group by value yet: each claim is a row of its own.")?;
        }
        let mut out = io::stdout().lock();
        match (self.count, self.json) {
            (true, false) => writeln!(out, "{}", answer.total)?,
            (true, true) => writeln!(out, "{}", serde_json::json!({ "count": answer.total }))?,
            (false, true) => {
                for hits in &answer.found {
                    let documents: Vec<_> = hits.iter().map(|hit| text::json(&hit.json)).collect();
                    match answer.is_grouped {
                        true => writeln!(out, "[{}]", documents.join(","))?,
                        false => writeln!(out, "{}", documents.join("\n"))?,
                    }
                }
            }
            (false, false) if answer.found.is_empty() && answer.total > 0 => {
                writeln!(out, "{} found; --skip leads behind the last of them.", text::count(answer.total))?;
            }
            (false, false) if answer.found.is_empty() => {
                writeln!(out, "Nothing found.")?;
            }
            (false, false) => {
                let table = match answer.is_grouped {
                    true => document::values(&answer.found, Style::stdout()),
                    false => document::table(&answer.found.concat(), self.which.by().into(), Style::stdout()),
                };
                write!(out, "{table}")?;
                let (shown, total) = (text::count(answer.found.len() as u64), text::count(answer.total));
                let place = if self.skip > 0 { format!(", from the {}th", self.skip + 1) } else { String::new() };
                writeln!(out, "{shown} of {total}{place}")?;
            }
        }
        Ok(())
    }
}

/// Shorter beginnings name too many documents to be meant.
const SHORTEST_BEGINNING: usize = 4;

/// So many of the ids that an ambiguous beginning may mean are listed.
const CANDIDATES_SHOWN: usize = 10;

/// Show one stored document with all its fields
#[derive(Debug, Args)]
#[command(after_long_help = "\
The beginning of an id will do, if no other one begins so.

Examples:
  tipline show 5d41402a
  tipline show 5d41402abc4b2a76b9719d911017c592deadbeef
  tipline show 5d41402abc4b2a76b9719d911017c592deadbeef --json | jq .threat")]
pub(super) struct Show {
    #[command(flatten)]
    settings: Settings,
    /// The document's `event.id`, as `search` prints it, or its first 4 characters or more
    #[arg(value_name = "ID")]
    id: String,
    /// Print the document as it is stored
    #[arg(long)]
    json: bool,
}

/// The document of this id, or the only one whose id begins so. Our own guest's ids are in hex, which people and tools also
/// write in capitals.
async fn find(catalog: &dyn Catalog, given: &str) -> Result<Hit> {
    let given = given.trim();
    // A table that was cut to the terminal's width ends an id so.
    let beginning = given.trim_end_matches('…');
    let lower = beginning.to_ascii_lowercase();
    let is_hex = lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut ways = vec![beginning];
    if is_hex && lower != beginning {
        ways.push(&lower);
    }
    for id in &ways {
        if let Some(hit) = catalog.get(id).await? {
            return Ok(hit);
        }
    }
    let shown = text::show(beginning);
    if beginning.chars().count() < SHORTEST_BEGINNING {
        return Err(Misuse(format!(
            "`{shown}` is too short for an id or its beginning: write its first {SHORTEST_BEGINNING} characters or more. \
             `tipline search` prints the ids of what is stored."
        ))
        .into());
    }
    let mut ids = Vec::new();
    for way in &ways {
        if ids.is_empty() {
            ids = catalog.ids(way, CANDIDATES_SHOWN + 1).await?;
        }
    }
    match ids.as_slice() {
        [] if is_hex => bail!(
            "No stored document has an id that is or begins with {shown}. `tipline search --expired` prints the ids of all that \
             is stored, in its last column."
        ),
        [] => bail!(
            "No stored document has an id that is or begins with {shown}. If it is a value, `tipline search` looks for it \
             and prints the ids."
        ),
        [only] => match catalog.get(only).await? {
            Some(hit) => Ok(hit),
            None => bail!("The document {} was deleted meanwhile.", text::show(only)),
        },
        several => {
            let listed: Vec<_> = several.iter().take(CANDIDATES_SHOWN).map(|id| text::show(id)).collect();
            let more = if several.len() > CANDIDATES_SHOWN { "\n  …" } else { "" };
            Err(Misuse(format!(
                "{shown} is the beginning of more than one id; write as much as tells them apart:\n  {}{more}",
                listed.join("\n  ")
            ))
            .into())
        }
    }
}

impl Show {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        let hit = runtime()?.block_on(waiting::on(&config.output, async {
            find(super::open::catalog(&config)?.as_ref(), &self.id).await
        }))?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", text::json(&hit.json))?;
            return Ok(());
        }
        let (style, fields) = (Style::stdout(), document::fields(&document::parse(&hit)));
        let width = fields.iter().map(|(path, _)| path.chars().count()).max().unwrap_or(0);
        for (path, value) in fields {
            let value = match form::is_of_the_mapping(&path) {
                true => Said::ours(value),
                false => Said::theirs(value),
            };
            let path = format!("{:<width$}", text::escape(&path));
            writeln!(out, "{}  {value}", style.dim(&path))?;
        }
        Ok(())
    }
}
