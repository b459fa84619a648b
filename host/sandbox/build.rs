//! Builds the guest component and leaves it in `OUT_DIR` for this crate to embed.
//!
//! The guest is built by a nested cargo with a target folder of its own (the outer one holds the lock of ours),
//! for wasm32-unknown-unknown, and turned into a component without a single import. This script depends on no crate, so that
//! the guest is under way while the libraries of the host are.
//! `TIPLINE_GUEST_WASM=path` takes a ready core module instead. Where the wasm target is missing, rustup is asked
//! to install it; where there is no rustup either, the build stops with one sentence that says what to do.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[allow(dead_code, reason = "what else is public in it is for the crate's tests")]
#[path = "src/wrap.rs"]
mod wrap;

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
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .ok_or("the crate is not two folders below the workspace")?;
    println!("cargo::rerun-if-env-changed=TIPLINE_GUEST_WASM");
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
    let component = wrap::wrapped(&module)
        .ok_or_else(|| format!("{} is no core module: its sections cannot be read.", core.display()))?;
    write(&out.join("guest.core.wasm"), &module)?;
    write(&out.join("guest.component.wasm"), &component)
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
