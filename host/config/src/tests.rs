use std::path::Path;
use std::time::Duration;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn variables(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("sk_live_canary".to_owned()),
        "PAGES" => Some("12".to_owned()),
        "STRUCTURE" => Some("a\ninterval: 1s".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    let config = Config::parse(text, Path::new("etc/tipline.yml"), &variables);
    // What the program takes, the schema takes.
    assert!(config.is_err() || schema::complaints(text).is_empty(), "{text}: {:?}", schema::complaints(text));
    config
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

/// One input with these further lines.
fn input(lines: &str) -> Result<Input, ConfigError> {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    parse(&format!("inputs:\n  - id: feed\n{lines}")).map(|mut config| config.inputs.remove(0))
}

/// An Elasticsearch output with these further lines.
fn elasticsearch(lines: &str) -> Result<ElasticsearchSettings, ConfigError> {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    match parse(&format!("output:\n  elasticsearch:\n{lines}"))?.output {
        Output::Elasticsearch(es) => Ok(*es),
        other => panic!("{other:?}"),
    }
}

fn guest(input: &Input) -> serde_json::Value {
    serde_json::from_str(&input.guest_config).unwrap()
}

#[test]
fn the_example_of_the_readme() {
    let config = good(
        r#"
inputs:
  - id: socdefenders
    type: socdefenders
    url: https://socdefenders.ai
    api_key: ${KEY}      # or api_key_file
    interval: 15m
    initial_interval: 24h                 # how far back the first poll looks
    types: [ipv4, domain, sha256]         # all when left out
    exclude: [10.0.0.0/8, example.com]    # never index these
    min_confidence: low
output:
  elasticsearch:
    hosts: ["https://es.example:9200"]
    api_key: ${KEY}
    index: logs-ti.socdefenders-default   # the default
"#,
    );
    let input = &config.inputs[0];
    let key = SecretSource::Inline(Secret::new("sk_live_canary"));
    assert_eq!(input.credential, Some(Credential::Bearer(key.clone())));
    assert_eq!((input.interval, input.id.as_str()), (HOUR / 4, "socdefenders"));
    assert_eq!(
        guest(input),
        serde_json::json!({
            "type": "socdefenders", "url": "https://socdefenders.ai/", "initial_interval": "24h",
            "types": ["ipv4", "domain", "sha256"], "exclude": ["10.0.0.0/8", "example.com"], "min_confidence": "low",
        })
    );
    assert!(!input.guest_config.contains("canary"));
    let Output::Elasticsearch(es) = config.output else { panic!("{:?}", config.output) };
    assert_eq!((es.credential, es.hosts.len()), (Some(Credential::ApiKey(key)), 1));
}

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "# nothing\n", "inputs: []\n", "output:\n", "output: {}\n"] {
        let config = good(text);
        assert!(config.inputs.is_empty());
        assert!(matches!(&config.output, Output::Sqlite { path } if path == Path::new("etc/tipline.db")), "{text}");
        assert_eq!((config.state_dir.as_path(), config.http), (Path::new("etc/.tipline"), None));
        assert_eq!(config.limits, Limits { raw_bytes: 64 << 10, rejects_bytes: 256 << 20, memory_bytes: 4 << 30 });
        assert_eq!((config.sweep.renew_after, config.sweep.keep_expired), (20 * 24 * HOUR, 180 * 24 * HOUR));
    }
}

#[test]
fn without_a_file_the_key_makes_an_input() {
    assert!(Config::without_file(Path::new(""), None).inputs.is_empty());
    let config = Config::without_file(Path::new(""), Some(Secret::new("k")));
    assert_eq!(config.inputs[0].url.as_str(), "https://socdefenders.ai/");
    assert!(matches!(&config.output, Output::Sqlite { path } if path == Path::new("tipline.db")));
}

#[test]
fn without_a_file_a_proxy_of_the_environment_is_never_passed_by() {
    for (value, host) in [
        (None, None),
        (Some("proxy.example:3128"), Some("http://proxy.example:3128/")),
        (Some("socks5://proxy.example"), Some("unreadable:")),
        (Some("http://proxy.example/path"), Some("unreadable:")),
        (Some("http://"), Some("unreadable:")),
    ] {
        let variables = |name: &str| value.filter(|_| name == "HTTPS_PROXY").map(str::to_owned);
        let config = Config::without_file_in(Path::new(""), Some(Secret::new("k")), &variables);
        let proxy = config.inputs[0].http.proxy.as_ref();
        assert_eq!(proxy.map(|proxy| proxy.url.as_str()), host, "{value:?}");
        assert!(proxy.is_none_or(|proxy| proxy.named_by == "HTTPS_PROXY" && proxy.serves(&config.inputs[0].url)));
    }
}

#[test]
fn every_setting_of_an_input() {
    let input = input(
        "url: https://feed.example/base\nusername: apikey\npassword_file: /run/key\ninterval: 1h\njitter: 5s\nmax_pages: ${PAGES}\n\
         max_fruitless: 7\n\
         max_wait: 2m\nallow_private: true\nhttp:\n  connect_timeout: 3s\n  read_timeout: 4s\n  timeout: 5s\n  max_body: 1MiB\n  \
         proxy: http://proxy.example:3128\n  ca_file: ca.pem\n  allow_insecure: true",
    )
    .unwrap();
    assert_eq!(input.url.as_str(), "https://feed.example/base");
    let password = SecretSource::File("/run/key".into());
    assert_eq!(input.credential, Some(Credential::Basic { username: "apikey".to_owned(), password }));
    assert_eq!((input.interval, input.jitter, input.max_pages), (HOUR, Duration::from_secs(5), 12));
    assert_eq!(input.max_fruitless, 7);
    assert_eq!((input.max_wait, input.http.max_body_bytes), (Duration::from_secs(120), 1 << 20));
    assert_eq!(input.http.connect_timeout, Duration::from_secs(3));
    assert_eq!(input.http.read_timeout, Duration::from_secs(4));
    assert_eq!(input.http.timeout, Duration::from_secs(5));
    assert_eq!(input.http.proxy.as_ref().map(|proxy| proxy.url.as_str()), Some("http://proxy.example:3128/"));
    assert_eq!(input.http.tls.ca_file.as_deref(), Some(Path::new("etc/ca.pem")));
    assert!(input.http.allow_insecure);
    let expected =
        serde_json::json!({"type": "socdefenders", "url": "https://feed.example/base", "allow_private": true});
    assert_eq!(guest(&input), expected);
}

