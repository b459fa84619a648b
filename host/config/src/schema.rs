//! The JSON schema of the configuration, and the table of all settings.
//!
//! Neither is written by hand. The configuration is read once for each of some samples while every question is noted
//! (`asked`), so keys, types, words and bounds are those of the reading itself; the guest's settings are its own word
//! (`config_schema` of `describe`); descriptions stand in `described`. Draft 7, as editors understand that one best.
//!
//! What the program takes, the schema takes. It refuses what is wrong by type, by word or by pattern; what depends on
//! files, variables, other keys or the length of a duration is for the program (`tipline check`). A text that holds a
//! variable (`${NAME}`) is taken anywhere, as what it will be is not known.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::asked::{Asked, Shape};
use super::described::{DESCRIBED, Described};
use super::guest_file::Guests;
use super::{MAX_INPUTS, file, tree};

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::complaints;

/// Every group, and every value that is looked at closer only where there is one.
const SAMPLES: [&str; 6] = [
    "{inputs: [{id: a, auth: {scheme: A, key: k}, headers: {X-A: b}, http: {}}], \
      output: {elasticsearch: {hosts: ['https://a.example'], auth: {scheme: A, key: k}, headers: {X-A: b}, retry: {}}}, \
      sweep: {}, rejects: {}, memory: {}, http: {listen: '127.0.0.1:1'}, log: {}}",
    "{inputs: [{id: a, api_key: k}], output: {sqlite: {}}}",
    "{inputs: [{id: a, username: u, password: p}], output: {elasticsearch: {hosts: ['https://a.example'], username: u, password: p}}}",
    "{output: {ndjson: {}}}",
    "{output: {elasticsearch: {hosts: ['https://a.example'], api_key: k}}}",
    "{inputs: [{id: a, type: ./none.wasm, sandbox: {}}]}",
];

/// A secret's key must not be left without a value: an empty one would be sent.
const SECRETS: [&str; 5] = ["api_key", "password", "key", "proxy_password", "client_key_passphrase"];

const VARIABLE: &str = r"\$\{";
const DURATION: &str = r"^\s*[0-9]+\s*(ms|s|m|h|d|w)\s*$";
const SIZE: &str = r"^\s*[0-9]+\s*([bB]|[kKmMgG]([iI]?[bB])?)?\s*$";
const URL: &str = r"^\s*[Hh][Tt][Tt][Pp][Ss]?:[/\\]*[^/\\?#@]+([/\\][^?#]*)?$";
const PROXY: &str = r"^\s*(none|([Hh][Tt][Tt][Pp][Ss]?://)?[^/\\?#\s]+/?)\s*$";
const SOCKET: &str = r"^([0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+$";

