//! Compiling foreign code, in a process of its own.
//!
//! What a compiler needs grows with the code in ways that its length does not show: fifteen kilobytes of loops were seen
//! to take a gigabyte and a quarter of a minute. So whatever this program was not built with is validated, made a
//! component and compiled by this same program in a child process, which the system holds to [`CompileLimits`] and which
//! ends with its parent. The file goes in through standard input; machine code, or a sentence, comes back through standard
//! output. A child that passes a limit, or that a fault of the compiler ends, costs its guest and nothing else.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::SandboxError;
use super::engine::{Compiler, engine};
use super::limits::{CompileLimits, Costly};
use super::module;
use super::stop::Interrupt;

/// The hidden subcommand of this program that compiles.
pub const SUBCOMMAND: &str = "compile-guest";

/// The longest code that is taken back: a guest of thirty megabytes, which brings an interpreter along, has less. Fixed:
/// the host holds it twice while it loads it.
pub(super) const MAX_CODE_BYTES: u64 = 128 * 1024 * 1024;

/// The longest sentence that is taken back. Fixed: it is shown in a line.
const MAX_REASON_BYTES: u64 = 4 * 1024;

/// What the answer begins with where it is code.
const CODE: u8 = b'c';

/// What it begins with where it is a sentence.
const REASON: u8 = b'r';

/// What a child says that has no memory left: Rust where an allocation fails, wasmtime where it panics over one, the
/// system.
const OUT_OF_MEMORY: [&str; 4] = ["memory allocation of", "out of memory", "Cannot allocate memory", "os error 12"];

/// How often a child that has said all is looked at until it has ended.
const LOOK: Duration = Duration::from_millis(2);

/// How often whoever waits for a child looks whether the program is to stop.
const LOOK_FOR_STOP: Duration = Duration::from_millis(50);

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Names the program that compiles, where that is not the one that runs: for tests, and for whoever embeds this library.
/// The first name stays.
pub fn compile_with(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

fn program() -> io::Result<PathBuf> {
    if let Some(program) = PROGRAM.get() {
        return Ok(program.clone());
    }
    // The file that runs, even where an upgrade has put another one in its place meanwhile.
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe()
}

/// The machine code of a foreign file, for an engine that counts fuel.
pub(super) fn foreign(file: &[u8], limits: CompileLimits, stop: &Interrupt) -> Result<Vec<u8>, SandboxError> {
    // The tests of this crate have no program to name; those that need the process stand in `tests/`.
    if cfg!(test) && PROGRAM.get().is_none() {
        return compile(file);
    }
    let deadline = Instant::now() + limits.time;
    let mut child =
        start(limits).map_err(|reason| load(format!("the process that compiles it cannot be started: {reason}")))?;
    let ended = hear(&mut child, file, deadline, stop);
    // Either it has ended, or it is to.
    let _ = child.kill();
    let _ = child.wait();
    match ended {
        Heard::Stopped => Err(SandboxError::Interrupted),
        Heard::Late => Err(SandboxError::Costly(Costly::Time { limit: limits.time })),
        Heard::Said { out, errors, status } => said(out, &errors, status, limits, MAX_CODE_BYTES),
    }
}

/// What has become of a child.
enum Heard {
    /// It ended by itself, or something ended it.
    Said { out: Vec<u8>, errors: String, status: ExitStatus },
    /// Its time ran out.
    Late,
    /// The program is to stop.
    Stopped,
}

fn start(limits: CompileLimits) -> io::Result<Child> {
    let mut command = Command::new(program()?);
    command.args([SUBCOMMAND, "--memory", &limits.memory_bytes.to_string()]);
    command.args(["--seconds", &(limits.time.as_secs() + 1).to_string()]);
    command.args(["--parent", &std::process::id().to_string()]);
    // It needs no key and no setting of ours.
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn()
}

/// Hands the file over and hears what is said, until the deadline or the stop.
fn hear(child: &mut Child, file: &[u8], deadline: Instant, stop: &Interrupt) -> Heard {
    thread::scope(|scope| {
        if let Some(mut input) = child.stdin.take() {
            // A child that ends before it has read all says why.
            scope.spawn(move || input.write_all(file));
        }
        let (out, errors) = (listen(scope, child.stdout.take(), MAX_CODE_BYTES + 1), {
            listen(scope, child.stderr.take(), MAX_REASON_BYTES)
        });
        let heard = |from: &Receiver<Vec<u8>>| loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match from.recv_timeout(rest.min(LOOK_FOR_STOP)) {
                Err(RecvTimeoutError::Timeout) if rest > LOOK_FOR_STOP && !stop.is_set() => {}
                heard => return heard.ok(),
            }
        };
        let all = heard(&out).zip(heard(&errors)).and_then(|(out, errors)| {
            let errors = String::from_utf8_lossy(&errors).into_owned();
            loop {
                match child.try_wait() {
                    Ok(Some(status)) => return Some(Heard::Said { out, errors, status }),
                    Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
                    _ => return None,
                }
            }
        });
        // Its ends of the pipes close with it, and so do the threads that hold ours.
        all.unwrap_or_else(|| {
            let _ = child.kill();
            if stop.is_set() { Heard::Stopped } else { Heard::Late }
        })
    })
}

