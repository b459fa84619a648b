//! The report for a reviewer: one page that loads nothing, from this machine or another, and runs no script.

use std::fmt::Write as _;

use super::junit::escape;
use super::{cost, detection, named, verdict};
use crate::Evaluation;
use crate::finding::{Example, Finding, Kind};
use tipline_model::said::Said;
use tipline_model::text;

/// Nothing may be fetched or run, whatever a value says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = include_str!("report.css");

/// The evaluation as a page.
pub fn html(evaluation: &Evaluation) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write(evaluation, &mut out);
    out
}

fn write(evaluation: &Evaluation, out: &mut String) -> std::fmt::Result {
    let failing = evaluation.failing().count();
    let verdict = verdict(evaluation);
    let class = if failing > 0 { "bad" } else { "good" };
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{verdict}: {}</title>\n<style>\n{STYLE}</style></head><body><main>",
        escape(&evaluation.candidate.name)
    )?;
    let count = match failing {
        0 => "nothing speaks against it".to_owned(),
        1 => "1 finding".to_owned(),
        n => format!("{n} findings"),
    };
    writeln!(
        out,
        "<header class=\"{class}\"><p class=\"verdict\">{verdict}</p><p>{count}</p></header>\n\
         <p class=\"subjects\"><span>{}</span> <b>→</b> <span>{}</span></p>",
        escape(&named(&evaluation.base)),
        escape(&named(&evaluation.candidate))
    )?;
    figures(evaluation, out)?;
    for kind in Kind::ALL {
        let of_kind: Vec<&Finding> = evaluation.findings.iter().filter(|finding| finding.kind == kind).collect();
        if !of_kind.is_empty() {
            section(kind, &of_kind, out)?;
        }
    }
    writeln!(
        out,
        "<footer>Tipline {} · values are written so that nobody clicks them</footer></main></body></html>",
        env!("CARGO_PKG_VERSION")
    )
}

fn figures(evaluation: &Evaluation, out: &mut String) -> std::fmt::Result {
    let Evaluation { base_sums: base, candidate_sums: candidate, .. } = evaluation;
    writeln!(out, "<table class=\"sums\"><thead><tr><th></th><th>base</th><th>candidate</th></tr></thead><tbody>")?;
    for (name, before, after) in [
        ("pages", base.pages, candidate.pages),
        ("records", base.read, candidate.read),
        ("documents", base.documents, candidate.documents),
        ("rejected", base.rejected, candidate.rejected),
        ("skipped", base.skipped, candidate.skipped),
        ("stopped by the sandbox", base.stopped, candidate.stopped),
    ] {
        let class = if before == after { "" } else { " class=\"differs\"" };
        writeln!(
            out,
            "<tr{class}><th>{name}</th><td>{}</td><td>{}</td></tr>",
            text::count(before),
            text::count(after)
        )?;
    }
    writeln!(out, "</tbody></table><ul class=\"lines\">")?;
    let paging = evaluation.paging.as_ref().map(|said| format!("paging: {}", text::escape(said)));
    let cluster = evaluation.cluster.as_ref().map(|said| format!("cluster: {}", text::escape(said)));
    let detection = detection(evaluation).map(|said| format!("detection: {said}"));
    for line in [cost(evaluation), paging, cluster, detection].into_iter().flatten() {
        writeln!(out, "<li>{}</li>", escape(&line))?;
    }
    writeln!(out, "</ul>")
}

fn section(kind: Kind, findings: &[&Finding], out: &mut String) -> std::fmt::Result {
    writeln!(out, "<section><h2>{} <small>{}</small></h2>", escape(kind.says()), kind.word())?;
    for finding in findings {
        let class = match (finding.fails, &finding.waived) {
            (_, Some(_)) => "intended",
            (true, None) => "fails",
            (false, None) => "told",
        };
        writeln!(
            out,
            "<details class=\"{class}\"><summary><span class=\"about\">{}</span><span class=\"count\">{}</span><span class=\"way\">{}</span></summary>",
            escape(&text::escape(&finding.about)),
            text::count(finding.count),
            escape(&finding.ways.first().map(|(way, _)| way.to_string()).unwrap_or_default()),
        )?;
        if let Some(reason) = &finding.waived {
            writeln!(out, "<p class=\"reason\">intended: {}</p>", escape(&text::escape(reason)))?;
        }
        if finding.ways.len() > 1 {
            writeln!(out, "<ul>")?;
            for (way, count) in &finding.ways {
                writeln!(out, "<li>{} × {}</li>", text::count(*count), escape(&way.to_string()))?;
            }
            writeln!(out, "</ul>")?;
        }
        examples(&finding.examples, out)?;
        writeln!(out, "</details>")?;
    }
    writeln!(out, "</section>")
}

fn examples(examples: &[Example], out: &mut String) -> std::fmt::Result {
    writeln!(out, "<table class=\"examples\"><tbody>")?;
    for example in examples {
        let value = |value: &Option<Said>| match value {
            None => "<i>absent</i>".to_owned(),
            Some(value) => format!("<code>{}</code>", escape(&value.to_string())),
        };
        let values = match (&example.before, &example.after) {
            (None, None) => String::new(),
            (before, after) => format!("{} <b>→</b> {}", value(before), value(after)),
        };
        writeln!(
            out,
            "<tr><td>{}</td><td>{values}</td><td class=\"page\">{}</td></tr>",
            escape(&example.subject.to_string()),
            escape(&text::escape(&example.page))
        )?;
    }
    writeln!(out, "</tbody></table>")
}
