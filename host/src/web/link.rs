//! Links that let a browser in: made by whoever may read a file that only the owner of the state can read.
//!
//! A server that begins writes a key, made at random for it alone, with its address into the state folder (`page-PORT.key`,
//! 0600). `tipline open` reads it and makes a link by itself: the token is a moment at which it ends and a random name, both
//! under the key's signature. So nothing has to run for it, nobody else can make one, and a token is worth nothing to a
//! server that took over the address of one that is gone. A token is taken once: names that were taken are remembered until
//! their tokens would have ended anyway, and only tokens with a good signature get there.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::{Millis, millis};
use crate::folder::make_private;
use crate::store::kept::{KeptError, new_secret};

/// How long a link may be used: to change windows and paste it, also on a machine behind a tunnel.
pub const LINK_LIFE: Duration = Duration::from_secs(10 * 60);

/// A key file is shorter; another program's file of this name may be longer.
const MAX_KEY_FILE_BYTES: u64 = 4 * 1024;

/// The path of links, with the token behind it.
pub const OPEN: &str = "/open";

/// There is no link.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The key cannot be written.
    #[error(
        "{} cannot be written: {reason}. Links to the page are made with it: let this user write the folder, or name another \
         `state_dir`.", .file.display()
    )]
    Unwritable {
        /// The key's file.
        file: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// The key cannot be read.
    #[error(
        "{} cannot be read: {reason}. Only the user who runs the page may open it: become that user, or end and start the page \
         if the file is damaged.", .file.display()
    )]
    Unreadable {
        /// The key's file.
        file: PathBuf,
        /// The reason.
        reason: String,
    },
    /// There are no random bytes.
    #[error(transparent)]
    Random(#[from] KeptError),
}

/// What makes and knows links to one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkKey {
    address: SocketAddr,
    key: String,
}

impl LinkKey {
    /// A key for a server at this address.
    ///
    /// # Errors
    /// [`LinkError::Random`].
    pub fn new(address: SocketAddr) -> Result<Self, LinkError> {
        Ok(Self { address, key: new_secret()?.shown().to_owned() })
    }

    /// Where its server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A link that may be used once, for [`LINK_LIFE`] from now on.
    ///
    /// # Errors
    /// [`LinkError::Random`].
    pub fn link(&self, now: Millis) -> Result<String, LinkError> {
        let what = format!("{}.{}", now.saturating_add(millis(LINK_LIFE)), new_secret()?.shown());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.signing(), what.as_bytes()));
        Ok(format!("http://{}{OPEN}?token={what}.{signature}", self.address))
    }

    fn signing(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.key.as_bytes())
    }

    /// Writes it where `tipline open` finds it, until what is given back is dropped. What an earlier server on this port
    /// left is replaced.
    ///
    /// # Errors
    /// [`LinkError::Unwritable`].
    pub fn publish(&self, state_dir: &Path) -> Result<Published, LinkError> {
        let file = state_dir.join(format!("page-{}.key", self.address.port()));
        let write = || -> io::Result<()> {
            make_private(state_dir)?;
            let draft = file.with_extension("key.new");
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut options = OpenOptions::new();
            // A new file follows no link that somebody has put there.
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(&draft)?.write_all(serde_json::to_string(self)?.as_bytes())?;
            // Whoever reads meanwhile finds the old one or the new one.
            fs::rename(&draft, &file)
        };
        write().map_err(|reason| LinkError::Unwritable { file: file.clone(), reason })?;
        Ok(Published(file))
    }

    /// The keys of servers of this state folder, the newest first. A server that was killed has left its own behind.
    ///
    /// # Errors
    /// [`LinkError::Unreadable`].
    pub fn published(state_dir: &Path) -> Result<Vec<Self>, LinkError> {
        let unreadable = |file: &Path, reason: String| LinkError::Unreadable { file: file.to_owned(), reason };
        let entries = match fs::read_dir(state_dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(state_dir, error.to_string())),
        };
        let mut found = Vec::new();
        for entry in entries {
            let file = entry.map_err(|error| unreadable(state_dir, error.to_string()))?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with("page-") || !name.ends_with(".key") {
                continue;
            }
            let text = match crate::file::read_text(&file, MAX_KEY_FILE_BYTES) {
                Ok(text) => text,
                // Its server has just ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unreadable(&file, error.to_string())),
            };
            let written = fs::metadata(&file).and_then(|about| about.modified()).ok();
            let key: Self = serde_json::from_str(&text).map_err(|error| unreadable(&file, error.to_string()))?;
            found.push((written, key));
        }
        found.sort_by_key(|(written, _)| std::cmp::Reverse(*written));
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }
}

