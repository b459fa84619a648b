use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::*;
use crate::Config;

fn guest() -> Value {
    let described: Value = serde_json::from_str(&socdefenders::describe()).unwrap();
    described["config_schema"].clone()
}

static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::draft7::new(&schema(&guest())).unwrap());

/// What the schema has against a configuration.
pub(crate) fn complaints(yaml: &str) -> Vec<String> {
    let value: Value = serde_saphyr::from_str(yaml).unwrap_or_else(|e| panic!("{yaml}\n{e}"));
    VALIDATOR.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// What the program has against it, the guest included.
fn refusal(yaml: &str) -> Option<String> {
    let config = match Config::parse(yaml, Path::new("etc/tipline.yml"), &|_| Some("x".to_owned())) {
        Ok(config) => config,
        Err(error) => return Some(error.to_string()),
    };
    config.inputs.iter().find_map(|input| match socdefenders::map_records(&input.guest_config, 0, b"") {
        Err(socdefenders::Failure::Config(text)) => Some(text),
        _ => None,
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

#[test]
fn the_files_in_docs_are_current() {
    let text = serde_json::to_string_pretty(&schema(&guest())).unwrap() + "\n";
    let advice = "is behind the program: cargo run --release -- schema";
    assert!(read("docs/tipline.schema.json") == text, "docs/tipline.schema.json {advice} > docs/tipline.schema.json");
    assert!(read("docs/settings.md") == settings(&guest()), "docs/settings.md {advice} --markdown > docs/settings.md");
}

/// Every key that the reading knows, by its whole path.
fn keys(of: &Schema<'_>, path: &str, found: &mut Vec<String>) {
    let mut keys_here = of.keys(path);
    if path == "inputs[]" {
        keys_here = file::INPUT_KEYS.iter().map(|key| (*key).to_owned()).collect();
    }
    for key in keys_here {
        let below = if path.is_empty() { key } else { format!("{path}.{key}") };
        keys(of, &below, found);
        found.push(below);
    }
}

#[test]
fn every_setting_has_its_type_and_its_words() {
    let guest = guest();
    let of = Schema::new(&guest);
    let mut found = Vec::new();
    keys(&of, "", &mut found);
    keys(&of, "inputs[]", &mut found);
    assert!(found.len() > 70, "{found:?}");
    let opened = |path: &str| ["output.sqlite", "output.ndjson", "output.elasticsearch", "inputs"].contains(&path);
    for path in &found {
        assert!(of.asked.at(path).is_some() || opened(path), "{path}: none of SAMPLES makes the reading ask for it");
        assert!(!of.text(path).is_empty(), "{path} has no words in `described`");
        // Headers have names of their own.
        let is_entered = of.asked.keys(path).is_some() || path == "inputs" || path.ends_with(".headers");
        assert!(of.asked.at(path) != Some(Shape::Group) || is_entered, "{path}: none of SAMPLES opens this group");
    }
    for described in DESCRIBED {
        assert!(found.iter().any(|path| path == described.path), "{} is no setting any more", described.path);
    }
    for (key, value) in of.guests_own() {
        assert!(value.get("description").is_some_and(Value::is_string), "the guest's {key} has no description");
    }
}

/// A configuration with this setting, and the same one without it.
fn with_and_without(path: &str, value: &str, sum: &str) -> (String, String) {
    let nested =
        |path: &str, value: &str| path.rsplit('.').fold(value.to_owned(), |inner, key| format!("{{{key}: {inner}}}"));
    let both = |before: &str, after: &str, group: &str, rest: &str| {
        let (with, without) = match rest.rsplit_once('.') {
            None => (format!("{rest}: {value}"), String::new()),
            Some((outer, _)) => {
                let with = nested(rest, value);
                let without = nested(outer, "{}");
                (with[1..with.len() - 1].to_owned(), without[1..without.len() - 1].to_owned())
            }
        };
        let text = |inner: &str| format!("{before}{group}{inner}{after}");
        (text(&with), text(&without))
    };
    if let Some(rest) = path.strip_prefix("inputs[].") {
        let group = match rest {
            _ if rest.starts_with("auth.") => {
                let of = |auth: &str| format!("{{inputs: [{{id: a, auth: {{{auth}scheme: A, key: k}}}}]}}");
                return (of(&format!("header: {value}, ")), of(""));
            }
            _ if rest.starts_with("sandbox.") => {
                format!("id: a, url: 'https://a.example', type: ./guest.wasm, sha256: {sum}, ")
            }
            _ => "id: a, ".to_owned(),
        };
        return both("{inputs: [{", "}]}", &group, rest);
    }
    if let Some(rest) = path.strip_prefix("output.elasticsearch.auth.") {
        let of = |auth: &str| {
            format!("{{output: {{elasticsearch: {{hosts: [https://a.example], auth: {{{auth}scheme: A, key: k}}}}}}}}")
        };
        return (of(&format!("{rest}: {value}, ")), of(""));
    }
    if let Some(rest) = path.strip_prefix("output.elasticsearch.") {
        return both("{output: {elasticsearch: {", "}}}", "hosts: [https://a.example], ", rest);
    }
    both("{", "}", "", path)
}

#[test]
fn the_defaults_are_the_programs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("guest.wasm"), "guest").unwrap();
    let sum = tipline_sandbox::sha256(b"guest");
    let read = |yaml: &str| {
        let config = Config::parse(yaml, &folder.path().join("tipline.yml"), &|_| None);
        format!("{:#?}", config.unwrap_or_else(|e| panic!("{yaml}\n{e}")))
    };
    let defaults: Vec<_> = DESCRIBED.iter().filter(|described| !described.default.is_empty()).collect();
    assert!(defaults.len() > 30, "{}", defaults.len());
    for Described { path, default, .. } in defaults {
        let (with, without) = with_and_without(path, &format!("'{default}'"), &sum);
        assert!(with.contains(default), "{with}");
        assert_eq!(read(&with), read(&without), "{path}: {with}\n{without}");
    }
}

/// The texts between these lines.
fn blocks<'t>(text: &'t str, begin: &str, end: &str) -> Vec<&'t str> {
    text.split(begin).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

#[test]
fn every_configuration_that_is_shown_is_taken() {
    let mut shown = Vec::new();
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    for path in docs.chain([root().join("README.md")]) {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.display().to_string();
        let yaml = blocks(&text, "```yaml\n", "```");
        shown.extend(yaml.iter().map(|block| (file.clone(), (*block).to_owned())));
    }
    for file in ["examples/threatfox/tipline.yml", "host/template/tipline.yml"] {
        shown.push((file.to_owned(), read(file)));
    }
    let help = read("host/src/cli/mod.rs");
    let [example] = blocks(&help, "A configuration:\n", "\nExit codes")[..] else { panic!("no example") };
    shown.push(("tipline --help".to_owned(), example.replace("\\\"", "\"")));
    assert!(shown.len() > 5, "{}", shown.len());
    for (file, yaml) in shown {
        // Rules for Prometheus are YAML, too.
        if yaml.starts_with("groups:") {
            continue;
        }
        // A part of an input is shown without its list.
        let whole = ["inputs:", "output:", "#", "http:", "  output:", "  inputs:"].iter().any(|s| yaml.starts_with(s));
        assert!(whole, "{file}: not a whole configuration: {yaml}");
        assert_eq!(complaints(&yaml), Vec::<String>::new(), "{file}: {yaml}");
    }
}

#[test]
fn what_the_program_takes_the_schema_takes() {
    for yaml in [
        "",
        "# nothing",
        "inputs: []",
        "inputs:",
        "output:",
        "output: {}",
        "output: {ndjson: }",
        "output: {sqlite: {path: 7}}",
        "http:",
        "http: {listen: '[::1]:9464'}",
        "http: {page: 'true'}",
        "log: {level: '${LEVEL:info}'}",
        "rejects: {max_raw: 2048, max_total: 1 gb}",
        "memory: {max_bytes: ' 8GIB '}",
        "sweep: {interval: ' 2 h '}",
        "inputs: [{id: 7}]",
        "inputs: [{id: a, type: }]",
        "inputs: [{id: a, max_pages: '12'}]",
        "inputs: [{id: a, max_pages: '${PAGES:5}', interval: '${EVERY:1h}', url: 'https://${HOST}/'}]",
        "inputs: [{id: a, api_key: 0012}]",
        "inputs: [{id: a, api_key: k, api_key_file: }]",
        "inputs: [{id: a, http: {allow_insecure: 'true', max_body: 65536}}]",
        "inputs: [{id: a, exclude: 10.0.0.0/8}]",
        "inputs: [{id: a, exclude: [1, file:ours.txt]}]",
        "inputs: [{id: a, types: [IPv4, ' Mitre-Attack ']}]",
        "inputs: [{id: a, types: ['${TYPE}'], min_confidence: '${LEAST}', ttl: {ip: '${LIFE}', cve: null}}]",
        "inputs: [{id: a, initial_interval: all, feed: {name: F, reference: }}]",
        "inputs: [{id: a, transport: taxii, collection: [a, b], context: true}]",
        "inputs: [{id: a, auth: {header: X-Api-Key, key_file: k}}]",
        "output: {elasticsearch: {hosts: http://localhost:9200, retry: }}",
        "output: {elasticsearch: {hosts: [], cloud_id: 'prod:Zm91bmQuaW8kNGZhODhhJGtpYjAx'}}",
        "output: {elasticsearch: {hosts: ['HTTPS://es.example:9200/base/'], index: logs-a.b, ca_fingerprint: 'AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99'}}",
    ] {
        let files = ["file:", "${"].iter().any(|part| yaml.contains(part));
        assert!(files || refusal(yaml).is_none(), "{yaml}: {:?}", refusal(yaml));
        assert_eq!(complaints(yaml), Vec::<String>::new(), "{yaml}");
    }
}

#[test]
fn what_the_program_refuses_by_type_the_schema_refuses() {
    const ES: &str = "output: {elasticsearch: {hosts: ['https://a.example'], ";
    let es = |lines: &str| format!("{ES}{lines}}}}}");
    let input = |lines: &str| format!("inputs: [{{id: feed, {lines}}}]");
    let mut wrong: Vec<String> = [
        "7",
        "text",
        "[]",
        "zzz: 1",
        "inputs: 7",
        "inputs: {id: a}",
        "inputs: [7]",
        "inputs: [null]",
        "inputs: [{}]",
        "inputs: [{id: }]",
        "inputs: [{id: [a]}]",
        "inputs: [{id: Feed}]",
        "inputs: [{id: 'a b'}]",
        "inputs: [{id: ''}]",
        "output: 7",
        "output: []",
        "output: {kafka: {}}",
        "output: {sqlite: {}, ndjson: {}}",
        "output: {sqlite: 7}",
        "output: {sqlite: {path: [a]}}",
        "output: {sqlite: {path: ''}}",
        "output: {sqlite: {file: a}}",
        "output: {ndjson: {path: {a: b}}}",
        "output: {elasticsearch: }",
        "output: {elasticsearch: {}}",
        "output: {elasticsearch: {hosts: []}}",
        "output: {elasticsearch: {hosts: }}",
        "output: {elasticsearch: {hosts: [a.example:9200]}}",
        "output: {elasticsearch: {hosts: [7]}}",
        "output: {elasticsearch: {hosts: {a: b}}}",
        "output: {elasticsearch: {hosts: ['https://u:p@a.example']}}",
        "output: {elasticsearch: {hosts: ['ftp://a.example']}}",
        "output: {elasticsearch: {hosts: ['https://a.example/?q']}}",
        "output: {elasticsearch: {hosts: ['https://a.example'], cloud_id: 'a:b'}}",
        "state_dir: [a]",
        "state_dir: true",
        "sweep: 7",
        "sweep: {interval: 7}",
        "sweep: {interval: soon}",
        "sweep: {interval: 1y}",
        "sweep: {interval: -1h}",
        "sweep: {interval: 1.5h}",
        "sweep: {renew: 1d}",
        "sweep: {keep_expired: [1d]}",
        "rejects: {max_raw: 1.5KiB}",
        "rejects: {max_raw: 1}",
        "rejects: {max_raw: many}",
        "rejects: {max_total: true}",
        "rejects: {raw: 1}",
        "memory: {max_bytes: 1000}",
        "memory: 4GiB",
        "http: 9464",
        "http: {listen: 9464}",
        "http: {listen: localhost}",
        "http: {page: maybe}",
        "http: {port: 1}",
        "monitoring: {listen: '127.0.0.1:9464'}",
        "log: info",
        "log: {level: loud}",
        "log: {level: 7}",
        "log: {format: text}",
        "log: {file: a}",
    ]
    .map(str::to_owned)
    .into();
    wrong.extend(
        [
            "type: other",
            "type: [a]",
            "sha256: abc",
            "sandbox: {fuel: 1000000}",
            "type: socdefenders, sandbox: {}",
            "type: ./a.wasm",
            "type: ./a.wasm, url: 'https://a.example'",
            "type: ./a.wasm, sha256: zz, url: 'https://a.example'",
            "url: 7",
            "url: a.example",
            "url: 'ftp://a.example'",
            "url: 'https://u@a.example'",
            "url: 'https://a.example/#x'",
            "url: [a]",
            "api_key: ",
            "api_key: ''",
            "api_key: [a]",
            "api_key: {a: b}",
            "api_key: true",
            "api_key_file: [a]",
            "api_key: a, api_key_file: b",
            "api_key: a, username: b",
            "username: a, password: ",
            "username: a, password: b, password_file: c",
            "username: [a]",
            "auth: ",
            "auth: Token k",
            "auth: [a]",
            "auth: {scheme: Token k, key: k}",
            "auth: {header: 'X: y', key: k}",
            "auth: {headers: a}",
            "auth: {scheme: A, key: }",
            "interval: 15",
            "interval: soon",
            "interval: true",
            "interval: {a: b}",
            "intervall: 1h",
            "jitter: 5",
            "max_pages: 0",
            "max_pages: many",
            "max_pages: -1",
            "max_pages: 1.5",
            "max_pages: 4294967296",
            "max_pages: [1]",
            "max_fruitless: 0",
            "max_wait: 3",
            "http: 7",
            "http: {tiemout: 1s}",
            "http: {timeout: 5}",
            "http: {max_body: 1}",
            "http: {max_body: 67108865}",
            "http: {proxy: [a]}",
            "headers: a",
            "headers: {X-A: [b]}",
            "headers: {X-A: {files: b}}",
            "http: {client_cert: {a: b}}",
            "http: {proxy: 'socks5://a.example'}",
            "http: {ca_file: [a]}",
            "http: {ca_fingerprint: abc}",
            "http: {allow_insecure: maybe}",
            "http: {allow_insecure: 1}",
            "transport: smtp",
            "transport: ",
            "transport: 7",
            "collection: 7",
            "collection: []",
            "collection: {a: b}",
            "transport: taxii, collection: ''",
            "context: 'true'",
            "context: 1",
            "types: ipv4",
            "types: [ipv5]",
            "types: [7]",
            "types: {a: b}",
            "exclude: {a: b}",
            "exclude: [[a]]",
            "exclude: ''",
            "exclude: [null]",
            "min_confidence: some",
            "min_confidence: 50",
            "allow_private: 'yes'",
            "allow_private: ",
            "detect_all: 1",
            "observables: some",
            "keep: everything",
            "keep: true",
            "feed: F",
            "feed: {name: 7}",
            "feed: {title: F}",
            "ttl: 45d",
            "ttl: {ip: 45}",
            "ttl: {ip: soon}",
            "ttl: {address: 45d}",
            "initial_interval: 7",
            "initial_interval: everything",
            "overlap: 5",
            "overlap: [10m]",
            "limit: many",
            "limit: -1",
            "limit: 1.5",
            "limit: 4294967296",
            "max_offset: '7'",
            "max_retries: -1",
            "max_retry_wait: 60",
            "max_rate_wait: long",
            "max_unreadable: x",
            "zzz: 1",
        ]
        .map(input),
    );
    wrong.extend(
        [
            "api_key: ",
            "api_key: {a: b}",
            "api_key: a, api_key_file: b",
            "username: a, password: ",
            "index: Upper",
            "index: logs-*",
            "index: _a",
            "index: [a]",
            "namespace: a-b",
            "namespace: ''",
            "mode: both",
            "mode: [latest]",
            "setup: never",
            "bulk_max_bytes: 1",
            "bulk_max_bytes: x",
            "workers: 0",
            "workers: 17",
            "workers: 1.5",
            "workers: many",
            "compression_level: 10",
            "connect_timeout: 1",
            "timeout: [1s]",
            "retry: 7",
            "retry: {tries: 3}",
            "retry: {initial: 1}",
            "retry: {max: soon}",
            "retry: {give_up_after: 5}",
            "pipeline: [a]",
            "pipeline: ''",
            "ca_file: {a: b}",
            "ca_fingerprint: zz",
            "allow_insecure: 2",
            "allow_insecur: true",
        ]
        .map(es),
    );
    for yaml in wrong {
        assert!(refusal(&yaml).is_some(), "the program takes {yaml}");
        assert!(!complaints(&yaml).is_empty(), "the schema takes {yaml}: {:?}", refusal(&yaml));
    }
}
