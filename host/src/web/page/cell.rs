//! What stands in a cell: a value as text that does no harm, with what can be done with it.
//!
//! What a feed says is shown defanged and with its hidden characters spelled out. The value itself stands in an attribute,
//! from which scripts copy it.

use std::cell::Cell;

use maud::{Markup, html};

use super::columns::{Column, Shown};
use super::view::View;
use crate::clock::Millis;
use crate::document::Group;
use crate::text;
use crate::time;

/// More words of one cell are counted.
const WORDS_SHOWN: usize = 3;

/// The longest that a cell shows of a value; the details have all of it.
const CHARS_SHOWN: usize = 120;

/// The longest value that a cell carries to be copied. A page has many of them, and must stay small.
const CHARS_COPIED: usize = 512;

/// The cells of a view: what can be done with a value is to filter it in or out, and to copy it.
pub(super) struct Values<'v> {
    pub(super) view: &'v View,
    /// How many bytes of values the page carries to be copied; once they are too many, it carries no more.
    pub(super) carried: Cell<usize>,
}

/// See [`Values::carried`].
const MOST_CARRIED: usize = 64 * 1024;

/// The longest value that can be asked for: longer keywords are not searchable.
const CHARS_ASKED: usize = 1_024;

/// Whether a value can be asked for.
pub(super) fn is_asked(value: &str) -> bool {
    value.chars().nth(CHARS_ASKED).is_none()
}

/// A value with what scripts need of it: the field by which it is filtered, and itself, to be copied. What HTML would change
/// in an attribute stands there as JSON. None is a value that is missing, and can be filtered for, too.
pub(super) fn value(field: &str, value: Option<&str>, shown: &Markup) -> Markup {
    let is_changed = value.is_some_and(|value| value.contains(['\r', '\0']));
    let is_asked = value.is_none_or(is_asked);
    let json = value.filter(|_| is_changed).map(|value| serde_json::Value::from(value).to_string());
    html! {
        span.value data-field=[is_asked.then_some(field)] data-value=[value.filter(|_| !is_changed)] data-json=[json] { (shown) }
    }
}

impl<'v> Values<'v> {
    pub(super) fn new(view: &'v View) -> Self {
        Self { view, carried: Cell::new(0) }
    }

    /// A value of a field, as it is shown, with its actions. A missing one can be filtered for as well.
    pub(super) fn of(&self, field: &str, value: &str, shown: &Markup) -> Markup {
        match value {
            "" => self::value(field, None, &html! { span.none title="not provided" { "–" } }),
            value if self.carries(value) => self::value(field, Some(value), shown),
            _ => shown.clone(),
        }
    }

    /// Several values of a field.
    pub(super) fn words(&self, field: &str, words: &[&str]) -> Markup {
        if words.is_empty() {
            return self.of(field, "", &html! {});
        }
        html! {
            @for word in words.iter().take(WORDS_SHOWN) {
                (self.of(field, word, &html! { span.word { (text::cut(&text::show(word), 40)) } })) " "
            }
            @if words.len() > WORDS_SHOWN {
                span.more title=(words.iter().skip(WORDS_SHOWN).map(|word| text::show(word)).collect::<Vec<_>>().join("\n")) {
                    "+" (words.len() - WORDS_SHOWN)
                }
            }
        }
    }

    fn carries(&self, value: &str) -> bool {
        let carried = self.carried.get() + value.len();
        let carries = value.len() <= CHARS_COPIED && carried <= MOST_CARRIED;
        if carries {
            self.carried.set(carried);
        }
        carries
    }
}

/// The cell of a row in a column.
pub(super) fn cell(column: &Column, row: &Group, now: Millis, values: &Values<'_>) -> Markup {
    match column.shown {
        Shown::Name => name(row, values),
        Shown::Kind => values.of("type", row.kind(), &kind(row.kind())),
        Shown::Confidence => values.of("confidence", row.confidence(), &confidence(row.confidence())),
        Shown::Marking => values.of("tlp", row.marking(), &marking(row.marking())),
        Shown::Words(path, name) => values.words(name, &row.texts(path)),
        Shown::Earliest(path) => time(row.earliest(path), now),
        Shown::Latest(path) => time(row.latest(path), now),
        Shown::Ends => ends(row, now),
        Shown::Claims => html! { (text::count(row.count())) },
        Shown::Id => html! { code { (text::show(row.id())) } },
    }
}

