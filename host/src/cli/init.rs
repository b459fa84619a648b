//! `tipline init`: a first configuration, asked for on a terminal or made of flags, and tested at once.
//!
//! Nothing is written before everything is known and the program has read what it would write. Then each file is written
//! beside its place and put there whole, and a signal waits for that. A key never stands in the configuration: it is named by
//! a variable, or put into a file of its own that only its owner reads.

mod answers;
mod ask;
mod write;

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::settings::{Settings, check_guest_settings};
use super::{Misuse, check, runtime, schema};
use crate::config::{API_KEY_VARIABLE, Config, DEFAULT_FILE};
use crate::sandbox::Guest;
use crate::text;
use answers::{Answers, ES_KEY_VARIABLE, Key, Output, SCHEMA_FILE, Transport};
use ask::Terminal;
use write::{Guarded, NewFile};

/// Write a first configuration and test it
#[derive(Debug, Args)]
#[command(after_long_help = "\
On a terminal and without flags it asks. It writes tipline.yml (or the FILE of -c), tipline.schema.json beside it, from which \
editors complete it, and a file for each key that is typed, which only its owner reads. It replaces no file unless --force is \
given, and then does what `tipline check` does. Ctrl-C before the end leaves nothing.

Examples:
  tipline init
  tipline init --api-key-file /etc/tipline/feed.key --elasticsearch https://es.example:9200 --es-api-key-file /etc/tipline/es.key
  tipline init --api-key-file feed.key --elasticsearch http://localhost:9200 --es-no-api-key
  tipline init --transport taxii --url https://taxii.example/api/ --feed-name Example --collection '*' --username reader")]
pub(super) struct Init {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    given: Given,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// Write it and don't test it
    #[arg(long)]
    no_check: bool,
}

/// What would be asked.
#[derive(Debug, Default, Args)]
struct Given {
    /// How the feed is spoken to; rest if left out
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// The feed's address; SOC Defenders' if left out
    #[arg(long)]
    url: Option<String>,
    /// What the feed is called in documents; required for other feeds than SOC Defenders
    #[arg(long, value_name = "NAME")]
    feed_name: Option<String>,
    /// TAXII: a collection by id, alias or title, or '*'; may be repeated
    #[arg(long, value_name = "COLLECTION")]
    collection: Vec<String>,
    /// The user to log in as, if the key is a password
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// A file that holds the feed's key
    #[arg(long, value_name = "FILE", conflicts_with = "api_key_env")]
    api_key_file: Option<PathBuf>,
    /// The variable that holds the feed's key; SOCDEFENDERS_API_KEY if left out
    #[arg(long, value_name = "NAME")]
    api_key_env: Option<String>,
    /// The feed wants no key
    #[arg(long, conflicts_with_all = ["api_key_file", "api_key_env", "username"])]
    no_api_key: bool,
    /// An address of Elasticsearch or OpenSearch; may be repeated. Without it documents go to SQLite.
    #[arg(long, value_name = "URL")]
    elasticsearch: Vec<String>,
    /// An Elastic Cloud deployment in the place of addresses
    #[arg(long, value_name = "ID", conflicts_with = "elasticsearch")]
    cloud_id: Option<String>,
    /// A file that holds Elasticsearch's API key
    #[arg(long, value_name = "FILE", conflicts_with = "es_api_key_env")]
    es_api_key_file: Option<PathBuf>,
    /// The variable that holds Elasticsearch's API key; ES_API_KEY if left out
    #[arg(long, value_name = "NAME")]
    es_api_key_env: Option<String>,
    /// Elasticsearch wants no key, as where its security is switched off
    #[arg(long, requires = "elasticsearch", conflicts_with_all = ["es_api_key_file", "es_api_key_env"])]
    es_no_api_key: bool,
}

