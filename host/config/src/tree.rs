//! The YAML file as a tree that remembers where each value stands.
//!
//! The tree is read by [`Section`], which knows the path of each key. So every complaint names the place in the file,
//! the key with all its parents, what was found and what is expected. A value that came from an environment variable is
//! shown as it stands in the file, never as the variable's content: it may be a secret put in the wrong place.
//!
//! The parser refuses a key that is given twice, and its budget refuses files that are nothing but nesting or aliases.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use url::Url;

use super::asked::{Asked, Shape};
use super::interpolate::{self, Lookup};
use super::{ConfigError, parse_duration, parse_size};

/// Nested deeper than any setting; a deeper file is a mistake or an attack on the parser's stack.
pub(super) const MAX_DEPTH: usize = 32;

/// Values in one file: 10,000 exclusions and a hundred inputs with all their settings fit.
pub(super) const MAX_NODES: usize = 50_000;

/// A place in the file, counted from 1; 0 where the parser does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
    /// The value's bytes in the file, for spelling.
    span: Option<(usize, usize)>,
    /// Notes what is asked of it, where a schema is made.
    asked: Option<Rc<Asked>>,
}

/// What YAML can say.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// A number, with the way it is written: a key of digits keeps its zeros.
    Number(serde_json::Number, String),
    Text(Text),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A text, and how it stood in the file where variables were put in.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: String,
    written: Option<String>,
}

/// What is wrong with a value, before the file's name is known.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Place,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn with_file(self, file: &Path) -> ConfigError {
        ConfigError::Invalid {
            file: file.to_owned(),
            line: self.at.line,
            column: self.at.column,
            message: self.message,
        }
    }
}

/// Parses the text and puts variables in, in this order: a variable's content can never change the structure.
pub(super) fn parse(text: &str, lookup: &Lookup<'_>) -> Result<Node, Fault> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_documents: 1 },
        // A snippet would show the lines around the place, and a key may stand there.
        with_snippet: false,
        strict_booleans: true,
    };
    let mut root: Node = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error
            .without_snippet()
            .location()
            .map(|l| Place { line: l.line(), column: l.column() })
            .unwrap_or_default();
        Fault { at, message: format!("this is not YAML that can be read: {}", strip_place(&error.to_string())) }
    })?;
    root.settle(text, "", lookup)?;
    Ok(root)
}

/// The parser ends its messages with the place, which stands in front of ours already.
fn strip_place(message: &str) -> String {
    let first = message.lines().next().unwrap_or(message);
    let cut = first.find(" at line ").map_or(first, |at| &first[..at]);
    format!("{}.", cut.trim_end_matches('.'))
}

impl Node {
    /// Takes the spelling of numbers from the source and puts variables into texts.
    fn settle(&mut self, source: &str, path: &str, lookup: &Lookup<'_>) -> Result<(), Fault> {
        match &mut self.value {
            Value::Number(_, spelling) => {
                if let Some(written) = self.span.and_then(|(from, to)| source.get(from..to)) {
                    let written = written.trim();
                    if written.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
                        written.clone_into(spelling);
                    }
                }
            }
            Value::Text(text) => {
                let filled = interpolate::fill(&text.text, lookup)
                    .map_err(|message| Fault { at: self.at, message: format!("`{path}`: {message}") })?;
                if let Some(filled) = filled {
                    text.written = Some(std::mem::replace(&mut text.text, filled));
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.settle(source, &format!("{path}[{index}]"), lookup)?;
                }
            }
            Value::Map(entries) => {
                for (key, item) in entries {
                    item.settle(source, &join(path, key), lookup)?;
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        Ok(())
    }

    /// Lets every question be noted, to this node and below.
    pub(super) fn watch(&mut self, asked: &Rc<Asked>) {
        self.asked = Some(Rc::clone(asked));
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.watch(asked)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, item)| item.watch(asked)),
            Value::Null | Value::Bool(_) | Value::Number(..) | Value::Text(_) => {}
        }
    }

    /// What stands here, for a message.
    fn describe(&self) -> String {
        const SHOWN: usize = 60;
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(_, spelling) => format!("the number `{spelling}`"),
            Value::Text(text) => {
                let shown: String = text.written.as_ref().unwrap_or(&text.text).chars().take(SHOWN).collect();
                let cut = if shown.len() < text.written.as_ref().unwrap_or(&text.text).len() { "…" } else { "" };
                format!("`{}{cut}`", tipline_model::text::escape(&shown))
            }
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Map(_) => "a group of keys".to_owned(),
        }
    }

    /// Whether this text stands here.
    pub(super) fn is_text(&self, text: &str) -> bool {
        matches!(&self.value, Value::Text(found) if found.text == text)
    }

    /// As JSON, for the guest.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number, _) => number.clone().into(),
            Value::Text(text) => text.text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                serde_json::Value::Object(entries.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A group of keys and its path.
pub(super) struct Section<'t> {
    path: String,
    at: Place,
    entries: &'t [(String, Node)],
    asked: Option<&'t Rc<Asked>>,
}

