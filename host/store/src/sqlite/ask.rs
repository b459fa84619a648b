//! Questions in the query language. They are answered by the columns in memory; what these leave open is judged by the
//! documents.
//!
//! The columns are looked at for some milliseconds, and nobody has to wait for a question that reads documents. Where that was
//! needed to tell what is found, the columns are looked at again for the answer: what was deleted meanwhile is left out, and
//! what has changed has its new place.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::Arc;

use rusqlite::Connection;
use tipline_catalog::{Bits, Claim, Columns, Counted, Found, Grouping, Over, time_column, word_column};
use tipline_kql::{Document, Fields, Literals, fold};

use super::answered::{Finding, Scope};
use super::fill;
use super::warm::{Filled, Warm};
use crate::question::{Answer, Counts, Drawn, Question, TrendOf};
use crate::state::{Ledger, LedgerError};
use crate::{CatalogError, Hit};
use tipline_model::clock::Millis;

/// Documents that are read and handed on together: some hundred kilobytes, and a read so short that it never keeps the log
/// from being emptied.
const READ_TOGETHER: usize = 256;

/// Times that a question is asked again because the columns were filled anew meanwhile.
const TRIES: u32 = 5;

/// What the columns say at once.
enum Said<T> {
    All(T),
    /// It takes documents to tell.
    Open(Open),
}

/// What the columns leave open.
struct Open {
    /// Of which columns, and after which change of them.
    number: u64,
    changes: u64,
    scope: Arc<Scope>,
    /// What was found so far.
    found: Found,
    /// What is to be judged, each by the documents of its rows.
    places: Vec<usize>,
    rows: Vec<Vec<u32>>,
}

/// Asks the columns, with the documents where it takes them.
fn ask<T>(
    ledger: &Ledger,
    warm: &Warm,
    question: &Question,
    answer: impl Fn(&Columns, &Finding) -> T,
) -> Result<T, CatalogError> {
    for _ in 0..TRIES {
        warm.catch_up(ledger, &question.condition.fields)?;
        let open = match warm.read(|filled| look(filled, question, &answer)) {
            Some(Said::All(answered)) => return Ok(answered),
            Some(Said::Open(open)) => open,
            None => continue,
        };
        let holds = judge(ledger, question, open.found.possible.length(), open.places, &open.rows)?;
        let found = open.found.decided(&holds);
        let decided = |filled: &Filled| {
            let finding = Arc::new(Finding::new(open.scope, found));
            if filled.changes == open.changes {
                filled.answered.keep(question, &finding);
            }
            answer(&filled.columns, &finding)
        };
        let answered = warm.read(|filled| (filled.number == open.number).then(|| decided(filled))).flatten();
        if let Some(answered) = answered {
            return Ok(answered);
        }
    }
    Err(CatalogError(format!(
        "{} was read anew again and again while the question was answered. Ask it again.",
        ledger.path().display()
    )))
}

fn look<T>(filled: &Filled, question: &Question, answer: &impl Fn(&Columns, &Finding) -> T) -> Said<T> {
    let columns = &filled.columns;
    if let Some(finding) = filled.answered.get(question) {
        return Said::All(answer(columns, &finding));
    }
    let scope = filled.answered.scope(columns, question);
    let found =
        columns.find(&question.condition.predicate, &question.condition.fields, &scope.claims, question.grouping);
    let undecided = found.undecided();
    if undecided.is_empty() {
        let finding = Arc::new(Finding::new(scope, found.yes));
        filled.answered.keep(question, &finding);
        return Said::All(answer(columns, &finding));
    }
    let places: Vec<usize> = undecided.iter().collect();
    let rows = match question.grouping {
        Grouping::Claims => places.iter().map(|slot| vec![columns.row(*slot)]).collect(),
        Grouping::Values => {
            let groups = columns.claims_of(&places, &scope.claims, question.order).into_iter();
            groups.map(|slots| slots.into_iter().map(|slot| columns.row(slot)).collect()).collect()
        }
    };
    Said::Open(Open { number: filled.number, changes: filled.changes, scope, found, places, rows })
}

