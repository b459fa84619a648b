//! Every configuration that a test writes, held against the schema that editors read.
//!
//! It is looked at where it is read: each start of the program, and each load through the library, comes by here. What the
//! program takes the schema takes, and what the program refuses by type the schema refuses. What the program knows and no
//! schema can (whether a file is there, whether two settings go together) is the program's alone.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libtest_mimic::Failed;
use serde_json::Value;
use tipline::config::{Config, DEFAULT_FILE};

static SCHEMA: LazyLock<Result<jsonschema::Validator, String>> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tipline.schema.json");
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let schema = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    jsonschema::draft7::new(&schema).map_err(|error| error.to_string())
});

/// Reads a configuration.
pub fn load(file: &Path) -> Result<Config, Failed> {
    hold(file)?;
    Ok(Config::load(file)?)
}

/// The configurations that a command is about to read.
///
/// # Panics
/// Where schema and program disagree of one of them.
pub fn hold_all(folder: &Path, arguments: &[&str]) {
    let switches = ["-c", "--config", "--cluster"];
    let named = arguments.windows(2).filter(|pair| switches.contains(&pair[0])).map(|pair| pair[1]);
    let joined = arguments.iter().filter_map(|argument| argument.strip_prefix("--config="));
    for name in named.chain(joined).chain([DEFAULT_FILE]) {
        if let Err(failed) = hold(&folder.join(name)) {
            panic!("{}", failed.message().unwrap_or("the schema disagrees"));
        }
    }
}

fn hold(file: &Path) -> Result<(), Failed> {
    if !file.is_file() {
        return Ok(());
    }
    // What is no text, or no YAML, is nothing that a schema could speak of.
    let Ok(text) = fs::read_to_string(file) else { return Ok(()) };
    let Ok(value) = serde_saphyr::from_str::<Value>(&text) else { return Ok(()) };
    // A variable that is set for the program alone has some value.
    let config = Config::parse(&text, file, &|name| std::env::var(name).ok().or_else(|| Some("x".to_owned())));
    let refusal = config.map_or_else(|error| Some(error.to_string()), |config| refused_by_guest(&config));
    let complaints: Vec<_> =
        SCHEMA.as_ref()?.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    match refusal {
        None if !complaints.is_empty() => {
            Err(format!("the program takes this, and the schema refuses it: {text}\n{}", complaints.join("\n")).into())
        }
        Some(refusal) if complaints.is_empty() && is_by_type(&refusal) && !text.contains("${") => {
            Err(format!("the schema takes this, and the program refuses it: {text}\n{refusal}").into())
        }
        _ => Ok(()),
    }
}

/// What the built-in guest has against its settings.
fn refused_by_guest(config: &Config) -> Option<String> {
    let inputs = config.inputs.iter().filter(|input| input.guest_file.is_none());
    inputs.into_iter().find_map(|input| match socdefenders::map_records(&input.guest_config, 0, b"") {
        Err(socdefenders::Failure::Config(text)) => Some(text),
        _ => None,
    })
}

/// Whether a refusal is one of a value's form, in the words with which the program says so.
fn is_by_type(refusal: &str) -> bool {
    refusal.contains("is no setting") || (refusal.contains("`: found ") && refusal.contains(", expected "))
}
