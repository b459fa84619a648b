//! Leaves in `OUT_DIR` what `tipline guest new` writes beside a new guest.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    if let Err(message) = build() {
        // Cargo prints a panic's place and a backtrace hint; a sentence is enough here.
        eprintln!("\n{message}\n");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(var("OUT_DIR")?);
    let host = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    sdk(host.parent().ok_or("the host crate has no parent folder")?, &out)
}

/// The crates that guests are written with, for `tipline guest new`: it writes them beside what it begins, so that a guest
/// is built with the version its host was built with. A constant of names and texts.
fn sdk(workspace: &Path, out: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}.", path.display()));
    println!("cargo::rerun-if-changed={}", workspace.join("Cargo.toml").display());
    let root = read(&workspace.join("Cargo.toml"))?;
    let mut files = String::from("&[\n");
    for name in ["sdk", "ecs", "observable"] {
        let folder = workspace.join("guest").join(name);
        let mut paths = vec![folder.join("Cargo.toml"), folder.join("build.rs")];
        paths.retain(|path| path.is_file());
        paths.iter().for_each(|path| println!("cargo::rerun-if-changed={}", path.display()));
        for part in ["src", "data"].map(|part| folder.join(part)).iter().filter(|part| part.is_dir()) {
            println!("cargo::rerun-if-changed={}", part.display());
            collect(part, &mut paths)?;
        }
        paths.sort();
        for path in paths {
            let place = path.strip_prefix(workspace.join("guest")).map_err(|e| e.to_string())?.display().to_string();
            let source = if path.ends_with("Cargo.toml") {
                let manifest = out.join(format!("{name}.toml"));
                write(&manifest, standalone(&read(&path)?, &root)?.as_bytes())?;
                manifest
            } else {
                path
            };
            files.push_str(&format!("    ({:?}, include_str!({:?})),\n", format!("tipline-guest/{place}"), source));
        }
    }
    files.push(']');
    write(&out.join("sdk.rs"), files.as_bytes())
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), String> {
    let unreadable = |e: std::io::Error| format!("{} cannot be read: {e}.", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() { collect(&path, paths)? } else { paths.push(path) }
    }
    Ok(())
}

/// A manifest that needs no workspace: what it takes from there is put in, and what only this one's tests need is left out.
fn standalone(manifest: &str, root: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut is_kept = true;
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_kept = !matches!(line, "[dev-dependencies]" | "[lints]");
        }
        match line.strip_suffix(".workspace = true") {
            _ if !is_kept => continue,
            Some(key) => {
                let start = format!("{key} = ");
                let inherited = root.lines().find(|line| line.starts_with(&start));
                text.push_str(inherited.ok_or_else(|| format!("The workspace has no `{key}`."))?);
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}

fn var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("{} cannot be written: {e}.", path.display()))
}