/// Reads from one of a child's pipes, on a thread of its own, up to a length; what is beyond it is read and let go.
fn listen<'s>(
    scope: &'s thread::Scope<'s, '_>,
    pipe: Option<impl Read + Send + 'static>,
    most: u64,
) -> Receiver<Vec<u8>> {
    let (send, receive): (Sender<Vec<u8>>, _) = channel();
    scope.spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks has said all.
            let _ = pipe.by_ref().take(most).read_to_end(&mut bytes);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        let _ = send.send(bytes);
    });
    receive
}

/// What a child that has ended said, which has up to so many bytes, or why it said nothing.
fn said(
    mut out: Vec<u8>,
    errors: &str,
    status: ExitStatus,
    limits: CompileLimits,
    most: u64,
) -> Result<Vec<u8>, SandboxError> {
    if out.len() as u64 > most {
        return Err(SandboxError::Costly(Costly::Code { limit: most }));
    }
    let first = out.first().copied();
    if status.success() && first == Some(CODE) {
        out.remove(0);
        return Ok(out);
    }
    if status.success() && first == Some(REASON) {
        out.truncate(usize::try_from(MAX_REASON_BYTES).unwrap_or(usize::MAX));
        return Err(load(String::from_utf8_lossy(&out[1..]).into_owned()));
    }
    if OUT_OF_MEMORY.iter().any(|words| errors.contains(words)) {
        return Err(SandboxError::Costly(Costly::Memory { limit: limits.memory_bytes }));
    }
    if is_out_of_time(status) {
        return Err(SandboxError::Costly(Costly::Time { limit: limits.time }));
    }
    let is_said = |line: &&str| !line.is_empty() && !line.starts_with("note:");
    let last = errors.lines().map(str::trim).rfind(is_said).unwrap_or("it said nothing");
    // Its limit may be behind this as well: not every library says what it had no memory for.
    let memory = tipline_model::text::bytes(limits.memory_bytes);
    Err(load(format!(
        "the process that compiles it, which has {memory} (`sandbox.compile_memory`, eval `--compile-memory`), ended with \
         {status}: {last}"
    )))
}

#[cfg(unix)]
fn is_out_of_time(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(rustix::process::Signal::XCPU.as_raw())
}

#[cfg(not(unix))]
fn is_out_of_time(_: ExitStatus) -> bool {
    false
}

fn load(reason: String) -> SandboxError {
    SandboxError::Load(reason)
}