impl<'t> Section<'t> {
    /// The group at this path; nothing at all counts as an empty one.
    pub(super) fn new(path: impl Into<String>, node: &'t Node) -> Result<Self, Fault> {
        let path = path.into();
        let entries: &[_] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                let name = if path.is_empty() { "The file".to_owned() } else { format!("`{path}`") };
                let message = format!("{name}: found {}, expected keys with values (`key: value`).", node.describe());
                return Err(Fault { at: node.at, message });
            }
        };
        Ok(Self { path, at: node.at, entries, asked: node.asked.as_ref() })
    }

    /// Where it stands, in a file whose name is not known here.
    pub(super) fn place(&self) -> super::Place {
        super::Place { file: PathBuf::new(), line: self.at.line, column: self.at.column }
    }

    /// The whole path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn ask(&self, key: &str, shape: impl FnOnce() -> Shape) {
        if let Some(asked) = self.asked {
            asked.shape(&self.path(key), shape());
        }
    }

    /// Refuses every key that is not one of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Fault> {
        if let Some(asked) = self.asked {
            asked.only(&self.path, known);
        }
        for (key, node) in self.entries {
            if !known.contains(&key.as_str()) {
                let hint = match nearest(key, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it may hold {}.", known.join(", ")),
                };
                let message = format!("`{}` is no setting; {hint}", tipline_model::text::escape(&self.path(key)));
                return Err(Fault { at: node.at, message });
            }
        }
        Ok(())
    }

    /// Keys and values, in the order of the file.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'t str, &'t Node)> {
        self.entries.iter().map(|(key, node)| (key.as_str(), node))
    }

    /// The value of a key; one that is written without a value counts as left out.
    pub(super) fn get(&self, key: &str) -> Option<&'t Node> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, node)| node).filter(|n| !matches!(n.value, Value::Null))
    }

    /// A group below.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, Fault> {
        self.ask(key, || Shape::Group);
        self.get(key).map(|node| Self::new(self.path(key), node)).transpose()
    }

    /// A group that is left out here.
    pub(super) fn nothing(&self) -> Node {
        Node { at: self.at, value: Value::Null, span: None, asked: self.asked.cloned() }
    }

    /// Whether a key is written, with or without a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(k, _)| k == key)
    }

    /// A complaint about a key's value that shows it.
    pub(super) fn refuse(&self, key: &str, expected: impl fmt::Display) -> Fault {
        match self.get(key) {
            Some(node) => self.refuse_node(key, node, expected),
            None => self.fault(key, format!("is missing; expected {expected}.")),
        }
    }

    fn refuse_node(&self, key: &str, node: &Node, expected: impl fmt::Display) -> Fault {
        let message = format!("`{}`: found {}, expected {expected}.", self.path(key), node.describe());
        Fault { at: node.at, message }
    }

    /// A complaint about a key that shows nothing of its value.
    pub(super) fn fault(&self, key: &str, message: impl fmt::Display) -> Fault {
        let at = self.entries.iter().find(|(k, _)| k == key).map_or(self.at, |(_, node)| node.at);
        Fault { at, message: format!("`{}` {message}", self.path(key)) }
    }

    /// A text. Numbers are taken as they are written.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'t str>, Fault> {
        self.ask(key, || Shape::Text);
        self.get(key).map(|node| self.node_text(key, node, "a text")).transpose()
    }

    fn node_text(&self, key: &str, node: &'t Node, expected: &str) -> Result<&'t str, Fault> {
        match &node.value {
            Value::Text(text) if !text.text.trim().is_empty() => Ok(text.text.as_str()),
            Value::Number(_, spelling) => Ok(spelling),
            Value::Text(_) => Err(self.fault(key, format!("is empty; expected {expected}."))),
            _ => Err(self.refuse_node(key, node, expected)),
        }
    }

    /// A list of texts; one text counts as a list of one.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&'t str>>, Fault> {
        self.ask(key, || Shape::Texts);
        let Some(node) = self.get(key) else { return Ok(None) };
        let texts = match &node.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.node_text(&format!("{key}[{index}]"), item, "a text"))
                .collect::<Result<_, _>>()?,
            _ => vec![self.node_text(key, node, "a text or a list of texts")?],
        };
        Ok(Some(texts))
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, Fault> {
        self.ask(key, || Shape::Word(words.iter().map(|(word, _)| (*word).to_owned()).collect()));
        let Some(text) = self.text(key)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let expected = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        found.map(Some).ok_or_else(|| self.refuse(key, expected()))
    }

    /// true or false.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Fault> {
        self.ask(key, || Shape::Flag);
        let Some(node) = self.get(key) else { return Ok(None) };
        match &node.value {
            Value::Bool(value) => Ok(Some(*value)),
            Value::Text(text) if text.text == "true" => Ok(Some(true)),
            Value::Text(text) if text.text == "false" => Ok(Some(false)),
            _ => Err(self.refuse_node(key, node, "true or false")),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, key: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>, Fault> {
        self.ask(key, || Shape::Number(bounds.clone()));
        let Some(node) = self.get(key) else { return Ok(None) };
        let value = match &node.value {
            Value::Number(number, _) => number.as_u64(),
            Value::Text(text) => text.text.trim().parse().ok(),
            _ => None,
        };
        let expected = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        value.filter(|v| bounds.contains(v)).map(Some).ok_or_else(|| self.refuse_node(key, node, expected()))
    }

    /// A duration of at least `min` and at most `max`.
    pub(super) fn duration(&self, key: &str, bounds: RangeInclusive<Duration>) -> Result<Option<Duration>, Fault> {
        self.ask(key, || Shape::Duration(bounds.clone()));
        let Some(node) = self.get(key) else { return Ok(None) };
        let value = match &node.value {
            Value::Text(text) => parse_duration(&text.text),
            _ => None,
        };
        let value = value.ok_or_else(|| self.refuse_node(key, node, "a duration such as 30s, 15m, 24h or 45d"))?;
        let expected = || {
            let (from, to) =
                (tipline_model::text::duration(*bounds.start()), tipline_model::text::duration(*bounds.end()));
            format!("a duration from {from} to {to}")
        };
        Some(value).filter(|v| bounds.contains(v)).map(Some).ok_or_else(|| self.refuse_node(key, node, expected()))
    }

    /// A number of bytes such as `5MiB`, within bounds.
    pub(super) fn size(&self, key: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>, Fault> {
        self.ask(key, || Shape::Size(bounds.clone()));
        let Some(node) = self.get(key) else { return Ok(None) };
        let value = match &node.value {
            Value::Text(text) => parse_size(&text.text),
            Value::Number(number, _) => number.as_u64(),
            _ => None,
        };
        let expected = || {
            let (from, to) = (tipline_model::text::bytes(*bounds.start()), tipline_model::text::bytes(*bounds.end()));
            format!("a size such as 512KiB or 5MiB, from {from} to {to}")
        };
        value.filter(|v| bounds.contains(v)).map(Some).ok_or_else(|| self.refuse_node(key, node, expected()))
    }

    /// An http or https address without user, password, query or fragment. What holds a password is not shown.
    pub(super) fn url(&self, key: &str) -> Result<Option<Url>, Fault> {
        self.ask(key, || Shape::Url);
        let Some(text) = self.text(key)? else { return Ok(None) };
        self.parse_url(key, text, &["http", "https"]).map(Some)
    }

    /// [`Section::url`] for a text that was read already.
    pub(super) fn parse_url(&self, key: &str, text: &str, schemes: &[&str]) -> Result<Url, Fault> {
        self.ask(key, || Shape::Url);
        self.parse_url_at(key, self.get(key), text, schemes)
    }

    /// The same for each of a list; what is wrong is named with its place in it.
    pub(super) fn parse_urls(&self, key: &str, texts: &[&str], schemes: &[&str]) -> Result<Vec<Url>, Fault> {
        self.ask(key, || Shape::Url);
        let items = match self.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => return texts.iter().map(|text| self.parse_url(key, text, schemes)).collect(),
        };
        let one = |(index, text): (usize, &&str)| {
            self.parse_url_at(&format!("{key}[{index}]"), items.get(index), text, schemes)
        };
        texts.iter().enumerate().map(one).collect()
    }

    fn parse_url_at(&self, key: &str, node: Option<&Node>, text: &str, schemes: &[&str]) -> Result<Url, Fault> {
        let expected = format!("an address such as {}://host.example", schemes.last().copied().unwrap_or("https"));
        let at = node.map_or(self.at, |node| node.at);
        let fault = |message: String| Fault { at, message: format!("`{}` {message}", self.path(key)) };
        let refuse = || match node {
            Some(node) => self.refuse_node(key, node, &expected),
            None => fault(format!("is missing; expected {expected}.")),
        };
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(_) if text.contains('@') => {
                return Err(fault(format!("cannot be read as an address; expected {expected}.")));
            }
            Err(_) => return Err(refuse()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fault("holds a user or password; put them into `username` and `password_file`.".to_owned()));
        }
        if !schemes.contains(&url.scheme()) || url.host().is_none() {
            return Err(refuse());
        }
        if url.query().is_some() || url.fragment().is_some() {
            let text = "holds a query (`?…`) or fragment (`#…`); expected the base address alone.";
            return Err(fault(text.to_owned()));
        }
        Ok(url)
    }

    /// An address to listen on.
    pub(super) fn socket(&self, key: &str) -> Result<Option<SocketAddr>, Fault> {
        self.ask(key, || Shape::Socket);
        let Some(text) = self.text(key)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.refuse(key, "an address and port such as 127.0.0.1:9464"))
    }

    /// A path, relative to the folder of the configuration.
    pub(super) fn file(&self, key: &str, folder: &Path) -> Result<Option<PathBuf>, Fault> {
        self.ask(key, || Shape::File);
        Ok(self.text(key)?.map(|text| folder.join(text)))
    }
}

/// The known key that a misspelt one probably meant.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    // Two typing errors in a long word, one in a short one.
    let allowed = if key.chars().count() > 5 { 2 } else { 1 };
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(key, k), *k))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, k)| k)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let (at, span) = (spanned.referenced, spanned.defined.span());
        let span = span.byte_offset().zip(span.byte_len()).and_then(|(offset, len)| {
            let from = usize::try_from(offset).ok()?;
            Some((from, from.checked_add(usize::try_from(len).ok()?)?))
        });
        Ok(Self { at: Place { line: at.line(), column: at.column() }, value: spanned.value, span, asked: None })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into(), value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into(), value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Text(Text { text: value.to_string(), written: None }))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Text(Text { text: value.to_string(), written: None }))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("a number without an end"))?;
        let spelling = number.to_string();
        Ok(Value::Number(number, spelling))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(Text { text: value.to_owned(), written: None }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}
