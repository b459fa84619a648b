//! `type: ./my-mapper.wasm`: a guest of the user's own, read once, held to the sum that the configuration pins, and run
//! within limits.
//!
//! A guest decides what is stored and what is asked of a feed with the input's key. So a file that was changed without
//! the configuration is refused with both sums; a configuration without a sum is refused with the one to write. The bytes
//! that were summed are the ones that run: the file is not opened again.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::tree::{Fault, Section};
use tipline_sandbox::{CallLimits, CompileLimits};

/// The longest file of a guest: one in Rust has half a megabyte, one that brings an interpreter along some thirty. Fixed:
/// compiling a longer one takes minutes.
pub const MAX_GUEST_BYTES: u64 = 64 * 1024 * 1024;

/// What a call may use. Below a million units no record is mapped; a million million take a quarter of an hour.
const FUEL: RangeInclusive<u64> = 1_000_000..=1_000_000_000_000;

/// An instance begins with a megabyte or more; 4 GiB is all that 32 bits address.
const MEMORY: RangeInclusive<u64> = 1024 * 1024..=4 * 1024 * 1024 * 1024;

/// One document is some kilobytes; the host holds the answers of two pages at once, and of up to sixteen short ones.
const OUTPUT: RangeInclusive<u64> = 64 * 1024..=1024 * 1024 * 1024;

/// A page is mapped in a second; a call of longer than an hour is none that a poll could wait for.
const TIME: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60 * 60);

/// The compiler itself needs some ten megabytes; a guest for which it needs 16 GiB is no guest.
const COMPILE_MEMORY: RangeInclusive<u64> = 32 * 1024 * 1024..=16 * 1024 * 1024 * 1024;

/// The smallest guest is compiled in some milliseconds, and a start that takes longer than an hour is none.
const COMPILE_TIME: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60 * 60);

/// A guest of the user's own.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Where it was read, for messages.
    pub path: PathBuf,
    /// The component, or the core module of one.
    pub bytes: Arc<[u8]>,
    /// The SHA-256 of `bytes`, in hex.
    pub sha256: String,
    /// What a call may cost.
    pub limits: CallLimits,
    /// What compiling it may cost.
    pub compile: CompileLimits,
}

impl fmt::Debug for GuestFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestFile")
            .field("path", &self.path)
            .field("sha256", &self.sha256)
            .field("limits", &self.limits)
            .field("compile", &self.compile)
            .finish_non_exhaustive()
    }
}

/// What becomes of the guests that a configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guests {
    /// They are read, held to their sums, and will run.
    Run,
    /// Another guest runs in their place, with their settings: the file may be missing, and another one than was pinned.
    Replaced,
}

/// The guest that `type` names; none for the built-in one.
pub(super) fn read(section: &Section<'_>, folder: &Path, guests: Guests) -> Result<Option<GuestFile>, Fault> {
    let kind = section.text("type")?.unwrap_or("socdefenders");
    if kind == "socdefenders" {
        for key in ["sha256", "sandbox"] {
            if section.has(key) {
                let message = "is for a guest of your own (`type: ./my-mapper.wasm`); the built-in one has none.";
                return Err(section.fault(key, message));
            }
        }
        return Ok(None);
    }
    if !kind.contains(['/', '\\']) && !kind.ends_with(".wasm") {
        return Err(section.refuse("type", "socdefenders, or the path of a guest such as ./my-mapper.wasm"));
    }
    let (limits, compile) = limits(section)?;
    let pinned = section.text("sha256")?;
    let path = folder.join(kind);
    if guests == Guests::Replaced {
        return Ok(Some(GuestFile { path, bytes: [].into(), sha256: String::new(), limits, compile }));
    }
    let bytes = contents(&path).map_err(|reason| {
        let advice = "expected a component, or a core module for wasm32-unknown-unknown";
        section.fault("type", format!("names {}, which cannot be read: {reason}; {advice}.", path.display()))
    })?;
    let sha256 = tipline_sandbox::sha256(&bytes);
    match pinned {
        Some(pinned) if pinned.eq_ignore_ascii_case(&sha256) => {}
        Some(pinned) if pinned.len() == sha256.len() && pinned.bytes().all(|b| b.is_ascii_hexdigit()) => {
            let message = format!(
                "is {pinned}, but {} has {sha256}. If you replaced the file, write its sum; if not, find out who did.",
                path.display()
            );
            return Err(section.fault("sha256", message));
        }
        Some(_) => {
            return Err(section.refuse("sha256", format!("64 hexadecimal digits; {} has {sha256}", path.display())));
        }
        None => {
            let message = format!(
                "is missing. A guest runs only where its sum is pinned: if {} is the file you mean, write `sha256: {sha256}`.",
                path.display()
            );
            return Err(section.fault("sha256", message));
        }
    }
    Ok(Some(GuestFile { path, bytes: bytes.into(), sha256, limits, compile }))
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    tipline_model::file::read(path, MAX_GUEST_BYTES).map_err(|error| error.to_string())
}

fn limits(section: &Section<'_>) -> Result<(CallLimits, CompileLimits), Fault> {
    let (mut limits, mut compile) = (CallLimits::SANDBOXED, CompileLimits::DEFAULT);
    let Some(section) = section.section("sandbox")? else { return Ok((limits, compile)) };
    section.only(&["fuel", "memory", "output", "time", "compile_memory", "compile_time"])?;
    if let Some(fuel) = section.number("fuel", FUEL)? {
        limits.fuel = Some(fuel);
    }
    if let Some(bytes) = section.size("memory", MEMORY)? {
        limits.memory_bytes = bytes;
    }
    if let Some(bytes) = section.size("output", OUTPUT)? {
        limits.output_bytes = usize::try_from(bytes).unwrap_or(limits.output_bytes);
    }
    if let Some(time) = section.duration("time", TIME)? {
        limits.time = Some(time);
    }
    if let Some(bytes) = section.size("compile_memory", COMPILE_MEMORY)? {
        compile.memory_bytes = bytes;
    }
    if let Some(time) = section.duration("compile_time", COMPILE_TIME)? {
        compile.time = time;
    }
    Ok((limits, compile))
}
