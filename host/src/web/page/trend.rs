//! What a view finds, over time: stacked bars, drawn here, with their numbers as a table beside them.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::cell::{minute, moment};
use super::view::{FACETS, TIMES, View};
use crate::clock::Millis;
use crate::store::Drawn;
use crate::text;

/// The drawing's own units; it is stretched to the room there is.
const WIDTH: usize = 1_000;
const HEIGHT: u64 = 100;

/// Bars up to which a trend tells nothing.
const FLAT: usize = 2;

const DAY: Millis = 24 * 60 * 60 * 1_000;

/// A trend, and over which of [`TIMES`] it is.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) drawn: Drawn,
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
    let Drawn { over, trend } = &shown.drawn;
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
    let (time_word, _, time_title) = TIMES[shown.time];
    let begin = |bar: usize| over.from + over.interval * bar as u64;
    html! {
        section.trend aria-label="Trend" {
            div.head {
                h2 { "Trend" }
                (choice(view, "time", time_title, TIMES.iter().map(|(key, _, title)| (*key, *title)), time_word, "over"))
                (choice(view, "stack", title, FACETS.iter().map(|(key, _, title)| (*key, *title)), word, "by"))
                span.note { "bars of " (text::duration(std::time::Duration::from_millis(over.interval))) @if over.interval >= DAY { " of UTC" } ", claims" }
            }
            div.drawing {
                div.plot data-time=(time_word) data-from=(over.from) data-interval=(over.interval) data-bars=(bars) {
                    span.highest { (text::count(highest)) }
                    svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(format!("{time_title} by {title}, {} bars; the numbers stand in the table below", bars)) {
                        (PreEscaped(bars_of(&series, &trend.others, highest)))
                    }
                    div.axis aria-hidden="true" { span { (label(begin(0), over.interval)) } span { @if begin(bars / 2) > begin(0) { (label(begin(bars / 2), over.interval)) } } span { (label(over.to, over.interval)) } }
                }
                ul.legend {
                    @for (number, (value, total, _)) in series.iter().enumerate() {
                        li {
                            span class=(format!("swatch c{number}")) aria-hidden="true" {}
                            a href=(view.filtered(word, Some(value), true).link("/")) title=(format!("Only {title}: {}", text::show(value))) { (text::cut(&text::show(value), 32)) }
                            span.count { (text::count(*total)) }
                            a.out href=(view.filtered(word, Some(value), false).link("/")) aria-label=(format!("Without {}", text::cell(value))) title="Without it" { "−" }
                        }
                    }
                    @if others > 0 { li { span.swatch.rest aria-hidden="true" {} span { "Other" } span.count { (text::count(others)) } span.out aria-hidden="true" {} } }
                }
            }
            details.numbers {
                summary { "Numbers" }
                div.scroll tabindex="0" role="region" aria-label="Numbers of the trend" {
                    table {
                        thead { tr { th scope="col" { "From" } @for (value, ..) in &series { th scope="col" { (text::cell(value)) } } th scope="col" { "Other" } } }
                        tbody {
                            @for bar in (0..bars).filter(|bar| height(*bar) > 0) {
                                tr {
                                    th scope="row" { (moment(begin(bar))) }
                                    @for (_, _, counts) in &series { td.figure { (text::count(counts[bar])) } }
                                    td.figure { (text::count(trend.others[bar])) }
                                }
                            }
                        }
                    }
                }
            }
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
    fn what_is_hardly_there_is_seen() {
        assert_eq!(
            bars_of(&[], &[1, 10_000], 10_000),
            r#"<path class="rest" d="M0 100V99.2H498V100ZM500 100V0H998V100Z"/>"#
        );
    }
}
