//! What a first configuration says, and its text.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::write::NewFile;

/// Where the schema lies, beside the configuration that names it.
pub(super) const SCHEMA_FILE: &str = "tipline.schema.json";

/// The variable of Elasticsearch's key, as in the README.
pub(super) const ES_KEY_VARIABLE: &str = "ES_API_KEY";

/// The vendor's user name over TAXII, whose password is the key.
const VENDOR_USER: &str = "apikey";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Transport {
    #[default]
    Rest,
    Taxii,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// In a variable of this name.
    Variable(String),
    /// In a file.
    File(PathBuf),
    /// Typed just now: it goes into a file of its own.
    Typed(String),
    /// The server wants none.
    None,
}

/// Everything that a first configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) transport: Transport,
    pub(super) url: Option<String>,
    pub(super) feed_name: Option<String>,
    pub(super) collections: Vec<String>,
    pub(super) username: Option<String>,
    pub(super) key: Key,
    pub(super) output: Output,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    Sqlite,
    Elasticsearch { hosts: Vec<String>, cloud_id: Option<String>, key: Key },
}

impl Answers {
    /// The variables that have to be set.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let output = match &self.output {
            Output::Elasticsearch { key, .. } => Some(key),
            Output::Sqlite => None,
        };
        [Some(&self.key), output].into_iter().flatten().filter_map(|key| match key {
            Key::Variable(name) => Some(name.as_str()),
            Key::File(_) | Key::Typed(_) | Key::None => None,
        })
    }

    /// The configuration's text; a key that was typed becomes a further file.
    pub(super) fn configuration(&self, file: &Path, files: &mut Vec<NewFile>) -> String {
        let mut out = format!(
            "# yaml-language-server: $schema={SCHEMA_FILE}\n\
             # `tipline check` tests this file; `tipline schema --markdown` shows all settings.\n\
             inputs:\n  - id: {id}\n    type: socdefenders\n",
            id = if self.url.is_none() { "socdefenders" } else { "feed" },
        );
        let mut line = |text: &str, comment: &str| {
            let gap =
                if comment.is_empty() { String::new() } else { " ".repeat(42_usize.saturating_sub(text.len()).max(2)) };
            out.push_str(&format!("{text}{gap}{comment}\n"));
        };
        let is_taxii = self.transport == Transport::Taxii;
        if is_taxii {
            line("    transport: taxii", "");
        }
        if let Some(url) = &self.url {
            line(&format!("    url: {}", quoted(url)), "");
        }
        if let Some(name) = &self.feed_name {
            line(
                &format!("    feed: {{name: {}}}", quoted(name)),
                "# part of every document's identity: choose it once",
            );
        }
        match self.collections.as_slice() {
            [] if is_taxii && self.url.is_none() => {
                line("    collection: all", "# id, alias or title; a list, or \"*\"")
            }
            [] => {}
            names => {
                let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
                line(&format!("    collection: [{}]", names.join(", ")), "# id, alias or title, or \"*\"");
            }
        }
        let user = self.username.as_deref().or((is_taxii && self.url.is_none()).then_some(VENDOR_USER));
        let of_key = if user.is_some() { "password" } else { "api_key" };
        if let Some(user) = user {
            line(&format!("    username: {}", quoted(user)), "");
        }
        line(&format!("    {}", self.key.setting(of_key, &file.with_file_name("feed.key"), files)), "");
        line("    interval: 15m", "# between two polls");
        line("    # initial_interval: 24h", "# how far back the first poll looks; or all");
        line("    # types: [ipv4, domain, sha256]", "# all when left out");
        line("    # exclude: [10.0.0.0/8, example.com]", "# never index these; file:ours.txt reads a list");
        line("    # min_confidence: low", "# none, low, medium or high");
        line("output:", "");
        match &self.output {
            Output::Sqlite => line("  sqlite: {path: tipline.db}", "# or elasticsearch, or ndjson"),
            Output::Elasticsearch { hosts, cloud_id, key } => {
                line("  elasticsearch:", "");
                match cloud_id {
                    Some(id) => line(&format!("    cloud_id: {}", quoted(id)), ""),
                    None => {
                        let hosts: Vec<_> = hosts.iter().map(|host| quoted(host)).collect();
                        line(&format!("    hosts: [{}]", hosts.join(", ")), "");
                    }
                }
                line(&format!("    {}", key.setting("api_key", &file.with_file_name("elasticsearch.key"), files)), "");
                line("    # ca_file: ca.pem", "# certificates to trust beside the system's");
                line("    # mode: events", "# an append-only data stream, for history");
            }
        }
        line("# http: {listen: \"127.0.0.1:9464\", page: true}", "# /metrics, /healthz, /readyz and the page");
        out
    }
}

impl Key {
    /// The line that names it.
    fn setting(&self, key: &str, file: &Path, files: &mut Vec<NewFile>) -> String {
        match self {
            Self::Variable(name) => format!("{key}: ${{{name}}}"),
            Self::File(path) => format!("{key}_file: {}", quoted(&path.display().to_string())),
            Self::Typed(secret) => {
                files.push(NewFile::secret(file.to_owned(), format!("{secret}\n")));
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                format!("{key}_file: {}", quoted(&name))
            }
            Self::None => format!("# {key}_file: {}", file.file_name().unwrap_or_default().to_string_lossy()),
        }
    }
}

/// As YAML reads it back: JSON's form is YAML's too, and a variable's sign is doubled.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace("${", "$${")).to_string()
}
