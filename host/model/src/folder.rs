//! Folders for what is nobody else's: states, rejects, recordings, compiled guests.

use std::fs;
use std::io;
use std::path::Path;

/// Makes a folder, with all above it, that nobody else may look into. One that is there already keeps its mode: a person has
/// set it.
///
/// # Errors
/// The system's reason.
pub fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_else_looks_into_a_folder_and_a_persons_own_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let (above, below) = (place.path().join("a"), place.path().join("a/b"));
        let mode = |folder: &Path| fs::metadata(folder).unwrap().permissions().mode() & 0o777;
        make_private(&below).unwrap();
        assert_eq!((mode(&above), mode(&below)), (0o700, 0o700));
        fs::set_permissions(&above, fs::Permissions::from_mode(0o755)).unwrap();
        make_private(&above).unwrap();
        assert_eq!(mode(&above), 0o755);
    }
}
