//! From a view to what is asked of the catalog.

use tipline_catalog::{Direction, Grouping, Order, SortKey};
use tipline_kql::{KqlError, Predicate, Test, parse, resolve};

use super::view::{FACETS, TIMES, View};
use crate::clock::Millis;
use crate::store::{Among, Condition, Question, TrendOf};
use crate::web::App;

/// How many bars a trend has, about.
const BARS: u32 = 60;

/// How many words a trend tells apart.
const SERIES: usize = 6;

/// Why a view cannot be asked.
#[derive(Debug)]
pub(super) enum Mistake {
    /// In the query.
    Query(KqlError),
    /// In the beginning or the end of the time.
    Time(String),
}

/// What a view asks of a document.
pub(super) fn condition(app: &App, view: &View, now: Millis) -> Result<Condition, Mistake> {
    let query = understood(app, &view.query, now).map_err(Mistake::Query)?;
    let parts = [query].into_iter().chain(bounds(app, view, now)?.into_iter().flatten());
    Ok(Condition { predicate: Predicate::all(parts), fields: app.fields.clone() })
}

fn understood(app: &App, text: &str, now: Millis) -> Result<Predicate, KqlError> {
    parse(text).and_then(|node| resolve(&node, &app.fields, i64::try_from(now).unwrap_or(i64::MAX)))
}

/// What the beginning and the end of a view's time ask.
fn bounds(app: &App, view: &View, now: Millis) -> Result<[Option<Predicate>; 2], Mistake> {
    let (_, field, title) = TIMES[view.time()];
    let bound = |bound: &Option<String>, sign: &str, which: &str| {
        let Some(bound) = bound else { return Ok(None) };
        let test = understood(app, &format!("{field} {sign} {}", tipline_kql::quote(bound)), now);
        test.map(Some).map_err(|error| {
            Mistake::Time(format!(
                "The {which} of the time “{title}” can’t be read: {}. Write a date (2026-11-27, 2026-11-27T10:15) or how long ago (now-7d, now-1h).",
                error.text.trim_end_matches('.')
            ))
        })
    };
    Ok([bound(&view.from, ">=", "beginning")?, bound(&view.to, "<=", "end")?])
}

/// From when to when a trend is drawn: over all of the time that was chosen, whether something is found in it or not.
fn drawn_over(app: &App, view: &View, now: Millis) -> Result<(Option<Millis>, Option<Millis>), Mistake> {
    let moment = |bound: Option<Predicate>| match bound {
        Some(Predicate::Test(_, Test::Time { from, to })) => u64::try_from(from.or(to)?).ok(),
        _ => None,
    };
    let [from, to] = bounds(app, view, now)?.map(moment);
    Ok((from, to.map(|to| to.saturating_add(1))))
}

/// Everything that the page of a view shows.
pub(super) fn question(app: &App, view: &View, now: Millis) -> Result<Question, Mistake> {
    let (from, to) = drawn_over(app, view, now)?;
    Ok(Question {
        condition: condition(app, view, now)?,
        among: view.among,
        now,
        grouping: view.grouping,
        order: view.order,
        behind: view.behind(),
        limit: view.size,
        facets: FACETS.iter().map(|(_, field, _)| *field).collect(),
        trend: Some(TrendOf {
            time: TIMES[view.time()].1,
            from,
            to,
            nearly: true,
            intervals: BARS,
            field: FACETS[view.stack].1,
            top: SERIES,
        }),
    })
}

/// The trend of a view alone.
pub(super) fn trend(app: &App, view: &View, now: Millis) -> Result<Question, Mistake> {
    Ok(Question { behind: 0, limit: 0, facets: Vec::new(), ..question(app, view, now)? })
}

/// Claims of which something holds, whatever their state, what was seen last first.
pub(super) fn claims(app: &App, predicate: Predicate, now: Millis, limit: usize) -> Question {
    Question {
        condition: Condition { predicate, fields: app.fields.clone() },
        among: Among::All,
        now,
        grouping: Grouping::Claims,
        order: View::default().order,
        behind: 0,
        limit,
        facets: Vec::new(),
        trend: None,
    }
}

/// The claims of a saved view, for a list of its values. They come by their names, so that the same values are the same
/// text.
///
/// # Errors
/// What is wrong with the view.
pub(in crate::web) fn of_list(app: &App, query: &str) -> Result<Question, String> {
    let order = Order { key: SortKey::Name, direction: Direction::Ascending };
    match all(app, &View::read(query), app.clock.earliest()) {
        Ok(question) => Ok(Question { order, ..question }),
        Err(Mistake::Query(error)) => {
            Err(format!("The view’s query can’t be understood. Column {}: {}", error.span.column, error.text))
        }
        Err(Mistake::Time(text)) => Err(text),
    }
}

/// Every claim that a view finds.
pub(super) fn all(app: &App, view: &View, now: Millis) -> Result<Question, Mistake> {
    let whole = question(app, view, now)?;
    Ok(Question { grouping: Grouping::Claims, behind: 0, limit: usize::MAX, facets: Vec::new(), trend: None, ..whole })
}
