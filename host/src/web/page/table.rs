//! The table of what a view finds, and the way through its pages.

use maud::{Markup, PreEscaped, html};
use tipline_catalog::{Direction, Grouping, Order};

use super::cell::Cells;
use super::columns::{self, Column};
use super::view::{SIZES, View};
use crate::clock::Millis;
use crate::document::Group;
use crate::store::Answer;
use crate::text;

/// The table. Its script gives each row what is the same in all of them: the box by which it is selected, its id, and to each
/// cell the name of its column. A page has thousands of cells, so none of it is sent with every one.
pub(super) fn table(view: &View, answer: &Answer, now: Millis) -> Markup {
    let cells = Cells::new(view);
    let rows: Vec<Group> = answer.found.iter().filter_map(|hits| Group::of(hits)).collect();
    let is_usual = view.columns == columns::usual();
    html! {
        div.scroll tabindex="0" role="region" aria-label="Indicators" {
            table.indicators.found.usual[is_usual] data-total=(answer.total) {
                caption.hidden {
                    @if answer.is_grouped { "Values" } @else { "Claims" } " found, " (place(view, rows.len(), answer.total))
                }
                thead { tr {
                    th.pick.scripted scope="col" { input #pick-all type="checkbox" aria-label="Select all rows of this page"; }
                    @for column in &view.columns { (head(view, column)) }
                } }
                tbody { @for row in &rows { (line(view, row, now, &cells)) } }
            }
        }
    }
}

/// A row. Its end and those of its cells are left to what follows them, as HTML allows.
fn line(view: &View, row: &Group, now: Millis, cells: &Cells) -> Markup {
    let ended = if row.is_live(now) { "" } else { " class=ended" };
    let selected = if view.id.as_deref() == Some(row.id()) { " aria-selected=true" } else { "" };
    let mut html = format!("<tr{ended}{selected}>");
    for column in &view.columns {
        html.push_str("<td>");
        html.push_str(&cells.cell(column, row, now).0);
    }
    PreEscaped(html)
}

fn class(column: &Column) -> String {
    format!("c-{}", column.word)
}

/// A column's head: sorts by it, and the other way round when it is sorted already.
fn head(view: &View, column: &'static Column) -> Markup {
    let Some(key) = column.sorted.and_then(columns::Sorted::key) else {
        return html! { th scope="col" class=(class(column)) data-field=[column.field()] title=(column.hint) { (column.title) } };
    };
    let is_sorted = view.order.key == key;
    let is_ascending = view.order.direction == Direction::Ascending;
    let direction = match (is_sorted, is_ascending) {
        (true, true) | (false, _) => Direction::Descending,
        (true, false) => Direction::Ascending,
    };
    // The alphabet is begun at its beginning.
    let direction = if !is_sorted && column.word == "indicator" { Direction::Ascending } else { direction };
    let link = view.but(|view| view.order = Order { key, direction }).link("/");
    let sort = is_sorted.then_some(if is_ascending { "ascending" } else { "descending" });
    html! {
        th scope="col" class=(class(column)) data-field=[column.field()] aria-sort=[sort] title=(column.hint) {
            a href=(link) { (column.title) span.arrow aria-hidden="true" { @if is_sorted { (if is_ascending { " ↑" } else { " ↓" }) } } }
        }
    }
}

/// The orders as a menu, for screens too narrow for heads.
pub(super) fn orders(view: &View) -> Markup {
    html! {
        details.menu.narrow {
            summary { "Sort" }
            ul.card {
                @for column in view.columns.iter().copied() {
                    @if let Some(key) = column.sorted.and_then(columns::Sorted::key) {
                        @for (direction, sign, name) in [(Direction::Descending, "↓", "downwards"), (Direction::Ascending, "↑", "upwards")] {
                            @let order = Order { key, direction };
                            li { a href=(view.but(|view| view.order = order).link("/")) aria-current=[(view.order == order).then_some("true")] { (column.title) " " span aria-hidden="true" { (sign) } span.hidden { (name) } } }
                        }
                    }
                }
            }
        }
    }
}

/// `1–25 of 2,347`.
pub(super) fn place(view: &View, rows: usize, total: u64) -> String {
    if rows == 0 {
        return format!("none of {}", text::count(total));
    }
    let first = view.behind() as u64;
    format!("{}–{} of {}", text::count(first + 1), text::count(first + rows as u64), text::count(total))
}

/// The way to the other pages, and how many rows each has.
pub(super) fn pages(view: &View, rows: usize, total: u64) -> Markup {
    let last = usize::try_from(total).unwrap_or(usize::MAX).div_ceil(view.size).max(1);
    let to = |page: usize| View { page, id: None, ..view.clone() }.link("/");
    let near: Vec<usize> = (view.page.saturating_sub(2).max(1)..=(view.page + 2).min(last)).collect();
    let step = |is_there: bool, page: usize, name: &str, sign: &str| {
        html! {
            @if is_there { a.step href=(to(page)) rel=[Some(if page < view.page { "prev" } else { "next" })] aria-label=(name) { (sign) } }
            @else { span.step aria-hidden="true" { (sign) } }
        }
    };
    html! {
        nav.pages aria-label="Pages" {
            span.place { (place(view, rows, total)) }
            span.steps {
                (step(view.page > 1, view.page.saturating_sub(1), "Previous page", "‹"))
                @if near.first().is_some_and(|first| *first > 1) { a.step href=(to(1)) { "1" } span.gap { "…" } }
                @for page in &near {
                    @if *page == view.page { span.step aria-current="page" { (text::count(*page as u64)) } }
                    @else { a.step href=(to(*page)) { (text::count(*page as u64)) } }
                }
                @if near.last().is_some_and(|near| *near < last) { span.gap { "…" } a.step href=(to(last)) { (text::count(last as u64)) } }
                (step(view.page < last, view.page + 1, "Next page", "›"))
            }
            span.sizes {
                span { "Rows" }
                @for size in SIZES {
                    @if size == view.size { span.step aria-current="true" { (size) } }
                    @else { a.step href=(view.but(|view| view.size = size).link("/")) aria-label=(format!("{size} rows a page")) { (size) } }
                }
            }
        }
    }
}

/// Which columns there are and in which order: a form that works without scripts; with them heads can be dragged.
pub(super) fn chooser(view: &View) -> Markup {
    let is_shown = |column: &&Column| view.columns.contains(column);
    let hidden = columns::ALL.iter().filter(|column| !is_shown(column));
    html! {
        details.menu #columns {
            summary { "Columns" }
            form.card method="get" action="/" {
                (kept(view, &["columns"]))
                p.note { "Shown, in this order. Heads can be dragged, too." }
                ul.choices {
                    @for column in view.columns.iter().copied().chain(hidden) {
                        li title=(column.hint) {
                            label {
                                input type="checkbox" name="columns" value=(column.word) checked[is_shown(&column)];
                                " " (column.title)
                            }
                            @if let Some(place) = view.columns.iter().position(|shown| *shown == column) {
                                span.move {
                                    @if place > 0 { a href=(moved(view, place, place - 1)) aria-label=(format!("Move {} to the left", column.title)) { "↑" } }
                                    @if place + 1 < view.columns.len() { a href=(moved(view, place, place + 1)) aria-label=(format!("Move {} to the right", column.title)) { "↓" } }
                                }
                            }
                        }
                    }
                }
                div.row {
                    button type="submit" { "Show these" }
                    a.button.quiet href=(view.but(|view| view.columns = columns::usual()).link("/")) { "As usual" }
                }
            }
        }
    }
}

