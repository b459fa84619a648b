//! From the tree to the types: every key, its default and its bounds.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use tracing::Level;
use url::Url;

use super::connection::secret;
use super::guest_file::Guests;
use super::interpolate::Lookup;
use super::tree::{Fault, Node, Section, Value};
use super::{
    Config, ElasticsearchSettings, HttpService, HttpSettings, Input, LogSettings, MAX_INPUTS, MIN_INTERVAL, Mode,
    Output, Reach, RetrySettings, Setup, SweepSettings, TlsSettings, cloud, connection, guest, guest_file,
};
use crate::{Limits, LogFormat};
use tipline_model::secret::{Credential, KeyHeader, KeyHeaderError, SecretSource};

/// The database without `output:`.
pub(super) const DATABASE: &str = "tipline.db";

/// What `http` was called before it held more than a watcher asks for.
const FORMER_HTTP: &str = "monitoring";

/// The folder without `state_dir:`.
pub(super) const STATE_DIR: &str = ".tipline";

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Longer than anyone polls, waits or keeps; below the overflow of any sum of instants.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A request that takes longer is lost to a firewall that forgot it.
const TIMEOUTS: RangeInclusive<Duration> = SECOND..=HOUR;

/// Elasticsearch refuses requests over 100 MiB; below 64 KiB a request is mostly overhead.
const BULK_BYTES: RangeInclusive<u64> = 64 * 1024..=100 * 1024 * 1024;

/// More requests in flight only fill Elasticsearch's queue.
const WORKERS: RangeInclusive<u64> = 1..=16;

/// Shorter waits hammer a cluster that is in trouble.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);

/// Of one reject: below 1 KiB no record is whole; above 16 MiB a few of them are the whole space.
const RAW_BYTES: RangeInclusive<u64> = 1024..=16 * 1024 * 1024;

/// Of all rejects: with none they are only counted; above 64 GiB they are no side note of a store any more.
const REJECTS_BYTES: RangeInclusive<u64> = 0..=64 * 1024 * 1024 * 1024;

/// Of the rows an input's guest asks to be remembered: below 1 MiB a page's rows push each other out; above 1 TiB no disk
/// holds them.
const MEMORY_BYTES: RangeInclusive<u64> = 1024 * 1024..=1024 * 1024 * 1024 * 1024;

/// An index's name, by Elasticsearch's own rule.
const MAX_INDEX_BYTES: usize = 255;

/// A namespace, by Elasticsearch's rule for data streams.
const MAX_NAMESPACE_BYTES: usize = 100;

/// An id stands in metrics, logs and the state's key.
const MAX_ID_BYTES: usize = 64;

/// Keys of an input that are the host's. Everything else goes to the guest.
pub(super) const INPUT_KEYS: &[&str] = &[
    "id",
    "type",
    "sha256",
    "sandbox",
    "url",
    "api_key",
    "api_key_file",
    "username",
    "password",
    "password_file",
    "auth",
    "headers",
    "interval",
    "jitter",
    "max_pages",
    "max_fruitless",
    "max_wait",
    "http",
];

pub(super) fn read(root: &Node, folder: &Path, variables: &Lookup<'_>, guests: Guests) -> Result<Config, Fault> {
    let section = Section::new("", root)?;
    if section.has(FORMER_HTTP) {
        return Err(section
            .fault(FORMER_HTTP, "is called `http` now: write `http: {listen: \"127.0.0.1:9464\"}` in its place."));
    }
    section.only(&["inputs", "output", "state_dir", "sweep", "rejects", "memory", "http", "log"])?;
    let output = output(&section, folder, variables)?;
    let http = http_service(&section)?;
    if let (Output::Ndjson { .. }, Some(HttpService { page: true, .. })) = (&output, http) {
        return Err(section.fault(
            "http",
            "asks for the page, which shows what is stored, and an ndjson output is a pipe. Leave out `page`, or configure \
             sqlite or elasticsearch as `output:`.",
        ));
    }
    Ok(Config {
        inputs: inputs(&section, folder, variables, guests)?,
        output,
        state_dir: section.file("state_dir", folder)?.unwrap_or_else(|| folder.join(STATE_DIR)),
        sweep: sweep(&section)?,
        limits: limits(&section)?,
        http,
        log: log(&section)?,
    })
}

/// The feed's own address.
pub fn socdefenders() -> Url {
    #[expect(clippy::expect_used, reason = "a constant")]
    Url::parse("https://socdefenders.ai").expect("a valid address")
}

