//! The configuration: one YAML file, parsed once into types that cannot be wrong.
//!
//! [`Config::load`] reads the file, puts environment variables into its texts (`interpolate`), and turns the tree into
//! these types (`file`). Every complaint names the place in the file, the key with its parents, what was found and what
//! is expected; a value of a secret's key is never shown. Unknown keys are refused with the nearest known one. Relative
//! paths start at the configuration's folder. What belongs to the feed's logic goes to the guest as JSON (`guest`),
//! without the host's own keys and without any secret, and the guest refuses keys it does not know. A guest of the
//! user's own (`guest_file`) is read here, too, and held to the sum that the configuration pins.

mod asked;
mod cloud;
mod connection;
mod described;
mod file;
mod guest;
mod guest_file;
mod interpolate;
mod limits;
pub mod schema;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use url::Url;

use guest_file::Guests;

use tipline_model::secret::{Credential, OwnHeader, Secret, SecretSource};

pub use connection::{ClientCertificate, ProxyLogin, ProxySettings};
pub use file::{socdefenders, socdefenders_taxii};
pub use guest::{MAX_EXCLUDE_FILE_BYTES, MAX_EXCLUDES};
pub use guest_file::{GuestFile, MAX_GUEST_BYTES};
pub use limits::{Limits, MAX_MEMORY_BYTES, MAX_RAW_BYTES, MAX_REJECTS_BYTES};

/// Where the configuration is looked for.
pub const DEFAULT_FILE: &str = "tipline.yml";

/// The longest configuration: a hundred inputs with their comments are a tenth of it.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The most inputs: each may hold two pages in memory, and up to sixteen short ones.
pub const MAX_INPUTS: usize = 100;

/// The shortest interval: with two requests a poll it stays within ten a minute, the smallest plan's limit.
pub const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// Requests in a row that bring no page, after which a poll ends. Retries and halved windows need a few dozen; only a
/// feed or a guest that gets nowhere needs so many. `max_fruitless` raises it for those who try a feed again for days.
pub const MAX_FRUITLESS: u32 = 1_000;

/// Pages after which a poll ends: ten million records at a thousand a page, where only a feed that pages in a circle gets.
pub const MAX_PAGES: u32 = 10_000;

/// The longest wait that `--once` sits out: the smallest plan's limits are by the minute, and whoever runs it by a timer
/// comes back.
pub const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// Until a feed's connection stands: some round trips around the world, each repeated.
pub const FEED_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two reads of a feed's answer: longer than a server computes before its first byte.
pub const FEED_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// For a whole request to a feed: the longest page over a line of 5 Mbit/s.
pub const FEED_TIMEOUT: Duration = Duration::from_secs(120);

/// For a whole request to Elasticsearch, which itself gives up on a bulk request after a minute.
pub const ELASTICSEARCH_TIMEOUT: Duration = Duration::from_secs(90);

/// The longest wait between two tries at Elasticsearch: a node that restarts is back within one or two.
pub const MAX_RETRY_WAIT: Duration = Duration::from_secs(60);

/// How long nothing may move on a page: a rolling restart of a node; then the next poll brings the page again.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(5 * 60);

/// The longest body, counted after decompression: ten thousand records of 2 KiB fit three times.
pub const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// Until a connection stands, if `connect_timeout` says nothing else. A cluster that needs longer is not reachable in any useful sense.
pub const ELASTICSEARCH_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A bulk request's bytes before compression. Elasticsearch advises against tens of megabytes; this is half of the
/// smallest limit known (10 MB on small hosted clusters) and 3,000 documents of ours.
pub const BULK_MAX_BYTES: usize = 5 * 1024 * 1024;

/// Bulk requests in flight: Elasticsearch takes nearly twice as much on four connections as on one.
pub const BULK_WORKERS: usize = 4;

/// The variable that makes an input where there is no configuration at all.
pub const API_KEY_VARIABLE: &str = "SOCDEFENDERS_API_KEY";