fn moved(view: &View, from: usize, to: usize) -> String {
    view.but(|view| view.columns.swap(from, to)).link("/")
}

/// The view in a form, but for some keys.
pub(super) fn kept(view: &View, but: &[&str]) -> Markup {
    let pairs = View { page: 1, id: None, ..view.clone() }.pairs();
    html! {
        @for (key, value) in pairs.iter().filter(|(key, _)| !but.contains(key)) {
            input type="hidden" name=(key) value=(value);
        }
    }
}

/// The word for what a row is.
pub(super) fn rows_are(answer: &Answer) -> &'static str {
    if answer.is_grouped { "values" } else { "claims" }
}

/// Whether rows are values or claims.
pub(super) fn grouping(view: &View, answer: &Answer) -> Markup {
    let is_refused = view.grouping == Grouping::Values && !answer.is_grouped;
    html! {
        div.switch role="group" aria-label="A row is" {
            @for (grouping, name, hint) in [
                (Grouping::Values, "Values", "One row for each value, whoever speaks of it"),
                (Grouping::Claims, "Claims", "One row for what each source says of a value"),
            ] {
                a href=(view.but(|view| view.grouping = grouping).link("/")) title=(hint) aria-current=[(view.grouping == grouping).then_some("true")] { (name) }
            }
        }
        @if is_refused { span.note { "Elasticsearch does not group by value yet: each claim is a row." } }
    }
}
