//! What is left when a guest gives no answer: the page that it met, kept for a bug report, and how often that was.
//!
//! Nothing of such a page is committed, so it is asked for again at the next interval and met by a fresh instance; a
//! guest that was mended meanwhile goes on where the last page ended. After [`MAX_TRAPS`] polls in a row that ended so,
//! the input stops until a person has seen to it: asking on would only cost requests.
//!
//! A page is kept as a recording, which `tipline eval` and `tipline replay` take and browsers open, with the state and the
//! clock that the call was given. Credentials never come so far: requests are kept as the guest asked for them, and answers have
//! passed [`crate::http`], which takes keys out. Where the page cannot be kept, the poll fails all the same and says why.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use thiserror::Error;

use crate::clock::Millis;
use crate::config::Input;
use crate::folder::make_private;
use crate::recording::Recorder;
use crate::recording::shelf::{keep_newest, remove_parts};
use crate::said::Said;
use crate::sandbox::{Event, Request, SandboxError};

/// Polls in a row that a guest may end without an answer. One may be bad luck of a page that changes; the third shows
/// that only a person can mend it. Fixed: a restart begins anew.
pub const MAX_TRAPS: u32 = 3;

/// Pages kept of an input, the newest: a fault shows in the first of them. Fixed: each is at most `http.max_body` long.
pub const MAX_KEPT_PAGES: usize = 10;

/// A guest gave no answer.
#[derive(Debug, Error)]
#[error("{reason}{kept}")]
pub struct Trapped {
    /// Why.
    pub reason: SandboxError,
    /// Where its page is: nothing, or a sentence after a space.
    pub kept: String,
}

impl Trapped {
    /// The message, by whose words it is made of: where the page is kept is ours.
    pub fn said(&self) -> Said {
        self.reason.said().and(Said::ours(&*self.kept))
    }
}

/// What a guest was called with.
#[derive(Debug)]
pub struct Call<'c> {
    /// The state.
    pub state: &'c str,
    /// The clock.
    pub now: Millis,
    /// What had happened.
    pub event: &'c Event,
    /// What was asked for, where that was answered.
    pub request: Option<&'c Request>,
}

/// The traps of one input. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Traps {
    /// None where nothing is to be written.
    folder: Option<PathBuf>,
    in_a_row: Arc<AtomicU32>,
}

impl Traps {
    /// Those of an input whose pages are kept below `state_dir`.
    pub fn of(input: &Input, state_dir: &Path) -> Self {
        Self { folder: Some(state_dir.join("trapped").join(&input.id)), in_a_row: Arc::default() }
    }

    /// Notes that a poll was ended by a trap; true where the input has to stop.
    pub fn add(&self) -> bool {
        self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_TRAPS
    }

