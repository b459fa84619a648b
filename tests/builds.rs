//! Guests that are built by the tests, as their authors build them: with plain cargo, for wasm32-unknown-unknown.
//!
//! All share one target folder below the workspace's, so that what they depend on is compiled once. Versions are those of
//! the lock files, hence no network is needed where the workspace itself could be built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use libtest_mimic::Failed;
use sha2::{Digest, Sha256};

const TARGET: &str = "wasm32-unknown-unknown";

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// What a configuration pins.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// One cargo after the other: two builds of one crate with other features leave the same file.
static BUILDS: Mutex<()> = Mutex::new(());

/// The guest in this folder, built with these features.
pub fn built(project: &Path, features: &str) -> Result<Vec<u8>, Failed> {
    let _one = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    cargo(project, &["build", "--release", "--target", TARGET, "--features", features])?;
    let manifest = fs::read_to_string(project.join("Cargo.toml"))?;
    let name =
        manifest.split("name = \"").nth(1).and_then(|rest| rest.split('"').next()).ok_or("a crate without name")?;
    let file = target_dir().join(TARGET).join("release").join(format!("{}.wasm", name.replace('-', "_")));
    Ok(fs::read(file)?)
}

/// The tests of the guest in this folder. In the build's profile, so that both share what they are built with.
pub fn tested(project: &Path) -> Result<(), Failed> {
    let _one = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    cargo(project, &["test", "--release"])
}

fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests")
}

fn cargo(project: &Path, arguments: &[&str]) -> Result<(), Failed> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(program);
    // What the outer cargo sets would change the inner one.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_") && name != "CARGO_HOME" || name.contains("RUSTFLAGS") || name.contains("RUSTC") {
            cargo.env_remove(name);
        }
    }
    let output =
        cargo.current_dir(project).args(arguments).args(["--locked", "--target-dir"]).arg(target_dir()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("cargo {arguments:?} in {}:\n{out}\n{err}", project.display()).into())
}

/// The guest of `tests/guests/obedient`: with its fault, which is an umlaut, or mended.
pub fn obedient(mended: bool) -> Result<&'static [u8], Failed> {
    static GUESTS: [OnceLock<Result<Vec<u8>, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let features = if mended { "mended" } else { "" };
    let build = || {
        built(&repository("tests/guests/obedient"), features).map_err(|e| e.message().unwrap_or("no reason").to_owned())
    };
    match GUESTS[usize::from(mended)].get_or_init(build) {
        Ok(guest) => Ok(guest),
        Err(reason) => Err(reason.clone().into()),
    }
}