/// What the child does: holds itself to these limits, reads a file from standard input, and answers on standard output.
///
/// # Errors
/// Limits that cannot be set, and pipes that break; then the parent is told nothing and says so.
pub fn answer(memory_bytes: u64, seconds: u64, parent: u32) -> io::Result<()> {
    confine(memory_bytes, seconds, parent)?;
    let mut file = Vec::new();
    io::stdin().lock().read_to_end(&mut file)?;
    let mut out = io::stdout().lock();
    match compile(&file) {
        Ok(code) => {
            out.write_all(&[CODE])?;
            out.write_all(&code)?;
        }
        Err(SandboxError::Load(reason)) => {
            out.write_all(&[REASON])?;
            out.write_all(reason.as_bytes())?;
        }
        Err(error) => return Err(io::Error::other(error)),
    }
    out.flush()
}

/// Memory, time on the processor, no files and no core dump; and an end with the parent, where the system can do that.
#[cfg(unix)]
fn confine(memory_bytes: u64, seconds: u64, parent: u32) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // One that ended before that tells nobody.
    if rustix::process::getppid().is_none_or(|now| now.as_raw_nonzero().get().cast_unsigned() != parent) {
        return Err(io::Error::other("the program that asked for it has ended"));
    }
    setrlimit(Resource::Cpu, limit(seconds))?;
    setrlimit(Resource::Core, limit(0))?;
    setrlimit(Resource::Fsize, limit(0))?;
    // What a process writes to of its own: the program's own code does not count.
    setrlimit(Resource::Data, limit(memory_bytes))?;
    Ok(())
}

#[cfg(not(unix))]
fn confine(_: u64, _: u64, _: u32) -> io::Result<()> {
    Ok(())
}

/// Validates and compiles on this thread alone, so that what it takes does not depend on the number of processors.
fn compile(file: &[u8]) -> Result<Vec<u8>, SandboxError> {
    let component = module::component(file)?;
    let engine = engine(Compiler::Cranelift { fuel: true }, false).map_err(|error| load(format!("{error:#}")))?;
    engine.precompile_component(&component).map_err(|error| load(format!("{error:#}")))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn what_a_child_says_is_told_apart() {
        let (well, ill, aborted) = (ExitStatus::from_raw(0), ExitStatus::from_raw(1 << 8), ExitStatus::from_raw(6));
        let late = ExitStatus::from_raw(rustix::process::Signal::XCPU.as_raw());
        let told =
            |out: &[u8], errors: &str, status| match said(out.to_vec(), errors, status, CompileLimits::DEFAULT, 5) {
                Ok(code) => String::from_utf8(code).unwrap(),
                Err(error) => error.to_string(),
            };
        for (out, errors, status, expected) in [
            (&b"ccode"[..], "", well, "code"),
            (b"ccode!", "", well, "is longer than 5 B"),
            (b"rbad", "", well, "cannot be loaded: bad."),
            (b"rbad", "", ill, "ended with exit status: 1: it said nothing"),
            (b"", "memory allocation of 7 bytes failed", aborted, "took more than 384 MiB"),
            (
                b"",
                "thread 'main' panicked at x.rs:1:2:\nunhandled out-of-memory error: out of memory (failed to allocate 7 bytes)",
                ExitStatus::from_raw(101 << 8),
                "took more than 384 MiB (`sandbox.compile_memory`",
            ),
            (b"", "mmap: Cannot allocate memory (os error 12)", ill, "took more than 384 MiB"),
            (
                b"",
                "thread 'main' panicked at x.rs:1:2:\nindex out of bounds",
                ExitStatus::from_raw(101 << 8),
                "compile_memory",
            ),
            (b"", "first\nthread main has overflowed its stack\n", aborted, "overflowed its stack"),
            (b"cco", "", late, "took longer than 1m"),
            (b"", "", well, "it said nothing"),
        ] {
            assert!(told(out, errors, status).contains(expected), "{expected}: {}", told(out, errors, status));
        }
        let long = [b"r".as_slice(), &vec![b'x'; 2 * MAX_REASON_BYTES as usize]].concat();
        let reason = said(long, "", well, CompileLimits::DEFAULT, MAX_CODE_BYTES).unwrap_err().to_string();
        assert!(reason.len() < MAX_REASON_BYTES as usize + 500, "{}", reason.len());
    }
}