/// The API root of the feed's own TAXII server.
pub fn socdefenders_taxii() -> Url {
    #[expect(clippy::expect_used, reason = "a constant")]
    Url::parse("https://www.socdefenders.ai/api/taxii2/api/").expect("a valid address")
}

fn inputs(root: &Section<'_>, folder: &Path, variables: &Lookup<'_>, guests: Guests) -> Result<Vec<Input>, Fault> {
    let Some(node) = root.get("inputs") else { return Ok(Vec::new()) };
    let Value::List(items) = &node.value else {
        return Err(root.refuse("inputs", "a list, each input beginning with `- id: name`"));
    };
    if items.len() > MAX_INPUTS {
        return Err(root.fault("inputs", format!("has {} entries; at most {MAX_INPUTS} are allowed.", items.len())));
    }
    let mut seen = BTreeMap::new();
    let mut inputs = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let section = Section::new(format!("inputs[{index}]"), item)?;
        let input = input(&section, folder, variables, guests)?;
        if let Some(first) = seen.insert(input.id.clone(), index) {
            let message = format!("is `{}`, as is inputs[{first}].id; expected a name of its own.", input.id);
            return Err(section.fault("id", message));
        }
        inputs.push(input);
    }
    Ok(inputs)
}

fn input(section: &Section<'_>, folder: &Path, variables: &Lookup<'_>, guests: Guests) -> Result<Input, Fault> {
    let id = section.text("id")?.ok_or_else(|| section.refuse("id", "a short name such as socdefenders"))?;
    if id.len() > MAX_ID_BYTES || !id.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-')) {
        let expected = format!("at most {MAX_ID_BYTES} of the characters a-z, 0-9, `_` and `-`");
        return Err(section.refuse("id", expected));
    }
    let guest_file = guest_file::read(section, folder, guests)?;
    // Which transports there are is the guest's to say; known here is only where the vendor's lie and what they reach.
    let is_taxii = section.get("transport").is_some_and(|node| node.is_text("taxii"));
    let url = match section.url("url")? {
        Some(url) => url,
        // A key must not go to a feed that nobody named.
        None if guest_file.is_some() => return Err(section.refuse("url", "the address of this guest's feed")),
        None if is_taxii => socdefenders_taxii(),
        None => socdefenders(),
    };
    let mut input = Input::new(id, url);
    if is_taxii {
        input.reach = Reach::Origin;
    }
    input.guest_config = match &guest_file {
        None => guest::settings(section, INPUT_KEYS, &input.url, folder)?,
        Some(_) => guest::settings_unchecked(section, INPUT_KEYS, &input.url, folder)?,
    };
    input.guest_file = guest_file;
    input.place = Some(section.place());
    input.credential = credential(section, folder, Credential::Bearer)?;
    input.headers = connection::headers(section, folder, input.credential.as_ref())?;
    if let Some(interval) = section.duration("interval", MIN_INTERVAL..=LONGEST)? {
        input.interval = interval;
        input.jitter = input.jitter.min(interval / 10);
    }
    if let Some(jitter) = section.duration("jitter", Duration::ZERO..=input.interval)? {
        input.jitter = jitter;
    }
    if let Some(pages) = section.number("max_pages", 1..=u64::from(u32::MAX))? {
        input.max_pages = u32::try_from(pages).unwrap_or(u32::MAX);
    }
    if let Some(requests) = section.number("max_fruitless", 1..=u64::from(u32::MAX))? {
        input.max_fruitless = u32::try_from(requests).unwrap_or(u32::MAX);
    }
    if let Some(wait) = section.duration("max_wait", Duration::ZERO..=LONGEST)? {
        input.max_wait = wait;
    }
    let http = section.section("http")?;
    if let Some(http) = &http {
        input.http = http_settings(http, folder)?;
    }
    let nothing = section.nothing();
    let none = Section::new(section.path("http"), &nothing)?;
    input.http.proxy =
        connection::proxy(http.as_ref().unwrap_or(&none), folder, std::slice::from_ref(&input.url), variables)?;
    Ok(input)
}