/// A key that lies in the state folder. It is taken away when its server ends.
#[derive(Debug)]
pub struct Published(PathBuf);

impl Drop for Published {
    fn drop(&mut self) {
        // One that stays is replaced by the next server on this port, and good for nothing meanwhile.
        let _ = fs::remove_file(&self.0);
    }
}

/// The tokens of a server.
#[derive(Debug)]
pub(super) struct Tokens {
    key: LinkKey,
    taken: Mutex<HashMap<String, Millis>>,
}

impl Tokens {
    pub(super) fn new(key: LinkKey) -> Self {
        Self { key, taken: Mutex::default() }
    }

    /// Whether this token lets somebody in. It does so once.
    pub(super) fn take(&self, token: &str, now: Millis) -> bool {
        let Some((what, signature)) = token.rsplit_once('.') else { return false };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        if hmac::verify(&self.key.signing(), what.as_bytes(), &signature).is_err() {
            return false;
        }
        let Some((ends, name)) = what.split_once('.') else { return false };
        let Ok(ends) = ends.parse::<Millis>() else { return false };
        // One that ends later than any does was made by a clock that has been set back since.
        if ends <= now || ends > now.saturating_add(millis(LINK_LIFE)) {
            return false;
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, ends| *ends > now);
        taken.insert(name.to_owned(), ends).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_733_740_200_000;

    fn key() -> LinkKey {
        LinkKey::new("127.0.0.1:9464".parse().unwrap()).unwrap()
    }

    fn token(key: &LinkKey, now: Millis) -> String {
        let link = key.link(now).unwrap();
        link.strip_prefix("http://127.0.0.1:9464/open?token=").unwrap().to_owned()
    }

    #[test]
    fn a_token_is_taken_once_and_in_time() {
        let (key, life) = (key(), millis(LINK_LIFE));
        let tokens = Tokens::new(key.clone());
        let [first, last, late] = [(); 3].map(|()| token(&key, NOW));
        assert!(tokens.take(&first, NOW) && !tokens.take(&first, NOW));
        assert!(tokens.take(&last, NOW + life - 1) && !tokens.take(&last, NOW + life - 1));
        assert!(!tokens.take(&late, NOW + life));
        // What was taken is forgotten when it has ended, and is refused for that.
        assert!(!tokens.take(&first, NOW + life));
        assert!(tokens.take(&token(&key, NOW + life), NOW + life));
        assert_eq!(tokens.taken.lock().unwrap().len(), 1);
        assert!(!tokens.take(&token(&key, NOW + life + 1), NOW), "of a clock that was set back");
    }

    #[test]
    fn what_was_not_signed_with_this_servers_key_is_no_token() {
        let key = key();
        let tokens = Tokens::new(key.clone());
        let good = token(&key, NOW);
        let mut longer = good.clone();
        longer.insert(0, '9');
        let (what, _) = good.rsplit_once('.').unwrap();
        for wrong in ["", ".", "..", what, &format!("{what}."), &longer, &good[1..], &token(&self::key(), NOW)] {
            assert!(!tokens.take(wrong, NOW), "{wrong}");
        }
        assert!(tokens.take(&good, NOW));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_lies_where_its_owner_alone_finds_it_while_its_server_runs() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("state");
        assert!(LinkKey::published(&folder).unwrap().is_empty());
        let key = key();
        let published = key.publish(&folder).unwrap();
        let file = folder.join("page-9464.key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let found = LinkKey::published(&folder).unwrap();
        assert!(Tokens::new(key.clone()).take(&token(&found[0], NOW), NOW));
        drop(published);
        assert!(LinkKey::published(&folder).unwrap().is_empty());
        // A link that was put in its place is replaced, and not followed.
        let other = place.path().join("other");
        fs::write(&other, "theirs").unwrap();
        for name in ["page-9464.key", "page-9464.key.new"] {
            std::os::unix::fs::symlink(&other, folder.join(name)).unwrap();
        }
        let _published = key.publish(&folder).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "theirs");
        assert!(!file.is_symlink());
        fs::write(folder.join("page-1.key"), "x".repeat(5_000)).unwrap();
        let error = LinkKey::published(&folder).unwrap_err().to_string();
        assert!(error.contains("page-1.key cannot be read: it is longer than 4 KiB"), "{error}");
    }
}