/// Where metrics, health and the page are served if `http:` names no address.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An ECS document a line.
    Json,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is missing, unreadable or too long.
    #[error("The configuration {} cannot be read: {reason}. {advice}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {message}", .file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
        /// The key, what was found, what is expected.
        message: String,
    },
}

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The feeds.
    pub inputs: Vec<Input>,
    /// Where documents go.
    pub output: Output,
    /// Where checkpoints (with an output that is not SQLite) and the compile cache lie.
    pub state_dir: PathBuf,
    /// Renewal, retirement and deletion.
    pub sweep: SweepSettings,
    /// How much is kept of what was refused, and of what guests ask to be remembered.
    pub limits: Limits,
    /// What `run` serves over HTTP; nothing if left out.
    pub http: Option<HttpService>,
    /// How the log is written.
    pub log: LogSettings,
}

/// What is served over HTTP, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpService {
    /// The address and port.
    pub listen: SocketAddr,
    /// Whether `run` serves the Indicators page there too.
    pub page: bool,
}

impl Default for HttpService {
    fn default() -> Self {
        Self { listen: DEFAULT_LISTEN, page: false }
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// For people or for programs.
    pub format: LogFormat,
    /// This level and above.
    pub level: tracing::Level,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: tracing::Level::INFO }
    }
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_with(file, Guests::Run)
    }

    /// As [`Self::load`], for whoever runs another guest with an input's settings: those that the file names are not read, nor
    /// is their sum looked at.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load_settings(file: &Path) -> Result<Self, ConfigError> {
        Self::load_with(file, Guests::Replaced)
    }

    fn load_with(file: &Path, guests: Guests) -> Result<Self, ConfigError> {
        let unreadable = |reason: String, advice| ConfigError::Unreadable { file: file.to_owned(), reason, advice };
        let source = tipline_model::file::open(file).map_err(|e| {
            unreadable(e.to_string(), "Name an existing file with -c FILE; `tipline run --help` shows one.")
        })?;
        let mut text = String::new();
        // One byte more than allowed tells a file that is too long from one that just fits.
        source
            .take(MAX_FILE_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(|e| unreadable(e.to_string(), "It must be UTF-8 text in YAML."))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            let reason = format!("it is longer than {}", tipline_model::text::bytes(MAX_FILE_BYTES));
            return Err(unreadable(reason, "Move long exclusion lists into files (`exclude: [file:list.txt]`)."));
        }
        Self::parse_with(&text, file, &|name| std::env::var(name).ok(), guests)
    }

    /// Checks a configuration's text; `file` gives its name to messages and its folder to relative paths.
    pub fn parse(text: &str, file: &Path, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::parse_with(text, file, variables, Guests::Run)
    }

    fn parse_with(
        text: &str,
        file: &Path,
        variables: &dyn Fn(&str) -> Option<String>,
        guests: Guests,
    ) -> Result<Self, ConfigError> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let read = |root| file::read(&root, folder, variables, guests);
        let mut config = tree::parse(text, variables).and_then(read).map_err(|fault| fault.with_file(file))?;
        for place in config.inputs.iter_mut().filter_map(|input| input.place.as_mut()) {
            file.clone_into(&mut place.file);
        }
        Ok(config)
    }

    /// What holds without a file: SQLite in `folder`, and SOC Defenders' own address with `api_key` where there is one.
    pub fn without_file(folder: &Path, api_key: Option<Secret>) -> Self {
        Self::without_file_in(folder, api_key, &|name| std::env::var(name).ok())
    }

    fn without_file_in(folder: &Path, api_key: Option<Secret>, variables: &dyn Fn(&str) -> Option<String>) -> Self {
        let input = api_key.map(|key| {
            let mut input = Input::new("socdefenders", file::socdefenders());
            input.credential = Some(Credential::Bearer(SecretSource::Inline(key)));
            // One that cannot be used stays as one without a host, which the connection refuses by the variable's name: the
            // key must not go past a proxy.
            input.http.proxy = connection::from_environment(std::slice::from_ref(&input.url), variables)
                .unwrap_or_else(|(variable, _)| {
                    Some(ProxySettings { named_by: variable, ..ProxySettings::new(nowhere()) })
                });
            input
        });
        Self {
            inputs: input.into_iter().collect(),
            output: Output::Sqlite { path: folder.join(file::DATABASE) },
            state_dir: folder.join(file::STATE_DIR),
            sweep: SweepSettings::default(),
            limits: Limits::default(),
            http: None,
            log: LogSettings::default(),
        }
    }
}

