//! How much of an answer's lists and texts comes in.
//!
//! A call's whole answer is bounded by its bytes ([`super::CallLimits::output_bytes`]); what is bounded here is what many
//! small items or one long text would cost behind the sandbox. Lists that carry data are whole or refused, as half a page
//! must not be taken for one; texts for people and reasons are cut, and what is beyond their number is left out.

use super::SandboxError;
use super::bindings::{Batch, Failure, Next, Step};
use super::limits::Exceeded;

/// Documents of one answer: a body of 64 MiB, the longest there is, holds 134,000 records, and few give more than two.
/// Fixed, as the longest body is.
pub const MAX_DOCUMENTS: usize = 300_000;

/// Rejects of one answer: each of 134,000 records, with room. Each is a row of the ledger, of which a second takes some
/// twenty thousand. Fixed, as the longest body is.
pub const MAX_REJECTS: usize = 200_000;

/// Rows of one answer, and keys of one question: two for each of 134,000 records, with room. Fixed, as the longest body is.
pub const MAX_ROWS: usize = 300_000;

/// Headers of a request, before those are counted that are sent. Fixed: no feed asks for a tenth of it.
const MAX_HEADERS: usize = 1_000;

/// A guest's description of itself, of which ours has 13 KiB. Fixed: it is read as JSON, which takes ten times its length.
pub const MAX_DESCRIPTION_BYTES: usize = 1024 * 1024;

/// Notes of one answer. Of more nobody reads, and the ledger keeps fifty. Fixed for that reason.
pub const MAX_NOTES: usize = 100;

/// Reasons for skipping of one answer; further ones are counted as `other`. A guest has a dozen. Fixed: the ledger tells
/// a hundred apart.
pub const MAX_REASONS: usize = 200;

/// A code or a reason, which are words to count by. The longest of ours has 40 bytes. Fixed for that reason.
pub const MAX_WORD_BYTES: usize = 200;

/// A text for people: some twenty sentences. Fixed: it is shown in a line.
pub const MAX_TEXT_BYTES: usize = 4 * 1024;

/// What further reasons are counted as.
const OTHER: &str = "other";

pub(super) fn batch(batch: &mut Batch) -> Result<(), SandboxError> {
    whole("documents", batch.heads.len(), MAX_DOCUMENTS)?;
    whole("rejects", batch.rejects.len(), MAX_REJECTS)?;
    counted(batch)?;
    for reject in &mut batch.rejects {
        cut(&mut reject.code, MAX_WORD_BYTES);
        cut(&mut reject.detail, MAX_TEXT_BYTES);
    }
    batch.notes.truncate(MAX_NOTES);
    for note in &mut batch.notes {
        cut(&mut note.code, MAX_WORD_BYTES);
        cut(&mut note.text, MAX_TEXT_BYTES);
    }
    if batch.skips.len() > MAX_REASONS {
        let others = batch.skips.drain(MAX_REASONS - 1..).fold(0_u32, |sum, skip| sum.saturating_add(skip.count));
        batch.skips.push(super::Skip { reason: OTHER.to_owned(), count: others });
    }
    for skip in &mut batch.skips {
        cut(&mut skip.reason, MAX_WORD_BYTES);
    }
    Ok(())
}

/// Whether each record is accounted for: read = mapped + rejected + skipped, a reject for each that was rejected, and a
/// reason for each that was skipped.
fn counted(batch: &Batch) -> Result<(), SandboxError> {
    let Batch { read, mapped, rejected, skipped, .. } = *batch;
    let sum = [mapped, rejected, skipped].map(u64::from).iter().sum::<u64>();
    if sum != u64::from(read) {
        return Err(SandboxError::Counts(format!(
            "{read} records read, but {mapped} mapped + {rejected} rejected + {skipped} skipped"
        )));
    }
    let rejects = batch.rejects.len();
    if rejects as u64 != u64::from(rejected) {
        return Err(SandboxError::Counts(format!("{rejected} records rejected, but {rejects} rejects given")));
    }
    let reasons: u64 = batch.skips.iter().map(|skip| u64::from(skip.count)).sum();
    if reasons != u64::from(skipped) {
        return Err(SandboxError::Counts(format!("{skipped} records skipped, but reasons for {reasons}")));
    }
    Ok(())
}

