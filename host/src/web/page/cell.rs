//! What stands in a cell: a value as text that does no harm, with what can be done with it.
//!
//! What a feed says is shown defanged and with its hidden characters spelled out. Where the value itself cannot be told from
//! that, it stands in an attribute, from which scripts copy it.

use std::cell::Cell;

use maud::{Markup, html};

use super::columns::{Column, Shown};
use super::view::View;
use crate::clock::Millis;
use crate::document::Group;
use crate::text;
use crate::time;

/// More words of one cell are counted.
const WORDS_SHOWN: usize = 2;

/// The longest that a cell shows of a word, and a hint of what a cell leaves out.
const WORD_SHOWN: usize = 40;
const TITLE_SHOWN: usize = 400;

/// The longest that a cell shows of a value; the details have all of it.
const CHARS_SHOWN: usize = 120;

/// The longest value that a cell carries to be copied. A page has many of them, and must stay small.
const CHARS_COPIED: usize = 512;

/// The longest of a row's address that all rows of a page repeat.
const CHARS_REPEATED: usize = 16 * 1024;

/// The cells of a view's table.
pub(super) struct Cells {
    /// What stands before a row's id in its address.
    before: String,
    /// How many bytes of values the page carries to be copied; once they are too many, it carries no more.
    carried: Cell<usize>,
}

/// See [`Cells::carried`].
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

/// What scripts make of a shown value, which is the value itself where nothing more is sent with it. `page.js` has the same.
fn refanged(shown: &str) -> String {
    let plain = shown.replace("[.]", ".").replace("[at]", "@");
    match plain.strip_prefix("hxxp") {
        Some(rest) => format!("http{rest}"),
        None => plain,
    }
}

/// A value that is missing, or says that it is.
fn missing(said: &str) -> Markup {
    html! { i data-value=[Some(said).filter(|said| !said.is_empty())] { "–" } }
}

impl Cells {
    pub(super) fn new(view: &View) -> Self {
        let here = view.showing(None, super::view::Tab::default()).link("/");
        let beside = format!("{here}{}id=", if here.contains('?') { '&' } else { '?' });
        // Scripts make the address beside the table of the one alone.
        let is_short = beside.len().saturating_mul(view.size) <= CHARS_REPEATED;
        let before = if is_short { beside } else { "/indicators/".to_owned() };
        Self { before, carried: Cell::new(0) }
    }

    /// The cell of a row in a column.
    pub(super) fn cell(&self, column: &Column, row: &Group, now: Millis) -> Markup {
        match column.shown {
            Shown::Name => self.name(row),
            Shown::Kind => self.marked(row.kind(), Some(format!("kind {}", kind_class(row.kind())))),
            Shown::Confidence if is_none(row.confidence()) => missing(row.confidence()),
            Shown::Confidence => self.marked(row.confidence(), Some(format!("sure s{}", steps(row.confidence())))),
            Shown::Marking if row.marking().trim().is_empty() => missing(""),
            Shown::Marking => match marking_class(row.marking()) {
                Some((word, class)) => self.span(row.marking(), word, Some(&format!("tlp {class}"))),
                None => self.marked(row.marking(), None),
            },
            Shown::Words(path, _) => self.words(&row.texts(path)),
            Shown::Earliest(path) => seen(row.earliest(path)),
            Shown::Latest(path) => seen(row.latest(path)),
            Shown::Ends => ends(row, now),
            Shown::Claims => html! { (text::count(row.count())) },
            Shown::Id => html! { code { (text::show(row.id())) } },
        }
    }

    /// A value as it is shown, with a class of its own.
    fn marked(&self, value: &str, class: Option<String>) -> Markup {
        match value {
            "" => missing(""),
            value => self.span(value, &text::cut(&text::show(value), WORD_SHOWN), class.as_deref()),
        }
    }

    /// A value, and itself beside it where it cannot be told from what is shown. What is too long to be sent along can be
    /// neither filtered nor copied from here.
    fn span(&self, value: &str, shown: &str, class: Option<&str>) -> Markup {
        let is_told = refanged(shown) == value;
        let is_cut = !is_told && !self.carries(value);
        let [raw, json] = if is_told || is_cut { [None, None] } else { carried(value) };
        let class = if is_cut { Some("cut") } else { class };
        let title = shown.ends_with('…').then(|| text::cut(&text::show(value), TITLE_SHOWN));
        html! { span class=[class] data-value=[raw] data-json=[json] title=[title] { (shown) } }
    }

    /// Several values of a field. One that is as it is shown needs nothing around it.
    fn words(&self, words: &[&str]) -> Markup {
        let shown = |word: &str| text::cut(&text::show(word), WORD_SHOWN);
        match words {
            [] => missing(""),
            [word] if !word.is_empty() && refanged(&shown(word)) == *word => html! { (shown(word)) },
            words => html! {
                @for (number, word) in words.iter().take(WORDS_SHOWN).enumerate() { @if number > 0 { ", " } (self.span(word, &shown(word), None)) }
                @if words.len() > WORDS_SHOWN {
                    " " small title=(text::cut(&words.iter().skip(WORDS_SHOWN).map(|word| text::show(word)).collect::<Vec<_>>().join(", "), TITLE_SHOWN)) { "+" (words.len() - WORDS_SHOWN) }
                }
            },
        }
    }