/// Shows every claim found, in the order asked for, until nobody wants more.
pub(super) fn stream(
    ledger: &Ledger,
    warm: &Warm,
    question: &Question,
    mut take: impl FnMut(Vec<Hit>) -> bool,
) -> Result<(), CatalogError> {
    let claims = ask(ledger, warm, question, |columns, Finding { scope, found, .. }| {
        let slots =
            columns.page(found, &scope.claims, Grouping::Claims, question.order, question.behind, question.limit);
        slots.into_iter().map(|slot| columns.claim(slot)).collect::<Vec<_>>()
    })?;
    for claims in claims.chunks(READ_TOGETHER) {
        if !take(ledger.reading_at_once(|connection| hits(connection, claims))?) {
            break;
        }
    }
    Ok(())
}

/// The documents of some claims. What was deleted meanwhile has none, and what stands in its row now is another's.
fn hits(connection: &Connection, claims: &[Claim]) -> rusqlite::Result<Vec<Hit>> {
    let mut hits = Vec::with_capacity(claims.len());
    for claim in claims {
        hits.extend(fill::hit(connection, claim.row)?.filter(|hit| claim.is_of(&hit.id)));
    }
    Ok(hits)
}

pub(super) fn answer(ledger: &Ledger, warm: &Warm, question: &Question) -> Result<Answer, CatalogError> {
    let grouping = question.grouping;
    let (answer, claims) = ask(ledger, warm, question, |columns, finding| {
        let answer = Answer {
            total: finding.found.count() as u64,
            is_grouped: grouping == Grouping::Values,
            facets: facets(columns, finding, question),
            trend: question.trend.and_then(|of| finding.trend(of, || draw(columns, finding, grouping, of))),
            found: Vec::new(),
        };
        (answer, finding.page(question, || page(columns, finding, question)))
    })?;
    let found = ledger.reading_at_once(|connection| {
        claims.iter().map(|claims| hits(connection, claims)).collect::<Result<Vec<_>, _>>()
    })?;
    let found = found.into_iter().filter(|hits| !hits.is_empty()).collect();
    Ok(Answer { found, ..answer })
}

/// The claims of each place on a question's page.
fn page(columns: &Columns, Finding { scope, found, .. }: &Finding, question: &Question) -> Vec<Vec<Claim>> {
    let Question { grouping, order, behind, limit, .. } = *question;
    let places = columns.page(found, &scope.claims, grouping, order, behind, limit);
    let claims = match grouping {
        Grouping::Claims => places.into_iter().map(|slot| vec![slot]).collect(),
        Grouping::Values => columns.claims_of(&places, &scope.claims, order),
    };
    claims.into_iter().map(|slots| slots.into_iter().map(|slot| columns.claim(slot)).collect()).collect()
}