#[test]
fn a_key_goes_into_the_header_that_auth_names() {
    let inline = SecretSource::Inline(Secret::new("sk_live_canary"));
    for (auth, header, source) in [
        ("{scheme: Token, key: \"${KEY}\"}", (None, Some("Token")), inline.clone()),
        ("{header: X-Api-Key, key: sk_live_canary}", (Some("x-api-key"), None), inline.clone()),
        ("{header: Authorization, key: ' sk_live_canary '}", (Some("authorization"), None), inline),
        ("{header: Auth-Key, key: 0012}", (Some("auth-key"), None), SecretSource::Inline(Secret::new("0012"))),
        ("{header: X-A, scheme: Key, key_file: k}", (Some("x-a"), Some("Key")), SecretSource::File("etc/k".into())),
    ] {
        for lines in ["", "transport: taxii\n"] {
            let input = input(&format!("{lines}auth: {auth}")).unwrap();
            let header = tipline_model::secret::KeyHeader::new(header.0, header.1).unwrap();
            assert_eq!(input.credential, Some(Credential::Key(header, source.clone())), "{auth}");
            assert!(!input.guest_config.contains("auth") && !input.guest_config.contains("canary"), "{auth}");
        }
    }
}

#[test]
fn the_taxii_settings_reach_the_guest_and_the_password_does_not() {
    let lines = "type: socdefenders\ntransport: taxii\ncollection: all\ncontext: true\nlimit: 500\nusername: apikey\n\
                 password: ${KEY}\nfeed: {name: F}";
    let of =
        |url: &str, collection: &str| input(&format!("{url}{}", lines.replace("collection: all", collection))).unwrap();
    for (given, url) in [
        ("", "https://www.socdefenders.ai/api/taxii2/api/"),
        ("url: https://h.example/api/taxii2/api/\n", "https://h.example/api/taxii2/api/"),
        ("url: https://h.example/taxii2\n", "https://h.example/taxii2"),
    ] {
        for (collection, passed) in [
            ("collection: all", serde_json::json!("all")),
            ("collection: [ips, cves]", serde_json::json!(["ips", "cves"])),
        ] {
            let input = of(given, collection);
            assert_eq!(input.url.as_str(), url, "a final slash is kept, and none is added");
            assert!(matches!(&input.credential, Some(Credential::Basic { username, .. }) if username == "apikey"));
            assert_eq!(
                guest(&input),
                serde_json::json!({
                    "type": "socdefenders", "url": url, "transport": "taxii", "collection": passed, "context": true,
                    "limit": 500, "feed": { "name": "F" },
                })
            );
        }
    }
}

#[test]
fn every_setting_of_elasticsearch() {
    let es = elasticsearch(
        "hosts: [https://a.example:9200, http://127.0.0.1:9200]\nusername: u\npassword: ${KEY}\nnamespace: prod\nmode: events\n\
         setup: auto\nshards: 2\nreplicas: 0\nbulk_max_bytes: 1MiB\nworkers: 4\ncompression_level: 0\ntimeout: 10s\npipeline: p\n\
         connect_timeout: 2s\nretry: {initial: 200ms, max: 10s, give_up_after: 1m}\n\
         ca_fingerprint: AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99",
    )
    .unwrap();
    assert_eq!((es.hosts.len(), es.index.as_str()), (2, "logs-ti_socdefenders.ioc-prod"));
    assert_eq!((es.mode, es.setup, es.bulk_max_bytes, es.workers), (Mode::Events, Setup::Auto, 1 << 20, 4));
    assert_eq!((es.shards, es.replicas), (Some(2), Some(0)));
    assert_eq!((es.compression_level, es.timeout, es.pipeline.as_deref()), (0, Duration::from_secs(10), Some("p")));
    assert_eq!(es.connect_timeout, Duration::from_secs(2));
    let [initial, max, give_up_after] = [200, 10_000, 60_000].map(Duration::from_millis);
    assert_eq!(es.retry, RetrySettings { initial, max, give_up_after });
    assert!(es.tls.ca_fingerprint.unwrap().starts_with("aabbccddeeff0011"));
    // `found.io$4fa88a$kib01`
    let es = elasticsearch("cloud_id: 'prod:Zm91bmQuaW8kNGZhODhhJGtpYjAx'").unwrap();
    assert_eq!(es.hosts, ["https://4fa88a.found.io".parse().unwrap()]);
    // A first wait longer than the longest one raises that.
    let es = elasticsearch("hosts: http://localhost:9200\nretry: {initial: 2m}").unwrap();
    assert_eq!((es.retry.max, es.retry.give_up_after), (Duration::from_secs(120), Duration::from_secs(300)));
    let es = elasticsearch("hosts: http://localhost:9200\nnamespace: dev").unwrap();
    assert_eq!((es.hosts.len(), es.index.as_str()), (1, "logs-ti.socdefenders-dev"));
}

