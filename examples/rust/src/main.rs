//! Maps a page in one of three ways: `native PAGE`, `component COMPONENT PAGE`, `compose STAGE COMPONENT PAGE`.

use std::fs;
use std::io::{self, Write};

use anyhow::{Context, Result, anyhow, bail};
use tipline_example_rust::{component, compose, native};

/// 2024-12-09T10:30:00Z; a real program says when the feed showed the page.
const OBSERVED: u64 = 1_733_740_200_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let read = |path: &str| fs::read(path).with_context(|| format!("{path} cannot be read"));
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let documents = match words.as_slice() {
        ["native", records] => native::map("", OBSERVED, &read(records)?)?.documents,
        ["component", guest, records] => {
            let mut guest = component::Guest::new(&read(guest)?).map_err(told)?;
            guest.map("", OBSERVED, &read(records)?).map_err(told)?.documents
        }
        ["compose", stage, guest, records] => {
            let composed = compose::compose(&read(stage)?, &read(guest)?)?;
            let (documents, addresses) = compose::run(&composed, "", OBSERVED, &read(records)?).map_err(told)?;
            writeln!(io::stderr(), "{} addresses of high confidence", addresses.len())?;
            documents
        }
        _ => bail!("expected: native PAGE | component COMPONENT PAGE | compose STAGE COMPONENT PAGE"),
    };
    Ok(io::stdout().write_all(documents.as_bytes())?)
}

/// wasmtime has an error of its own.
fn told(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}
