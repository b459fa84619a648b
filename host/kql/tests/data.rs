//! The documents and fields that queries are asked of here.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tipline_ecs::{FIELDS, HOST_FIELDS};
use tipline_kql::Fields;

/// The time of all these tests: 2026-11-27T10:15:30.125Z, a Friday.
pub(crate) const NOW: i64 = 1_795_774_530_125;

/// Types that no document of ours has yet.
const MORE: [(&str, &str); 4] =
    [("x.flag", "boolean"), ("x.count", "integer"), ("x.ratio", "double"), ("x.place", "geo_point")];

/// Name and type of every field.
pub(crate) fn described() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS.iter().chain(HOST_FIELDS).chain(&MORE).copied()
}

pub(crate) fn fields() -> Fields {
    Fields::new(described())
}

pub(crate) fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Those made for the table of cases; `event.id` names them.
pub(crate) fn documents() -> Vec<Value> {
    lines(&here("documents.ndjson"))
}

/// What the guest's golden cases give: documents of every kind.
pub(crate) fn golden() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/tests/cases");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
        .iter()
        .map(|case| case.join("expected.ndjson"))
        .filter(|path| path.exists())
        .flat_map(|path| lines(&path))
        .collect()
}

pub(crate) fn id(document: &Value) -> &str {
    document["event"]["id"].as_str().unwrap()
}