/// What a text has to look like, where the reading looks closer at it than its type.
const PATTERNS: [(&str, &str); 13] = [
    ("inputs[].id", r"^[a-z0-9_-]{1,64}$"),
    ("inputs[].type", r"^socdefenders$|[/\\]|\.wasm$"),
    ("inputs[].sha256", r"^[0-9A-Fa-f]{64}$"),
    ("inputs[].auth.header", r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    ("inputs[].auth.scheme", r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    ("inputs[].http.proxy", PROXY),
    ("output.elasticsearch.proxy", PROXY),
    ("output.elasticsearch.auth.header", r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    ("output.elasticsearch.auth.scheme", r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    ("inputs[].http.ca_fingerprint", r"^:*([0-9A-Fa-f]:*){64}$"),
    ("output.elasticsearch.ca_fingerprint", r"^:*([0-9A-Fa-f]:*){64}$"),
    ("output.elasticsearch.index", r#"^[^-_+A-Z\s\\/*?"<>|,#:][^A-Z\s\\/*?"<>|,#:]{0,254}$"#),
    ("output.elasticsearch.namespace", r#"^[^-_+A-Z\s\\/*?"<>|,#:][^-A-Z\s\\/*?"<>|,#:]{0,99}$"#),
];

const INTRODUCTION: &str = "\
# All settings

This page is printed by `tipline schema --markdown`; `tipline schema` prints the same as a JSON schema
([tipline.schema.json](tipline.schema.json)), from which editors complete a configuration and check it:

```
tipline schema > tipline.schema.json
```

and at the beginning of `tipline.yml`, which `tipline init` writes by itself:

```
# yaml-language-server: $schema=tipline.schema.json
```

What is left out has its default. A misspelt key or a value out of bounds is refused with its place in the file. In texts
`${NAME}` is an environment variable, `${NAME:default}` one with a default, and `$${` stands for `${`. Relative paths start at
the configuration's folder. A duration is a whole number with `ms`, `s`, `m`, `h`, `d` or `w`; a size is one with `KiB`,
`MiB`, `GiB`, `KB`, `MB`, `GB` or nothing. `inputs[].http.timeout` stands below as `http.timeout`.

Bounds without a setting, and the tests of all bounds, stand in [tests/BOUNDS.md](../tests/BOUNDS.md).
";

/// The schema of a configuration whose built-in guest has these settings.
pub fn schema(guest: &Value) -> Value {
    Schema::new(guest).whole()
}

/// All settings as Markdown tables.
pub fn settings(guest: &Value) -> String {
    Schema::new(guest).tables()
}

struct Schema<'g> {
    asked: Rc<Asked>,
    described: BTreeMap<&'static str, &'static Described>,
    guest: &'g Value,
}

impl<'g> Schema<'g> {
    fn new(guest: &'g Value) -> Self {
        let asked = Rc::new(Asked::default());
        for sample in SAMPLES {
            if let Ok(mut root) = tree::parse(sample, &|_| None) {
                root.watch(&asked);
                // The sample of a guest's file ends at the file; what was asked until then is what counts.
                let _ = file::read(&root, Path::new(""), &|_| None, Guests::Run);
            }
        }
        Self { asked, described: DESCRIBED.iter().map(|d| (d.path, d)).collect(), guest }
    }

    fn whole(&self) -> Value {
        let mut properties = self.properties("", &self.keys(""));
        let outputs = self.properties("output", &self.keys("output"));
        properties.insert("inputs".to_owned(), self.inputs());
        properties.insert(
            "output".to_owned(),
            json!({
                "description": self.text("output"), "type": ["object", "null"], "maxProperties": 1,
                "additionalProperties": false, "properties": outputs,
            }),
        );
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "The configuration of Tipline",
            "type": ["object", "null"],
            "additionalProperties": false,
            "properties": properties,
        })
    }

    fn inputs(&self) -> Value {
        let of_host: Vec<String> = file::INPUT_KEYS.iter().map(|key| (*key).to_owned()).collect();
        let host = self.properties("inputs[]", &of_host);
        let without = |key: &&String| !["sha256", "sandbox"].contains(&key.as_str());
        let built_in = host.iter().filter(|(key, _)| without(key)).map(|(key, _)| (key.clone(), json!(true)));
        let mut built_in: Map<String, Value> = built_in.collect();
        for (key, value) in self.guests_own() {
            built_in.insert(key.clone(), woven(value, self.guest, key));
        }
        json!({
            "description": self.text("inputs"), "type": ["array", "null"], "maxItems": MAX_INPUTS,
            "items": {
                "type": "object",
                "required": ["id"],
                "properties": host,
                "allOf": [
                    {
                        "if": {"properties": {"type": {"enum": ["socdefenders", null]}}},
                        "then": {"properties": built_in, "additionalProperties": false},
                    },
                    {
                        "if": {
                            "required": ["type"],
                            "properties": {"type": {"type": "string", "not": {"pattern": format!("^socdefenders$|{VARIABLE}")}}},
                        },
                        // The sum may still be missing: `tipline check` says what to write.
                        "then": {"required": ["url", "sha256"], "properties": not_null(&["url"])},
                    },
                    not_both("api_key", "api_key_file"),
                    not_both("password", "password_file"),
                    not_both("api_key", "username"),
                ],
            },
        })
    }

    /// The keys of the built-in guest that are not the host's.
    fn guests_own(&self) -> impl Iterator<Item = (&'g String, &'g Value)> {
        let properties = self.guest.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().filter(|(key, _)| !file::INPUT_KEYS.contains(&key.as_str()))
    }

    fn keys(&self, path: &str) -> Vec<String> {
        self.asked.keys(path).unwrap_or_default()
    }

    fn text(&self, path: &str) -> &'static str {
        self.described.get(path).map_or("", |described| described.text)
    }

    fn properties(&self, path: &str, keys: &[String]) -> Map<String, Value> {
        let below = |key: &String| if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        keys.iter().map(|key| (key.clone(), self.property(&below(key)))).collect()
    }

    fn property(&self, path: &str) -> Value {
        let key = path.rsplit('.').next().unwrap_or(path);
        // An output's group is opened by its name, without a question.
        let shape = self.asked.at(path).unwrap_or(Shape::Group);
        let pattern = PATTERNS.iter().find(|(of, _)| *of == path).map(|(_, pattern)| *pattern);
        let mut property = match &shape {
            Shape::Text | Shape::File => {
                let pattern = pattern.map_or_else(|| r"\S".to_owned(), or_variable);
                json!({"type": ["string", "number", "null"], "pattern": pattern})
            }
            Shape::Texts => texts(json!({"type": ["string", "number"], "pattern": r"\S"})),
            Shape::Urls => texts(json!({"type": "string", "pattern": or_variable(URL)})),
            Shape::Word(words) => {
                let words: Vec<Value> = words.iter().map(|word| json!(word)).chain([Value::Null]).collect();
                json!({"anyOf": [{"enum": words}, {"type": "string", "pattern": VARIABLE}]})
            }
            Shape::Flag => {
                json!({"type": ["boolean", "string", "null"], "pattern": or_variable("^(true|false)$")})
            }
            Shape::Number(bounds) => json!({
                "type": ["integer", "string", "null"], "minimum": bounds.start(), "maximum": bounds.end(),
                "pattern": or_variable(r"^\s*\+?[0-9]+\s*$"),
            }),
            Shape::Size(bounds) => json!({
                "type": ["string", "integer", "null"], "minimum": bounds.start(), "maximum": bounds.end(),
                "pattern": or_variable(SIZE),
            }),
            Shape::Duration(_) => json!({"type": ["string", "null"], "pattern": or_variable(DURATION)}),
            Shape::Url => json!({"type": ["string", "null"], "pattern": or_variable(URL)}),
            Shape::Socket => json!({"type": ["string", "null"], "pattern": or_variable(SOCKET)}),
            Shape::Group => self.group(path),
        };
        let required = [("inputs[]", "id"), ("inputs[]", "auth")].iter().any(|(of, k)| path == format!("{of}.{k}"));
        if required || SECRETS.contains(&key) || path == "output.elasticsearch" {
            refuse_null(&mut property);
        }
        let described = self.described.get(path);
        let allowed = allowed(&shape);
        let text = described.map_or("", |described| described.text);
        let text = if allowed.is_empty() || matches!(shape, Shape::Word(_)) {
            text.to_owned()
        } else {
            format!("{text} {}.", upper(&allowed))
        };
        if let Some(property) = property.as_object_mut() {
            if let Some(described) = described.filter(|described| !described.default.is_empty()) {
                property.insert("default".to_owned(), typed(&shape, described.default));
            }
            property.insert("description".to_owned(), text.into());
        }
        property
    }

    fn group(&self, path: &str) -> Value {
        if path.ends_with(".headers") {
            let text = json!({"type": ["string", "number", "boolean"], "pattern": r"\S"});
            let file = json!({"type": ["string", "number"], "pattern": r"\S"});
            let from_file = json!({
                "type": "object", "additionalProperties": false, "required": ["file"], "properties": {"file": file},
            });
            return json!({"type": "object", "additionalProperties": {"anyOf": [text, from_file]}});
        }
        let Some(keys) = self.asked.keys(path) else {
            return json!({"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean", "null"]}});
        };
        let mut group = json!({
            "type": ["object", "null"], "additionalProperties": false, "properties": self.properties(path, &keys),
        });
        if path == "inputs[].http" {
            group["allOf"] = secrets_of_the_way();
        }
        if path == "output.elasticsearch" {
            let hosts = json!({"hosts": {"not": {"enum": [null, []]}}});
            let cloud = json!({"cloud_id": {"not": {"type": "null"}}});
            group["oneOf"] =
                json!([{"required": ["hosts"], "properties": hosts}, {"required": ["cloud_id"], "properties": cloud}]);
            group["allOf"] = json!([
                not_both("api_key", "api_key_file"),
                not_both("password", "password_file"),
                not_both("api_key", "username"),
                not_both("proxy_password", "proxy_password_file"),
                not_both("client_key_passphrase", "client_key_passphrase_file"),
            ]);
        }
        group
    }

    fn tables(&self) -> String {
        let mut out = INTRODUCTION.to_owned();
        let mut table = |title: &str, rows: Vec<[String; 4]>| {
            let _ = write!(out, "\n## {title}\n\n| Setting | Allowed | Default | What it is |\n|---|---|---|---|\n");
            for [setting, allowed, default, text] in rows {
                let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
                let _ = writeln!(out, "| `{setting}` | {} | {default} | {text} |", allowed.replace('|', "\\|"));
            }
        };
        let of_host: Vec<String> = file::INPUT_KEYS.iter().map(|key| (*key).to_owned()).collect();
        table("An input: `inputs:`, a list", self.rows("inputs[]", "", &of_host));
        let guests = self.guests_own().flat_map(|(key, value)| guest_rows(key, value, self.guest)).collect();
        table("Of an input with the built-in guest", guests);
        for output in self.keys("output") {
            let path = format!("output.{output}");
            table(&format!("`output: {{{output}: {{…}}}}`"), self.rows(&path, "", &self.keys(&path)));
        }
        let rest = self.keys("").into_iter().filter(|key| !["inputs", "output"].contains(&key.as_str()));
        let rest: Vec<String> = rest.collect();
        table("Of the whole", self.rows("", "", &rest));
        out
    }

    /// The settings at this path and below; `shown` is what stands before their names.
    fn rows(&self, path: &str, shown: &str, keys: &[String]) -> Vec<[String; 4]> {
        let mut rows = Vec::new();
        for key in keys {
            let whole = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let name = if shown.is_empty() { key.clone() } else { format!("{shown}.{key}") };
            let shape = self.asked.at(&whole).unwrap_or(Shape::Group);
            let default = self.described.get(whole.as_str()).map_or("", |described| described.default);
            rows.push([name.clone(), allowed(&shape), default.to_owned(), self.text(&whole).to_owned()]);
            rows.extend(self.rows(&whole, &name, &self.keys(&whole)));
        }
        rows
    }
}

