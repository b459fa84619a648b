//! `tipline guest`: the built-in component, for people who embed it elsewhere, and a beginning for those who write their own.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use super::Misuse;
use crate::guests::Guests;
use crate::sandbox::{BUILT_IN, BUILT_IN_CORE, WIT, sha256};

/// Show or export the built-in guest, the WASM component that holds all logic of the feed
#[derive(Debug, Subcommand)]
pub(super) enum Guest {
    /// Print what the guest says of itself: version, record types, the ECS fields it writes, its settings
    #[command(after_long_help = "\
Examples:
  tipline guest describe
  tipline guest describe | jq .fields      # the ECS fields with their Elasticsearch types")]
    Describe,
    /// Write the component, the core module, the WIT contract and their SHA-256 sums into a folder
    #[command(after_long_help = "\
Examples:
  tipline guest export out
  cd out && sha256sum -c SHA256SUMS
  wasmtime run --invoke 'describe()' out/socdefenders.component.wasm

The component imports nothing: any host of the component model runs it. The core module is for hosts that know no \
components; input.wit describes both.")]
    Export {
        /// The folder; made if it is missing. Files of the same names are replaced.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Build the built-in guest anew from the sources of a clone, changed or not
    #[command(after_long_help = "\
It runs cargo in the clone, which needs rustup's compilation target wasm32-unknown-unknown, and writes a core module, which \
`eval` and an input's `type:` take as they take a component. This program and the guest within it stay as they are.

Examples:
  tipline guest build my-mapper.wasm      # in a clone, after a change in guest/
  tipline eval tests/corpus/demo.jsonl --candidate my-mapper.wasm")]
    Build {
        /// The file it is written to
        #[arg(value_name = "FILE")]
        out: PathBuf,
        /// The clone, or a folder in it
        #[arg(long, value_name = "DIR", default_value = ".")]
        clone: PathBuf,
    },
    /// Begin a guest of your own: a small Rust project that builds, with a test
    #[command(after_long_help = "\
The project needs cargo and the compilation target wasm32-unknown-unknown, and nothing else: what guests are written with \
is put beside it, in tipline-guest/. Its README.md says the four commands. docs/write-a-guest.md walks through a whole one.

Examples:
  tipline guest new my-mapper
  cd my-mapper && cargo test")]
    New {
        /// The folder, whose name becomes the crate's; it must be empty or missing
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

impl Guest {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Describe => describe(),
            Self::Export { dir } => export(&dir),
            Self::Build { out, clone } => build(&out, &clone),
            Self::New { dir } => new(&dir),
        }
    }
}

fn describe() -> Result<()> {
    let text = Guests::new(None).built_in()?.describe()?;
    let value: serde_json::Value = serde_json::from_str(&text).context("The guest's description is not JSON")?;
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn export(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)
        .with_context(|| format!("The folder {} cannot be made; name one you may write to", dir.display()))?;
    let files: [(&str, &[u8]); 3] = [
        ("socdefenders.component.wasm", BUILT_IN),
        ("socdefenders.core.wasm", BUILT_IN_CORE),
        ("input.wit", WIT.as_bytes()),
    ];
    let mut sums = String::new();
    let mut out = io::stdout().lock();
    for (name, bytes) in files {
        sums.push_str(&format!("{}  {name}\n", sha256(bytes)));
        write(&dir.join(name), bytes)?;
    }
    write(&dir.join("SHA256SUMS"), sums.as_bytes())?;
    write!(out, "{sums}")?;
    Ok(())
}

/// What guests are compiled for.
const TARGET: &str = "wasm32-unknown-unknown";

/// What cargo is told by whoever called this program, which is not meant for the guest.
const OF_OTHERS: [&str; 6] =
    ["CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "MAKEFLAGS"];

/// Compiles as `host/build.rs` does, so that an unchanged guest maps, and costs, the same.
fn build(out: &Path, clone: &Path) -> Result<()> {
    let start = std::path::absolute(clone).context("The folder has no name")?;
    let is_clone = |folder: &&Path| {
        let manifest = fs::read_to_string(folder.join("guest/Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.trim() == "name = \"socdefenders\"")
    };
    let Some(workspace) = start.ancestors().find(is_clone) else {
        return Err(Misuse(format!(
            "Neither {} nor a folder above it is a clone of Tipline with the sources in guest/; name one with --clone DIR. A guest of \
             your own is built with plain cargo.",
            start.display()
        ))
        .into());
    };
    let target = workspace.join("target/guest-build");
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(workspace)
        .args(["rustc", "--locked", "-p", "socdefenders", "--lib", "--crate-type", "cdylib", "--profile", "guest"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+simd128");
    OF_OTHERS.iter().for_each(|name| _ = cargo.env_remove(name));
    let status = cargo.status().context("cargo cannot be started; install rustup from https://rustup.rs")?;
    if !status.success() {
        bail!(
            "The guest did not compile; the reason stands above. Where it is a missing target: rustup target add {TARGET}"
        );
    }
    let built = target.join(TARGET).join("guest/socdefenders.wasm");
    let bytes = fs::read(&built).with_context(|| format!("{} cannot be read", built.display()))?;
    write(out, &bytes)?;
    writeln!(io::stdout(), "{}  {}", sha256(&bytes), out.display())?;
    Ok(())
}

/// The project that `new` writes. Its name is put in the place of `my-mapper` and `my_mapper`.
const TEMPLATE: [(&str, &str); 9] = [
    ("Cargo.toml", include_str!("../../template/Cargo.toml")),
    ("Cargo.lock", include_str!("../../template/Cargo.lock")),
    ("README.md", include_str!("../../template/README.md")),
    ("tipline.yml", include_str!("../../template/tipline.yml")),
    (".gitignore", include_str!("../../template/gitignore")),
    ("src/lib.rs", include_str!("../../template/src/lib.rs")),
    ("src/mapper.rs", include_str!("../../template/src/mapper.rs")),
    ("tests/page.json", include_str!("../../template/tests/page.json")),
    ("tests/expected.ndjson", include_str!("../../template/tests/expected.ndjson")),
];

/// The crates it is written with.
const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The longest name of a crate that becomes an input's id as well.
const MAX_NAME_BYTES: usize = 64;

fn new(dir: &Path) -> Result<()> {
    let name = crate_name(dir)?;
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Misuse(format!("{} is not empty; name a folder that is, or a new one.", dir.display())).into());
    }
    let make = |folder: &Path| {
        let advice = "name one where you may write";
        fs::create_dir_all(folder).with_context(|| format!("The folder {} cannot be made; {advice}", folder.display()))
    };
    for folder in ["src", "tests", "wit"] {
        make(&dir.join(folder))?;
    }
    for (file, text) in SDK {
        let path = dir.join(file);
        path.parent().map_or(Ok(()), make)?;
        write(&path, text.as_bytes())?;
    }
    for (file, text) in TEMPLATE {
        let text = text.replace("my-mapper", &name).replace("my_mapper", &name.replace('-', "_"));
        write(&dir.join(file), text.as_bytes())?;
    }
    write(&dir.join("wit/input.wit"), WIT.as_bytes())?;
    writeln!(io::stdout(), "{} is begun; its README.md says how to go on: cd {0} && cargo test", dir.display())?;
    Ok(())
}

/// A name that is fit for a crate and for an input.
fn crate_name(dir: &Path) -> Result<String> {
    let whole = std::path::absolute(dir).context("The folder has no name")?;
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_fit = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= MAX_NAME_BYTES
        && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'));
    if is_fit {
        return Ok(name);
    }
    let found = crate::text::escape(&name).into_owned();
    Err(Misuse(format!(
        "The folder's name becomes the crate's: found `{found}`, expected up to {MAX_NAME_BYTES} of the characters a-z, 0-9, `_` and \
         `-`, a letter first, such as my-mapper."
    ))
    .into())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)
        .with_context(|| format!("{} cannot be written; check the folder's owner and the free space", path.display()))
}