    /// A poll went well.
    pub fn forget(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    /// Keeps what the guest was called with.
    pub fn keep(&self, input: &Input, call: &Call<'_>, reason: SandboxError) -> Trapped {
        let kept = match &self.folder {
            _ if matches!(reason, SandboxError::Interrupted) => String::new(),
            None => String::new(),
            Some(folder) => match keep(folder, input, call, &reason) {
                Ok(file) => format!(
                    " What it was called with is kept in {}; the page is asked for again at the next interval.",
                    file.display()
                ),
                Err(error) => format!(" Its page could not be kept in {}: {error}.", folder.display()),
            },
        };
        Trapped { reason, kept }
    }
}

/// Writes the call into a file of its own and drops the oldest beyond [`MAX_KEPT_PAGES`].
fn keep(folder: &Path, input: &Input, call: &Call<'_>, reason: &SandboxError) -> anyhow::Result<PathBuf> {
    make_private(folder)?;
    remove_parts(folder, &|_| true);
    // Names in the order of time.
    let file = folder.join(format!("{:015}.har", call.now));
    let mut recorder = Recorder::create(&file, u64::MAX, &input.guest_config, call.state, call.now)?;
    let event = match (call.event, call.request) {
        (Event::Response(response), Some(request)) => {
            recorder.add(input, request, call.now, Ok(response))?;
            "an answer"
        }
        (Event::Recalled((rows, response)), Some(request)) => {
            recorder.add(input, request, call.now, Ok(response))?;
            recorder.recalled(rows)?;
            "rows it had asked for"
        }
        (Event::Failed(reason), Some(request)) => {
            recorder.add(input, request, call.now, Err(reason))?;
            "no answer"
        }
        (Event::Wake, _) => "the end of a wait",
        _ => "the beginning of a poll",
    };
    let guest = input.guest_file.as_ref().map_or("built-in", |file| &file.sha256);
    recorder.comment(&format!("The guest {guest} was told of {event}: {reason}"));
    recorder.finish()?;
    keep_newest(folder, &|_| true, MAX_KEPT_PAGES)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::sandbox::{Response, Row};

    const NOW: Millis = 1_733_740_200_000;

    fn trapped() -> SandboxError {
        SandboxError::Trapped("wasm `unreachable` instruction executed".to_owned())
    }

    fn input() -> Input {
        Input::new("feed", "https://feed.example/base".parse().unwrap())
    }

    #[test]
    fn what_a_guest_was_called_with_is_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let traps = Traps::of(&input(), folder.path());
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let body = "{\"data\": [\"\u{fc}\"]}";
        let event = Event::Response(Response { status: 200, headers, body: body.into() });
        let request = Request::get("/page?n=1&m=a%20b");
        let call = Call { state: "{\"at\":1}", now: NOW, event: &event, request: Some(&request) };
        let told = traps.keep(&input(), &call, trapped()).to_string();
        let file = folder.path().join("trapped/feed/001733740200000.har");
        assert!(told.contains("unreachable") && told.contains(&file.display().to_string()), "{told}");
        let har: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let entry = &har["log"]["entries"][0];
        assert_eq!(entry["startedDateTime"], "2024-12-09T10:30:00.000Z");
        assert_eq!(entry["request"]["url"], "https://feed.example/base/page?n=1&m=a%20b");
        assert_eq!(entry["request"]["queryString"][1], json!({ "name": "m", "value": "a b" }));
        assert_eq!((&entry["response"]["content"]["text"], &entry["response"]["status"]), (&json!(body), &json!(200)));
        let own = &har["log"]["_tipline"];
        assert_eq!((&own["state"], &own["began"]), (&json!(call.state), &json!(NOW)));
        #[cfg(unix)]
        for (path, expected) in
            [("trapped", 0o700), ("trapped/feed", 0o700), ("trapped/feed/001733740200000.har", 0o600)]
        {
            let mode = fs::metadata(folder.path().join(path)).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, expected, "{path}");
        }
        let comment = har["log"]["comment"].as_str().unwrap();
        assert!(comment.starts_with("The guest built-in was told of an answer: ") && comment.contains("unreachable"));
    }

    #[test]
    fn the_rows_that_a_guest_was_given_are_kept_with_its_page() {
        let folder = tempfile::tempdir().unwrap();
        let row = Row { key: "1a".to_owned(), value: "v".to_owned(), expires: Some(7) };
        let response = Response { status: 200, headers: Vec::new(), body: b"\xff".to_vec() };
        let event = Event::Recalled((vec![row], response));
        let request = Request::get("/page");
        let call = Call { state: "", now: NOW, event: &event, request: Some(&request) };
        Traps::of(&input(), folder.path()).keep(&input(), &call, trapped());
        let har = fs::read(folder.path().join("trapped/feed/001733740200000.har")).unwrap();
        let har: Value = serde_json::from_slice(&har).unwrap();
        let entry = &har["log"]["entries"][0];
        assert_eq!(entry["_tiplineRecalled"], json!([[{ "key": "1a", "value": "v", "expires": 7 }]]));
        assert_eq!(
            (&entry["response"]["content"]["text"], &entry["response"]["content"]["encoding"]),
            (&json!("/w=="), &json!("base64"))
        );
        assert!(har["log"]["comment"].as_str().unwrap().contains("rows it had asked for"), "{har}");
    }

    #[test]
    fn a_call_without_a_page_is_kept_too() {
        let folder = tempfile::tempdir().unwrap();
        let call = Call { state: "", now: NOW, event: &Event::Start, request: None };
        Traps::of(&input(), folder.path()).keep(&input(), &call, trapped());
        let har = fs::read(folder.path().join("trapped/feed/001733740200000.har")).unwrap();
        let har: Value = serde_json::from_slice(&har).unwrap();
        assert_eq!(har["log"]["entries"], json!([]));
        assert!(har["log"]["comment"].as_str().unwrap().contains("the beginning of a poll"), "{har}");
    }

    #[test]
    fn the_newest_pages_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let traps = Traps::of(&input(), folder.path());
        let kept = || fs::read_dir(folder.path().join("trapped/feed")).unwrap().count();
        for at in 1..=MAX_KEPT_PAGES as u64 {
            traps.keep(&input(), &Call { state: "", now: NOW + at, event: &Event::Start, request: None }, trapped());
        }
        assert_eq!(kept(), MAX_KEPT_PAGES);
        traps.keep(&input(), &Call { state: "", now: NOW + 100, event: &Event::Start, request: None }, trapped());
        assert_eq!(kept(), MAX_KEPT_PAGES);
        assert!(!folder.path().join(format!("trapped/feed/{:015}.har", NOW + 1)).exists(), "the oldest is gone");
    }

    #[test]
    fn a_page_that_cannot_be_kept_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("trapped"), "in the way").unwrap();
        let call = Call { state: "", now: NOW, event: &Event::Start, request: None };
        let told = Traps::of(&input(), folder.path()).keep(&input(), &call, trapped()).to_string();
        assert!(told.contains("could not be kept in"), "{told}");
    }

    #[test]
    fn so_many_traps_in_a_row_stop_an_input() {
        let traps = Traps::default();
        for _ in 0..2 {
            for n in 1..=MAX_TRAPS {
                assert_eq!(traps.clone().add(), n == MAX_TRAPS, "{n}");
            }
            traps.forget();
        }
    }
}