pub(super) fn step(step: &mut Step) -> Result<(), SandboxError> {
    step.batch.as_mut().map_or(Ok(()), batch)?;
    whole("rows", step.remember.len(), MAX_ROWS)?;
    match &mut step.next {
        Next::Recall(keys) => whole("keys", keys.len(), MAX_ROWS),
        Next::WaitUntil(wait) => {
            cut(&mut wait.reason, MAX_TEXT_BYTES);
            Ok(())
        }
        // What else it may ask for is bounded where it is sent.
        Next::Fetch(request) => whole("headers", request.headers.len(), MAX_HEADERS),
        Next::Done => Ok(()),
    }
}

pub(super) fn failure(failure: &mut Failure) {
    let (Failure::Config(text)
    | Failure::Credential(text)
    | Failure::Forbidden(text)
    | Failure::Protocol(text)
    | Failure::State(text)) = failure;
    cut(text, MAX_TEXT_BYTES);
    one_line(text);
}

/// A stranger's words begin no line: in a log it would pass for one of ours.
fn one_line(text: &mut String) {
    if text.contains(['\n', '\r']) {
        *text = text.split(['\n', '\r']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    }
}

fn whole(what: &'static str, count: usize, limit: usize) -> Result<(), SandboxError> {
    if count <= limit { Ok(()) } else { Err(SandboxError::Exceeded(Exceeded::Count { what, limit })) }
}

/// What wasmtime says of a guest, in whose words there may be the guest's own.
pub(super) fn told(mut text: String) -> String {
    cut(&mut text, MAX_TEXT_BYTES);
    text
}

fn cut(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
}

#[cfg(test)]
mod tests {
    use super::super::{Head, Note, Reject, Request, Row, Skip, Wait};
    use super::*;

    fn asking(next: Next) -> Step {
        Step { batch: None, remember: Vec::new(), next, state: String::new() }
    }

    #[test]
    fn a_failure_is_one_line() {
        for (text, line) in [("a", "a"), ("a\r\n{\"b\":1}\n", "a {\"b\":1}"), ("\n", "")] {
            let mut failed = Failure::Config(text.to_owned());
            failure(&mut failed);
            assert_eq!(failed.text(), line);
        }
    }

    #[test]
    fn lists_of_data_are_whole_or_refused() {
        let head = Head { id: String::new(), version: 0, expires: None, length: 0 };
        let reject = Reject { code: String::new(), detail: String::new(), raw: Vec::new() };
        let row = Row { key: String::new(), value: String::new(), expires: None };
        for more in [0, 1] {
            let heads = Batch { heads: vec![head.clone(); MAX_DOCUMENTS + more], ..Batch::empty() };
            let rejects = rejected(vec![reject.clone(); MAX_REJECTS + more]);
            for (what, mut answer) in [
                ("documents", Step { batch: Some(heads), ..asking(Next::Done) }),
                ("rejects", Step { batch: Some(rejects), ..asking(Next::Done) }),
                ("rows", Step { remember: vec![row.clone(); MAX_ROWS + more], ..asking(Next::Done) }),
                ("keys", asking(Next::Recall(vec![String::new(); MAX_ROWS + more]))),
                ("headers", asking(headers(MAX_HEADERS + more))),
            ] {
                match step(&mut answer) {
                    Ok(()) => assert_eq!(more, 0, "{what}"),
                    Err(error) => assert!(more == 1 && error.to_string().contains(what), "{error}"),
                }
            }
        }
    }

    fn headers(count: usize) -> Next {
        Next::Fetch(Request { headers: vec![(String::new(), String::new()); count], ..Request::get("/") })
    }

    fn rejected(rejects: Vec<Reject>) -> Batch {
        let count = u32::try_from(rejects.len()).unwrap();
        Batch { read: count, rejected: count, rejects, ..Batch::empty() }
    }

    #[test]
    fn counts_that_do_not_add_up_are_refused() {
        let reasons =
            |of: &[u32]| -> Vec<Skip> { of.iter().map(|&count| Skip { reason: String::new(), count }).collect() };
        let counts = |read, mapped, rejected, skipped| Batch {
            skips: reasons(&[skipped]),
            ..Batch { read, mapped, rejected, skipped, ..Batch::empty() }
        };
        for (mut answer, adds_up) in [
            (counts(3, 2, 0, 1), true),
            (Batch { skips: reasons(&[1, 0]), ..counts(3, 2, 0, 1) }, true),
            (Batch { skips: reasons(&[]), ..counts(3, 2, 0, 1) }, false),
            (Batch { skips: reasons(&[1, 1]), ..counts(3, 2, 0, 1) }, false),
            (Batch { skips: reasons(&[u32::MAX, 2]), ..counts(3, 2, 0, 1) }, false),
            (counts(3, 3, 0, 1), false),
            (counts(2, 1, 1, 0), false),
            (counts(u32::MAX, u32::MAX, 0, u32::MAX), false),
        ] {
            assert_eq!(batch(&mut answer).is_ok(), adds_up, "{answer:?}");
        }
    }

    #[test]
    fn texts_are_cut_at_a_character_and_notes_and_reasons_at_their_number() {
        let text = |bytes: usize| format!("{}\u{e9}", "x".repeat(bytes - 1));
        for (over, bytes) in [(0, MAX_TEXT_BYTES), (1, MAX_TEXT_BYTES - 1)] {
            let long = text(MAX_TEXT_BYTES - 1 + over);
            let note = Note { code: text(MAX_WORD_BYTES), text: long.clone() };
            let reject = Reject { code: text(MAX_WORD_BYTES), detail: long.clone(), raw: Vec::new() };
            let mut answer = Batch { notes: vec![note], ..rejected(vec![reject]) };
            batch(&mut answer).unwrap();
            assert_eq!((answer.notes[0].text.len(), answer.rejects[0].detail.len()), (bytes, bytes));
            assert_eq!(
                (answer.notes[0].code.len(), answer.rejects[0].code.len()),
                (MAX_WORD_BYTES - 1, MAX_WORD_BYTES - 1)
            );
            let mut waiting = asking(Next::WaitUntil(Wait { until: 0, reason: long.clone() }));
            step(&mut waiting).unwrap();
            assert!(matches!(waiting.next, Next::WaitUntil(wait) if wait.reason.len() == bytes));
            let mut told = Failure::Protocol(long);
            failure(&mut told);
            assert_eq!(told.text().len(), bytes);
        }
        for (count, kept, last) in [(MAX_REASONS, MAX_REASONS, 2), (MAX_REASONS + 1, MAX_REASONS, 4)] {
            let skips = (0..count).map(|n| Skip { reason: n.to_string(), count: 2 }).collect();
            let skipped = 2 * u32::try_from(count).unwrap();
            let mut answer = Batch { skips, read: skipped, skipped, ..Batch::empty() };
            batch(&mut answer).unwrap();
            assert_eq!((answer.skips.len(), answer.skips.last().unwrap().count), (kept, last));
        }
        for count in [MAX_NOTES, MAX_NOTES + 1] {
            let note = Note { code: String::new(), text: String::new() };
            let mut answer = Batch { notes: vec![note; count], ..Batch::empty() };
            batch(&mut answer).unwrap();
            assert_eq!(answer.notes.len(), MAX_NOTES);
        }
    }
}
