//! Records polls while they run: an observer that writes one HAR file a poll.
//!
//! It cannot stop a poll: where a file cannot be written, a line in the log says so and the poll goes on unrecorded. A
//! page is written when its answer is there, in one piece, as slow as the disk is. In a folder the newest recordings of
//! each input are kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};

use crate::clock::Millis;
use crate::config::Input;
use crate::folder::make_private;
use crate::observer::Observer;
use crate::poll::{PollError, PollReport};
use crate::recording::shelf::{keep_newest, remove_parts};
use crate::recording::{Recorded, Recorder, RecordingError};
use crate::sandbox::{Event, Request};

/// Recordings kept of each input, if nothing else is said: of a day, at four polls an hour.
pub const MAX_RECORDINGS: u16 = 100;

/// Where recordings go.
#[derive(Debug, Clone)]
pub enum Target {
    /// One poll into this file.
    File(PathBuf),
    /// Each poll into a file of its own, named by input and time.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The newest so many of each input are kept.
        keep: u16,
    },
}

/// Writes what goes between feed and guest.
#[derive(Debug)]
pub struct Tape {
    target: Target,
    most: u64,
    /// By input.
    running: Mutex<HashMap<String, Recorder>>,
    /// By input, until it is told.
    failed: Mutex<HashMap<String, RecordingError>>,
}

impl Tape {
    /// A tape of recordings of at most `most` bytes each.
    pub fn new(target: Target, most: u64) -> Self {
        Self { target, most, running: Mutex::default(), failed: Mutex::default() }
    }

    /// Ends an input's recording and gives it its name; none where nothing was recorded.
    ///
    /// # Errors
    /// The first error of writing, which ended the recording.
    pub fn finish(&self, input: &str) -> Result<Option<Recorded>, RecordingError> {
        if let Some(error) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(input) {
            return Err(error);
        }
        let recorder = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(input);
        recorder.map(Recorder::finish).transpose()
    }

    fn file(&self, input: &Input, now: Millis) -> PathBuf {
        match &self.target {
            Target::File(file) => file.clone(),
            Target::Folder { folder, .. } => folder.join(format!("{}{}.har", prefix(&input.id), stamp(now))),
        }
    }

    fn note(
        &self,
        input: &Input,
        request: Option<&Request>,
        state: &str,
        now: Millis,
        event: &Event,
    ) -> Result<(), RecordingError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *event == Event::Start {
            if let Target::Folder { folder, .. } = &self.target {
                remove_parts(folder, &is_recording_of(&input.id));
            }
            let recorder = Recorder::create(&self.file(input, now), self.most, &input.guest_config, state, now)?;
            running.insert(input.id.clone(), recorder);
        }
        let (Some(recorder), Some(request)) = (running.get_mut(&input.id), request) else { return Ok(()) };
        match event {
            Event::Response(response) => recorder.add(input, request, now, Ok(response)),
            Event::Failed(reason) => recorder.add(input, request, now, Err(reason)),
            Event::Recalled((rows, _)) => recorder.recalled(rows),
            Event::Start | Event::Wake => Ok(()),
        }
    }
}

impl Observer for Tape {
    fn advancing(&self, input: &Input, request: Option<&Request>, state: &str, now: Millis, event: &Event) {
        if let Err(error) = self.note(input, request, state, now, event) {
            warn!(input.id = input.id, error.message = %error, "The poll goes on unrecorded");
            self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&input.id);
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(input.id.clone(), error);
        }
    }

    fn polled(&self, input: &Input, _: &Result<PollReport, PollError>, _: Millis) {
        match self.finish(&input.id) {
            Ok(Some(recorded)) if recorded.is_cut => {
                warn!(input.id = input.id, "The recording was cut at {}", crate::text::bytes(recorded.bytes));
            }
            Ok(Some(recorded)) => info!(input.id = input.id, "Recorded {} requests", recorded.entries),
            // Said when it happened.
            Ok(None) | Err(_) => {}
        }
        if let Target::Folder { folder, keep } = &self.target
            && let Err(error) = keep_newest(folder, &is_recording_of(&input.id), usize::from(*keep))
        {
            warn!(input.id = input.id, error.message = %error, "Old recordings in {} cannot be deleted", folder.display());
        }
    }
}

/// How an input's recordings begin: a name that every file system takes.
fn prefix(input: &str) -> String {
    let id: String = input.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    format!("{id}-")
}

/// When a poll began, as part of a name; all are of one length, and in the order of time.
fn stamp(now: Millis) -> String {
    crate::time::print(now).replace([':', '.'], "-")
}