/// How a guest's schema bounds a duration, for which JSON schema has no words: the host's own takes them into the description.
const LEAST: &str = "minimumDuration";
const MOST: &str = "maximumDuration";

/// A guest's setting and those below it.
fn guest_rows(name: &str, value: &Value, root: &Value) -> Vec<[String; 4]> {
    let text = |key: &str| match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.is_empty() => String::new(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let mut rows = vec![[name.to_owned(), guest_allowed(value, root), text("default"), text("description")]];
    for (key, below) in value.get("properties").and_then(Value::as_object).into_iter().flatten() {
        rows.extend(guest_rows(&format!("{name}.{key}"), below, root));
    }
    rows
}

fn guest_allowed(value: &Value, root: &Value) -> String {
    let value = &resolved(value, root);
    let words = |list: &Value| {
        let words = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    };
    if let Some(list) = value.get("enum") {
        return words(list);
    }
    if let Some(one) = value.get("const") {
        return words(&json!([one]));
    }
    if let Some(ways) = value.get("anyOf").and_then(Value::as_array) {
        return ways.iter().map(|way| guest_allowed(way, root)).collect::<Vec<_>>().join(", or ");
    }
    let kind = value.get("type").and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("integer") => {
            let at = |key: &str| value.get(key).and_then(Value::as_u64);
            match (at("minimum"), at("maximum")) {
                (Some(from), Some(to)) => format!("{from} to {to}"),
                (Some(from), None) => format!("from {from}"),
                _ => "a whole number".to_owned(),
            }
        }
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("array") => {
            let items = value.get("items").map(|items| guest_allowed(items, root)).unwrap_or_default();
            format!("a list of: {items}")
        }
        Some("object") => "a group".to_owned(),
        Some("string")
            if value.get("pattern").is_some_and(|pattern| pattern.as_str().is_some_and(|p| p.contains("ms|"))) =>
        {
            let at = |key: &str| value.get(key).and_then(Value::as_str);
            match (at(LEAST), at(MOST)) {
                (Some(from), Some(to)) => format!("a duration, {from} to {to}"),
                _ => "a duration".to_owned(),
            }
        }
        _ => "a text".to_owned(),
    }
}