    /// The indicator itself, which leads to its details.
    fn name(&self, row: &Group) -> Markup {
        let (name, shown) = (row.name(), text::show(row.name()));
        let title = (shown.chars().count() > CHARS_SHOWN).then(|| text::cut(&shown, TITLE_SHOWN));
        let shown = if shown.is_empty() { "(no value)".to_owned() } else { text::cut(&shown, CHARS_SHOWN) };
        let is_told = refanged(&shown) == name;
        // Scripts ask for what is too long to be carried.
        let is_asked = !is_told && (name.is_empty() || !self.carries(name));
        let [raw, json] = if is_told || is_asked { [None, None] } else { carried(name) };
        html! {
            a.name href=(format!("{}{}", self.before, super::details::path(row.id()))) data-value=[raw] data-json=[json] data-claim[is_asked] title=[title] { (shown) }
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

/// The attributes that carry a value: itself, or JSON where HTML would change it.
fn carried(value: &str) -> [Option<String>; 2] {
    match value.contains(['\r', '\0']) {
        true => [None, Some(serde_json::Value::from(value).to_string())],
        false => [Some(value.to_owned()), None],
    }
}

/// The kind of a type, by which it is coloured.
fn kind_class(kind: &str) -> &'static str {
    match kind {
        "ipv4-addr" | "ipv6-addr" | "autonomous-system" | "mac-addr" => "net",
        "domain-name" | "url" => "web",
        "file" => "file",
        "email-addr" | "email-message" => "mail",
        _ => "other",
    }
}

/// A type, with a colour of its kind.
pub(super) fn kind(kind: &str) -> Markup {
    html! { span class=(format!("kind {}", kind_class(kind))) { (text::show(kind)) } }
}

/// What a feed does not say.
pub(super) fn not_provided() -> Markup {
    html! { span.none { "not provided" } }
}

/// Whether a confidence says nothing.
fn is_none(word: &str) -> bool {
    word.is_empty() || word.eq_ignore_ascii_case("not specified")
}

/// How many of three bars a confidence has.
fn steps(word: &str) -> u8 {
    match word.to_ascii_lowercase().as_str() {
        "high" => 3,
        "medium" => 2,
        "low" => 1,
        _ => 0,
    }
}

/// A confidence, with a bar of three.
pub(super) fn confidence(word: &str) -> Markup {
    if is_none(word) {
        return not_provided();
    }
    html! { span class=(format!("sure s{}", steps(word))) { (text::show(word)) } }
}

/// A marking of the traffic light protocol as it is called now, and its colour; none where it is none.
fn marking_class(word: &str) -> Option<(&'static str, &'static str)> {
    let plain = word.trim().trim_start_matches("TLP:").to_ascii_uppercase();
    Some(match plain.as_str() {
        "RED" => ("RED", "red"),
        "AMBER" => ("AMBER", "amber"),
        "AMBER+STRICT" => ("AMBER+STRICT", "amber"),
        "GREEN" => ("GREEN", "green"),
        "CLEAR" => ("CLEAR", "clear"),
        "WHITE" => ("WHITE", "clear"),
        _ => return None,
    })
}

/// A marking of the traffic light protocol; what is none of it is shown as it is.
pub(super) fn marking(word: &str) -> Markup {
    match marking_class(word) {
        Some((word, class)) => html! { span class=(format!("tlp {class}")) { (word) } },
        None if word.trim().is_empty() => not_provided(),
        None => html! { (text::show(word)) },
    }
}

/// A time as it is written in a document: to the minute, with how long ago that is for who asks.
pub(super) fn time(written: &str, now: Millis) -> Markup {
    let Some(at) = time::parse(written) else {
        return html! { @if written.is_empty() { span.none title="not provided" { "–" } } @else { (text::cell(written)) } };
    };
    html! { time datetime=(time::print(at)) title=(format!("{} · {}", text::instant(at), text::relative(at, now))) { (minute(at)) } }
}

/// A moment to the minute, which scripts show in another zone. It is in UTC, which needs not be said each time.
pub(super) fn moment(at: Millis) -> Markup {
    html! { time { (minute(at)) } }
}

/// A time as it is written in a document, in a cell.
fn seen(written: &str) -> Markup {
    match time::parse(written) {
        Some(at) => moment(at),
        None if written.is_empty() => missing(""),
        None => html! { (text::cell(written)) },
    }
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
        return html! { i { @if is_live { "never" } @else { "ended" } } };
    };
    let is_soon = is_live && at.saturating_sub(now) < 7 * 24 * 3_600_000;
    let minute = minute(at);
    html! {
        time class=[is_soon.then_some("soon")] datetime=(time::print(at)) {
            @if is_live { (in_days(at, now)) } @else { "ended " (minute.get(..10).unwrap_or_default()) }
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
