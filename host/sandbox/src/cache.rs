//! Machine code kept in files, so that only the first start compiles a guest.
//!
//! What stands here is run as it is, so it is believed only where nobody else can have written it. The folder belongs to
//! the user who runs this program, and neither the group nor others may write to it, nor to any folder above it, whose
//! owner could put another one in its place; the same holds for each file. Anything else is refused with a line in the
//! log and compiled anew; a cache that cannot be read or written costs time and nothing more. On systems without such
//! owners nothing is kept.
//!
//! An entry's name is the SHA-256 of the guest and of all settings and versions that its code depends on, so a changed
//! one has another name. An entry begins with an authentication code (HMAC-SHA256) over that name and the machine code,
//! by a key that lies beside it and that only the owner reads: a damaged or cut entry, one of another guest that was
//! given this one's name, and one made elsewhere are none. Entries are put in their place whole. The ones used last stay.

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use tipline_model::folder::make_private;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::compiling::MAX_CODE_BYTES;

/// Entries kept. A configuration has at most 100 inputs, each with one guest, and there is the built-in one: a start must
/// not take away what the next one needs. Code is about five times as large as its guest.
const MAX_ENTRIES: usize = 128;

/// How long an entry may take to be written: a second, and an hour where a disk is slow. What is older is nobody's any more.
const WRITTEN_WITHIN: Duration = Duration::from_secs(60 * 60);

/// How entries end.
const SUFFIX: &str = "code";

/// How entries begin, with the version of their form.
const MAGIC: &[u8; 8] = b"tipline2";

/// The bytes of an HMAC-SHA256, and of its key.
const SUM: usize = 32;

/// The file of the key.
const KEY: &str = "key";

/// A folder of compiled code.
pub(super) struct Cache {
    folder: PathBuf,
    key: hmac::Key,
}

impl Cache {
    /// Opens the folder, and makes it where it is not there. None, and a line in the log, where it cannot be used.
    pub(super) fn open(folder: &Path) -> Option<Self> {
        match make_private(folder).and_then(|()| guarded(folder)).and_then(|folder| Ok((key(&folder)?, folder))) {
            Ok((key, folder)) => Some(Self { folder, key }),
            Err(reason) => {
                tracing::warn!(
                    error.message = %reason, file.path = %folder.display(),
                    "The compile cache is not used, so each start compiles the guests; give the folder, and those above \
                     it, to the user who runs this program or to root, with mode 700 or 755"
                );
                None
            }
        }
    }