impl Init {
    pub(super) fn run(self) -> Result<()> {
        let file = self.settings.config.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let schema = file.with_file_name(SCHEMA_FILE);
        if !self.force && file.exists() {
            return Err(write::exists(&file));
        }
        self.given.check_addresses()?;
        let runtime = runtime()?;
        let guarded = Guarded::against_signals(&runtime)?;
        let asks = self.given.is_empty() && io::stdin().is_terminal() && io::stderr().is_terminal();
        let answers = if asks { ask::answers(&mut Terminal::new(&guarded))? } else { self.given.answers(&file) };
        let mut files = vec![NewFile::public(schema, schema::text(&schema::guest_settings()?)?)];
        let text = answers.configuration(&file, &mut files);
        // What is written is what the program reads; what a variable will hold is not known.
        let config = Config::parse(&text, &file, &|_| Some("unknown".to_owned()))
            .map_err(|error| Misuse(format!("Nothing was written, as it would not be read: {error}")))?;
        let guest = Guest::built_in_one_pass()?;
        for input in &config.inputs {
            check_guest_settings(&guest, input)
                .map_err(|error| Misuse(format!("Nothing was written, as it would not be used: {error}")))?;
        }
        files.push(NewFile::public(file.clone(), text));
        guarded.write(&files, self.force)?;
        let mut out = io::stdout().lock();
        for file in &files {
            writeln!(out, "wrote {}", file.path.display())?;
        }
        let unset: Vec<_> = answers.variables().filter(|name| std::env::var_os(name).is_none()).collect();
        let option = if file == Path::new(DEFAULT_FILE) { String::new() } else { format!(" -c {}", file.display()) };
        if !unset.is_empty() {
            let names = unset.join(" and ");
            writeln!(out, "not tested: set {names} in the environment, then run  tipline check{option}")?;
            return Ok(());
        }
        let mut is_all_well = false;
        if !self.no_check {
            drop(out);
            is_all_well = check::Check::of(file).told()?;
            out = io::stdout().lock();
        }
        // Where nothing is found wanting, the template and the index are there already.
        let setup = matches!(answers.output, Output::Elasticsearch { .. }) && !is_all_well;
        let setup = if setup { format!("tipline setup{option}, then  ") } else { String::new() };
        writeln!(out, "next:  {setup}tipline run{option}")?;
        Ok(())
    }
}

