//! Machine code kept in files, so that only the first start compiles a guest.
//!
//! What stands here is run as it is, so it is believed only where nobody else can have written it: the folder and the
//! entry belong to the user who runs this program, and neither the group nor others may write to them. Anything else is
//! refused with a line in the log and compiled anew; a cache that cannot be read or written costs time and nothing more.
//! On systems without such owners nothing is kept.
//!
//! An entry's name is the SHA-256 of the guest and of all settings and versions that its code depends on, so a changed
//! one has another name. An entry holds the SHA-256 of its code, as a file can be damaged or cut, and is put in its place
//! whole. The ones used last stay.

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Entries kept. A configuration has at most 100 inputs, each with one guest, and there is the built-in one: a start must
/// not take away what the next one needs. Code is about five times as large as its guest.
const MAX_ENTRIES: usize = 128;

/// How entries end.
const SUFFIX: &str = "code";

/// How entries begin, with the version of their form.
const MAGIC: &[u8; 8] = b"tipline1";

/// The bytes of a SHA-256.
const SUM: usize = 32;

/// A folder of compiled code.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the folder, and makes it where it is not there. None, and a line in the log, where it cannot be used.
    pub(super) fn open(folder: &Path) -> Option<Self> {
        let checked = make(folder).and_then(|()| fs::metadata(folder)).and_then(|folder| private(&folder));
        match checked {
            Ok(()) => Some(Self { folder: folder.to_owned() }),
            Err(reason) => {
                tracing::warn!(
                    error.message = %reason, file.path = %folder.display(),
                    "The compile cache is not used, so each start compiles the guests; give the folder to the user who \
                     runs this program, with mode 700, or remove it"
                );
                None
            }
        }
    }

    /// The code of this component for this engine, where it is there.
    pub(super) fn load(&self, engine: &Engine, component: &[u8]) -> Option<Component> {
        let path = self.entry(engine, component);
        match read(&path).and_then(|code| run_as_is(engine, &code)) {
            Ok(component) => Some(component),
            Err(reason) if reason.kind() == io::ErrorKind::NotFound => None,
            Err(reason) => {
                tracing::warn!(
                    error.message = %reason, file.path = %path.display(),
                    "An entry of the compile cache is not used, and the guest is compiled anew"
                );
                None
            }
        }
    }

    /// Keeps the code that this engine made of this component. What cannot be kept costs the next start a compilation.
    pub(super) fn keep(&self, engine: &Engine, component: &[u8], code: &Component) {
        let path = self.entry(engine, component);
        let kept = code.serialize().map_err(io::Error::other).and_then(|code| write(&path, &code));
        if let Err(reason) = kept.and_then(|()| self.tidy()) {
            tracing::debug!(
                error.message = %reason, file.path = %path.display(), "The compile cache could not be written"
            );
        }
    }

    fn entry(&self, engine: &Engine, component: &[u8]) -> PathBuf {
        let mut sum = Sum(Sha256::new());
        // wasmtime's version, the processor, and all settings of the compiler.
        engine.precompile_compatibility_hash().hash(&mut sum);
        component.hash(&mut sum);
        self.folder.join(hex::encode(sum.0.finalize())).with_extension(SUFFIX)
    }

    /// Removes the entries used longest ago, and what a killed program left half written.
    fn tidy(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let path = entry.path();
            let is_ours = path.extension().is_some_and(|end| end.to_string_lossy().starts_with(SUFFIX));
            if let Ok(about) = entry.metadata()
                && is_ours
                && about.is_file()
            {
                entries.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), path));
            }
        }
        entries.sort();
        let many = entries.len().saturating_sub(MAX_ENTRIES);
        entries.into_iter().take(many).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// SHA-256 of what is hashed.
struct Sum(Sha256);

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // The whole sum is asked for instead.
        0
    }
}

/// The folder, with all above it, for its owner alone.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// An error unless it is ours and nobody else may write to it.
#[cfg(unix)]
fn private(about: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (owner, us) = (about.uid(), rustix::process::geteuid().as_raw());
    let mode = about.mode() & 0o7777;
    if owner != us {
        return Err(io::Error::other(format!("it belongs to user {owner}, and this program runs as user {us}")));
    }
    if mode & 0o022 != 0 {
        return Err(io::Error::other(format!("others may write to it, as its mode is {mode:03o}")));
    }
    Ok(())
}

#[cfg(not(unix))]
fn private(_: &fs::Metadata) -> io::Result<()> {
    Err(io::Error::other("on this system it cannot be told who may write to it"))
}

/// The code of an entry, as it was written.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    private(&file.metadata()?)?;
    let mut head = [0; MAGIC.len() + SUM];
    let mut code = Vec::new();
    file.read_exact(&mut head).and_then(|()| file.read_to_end(&mut code))?;
    let (magic, sum) = head.split_at(MAGIC.len());
    if magic != MAGIC || sum != Sha256::digest(&code).as_slice() {
        return Err(io::Error::other("it is damaged"));
    }
    // The ones used last stay; where this is not possible, the ones made last.
    let _ = file.set_modified(SystemTime::now());
    Ok(code)
}

/// Puts an entry in its place whole. It need not be on the disk for good: a part of it is noticed and compiled anew.
fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("{SUFFIX}-{}-{:08x}", std::process::id(), fastrand::u32(..)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let fill = |mut file: File| {
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)
    };
    let done = options.open(&draft).and_then(fill).and_then(|()| fs::rename(&draft, path));
    done.inspect_err(|_| {
        // What cannot be removed goes one day as an entry not used for long.
        let _ = fs::remove_file(&draft);
    })
}

