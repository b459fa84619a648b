//! Where the data lies: what may be published in the repository, and all else in the shared corpus, a folder beside it.
//!
//! A test over the shared corpus is reported as ignored where a file of it cannot be read, with the path and the reason;
//! `TIPLINE_CORPUS` names another folder. Nothing makes that a failure, as the corpus may not be published.

use std::path::PathBuf;

use libtest_mimic::{Completion, Trial};
use serde_json::Value;

/// The shared corpus, of which the files a test needs are there.
pub struct Folder(PathBuf);

impl Folder {
    fn with(files: &[&str]) -> Result<Self, String> {
        let folder = std::env::var_os("TIPLINE_CORPUS")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"), PathBuf::from);
        for file in files {
            let path = folder.join(file);
            std::fs::File::open(&path).map_err(|error| {
                format!("{} cannot be read ({error}); TIPLINE_CORPUS names the folder", path.display())
            })?;
        }
        Ok(Self(folder))
    }

    /// A file.
    pub fn text(&self, file: &str) -> String {
        read(self.0.join(file))
    }

    /// A file of a JSON value a line.
    pub fn lines(&self, file: &str) -> Vec<Value> {
        self.text(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A file of one JSON value.
    pub fn whole(&self, file: &str) -> Value {
        serde_json::from_str(&self.text(file)).unwrap()
    }
}

/// A test that needs these files of the shared corpus.
pub fn shared(name: &str, files: &'static [&'static str], test: fn(&Folder)) -> Trial {
    Trial::ignorable_test(name, move || match Folder::with(files) {
        Ok(folder) => {
            test(&folder);
            Ok(Completion::Completed)
        }
        Err(reason) => Ok(Completion::ignored_with(reason)),
    })
}

/// A test over what lies in the repository.
pub fn plain(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A file of the repository's own data.
pub fn own(file: &str) -> String {
    read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(file))
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Holds what was counted to what is committed; `TIPLINE_UPDATE_CASES=1` writes it anew.
pub fn hold(file: &str, counted: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/counted").join(file);
    if std::env::var_os("TIPLINE_UPDATE_CASES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, counted).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), counted, "{}", path.display());
}

/// A member of a document by its dotted path.
pub fn at<'v>(document: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(document, |value, key| value.get(key))
}
