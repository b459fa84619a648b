//! `tipline lookup`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::settings::Settings;
use super::{Misuse, open, query, runtime, waiting};
use crate::document::text_at;
use crate::lookup::{self, Looked, MAX_LOOKED_BYTES, Verdict};
use crate::text::{self, Align, Style, Table};

/// Look up all values of a text: a report, a log, a list
#[derive(Debug, Args)]
#[command(after_long_help = "\
Addresses, ranges, names, URLs, hashes, mailboxes, CVEs and techniques are found in any text, defanged or not; a URL gives its \
host as well. Each is looked up at once:

  known                a live indicator is about it
  in range             it lies in a range that a live indicator is about
  its domain is known  a mailbox: a live indicator is about its domain
  host of a known URL  a live indicator is about a URL there
  ended                what is stored of it has expired or was retired
  harmless             nobody should look for it, such as a private address
  unknown              nothing is stored of it

Unknown and harmless values are counted, and listed with --all. A text may have 20 MiB and 100,000 different values. PDF and \
office files are no text: convert them first, for example with pdftotext.

Examples:
  tipline lookup report.txt
  pdftotext report.pdf - | tipline lookup -
  tipline lookup --json proxy.log | jq -r 'select(.verdict == \"known\") | .value'
  echo 'hxxps://evil[.]example/login 198.51.100.7' | tipline lookup --all -")]
pub(super) struct Lookup {
    #[command(flatten)]
    settings: Settings,
    /// The file, or `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// List unknown and harmless values too
    #[arg(long)]
    all: bool,
    /// One JSON object a line for each value, also for unknown ones
    #[arg(long)]
    json: bool,
}

impl Lookup {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        let text = self.text()?;
        let values = lookup::read(&text).map_err(|error| Misuse(error.to_string()))?;
        if values.is_empty() {
            writeln!(
                io::stderr(),
                "The text has no value that could be looked up: no address, name, URL, hash, mailbox, CVE or technique."
            )?;
            return Ok(());
        }
        let fields = Arc::new(query::fields(&config)?);
        let now = query::now(&config);
        let looked = runtime()?.block_on(waiting::on(&config.output, async {
            let catalog = open::catalog(&config)?;
            catalog.settle().await;
            anyhow::Ok(lookup::look_up(catalog.as_ref(), &fields, values, now).await?)
        }))?;
        let mut out = io::stdout().lock();
        if self.json {
            for one in &looked {
                writeln!(out, "{}", text::json(&line(one).to_string()))?;
            }
            return Ok(());
        }
        write!(out, "{}", self.table(&looked))?;
        writeln!(out, "{}", sum(&looked))?;
        Ok(())
    }

    /// The text, whatever a program for Windows has written.
    fn text(&self) -> Result<String> {
        let (name, source): (String, Box<dyn Read>) = if self.file.as_os_str() == "-" {
            ("Standard input".to_owned(), Box::new(io::stdin()))
        } else {
            let name = self.file.display().to_string();
            if self.file.is_dir() {
                return Err(Misuse(format!(
                    "{name} is a folder. Name a file of text in it, or - for standard input: `cat {name}/* | tipline lookup -`."
                ))
                .into());
            }
            let file = File::open(&self.file).map_err(|error| {
                Misuse(format!("{name} cannot be read: {error}. Name a file of text, or - for standard input."))
            })?;
            (name, Box::new(file))
        };
        let mut bytes = Vec::new();
        source
            .take(MAX_LOOKED_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("{name} cannot be read"))?;
        if bytes.len() > MAX_LOOKED_BYTES {
            let most = MAX_LOOKED_BYTES / 1024 / 1024;
            return Err(Misuse(format!(
                "{name} has more than {most} MiB. Look it up in parts, for example with `split`."
            ))
            .into());
        }
        lookup::decoded(&name, &bytes).map_err(|reason| Misuse(reason).into())
    }

    fn table(&self, looked: &[Looked]) -> String {
        let mut table = Table::new(&[
            ("VERDICT", Align::Left),
            ("TYPE", Align::Left),
            ("VALUE", Align::Left),
            ("CONFIDENCE", Align::Left),
            ("ABOUT", Align::Left),
            ("PROVIDERS", Align::Left),
            ("LAST SEEN", Align::Left),
            ("ID", Align::Left),
        ])
        .giving_way(&["ABOUT", "PROVIDERS", "CONFIDENCE", "LAST SEEN", "TYPE", "ID"]);
        let mut shown: Vec<&Looked> = looked
            .iter()
            .filter(|one| self.all || !matches!(one.verdict, Verdict::Harmless(_) | Verdict::Unknown))
            .collect();
        if shown.is_empty() {
            return String::new();
        }
        shown.sort_by_key(|one| one.verdict);
        for one in shown {
            let first = one.claims.first();
            let of = |path| first.map_or("", |claim| text_at(&claim.document, path));
            table.row([
                one.verdict.word().to_owned(),
                text::cell(one.value.observable.ecs_type()),
                text::cell(&one.value.name),
                text::cell(of("threat.indicator.confidence")),
                text::cell(&one.about()),
                text::cell(&one.providers().join(", ")),
                text::cell(of("threat.indicator.last_seen")),
                text::cell(first.map_or("", |claim| &claim.id)),
            ]);
        }
        table.render(Style::stdout())
    }
}

/// How many of each, the most telling first.
fn sum(looked: &[Looked]) -> String {
    let mut parts = Vec::new();
    for name in Verdict::WORDS {
        let count = looked.iter().filter(|one| one.verdict.word() == name).count();
        if count > 0 {
            parts.push(format!("{} {name}", text::count(count as u64)));
        }
    }
    let values = if looked.len() == 1 { "value" } else { "values" };
    format!("{} {values}: {}", text::count(looked.len() as u64), parts.join(", "))
}

fn line(one: &Looked) -> serde_json::Value {
    let claims: Vec<_> = one
        .claims
        .iter()
        .map(|claim| {
            let mut said =
                json!({ "id": claim.id, "live": claim.is_live, "value": crate::document::name(&claim.document) });
            for (name, path) in [
                ("provider", "threat.indicator.provider"),
                ("feed", "threat.feed.name"),
                ("confidence", "threat.indicator.confidence"),
                ("tlp", "threat.indicator.marking.tlp"),
                ("last_seen", "threat.indicator.last_seen"),
                ("ends", "tipline.expires_at"),
            ] {
                let text = text_at(&claim.document, path);
                if !text.is_empty() {
                    said[name] = json!(text);
                }
            }
            said
        })
        .collect();
    let mut said = json!({
        "value": one.value.name,
        "type": one.value.observable.ecs_type(),
        "verdict": one.verdict.word(),
        "times": one.value.times,
        "claims": claims,
    });
    if let Verdict::Harmless(reason) = one.verdict {
        said["reason"] = json!(reason);
    }
    said
}
