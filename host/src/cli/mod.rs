//! The command line: one thin file for each subcommand.
//!
//! Exit codes: 0 the work is done, 1 it failed, 2 the command or the configuration is wrong. Results go to standard
//! output, everything else to standard error. A reader that closes the pipe early ends the program quietly. Whatever
//! came from outside passes [`crate::text`] before it is printed, but for JSON, which is for programs.

mod backfill;
mod check;
mod compile;
mod completions;
mod demo;
mod document;
mod dry_run;
mod eval;
mod export;
mod guest;
mod init;
mod lookup;
mod map;
mod mapping;
mod mock_feed;
mod open;
mod open_page;
mod outcome;
mod progress;
mod query;
mod record;
mod rejects;
mod replay;
mod run;
mod schema;
mod search;
mod serve;
mod settings;
mod setup;
mod signals;
mod state;
mod stats;
mod status;
mod sweep;
mod trend;
mod verify;
mod waiting;
mod when;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use outcome::{Failed, Misuse, runtime};

use crate::config::ConfigError;
use crate::text;

#[derive(Debug, Parser)]
#[command(
    name = "tipline",
    version,
    about = "Brings threat indicators into Elastic Security, current and retired when stale",
    long_about = "Brings threat indicators from SOC Defenders into Elastic Security: mapped to ECS, deduplicated, current, and \
                  retired when they are stale. Without Elasticsearch it keeps them in one SQLite file that can be searched.",
    after_long_help = "\
First steps:
  tipline demo                 # everything on this machine: a feed, the pipeline, a searchable store
  tipline init                 # asks, writes a configuration, and tests it
  tipline check -c tipline.yml # what works and what does not with your account and your Elasticsearch
  tipline setup -c tipline.yml # writes the index template, the index and its alias
  tipline run -c tipline.yml   # polls, stores, renews and retires, until it is stopped
  tipline serve -c tipline.yml # shows what is stored, in a browser

A configuration:
  inputs:
    - id: socdefenders
      url: https://socdefenders.ai
      api_key: ${SOCDEFENDERS_API_KEY}      # or api_key_file
      interval: 15m
      initial_interval: 24h                 # how far back the first poll looks
      exclude: [10.0.0.0/8, example.com, file:ours.txt]
  output:
    elasticsearch:
      hosts: [\"https://es.example:9200\"]
      api_key: ${ES_API_KEY}
  # without `output:` it is  sqlite: {path: tipline.db}

Exit codes: 0 done, 1 the work failed, 2 the command or the configuration is wrong."
)]
struct Cli {
    #[command(flatten)]
    settings: settings::Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Run(run::Run),
    Serve(serve::Serve),
    Open(open_page::Open),
    Status(status::Status),
    Check(check::Check),
    Setup(setup::Setup),
    Sweep(sweep::Sweep),
    Map(map::Map),
    Search(search::Search),
    Lookup(lookup::Lookup),
    Export(export::ExportCommand),
    Stats(stats::Stats),
    Show(search::Show),
    #[command(subcommand)]
    Rejects(rejects::Rejects),
    Backfill(backfill::Backfill),
    Verify(verify::Verify),
    #[command(subcommand)]
    State(state::State),
    Record(record::Record),
    Replay(replay::Replay),
    Eval(Box<eval::Eval>),
    MockFeed(Box<mock_feed::MockFeed>),
    #[command(subcommand)]
    Guest(guest::Guest),
    Schema(schema::Schema),
    #[command(name = crate::sandbox::COMPILE_SUBCOMMAND, hide = true)]
    Compile(compile::Compile),
    Completions(completions::Completions),
    Man(completions::Man),
}

