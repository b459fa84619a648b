//! How far something long has come: a line that is drawn again and again on a terminal, and elsewhere a line a minute, so
//! that a log shows that it is at work.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::Millis;
use crate::config::Input;
use crate::observer::Observer;
use crate::poll::{PollError, PollReport};
use crate::sandbox::{Note, Wait};
use crate::state::Counts;
use crate::text;

/// Between two lines where there is no terminal. Fixed: a log of a day-long backfill gets 1,440.
const EVERY: Duration = Duration::from_secs(60);

/// Between two drawings, so that a line that waits is seen to live.
const DRAWN: Duration = Duration::from_millis(200);

/// The bar that is on the terminal now: whatever else is written there is written above it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error, beside whatever bar is shown there.
pub(super) fn stderr() -> impl Write {
    Beside
}

struct Beside;

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = shown().clone();
        match bar {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Where the lines go.
type Say = dyn Fn(&str) + Send + Sync;

/// Something long. Ends with its value, and leaves nothing on the terminal.
pub(super) struct Progress {
    course: Arc<Mutex<Course>>,
    bar: Option<ProgressBar>,
    minutes: Option<(Sender<()>, JoinHandle<()>)>,
}

/// How far it is.
#[derive(Debug, Clone)]
struct Course {
    what: &'static str,
    of: Option<u64>,
    done: u64,
    began: Instant,
    /// What it is at, or waits for.
    at: String,
}

impl Course {
    fn line(&self, now: Instant) -> String {
        let of = self.of.map(|of| format!(" of {}", text::count(of))).unwrap_or_default();
        let at = if self.at.is_empty() { String::new() } else { format!("; {}", self.at) };
        let took = text::duration(Duration::from_secs(now.saturating_duration_since(self.began).as_secs().max(1)));
        format!("{}: {}{of} in {took}{at}", self.what, text::count(self.done))
    }
}

impl Progress {
    /// On standard error; `what` names what is counted.
    pub(super) fn new(what: &'static str, of: Option<u64>) -> Self {
        Self::saying(what, of, |line: &str| {
            // For people only: the work goes on without them.
            let _ = writeln!(io::stderr(), "{line}");
        })
    }

    /// As [`Self::new`], with the lines where there is no terminal given to `say`.
    pub(super) fn saying(what: &'static str, of: Option<u64>, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self::start(what, of, io::stderr().is_terminal(), EVERY, Box::new(say))
    }

    fn start(what: &'static str, of: Option<u64>, on_terminal: bool, every: Duration, say: Box<Say>) -> Self {
        let course = Course { what, of, done: 0, began: Instant::now(), at: String::new() };
        let course = Arc::new(Mutex::new(course));
        let mut progress = Self { course: course.clone(), bar: None, minutes: None };
        if on_terminal {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(DRAWN);
            *shown() = Some(bar.clone());
            progress.bar = Some(bar);
            return progress;
        }
        let (end, ended) = channel::<()>();
        let lines = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            while matches!(ended.recv_timeout(every), Err(RecvTimeoutError::Timeout)) {
                let line = course.lock().unwrap_or_else(PoisonError::into_inner).line(Instant::now());
                say(&line);
            }
        });
        // Without a thread there are no lines, and the work is done all the same.
        progress.minutes = lines.ok().map(|lines| (end, lines));
        progress
    }

    /// So many more are done.
    pub(super) fn advance(&self, count: u64) {
        self.change(|course| course.done += count);
    }

    /// What it is at now.
    pub(super) fn at(&self, what: impl Into<String>) {
        let what = what.into();
        self.change(|course| course.at = what);
    }

    /// Another thing is counted from here on.
    pub(super) fn next(&self, what: &'static str, of: Option<u64>) {
        self.change(|course| *course = Course { what, of, done: 0, began: course.began, at: String::new() });
    }

    fn change(&self, change: impl FnOnce(&mut Course)) {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut course);
        if let Some(bar) = &self.bar {
            bar.set_message(course.line(Instant::now()));
        }
    }
}

impl Progress {
    /// Leaves the terminal to the results; others may still hold it.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            *shown() = None;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
        if let Some((end, lines)) = self.minutes.take() {
            drop(end);
            let _ = lines.join();
        }
    }
}

impl Observer for Progress {
    fn page(&self, input: &Input, counts: &Counts, _notes: &[Note]) {
        self.change(|course| {
            course.done += counts.read;
            course.at = input.id.clone();
        });
    }

    fn waiting(&self, input: &Input, wait: &Wait) {
        self.at(format!("{} waits until {}: {}", input.id, text::instant(wait.until), text::show(&wait.reason)));
    }

    fn polled(&self, _: &Input, _: &Result<PollReport, PollError>, _: Millis) {
        self.at("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_it_is() {
        let began = Instant::now();
        let course = Course { what: "records", of: None, done: 12_000, began, at: String::new() };
        assert_eq!(course.line(began + Duration::from_secs(60)), "records: 12,000 in 1m");
        let course = Course { of: Some(20_000), at: "feed waits".to_owned(), ..course };
        assert_eq!(course.line(began + Duration::from_secs(90)), "records: 12,000 of 20,000 in 1m 30s; feed waits");
    }

    #[test]
    fn lines_come_without_a_terminal_until_it_ends() {
        let (said, lines) = channel();
        let said = Mutex::new(said);
        let say = move |line: &str| {
            let _ = said.lock().unwrap().send(line.to_owned());
        };
        let progress = Progress::start("records", Some(5), false, Duration::from_millis(1), Box::new(say));
        progress.advance(3);
        assert!((0..1_000).any(|_| lines.recv().unwrap().starts_with("records: 3 of 5 in ")));
        progress.next("claims", None);
        assert!((0..1_000).any(|_| lines.recv().unwrap().starts_with("claims: 0 in ")));
        drop(progress);
        // The thread has ended, and its sender with it.
        while lines.recv().is_ok() {}
    }
}