impl Given {
    /// What is wrong with an address is wrong with an option, and in no line of a file.
    fn check_addresses(&self) -> Result<()> {
        let given = self.url.iter().map(|url| ("--url", url));
        for (option, text) in given.chain(self.elasticsearch.iter().map(|host| ("--elasticsearch", host))) {
            if ask::is_address(text) {
                continue;
            }
            // One with an at sign may hold a password.
            let found = if text.contains('@') { String::new() } else { format!(" found `{}`,", text::escape(text)) };
            return Err(Misuse(format!(
                "{option}:{found} expected an address such as https://host.example. Nothing was written."
            ))
            .into());
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let Self { transport, url, feed_name, collection, username, api_key_file, api_key_env, .. } = self;
        let feed = transport.is_none() && url.is_none() && feed_name.is_none() && collection.is_empty();
        let key = username.is_none() && api_key_file.is_none() && api_key_env.is_none() && !self.no_api_key;
        let es_key = self.es_api_key_file.is_none() && self.es_api_key_env.is_none() && !self.es_no_api_key;
        feed && key && self.elasticsearch.is_empty() && self.cloud_id.is_none() && es_key
    }

    fn answers(self, configuration: &Path) -> Answers {
        let key = |none: bool, file: Option<PathBuf>, variable: Option<String>, usual: &str| match (file, variable) {
            _ if none => Key::None,
            (Some(file), _) => Key::File(seen_from(configuration, file)),
            (None, variable) => Key::Variable(variable.unwrap_or_else(|| usual.to_owned())),
        };
        let output = if self.elasticsearch.is_empty() && self.cloud_id.is_none() {
            Output::Sqlite
        } else {
            let key = key(self.es_no_api_key, self.es_api_key_file, self.es_api_key_env, ES_KEY_VARIABLE);
            Output::Elasticsearch { hosts: self.elasticsearch, cloud_id: self.cloud_id, key }
        };
        Answers {
            transport: self.transport.unwrap_or_default(),
            key: key(self.no_api_key, self.api_key_file, self.api_key_env, API_KEY_VARIABLE),
            url: self.url,
            feed_name: self.feed_name,
            collections: self.collection,
            username: self.username,
            output,
        }
    }
}

/// A path given from here, as a configuration in another folder has to name it.
fn seen_from(configuration: &Path, path: PathBuf) -> PathBuf {
    let is_here = configuration.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    if is_here { path } else { std::path::absolute(&path).unwrap_or(path) }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::ask::Person;
    use super::*;

    /// A person who answers from a list.
    struct Script(VecDeque<&'static str>);

    impl Person for Script {
        fn ask(&mut self, question: &str) -> Result<String> {
            self.0.pop_front().map(str::to_owned).ok_or_else(|| anyhow::anyhow!("no answer to {question}"))
        }

        fn ask_hidden(&mut self, question: &str) -> Result<String> {
            self.ask(question)
        }

        fn tell(&mut self, _text: &str) -> Result<()> {
            Ok(())
        }
    }

    fn asked(answers: &[&'static str]) -> Answers {
        let mut person = Script(answers.iter().copied().collect());
        let answers = ask::answers(&mut person).unwrap();
        assert!(person.0.is_empty(), "not asked for: {:?}", person.0);
        answers
    }

    fn read(answers: &Answers) -> (Config, String, Vec<NewFile>) {
        let mut files = Vec::new();
        let text = answers.configuration(Path::new("etc/tipline.yml"), &mut files);
        let config = Config::parse(&text, Path::new("etc/tipline.yml"), &|_| Some("k".to_owned()));
        (config.unwrap_or_else(|e| panic!("{text}\n{e}")), text, files)
    }

    #[test]
    fn what_is_answered_is_what_is_read() {
        for (given, parts) in [
            (&["", "", ""][..], &["api_key: ${SOCDEFENDERS_API_KEY}", "sqlite: {path: tipline.db}"][..]),
            (&["1", "sk_live_canary", "1"], &["api_key_file: \"feed.key\""]),
            (
                &["2", "sk_live_canary", ""],
                &["transport: taxii", "username: \"apikey\"", "password_file: \"feed.key\""],
            ),
            (
                &[
                    "3",
                    "https://t.example/api/",
                    "A: \"name\" ${X}",
                    "",
                    "*, b",
                    "",
                    "",
                    "2",
                    "http://localhost:9200",
                    "es_canary",
                ],
                &[
                    "url: \"https://t.example/api/\"",
                    "collection: [\"*\", \"b\"]",
                    "api_key_file: \"elasticsearch.key\"",
                ],
            ),
            (
                &["1", "sk_live_canary", "2", "http://localhost:9200", "none"],
                &["    # api_key_file: elasticsearch.key"],
            ),
            // What can't be meant is asked again.
            (
                &["9", "3", "", "no address", "https://t.example/", "", "F", "", "*", "u", "", "pw_canary", ""],
                &["username: \"u\"", "password_file"],
            ),
        ] {
            let (config, text, files) = read(&asked(given));
            assert_eq!(config.inputs.len(), 1);
            for part in parts {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert!(!text.contains("canary"), "{text}");
            assert!(files.iter().all(|file| file.is_secret), "{files:?}");
            assert_eq!(files.len(), given.iter().filter(|answer| answer.contains("canary")).count());
        }
    }

    #[test]
    fn an_option_that_is_no_address_is_named_as_one() {
        let elasticsearch = |host: &str| Given { elasticsearch: vec![host.to_owned()], ..Given::default() };
        for (given, expected) in [
            (elasticsearch("https://es.example:9200"), None),
            (elasticsearch("nonsense"), Some("--elasticsearch: found `nonsense`, expected an address such as")),
            (elasticsearch("u:canary@es"), Some("--elasticsearch: expected an address such as")),
            (Given { url: Some("ftp://a.example".to_owned()), ..Given::default() }, Some("--url: found")),
        ] {
            let refused = given.check_addresses().err().map(|error| error.to_string());
            assert_eq!(refused.is_some(), expected.is_some(), "{refused:?}");
            let refused = refused.unwrap_or_default();
            assert!(refused.contains(expected.unwrap_or_default()) && !refused.contains("canary"), "{refused}");
        }
    }

    #[test]
    fn a_question_is_put_so_often_and_no_more() {
        for (wrong, fits) in [(ask::MAX_TRIES - 1, true), (ask::MAX_TRIES, false)] {
            let answers = std::iter::repeat_n("7", wrong).chain(["1", "", ""]);
            assert_eq!(ask::answers(&mut Script(answers.collect())).is_ok(), fits, "{wrong}");
        }
    }

    #[test]
    fn flags_say_the_same() {
        let given = Given {
            elasticsearch: vec!["https://es.example:9200".to_owned()],
            es_api_key_file: Some("/run/es.key".into()),
            api_key_file: Some("feed.key".into()),
            ..Given::default()
        };
        assert!(!given.is_empty() && Given::default().is_empty());
        let (config, text, files) = read(&given.answers(Path::new("tipline.yml")));
        assert!(matches!(config.output, crate::config::Output::Elasticsearch(_)));
        assert!(
            text.contains("api_key_file: \"feed.key\"") && text.contains("api_key_file: \"/run/es.key\""),
            "{text}"
        );
        assert!(files.is_empty());
        let open = Given {
            elasticsearch: vec!["http://localhost:9200".to_owned()],
            es_no_api_key: true,
            no_api_key: true,
            ..Given::default()
        };
        assert!(!open.is_empty());
        let answers = open.answers(Path::new("tipline.yml"));
        assert_eq!(answers.variables().count(), 0, "nothing keeps it from being tested");
        let (config, text, files) = read(&answers);
        let crate::config::Output::Elasticsearch(settings) = config.output else { panic!("{text}") };
        assert!(settings.credential.is_none() && config.inputs[0].credential.is_none() && files.is_empty(), "{text}");
        assert!(
            text.contains("# api_key_file: elasticsearch.key") && text.contains("# api_key_file: feed.key"),
            "{text}"
        );
        let elsewhere = Given { api_key_file: Some("feed.key".into()), ..Given::default() };
        let Key::File(path) = elsewhere.answers(Path::new("etc/tipline.yml")).key else { panic!() };
        assert!(path.is_absolute(), "{}", path.display());
    }
}
