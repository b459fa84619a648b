//! `tipline stats`.

use std::io::{self, Write};

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::query::{LANGUAGE, Which};
use super::settings::Settings;
use super::{open, runtime, trend};
use crate::store::TrendOf;
use crate::text::{self, Align, Style, Table};
use crate::types;

/// So many words of a field are shown.
const SHOWN: usize = 10;

/// The longest bar, in characters.
const BAR: u64 = 30;

/// Count what is stored by type, provider, confidence, tag and so on, or over time
#[derive(Debug, Args)]
#[command(after_long_help = format!("\
{LANGUAGE}

Examples:
  tipline stats
  tipline stats --by-field tag --by-field actor 'last_seen > now-7d'
  tipline stats --trend last-seen --since 7d                 # how much was seen, day by day, by type
  tipline stats --trend first-seen --stack tag 'software: \"Cobalt Strike\"'
  tipline stats --trend ends --json | jq .trend.series
  tipline stats --json 'type: url' | jq .facets"))]
pub(super) struct Stats {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    which: Which,
    /// What is counted by; may be given several times
    #[arg(long = "by-field", value_enum, value_name = "FIELD", default_values_t = [Facet::Type, Facet::Provider, Facet::Confidence, Facet::Tlp, Facet::Tag])]
    facets: Vec<Facet>,
    /// Draw them over a time instead
    #[arg(long, value_enum, value_name = "TIME", conflicts_with = "facets")]
    trend: Option<trend::Over>,
    /// What the bars of --trend are made of
    #[arg(long, value_enum, value_name = "FIELD", requires = "trend", default_value_t = Facet::Type)]
    stack: Facet,
    /// About how many bars --trend has
    #[arg(long, value_name = "NUMBER", requires = "trend", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    intervals: u32,
    /// Print one JSON object with all words, or with all numbers of the trend
    #[arg(long)]
    json: bool,
}

/// What can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Facet {
    Type,
    Feed,
    Provider,
    Confidence,
    Tlp,
    Tag,
    Software,
    Actor,
    Input,
}

impl Facet {
    fn field(self) -> &'static str {
        match self {
            Self::Type => "threat.indicator.type",
            Self::Feed => "threat.feed.name",
            Self::Provider => "threat.indicator.provider",
            Self::Confidence => "threat.indicator.confidence",
            Self::Tlp => "threat.indicator.marking.tlp",
            Self::Tag => "tags",
            Self::Software => "threat.software.name",
            Self::Actor => "threat.group.name",
            Self::Input => "tipline.input",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Type => "TYPE",
            Self::Feed => "FEED",
            Self::Provider => "PROVIDER",
            Self::Confidence => "CONFIDENCE",
            Self::Tlp => "TLP",
            Self::Tag => "TAG",
            Self::Software => "SOFTWARE",
            Self::Actor => "ACTOR",
            Self::Input => "INPUT",
        }
    }
}

impl Stats {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        let mut question = self.which.question(&config)?;
        question.limit = 0;
        match self.trend {
            None => question.facets = self.facets.iter().map(|facet| facet.field()).collect(),
            Some(over) => {
                question.trend = Some(TrendOf {
                    time: over.field(),
                    from: None,
                    to: None,
                    nearly: false,
                    intervals: self.intervals,
                    field: self.stack.field(),
                    top: trend::TOP,
                });
            }
        }
        let answer = runtime()?.block_on(async {
            let catalog = open::catalog(&config)?;
            catalog.settle().await;
            let answer = types::ask(catalog.as_ref(), &question).await?;
            if answer.total == 0 {
                self.which.hint(catalog.as_ref(), &question).await?;
            }
            anyhow::Ok(answer)
        })?;
        let mut out = io::stdout().lock();
        if let Some(over) = self.trend {
            let drawn = answer.trend.as_ref();
            if self.json {
                let drawn = drawn.map(|drawn| trend::numbers(drawn, over, self.stack.field()));
                writeln!(out, "{}", json!({ "total": answer.total, "trend": drawn }))?;
                return Ok(());
            }
            match drawn {
                Some(drawn) => writeln!(out, "{}", trend::bars(drawn, over, Style::stdout()))?,
                None => writeln!(out, "None of them has this time ({}).", over.field())?,
            }
            writeln!(out, "{} in all", text::count(answer.total))?;
            return Ok(());
        }
        if self.json {
            let facets: serde_json::Map<String, serde_json::Value> =
                answer.facets.iter().map(|counts| (counts.field.to_owned(), json!(counts.words))).collect();
            writeln!(out, "{}", json!({ "total": answer.total, "facets": facets }))?;
            return Ok(());
        }
        let style = Style::stdout();
        // What nobody says of any of them is no table.
        for (facet, counts) in self.facets.iter().zip(&answer.facets).filter(|(_, counts)| !counts.words.is_empty()) {
            let mut table = Table::new(&[(facet.title(), Align::Left), ("COUNT", Align::Right), ("", Align::Left)]);
            let most = counts.words.first().map_or(1, |(_, count)| *count).max(1);
            let rows: Vec<_> =
                counts.words.iter().take(SHOWN).map(|(word, count)| (text::cell(word), *count)).collect();
            let widest = |width: fn(&(String, u64)) -> usize, head: &str| {
                rows.iter().map(width).chain([head.len()]).max().unwrap_or(0)
            };
            let words = widest(|(word, _)| word.chars().count(), facet.title());
            let bar = style.bar(&[words, widest(|(_, count)| text::count(*count).len(), "COUNT")], BAR);
            for (word, count) in rows {
                let length = usize::try_from((count * bar).div_ceil(most)).unwrap_or(0);
                table.row([word, text::count(count), "█".repeat(length)]);
            }
            write!(out, "{}", table.render(style))?;
            if counts.words.len() > SHOWN {
                writeln!(out, "and {} more", text::count((counts.words.len() - SHOWN) as u64))?;
            }
            writeln!(out)?;
        }
        writeln!(out, "{} in all", text::count(answer.total))?;
        Ok(())
    }
}