fn http_settings(section: &Section<'_>, folder: &Path) -> Result<HttpSettings, Fault> {
    let own = ["connect_timeout", "read_timeout", "timeout", "max_body"];
    section.only(&[&own[..], &connection::KEYS].concat())?;
    let mut http = HttpSettings::default();
    for (key, setting) in [
        ("connect_timeout", &mut http.connect_timeout),
        ("read_timeout", &mut http.read_timeout),
        ("timeout", &mut http.timeout),
    ] {
        if let Some(timeout) = section.duration(key, TIMEOUTS)? {
            *setting = timeout;
        }
    }
    // The guest's memory is cut for a page of the default size; a larger one would trap it.
    if let Some(bytes) = section.size("max_body", 1_024..=super::MAX_BODY_BYTES)? {
        http.max_body_bytes = bytes;
    }
    http.tls = tls(section, folder)?;
    http.allow_insecure = section.flag("allow_insecure")?.unwrap_or_default();
    Ok(http)
}

fn tls(section: &Section<'_>, folder: &Path) -> Result<TlsSettings, Fault> {
    let ca_fingerprint = match section.text("ca_fingerprint")? {
        None => None,
        Some(text) => {
            let hex: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
            if hex.len() != 64 || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(section.refuse("ca_fingerprint", "the SHA-256 of a certificate, 64 hexadecimal digits"));
            }
            Some(hex)
        }
    };
    Ok(TlsSettings {
        ca_file: section.file("ca_file", folder)?,
        ca_fingerprint,
        client: connection::client_certificate(section, folder)?,
    })
}

/// The one way to log in that is given; a key alone is shown as `of_key` says.
fn credential(
    section: &Section<'_>,
    folder: &Path,
    of_key: fn(SecretSource) -> Credential,
) -> Result<Option<Credential>, Fault> {
    if let Some(auth) = auth(section, folder)? {
        return Ok(Some(auth));
    }
    let key = secret(section, folder, "api_key", "api_key_file")?;
    let password = secret(section, folder, "password", "password_file")?;
    let username = section.text("username")?;
    match (key, username, password) {
        (Some(_), Some(_), _) => {
            Err(section.fault("username", "and `api_key` are both given; expected one way to log in."))
        }
        (Some(_), None, Some(_)) => {
            Err(section.fault("password", "and `api_key` are both given; expected one way to log in."))
        }
        (Some(key), None, None) => Ok(Some(of_key(key))),
        (None, Some(username), Some(password)) => {
            Ok(Some(Credential::Basic { username: username.to_owned(), password }))
        }
        (None, Some(_), None) => Err(section.fault("username", "has no `password` or `password_file` beside it.")),
        (None, None, Some(_)) => Err(section.fault("password", "has no `username` beside it.")),
        (None, None, None) => Ok(None),
    }
}

/// A key in a header of the feed's own. As the key may stand in any of the wrong places, no message shows what does.
fn auth(section: &Section<'_>, folder: &Path) -> Result<Option<Credential>, Fault> {
    const EXPECTED: &str = "expected `{scheme: Token, key: …}` or `{header: X-Api-Key, key: …}`";
    if !section.has("auth") {
        return Ok(None);
    }
    if let Some(other) = ["api_key", "api_key_file", "username", "password", "password_file"]
        .into_iter()
        .find(|other| section.has(other))
    {
        return Err(section.fault("auth", format!("and `{other}` are both given; expected one way to log in.")));
    }
    if !section.get("auth").is_some_and(|node| matches!(node.value, Value::Map(_))) {
        return Err(section.fault("auth", format!("is empty or no group of keys; {EXPECTED}.")));
    }
    let Some(auth) = section.section("auth")? else { return Ok(None) };
    auth.only(&["header", "scheme", "key", "key_file"])?;
    let word = |key| auth.text(key).map_err(|_| auth.fault(key, "is empty or no text; expected one word."));
    let header = KeyHeader::new(word("header")?, word("scheme")?).map_err(|error| match error {
        KeyHeaderError::Neither => section.fault("auth", error),
        KeyHeaderError::Name | KeyHeaderError::Taken => auth.fault("header", error),
        KeyHeaderError::Scheme | KeyHeaderError::Basic => auth.fault("scheme", error),
    })?;
    match secret(&auth, folder, "key", "key_file")? {
        None => Err(auth.fault("key", "is missing; expected it, as in ${NAME}, or a `key_file` in its place.")),
        Some(SecretSource::Inline(key)) if key.expose().contains(char::is_whitespace) => {
            Err(auth.fault("key", "holds a space; expected the key alone, and a word before it as `scheme`."))
        }
        Some(key) => Ok(Some(Credential::Key(header, key))),
    }
}

