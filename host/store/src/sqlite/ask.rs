//! Questions in the query language. They are answered by columns in memory, which are filled from the file; what the
//! columns leave open is judged by the documents.

use std::num::NonZero;
use std::sync::mpsc::sync_channel;

use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;
use tipline_catalog::{Bits, Columns, Grouping, Over, PutError, WORDS, time_column, word_column};
use tipline_kql::{Document, Fields, fold};

use crate::question::{Among, Answer, Counts, Drawn, Question, TrendOf};
use crate::state::{Ledger, LedgerError, unsigned};
use crate::{CatalogError, Hit};

/// Rows read in one step: a few MiB, and a read so short that it never keeps the log from being emptied.
const STEP_ROWS: i64 = 1_000;

/// Steps that are read ahead of what is taken into the columns. Fixed: they are some MiB each.
const STEPS_AHEAD: usize = 4;

/// The claims or values that a question finds, and among which claims.
struct Finding {
    columns: Columns,
    scope: Bits,
    found: Bits,
}

fn find(ledger: &Ledger, question: &Question) -> Result<Finding, CatalogError> {
    let fields = &question.condition.fields;
    let columns = load(ledger, fields)?;
    let scope = match question.among {
        Among::All => columns.stored().clone(),
        Among::Live => columns.live(question.now),
        Among::Ended => columns.stored().clone().minus(&columns.live(question.now)),
    };
    let found = columns.find(&question.condition.predicate, fields, &scope, question.grouping);
    let undecided = found.undecided();
    let holds = judge(ledger, question, &columns, &scope, &undecided)?;
    Ok(Finding { found: found.decided(&holds), columns, scope })
}

/// Shows every claim found, in the order asked for, until nobody wants more.
pub(super) fn stream(
    ledger: &Ledger,
    question: &Question,
    mut take: impl FnMut(Hit) -> bool,
) -> Result<(), CatalogError> {
    let Finding { columns, scope, found } = find(ledger, question)?;
    for slot in columns.page(&found, &scope, Grouping::Claims, question.order, question.behind, question.limit) {
        if let Some(hit) = ledger.reading(|connection| hit(connection, columns.row(slot)))?
            && !take(hit)
        {
            break;
        }
    }
    Ok(())
}

pub(super) fn answer(ledger: &Ledger, question: &Question) -> Result<Answer, CatalogError> {
    let Finding { columns, scope, found } = find(ledger, question)?;
    let grouping = question.grouping;
    let places = columns.page(&found, &scope, grouping, question.order, question.behind, question.limit);
    let claims = match grouping {
        Grouping::Claims => places.into_iter().map(|slot| vec![slot]).collect(),
        Grouping::Values => columns.claims_of(&places, &scope, question.order),
    };
    let mut hits = Vec::with_capacity(claims.len());
    for slots in claims {
        hits.push(
            slots
                .into_iter()
                .map(|slot| ledger.reading(|connection| hit(connection, columns.row(slot))))
                .collect::<Result<Vec<_>, _>>()?,
        );
    }
    let facets = question.facets.iter().filter_map(|field| {
        let column = WORDS.iter().position(|known| known == field)?;
        let words = columns.facet(&found, &scope, grouping, column);
        Some(Counts { field, words: words.into_iter().map(|counted| (counted.word, counted.count)).collect() })
    });
    Ok(Answer {
        total: found.count() as u64,
        is_grouped: grouping == Grouping::Values,
        facets: facets.collect(),
        trend: question.trend.and_then(|of| draw(&columns, &found, &scope, grouping, of)),
        // What was deleted meanwhile is left out.
        found: hits
            .into_iter()
            .map(|hits| hits.into_iter().flatten().collect::<Vec<_>>())
            .filter(|hits| !hits.is_empty())
            .collect(),
    })
}

/// The words of a field that begin so.
pub(super) fn words(
    ledger: &Ledger,
    field: &str,
    beginning: &str,
    limit: usize,
) -> Result<Vec<(String, u64)>, CatalogError> {
    let Some(column) = word_column(field) else { return Ok(Vec::new()) };
    let columns = load(ledger, &Fields::new([]))?;
    let beginning = fold(beginning);
    let counted = columns.facet(columns.stored(), columns.stored(), Grouping::Claims, column);
    let words = counted.into_iter().filter(|counted| fold(&counted.word).starts_with(&beginning));
    Ok(words.take(limit).map(|counted| (counted.word, counted.count)).collect())
}

fn draw(columns: &Columns, found: &Bits, scope: &Bits, grouping: Grouping, of: TrendOf) -> Option<Drawn> {
    let (time, column) = (time_column(of.time)?, word_column(of.field)?);
    let claims = match grouping {
        Grouping::Claims => found.clone(),
        Grouping::Values => Bits::of(columns.slots(), |slot| scope.has(slot) && found.has(columns.group(slot))),
    };
    let (first, last) = columns.span(&claims, time)?;
    let over = Over::round(time, of.from.unwrap_or(first), of.to.unwrap_or(last.saturating_add(1)), of.intervals);
    Some(Drawn { over, trend: columns.trend(&claims, &over, column, of.top) })
}

