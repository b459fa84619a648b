//! Who may ask: a key as Bearer, in a header of the vendor's own, or as the password of Basic.
//!
//! Where no key is asked for, any is good. TAXII has a user too, and its own switch for the ways it allows. A feed that takes
//! its key in one header, or behind one word, takes it in no other way.

use super::call::{Answer, Call};
use super::login::LoginWay;
use super::taxii::{self, Logins};

/// The user that the vendor's pages tell people to type; the key is the password.
const TAXII_USER: &str = "apikey";

impl Call<'_> {
    pub(super) fn authenticate(&self) -> Result<(), Box<Answer>> {
        let key = self.key();
        let over_taxii = taxii::is_taxii(self.path);
        let refuse = |code: &str, message: &str| {
            let shown = key.filter(|_| self.settings.echo_key);
            let message = shown.map_or_else(|| message.to_owned(), |key| format!("{message} The key was {key}."));
            let answer = self.error(401, code, &message);
            let asked = self.settings.key_scheme.as_deref().or(over_taxii.then_some("Basic realm=\"TAXII\""));
            Err(Box::new(match asked {
                Some(asked) => answer.with("www-authenticate", asked),
                None => answer,
            }))
        };
        if self.settings.expired_key.is_some() && self.settings.expired_key.as_deref() == key {
            return refuse("expired_api_key", "The API key has expired.");
        }
        if let Some(expected) = &self.settings.key {
            match key {
                None => return refuse("missing_api_key", "An API key is required."),
                Some(key) if key != expected => return refuse("invalid_api_key", "The API key is not valid."),
                Some(_) if over_taxii && !self.may_log_in() => {
                    return refuse("invalid_login", "This way to log in is not allowed here.");
                }
                Some(_) => {}
            }
        }
        if self.settings.forbidden {
            return Err(Box::new(self.error(403, "plan_required", "This endpoint requires a Pro plan.")));
        }
        Ok(())
    }

    /// Whether TAXII allows this way to log in, whatever the key.
    fn may_log_in(&self) -> bool {
        match (self.login.as_ref().map(|login| &login.way), self.settings.taxii.logins) {
            (Some(LoginWay::Basic(user)), Logins::Both | Logins::Basic) => user == TAXII_USER,
            (Some(LoginWay::Basic(_)), Logins::Bearer) | (None, _) => false,
            (Some(LoginWay::Bearer | LoginWay::Header), logins) => logins != Logins::Basic,
        }
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.key.as_str())
    }
}