/// What stands for the address of a proxy where it cannot be read: nothing is reached through it.
fn nowhere() -> Url {
    #[expect(clippy::expect_used, reason = "a constant")]
    Url::parse("unreadable:").expect("a valid address")
}

/// A place in a configuration, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: u64,
    /// Counted from 1.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A configured feed.
#[derive(Debug, Clone)]
pub struct Input {
    /// Unique; the key of its state.
    pub id: String,
    /// Where it stands in the configuration; nowhere, if it is of none.
    pub place: Option<Place>,
    /// The base URL.
    pub url: Url,
    /// What no request leaves.
    pub reach: Reach,
    /// How requests are authenticated.
    pub credential: Option<Credential>,
    /// What else goes with every request.
    pub headers: Vec<OwnHeader>,
    /// Whose logic it runs: a guest of the user's own; none for the built-in one.
    pub guest_file: Option<GuestFile>,
    /// What the guest gets: the input's settings as JSON without the host's own keys and secrets.
    pub guest_config: String,
    /// Between the starts of two polls.
    pub interval: Duration,
    /// A poll starts up to this much later, at random, so that many hosts do not come at once.
    pub jitter: Duration,
    /// Pages after which a poll ends and keeps its state.
    pub max_pages: u32,
    /// Requests in a row without a page after which a poll ends.
    pub max_fruitless: u32,
    /// With `--once`, a longer wait ends the run.
    pub max_wait: Duration,
    /// The connection.
    pub http: HttpSettings,
}

/// How much of a feed's server a guest may ask for, with the input's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// `url` and what lies below it.
    Path,
    /// All of its origin: the roots that a TAXII server names may lie beside its discovery.
    Origin,
}

impl Input {
    /// An input with every setting at its default and no credential.
    pub fn new(id: impl Into<String>, url: Url) -> Self {
        let guest_config = serde_json::json!({ "type": "socdefenders", "url": url.as_str() }).to_string();
        Self {
            id: id.into(),
            place: None,
            url,
            reach: Reach::Path,
            credential: None,
            headers: Vec::new(),
            guest_file: None,
            guest_config,
            interval: Duration::from_secs(15 * 60),
            jitter: Duration::from_secs(30),
            max_pages: MAX_PAGES,
            max_fruitless: MAX_FRUITLESS,
            max_wait: MAX_WAIT,
            http: HttpSettings::default(),
        }
    }
}

/// How a connection is made and what it may cost.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Until the connection stands.
    pub connect_timeout: Duration,
    /// Between two reads of a body.
    pub read_timeout: Duration,
    /// For a whole request.
    pub timeout: Duration,
    /// The longest body, counted after decompression.
    pub max_body_bytes: u64,
    /// A proxy on the way.
    pub proxy: Option<ProxySettings>,
    /// Whom to trust.
    pub tls: TlsSettings,
    /// Allows a key over plain http to other hosts than loopback.
    pub allow_insecure: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: FEED_CONNECT_TIMEOUT,
            read_timeout: FEED_READ_TIMEOUT,
            timeout: FEED_TIMEOUT,
            max_body_bytes: MAX_BODY_BYTES,
            proxy: None,
            tls: TlsSettings::default(),
            allow_insecure: false,
        }
    }
}

