//! What lets somebody in: made at random, shown once, stored as a hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

use super::KeptError;

/// More than anybody tries.
const BYTES: usize = 32;

/// A secret, for a cookie, a link or a list's address. It is not printed by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// As it is given to a person or a browser: letters, digits, `-` and `_`.
    pub fn shown(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A new secret, of the system's random bytes.
///
/// # Errors
/// [`KeptError::Unusable`] where the system has none.
pub fn new_secret() -> Result<Secret, KeptError> {
    Ok(Secret(URL_SAFE_NO_PAD.encode(random::<BYTES>()?)))
}

/// A name that nobody guesses.
pub(super) fn new_id() -> Result<String, KeptError> {
    Ok(hex::encode(random::<16>()?))
}

fn random<const N: usize>() -> Result<[u8; N], KeptError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| KeptError::Unusable("The system gives no random bytes (getrandom). Try again.".to_owned()))?;
    Ok(bytes)
}

/// What is stored of a secret. It is as long and as random as a key, so no slow hash is needed.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