/// What may be written, for people.
fn allowed(shape: &Shape) -> String {
    match shape {
        Shape::Text => "a text".to_owned(),
        Shape::Texts => "a text or a list of texts".to_owned(),
        Shape::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::Flag => "`true`, `false`".to_owned(),
        Shape::Number(bounds) => format!("{} to {}", bounds.start(), bounds.end()),
        Shape::Size(bounds) => {
            format!(
                "a size, {} to {}",
                tipline_model::text::bytes(*bounds.start()),
                tipline_model::text::bytes(*bounds.end())
            )
        }
        Shape::Duration(bounds) => {
            format!(
                "a duration, {} to {}",
                tipline_model::text::duration(*bounds.start()),
                tipline_model::text::duration(*bounds.end())
            )
        }
        Shape::Url => "an address, http or https".to_owned(),
        Shape::Urls => "an address or a list of them, http or https".to_owned(),
        Shape::Socket => "an address and port".to_owned(),
        Shape::File => "a path, from the configuration's folder".to_owned(),
        Shape::Group => "a group".to_owned(),
    }
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A default as the type that an editor would write.
fn typed(shape: &Shape, default: &str) -> Value {
    match shape {
        Shape::Flag | Shape::Number(_) => serde_json::from_str(default).unwrap_or_else(|_| default.into()),
        _ => default.into(),
    }
}

fn or_variable(pattern: &str) -> String {
    format!("{pattern}|{VARIABLE}")
}

/// One of them or a list of them.
fn texts(one: Value) -> Value {
    json!({"anyOf": [{"type": "array", "items": one}, one, {"type": "null"}]})
}

/// A secret stands in the file or in one of its own.
fn secrets_of_the_way() -> Value {
    json!([
        not_both("proxy_password", "proxy_password_file"),
        not_both("client_key_passphrase", "client_key_passphrase_file"),
    ])
}

fn refuse_null(property: &mut Value) {
    if let Some(kinds) = property.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
    }
}

