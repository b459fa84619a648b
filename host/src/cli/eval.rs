//! `tipline eval`: whether a changed guest may replace the one in use.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::dry_run::Cluster;
use super::mapping::{MappingSettings, with_changes};
use super::progress::Progress;
use super::record::size;
use super::{Failed, Misuse, when};
use crate::clock::Millis;
use crate::config::parse_duration;
use crate::eval::finding::Kind;
use crate::eval::source::{self, Defaults};
use crate::eval::waiver::Waivers;
use crate::eval::{Candidate, Configs, Contest, Evaluation, Intake, Settings, Trial, golden, report};
use crate::file;
use crate::sandbox::{BUILT_IN, CallLimits, CompileLimits};
use crate::text::{self, Style};

/// The name of the guest this program was built with.
const BUILT_IN_NAME: &str = "built-in";

/// The longest component read: a hundred times ours. Fixed: it guards the memory against a wrong file.
const MAX_COMPONENT_BYTES: u64 = 64 * 1024 * 1024;

/// Evaluate a changed mapping: two guests on the same pages, in a sandbox, held against each other
#[derive(Debug, Args)]
#[command(after_long_help = "\
INPUT is a recording (HAR, from `tipline record` or a browser), a feed's page, records (an array or one a line), a golden \
case (a folder with page.json; its settings stand in config.json), or a folder of these. Each page is mapped by both \
guests in a fresh sandboxed instance, and by the candidate once more in one that has mapped other pages. A guest can reach nothing meanwhile: no network, no \
files, no clock. A trap, a limit that is passed or an unreadable component is a finding, and never ends the evaluation.

A recording is mapped with the settings it was made with, unless -c names others; --set and --allow-private change either. \
--base-set and --candidate-set change them for one side: then the changed setting is what is tried. Of the configuration's \
guest only the settings are taken: its file may be missing, or another one than `sha256` pins.

With --cluster the candidate's documents are also written to a temporary index (tipline-eval-…) of that configuration's \
Elasticsearch or OpenSearch, as in latest mode and without its ingest pipeline; the index is deleted at the end. What the \
cluster refuses is a finding, whether or not the base's documents would be refused as well. The credential needs \
create_index, write and delete_index on tipline-eval-*.

Exit code 0: nothing speaks against the candidate. 1: there are findings (--fail-on says which kinds count; a waiver file \
takes out those that are intended). 2: the command is wrong.

--fail-on takes kinds separated by commas, `any` (all, the default), `faults` (all but differences of what documents and \
rejects say), `none`, and `-KIND` to leave one out: --fail-on any,-field-added. The kinds:
  load imports trap limit failure sums refused nondeterminism identity version document-removed document-added
  field-removed field-added field-retyped field-changed ecs template cluster reject-added reject-removed reject-changed
  skips answer paging cost golden stale-waiver

Examples:
  tipline eval today.har --candidate my-mapper.wasm
  tipline eval today.har --candidate-set min_confidence=high   # what a changed setting does
  tipline eval tests/page.json -c tipline.yml --candidate target/wasm32-unknown-unknown/release/my_mapper.wasm
  tipline eval records.jsonl --base old.wasm --candidate new.wasm --html report.html
  tipline eval today.har --candidate my.wasm --fail-on faults --waivers intended.yml --junit report.xml
  tipline eval today.har --candidate my.wasm --cluster staging.yml
  tipline eval --golden cases --candidate my.wasm        # what comes out against what was written down
  tipline eval --golden cases --update                   # writes it down")]
pub(super) struct Eval {
    /// The pages
    #[arg(value_name = "INPUT", required_unless_present = "golden")]
    inputs: Vec<PathBuf>,
    /// The guest in use: a component, or `built-in`
    #[arg(long, value_name = "GUEST", default_value = BUILT_IN_NAME)]
    base: PathBuf,
    /// The guest that may replace it: a component, or `built-in`; with --candidate-set or --golden `built-in` if left out
    #[arg(long, value_name = "GUEST")]
    candidate: Option<PathBuf>,
    /// Change one of the base's settings only, as --set changes both
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "golden")]
    base_set: Vec<String>,
    /// Change one of the candidate's settings only: the change is what is tried
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "golden")]
    candidate_set: Vec<String>,
    /// Hold the candidate's answers against the files of these golden cases, instead of against a base
    #[arg(long, value_name = "DIR", conflicts_with_all = ["inputs", "base"])]
    golden: Option<PathBuf>,
    /// Write what the candidate answers into the golden cases
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    mapping: MappingSettings,
    /// When the feed showed the pages, whatever they say themselves
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    observed: Option<Millis>,
    /// Try the candidate's documents in a temporary index of this configuration's Elasticsearch or OpenSearch
    #[arg(long, value_name = "FILE", conflicts_with = "golden")]
    cluster: Option<PathBuf>,
    /// Which findings fail the evaluation
    #[arg(long, value_name = "KINDS", default_value = "any", allow_hyphen_values = true, value_parser = FailOn::parse)]
    fail_on: FailOn,
    /// Findings that are intended, with reasons: a YAML list of `finding`, `about`, `reason` and perhaps `max`
    #[arg(long, value_name = "FILE")]
    waivers: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Fuel a call may use; mapping a record costs some 40,000
    #[arg(long, value_name = "UNITS", default_value_t = CallLimits::SANDBOXED.fuel.unwrap_or(u64::MAX))]
    fuel: u64,
    /// Memory a call may use
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size)]
    memory: u64,
    /// How long a call's answer may be
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    output: u64,
    /// How long a call may take; fuel ends most of them before
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    time: Duration,
    /// Memory that compiling a guest may take
    #[arg(long, value_name = "SIZE", default_value = "384MiB", value_parser = size)]
    compile_memory: u64,
    /// How long compiling a guest may take
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    compile_time: Duration,
    /// Pages mapped at a time; one for each core if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// How many per cent more fuel a record may cost
    #[arg(long, value_name = "PERCENT", default_value_t = 25)]
    max_growth: u32,
}

