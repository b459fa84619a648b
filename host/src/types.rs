//! Answers that count types, with what ECS has no type for: vulnerabilities and techniques.

use tipline_kql::{Predicate, parse, resolve};

use crate::store::{Answer, Catalog, CatalogError, Condition, Question};

/// The field whose words are types.
pub(crate) const TYPE: &str = "threat.indicator.type";

/// What queries call those without one.
pub(crate) const UNTYPED: [&str; 2] = ["vulnerability", "technique"];

/// Answers a question. Where it counts by type, what has no type there is counted by what `type:` calls it.
///
/// # Errors
/// [`CatalogError`] where the catalog cannot be asked.
pub(crate) async fn ask(catalog: &dyn Catalog, question: &Question) -> Result<Answer, CatalogError> {
    let mut answer = catalog.ask(question).await?;
    let total = answer.total;
    let Some(counts) = answer.facets.iter_mut().find(|counts| counts.field == TYPE) else { return Ok(answer) };
    // Each has one type, as nearly always.
    if counts.words.iter().map(|(_, count)| count).sum::<u64>() == total {
        return Ok(answer);
    }
    for word in UNTYPED {
        let Condition { predicate, fields } = &question.condition;
        let now = i64::try_from(question.now).unwrap_or(i64::MAX);
        let Ok(of_type) = parse(&format!("type: {word}")).and_then(|node| resolve(&node, fields, now)) else {
            continue;
        };
        let condition = Condition { predicate: Predicate::all([predicate.clone(), of_type]), fields: fields.clone() };
        let asked = Question { condition, behind: 0, limit: 0, facets: Vec::new(), trend: None, ..question.clone() };
        let found = catalog.ask(&asked).await?.total;
        if found > 0 {
            counts.words.push((word.to_owned(), found));
        }
    }
    counts.words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(answer)
}