fn not_null(keys: &[&str]) -> Value {
    keys.iter().map(|key| ((*key).to_owned(), json!({"not": {"type": "null"}}))).collect::<Map<_, _>>().into()
}

/// Two ways of saying one thing; a key without a value is not given.
fn not_both(one: &str, other: &str) -> Value {
    json!({"not": {"required": [one, other], "properties": not_null(&[one, other])}})
}

/// A value with what its `$ref` names in its place: beside one, older editors read nothing else.
fn resolved(value: &Value, root: &Value) -> Value {
    let target = value.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(at.trim_start_matches('#')));
    match (target, value) {
        (Some(Value::Object(target)), Value::Object(own)) => {
            let own = own.iter().filter(|(key, _)| *key != "$ref");
            Value::Object(target.iter().chain(own).map(|(k, v)| (k.clone(), v.clone())).collect())
        }
        _ => value.clone(),
    }
}

/// A guest's setting as it may stand in a file: its texts may be variables; the host takes one exclusion for a list of one,
/// and the guest takes a type in any case.
fn woven(value: &Value, root: &Value, key: &str) -> Value {
    let value = resolved(value, root);
    let Value::Object(mut map) = value else { return value };
    if let (Some(Value::String(from)), Some(Value::String(to))) = (map.shift_remove(LEAST), map.shift_remove(MOST)) {
        let said = format!("A duration, {from} to {to}.");
        let said = match map.get("description").and_then(Value::as_str) {
            Some(text) => format!("{text} {said}"),
            None => said,
        };
        map.insert("description".to_owned(), said.into());
    }
    for ways in ["anyOf", "oneOf"] {
        if let Some(Value::Array(ways)) = map.get_mut(ways) {
            ways.iter_mut().for_each(|way| *way = woven(way, root, key));
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        for (key, value) in properties.iter_mut() {
            *value = woven(value, root, key);
        }
    }
    if let Some(items) = map.get_mut("items") {
        *items = woven(items, root, key);
    }
    if let Some(Value::String(pattern)) = map.get_mut("pattern") {
        *pattern = or_variable(pattern);
    }
    if let Some(words) = map.remove("enum") {
        let mut ways = vec![json!({"enum": words}), json!({"type": "string", "pattern": VARIABLE})];
        if key == "types" {
            ways.push(json!({"type": "string", "pattern": in_any_case(&words)}));
        }
        map.insert("anyOf".to_owned(), ways.into());
    }
    if key == "exclude" && map.get("type").is_some_and(|kind| kind == "array") {
        let about = ["default", "description"].into_iter().filter_map(|key| Some((key.to_owned(), map.remove(key)?)));
        let about: Map<String, Value> = about.collect();
        let one = json!({"type": ["string", "number"], "pattern": r"\S"});
        map.insert("items".to_owned(), one.clone());
        let mut exclude = Map::from_iter([("anyOf".to_owned(), json!([map, one]))]);
        exclude.extend(about);
        return Value::Object(exclude);
    }
    Value::Object(map)
}

fn in_any_case(words: &Value) -> String {
    let either = |c: char| match c {
        '_' | '-' => "[_-]".to_owned(),
        c if c.is_ascii_alphabetic() => format!("[{}{c}]", c.to_ascii_uppercase()),
        c => c.to_string(),
    };
    let words = words.as_array().into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<String> = words.map(|word| word.chars().map(either).collect()).collect();
    format!(r"^\s*({})\s*$", words.join("|"))
}