/// A component of code that this module kept.
fn run_as_is(engine: &Engine, code: &[u8]) -> io::Result<Component> {
    // SAFETY: the code must be what `Component::serialize` gave. `read` took it from a file that only this user can have
    // written, in a folder of this user's, with the sum that `write` gave it, under a name that no other guest, engine or
    // version of wasmtime has. Who could forge that can run code as this user anyway.
    unsafe { Component::deserialize(engine, code) }.map_err(|reason| io::Error::other(format!("{reason:#}")))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::Duration;

    use super::*;

    /// (component)
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    struct Stand {
        folder: tempfile::TempDir,
        engine: Engine,
    }

    impl Stand {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), engine: Engine::default() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("state/cache")
        }

        fn cache(&self) -> Cache {
            Cache::open(&self.path()).unwrap()
        }

        /// A cache with the code of [`EMPTY`], and its file.
        fn kept(&self) -> (Cache, PathBuf) {
            let cache = self.cache();
            cache.keep(&self.engine, EMPTY, &Component::new(&self.engine, EMPTY).unwrap());
            let file = cache.entry(&self.engine, EMPTY);
            assert!(cache.load(&self.engine, EMPTY).is_some());
            (cache, file)
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_kept_is_for_its_owner_alone_and_nothing_else_is_left() {
        let stand = Stand::new();
        let (_, file) = stand.kept();
        assert_eq!((mode(&stand.path()), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read_dir(stand.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_guest_and_another_engine_have_entries_of_their_own() {
        let stand = Stand::new();
        let (cache, file) = stand.kept();
        let mut settings = wasmtime::Config::new();
        settings.consume_fuel(true);
        let counting = Engine::new(&settings).unwrap();
        // The same with an empty section of a name.
        let other = [EMPTY, b"\0\x02\x01x"].concat();
        for (engine, component) in [(&counting, EMPTY), (&stand.engine, &other)] {
            assert_ne!(cache.entry(engine, component), file);
            assert!(cache.load(engine, component).is_none());
        }
    }

    #[test]
    fn folders_that_others_may_write_to_are_refused() {
        let stand = Stand::new();
        let (_, file) = stand.kept();
        for (mode, is_used) in [(0o700, true), (0o755, true), (0o720, false), (0o702, false), (0o1777, false)] {
            set_mode(&stand.path(), mode);
            assert_eq!(Cache::open(&stand.path()).is_some(), is_used, "{mode:o}");
        }
        assert!(Cache::open(&file).is_none(), "no folder at all");
    }

    #[test]
    fn entries_that_others_may_write_to_are_refused() {
        let stand = Stand::new();
        let (cache, file) = stand.kept();
        for (mode, is_used) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            set_mode(&file, mode);
            assert_eq!(cache.load(&stand.engine, EMPTY).is_some(), is_used, "{mode:o}");
        }
    }

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        // What cannot be given away is looked at where it is: the system's folder belongs to its administrator.
        let stand = Stand::new();
        let (cache, file) = stand.kept();
        if std::os::unix::fs::chown(&file, Some(12_345), None).is_err() {
            assert!(private(&fs::metadata("/").unwrap()).is_err());
            return;
        }
        assert!(cache.load(&stand.engine, EMPTY).is_none());
        std::os::unix::fs::chown(stand.path(), Some(12_345), None).unwrap();
        assert!(Cache::open(&stand.path()).is_none());
    }

    #[test]
    fn damaged_entries_are_refused_and_replaced() {
        let stand = Stand::new();
        let (cache, file) = stand.kept();
        let whole = fs::read(&file).unwrap();
        let changed = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        };
        let cut = whole[..whole.len() - 1].to_vec();
        // Its sum is right, and its code another program's.
        let foreign = [&MAGIC[..], &Sha256::digest(b"code"), b"code"].concat();
        for bytes in [vec![], changed(0), changed(MAGIC.len()), changed(whole.len() - 1), cut, foreign] {
            fs::write(&file, &bytes).unwrap();
            assert!(cache.load(&stand.engine, EMPTY).is_none());
            stand.kept();
        }
    }

    #[test]
    fn so_many_entries_are_kept_and_the_one_used_longest_ago_goes() {
        let stand = Stand::new();
        let (cache, file) = stand.kept();
        let old = SystemTime::now() - Duration::from_secs(1_000);
        let set_age =
            |path: &Path, age| File::open(path).unwrap().set_modified(old + Duration::from_secs(age)).unwrap();
        set_age(&file, 0);
        for number in 1..MAX_ENTRIES {
            let path = stand.path().join(format!("{number}.{SUFFIX}"));
            fs::write(&path, "").unwrap();
            set_age(&path, 1);
        }
        // Of a program that was killed, and what is not ours.
        fs::write(stand.path().join("README"), "").unwrap();
        cache.tidy().unwrap();
        assert_eq!(fs::read_dir(stand.path()).unwrap().count(), MAX_ENTRIES + 1);
        // Used, so it is no longer the oldest.
        assert!(cache.load(&stand.engine, EMPTY).is_some());
        let draft = stand.path().join(format!("0.{SUFFIX}-1-2"));
        fs::write(&draft, "").unwrap();
        set_age(&draft, 0);
        cache.tidy().unwrap();
        assert_eq!(fs::read_dir(stand.path()).unwrap().count(), MAX_ENTRIES + 1);
        assert!(file.exists() && !draft.exists() && stand.path().join("README").exists());
    }
}