impl Command {
    /// The name of a command that reads no configuration: `-c` is taken anywhere, and passed over nowhere.
    fn without_configuration(&self) -> Option<&'static str> {
        match self {
            Self::Demo(_) => Some("demo"),
            Self::Replay(_) => Some("replay"),
            Self::MockFeed(_) => Some("mock-feed"),
            Self::Guest(_) => Some("guest"),
            Self::Schema(_) => Some("schema"),
            Self::Completions(_) => Some("completions"),
            Self::Man(_) => Some("man"),
            _ => None,
        }
    }
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let (Some(file), Some(name)) = (&cli.settings.config, cli.command.without_configuration()) {
        let file = file.display();
        return report(&Misuse(format!("`tipline {name}` reads no configuration; leave out `-c {file}`.")).into());
    }
    let result = match cli.command {
        Command::Demo(command) => command.run(),
        Command::Init(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Open(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Setup(command) => command.run(),
        Command::Sweep(command) => command.run(),
        Command::Map(command) => command.run(),
        Command::Search(command) => command.run(),
        Command::Lookup(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Stats(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Rejects(command) => command.run(),
        Command::Backfill(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::State(command) => command.run(),
        Command::Record(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::MockFeed(command) => command.run(),
        Command::Guest(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Compile(command) => command.run(),
        Command::Completions(command) => command.run(Cli::command()),
        Command::Man(command) => command.run(Cli::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

fn report(error: &anyhow::Error) -> ExitCode {
    // `tipline map … | head` has what it wanted.
    let closed = |e: &(dyn std::error::Error + 'static)| {
        e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(closed) {
        return ExitCode::SUCCESS;
    }
    if !error.is::<Failed>() {
        // A message that cannot be written has no one to read it.
        let _ = writeln!(io::stderr(), "tipline: {}", text::escape_lines(&format!("{error:#}")));
    }
    let misused = error.chain().any(|e| e.is::<Misuse>() || e.is::<ConfigError>());
    ExitCode::from(if misused { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches() {
        fn check(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                let name = format!("{path} {}", sub.get_name());
                assert!(sub.get_about().is_some(), "{name} says nothing of itself");
                let teaches = sub.get_after_long_help().is_some_and(|h| h.to_string().contains("tipline "));
                assert!(teaches || sub.has_subcommands(), "{name} shows no example");
                check(sub, &name);
            }
        }
        check(&Cli::command(), "tipline");
    }

    #[test]
    fn what_all_commands_take_stands_anywhere() {
        use tracing::Level;
        for (line, level) in [
            ("run", Level::INFO),
            ("-v run", Level::DEBUG),
            ("run -v -c a.yml", Level::DEBUG),
            ("run -vv", Level::TRACE),
            ("-q run", Level::WARN),
            ("run --quiet --quiet", Level::ERROR),
        ] {
            let cli = Cli::try_parse_from(["tipline"].into_iter().chain(line.split(' '))).unwrap();
            let Command::Run(_) = cli.command else { panic!("{line}") };
            assert_eq!(cli.settings.level(Level::INFO), level, "{line}");
            assert_eq!(cli.settings.config.is_some(), line.contains("-c"), "{line}");
        }
        assert!(Cli::try_parse_from(["tipline", "run", "-v", "-q"]).is_err());
        assert!(Cli::try_parse_from(["tipline", "rejects", "-c", "a.yml", "list"]).is_ok());
    }

    #[test]
    fn exit_codes_tell_misuse_from_failure() {
        let code = |error: anyhow::Error| format!("{:?}", report(&error));
        let expected = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(code(anyhow::anyhow!("the feed is gone")), expected(1));
        assert_eq!(code(Failed.into()), expected(1));
        assert_eq!(code(Misuse("no".to_owned()).into()), expected(2));
        assert_eq!(code(anyhow::Error::from(Misuse("no".to_owned())).context("more")), expected(2));
        assert_eq!(code(io::Error::from(io::ErrorKind::BrokenPipe).into()), expected(0));
        assert_eq!(code(io::Error::from(io::ErrorKind::NotFound).into()), expected(1));
    }
}