/// Whom to trust on TLS connections, and who the program says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// A PEM file of additional roots.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of a CA certificate in hex: a chain that holds it is trusted.
    pub ca_fingerprint: Option<String>,
    /// The program's own certificate.
    pub client: Option<ClientCertificate>,
}

/// Where documents go.
#[derive(Debug, Clone)]
pub enum Output {
    /// One file, searchable.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// Elasticsearch or OpenSearch.
    Elasticsearch(Box<ElasticsearchSettings>),
    /// A pipe.
    Ndjson {
        /// A file to append to; standard output if none.
        path: Option<PathBuf>,
    },
}

impl Output {
    /// Whether what is stored can be looked for and changed: renewed, retired, deleted. Of a history and of lines nothing is.
    pub fn can_change(&self) -> bool {
        match self {
            Self::Sqlite { .. } => true,
            Self::Elasticsearch(settings) => match settings.mode {
                Mode::Latest => true,
                Mode::Events => false,
            },
            Self::Ndjson { .. } => false,
        }
    }
}

/// Latest state by identity, or history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// One document for each identity, always current.
    #[default]
    Latest,
    /// An append-only data stream.
    Events,
}

/// What is done about the index's template when a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Setup {
    /// Refuse to start on an index without it, and say to run `setup`.
    #[default]
    Check,
    /// Do what `setup` does.
    Auto,
}

/// The Elasticsearch output.
#[derive(Debug, Clone)]
pub struct ElasticsearchSettings {
    /// Base URLs, tried in order.
    pub hosts: Vec<Url>,
    /// How requests are authenticated.
    pub credential: Option<Credential>,
    /// What else goes with every request.
    pub headers: Vec<OwnHeader>,
    /// A proxy on the way.
    pub proxy: Option<ProxySettings>,
    /// The index (latest) or data stream (events).
    pub index: String,
    /// The namespace, last part of the names made.
    pub namespace: String,
    /// Latest or events.
    pub mode: Mode,
    /// Template handling.
    pub setup: Setup,
    /// Primary shards of an index that is made; the cluster's own number where it is left out.
    pub shards: Option<u32>,
    /// Replicas of the index.
    pub replicas: Option<u32>,
    /// Flush a bulk request at this many bytes before compression.
    pub bulk_max_bytes: usize,
    /// Bulk requests in flight.
    pub workers: usize,
    /// gzip level, 0 for none.
    pub compression_level: u32,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// For one request.
    pub timeout: Duration,
    /// An ingest pipeline to name in each bulk request.
    pub pipeline: Option<String>,
    /// How failed requests and items are sent again.
    pub retry: RetrySettings,
    /// Whom to trust.
    pub tls: TlsSettings,
    /// Allows a key over plain http to other hosts than loopback.
    pub allow_insecure: bool,
}

impl ElasticsearchSettings {
    /// The defaults for these hosts and this mode.
    pub fn new(hosts: Vec<Url>, mode: Mode) -> Self {
        let namespace = "default";
        Self {
            hosts,
            credential: None,
            headers: Vec::new(),
            proxy: None,
            index: Self::default_index(mode, namespace),
            namespace: namespace.to_owned(),
            mode,
            setup: Setup::default(),
            shards: None,
            replicas: None,
            bulk_max_bytes: BULK_MAX_BYTES,
            workers: BULK_WORKERS,
            compression_level: 0,
            connect_timeout: ELASTICSEARCH_CONNECT_TIMEOUT,
            timeout: ELASTICSEARCH_TIMEOUT,
            pipeline: None,
            retry: RetrySettings::default(),
            tls: TlsSettings::default(),
            allow_insecure: false,
        }
    }

