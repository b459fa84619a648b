//! Whether a folder can be written to. It is tried with a file that is gone again at once: modes and owners don't tell of
//! read-only file systems, quotas, containers and what the superuser may.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// How much is written to see whether there is room: about a page of a feed.
const TRIAL_BYTES: usize = 1024 * 1024;

/// The folder of a file.
pub(super) fn of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Why nothing can be written to a folder, or made where it is missing; and what to do.
pub(super) fn refusal(folder: &Path) -> Option<String> {
    let mut nearest = folder;
    while matches!(nearest.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        nearest = of(nearest);
        if nearest == Path::new(".") {
            break;
        }
    }
    let advice = "make it one that this user may write to, or name another one.";
    match nearest.metadata() {
        Ok(found) if !found.is_dir() => Some(format!("{} is no folder; name another one.", nearest.display())),
        Err(error) => Some(format!("the folder {} cannot be reached ({error}); {advice}", nearest.display())),
        Ok(_) => try_in(nearest).err().map(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                format!("the folder {} takes no more ({error}); free some space.", nearest.display())
            }
            _ => format!("the folder {} cannot be written to ({error}); {advice}", nearest.display()),
        }),
    }
}

/// Why nothing can be added to a file that is there.
pub(super) fn refusal_to_append(file: &Path) -> Option<String> {
    let error = OpenOptions::new().append(true).open(file).err()?;
    Some(format!("{error}; let this user write to it, or name another one."))
}

fn try_in(folder: &Path) -> io::Result<()> {
    let trial = folder.join(format!(".tipline-check-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&trial)?;
    // A full disk still makes empty files.
    let written = file.write_all(&vec![1; TRIAL_BYTES]).and_then(|()| file.sync_all());
    fs::remove_file(&trial)?;
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_tried() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for (path, expected) in [
            (folder.path().to_owned(), None),
            (folder.path().join("not/yet/there"), None),
            (file.clone(), Some("is no folder")),
            (file.join("below"), Some("cannot be reached")),
            ("/dev/full".into(), Some("is no folder")),
            // Nobody writes there, not even the superuser.
            ("/proc/self".into(), Some("cannot be written to")),
            ("/proc/self/tipline/state".into(), Some("cannot be written to")),
        ] {
            let refusal = refusal(&path);
            match expected {
                None => assert_eq!(refusal, None, "{}", path.display()),
                Some(words) => assert!(refusal.as_deref().is_some_and(|r| r.contains(words)), "{refusal:?}"),
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
        assert_eq!(refusal_to_append(&file), None);
        assert!(refusal_to_append(folder.path()).is_some());
    }
}