fn output(root: &Section<'_>, folder: &Path, variables: &Lookup<'_>) -> Result<Output, Fault> {
    let sqlite = || Output::Sqlite { path: folder.join(DATABASE) };
    let Some(section) = root.section("output")? else { return Ok(sqlite()) };
    section.only(&["sqlite", "elasticsearch", "ndjson"])?;
    let kinds: Vec<_> = section.entries().collect();
    let [(kind, node)] = kinds.as_slice() else {
        if kinds.is_empty() {
            return Ok(sqlite());
        }
        return Err(root.fault("output", "names more than one output; expected one of sqlite, elasticsearch, ndjson."));
    };
    let settings = Section::new(section.path(kind), node)?;
    match *kind {
        "elasticsearch" => elasticsearch(&settings, folder, variables).map(|es| Output::Elasticsearch(Box::new(es))),
        "ndjson" => {
            settings.only(&["path"])?;
            Ok(Output::Ndjson { path: settings.file("path", folder)? })
        }
        _ => {
            settings.only(&["path"])?;
            Ok(settings.file("path", folder)?.map_or_else(sqlite, |path| Output::Sqlite { path }))
        }
    }
}

/// Elasticsearch's own bound of an index's shards.
const MOST_SHARDS: u64 = 1_024;

/// More copies than anybody has nodes for.
const MOST_REPLICAS: u64 = 100;

fn elasticsearch(section: &Section<'_>, folder: &Path, variables: &Lookup<'_>) -> Result<ElasticsearchSettings, Fault> {
    let own = [
        "hosts",
        "cloud_id",
        "api_key",
        "api_key_file",
        "username",
        "password",
        "password_file",
        "auth",
        "headers",
        "index",
        "namespace",
        "mode",
        "setup",
        "shards",
        "replicas",
        "bulk_max_bytes",
        "workers",
        "compression_level",
        "connect_timeout",
        "timeout",
        "retry",
        "pipeline",
    ];
    section.only(&[&own[..], &connection::KEYS].concat())?;
    let hosts = hosts(section)?;
    let mode = section.word("mode", &[("latest", Mode::Latest), ("events", Mode::Events)])?.unwrap_or_default();
    let mut es = ElasticsearchSettings::new(hosts, mode);
    es.credential = credential(section, folder, Credential::ApiKey)?;
    es.headers = connection::headers(section, folder, es.credential.as_ref())?;
    es.proxy = connection::proxy(section, folder, &es.hosts, variables)?;
    es.setup = section.word("setup", &[("check", Setup::Check), ("auto", Setup::Auto)])?.unwrap_or_default();
    if let Some(namespace) = section.text("namespace")? {
        if !is_index_name(namespace, MAX_NAMESPACE_BYTES) || namespace.contains('-') {
            return Err(section.refuse("namespace", "lower-case letters, digits, `_` or `.`, without `-`"));
        }
        namespace.clone_into(&mut es.namespace);
    }
    es.index = match section.text("index")? {
        Some(index) if is_index_name(index, MAX_INDEX_BYTES) => index.to_owned(),
        Some(_) => {
            return Err(section.refuse("index", "an index name: lower case, without spaces or any of \\/*?\"<>|,#:"));
        }
        None => ElasticsearchSettings::default_index(mode, &es.namespace),
    };
    es.shards = section.number("shards", 1..=MOST_SHARDS)?.and_then(|shards| u32::try_from(shards).ok());
    es.replicas = section.number("replicas", 0..=MOST_REPLICAS)?.and_then(|replicas| u32::try_from(replicas).ok());
    if let Some(bytes) = section.size("bulk_max_bytes", BULK_BYTES)? {
        es.bulk_max_bytes = usize::try_from(bytes).unwrap_or(es.bulk_max_bytes);
    }
    if let Some(workers) = section.number("workers", WORKERS)? {
        es.workers = usize::try_from(workers).unwrap_or(es.workers);
    }
    if let Some(level) = section.number("compression_level", 0..=9)? {
        es.compression_level = u32::try_from(level).unwrap_or(es.compression_level);
    }
    if let Some(timeout) = section.duration("connect_timeout", TIMEOUTS)? {
        es.connect_timeout = timeout;
    }
    if let Some(timeout) = section.duration("timeout", TIMEOUTS)? {
        es.timeout = timeout;
    }
    if let Some(section) = section.section("retry")? {
        es.retry = retry(&section)?;
    }
    es.pipeline = section.text("pipeline")?.map(str::to_owned);
    es.tls = tls(section, folder)?;
    es.allow_insecure = section.flag("allow_insecure")?.unwrap_or_default();
    Ok(es)
}