fn facets(columns: &Columns, finding: &Finding, question: &Question) -> Vec<Counts> {
    let counted: Vec<(&'static str, usize)> =
        question.facets.iter().filter_map(|field| Some((*field, word_column(field)?))).collect();
    let wanted: Vec<usize> = counted.iter().map(|(_, column)| *column).collect();
    finding.facets(&wanted, || {
        let facets = columns.facets(&finding.found, &finding.scope.claims, question.grouping, &wanted);
        let words = |words: Vec<Counted>| words.into_iter().map(|counted| (counted.word, counted.count)).collect();
        counted.iter().zip(facets).map(|((field, _), counts)| Counts { field, words: words(counts) }).collect()
    })
}

/// Of each of these hosts a live claim of a URL there.
pub(super) fn urls_at(
    ledger: &Ledger,
    warm: &Warm,
    hosts: &HashSet<String>,
    now: Millis,
) -> Result<Vec<(String, Hit)>, CatalogError> {
    warm.catch_up(ledger, &Fields::new([]))?;
    let found = warm.read(|Filled { columns, .. }| columns.urls_at(hosts, &columns.live(now)));
    Ok(ledger.reading_at_once(|connection| {
        let mut urls = Vec::new();
        for (host, claim) in found.into_iter().flatten() {
            urls.extend(hits(connection, &[claim])?.into_iter().map(|hit| (host.clone(), hit)));
        }
        Ok(urls)
    })?)
}

/// The words of a field that begin so.
pub(super) fn words(
    ledger: &Ledger,
    warm: &Warm,
    field: &str,
    beginning: &str,
    limit: usize,
) -> Result<Vec<(String, u64)>, CatalogError> {
    let Some(column) = word_column(field) else { return Ok(Vec::new()) };
    warm.catch_up(ledger, &Fields::new([]))?;
    let counted = warm
        .read(|Filled { columns, .. }| columns.facets(columns.stored(), columns.stored(), Grouping::Claims, &[column]));
    let beginning = fold(beginning);
    let words = counted.into_iter().flatten().flatten().filter(|counted| fold(&counted.word).starts_with(&beginning));
    Ok(words.take(limit).map(|counted| (counted.word, counted.count)).collect())
}

fn draw(columns: &Columns, finding: &Finding, grouping: Grouping, of: TrendOf) -> Option<Drawn> {
    let Finding { scope, found, .. } = finding;
    let (time, column) = (time_column(of.time)?, word_column(of.field)?);
    let claims = match grouping {
        Grouping::Claims => found.clone(),
        Grouping::Values => Bits::of(columns.slots(), |slot| scope.claims.has(slot) && found.has(columns.group(slot))),
    };
    let is_whole = !of.nearly || of.from.is_some() && of.to.is_some();
    let (first, last) = if is_whole { columns.span(&claims, time) } else { columns.nearly_all(&claims, time) }?;
    let over = Over::round(time, of.from.unwrap_or(first), of.to.unwrap_or(last.saturating_add(1)), of.intervals);
    Some(Drawn { over, trend: columns.trend(&claims, &over, column, of.top) })
}

/// Documents read by one use of a connection, so that a long judgement keeps no log from being emptied.
const JUDGED_TOGETHER: usize = 1_000;

/// Of some places, each with the rows of its claims, those that the query finds, by their documents; on every core.
fn judge(
    ledger: &Ledger,
    question: &Question,
    length: usize,
    places: Vec<usize>,
    rows: &[Vec<u32>],
) -> Result<Bits, CatalogError> {
    let mut holds = Bits::none(length);
    let predicate = &question.condition.predicate;
    let fields = question.condition.fields.only(&predicate.columns());
    let literals = Literals::of(predicate);
    let judged = |rows: &[Vec<u32>]| {
        ledger.reading_at_once(|connection| {
            let mut found = Vec::with_capacity(rows.len());
            for rows in rows {
                let mut texts = Vec::with_capacity(rows.len());
                for row in rows {
                    texts.extend(fill::hit(connection, *row)?.map(|hit| hit.json));
                }
                found.push(
                    literals.may_be_in(&texts) && {
                        let mut document = Document::default();
                        for text in &texts {
                            document.add(&serde_json::from_str(text).unwrap_or_default(), &fields);
                        }
                        document.matches(predicate)
                    },
                );
            }
            Ok(found)
        })
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = rows.len().div_ceil(threads).max(JUDGED_TOGETHER);
    let outcomes: Vec<Result<Vec<bool>, LedgerError>> = std::thread::scope(|scope| {
        let part = |rows| {
            move || -> Result<Vec<bool>, LedgerError> {
                let parts = <[Vec<u32>]>::chunks(rows, JUDGED_TOGETHER).map(judged).collect::<Result<Vec<_>, _>>()?;
                Ok(parts.concat())
            }
        };
        let handles: Vec<_> = rows.chunks(share).map(|rows| scope.spawn(part(rows))).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let found = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    places.into_iter().zip(found).filter(|(_, found)| *found).for_each(|(place, _)| holds.set(place, true));
    Ok(holds)
}
