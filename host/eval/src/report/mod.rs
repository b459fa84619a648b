//! An evaluation in four forms: text for a terminal, JSON for programs, JUnit for build servers, one HTML page for a
//! reviewer. All show the same findings in the same order. Values of indicators are written so that nobody clicks them
//! ("defanged"), but for JSON, which is for programs.

mod html;
mod junit;
mod text;

pub use html::html;
pub use junit::junit;
pub use text::text;

use serde_json::{Value, json};

use super::finding::Finding;
use super::{Evaluation, Subject};

/// The evaluation as JSON.
pub fn json(evaluation: &Evaluation) -> Value {
    let mut value = serde_json::to_value(evaluation).unwrap_or_default();
    if let Value::Object(members) = &mut value {
        members.insert("verdict".to_owned(), json!(verdict(evaluation)));
        members.insert("failing".to_owned(), json!(evaluation.failing().count()));
    }
    value
}

/// `ship`, or not.
pub fn verdict(evaluation: &Evaluation) -> &'static str {
    if evaluation.failing().next().is_none() { "ship" } else { "do not ship" }
}

/// Which guest it is, in a few words.
fn named(subject: &Subject) -> String {
    let sum: String = subject.sha256.chars().take(8).collect();
    format!(
        "{} {} (sha256 {sum}…)",
        tipline_model::text::escape(&subject.name),
        tipline_model::text::escape(&subject.version)
    )
}

/// Fuel in units of a thousand.
fn thousands(fuel: f64) -> String {
    if fuel < 1_000.0 { format!("{fuel:.0}") } else { format!("{:.1} k", fuel / 1_000.0) }
}

/// What changes in cost, in one line.
fn cost(evaluation: &Evaluation) -> Option<String> {
    let (base, candidate) = (&evaluation.costs.base, &evaluation.costs.candidate);
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / 1_048_576.0);
    let ratio = if base.seconds > 0.0 { candidate.seconds / base.seconds } else { 1.0 };
    Some(format!(
        "fuel/record {} → {} ({:+.1} %)   page p50/p99 {:.1}/{:.1} → {:.1}/{:.1} ms   time × {ratio:.2}   peak memory {} → {} MiB",
        thousands(base.fuel_a_record()?),
        thousands(candidate.fuel_a_record()?),
        evaluation.costs.growth()?,
        base.page_ms.0,
        base.page_ms.1,
        candidate.page_ms.0,
        candidate.page_ms.1,
        mib(base.peak_memory),
        mib(candidate.peak_memory),
    ))
}

/// What rules gain and lose, in one line.
fn detection(evaluation: &Evaluation) -> Option<String> {
    let said: Vec<String> = evaluation
        .detection
        .0
        .iter()
        .map(|(family, shift)| {
            let parts = [(shift.lost, "fewer"), (shift.gained, "more")];
            let parts: Vec<_> = parts
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, word)| format!("{} {word}", tipline_model::text::count(count)))
                .collect();
            format!("the {family} rules would see {}", parts.join(" and "))
        })
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// What a finding shows at first sight: its most frequent way, or its first example.
fn glimpse(finding: &Finding) -> String {
    let subject = finding.examples.first().map(|example| example.subject.to_string()).unwrap_or_default();
    match finding.ways.as_slice() {
        [] => subject,
        [(way, _), rest @ ..] => {
            let more = if rest.is_empty() { "" } else { ", …" };
            format!("{way}{more}   ({subject})")
        }
    }
}
