//! Files that somebody names in a configuration or on the command line, opened as what they are.
//!
//! A named pipe is waited for by whoever opens it, a device may never end, a folder fails only when it is read. None of
//! them is what was meant, so they are refused, with a word for what they are, before they are opened.

use std::fs::{self, File, FileType};
use std::io::{self, Read as _};
use std::path::Path;

use crate::text;

/// Opens a file for reading.
///
/// # Errors
/// The system's, and where it is no file.
pub fn open(path: &Path) -> io::Result<File> {
    regular(fs::metadata(path)?.file_type())?;
    let file = File::open(path)?;
    // Another one may have come to its place meanwhile.
    regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// All bytes of a file, if these are not more than so many.
///
/// # Errors
/// As [`open`], and where it is longer.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is longer than {}", text::bytes(most))));
    }
    Ok(bytes)
}

/// As [`read`], as a text.
///
/// # Errors
/// As [`read`], and where it is no UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| io::Error::other("it is no UTF-8 text"))
}

fn regular(kind: FileType) -> io::Result<()> {
    if kind.is_file() { Ok(()) } else { Err(io::Error::other(format!("it is {}, and no file", word(kind)))) }
}

#[cfg(unix)]
fn word(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn word(kind: FileType) -> &'static str {
    if kind.is_dir() { "a folder" } else { "something else" }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_opened_and_what_else_there_is_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (name, expected) in [
            (path("file"), "text"),
            (path("link"), "text"),
            (path("pipe"), "it is a pipe, and no file"),
            (path("socket"), "it is a socket, and no file"),
            (folder.path().to_owned(), "it is a folder, and no file"),
            ("/dev/zero".into(), "it is a device, and no file"),
            (path("none"), "No such file"),
        ] {
            let found = read_text(&name, 10).unwrap_or_else(|error| error.to_string());
            assert!(found.starts_with(expected), "{}: {found}", name.display());
        }
    }

    #[test]
    fn a_file_is_read_up_to_a_length_and_refused_beyond_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (length, is_read) in [(10, true), (11, false)] {
            fs::write(&path, vec![b'x'; length]).unwrap();
            assert_eq!(read(&path, 10).map(|bytes| bytes.len()).ok(), is_read.then_some(length));
        }
        fs::write(&path, [0xff]).unwrap();
        assert!(read_text(&path, 10).unwrap_err().to_string().contains("UTF-8"));
    }
}