/// The indicator itself, which leads to its details.
fn name(row: &Group, values: &Values<'_>) -> Markup {
    let (name, shown) = (row.name(), text::show(row.name()));
    let details = values.view.showing(Some(row.id()), super::view::Tab::default()).link("/");
    let link = html! {
        a.name href=(details) title=[(shown.chars().count() > CHARS_SHOWN / 2).then(|| text::cut(&shown, 400))] {
            @if shown.is_empty() { "(no value)" } @else { (text::cut(&shown, CHARS_SHOWN)) }
        }
    };
    if !name.is_empty() && values.carries(name) {
        return value("value", Some(name), &link);
    }
    // Scripts ask for what is too long to be carried.
    html! { span.value data-claim=(row.id()) { (link) } }
}

/// A type, with a colour of its kind.
pub(super) fn kind(kind: &str) -> Markup {
    let class = match kind {
        "ipv4-addr" | "ipv6-addr" | "autonomous-system" | "mac-addr" => "net",
        "domain-name" | "url" => "web",
        "file" => "file",
        "email-addr" | "email-message" => "mail",
        _ => "other",
    };
    html! { span class=(format!("kind {class}")) { (text::show(kind)) } }
}

/// A confidence, with a bar of three.
pub(super) fn confidence(word: &str) -> Markup {
    let steps = match word.to_ascii_lowercase().as_str() {
        "high" => 3,
        "medium" => 2,
        "low" => 1,
        "" | "not specified" => return html! { span.none title="not provided" { "–" } },
        _ => 0,
    };
    html! { span class=(format!("sure s{steps}")) { i aria-hidden="true" {} i aria-hidden="true" {} i aria-hidden="true" {} (text::show(word)) } }
}

/// A marking of the traffic light protocol; what is none of it is shown as it is.
pub(super) fn marking(word: &str) -> Markup {
    let plain = word.trim().trim_start_matches("TLP:").to_ascii_uppercase();
    let class = match plain.as_str() {
        "" => return html! { span.none title="not provided" { "–" } },
        "RED" => "red",
        "AMBER" | "AMBER+STRICT" => "amber",
        "GREEN" => "green",
        "CLEAR" | "WHITE" => "clear",
        _ => return html! { (text::show(word)) },
    };
    html! { span class=(format!("tlp {class}")) { (plain) } }
}

/// A time as it is written in a document: to the minute, with how long ago that is for who asks.
pub(super) fn time(written: &str, now: Millis) -> Markup {
    let Some(at) = time::parse(written) else {
        return html! { @if written.is_empty() { span.none title="not provided" { "–" } } @else { (text::cell(written)) } };
    };
    html! { time datetime=(time::print(at)) title=(format!("{} · {}", text::instant(at), text::relative(at, now))) { (minute(at)) } }
}

/// A moment to the minute, which scripts show in another zone.
pub(super) fn moment(at: Millis) -> Markup {
    html! { time datetime=(time::print(at)) { (minute(at)) } }
}

/// `2026-11-27 10:15`.
pub(super) fn minute(at: Millis) -> String {
    let instant = text::instant(at);
    match (instant.get(..10), instant.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute}"),
        _ => instant,
    }
}

/// When a row ends, or that it has.
fn ends(row: &Group, now: Millis) -> Markup {
    let written = row.ends();
    let is_live = row.is_live(now);
    let Some(at) = time::parse(written) else {
        return html! { span.none { @if is_live { "never" } @else { "ended" } } };
    };
    let class = match (is_live, at.saturating_sub(now) < 7 * 24 * 3_600_000) {
        (false, _) => "ended",
        (true, true) => "soon",
        (true, false) => "later",
    };
    html! {
        time class=(class) datetime=(time::print(at)) title=(text::instant(at)) {
            @if is_live { (in_days(at, now)) } @else { "ended " (minute(at).get(..10).unwrap_or_default()) }
        }
    }
}

/// `in 45 days`, `in 3 h`.
fn in_days(at: Millis, now: Millis) -> String {
    let hours = at.saturating_sub(now) / 3_600_000;
    match hours {
        0 => "within the hour".to_owned(),
        1..48 => format!("in {hours} h"),
        _ => format!("in {} days", hours / 24),
    }
}
