//! The report for a terminal.

use std::fmt::Write as _;

use super::{cost, detection, glimpse, named, verdict};
use crate::Evaluation;
use crate::finding::{Finding, Kind};
use tipline_model::text::{self, Align, Style, Table};

/// Lines of one kind; all are in the other forms.
const LINES_A_KIND: usize = 12;

/// Characters of a line's example.
const GLIMPSE_CHARS: usize = 100;

/// The evaluation as text.
pub fn text(evaluation: &Evaluation, style: Style) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write(evaluation, style, &mut out);
    out
}

fn write(evaluation: &Evaluation, style: Style, out: &mut String) -> std::fmt::Result {
    let Evaluation { base, candidate, base_sums, candidate_sums, .. } = evaluation;
    writeln!(
        out,
        "{} pages, {} records · {} → {}",
        text::count(evaluation.pages),
        text::count(base_sums.read.max(candidate_sums.read)),
        named(base),
        named(candidate)
    )?;
    for kind in Kind::ALL {
        let of_kind: Vec<&Finding> = evaluation.findings.iter().filter(|finding| finding.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        writeln!(out, "\n{}", style.bold(kind.says()))?;
        let mut table = Table::new(&[
            ("", Align::Left),
            (kind.word(), Align::Left),
            ("count", Align::Right),
            ("example", Align::Left),
        ])
        .giving_way(&["example"]);
        for finding in of_kind.iter().take(LINES_A_KIND) {
            table.row([
                mark(finding).to_owned(),
                text::cut(&text::escape(&finding.about), 90),
                text::count(finding.count),
                text::cut(&glimpse(finding), GLIMPSE_CHARS),
            ]);
        }
        out.push_str(&table.render(style));
        if of_kind.len() > LINES_A_KIND {
            writeln!(out, "   … and {} more; --json has them all", of_kind.len() - LINES_A_KIND)?;
        }
        for finding in &of_kind {
            if let Some(reason) = &finding.waived {
                writeln!(out, "   intended: {}: {}", text::escape(&finding.about), text::escape(reason))?;
            }
        }
    }
    writeln!(out)?;
    let change = |before: u64, after: u64| match before == after {
        true => text::count(before),
        false => format!("{} → {}", text::count(before), text::count(after)),
    };
    let of_kind = |kind: Kind| evaluation.findings.iter().find(|finding| finding.kind == kind);
    let imports = match (of_kind(Kind::Imports), of_kind(Kind::Load)) {
        (Some(finding), _) => text::escape(&finding.about).into_owned(),
        (None, Some(_)) => "unknown".to_owned(),
        (None, None) => "none".to_owned(),
    };
    writeln!(
        out,
        "documents: {}   rejects: {}   skipped: {}   stopped: {}   imports: {imports}",
        change(base_sums.documents, candidate_sums.documents),
        change(base_sums.rejected, candidate_sums.rejected),
        change(base_sums.skipped, candidate_sums.skipped),
        change(base_sums.stopped, candidate_sums.stopped),
    )?;
    if let Some(cost) = cost(evaluation) {
        writeln!(out, "{cost}")?;
    }
    if let Some(paging) = &evaluation.paging {
        writeln!(out, "paging: {}", text::escape(paging))?;
    }
    if let Some(cluster) = &evaluation.cluster {
        writeln!(out, "cluster: {}", text::escape(cluster))?;
    }
    if let Some(detection) = detection(evaluation) {
        writeln!(out, "detection: {detection}")?;
    }
    let failing = evaluation.failing().count();
    let waived = evaluation.findings.iter().filter(|finding| finding.waived.is_some()).count();
    let told = evaluation.findings.len() - failing - waived;
    let mut verdict = format!("verdict: {}", verdict(evaluation));
    if failing > 0 {
        write!(verdict, " ({failing} finding{})", if failing == 1 { "" } else { "s" })?;
    }
    for (count, what) in [(waived, "intended"), (told, "for information")] {
        if count > 0 {
            write!(verdict, ", {count} {what}")?;
        }
    }
    writeln!(out, "{}", if failing > 0 { style.red(&verdict) } else { style.green(&verdict) })
}

fn mark(finding: &Finding) -> &'static str {
    match (finding.fails, &finding.waived) {
        (_, Some(_)) => "✓",
        (true, None) => "✗",
        (false, None) => "·",
    }
}
