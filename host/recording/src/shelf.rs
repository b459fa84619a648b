//! A folder of recordings: what a dead process left in it, and how many are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Deletes the unfinished recordings that a dead process left, of those with a name that is asked about. What can't be deleted
/// stays: it is in nobody's way.
pub fn remove_parts(folder: &Path, is_meant: &dyn Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_part = name.to_str().and_then(|name| name.strip_suffix(".part"));
        if !is_part.is_some_and(|name| name.ends_with(".har") && is_meant(name)) {
            continue;
        }
        let is_dead = fs::File::open(entry.path()).is_ok_and(|part| part.try_lock().is_ok());
        if is_dead {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Deletes the first files of a folder, by name, until so many of those asked about are left.
pub fn keep_newest(folder: &Path, is_meant: &dyn Fn(&str) -> bool, most: usize) -> io::Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| {
            path.as_ref().map_or(true, |path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_meant))
        })
        .collect::<Result<_, _>>()?;
    files.sort_unstable();
    let surplus = files.len().saturating_sub(most);
    files.iter().take(surplus).try_for_each(fs::remove_file)
}
