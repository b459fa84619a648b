//! What a saved view's address asks for, where its claims are read out for another program.

use tipline_catalog::{Direction, Grouping, NAME, Order, SortKey};
use tipline_kql::{parse, resolve};

use super::App;
use crate::store::{Among, Condition, Question};

/// The question of a view, for its values in their order: so the same values are the same text.
///
/// # Errors
/// What is wrong with the query.
pub(super) fn question(app: &App, query: &str) -> Result<Question, String> {
    let now = app.clock.now();
    let field = |name: &str| url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    let written = field("q").map(|(_, value)| value.into_owned()).unwrap_or_default();
    let understood = parse(&written)
        .and_then(|node| resolve(&node, &app.fields, i64::try_from(now).unwrap_or(i64::MAX)))
        .map_err(|error| format!("Column {}: {}", error.span.column, error.text))?;
    let key = SortKey::of(NAME).ok_or("Values have no order.")?;
    Ok(Question {
        condition: Condition { predicate: understood, fields: app.fields.clone() },
        among: Among::Live,
        now,
        grouping: Grouping::Claims,
        order: Order { key, direction: Direction::Ascending },
        behind: 0,
        limit: usize::MAX,
        facets: Vec::new(),
        trend: None,
    })
}