/// The hosts by name, or the one that a Cloud ID stands for.
fn hosts(section: &Section<'_>) -> Result<Vec<Url>, Fault> {
    match (section.texts("hosts")?.filter(|hosts| !hosts.is_empty()), section.text("cloud_id")?) {
        (Some(_), Some(_)) => Err(section.fault("cloud_id", "and `hosts` are both given; expected one of them.")),
        (Some(hosts), None) => section.parse_urls("hosts", &hosts, &["http", "https"]),
        (None, Some(id)) => cloud::host(id).map(|host| vec![host]).map_err(|what| {
            section.fault("cloud_id", format!("{what}; copy the Cloud ID again from the deployment's page."))
        }),
        (None, None) => {
            Err(section.refuse("hosts", "a list such as [\"https://es.example:9200\"], or a `cloud_id` in its place"))
        }
    }
}

fn retry(section: &Section<'_>) -> Result<RetrySettings, Fault> {
    section.only(&["initial", "max", "give_up_after"])?;
    let mut retry = RetrySettings::default();
    if let Some(initial) = section.duration("initial", SHORTEST_RETRY..=HOUR)? {
        retry.initial = initial;
        retry.max = retry.max.max(initial);
    }
    if let Some(max) = section.duration("max", retry.initial..=HOUR)? {
        retry.max = max;
    }
    if let Some(after) = section.duration("give_up_after", Duration::ZERO..=DAY)? {
        retry.give_up_after = after;
    }
    Ok(retry)
}

fn is_index_name(name: &str, longest: usize) -> bool {
    let forbidden = |c: char| c.is_uppercase() || c.is_whitespace() || c.is_control() || "\\/*?\"<>|,#:".contains(c);
    !name.is_empty()
        && name.len() <= longest
        && !name.starts_with(['-', '_', '+'])
        && name != "."
        && name != ".."
        && !name.contains(forbidden)
}

fn sweep(root: &Section<'_>) -> Result<SweepSettings, Fault> {
    let mut sweep = SweepSettings::default();
    let Some(section) = root.section("sweep")? else { return Ok(sweep) };
    section.only(&["interval", "renew_after", "keep_expired"])?;
    if let Some(interval) = section.duration("interval", 60 * SECOND..=30 * DAY)? {
        sweep.interval = interval;
    }
    if let Some(after) = section.duration("renew_after", DAY..=LONGEST)? {
        sweep.renew_after = after;
    }
    if let Some(keep) = section.duration("keep_expired", Duration::ZERO..=LONGEST)? {
        sweep.keep_expired = keep;
    }
    Ok(sweep)
}

fn limits(root: &Section<'_>) -> Result<Limits, Fault> {
    let mut limits = Limits::default();
    if let Some(section) = root.section("rejects")? {
        section.only(&["max_raw", "max_total"])?;
        if let Some(bytes) = section.size("max_raw", RAW_BYTES)? {
            limits.raw_bytes = usize::try_from(bytes).unwrap_or(limits.raw_bytes);
        }
        if let Some(bytes) = section.size("max_total", REJECTS_BYTES)? {
            limits.rejects_bytes = bytes;
        }
    }
    if let Some(section) = root.section("memory")? {
        section.only(&["max_bytes"])?;
        if let Some(bytes) = section.size("max_bytes", MEMORY_BYTES)? {
            limits.memory_bytes = bytes;
        }
    }
    Ok(limits)
}

fn http_service(root: &Section<'_>) -> Result<Option<HttpService>, Fault> {
    if !root.has("http") {
        return Ok(None);
    }
    let mut service = HttpService::default();
    let Some(section) = root.section("http")? else { return Ok(Some(service)) };
    section.only(&["listen", "page"])?;
    service.listen = section.socket("listen")?.unwrap_or(service.listen);
    service.page = section.flag("page")?.unwrap_or(service.page);
    Ok(Some(service))
}

fn log(root: &Section<'_>) -> Result<LogSettings, Fault> {
    let mut log = LogSettings::default();
    let Some(section) = root.section("log")? else { return Ok(log) };
    section.only(&["format", "level"])?;
    log.format = section.word("format", &[("human", LogFormat::Text), ("json", LogFormat::Json)])?.unwrap_or_default();
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    log.level = section.word("level", &levels)?.unwrap_or(log.level);
    Ok(log)
}