    /// The code of this component for this engine, where it is there.
    pub(super) fn load(&self, engine: &Engine, component: &[u8]) -> Option<Component> {
        let path = self.entry(engine, component);
        match self.read(&path).and_then(|code| run_as_is(engine, &code)) {
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
    pub(super) fn keep(&self, engine: &Engine, component: &[u8], code: &[u8]) {
        let path = self.entry(engine, component);
        let kept = write(&path, &[MAGIC, self.code_of(&path, code).as_ref(), code]);
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

    /// What an entry of this name with this code begins with.
    fn code_of(&self, path: &Path, code: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(name(path).as_bytes());
        context.update(b"\n");
        context.update(code);
        context.sign()
    }

    /// The code of an entry, as it was written.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read_up_to(MAX_CODE_BYTES, path)
    }

    fn read_up_to(&self, most: u64, path: &Path) -> io::Result<Vec<u8>> {
        let mut file = open(path)?;
        let mut head = [0; MAGIC.len() + SUM];
        // Looked at before it is read, and read no further where it grows meanwhile.
        let longest = most.saturating_add(head.len() as u64);
        if file.metadata()?.len() > longest {
            return Err(io::Error::other(format!(
                "it is longer than {}, as no code is",
                tipline_model::text::bytes(most)
            )));
        }
        let mut code = Vec::new();
        file.read_exact(&mut head).and_then(|()| (&mut file).take(most).read_to_end(&mut code))?;
        let (magic, sum) = head.split_at(MAGIC.len());
        if magic != MAGIC || !is_same(sum, self.code_of(path, &code).as_ref()) {
            return Err(io::Error::other("it is damaged, or not the code of this guest"));
        }
        // The ones used last stay; where this is not possible, the ones made last.
        let _ = file.set_modified(SystemTime::now());
        Ok(code)
    }

    /// Removes the entries used longest ago, and what a killed program left half written.
    fn tidy(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let path = entry.path();
            let is_ours = path.extension().is_some_and(|end| end.to_string_lossy().starts_with(SUFFIX));
            if let Ok(about) = entry.metadata()
                && is_ours
                && about.is_file()
            {
                let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let is_draft = path.extension().is_some_and(|end| end != SUFFIX);
                if is_draft && now.duration_since(used).is_ok_and(|age| age > WRITTEN_WITHIN) {
                    // Another one that tidies may have been before.
                    let _ = fs::remove_file(&path);
                    continue;
                }
                entries.push((used, path));
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

/// An error unless whoever may write to a folder is root or us: in one such as /tmp nobody moves what is another's.
#[cfg(unix)]
fn safe(about: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (owner, us) = (about.uid(), rustix::process::geteuid().as_raw());
    let mode = about.mode() & 0o7777;
    if owner != us && owner != 0 {
        return Err(io::Error::other(format!("it belongs to user {owner}, and this program runs as user {us}")));
    }
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(io::Error::other(format!("others may write to it, as its mode is {mode:03o}")));
    }
    Ok(())
}

#[cfg(not(unix))]
fn safe(about: &fs::Metadata) -> io::Result<()> {
    private(about)
}

#[cfg(not(unix))]
fn private(_: &fs::Metadata) -> io::Result<()> {
    Err(io::Error::other("on this system it cannot be told who may write to it"))
}

/// The folder by its real name, where nobody else can have put anything there: it is ours, and nobody else may write to it
/// or to what it stands in, by either of its names.
fn guarded(folder: &Path) -> io::Result<PathBuf> {
    let real = fs::canonicalize(folder)?;
    private(&fs::metadata(&real)?)?;
    let named = std::path::absolute(folder)?;
    for above in real.ancestors().chain(named.ancestors()).skip(1).filter(|above| !above.as_os_str().is_empty()) {
        safe(&fs::metadata(above)?).map_err(|reason| io::Error::other(format!("{}: {reason}", above.display())))?;
    }
    Ok(real)
}

/// A file of ours, and not a link to another one.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    private(&about)?;
    Ok(file)
}

/// The folder's key, which is made where there is none.
fn key(folder: &Path) -> io::Result<hmac::Key> {
    let path = folder.join(KEY);
    match read_key(&path) {
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => {}
        Err(reason) => return Err(io::Error::other(format!("{}: {reason}; remove it", path.display()))),
        Ok(key) => return Ok(key),
    }
    let mut bytes = [0; SUM];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random numbers"))?;
    let draft = draft(&path);
    fill(&draft, &[&bytes])?;
    // Another process may have made one meanwhile, which then is the key.
    let placed = fs::hard_link(&draft, &path);
    let _ = fs::remove_file(&draft);
    match placed {
        Err(reason) if reason.kind() != io::ErrorKind::AlreadyExists => Err(reason),
        _ => read_key(&path),
    }
}

fn read_key(path: &Path) -> io::Result<hmac::Key> {
    let file = open(path)?;
    if others_read(&file.metadata()?) {
        return Err(io::Error::other("others may read it"));
    }
    let mut bytes = Vec::new();
    file.take(SUM as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() != SUM {
        return Err(io::Error::other(format!("it is not {SUM} bytes long")));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(unix)]
fn others_read(about: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(about) & 0o077 != 0
}

#[cfg(not(unix))]
fn others_read(_: &fs::Metadata) -> bool {
    true
}

/// Compares without telling by the time it takes where the difference is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// A name beside this one that nobody else has.
fn draft(path: &Path) -> PathBuf {
    path.with_extension(format!("{SUFFIX}-{}-{:08x}", std::process::id(), fastrand::u32(..)))
}

/// Makes a file of these parts, for its owner alone.
fn fill(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

/// Puts an entry in its place whole. It need not be on the disk for good: a part of it is noticed and compiled anew.
fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let draft = draft(path);
    let done = fill(&draft, parts).and_then(|()| fs::rename(&draft, path));
    done.inspect_err(|_| {
        // What cannot be removed goes one day as an entry not used for long.
        let _ = fs::remove_file(&draft);
    })
}

/// A component of code that this module kept.
fn run_as_is(engine: &Engine, code: &[u8]) -> io::Result<Component> {
    // SAFETY: the code must be what `Component::serialize` gave. `Cache::read` took it from a file that only this user can
    // have written, in a folder of this user's, with an authentication code over it and over a name that no other guest,
    // engine or version of wasmtime has. Who could forge that can run code as this user anyway.
    unsafe { Component::deserialize(engine, code) }.map_err(|reason| io::Error::other(format!("{reason:#}")))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

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
            cache.keep(&self.engine, EMPTY, &self.engine.precompile_component(EMPTY).unwrap());
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
        assert_eq!(mode(&stand.path().join(KEY)), 0o600);
        assert_eq!(fs::read_dir(stand.path()).unwrap().count(), 2);
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
    fn folders_above_that_others_may_write_to_are_refused() {
        let stand = Stand::new();
        stand.kept();
        let above = stand.folder.path().join("state");
        for (mode, is_used) in [(0o755, true), (0o1777, true), (0o770, false), (0o707, false)] {
            set_mode(&above, mode);
            assert_eq!(Cache::open(&stand.path()).is_some(), is_used, "{mode:o}");
        }
    }

    #[test]
    fn a_link_is_followed_where_both_its_places_are_safe() {
        let (stand, other) = (Stand::new(), Stand::new());
        stand.kept();
        let (link, above) = (other.folder.path().join("state/cache"), other.folder.path().join("state"));
        fs::create_dir(&above).unwrap();
        std::os::unix::fs::symlink(stand.path(), &link).unwrap();
        for (mode, is_used) in [(0o700, true), (0o770, false)] {
            set_mode(&above, mode);
            assert_eq!(Cache::open(&link).is_some(), is_used, "where the link stands: {mode:o}");
        }
        set_mode(&above, 0o700);
        set_mode(&stand.folder.path().join("state"), 0o770);
        assert!(Cache::open(&link).is_none(), "where it leads to");
    }

    #[test]
    fn the_code_of_another_guest_is_none_under_this_ones_name() {
        let stand = Stand::new();
        let (cache, file) = stand.kept();
        let other = [EMPTY, b"\0\x02\x01x"].concat();
        cache.keep(&stand.engine, &other, &stand.engine.precompile_component(&other).unwrap());
        let swapped = cache.entry(&stand.engine, &other);
        assert!(cache.load(&stand.engine, &other).is_some());
        fs::copy(&swapped, &file).unwrap();
        assert!(cache.load(&stand.engine, EMPTY).is_none(), "copied");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&swapped, &file).unwrap();
        assert!(cache.load(&stand.engine, EMPTY).is_none(), "linked");
    }

    #[test]
    fn what_was_made_with_another_key_is_none() {
        let (stand, other) = (Stand::new(), Stand::new());
        let ((cache, file), (_, foreign)) = (stand.kept(), other.kept());
        assert_eq!(file.file_name(), foreign.file_name());
        fs::copy(&foreign, &file).unwrap();
        assert!(cache.load(&stand.engine, EMPTY).is_none());
    }

    #[test]
    fn a_key_that_others_read_or_that_is_cut_is_refused() {
        let stand = Stand::new();
        stand.kept();
        let key = stand.path().join(KEY);
        set_mode(&key, 0o640);
        assert!(Cache::open(&stand.path()).is_none());
        set_mode(&key, 0o600);
        assert!(Cache::open(&stand.path()).is_some());
        fs::write(&key, "short").unwrap();
        assert!(Cache::open(&stand.path()).is_none());
        fs::remove_file(&key).unwrap();
        assert!(stand.cache().load(&stand.engine, EMPTY).is_none(), "of another key");
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
        let foreign = [&MAGIC[..], cache.code_of(&file, b"code").as_ref(), b"code"].concat();
        for bytes in [vec![], changed(0), changed(MAGIC.len()), changed(whole.len() - 1), cut, foreign] {
            fs::write(&file, &bytes).unwrap();
            assert!(cache.load(&stand.engine, EMPTY).is_none());
            stand.kept();
        }
    }

    #[test]
    fn an_entry_is_read_up_to_the_longest_code_and_no_further() {
        let stand = Stand::new();
        let (cache, file) = stand.kept();
        let length = fs::metadata(&file).unwrap().len() - (MAGIC.len() + SUM) as u64;
        assert_eq!(cache.read_up_to(length, &file).unwrap().len() as u64, length);
        assert!(cache.read_up_to(length - 1, &file).unwrap_err().to_string().contains("longer than"));
        // Three gibibytes of nothing.
        File::options().write(true).open(&file).unwrap().set_len(3 << 30).unwrap();
        assert!(cache.load(&stand.engine, EMPTY).is_none());
        stand.kept();
    }

    #[test]
    fn what_a_killed_program_left_half_written_goes() {
        let stand = Stand::new();
        let (cache, file) = stand.kept();
        let draft = |name: &str, age: Duration| {
            let path = stand.path().join(format!("{name}.{SUFFIX}-1-2"));
            fs::write(&path, "").unwrap();
            File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let old = draft("old", 2 * WRITTEN_WITHIN);
        let new = draft("new", WRITTEN_WITHIN / 2);
        cache.tidy().unwrap();
        assert_eq!((old.exists(), new.exists(), file.exists()), (false, true, true));
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
        assert_eq!(fs::read_dir(stand.path()).unwrap().count(), MAX_ENTRIES + 2);
        // Used, so it is no longer the oldest.
        assert!(cache.load(&stand.engine, EMPTY).is_some());
        let draft = stand.path().join(format!("0.{SUFFIX}-1-2"));
        fs::write(&draft, "").unwrap();
        set_age(&draft, 0);
        cache.tidy().unwrap();
        assert_eq!(fs::read_dir(stand.path()).unwrap().count(), MAX_ENTRIES + 2);
        assert!(file.exists() && !draft.exists() && stand.path().join("README").exists());
    }
}
