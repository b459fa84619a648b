//! Views with names. A view is its address: what follows the question mark.

use rusqlite::{Connection, OptionalExtension as _};

use super::{Kept, KeptError};

/// The most views: more than a person finds his way about in.
pub const MAX_VIEWS: usize = 500;

/// The longest name, in characters: what fits a line.
pub const MAX_NAME_CHARS: usize = 100;

/// The longest address: no longer one comes in with a request.
pub const MAX_ADDRESS_BYTES: usize = 16 * 1024;

/// A view with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Unique. It also names the view's list (`/lists/NAME.txt`).
    pub name: String,
    /// What follows the question mark of its address.
    pub query: String,
}

/// A name as it is kept, without blanks around it.
fn sound(name: &str) -> Result<&str, KeptError> {
    let name = name.trim();
    if name.is_empty() {
        return Err(KeptError::Invalid("A view needs a name. Write one, such as `C2 of this week`.".to_owned()));
    }
    if name.chars().count() > MAX_NAME_CHARS {
        let text = format!("The name is longer than {MAX_NAME_CHARS} characters. Write a shorter one.");
        return Err(KeptError::Invalid(text));
    }
    // What shows nothing, or turns the line around, would let one name pass for another.
    if name.chars().any(tipline_model::text::is_hidden) {
        let text = "The name holds characters that cannot be seen. Write it with letters, digits and signs.";
        return Err(KeptError::Invalid(text.to_owned()));
    }
    Ok(name)
}

impl Kept {
    /// All views, by their names.
    ///
    /// # Errors
    /// [`KeptError::Unusable`].
    pub fn views(&self) -> Result<Vec<View>, KeptError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT name, query FROM views ORDER BY name")?;
            let views = statement.query_map([], |row| Ok(View { name: row.get(0)?, query: row.get(1)? }))?;
            views.collect()
        })
    }

    /// The view of this name.
    ///
    /// # Errors
    /// [`KeptError::Unusable`].
    pub fn view(&self, name: &str) -> Result<Option<View>, KeptError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT name, query FROM views WHERE name = ?1")?;
            statement.query_row([name.trim()], |row| Ok(View { name: row.get(0)?, query: row.get(1)? })).optional()
        })
    }

    /// Saves a view. One of the same name gets the new address, and keeps its keys.
    ///
    /// # Errors
    /// [`KeptError`].
    pub fn save(&self, view: &View) -> Result<(), KeptError> {
        let name = sound(&view.name)?;
        if view.query.len() > MAX_ADDRESS_BYTES {
            let most = tipline_model::text::bytes(MAX_ADDRESS_BYTES as u64);
            return Err(KeptError::Invalid(format!("The view's address is longer than {most}. Shorten its query.")));
        }
        self.change(|transaction| {
            let replaced = transaction.execute("UPDATE views SET query = ?2 WHERE name = ?1", (name, &view.query))?;
            if replaced > 0 {
                return Ok(());
            }
            let count: i64 = transaction.query_row("SELECT count(*) FROM views", [], |row| row.get(0))?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= MAX_VIEWS {
                let text = format!("There are {MAX_VIEWS} views, which is as many as are kept. Delete one first.");
                return Err(KeptError::Full(text).into());
            }
            transaction.execute("INSERT INTO views (name, query) VALUES (?1, ?2)", (name, &view.query))?;
            Ok(())
        })
    }

    /// Gives a view another name. Its keys go with it; the address of its list has the new name.
    ///
    /// # Errors
    /// [`KeptError`].
    pub fn rename(&self, name: &str, new: &str) -> Result<(), KeptError> {
        let (name, new) = (name.trim(), sound(new)?);
        self.change(|transaction| {
            let id = id(transaction, name)?.ok_or_else(|| KeptError::NoView(name.to_owned()))?;
            if name != new && self::id(transaction, new)?.is_some() {
                return Err(KeptError::Taken(new.to_owned()).into());
            }
            transaction.execute("UPDATE views SET name = ?2 WHERE id = ?1", (id, new))?;
            Ok(())
        })
    }

    /// Deletes a view with its keys.
    ///
    /// # Errors
    /// [`KeptError`].
    pub fn delete(&self, name: &str) -> Result<(), KeptError> {
        let name = name.trim();
        self.change(|transaction| match transaction.execute("DELETE FROM views WHERE name = ?1", [name])? {
            0 => Err(KeptError::NoView(name.to_owned()).into()),
            _ => Ok(()),
        })
    }
}

/// The number of the view of this name.
pub(super) fn id(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT id FROM views WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, query: &str) -> View {
        View { name: name.to_owned(), query: query.to_owned() }
    }

    #[test]
    fn views_are_saved_renamed_listed_and_deleted() {
        let kept = Kept::in_memory().unwrap();
        kept.save(&view(" b ", "q=1")).unwrap();
        kept.save(&view("a", "q=2")).unwrap();
        kept.save(&view("b", "q=3")).unwrap();
        assert_eq!(kept.views().unwrap(), [view("a", "q=2"), view("b", "q=3")]);
        assert_eq!(kept.rename("b", "a"), Err(KeptError::Taken("a".to_owned())));
        assert_eq!(kept.rename("c", "d"), Err(KeptError::NoView("c".to_owned())));
        kept.rename("b", "b").unwrap();
        kept.rename("b", "c").unwrap();
        assert_eq!(kept.view("c").unwrap(), Some(view("c", "q=3")));
        assert_eq!(kept.view("b").unwrap(), None);
        kept.delete("c").unwrap();
        assert_eq!(kept.delete("c"), Err(KeptError::NoView("c".to_owned())));
        assert_eq!(kept.views().unwrap(), [view("a", "q=2")]);
    }

    #[test]
    fn names_and_addresses_have_their_length() {
        let kept = Kept::in_memory().unwrap();
        let (name, query) = ("ä".repeat(MAX_NAME_CHARS), "q".repeat(MAX_ADDRESS_BYTES));
        kept.save(&view(&name, &query)).unwrap();
        for (name, query, said) in [
            (format!("{name}x"), query.clone(), "longer than 100 characters"),
            (name.clone(), format!("{query}x"), "longer than 16 KiB"),
            ("  ".to_owned(), query.clone(), "needs a name"),
            ("a\nb".to_owned(), query.clone(), "cannot be seen"),
            ("a\u{202e}b".to_owned(), query.clone(), "cannot be seen"),
            ("a\u{200b}b".to_owned(), query, "cannot be seen"),
        ] {
            let refused = kept.save(&view(&name, &query)).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
        assert!(kept.rename(&name, "a\tb").is_err() && kept.views().unwrap().len() == 1);
    }

    #[test]
    fn so_many_views_are_kept_and_no_more() {
        let kept = Kept::in_memory().unwrap();
        for number in 0..MAX_VIEWS {
            kept.save(&view(&number.to_string(), "")).unwrap();
        }
        let refused = kept.save(&view("more", "")).unwrap_err();
        assert!(matches!(&refused, KeptError::Full(text) if text.contains("Delete one first")), "{refused}");
        kept.save(&view("0", "q=1")).unwrap();
        kept.delete("1").unwrap();
        kept.save(&view("more", "")).unwrap();
    }
}
