//! What each setting of the host is for, and what it is where it is left out.
//!
//! The types and bounds are known from the reading itself (`asked`); these words stand beside them in the schema and in
//! docs/settings.md. A test reads a configuration with each default written out and one without it: they are the same.
//! The guest describes its own settings (`config_schema` of `describe`).

/// A setting's words.
pub(super) struct Described {
    pub(super) path: &'static str,
    /// As it would be written; empty for none.
    pub(super) default: &'static str,
    pub(super) text: &'static str,
}

const fn setting(path: &'static str, default: &'static str, text: &'static str) -> Described {
    Described { path, default, text }
}

/// The words of every key of the host's.
pub(super) const DESCRIBED: &[Described] = &[
    setting("inputs", "", "The feeds, at most 100."),
    setting(
        "inputs[].id",
        "",
        "The name in metrics, logs and the state; required, and each input has its own. At most 64 of a-z, 0-9, `_` and `-`.",
    ),
    setting(
        "inputs[].type",
        "socdefenders",
        "Whose logic it runs: the built-in guest, or the path of one of your own, such as ./my-mapper.wasm, with `sha256`.",
    ),
    setting("inputs[].sha256", "", "The sum of the guest's file, in hex; required with a guest of your own."),
    setting("inputs[].sandbox", "", "What a call of a guest of your own may cost."),
    setting("inputs[].sandbox.fuel", "12000000000", "Instructions."),
    setting("inputs[].sandbox.memory", "128MiB", "Memory."),
    setting("inputs[].sandbox.output", "64MiB", "Its answer."),
    setting(
        "inputs[].url",
        "https://socdefenders.ai",
        "The feed's base address, without user, password or query. Over TAXII an API root, a discovery URL or a collection's address, and the vendor's where it is left out. Required with a guest of your own.",
    ),
    setting(
        "inputs[].api_key",
        "",
        "A key, sent as Bearer; one way to log in. A file of its own is better: api_key_file.",
    ),
    setting("inputs[].api_key_file", "", "A file that holds the key, read again when the key is refused."),
    setting("inputs[].username", "", "A user for Basic, with `password` or `password_file`."),
    setting("inputs[].password", "", "The user's password."),
    setting("inputs[].password_file", "", "A file that holds the password."),
    setting(
        "inputs[].auth",
        "",
        "A key in a header of the feed's own: `{scheme: Token, key: …}`, `{header: X-Api-Key, key_file: …}`.",
    ),
    setting("inputs[].auth.header", "Authorization", "The header's name."),
    setting("inputs[].auth.scheme", "", "A word before the key, such as Token."),
    setting("inputs[].auth.key", "", "The key."),
    setting("inputs[].auth.key_file", "", "A file that holds the key."),
    setting("inputs[].interval", "15m", "Between the starts of two polls."),
    setting(
        "inputs[].jitter",
        "30s",
        "A poll starts up to this much later, at random; at most the interval, and where it is left out a tenth of it.",
    ),
    setting("inputs[].max_pages", "10000", "Pages after which a poll ends; the next one goes on from there."),
    setting("inputs[].max_fruitless", "1000", "Requests in a row without a page after which a poll ends."),
    setting("inputs[].max_wait", "15m", "The longest wait that `run --once` sits out."),
    setting("inputs[].http", "", "The connection to the feed."),
    setting("inputs[].http.connect_timeout", "10s", "Until the connection stands."),
    setting("inputs[].http.read_timeout", "30s", "Between two reads of an answer."),
    setting("inputs[].http.timeout", "2m", "For a whole request."),
    setting("inputs[].http.max_body", "64MiB", "The longest answer, unpacked."),
    setting("inputs[].http.proxy", "", "A proxy. Those that the environment names are not used."),
    setting("inputs[].http.ca_file", "", "A PEM file with certificates to trust beside the system's."),
    setting(
        "inputs[].http.ca_fingerprint",
        "",
        "SHA-256 of a CA's certificate in hex: a chain that holds it is trusted.",
    ),
    setting("inputs[].http.allow_insecure", "false", "Allows a key over plain http to other hosts than this one."),
    setting("output", "", "Where documents go, one of sqlite, elasticsearch and ndjson; left out: sqlite."),
    setting("output.sqlite", "", "One file that can be searched."),
    setting("output.sqlite.path", "tipline.db", "The file. Checkpoints are in it, too."),
    setting("output.ndjson", "", "A line for each document."),
    setting("output.ndjson.path", "", "A file to append to; left out: standard output."),
    setting("output.elasticsearch", "", "Elasticsearch or OpenSearch."),
    setting(
        "output.elasticsearch.hosts",
        "",
        "Its addresses, tried in order; one of `hosts` and `cloud_id` is required.",
    ),
    setting("output.elasticsearch.cloud_id", "", "An Elastic Cloud deployment, in the place of `hosts`."),
    setting(
        "output.elasticsearch.api_key",
        "",
        "A key as Kibana shows it (`encoded`, or id:key); one way to log in. A file of its own is better: api_key_file.",
    ),
    setting("output.elasticsearch.api_key_file", "", "A file that holds the key, read again when the key is refused."),
    setting("output.elasticsearch.username", "", "A user, with `password` or `password_file`."),
    setting("output.elasticsearch.password", "", "The user's password."),
    setting("output.elasticsearch.password_file", "", "A file that holds the password."),
    setting(
        "output.elasticsearch.index",
        "",
        "The index, or in events mode the data stream; left out: logs-ti.socdefenders-NAMESPACE, or logs-ti_socdefenders.ioc-NAMESPACE.",
    ),
    setting("output.elasticsearch.namespace", "default", "The last part of the names made; without `-`."),
    setting("output.elasticsearch.mode", "latest", "One current document for each claim, or all of them as history."),
    setting(
        "output.elasticsearch.setup",
        "check",
        "Whether `run` refuses to start without template and index, or makes them.",
    ),
    setting("output.elasticsearch.bulk_max_bytes", "5MiB", "A bulk request's bytes before compression."),
    setting("output.elasticsearch.workers", "4", "Bulk requests in flight."),
    setting("output.elasticsearch.compression_level", "0", "gzip; 0 for none."),
    setting("output.elasticsearch.connect_timeout", "10s", "Until the connection stands."),
    setting("output.elasticsearch.timeout", "90s", "For a whole request."),
    setting("output.elasticsearch.retry", "", "How failed requests and documents are sent again."),
    setting("output.elasticsearch.retry.initial", "1s", "The first wait; each further one is up to twice as long."),
    setting("output.elasticsearch.retry.max", "1m", "The longest wait; not below the first one."),
    setting(
        "output.elasticsearch.retry.give_up_after",
        "5m",
        "How long nothing may move on a page before the poll ends; the next one brings the page again.",
    ),
    setting("output.elasticsearch.pipeline", "", "An ingest pipeline for each bulk request."),
    setting("output.elasticsearch.ca_file", "", "A PEM file with certificates to trust beside the system's."),
    setting(
        "output.elasticsearch.ca_fingerprint",
        "",
        "SHA-256 of a CA's certificate in hex, as Elasticsearch prints it at its first start.",
    ),
    setting(
        "output.elasticsearch.allow_insecure",
        "false",
        "Allows a key over plain http to other hosts than this one.",
    ),
    setting(
        "state_dir",
        ".tipline",
        "A folder for checkpoints where the output is not SQLite, for compiled guests, and for pages that trapped one.",
    ),
    setting("sweep", "", "Renewal, retirement and deletion."),
    setting("sweep.interval", "1d", "Between two sweeps."),
    setting(
        "sweep.renew_after",
        "20d",
        "A live document whose `@timestamp` is older is stamped again: Kibana's rules look back 30 days.",
    ),
    setting("sweep.keep_expired", "180d", "How long what ended, and was last shown so long ago, is kept."),
    setting("rejects", "", "What is kept of records and documents that were refused."),
    setting("rejects.max_raw", "64KiB", "Of one of them; a longer one is cut and can't be retried."),
    setting("rejects.max_total", "256MiB", "Of all; beyond it they are only counted."),
    setting("memory", "", "What is remembered of STIX objects."),
    setting("memory.max_bytes", "4GiB", "Of one input's; the earliest to expire go first."),
    setting(
        "monitoring",
        "",
        "Serves /metrics, /healthz and /readyz while `run` is at work. Off where it is left out.",
    ),
    setting("monitoring.listen", "127.0.0.1:9464", "A loopback address and port."),
    setting("log", "", "The log of `run`, on standard error."),
    setting("log.format", "human", "For people, or one ECS document in JSON a line."),
    setting("log.level", "info", "This level and above."),
];
