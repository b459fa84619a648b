//! The program as a process of its own, for tests that watch it while it runs: its log is read line by line, so that a
//! test acts on what has happened and never on a time.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use libtest_mimic::Failed;
use tipline::clock::Clock;
use tipline::mock::{Feed, MockSettings, Records};

/// A line that has not come by then never comes: the test is reported with the log instead of hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// A feed served by the test itself, on threads of its own.
pub struct Served {
    pub feed: Feed,
    /// Serves until it is dropped.
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    /// So many synthetic records.
    pub fn start(settings: MockSettings, records: u64) -> Result<Self, Failed> {
        Self::start_with(settings, Records::synthetic(records, 7))
    }

    /// These records.
    pub fn start_with(settings: MockSettings, records: Records) -> Result<Self, Failed> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let feed = runtime.block_on(Feed::start(settings, records, Clock::system()))?;
        Ok(Self { feed, _runtime: runtime })
    }

    /// Writes `tipline.yml`, which polls this feed and logs its requests; `rest` is added.
    pub fn configure(&self, folder: &Path, rest: &str) -> Result<(), Failed> {
        let url = self.feed.url();
        let yaml = format!(
            "inputs:\n  - id: feed\n    url: {url}\n    feed: {{name: SOC Defenders}}\nlog: {{level: debug}}\n{rest}"
        );
        Ok(fs::write(folder.join("tipline.yml"), yaml)?)
    }
}

/// A command of the program, prepared for `folder`.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    crate::support::schema::hold_all(folder, arguments);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tipline"));
    command.current_dir(folder).args(arguments).env_remove("SOCDEFENDERS_API_KEY").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn finished(folder: &Path, arguments: &[&str]) -> Result<Output, Failed> {
    Ok(command(folder, arguments).output()?)
}

/// What a finished command printed, where it ended well.
pub fn printed(folder: &Path, arguments: &[&str]) -> Result<String, Failed> {
    let output = finished(folder, arguments)?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{arguments:?}: {out}{err}").into()) }
}

/// `tipline run` under way. It is killed when dropped.
pub struct Running {
    child: Child,
    log: Receiver<String>,
    seen: String,
}

impl Running {
    /// Starts it. What it writes to standard output stays unread.
    pub fn start(folder: &Path) -> Result<Self, Failed> {
        Self::start_with(folder, &["run"])
    }

    /// As [`Running::start`], with these arguments.
    pub fn start_with(folder: &Path, arguments: &[&str]) -> Result<Self, Failed> {
        let mut child = command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let (send, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
        Ok(Self { child, log, seen: String::new() })
    }

    /// Reads the log up to the line that holds `what`, and gives that line.
    pub fn until(&mut self, what: &str) -> Result<String, Failed> {
        self.until_any(&[what])
    }

    /// As [`Running::until`], whichever of these comes first.
    pub fn until_any(&mut self, what: &[&str]) -> Result<String, Failed> {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                    if what.iter().any(|what| line.contains(what)) {
                        return Ok(line);
                    }
                }
                Err(_) => return Err(format!("`{}` is not in the log:\n{}", what.join("` or `"), self.seen).into()),
            }
        }
    }

    /// Sends a signal: `TERM` or `INT`.
    pub fn signal(&self, name: &str) -> Result<(), Failed> {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err("the process could not be signalled".into()) }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool, Failed> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Awaits its end; gives the exit code.
    pub fn code(&mut self) -> Result<Option<i32>, Failed> {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push_str(&(line + "\n")),
                // Standard error closes with the process.
                Err(RecvTimeoutError::Disconnected) => return Ok(self.child.wait()?.code()),
                Err(RecvTimeoutError::Timeout) => return Err(format!("it does not end:\n{}", self.seen).into()),
            }
        }
    }

    /// All of the log so far.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// What is left on standard output, once it has ended.
    pub fn printed(&mut self) -> Result<String, Failed> {
        let mut out = String::new();
        self.child.stdout.as_mut().ok_or("no standard output")?.read_to_string(&mut out)?;
        Ok(out)
    }

    /// Reads standard output up to the line that holds `what`, and gives that line.
    pub fn writes(&mut self, what: &str) -> Result<String, Failed> {
        let out = self.child.stdout.as_mut().ok_or("no standard output")?;
        let mut line = Vec::new();
        loop {
            let mut byte = [0];
            out.read_exact(&mut byte).map_err(|_| format!("`{what}` is not written:\n{}", self.seen))?;
            line.extend(byte);
            if byte == *b"\n" {
                let text = String::from_utf8_lossy(&line).trim().to_owned();
                if text.contains(what) {
                    return Ok(text);
                }
                line.clear();
            }
        }
    }

    /// Awaits the first byte on standard output; what follows stays unread.
    pub fn begins_to_write(&mut self) -> Result<(), Failed> {
        let out = self.child.stdout.as_mut().ok_or("no standard output")?;
        Ok(out.read_exact(&mut [0])?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails with `what` where it does not hold.
pub fn ensure(holds: bool, what: impl Into<String>) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what.into().into()) }
}
