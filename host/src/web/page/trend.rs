//! What a view finds, over time: stacked bars, drawn here, with their numbers as a table beside them.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};
use tipline_catalog::{Beside, Grouping};

use super::cell::{minute, moment};
use super::view::{FACETS, TIMES, View};
use crate::clock::Millis;
use crate::store::Drawn;
use crate::text;
use crate::time::print;

/// The drawing's own units; it is stretched to the room there is.
const WIDTH: usize = 1_000;
const HEIGHT: u64 = 100;

/// Bars up to which a trend tells nothing.
const FLAT: usize = 2;

const DAY: Millis = 24 * 60 * 60 * 1_000;

/// A trend, and over which of [`TIMES`] it is; none where nothing found has that time.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) drawn: Option<Drawn>,
    pub(super) time: usize,
}

/// Whether a trend tells no times apart: nearly all stands in one bar, as after a first poll, which sees everything at once.
pub(super) fn is_flat(drawn: &Drawn) -> bool {
    let Drawn { trend, .. } = drawn;
    let height = |bar: usize| trend.series.iter().map(|(_, counts)| counts[bar]).sum::<u64>() + trend.others[bar];
    (0..trend.others.len()).filter(|bar| height(*bar) > 0).count() <= FLAT
}

/// The trend of a view.
pub(super) fn trend(view: &View, shown: &Shown) -> Markup {
    let (word, _, title) = FACETS[view.stack];
    let (time_word, _, time_title) = TIMES[shown.time];
    html! {
        section.trend aria-label="Trend" {
            div.head {
                h2 { "Trend" }
                (choice(view, "time", time_title, TIMES.iter().map(|(key, _, title)| (*key, *title)), time_word, "of claims over"))
                (choice(view, "stack", title, FACETS.iter().map(|(key, _, title)| (*key, *title)), word, "by"))
                @if let Some(Drawn { over, .. }) = &shown.drawn { span.note { "one bar is " (length(over.interval)) @if over.interval >= DAY { " of UTC" } } }
            }
            @match &shown.drawn {
                Some(drawn) => (drawing(view, drawn, shown.time)),
                None => p.note { "Nothing found has a time “" (time_title) "”. Choose another one above." },
            }
        }
    }
}

/// How long a bar is, in the words of [`Over::round`](tipline_catalog::Over::round).
fn length(interval: Millis) -> String {
    const MINUTE: Millis = 60_000;
    let (number, unit) = match interval {
        0..3_600_000 => (interval / MINUTE, "minute"),
        3_600_000..DAY => (interval / (60 * MINUTE), "hour"),
        _ => (interval / DAY, "day"),
    };
    if number == 1 {
        format!("a {unit}").replace("a hour", "an hour")
    } else {
        format!("{} {unit}s", text::count(number))
    }
}

fn drawing(view: &View, drawn: &Drawn, time: usize) -> Markup {
    let Drawn { over, trend } = drawn;
    let series: Vec<(&str, u64, &[u64])> = trend
        .series
        .iter()
        .map(|(counted, counts)| (counted.word.as_str(), counted.count, counts.as_slice()))
        .collect();
    let others: u64 = trend.others.iter().sum();
    let bars = trend.others.len();
    // A claim of several words counts for each, so a bar may be higher than there are claims.
    let height = |bar: usize| series.iter().map(|(_, _, counts)| counts[bar]).sum::<u64>() + trend.others[bar];
    let highest = (0..bars).map(height).max().unwrap_or(1).max(1);
    let (word, _, title) = FACETS[view.stack];
    let (time_word, _, time_title) = TIMES[time];
    let begin = |bar: usize| over.from + over.interval * bar as u64;
    html! {
        div.drawing {
            div.plot data-time=(time_word) data-from=(over.from) data-interval=(over.interval) data-bars=(bars) {
                span.highest { (text::count(highest)) }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(format!("{time_title} by {title}, {} bars; the numbers stand in the table below", bars)) {
                    (PreEscaped(bars_of(&series, &trend.others, highest)))
                }
                div.axis aria-hidden="true" { span { (label(begin(0), over.interval)) } span { @if begin(bars / 2) > begin(0) { (label(begin(bars / 2), over.interval)) } } span { (label(over.to, over.interval)) } }
                (beside(view, drawn, time))
            }
            ul.legend {
                @for (number, (value, total, _)) in series.iter().enumerate() {
                    li {
                        span class=(format!("swatch c{number}")) {}
                        a href=(view.filtered(word, Some(value), true).link("/")) title=(format!("Only {title}: {}", text::cell(value))) { (text::cut(&text::show(value), 32)) }
                        span.count { (text::count(*total)) }
                        a.out href=(view.filtered(word, Some(value), false).link("/")) aria-label=(format!("Without {}", text::cell(value))) { "−" }
                    }
                }
                @if others > 0 { li { span.swatch.rest {} span { "Other" } span.count { (text::count(others)) } span.out {} } }
            }
        }
        details.numbers {
            summary { "Numbers" }
            div.scroll tabindex="0" role="region" aria-label="Numbers of the trend" {
                table {
                    thead { tr { th scope="col" { "From" } @for (value, ..) in &series { th scope="col" { (text::cell(value)) } } th scope="col" { "Other" } } }
                    tbody { @for bar in (0..bars).filter(|bar| height(*bar) > 0) { (numbers(begin(bar), series.iter().map(|(_, _, counts)| counts[bar]).chain([trend.others[bar]]))) } }
                }
            }
        }
    }
}