fn is_recording_of(input: &str) -> impl Fn(&str) -> bool {
    let (prefix, length) = (prefix(input), stamp(0).len());
    // An input's name may be the beginning of another's.
    move |name| {
        let time = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".har"));
        time.is_some_and(|time| time.len() == length && time.ends_with('Z') && time.as_bytes()[0].is_ascii_digit())
    }
}

/// Whether a folder can be recorded into; makes it where it is missing, for nobody else to look into.
///
/// # Errors
/// The system's reason, with the folder.
pub fn prepare(folder: &Path) -> Result<(), RecordingError> {
    make_private(folder).map_err(|reason| RecordingError::File { file: folder.to_owned(), what: "written", reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Recording;
    use crate::sandbox::Response;

    fn in_folder(folder: &tempfile::TempDir, keep: u16) -> Target {
        Target::Folder { folder: folder.path().to_owned(), keep }
    }

    #[test]
    fn the_newest_recordings_of_each_input_are_kept() {
        let kept = tempfile::tempdir().unwrap();
        let tape = Tape::new(in_folder(&kept, 2), u64::MAX);
        std::fs::write(kept.path().join("a-notes.har"), "of a person").unwrap();
        for now in [1_000, 2_000, 3_000] {
            for id in ["a", "a-b"] {
                let input = Input::new(id, "https://feed.example/".parse().unwrap());
                tape.advancing(&input, None, "", now, &Event::Start);
                tape.polled(&input, &Err(PollError::Refused(String::new())), now);
            }
        }
        let mut names: Vec<_> =
            std::fs::read_dir(kept.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let time = |second: u32| format!("1970-01-01T00-00-0{second}-000Z.har");
        let of = |id: &str, second| format!("{id}-{}", time(second));
        assert_eq!(names, [of("a", 2), of("a", 3), of("a-b", 2), of("a-b", 3), "a-notes.har".to_owned()]);
    }

    #[test]
    fn what_a_crash_left_is_deleted_and_what_is_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let name = |id: &str, second: u32| format!("{id}-1970-01-01T00-00-0{second}-000Z.har.part");
        for left in [name("a", 1), name("b", 1), "a-notes.har.part".to_owned()] {
            std::fs::write(folder.path().join(left), "{").unwrap();
        }
        let tape = || Tape::new(in_folder(&folder, MAX_RECORDINGS), u64::MAX);
        let input = Input::new("a", "https://feed.example/".parse().unwrap());
        let (running, other) = (tape(), tape());
        running.advancing(&input, None, "", 2_000, &Event::Start);
        other.advancing(&input, None, "", 3_000, &Event::Start);
        let is_there = |name: &str| folder.path().join(name).exists();
        assert!(!is_there(&name("a", 1)), "its writer is dead");
        for kept in [name("a", 2), name("a", 3), name("b", 1), "a-notes.har.part".to_owned()] {
            assert!(is_there(&kept), "{kept}");
        }
    }

    #[test]
    fn each_poll_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let tape = Tape::new(in_folder(&folder, MAX_RECORDINGS), u64::MAX);
        let input = Input::new("a/../b", "https://feed.example/".parse().unwrap());
        let request = Request::get("/x?y=1");
        let answer = Event::Response(Response { status: 200, headers: Vec::new(), body: b"{}".to_vec() });
        for now in [1_000, 2_000] {
            tape.advancing(&input, None, "state", now, &Event::Start);
            tape.advancing(&input, Some(&request), "later", now + 1, &answer);
            tape.advancing(&input, Some(&request), "later", now + 2, &Event::Failed("gone".to_owned()));
            assert_eq!(tape.finish(&input.id).unwrap().unwrap().entries, 2);
        }
        let read = Recording::read(&folder.path().join("a____b-1970-01-01T00-00-01-000Z.har")).unwrap();
        assert_eq!((read.state.as_str(), read.began, read.exchanges.len()), ("state", 1_000, 2));
        assert!(folder.path().join("a____b-1970-01-01T00-00-02-000Z.har").exists());
    }

    #[test]
    fn a_recording_that_fails_says_so_and_lets_the_poll_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let tape = Tape::new(Target::File(folder.path().join("gone/a.har")), u64::MAX);
        let input = Input::new("a", "https://feed.example/".parse().unwrap());
        tape.advancing(&input, None, "", 0, &Event::Start);
        assert!(tape.finish("a").unwrap_err().to_string().contains("a.har.part cannot be written"));
    }
}