/// Which kinds of finding fail an evaluation.
#[derive(Debug, Clone)]
struct FailOn(Vec<Kind>);

impl FailOn {
    fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split(',').map(str::trim).filter(|word| !word.is_empty()).peekable();
        // What is only left out is left out of all.
        let mut kinds: Vec<Kind> = match words.peek() {
            None => return Err("expected any, faults, none, or kinds of findings".to_owned()),
            Some(word) if word.starts_with('-') => Kind::ALL.to_vec(),
            Some(_) => Vec::new(),
        };
        for word in words {
            let (leaves_out, word) = word.strip_prefix('-').map_or((false, word), |word| (true, word));
            let meant: Vec<Kind> = match word {
                "any" => Kind::ALL.to_vec(),
                "faults" => Kind::ALL.into_iter().filter(|kind| !kind.is_change()).collect(),
                "none" => Vec::new(),
                word => vec![Kind::of(word).ok_or_else(|| {
                    let known: Vec<_> = Kind::ALL.into_iter().map(Kind::word).collect();
                    format!("there is no `{word}`; expected any, faults, none, or some of {}", known.join(", "))
                })?],
            };
            if leaves_out {
                kinds.retain(|kind| !meant.contains(kind));
            } else {
                kinds.extend(meant);
            }
        }
        Ok(Self(kinds))
    }

    fn has(&self, kind: Kind) -> bool {
        self.0.contains(&kind)
    }
}

fn duration(value: &str) -> Result<Duration, String> {
    parse_duration(value).filter(|time| !time.is_zero()).ok_or_else(|| "expected a time such as 30s".to_owned())
}

