//! Builds the guest component and leaves it in `OUT_DIR` for `sandbox` to embed.
//!
//! The guest is built by a nested cargo with a target folder of its own (the outer one holds the lock of ours),
//! for wasm32-unknown-unknown, and turned into a component without a single import by `wit-component`.
//! `TIPLINE_GUEST_WASM=path` takes a ready core module instead. Where the wasm target is missing, rustup is asked
//! to install it; where there is no rustup either, the build stops with one sentence that says what to do.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

fn main() {
    if let Err(message) = build() {
        // Cargo prints a panic's place and a backtrace hint; a sentence is enough here.
        eprintln!("\n{message}\n");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(var("OUT_DIR")?);
    let workspace = PathBuf::from(var("CARGO_MANIFEST_DIR")?)
        .parent()
        .map(Path::to_path_buf)
        .ok_or("the host crate has no parent folder")?;
    println!("cargo::rerun-if-env-changed=TIPLINE_GUEST_WASM");
    sdk(&workspace, &out)?;
    let core = match env::var_os("TIPLINE_GUEST_WASM") {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", path.display());
            PathBuf::from(path)
        }
        None => {
            for part in [
                "guest/src",
                "guest/Cargo.toml",
                "guest/observable",
                "guest/ecs",
                "guest/stix",
                "guest/sdk",
                "wit",
                "Cargo.toml",
                "Cargo.lock",
            ] {
                println!("cargo::rerun-if-changed={}", workspace.join(part).display());
            }
            compile_guest(&workspace, &out.join("guest-target"))?
        }
    };
    let module = fs::read(&core).map_err(|e| format!("The guest module {} cannot be read: {e}.", core.display()))?;
    let component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| format!("{} cannot be made a component: {e:#}.", core.display()))?;
    write(&out.join("guest.core.wasm"), &module)?;
    write(&out.join("guest.component.wasm"), &component)
}

/// The crates that guests are written with, for `tipline guest new`: it writes them beside what it begins, so that a guest
/// is built with the version its host was built with. A constant of names and texts.
fn sdk(workspace: &Path, out: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}.", path.display()));
    let root = read(&workspace.join("Cargo.toml"))?;
    let mut files = String::from("&[\n");
    for name in ["sdk", "ecs", "observable"] {
        let folder = workspace.join("guest").join(name);
        let mut paths = vec![folder.join("Cargo.toml"), folder.join("build.rs")];
        paths.retain(|path| path.is_file());
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

fn compile_guest(workspace: &Path, target_dir: &Path) -> Result<PathBuf, String> {
    ensure_target(workspace)?;
    let mut cargo = clean(Command::new(var("CARGO")?));
    cargo
        .current_dir(workspace)
        .args(["rustc", "--locked", "-p", "socdefenders", "--lib", "--crate-type", "cdylib", "--profile", "guest"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace));
    let status = cargo.status().map_err(|e| format!("cargo could not be started for the guest: {e}."))?;
    if !status.success() {
        return Err("The guest component did not compile; the reason stands above.".to_owned());
    }
    Ok(target_dir.join(TARGET).join("guest").join("socdefenders.wasm"))
}

/// Vectors are part of WebAssembly 2.0, which all engines in use have; they make mapping a thirtieth faster.
///
/// A panic message holds the path of its source file. The folders of this machine are replaced, so that two
/// machines build the same bytes.
fn flags(workspace: &Path) -> OsString {
    let mut flags = OsString::from("-Ctarget-feature=+simd128");
    let mut add = |from: OsString, to: &str| {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    };
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    if let Some(home) = cargo_home {
        add(home.join("registry").join("src").into_os_string(), "/cargo");
    }
    if let Some(sysroot) = sysroot() {
        add(sysroot.join("lib/rustlib/src/rust").into_os_string(), "/rust");
    }
    add(workspace.as_os_str().to_owned(), "/tipline");
    flags
}

fn sysroot() -> Option<PathBuf> {
    let output = clean(Command::new(env::var_os("RUSTC")?)).args(["--print", "sysroot"]).output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn ensure_target(workspace: &Path) -> Result<(), String> {
    let installed = sysroot().is_some_and(|root| root.join("lib/rustlib").join(TARGET).join("lib").is_dir());
    if installed {
        return Ok(());
    }
    println!("cargo::warning=installing the compilation target {TARGET} (rustup target add {TARGET})");
    let added = clean(Command::new("rustup")).current_dir(workspace).args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!(
            "The guest needs the compilation target {TARGET}, and `rustup target add {TARGET}` failed: run it by hand, its message stands above."
        )),
        Err(_) => Err(format!(
            "The guest needs the compilation target {TARGET} and rustup was not found: install rustup from https://rustup.rs, or add that target to your Rust installation."
        )),
    }
}

/// What cargo and clippy set for the outer build would change the inner one.
fn clean(mut command: Command) -> Command {
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "CARGO_MAKEFLAGS",
        "MAKEFLAGS",
    ] {
        command.env_remove(name);
    }
    command
}

fn var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("{} cannot be written: {e}.", path.display()))
}
