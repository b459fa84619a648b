//! Log lines on standard error: for people, or one ECS document in JSON a line.
//!
//! Values in a log come from feeds, and a feed's values are written by attackers. In JSON they are escaped by the
//! serialiser; in text every control character, and every character that turns the direction of writing or cannot be
//! seen, is written as an escape, so that no value can forge a line or steer a terminal. Only this program's own events
//! are logged at the level asked for; the libraries' only from `warn` on, because their debug lines can hold requests.
//!
//! A line that cannot be written is lost without a sound: a closed pipe must not stop a poll.

use std::fmt::{self, Write as _};
use std::io::Write;

use crate::config::LogFormat;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The version of the schema that JSON lines follow.
const ECS_VERSION: &str = "8.17.0";

/// Sends the program's events of this level and above to `out`, which gives the place for one line, from now on.
///
/// # Errors
/// Where it was called before.
pub fn init_logging<W: Write + 'static>(
    format: LogFormat,
    level: Level,
    out: impl Fn() -> W + Send + Sync + 'static,
) -> Result<(), TryInitError> {
    tracing_subscriber::registry().with(lines(format, level, out)).try_init()
}

/// The layer that writes; `out` gives the place for one line.
fn lines<S, W>(format: LogFormat, level: Level, out: impl Fn() -> W + Send + Sync + 'static) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Write + 'static,
{
    let own = Targets::new().with_default(LevelFilter::WARN).with_target("tipline", level);
    Lines { format, out }.with_filter(own)
}

struct Lines<O> {
    format: LogFormat,
    out: O,
}

impl<S, O, W> Layer<S> for Lines<O>
where
    S: Subscriber,
    O: Fn() -> W + Send + Sync + 'static,
    W: Write + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = format!("{:.3}", jiff::Timestamp::now());
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let line = match self.format {
            LogFormat::Text => fields.text(&time, level),
            LogFormat::Json => fields.json(&time, level, target),
        };
        // In one write, so that lines of several threads do not mix.
        let _ = (self.out)().write_all(line.as_bytes());
    }
}

/// An event's fields in their order.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn text(&self, time: &str, level: &Level) -> String {
        let mut line = format!("{time} {level:>5} {}", Visible(&self.message));
        for (name, value) in &self.others {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(line, " {name}={}", Visible(&value));
        }
        line.push('\n');
        line
    }

    fn json(self, time: &str, level: &Level, target: &str) -> String {
        let mut document = Map::new();
        document.insert("@timestamp".to_owned(), time.into());
        nest(&mut document, "log.level", level.as_str().to_ascii_lowercase().into());
        document.insert("message".to_owned(), self.message.into());
        nest(&mut document, "ecs.version", ECS_VERSION.into());
        nest(&mut document, "log.logger", target.into());
        for (name, value) in self.others {
            // ECS has `input.type` only; the input's id is ours.
            nest(&mut document, if name == "input.id" { "tipline.input" } else { name }, value);
        }
        let mut line = Value::Object(document).to_string();
        line.push('\n');
        line
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// Puts a value at a dotted name. Where a part of the name holds a value already, the whole name stands at the top.
fn nest(document: &mut Map<String, Value>, name: &str, value: Value) {
    if let Some((first, rest)) = name.split_once('.')
        && let Value::Object(inner) = document.entry(first).or_insert_with(|| Value::Object(Map::new()))
    {
        nest(inner, rest, value);
        return;
    }
    document.insert(name.to_owned(), value);
}

/// A text that cannot steer a terminal.
struct Visible<'a>(&'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            let unseen = matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{61C}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}');
            if c.is_control() || unseen {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: Level, events: impl FnOnce()) -> String {
        let sink = Sink::default();
        let out = sink.clone();
        let subscriber = tracing_subscriber::registry().with(lines(format, level, move || out.clone()));
        tracing::subscriber::with_default(subscriber, events);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    const HOSTILE: &str = "a\r\nb\u{1b}[31m\u{202e}\u{7}\u{9b}\u{200b}\"\\";

    #[test]
    fn json_lines_are_ecs_documents() {
        let text = logged(LogFormat::Json, Level::INFO, || {
            tracing::info!(input.id = "feed", event.duration = 7_u64, url.path = HOSTILE, "Done {}", 1);
        });
        assert_eq!(text.matches('\n').count(), 1);
        let mut line: Value = serde_json::from_str(&text).unwrap();
        let time = line.as_object_mut().unwrap().remove("@timestamp").unwrap();
        assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
        let expected = serde_json::json!({
            "log": {"level": "info", "logger": module_path!()}, "message": "Done 1", "ecs": {"version": ECS_VERSION},
            "tipline": {"input": "feed"}, "event": {"duration": 7}, "url": {"path": HOSTILE}
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn text_lines_hold_nothing_that_steers_a_terminal() {
        let text = logged(LogFormat::Text, Level::INFO, || {
            tracing::warn!(target: "tipline::http", value = HOSTILE, shown = ?HOSTILE, "{HOSTILE}");
        });
        assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "{text:?}");
        assert!(text.trim_end().chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{text:?}");
        assert!(text.contains(" WARN a\\r\\nb\\u{1b}[31m\\u{202e}"), "{text}");
    }

    #[test]
    fn own_events_from_the_level_on_and_the_libraries_warnings() {
        let events = || {
            tracing::debug!(target: "tipline::http", "own debug");
            tracing::trace!(target: "tipline::http", "own trace");
            tracing::info!(target: "h2", "library info");
            tracing::warn!(target: "h2", "library warning");
        };
        let text = logged(LogFormat::Text, Level::DEBUG, events);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("own debug") && text.contains("library warning"), "{text}");
    }

    #[test]
    fn names_that_clash_are_kept() {
        let mut document = Map::new();
        nest(&mut document, "a", 1.into());
        nest(&mut document, "a.b", 2.into());
        assert_eq!(Value::Object(document), serde_json::json!({"a": 1, "a.b": 2}));
    }
}