#[test]
fn the_other_outputs_and_groups() {
    let config = good(
        "output: {ndjson: {path: out.ndjson}}\nstate_dir: /var/lib/tipline\nsweep: {interval: 1h, renew_after: 2d, keep_expired: 0s}\n\
         http: {listen: '127.0.0.1:1234'}\nlog: {format: json, level: debug}\nrejects: {max_raw: 1MiB, max_total: 2GiB}\n\
         memory: {max_bytes: 8GiB}",
    );
    assert_eq!(config.limits, Limits { raw_bytes: 1 << 20, rejects_bytes: 2 << 30, memory_bytes: 8 << 30 });
    assert!(matches!(&config.output, Output::Ndjson { path: Some(p) } if p == Path::new("etc/out.ndjson")));
    assert_eq!(config.state_dir, Path::new("/var/lib/tipline"));
    assert_eq!((config.sweep.interval, config.sweep.keep_expired), (HOUR, Duration::ZERO));
    assert_eq!(config.http, Some(HttpService { listen: "127.0.0.1:1234".parse().unwrap(), page: false }));
    assert_eq!(config.log, LogSettings { format: LogFormat::Json, level: tracing::Level::DEBUG });
    assert_eq!(good("http: {page: true}").http, Some(HttpService { listen: DEFAULT_LISTEN, page: true }));
    for text in ["http: {}", "http:"] {
        assert_eq!(good(text).http, Some(HttpService { listen: DEFAULT_LISTEN, page: false }), "{text}");
    }
    assert!(matches!(good("output: {ndjson: }").output, Output::Ndjson { path: None }));
    assert!(
        matches!(good("output: {sqlite: {path: /x.db}}").output, Output::Sqlite { path } if path == Path::new("/x.db"))
    );
}

#[test]
fn a_variable_is_never_structure() {
    let config = good("inputs:\n  - id: feed\n    feed: {name: \"${STRUCTURE}\"}\n");
    assert_eq!(guest(&config.inputs[0])["feed"]["name"], "a\ninterval: 1s");
    assert_eq!(config.inputs[0].interval, HOUR / 4);
}

#[test]
fn a_key_of_digits_keeps_its_spelling() {
    for (written, expected) in [("0012", "0012"), ("1.10", "1.10"), ("1e3", "1e3"), ("'007'", "007")] {
        let input = input(&format!("api_key: {written}")).unwrap();
        let expected = SecretSource::Inline(Secret::new(expected));
        assert!(input.credential == Some(Credential::Bearer(expected)), "{written}");
    }
}

#[test]
fn exclusions_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tipline.yml");
    let list = folder.path().join("list.txt");
    let config = |exclude: &str| {
        let text = format!("inputs:\n  - id: feed\n    exclude: {exclude}\n");
        Config::parse(&text, &file, &variables)
            .map(|c| guest(&c.inputs[0])["exclude"].clone())
            .map_err(|e| e.to_string())
    };
    std::fs::write(&list, "# ours\n10.0.0.0/8  # lab\n\n  example.com\r\n").unwrap();
    assert_eq!(config("[a.example, file:list.txt]"), Ok(serde_json::json!(["a.example", "10.0.0.0/8", "example.com"])));
    assert_eq!(config("file:list.txt"), Ok(serde_json::json!(["10.0.0.0/8", "example.com"])));
    std::fs::write(&list, "https://a.example/#/login # phishing\n\t# \u{e9}\n#").unwrap();
    assert_eq!(config("file:list.txt"), Ok(serde_json::json!(["https://a.example/#/login"])));
    assert!(config("[file:none.txt]").unwrap_err().contains("none.txt: No such file"));

    std::fs::write(&list, "192.0.2.1\n".repeat(MAX_EXCLUDES)).unwrap();
    assert_eq!(config("[file:list.txt]").unwrap().as_array().unwrap().len(), MAX_EXCLUDES);
    assert!(config("[file:list.txt, one.more]").unwrap_err().contains("more than 10000 entries"));

    let comment = "#".repeat(usize::try_from(MAX_EXCLUDE_FILE_BYTES).unwrap());
    std::fs::write(&list, &comment).unwrap();
    assert_eq!(config("[file:list.txt]"), Ok(serde_json::json!([])));
    std::fs::write(&list, comment + "#").unwrap();
    assert!(config("[file:list.txt]").unwrap_err().contains("longer than 4 MiB"));
}

#[test]
fn a_file_is_read_up_to_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tipline.yml");
    let fits = "#".repeat(usize::try_from(MAX_FILE_BYTES).unwrap());
    std::fs::write(&file, &fits).unwrap();
    assert!(Config::load(&file).is_ok());
    std::fs::write(&file, fits + "#").unwrap();
    assert!(Config::load(&file).unwrap_err().to_string().contains("longer than 1 MiB"));
    std::fs::write(&file, b"inputs: \xff").unwrap();
    assert!(Config::load(&file).unwrap_err().to_string().contains("must be UTF-8"));
    let missing = Config::load(&folder.path().join("none.yml")).unwrap_err().to_string();
    assert!(missing.contains("none.yml cannot be read") && missing.contains("-c FILE"), "{missing}");
}

#[test]
fn inputs_up_to_their_limit() {
    let inputs = |n: usize| (0..n).fold("inputs:\n".to_owned(), |text, i| text + &format!("  - id: feed{i}\n"));
    assert_eq!(good(&inputs(MAX_INPUTS)).inputs.len(), MAX_INPUTS);
    let error = parse(&inputs(MAX_INPUTS + 1)).unwrap_err().to_string();
    assert!(error.contains("`inputs` has 101 entries; at most 100"), "{error}");
}

