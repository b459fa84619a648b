//! The report for build servers: one test case for each kind of finding.

use std::fmt::Write as _;

use super::{glimpse, named};
use crate::Evaluation;
use crate::finding::Kind;

/// The evaluation as JUnit XML. Kinds that do not fail it, and findings that are intended, stand in `system-out`.
pub fn junit(evaluation: &Evaluation) -> String {
    let mut cases = String::new();
    let mut failures = 0;
    for kind in Kind::ALL {
        let of_kind = || evaluation.findings.iter().filter(move |finding| finding.kind == kind);
        let failing: Vec<_> = of_kind().filter(|finding| finding.fails && finding.waived.is_none()).collect();
        let told: Vec<_> = of_kind().filter(|finding| !finding.fails || finding.waived.is_some()).collect();
        let _ = write!(cases, "  <testcase classname=\"tipline.eval\" name=\"{}\"", kind.word());
        if failing.is_empty() && told.is_empty() {
            cases.push_str("/>\n");
            continue;
        }
        cases.push_str(">\n");
        let lines = |findings: &[&crate::finding::Finding]| {
            let lines: Vec<_> = findings
                .iter()
                .map(|f| {
                    format!("{} × {}: {}{}", f.count, tipline_model::text::escape(&f.about), glimpse(f), reason(f))
                })
                .collect();
            escape(&lines.join("\n"))
        };
        if !failing.is_empty() {
            failures += 1;
            let _ = writeln!(
                cases,
                "    <failure message=\"{}\" type=\"{}\">{}</failure>",
                escape(kind.says()),
                kind.word(),
                lines(&failing)
            );
        }
        if !told.is_empty() {
            let _ = writeln!(cases, "    <system-out>{}</system-out>", lines(&told));
        }
        cases.push_str("  </testcase>\n");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">\n{cases}</testsuite>\n",
        escape(&format!("tipline eval: {} to {}", named(&evaluation.base), named(&evaluation.candidate))),
        Kind::ALL.len(),
    )
}

fn reason(finding: &crate::finding::Finding) -> String {
    finding
        .waived
        .as_ref()
        .map(|reason| format!(" (intended: {})", tipline_model::text::escape(reason)))
        .unwrap_or_default()
}

/// For XML's texts and attributes; characters that XML does not know become U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
