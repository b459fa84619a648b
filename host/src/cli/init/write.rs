//! Writing the files of `tipline init`: all of them or none, each whole, and a signal leaves nothing half.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::Misuse;

/// A file to be written.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) is_secret: bool,
    text: String,
}

impl NewFile {
    pub(super) fn public(path: PathBuf, text: String) -> Self {
        Self { path, is_secret: false, text }
    }

    /// Only its owner reads it.
    pub(super) fn secret(path: PathBuf, text: String) -> Self {
        Self { path, is_secret: true, text }
    }

    fn beside(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        self.path.with_file_name(name)
    }

    /// Nothing has to be done where it is there as it is to be.
    fn is_there(&self) -> bool {
        !self.is_secret && fs::read_to_string(&self.path).is_ok_and(|found| found == self.text)
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mode = if self.is_secret { 0o600 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()
    }
}

/// What must not be left half done by a signal: files, and a terminal that shows nothing of what is typed.
#[derive(Debug, Clone, Default)]
pub(super) struct Guarded(Arc<Mutex<Option<Termios>>>);

impl Guarded {
    /// From now on a signal waits for what is guarded, sets the terminal right and ends the program.
    pub(super) fn against_signals(runtime: &tokio::runtime::Runtime) -> Result<Self> {
        let guarded = Self::default();
        let (of_signals, _entered) = (guarded.clone(), runtime.enter());
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
        runtime.spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let mut held = of_signals.held();
            show(&mut held);
            let _ = writeln!(io::stderr());
            std::process::exit(1);
        });
        Ok(guarded)
    }

    fn held(&self) -> MutexGuard<'_, Option<Termios>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hides what is typed until the answer is dropped.
    pub(super) fn hide(&self) -> Result<Hidden<'_>> {
        let mut held = self.held();
        let before = tcgetattr(io::stdin()).context("The terminal cannot be asked")?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).context("The terminal cannot hide what is typed")?;
        *held = Some(before);
        Ok(Hidden(self))
    }

    /// Writes all of them, or none where one cannot be; what is there is replaced only by `force`.
    pub(super) fn write(&self, files: &[NewFile], force: bool) -> Result<()> {
        let _held = self.held();
        let files: Vec<_> = files.iter().filter(|file| !file.is_there()).collect();
        if let Some(there) = files.iter().find(|file| !force && file.path.exists()) {
            return Err(exists(&there.path));
        }
        let done = files.iter().try_for_each(|file| {
            let beside = file.beside();
            file.write(&beside).with_context(|| {
                format!("{} cannot be written; check the folder and the free space", file.path.display())
            })
        });
        let done = done.and_then(|()| {
            files.iter().try_for_each(|file| {
                fs::rename(file.beside(), &file.path)
                    .with_context(|| format!("{} cannot be put in its place", file.path.display()))
            })
        });
        if done.is_err() {
            for file in &files {
                // Those that were never made, or stand in their place by now, are not there.
                let _ = fs::remove_file(file.beside());
            }
        }
        done
    }
}

/// The terminal shows nothing of what is typed.
pub(super) struct Hidden<'g>(&'g Guarded);

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        show(&mut self.0.held());
    }
}

fn show(before: &mut Option<Termios>) {
    if let Some(before) = before.take() {
        // If the terminal is gone, there is nothing to be set right.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &before);
    }
}

/// A file that is there is somebody's work.
pub(super) fn exists(path: &Path) -> anyhow::Error {
    let path = path.display();
    Misuse(format!(
        "{path} is there already, and nothing was written. Name another file with -c, or give --force to replace it."
    ))
    .into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_written_all_or_none_and_only_by_force_over_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let files = |text: &str| {
            [NewFile::public(path("tipline.yml"), text.to_owned()), NewFile::secret(path("feed.key"), "k".to_owned())]
        };
        let guarded = Guarded::default();
        guarded.write(&files("one"), false).unwrap();
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("tipline.yml") & 0o600, mode("feed.key")), (0o600, 0o600));
        let error = guarded.write(&files("two"), false).unwrap_err();
        assert!(error.is::<Misuse>() && error.to_string().contains("is there already"), "{error}");
        assert_eq!(fs::read_to_string(path("tipline.yml")).unwrap(), "one");
        guarded.write(&files("two"), true).unwrap();
        assert_eq!(fs::read_to_string(path("tipline.yml")).unwrap(), "two");
        // The second one has no folder, so the first one stays as it is.
        let broken =
            [NewFile::public(path("tipline.yml"), "three".to_owned()), NewFile::public(path("no/file"), String::new())];
        assert!(guarded.write(&broken, true).is_err());
        assert_eq!(fs::read_to_string(path("tipline.yml")).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