/// The columns of all documents. Reading and unpacking go on beside, on a thread of their own.
fn load(ledger: &Ledger, fields: &Fields) -> Result<Columns, CatalogError> {
    let mut columns = Columns::new(fields);
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(STEPS_AHEAD);
        let reader = scope.spawn(move || -> Result<(), LedgerError> {
            let mut after = Some(0);
            while let Some(row) = after {
                let (rows, last) = step(ledger, row)?;
                after = last;
                if sender.send(rows).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for (row, hit) in receiver.into_iter().flatten() {
            let row = u32::try_from(row).map_err(|_| CatalogError(TOO_MANY.to_owned()))?;
            match columns.put(row, &hit.id, &hit.json) {
                // It is no JSON, which only a damaged file holds; the others are still found.
                Ok(()) | Err(PutError::Json(_)) => {}
                Err(error @ PutError::TooLong(_)) => return Err(CatalogError(error.to_string())),
            }
        }
        match reader.join() {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(CatalogError("Reading the store ended with a panic; report it.".to_owned())),
        }
    })?;
    columns.settle();
    Ok(columns)
}

const TOO_MANY: &str =
    "The file has had more than 4,294,967,295 documents, more than are searched. Begin a new one with another `path:`.";

/// Documents with the numbers of their rows, and the last number if there are more.
type Step = (Vec<(i64, Hit)>, Option<i64>);

fn step(ledger: &Ledger, after: i64) -> Result<Step, LedgerError> {
    ledger.reading(|connection| {
        let mut statement = connection.prepare_cached(
            "SELECT id, version, json, row FROM documents NOT INDEXED WHERE row > ?1 ORDER BY row LIMIT ?2",
        )?;
        let rows = statement
            .query_map((after, STEP_ROWS), |row| Ok((row.get(3)?, super::search::hit(row)?)))?
            .collect::<Result<Vec<(i64, Hit)>, _>>()?;
        let last = rows.last().map(|(row, _)| *row).filter(|_| rows.len() as u64 == unsigned(STEP_ROWS));
        Ok((rows, last))
    })
}

fn hit(connection: &Connection, row: u32) -> rusqlite::Result<Option<Hit>> {
    connection
        .prepare_cached("SELECT id, version, json FROM documents WHERE row = ?1")?
        .query_row([row], super::search::hit)
        .optional()
}

/// Documents read by one use of a connection, so that a long judgement keeps no log from being emptied.
const JUDGED_TOGETHER: usize = 1_000;

/// Of the undecided those that the query finds, by their documents; on every core.
fn judge(
    ledger: &Ledger,
    question: &Question,
    columns: &Columns,
    scope: &Bits,
    undecided: &Bits,
) -> Result<Bits, CatalogError> {
    let mut holds = Bits::none(undecided.length());
    if undecided.is_empty() {
        return Ok(holds);
    }
    let places: Vec<usize> = undecided.iter().collect();
    let claims: Vec<Vec<usize>> = match question.grouping {
        Grouping::Claims => places.iter().map(|slot| vec![*slot]).collect(),
        Grouping::Values => columns.claims_of(&places, scope, question.order),
    };
    let predicate = &question.condition.predicate;
    let fields = question.condition.fields.only(&predicate.columns());
    let judged = |slots: &[Vec<usize>]| {
        ledger.reading(|connection| {
            let mut found = Vec::with_capacity(slots.len());
            for slots in slots {
                let mut document = Document::default();
                for slot in slots {
                    if let Some(hit) = hit(connection, columns.row(*slot))? {
                        let json: Value = serde_json::from_str(&hit.json).unwrap_or_default();
                        document.add(&json, &fields);
                    }
                }
                found.push(document.matches(predicate));
            }
            Ok(found)
        })
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = claims.len().div_ceil(threads).max(JUDGED_TOGETHER);
    let outcomes: Vec<Result<Vec<bool>, LedgerError>> = std::thread::scope(|scope| {
        let part = |claims| {
            move || -> Result<Vec<bool>, LedgerError> {
                let parts =
                    <[Vec<usize>]>::chunks(claims, JUDGED_TOGETHER).map(judged).collect::<Result<Vec<_>, _>>()?;
                Ok(parts.concat())
            }
        };
        let handles: Vec<_> = claims.chunks(share).map(|claims| scope.spawn(part(claims))).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let found = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    places.into_iter().zip(found).filter(|(_, found)| *found).for_each(|(place, _)| holds.set(place, true));
    Ok(holds)
}