#[test]
fn deep_and_huge_files_are_refused() {
    let deep = format!("inputs: {}{}", "[".repeat(100), "]".repeat(100));
    let wide = format!("inputs: [{}]", "1,".repeat(60_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
    for text in [deep.as_str(), wide.as_str(), bomb] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains("not YAML that can be read"), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        ("input:\n", "etc/tipline.yml:1:"),
        ("input: []\n", "`input` is no setting; did you mean `inputs`?"),
        ("zzz: 1\n", "`zzz` is no setting; it may hold inputs, output"),
        ("inputs: socdefenders\n", "`inputs`: found `socdefenders`, expected a list"),
        ("inputs:\n  - socdefenders\n", "`inputs[0]`: found `socdefenders`, expected keys with values"),
        ("inputs:\n  - url: https://a.example\n", "`inputs[0].id` is missing; expected a short name"),
        ("inputs:\n  - id: a\n  - id: a\n", "`inputs[1].id` is `a`, as is inputs[0].id"),
        ("inputs:\n  - id: a\n    id: b\n", "duplicate"),
        ("a: [\n", "not YAML that can be read"),
        ("- a\n", "The file: found a list of 1, expected keys with values"),
        ("a: 1\n---\nb: 2\n", "not YAML that can be read"),
        ("output:\n  sqlite: {}\n  ndjson: {}\n", "`output` names more than one output"),
        ("output:\n  kafka: {}\n", "`output.kafka` is no setting; it may hold sqlite"),
        ("output:\n  sqlite: {file: x}\n", "`output.sqlite.file` is no setting"),
        ("sweep: {interval: 1s}\n", "`sweep.interval`: found `1s`, expected a duration from 1m to 30d"),
        (
            "rejects: {max_raw: 17MiB}\n",
            "`rejects.max_raw`: found `17MiB`, expected a size such as 512KiB or 5MiB, from",
        ),
        ("rejects: {max_total: 65GiB}\n", "`rejects.max_total`: found `65GiB`, expected a size"),
        ("memory: {max_bytes: 1023KiB}\n", "`memory.max_bytes`: found `1023KiB`, expected a size"),
        ("memory: {max_bytes: 1025GiB}\n", "`memory.max_bytes`: found `1025GiB`, expected a size"),
        ("memory: {max: 1}\n", "`memory.max` is no setting; it may hold max_bytes"),
        ("rejects: {max_bytes: 1}\n", "`rejects.max_bytes` is no setting; it may hold max_raw, max_total"),
        ("http: {listen: everywhere}\n", "`http.listen`: found `everywhere`, expected an address and port"),
        (
            "output: {ndjson: {}}\nhttp: {page: true}\n",
            "`http` asks for the page, which shows what is stored, and an ndjson",
        ),
        ("http: {page: maybe}\n", "`http.page`: found `maybe`, expected true or false"),
        (
            "monitoring: {listen: '127.0.0.1:1'}\n",
            "`monitoring` is called `http` now: write `http: {listen: \"127.0.0.1:9464\"}`",
        ),
        ("log: {format: xml}\n", "`log.format`: found `xml`, expected human or json"),
        ("log: {level: loud}\n", "`log.level`: found `loud`, expected error or warn or info"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n{error}\nnot: {expected}");
    }
}

#[test]
fn what_is_wrong_with_an_input_is_named() {
    for (lines, expected) in [
        ("type: taxi", "`inputs[0].type`: found `taxi`, expected socdefenders"),
        ("url: ftp://a.example", "`inputs[0].url`: found `ftp://a.example`, expected an address such as https://"),
        ("url: a.example", "`inputs[0].url`: found `a.example`, expected an address"),
        ("url: https://a.example/?api_key=canary", "`inputs[0].url` holds a query"),
        ("url: https://u:canary@a.example", "`inputs[0].url` holds a user or password"),
        ("url: '//u:canary@a.example'", "`inputs[0].url` cannot be read as an address"),
        ("interval: 9s", "`inputs[0].interval`: found `9s`, expected a duration from 10s to 3650d"),
        ("interval: 15", "`inputs[0].interval`: found the number `15`, expected a duration such as 30s"),
        ("interval: ${KEY}", "`inputs[0].interval`: found `${KEY}`, expected a duration"),
        ("interval: ${NONE}", "`inputs[0].interval`: the environment variable NONE is not set"),
        ("intervall: 1h", "`inputs[0].intervall` is no setting; did you mean `interval`?"),
        ("api_kee: canary", "`inputs[0].api_kee` is no setting; did you mean `api_key`?"),
        ("jitter: 1h", "`inputs[0].jitter`: found `1h`, expected a duration from 0ms to 15m"),
        ("max_pages: 0", "`inputs[0].max_pages`: found the number `0`, expected a whole number from 1"),
        ("max_fruitless: 0", "`inputs[0].max_fruitless`: found the number `0`, expected a whole number from 1"),
        ("max_pages: many", "`inputs[0].max_pages`: found `many`, expected a whole number"),
        ("http: {timeout: 0s}", "`inputs[0].http.timeout`: found `0s`, expected a duration from 1s to 1h"),
        ("http: {max_body: 65MiB}", "`inputs[0].http.max_body`: found `65MiB`, expected a size such as 512KiB"),
        ("http: {allow_insecure: maybe}", "`inputs[0].http.allow_insecure`: found `maybe`, expected true or false"),
        ("http: {ca_fingerprint: abc}", "`inputs[0].http.ca_fingerprint`: found `abc`, expected the SHA-256"),
        ("http: {tiemout: 1s}", "`inputs[0].http.tiemout` is no setting; did you mean `timeout`?"),
        ("api_key: canary\napi_key_file: b", "`inputs[0].api_key_file` and `api_key` are both given"),
        ("api_key: canary\nusername: b", "`inputs[0].username` and `api_key` are both given"),
        ("username: b", "`inputs[0].username` has no `password`"),
        ("password: canary", "`inputs[0].password` has no `username`"),
        ("api_key: ''", "`inputs[0].api_key` is empty"),
        ("api_key:", "`inputs[0].api_key` is empty"),
        ("api_key: [canary]", "`inputs[0].api_key` is empty or no text"),
        ("api_key: \"canary\\nx\"", "`inputs[0].api_key` holds a line end"),
        ("api_key: ${NONE}", "the environment variable NONE is not set"),
        ("auth:", "`inputs[0].auth` is empty or no group of keys; expected `{scheme: Token, key: …}` or `{header:"),
        ("auth: Token canary", "`inputs[0].auth` is empty or no group of keys"),
        ("auth: [canary]", "`inputs[0].auth` is empty or no group of keys"),
        ("auth: {}", "`inputs[0].auth` has neither `header` nor `scheme`; expected one of them"),
        ("auth: {key: canary}", "`inputs[0].auth` has neither `header` nor `scheme`"),
        ("auth: {scheme: Token}", "`inputs[0].auth.key` is missing; expected it, as in ${NAME}, or a `key_file`"),
        ("auth: {scheme: Token, key: ''}", "`inputs[0].auth.key` is empty"),
        ("auth: {scheme: Token, key: [canary]}", "`inputs[0].auth.key` is empty or no text"),
        ("auth: {scheme: Token, key: \"canary\\ncanary\"}", "`inputs[0].auth.key` holds a line end"),
        ("auth: {scheme: Token, key: Token canary}", "`inputs[0].auth.key` holds a space; expected the key alone"),
        ("auth: {scheme: Token, key: canary, key_file: k}", "`inputs[0].auth.key_file` and `key` are both given"),
        ("auth: {scheme: Token canary}", "`inputs[0].auth.scheme` is no word that can stand before a key"),
        ("auth: {scheme: [canary], key: canary}", "`inputs[0].auth.scheme` is empty or no text"),
        (
            "auth: {scheme: Basic, key: canary}",
            "`inputs[0].auth.scheme` is `Basic`, which is made of two texts; write `username`",
        ),
        (
            "auth: {header: 'X-Api-Key: canary'}",
            "`inputs[0].auth.header` is no name of a header; expected the name alone",
        ),
        ("auth: {header: '', key: canary}", "`inputs[0].auth.header` is empty or no text"),
        ("auth: {header: Host, key: canary}", "`inputs[0].auth.header` is a header that has a meaning of its own"),
        ("auth: {header: cookie, key: canary}", "`inputs[0].auth.header` is a header that has a meaning of its own"),
        ("auth: {header: Accept, key: canary}", "`inputs[0].auth.header` is a header that has a meaning of its own"),
        ("auth: {headers: X-A, key: canary}", "`inputs[0].auth.headers` is no setting; did you mean `header`?"),
        (
            "auth: {scheme: Token, key: canary}\napi_key: canary",
            "`inputs[0].auth` and `api_key` are both given; expected one",
        ),
        ("auth: {scheme: Token, key: canary}\napi_key_file: k", "`inputs[0].auth` and `api_key_file` are both given"),
        (
            "auth: {scheme: Token, key: canary}\nusername: u\npassword: canary",
            "`inputs[0].auth` and `username` are both given",
        ),
        ("auth: {scheme: Token, key: \"${NONE}\"}", "`inputs[0].auth.key`: the environment variable NONE is not set"),
        ("exclude: {a: b}", "`inputs[0].exclude`: found a group of keys, expected a text or a list of texts"),
        ("exclude: [[a]]", "`inputs[0].exclude[0]`: found a list of 1, expected a text"),
    ] {
        let error = input(lines).unwrap_err().to_string();
        assert!(error.contains(expected), "{lines}\n{error}\nnot: {expected}");
        assert!(!error.contains("canary"), "{error}");
    }
    for id in ["Feed", "a b", "ä", "''", &"a".repeat(65)] {
        let error = parse(&format!("inputs: [{{id: {id}}}]")).unwrap_err().to_string();
        assert!(error.contains("inputs[0].id"), "{error}");
    }
    assert!(parse(&format!("inputs: [{{id: {}}}]", "a".repeat(64))).is_ok());
}

#[test]
fn what_is_wrong_with_elasticsearch_is_named() {
    const HOST: &str = "hosts: [https://a.example]\n";
    for (lines, expected) in [
        ("index: a", "`output.elasticsearch.hosts` is missing; expected a list such as"),
        ("hosts: []", "`output.elasticsearch.hosts`: found a list of 0"),
        ("hosts: [a.example:9200]", "`output.elasticsearch.hosts[0]`: found `a.example:9200`, expected an address"),
        ("hosts: nonsense", "`output.elasticsearch.hosts`: found `nonsense`, expected an address"),
        (
            "hosts: [\"http://a:9200\", \"nonsense\"]",
            "`output.elasticsearch.hosts[1]`: found `nonsense`, expected an address",
        ),
        ("hosts: [https://a.example, \"https://u:canary@b\"]", "`output.elasticsearch.hosts[1]` holds a user"),
        (&format!("{HOST}cloud_id: a:b"), "`output.elasticsearch.cloud_id` and `hosts` are both given; expected one"),
        (
            "cloud_id: deployment",
            "`output.elasticsearch.cloud_id` has no `:` between a name and the rest; copy the Cloud ID",
        ),
        (&format!("{HOST}index: Upper"), "`output.elasticsearch.index`: found `Upper`, expected an index name"),
        (&format!("{HOST}index: logs-*"), "`output.elasticsearch.index`: found `logs-*`"),
        (&format!("{HOST}namespace: a-b"), "`output.elasticsearch.namespace`: found `a-b`"),
        (&format!("{HOST}mode: both"), "`output.elasticsearch.mode`: found `both`, expected latest or events"),
        (&format!("{HOST}workers: 17"), "expected a whole number from 1 to 16"),
        (&format!("{HOST}bulk_max_bytes: 1KiB"), "from 64 KiB to 100 MiB"),
        (&format!("{HOST}compression_level: 10"), "from 0 to 9"),
        (&format!("{HOST}shards: 0"), "from 1 to 1024"),
        (&format!("{HOST}replicas: 101"), "from 0 to 100"),
        (
            &format!("{HOST}connect_timeout: 0s"),
            "`output.elasticsearch.connect_timeout`: found `0s`, expected a duration",
        ),
        (&format!("{HOST}retry: {{initial: 1ms}}"), "`output.elasticsearch.retry.initial`: found `1ms`"),
        (
            &format!("{HOST}retry: {{max: 500ms}}"),
            "`output.elasticsearch.retry.max`: found `500ms`, expected a duration from 1s",
        ),
        (&format!("{HOST}retry: {{give_up_after: 2d}}"), "`output.elasticsearch.retry.give_up_after`: found `2d`"),
        (
            &format!("{HOST}retry: {{tries: 3}}"),
            "`output.elasticsearch.retry.tries` is no setting; it may hold initial",
        ),
    ] {
        let error = elasticsearch(lines).unwrap_err().to_string();
        assert!(error.contains(expected), "{lines}\n{error}\nnot: {expected}");
    }
}

#[test]
fn names_up_to_their_limit() {
    for (key, longest, fits) in
        [("index", 255, true), ("index", 256, false), ("namespace", 100, true), ("namespace", 101, false)]
    {
        let lines = format!("hosts: [https://a.example]\n{key}: {}", "a".repeat(longest));
        assert_eq!(elasticsearch(&lines).is_ok(), fits, "{key} {longest}");
    }
}

#[test]
fn files_up_to_their_depth_and_width() {
    // The document, `inputs` and `exclude` are a level or a node each.
    let nested = |depth: usize| format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
    let listed = |count: usize| format!("a: [{}]", "1,".repeat(count));
    let is_yaml = |text: String| !parse(&text).unwrap_err().to_string().contains("not YAML that can be read");
    let deepest = (1..=2 * tree::MAX_DEPTH).take_while(|depth| is_yaml(nested(*depth))).count();
    assert!((tree::MAX_DEPTH - 2..=tree::MAX_DEPTH).contains(&deepest), "{deepest}");
    assert!(is_yaml(listed(tree::MAX_NODES - 10)) && !is_yaml(listed(tree::MAX_NODES)));
}

/// A folder with a guest's file of this length, and the configuration of an input that names it, with further lines.
fn with_guest(length: u64, lines: &str) -> (tempfile::TempDir, Result<Input, ConfigError>) {
    let folder = tempfile::tempdir().unwrap();
    let guest = folder.path().join("guest.wasm");
    std::fs::File::create(&guest).unwrap().set_len(length).unwrap();
    let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(std::fs::read(guest).unwrap()));
    let text = format!(
        "inputs:\n  - id: feed\n    url: https://feed.example\n    type: guest.wasm\n    sha256: {sum}\n{lines}"
    );
    let config = Config::parse(&text, &folder.path().join("tipline.yml"), &variables);
    (folder, config.map(|mut config| config.inputs.remove(0)))
}

#[test]
fn a_guests_file_is_read_up_to_its_limit() {
    assert!(with_guest(MAX_GUEST_BYTES, "").1.is_ok());
    let error = with_guest(MAX_GUEST_BYTES + 1, "").1.unwrap_err().to_string();
    assert!(error.contains("guest.wasm, which cannot be read: it is longer than 64 MiB"), "{error}");
}

#[test]
fn a_guests_limits_are_settings_within_bounds() {
    use tipline_sandbox::{CallLimits, CompileLimits};
    let limits =
        |lines: &str| with_guest(8, &format!("    sandbox: {{{lines}}}\n")).1.map(|i| i.guest_file.unwrap().limits);
    assert_eq!(limits("").unwrap(), CallLimits::SANDBOXED);
    let time = Some(Duration::from_secs(7));
    let set = CallLimits { fuel: Some(5_000_000), memory_bytes: 1 << 30, output_bytes: 1 << 20, time };
    assert_eq!(limits("fuel: 5000000, memory: 1GiB, output: 1MiB, time: 7s").unwrap(), set);
    let compile =
        |lines: &str| with_guest(8, &format!("    sandbox: {{{lines}}}\n")).1.map(|i| i.guest_file.unwrap().compile);
    assert_eq!(compile("").unwrap(), CompileLimits::DEFAULT);
    let set = CompileLimits { memory_bytes: 1 << 30, time: Duration::from_secs(300) };
    assert_eq!(compile("compile_memory: 1GiB, compile_time: 5m").unwrap(), set);
    for edge in [
        "fuel: 1000000",
        "fuel: 1000000000000",
        "memory: 1MiB",
        "memory: 4GiB",
        "output: 64KiB",
        "output: 1GiB",
        "time: 100ms",
        "time: 1h",
        "compile_memory: 32MiB",
        "compile_memory: 16GiB",
        "compile_time: 100ms",
        "compile_time: 1h",
    ] {
        assert!(limits(edge).is_ok(), "{edge}");
    }
    for (beyond, part) in [
        ("fuel: 999999", "`inputs[0].sandbox.fuel`: found the number `999999`, expected a whole number from 1000000"),
        ("fuel: 1000000000001", "to 1000000000000"),
        ("memory: 1023KiB", "from 1 MiB to 4 GiB"),
        ("memory: 5GiB", "from 1 MiB to 4 GiB"),
        ("output: 63KiB", "from 64 KiB to 1 GiB"),
        ("output: 2GiB", "from 64 KiB to 1 GiB"),
        ("time: 99ms", "from 100ms to 1h"),
        ("time: 2h", "from 100ms to 1h"),
        ("compile_memory: 31MiB", "from 32 MiB to 16 GiB"),
        ("compile_memory: 17GiB", "from 32 MiB to 16 GiB"),
        ("compile_time: 2h", "from 100ms to 1h"),
        ("speed: 3", "`inputs[0].sandbox.speed` is no setting; it may hold fuel, memory, output, time"),
    ] {
        let error = limits(beyond).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_is_wrong_with_a_guest_is_named() {
    for (lines, part) in [
        (
            "type: other",
            "`inputs[0].type`: found `other`, expected socdefenders, or the path of a guest such as ./my-mapper.wasm",
        ),
        ("sha256: aa", "`inputs[0].sha256` is for a guest of your own"),
        ("type: socdefenders\nsandbox: {fuel: 1000000}", "`inputs[0].sandbox` is for a guest of your own"),
        ("type: ./none.wasm", "`inputs[0].type` names etc/./none.wasm, which cannot be read"),
    ] {
        let error = input(lines).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("guest.wasm"), "x").unwrap();
    let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("x"));
    let text = format!("inputs:\n  - id: feed\n    type: guest.wasm\n    sha256: {sum}\n");
    let error = Config::parse(&text, &folder.path().join("tipline.yml"), &variables).unwrap_err().to_string();
    assert!(error.contains("`inputs[0].url` is missing; expected the address of this guest's feed"), "{error}");
}

#[test]
fn messages_say_where() {
    let error = parse("inputs:\n  - id: feed\n    interval: soon\n").unwrap_err();
    assert!(matches!(error, ConfigError::Invalid { line: 3, column: 15, .. }), "{error:?}");
    let error = parse("inputs:\n  - id: feed\n    x: {\n").unwrap_err();
    assert!(matches!(error, ConfigError::Invalid { line: 3.., .. }), "{error:?}");
}

#[test]
fn sizes_and_durations() {
    for (text, expected) in
        [("90s", Some(90_000)), ("2w", Some(1_209_600_000)), ("1h 5m", None), ("5", None), ("", None)]
    {
        assert_eq!(parse_duration(text), expected.map(Duration::from_millis), "{text}");
    }
    for (text, expected) in [("4096", Some(4_096)), ("5MiB", Some(5 << 20)), ("5 mb", Some(5_000_000)), ("x", None)] {
        assert_eq!(parse_size(text), expected, "{text}");
    }
}

#[test]
fn the_way_to_a_server_is_set_alike_for_feeds_and_elasticsearch() {
    let inline = |text: &str| SecretSource::Inline(Secret::new(text));
    let way = "proxy: http://proxy.example:3128\nproxy_username: pu\nproxy_password_file: pp\nclient_cert: c.pem\n\
               client_key: k.pem\nclient_key_passphrase: sk_live_canary";
    let headers = "headers: {X-Tenant: \"${KEY}\", X-Team: {file: team}, X-Level: 3}";
    let feed = input(&format!("{headers}\nhttp: {{{}}}", way.replace('\n', ", "))).unwrap();
    let es = elasticsearch(&format!("hosts: http://localhost:9200\n{headers}\n{way}")).unwrap();
    for (proxy, tls, headers) in [(&feed.http.proxy, &feed.http.tls, &feed.headers), (&es.proxy, &es.tls, &es.headers)]
    {
        let proxy = proxy.as_ref().unwrap();
        assert_eq!(proxy.url.as_str(), "http://proxy.example:3128/");
        let login = ProxyLogin { username: "pu".to_owned(), password: SecretSource::File("etc/pp".into()) };
        assert_eq!((proxy.login.as_ref(), proxy.named_by), (Some(&login), "proxy"));
        let client = ClientCertificate {
            certificate: "etc/c.pem".into(),
            key: Some("etc/k.pem".into()),
            passphrase: Some(inline("sk_live_canary")),
        };
        assert_eq!(tls.client.as_ref(), Some(&client));
        let own = |name, value| OwnHeader::new(name, value).unwrap();
        let team = SecretSource::File("etc/team".into());
        let expected = [own("x-tenant", inline("sk_live_canary")), own("x-team", team), own("x-level", inline("3"))];
        assert_eq!(*headers, expected);
    }
    let auth = elasticsearch("hosts: http://localhost:9200\nauth: {scheme: Token, key: k}").unwrap().credential;
    let header = tipline_model::secret::KeyHeader::new(None, Some("Token")).unwrap();
    assert_eq!(auth, Some(Credential::Key(header, inline("k"))));
    // No guest sees any of it.
    assert!(!feed.guest_config.contains("canary") && !feed.guest_config.contains("X-"), "{}", feed.guest_config);
}

#[test]
fn what_cannot_be_used_of_a_way_is_refused_without_a_secret() {
    for (settings, expected) in [
        ("http: {proxy: 'http://u:canary@'}", "`inputs[0].http.proxy` cannot be read"),
        ("http: {proxy: 'socks5://u:canary@a.example'}", "`inputs[0].http.proxy` is neither an http nor an https"),
        ("http: {proxy: 'http://u:canary@a.example/x'}", "has something behind its port"),
        (
            "http: {proxy: 'http://u:canary@a.example', proxy_username: u, proxy_password: canary}",
            "expected one of them",
        ),
        ("http: {proxy: 'http://a.example', proxy_username: u}", "`inputs[0].http.proxy_username` has no"),
        ("http: {proxy: 'http://a.example', proxy_password: canary}", "has no `proxy_username`"),
        ("http: {proxy_username: u, proxy_password: canary}", "but no `proxy` is"),
        ("http: {proxy: none, proxy_username: u, proxy_password: canary}", "but no `proxy` is"),
        ("http: {client_key: k.pem}", "`inputs[0].http.client_key` has no `client_cert`"),
        ("http: {client_key_passphrase: canary}", "has no `client_cert`"),
        ("headers: canary", "no group of keys"),
        ("headers: {X-A: }", "`inputs[0].headers.X-A` is empty"),
        ("headers: {X-A: [canary]}", "`inputs[0].headers.X-A` is empty or no text"),
        ("headers: {X-A: {value: canary}}", "`inputs[0].headers.X-A.value` is no setting"),
        ("headers: {X-A: \"a\\ncanary\"}", "without line ends"),
        ("headers: {'X-A canary': a}", "`inputs[0].headers` has a key that is no name"),
        ("headers: {Authorization: canary}", "is where a credential goes"),
        ("headers: {Host: canary}", "leave it out"),
        ("headers: {cookie: canary}", "leave it out"),
        ("headers: {Transfer-Encoding: canary}", "leave it out"),
        ("headers: {X-A: canary, x-a: canary}", "is given twice"),
        ("auth: {header: X-A, key: canary}\nheaders: {x-a: canary}", "is the header of `auth`"),
    ] {
        let error = input(settings).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("canary"), "{settings}: {error}");
    }
}

#[test]
fn the_environments_proxy_is_used_where_none_is_set() {
    let of = |url: &str, http: &str, variables: &[(&str, &str)]| {
        let text = format!("inputs: [{{id: a, url: '{url}', http: {http}}}]");
        let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        Config::parse(&text, Path::new("tipline.yml"), &lookup).map(|mut config| config.inputs.remove(0).http.proxy)
    };
    const HTTPS: (&str, &str) = ("HTTPS_PROXY", "http://pu:pp@proxy.example:3128");
    for (url, http, variables, expected) in [
        ("https://a.example", "{}", &[HTTPS][..], Some("HTTPS_PROXY")),
        ("https://a.example", "{}", &[("https_proxy", "proxy.example:3128"), HTTPS], Some("https_proxy")),
        ("https://a.example", "{}", &[("ALL_PROXY", "http://proxy.example:3128")], Some("ALL_PROXY")),
        ("https://a.example", "{}", &[("HTTP_PROXY", "http://proxy.example:3128")], None),
        ("http://a.example", "{}", &[HTTPS], None),
        ("http://a.example", "{}", &[("http_proxy", "http://proxy.example:3128")], Some("http_proxy")),
        ("https://a.example", "{proxy: none}", &[HTTPS], None),
        ("https://a.example", "{proxy: 'http://proxy.example:3128'}", &[HTTPS], Some("proxy")),
        ("https://a.example", "{}", &[("HTTPS_PROXY", "")], None),
        // What is on this machine is not behind it.
        ("https://127.0.0.1:8443", "{}", &[HTTPS], None),
        ("https://localhost", "{}", &[HTTPS], None),
        ("https://a.example", "{}", &[HTTPS, ("NO_PROXY", "*")], None),
        ("https://a.example", "{}", &[HTTPS, ("NO_PROXY", "b.example, A.example")], None),
        ("https://x.a.example", "{}", &[HTTPS, ("no_proxy", ".a.example")], None),
        ("https://xa.example", "{}", &[HTTPS, ("no_proxy", "a.example")], Some("HTTPS_PROXY")),
        ("https://a.example:8443", "{}", &[HTTPS, ("NO_PROXY", "a.example:8443")], None),
        ("https://a.example", "{}", &[HTTPS, ("NO_PROXY", "a.example:8443")], Some("HTTPS_PROXY")),
        ("https://10.1.2.3", "{}", &[HTTPS, ("NO_PROXY", "10.0.0.0/8")], None),
        ("https://[fd00::1]", "{}", &[HTTPS, ("NO_PROXY", "[fd00::1]")], None),
        ("https://11.1.2.3", "{}", &[HTTPS, ("NO_PROXY", "10.0.0.0/8,")], Some("HTTPS_PROXY")),
    ] {
        let proxy = of(url, http, variables).unwrap();
        assert_eq!(proxy.as_ref().map(|proxy| proxy.named_by), expected, "{url} {http} {variables:?}");
        assert!(proxy.is_none_or(|proxy| proxy.url.as_str() == "http://proxy.example:3128/"));
    }
    let login = of("https://a.example", "{}", &[HTTPS]).unwrap().unwrap().login.unwrap();
    assert_eq!(login.username, "pu");
    // The login of its own goes to the environment's proxy, too.
    let own = of("https://a.example", "{proxy_username: me, proxy_password: mine}", &[HTTPS]).unwrap().unwrap();
    assert_eq!(own.login.unwrap().username, "me");
    let error = of("https://a.example", "{}", &[("HTTPS_PROXY", "socks5://u:canary@a")]).unwrap_err().to_string();
    assert!(error.contains("HTTPS_PROXY in the environment") && error.contains("`proxy: none`"), "{error}");
    assert!(!error.contains("canary"), "{error}");
}

#[test]
fn of_several_hosts_those_on_this_machine_are_not_behind_the_environments_proxy() {
    let text = "output: {elasticsearch: {hosts: ['https://localhost:9200', 'https://es.example:9200']}}";
    let lookup = |name: &str| (name == "HTTPS_PROXY").then(|| "http://proxy.example:3128".to_owned());
    let config = Config::parse(text, Path::new("tipline.yml"), &lookup).unwrap();
    let Output::Elasticsearch(es) = config.output else { panic!("{:?}", config.output) };
    let proxy = es.proxy.unwrap();
    let served: Vec<_> = es.hosts.iter().map(|host| proxy.serves(host)).collect();
    assert_eq!(served, [false, true]);
}

#[test]
fn what_is_our_own_in_messages_is_known() {
    let config = good(
        "inputs:\n  - id: feed\n    url: https://feed.example/v1/\n    api_key_file: /run/feed.key\n\
         output:\n  elasticsearch:\n    hosts: ['http://127.0.0.1:9201/']\n    namespace: soc\n    api_key_file: /run/es.key\n",
    );
    let own = config.own_words();
    for word in [
        "https://feed.example/v1/",
        "http://127.0.0.1:9201/",
        "/run/feed.key",
        "/run/es.key",
        "logs-ti.socdefenders-soc",
        "logs-ti.socdefenders-soc/_open",
        "logs-ti.socdefenders-soc/_settings",
        "index.blocks.write",
    ] {
        assert!(own.iter().any(|own| own == word), "{word}: {own:?}");
    }
}