impl Eval {
    pub(super) fn run(self) -> Result<()> {
        if self.update && self.golden.is_none() {
            return Err(Misuse("--update writes golden cases: name their folder with --golden DIR.".to_owned()).into());
        }
        if self.golden.is_some() && self.mapping.is_given() {
            let text = "A golden case has its own settings, in config.json; -c, --set and --allow-private do not go with --golden.";
            return Err(Misuse(text.to_owned()).into());
        }
        let waivers = self.waivers.as_deref().map(Waivers::read).transpose().map_err(|e| Misuse(format!("{e:#}")))?;
        let name = self.candidate()?;
        let candidate = component(name)?;
        let candidate = Candidate { name: &name.to_string_lossy(), component: &candidate };
        let limits = CallLimits {
            fuel: Some(self.fuel),
            memory_bytes: self.memory,
            output_bytes: usize::try_from(self.output).unwrap_or(usize::MAX),
            time: Some(self.time),
        };
        let compile = CompileLimits { memory_bytes: self.compile_memory, time: self.compile_time };
        let threads = match self.threads {
            Some(threads) => usize::from(threads),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let settings = Settings { limits, compile, threads, max_growth: self.max_growth };
        let fails = |kind| self.fail_on.has(kind);
        let mut cluster = None;
        let mut evaluation = match &self.golden {
            Some(folder) => {
                let cases = source::cases(folder, self.observed)?;
                golden::evaluate(&cases, candidate, settings, self.update, fails)?
            }
            None => self.compare(candidate, settings, &mut cluster)?,
        };
        if let Some(waivers) = &waivers {
            waivers.apply(&mut evaluation.findings, fails);
        }
        self.report(&evaluation)?;
        if evaluation.failing().next().is_some() { Err(Failed.into()) } else { Ok(()) }
    }

    /// The guest that is tried. Nobody means to hold the guest in use against itself, with the same settings.
    fn candidate(&self) -> Result<&Path> {
        match &self.candidate {
            Some(candidate) => Ok(candidate),
            None if self.golden.is_some() || !self.candidate_set.is_empty() || !self.base_set.is_empty() => {
                Ok(Path::new(BUILT_IN_NAME))
            }
            None => Err(Misuse(
                "What is to be tried? Name the changed guest, --candidate FILE (in a clone, `tipline guest build FILE` makes one of \
                 guest/), or a changed setting, as in --candidate-set min_confidence=high."
                    .to_owned(),
            )
            .into()),
        }
    }

    /// Leaves the cluster, once it is open, to be dropped at the end of the program.
    fn compare(
        &self,
        candidate: Candidate<'_>,
        settings: Settings,
        cluster: &mut Option<Cluster>,
    ) -> Result<Evaluation> {
        let base = component(&self.base)?;
        let base = Candidate { name: &self.base.to_string_lossy(), component: &base };
        for input in &self.inputs {
            fs::metadata(input).with_context(|| {
                format!(
                    "{} cannot be read; name a recording, records, golden cases, or a folder of these",
                    input.display()
                )
            })?;
        }
        let configured = self.mapping.changed(&self.mapping.settings("eval")?)?;
        let mut contest = Contest::new(base, candidate, settings)?;
        if let (Some(file), Some(describe)) = (&self.cluster, contest.describe()) {
            let opened = cluster.insert(Cluster::open(file, describe)?);
            if let Some(reason) = &opened.refusal {
                contest.refuse_mapping(reason);
            }
        }
        let asked = cluster.as_ref().filter(|cluster| cluster.refusal.is_none());
        let evaluation = self.evaluate(contest, &configured, asked.map(|cluster| cluster as &dyn Trial));
        if let Some(cluster) = cluster {
            cluster.close();
        }
        evaluation
    }

    fn evaluate(&self, contest: Contest, configured: &str, cluster: Option<&dyn Trial>) -> Result<Evaluation> {
        let case = |own: &str| {
            Ok(Configs {
                base: with_changes(own, "--base-set", &self.base_set)?.into(),
                candidate: with_changes(own, "--candidate-set", &self.candidate_set)?.into(),
            })
        };
        let config = |own: Option<&str>| match own {
            Some(own) if self.mapping.config.is_none() => case(&self.mapping.changed(own)?),
            _ => case(configured),
        };
        let defaults = Defaults { config: &config, case: &case, observed: self.observed };
        let progress = Progress::new("records", None);
        let advance = |count: u64| progress.advance(count);
        let feed =
            |intake: &mut dyn Intake| self.inputs.iter().try_for_each(|input| source::feed(input, defaults, intake));
        contest.evaluate(feed, &advance, cluster, |kind| self.fail_on.has(kind))
    }

    fn report(&self, evaluation: &Evaluation) -> Result<()> {
        let write = |file: &Path, text: String| {
            fs::write(file, text).with_context(|| {
                format!("The report {} cannot be written; check the folder's owner and the free space", file.display())
            })
        };
        if let Some(file) = &self.html {
            write(file, report::html(evaluation))?;
        }
        if let Some(file) = &self.junit {
            write(file, report::junit(evaluation))?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            let json = serde_json::to_string_pretty(&report::json(evaluation))?;
            json.lines().try_for_each(|line| writeln!(out, "{}", text::json(line)))?;
        } else {
            write!(out, "{}", report::text(evaluation, Style::stdout()))?;
        }
        Ok(())
    }
}

/// A component's bytes. What they are is found out when they are compiled.
fn component(path: &Path) -> Result<Vec<u8>> {
    if path == Path::new(BUILT_IN_NAME) {
        return Ok(BUILT_IN.to_vec());
    }
    let unreadable = || format!("The guest {} cannot be read; name a component, or `{BUILT_IN_NAME}`", path.display());
    file::read(path, MAX_COMPONENT_BYTES).with_context(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        let file = fs::File::create(&path).unwrap();
        for (length, is_read) in [(MAX_COMPONENT_BYTES, true), (MAX_COMPONENT_BYTES + 1, false)] {
            file.set_len(length).unwrap();
            assert_eq!(component(&path).is_ok(), is_read, "{length}");
        }
    }

    #[test]
    fn what_fails_is_said_in_words() {
        let has = |text: &str| FailOn::parse(text).unwrap().0;
        assert_eq!(has("any"), Kind::ALL);
        assert_eq!(has("none"), []);
        assert_eq!(has("trap,ecs"), [Kind::Trap, Kind::Ecs]);
        for text in ["any,-field-added", "-field-added"] {
            assert!(!has(text).contains(&Kind::FieldAdded) && has(text).contains(&Kind::Trap), "{text}");
        }
        assert!(FailOn::parse(" , ").is_err(), "an empty variable must not let everything pass");
        assert!(has("faults").contains(&Kind::Identity) && !has("faults").contains(&Kind::FieldChanged));
        assert!(FailOn::parse("nonsense").unwrap_err().contains("there is no `nonsense`; expected any, faults, none"));
    }
}