/// A bar's numbers. The ends of its cells are left to what follows, as HTML allows.
fn numbers(begin: Millis, counts: impl Iterator<Item = u64>) -> Markup {
    let mut html = format!("<tr><th scope=row>{}", moment(begin).0);
    for count in counts {
        let _ = write!(html, "<td>{}", text::count(count));
    }
    PreEscaped(html)
}

/// What is not drawn: how many claims lie before the bars or behind them, and how many have no such time, each with what
/// shows them.
fn beside(view: &View, drawn: &Drawn, time: usize) -> Markup {
    let (_, field, title) = TIMES[time];
    let (over, Beside { before, behind, timeless }) = (&drawn.over, drawn.trend.beside);
    if before + behind + timeless == 0 {
        return html! {};
    }
    let claims = |count: u64| format!("{} {}", text::count(count), if count == 1 { "claim" } else { "claims" });
    let within = |from: Option<Millis>, to: Option<Millis>| {
        let shown = view.but(|view| {
            (view.time, view.grouping) = (Some(time), Grouping::Claims);
            (view.from, view.to) = (from.map(print), to.map(print));
        });
        shown.link("/")
    };
    let without = View { grouping: Grouping::Claims, ..view.filtered(field, None, true) }.link("/");
    html! {
        p.beside.note {
            "Not drawn: "
            @if before > 0 { a href=(within(None, Some(over.from.saturating_sub(1)))) { (claims(before)) " before " (label(over.from, over.interval)) } }
            @if before > 0 && behind > 0 { ", " }
            @if behind > 0 { a href=(within(Some(over.to), None)) { (claims(behind)) " from " (label(over.to, over.interval)) " on" } }
            @if before + behind > 0 && timeless > 0 { ", " }
            @if timeless > 0 { a href=(without) { (claims(timeless)) " without a time “" (title) "”" } }
        }
    }
}

/// A choice of one of several, as links; what is chosen is the summary.
fn choice<'c>(
    view: &View,
    key: &'static str,
    title: &str,
    choices: impl Iterator<Item = (&'c str, &'c str)>,
    chosen: &str,
    before: &str,
) -> Markup {
    html! {
        span.note { (before) }
        details.menu {
            summary { (title) }
            ul.card {
                @for (word, name) in choices {
                    li { a href=(with(view, key, word)) aria-current=[(word == chosen).then_some("true")] { (name) } }
                }
            }
        }
    }
}

fn with(view: &View, key: &str, word: &str) -> String {
    let at = |known: &[(&str, &str, &str)]| known.iter().position(|(name, ..)| *name == word).unwrap_or_default();
    View { page: view.page, ..view.clone() }
        .but(|view| match key {
            "time" => view.time = Some(at(&TIMES)),
            _ => view.stack = at(&FACETS),
        })
        .link("/")
}

/// The bars, one path a series: a rectangle is a dozen bytes so.
fn bars_of(series: &[(&str, u64, &[u64])], others: &[u64], highest: u64) -> String {
    let bars = others.len().max(1);
    let mut bottoms = vec![0_u64; others.len()];
    let mut out = String::new();
    let classes = (0..series.len()).map(|number| format!("c{number}")).chain(["rest".to_owned()]);
    let counts = series.iter().map(|(_, _, counts)| *counts).chain([others]);
    for (class, counts) in classes.zip(counts) {
        let mut path = String::new();
        for (bar, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (x, next) = (bar * WIDTH / bars, (bar + 1) * WIDTH / bars);
            let gap = if next - x > 6 { 2 } else { 0 };
            let bottom = bottoms[bar];
            bottoms[bar] += count;
            let y = |count: u64| (HEIGHT * 10 - count * HEIGHT * 10 / highest) as f64 / 10.0;
            // What is there is seen, however little it is.
            let (top, bottom) = (y(bottom + count), y(bottom));
            let top = if bottom - top < 0.8 { bottom - 0.8 } else { top };
            let _ = write!(path, "M{x} {bottom}V{top}H{}V{bottom}Z", next - gap);
        }
        if !path.is_empty() {
            let _ = write!(out, r#"<path class="{class}" d="{path}"/>"#);
        }
    }
    out
}

/// A moment under the axis: as exact as the bars are. Bars of days are days of UTC, in whatever zone the moments are.
fn label(at: Millis, interval: Millis) -> Markup {
    if interval < DAY {
        return moment(at);
    }
    html! { (minute(at).get(..10).unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_the_highest_fills_the_drawing() {
        let drawn = bars_of(&[("a", 3, &[1, 2]), ("b", 2, &[0, 2])], &[1, 0], 4);
        assert_eq!(
            drawn,
            concat!(
                r#"<path class="c0" d="M0 100V75H498V100ZM500 100V50H998V100Z"/>"#,
                r#"<path class="c1" d="M500 50V0H998V50Z"/>"#,
                r#"<path class="rest" d="M0 75V50H498V75Z"/>"#
            )
        );
    }

    #[test]
    fn a_bars_length_is_said_in_words() {
        for (interval, said) in [
            (60_000, "a minute"),
            (30 * 60_000, "30 minutes"),
            (60 * 60_000, "an hour"),
            (12 * 60 * 60_000, "12 hours"),
            (DAY, "a day"),
            (1_092 * DAY, "1,092 days"),
        ] {
            assert_eq!(length(interval), said);
        }
    }

    #[test]
    fn what_is_hardly_there_is_seen() {
        assert_eq!(
            bars_of(&[], &[1, 10_000], 10_000),
            r#"<path class="rest" d="M0 100V99.2H498V100ZM500 100V0H998V100Z"/>"#
        );
    }
}