    /// The name used where `index` is left out: the vendor's own recipe for the latest state, Elastic's scheme for
    /// data streams otherwise.
    pub fn default_index(mode: Mode, namespace: &str) -> String {
        match mode {
            Mode::Latest => format!("logs-ti.socdefenders-{namespace}"),
            Mode::Events => format!("logs-ti_socdefenders.ioc-{namespace}"),
        }
    }
}

/// The settings that block an index, and those of its pipelines, as messages name them.
const INDEX_BLOCKS: [&str; 7] = [
    "index.blocks",
    "index.blocks.write",
    "index.blocks.read_only",
    "index.blocks.read_only_allow_delete",
    "index.blocks.metadata",
    "index.default_pipeline",
    "index.final_pipeline",
];

/// How long, and how often, an output tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySettings {
    /// The first wait; each further one is up to twice as long.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// A page on which nothing moved for so long is given up; the next poll brings it again.
    pub give_up_after: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: MAX_RETRY_WAIT, give_up_after: GIVE_UP_AFTER }
    }
}

/// When documents are renewed, retired and deleted.
#[derive(Debug, Clone, Copy)]
pub struct SweepSettings {
    /// Between two sweeps.
    pub interval: Duration,
    /// A live document whose `@timestamp` is older is re-stamped: Kibana's rules look back 30 days.
    pub renew_after: Duration,
    /// How long a retired document is kept.
    pub keep_expired: Duration,
}

impl Default for SweepSettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self { interval: DAY, renew_after: 20 * DAY, keep_expired: 180 * DAY }
    }
}

/// A duration as people write it: `500ms`, `90s`, `15m`, `24h`, `45d`, `2w`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// A number of bytes as people write it: `4096`, `512KiB`, `5MiB`, `5MB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "kib" | "k" => 1 << 10,
        "mb" => 1_000_000,
        "mib" | "m" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" | "g" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    Some((number.parse().ok()?, unit.trim()))
}

impl Config {
    /// The files that messages about this configuration may name.
    pub fn files(&self) -> Vec<String> {
        let output = match &self.output {
            Output::Ndjson { path } => path.clone(),
            Output::Sqlite { .. } | Output::Elasticsearch(_) => None,
        };
        [self.ledger_path()].into_iter().chain(output).map(|path| path.display().to_string()).collect()
    }

    /// What messages about this configuration may name as its own, and nobody has to be kept from clicking: its files, the
    /// addresses it was given, and the index with what there is to do about it.
    pub fn own_words(&self) -> Vec<String> {
        let hosts = match &self.output {
            Output::Elasticsearch(settings) => settings.hosts.as_slice(),
            Output::Sqlite { .. } | Output::Ndjson { .. } => &[],
        };
        let mut words = self.files();
        let mut credentials: Vec<_> = self.inputs.iter().filter_map(|input| input.credential.as_ref()).collect();
        if let Output::Elasticsearch(settings) = &self.output {
            credentials.extend(&settings.credential);
            words.extend(["", "/_open", "/_settings", "/_rollover"].map(|end| format!("{}{end}", settings.index)));
            // What a block is called, which is named with how to lift it.
            words.extend(INDEX_BLOCKS.map(str::to_owned));
        }
        words.extend(credentials.into_iter().filter_map(|key| Some(key.file()?.display().to_string())));
        for url in self.inputs.iter().map(|input| &input.url).chain(hosts) {
            let origin = url.origin().ascii_serialization();
            let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
            let host = url.host_str().unwrap_or_default();
            words.extend(
                [url.as_str(), url.as_str().trim_end_matches('/'), &origin, authority, host].map(str::to_owned),
            );
        }
        words
    }

    /// Where checkpoints are kept: in the SQLite output's own file, else in `tipline.db` in the state folder.
    pub fn ledger_path(&self) -> PathBuf {
        match &self.output {
            Output::Sqlite { path } => path.clone(),
            Output::Elasticsearch(_) | Output::Ndjson { .. } => self.state_dir.join("tipline.db"),
        }
    }
}
