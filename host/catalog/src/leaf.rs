//! A document read leaf by leaf, each with the path that Elasticsearch knows it by.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value that is no object, no list and no null.
#[derive(Debug, Clone, PartialEq)]
pub enum Leaf<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number, as serde_json prints it.
    Number(serde_json::Number),
    /// A truth value.
    Bool(bool),
}

impl<'a> Leaf<'a> {
    /// As a keyword's text.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string().into(),
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
        }
    }
}

/// Shows every leaf of a JSON object with its path, in the document's order; a list's values have the list's path.
///
/// # Errors
/// [`serde_json::Error`] where the text is no JSON; what came before was shown.
pub fn walk<'a>(json: &'a str, visit: &mut dyn FnMut(&str, Leaf<'a>)) -> Result<(), serde_json::Error> {
    let mut path = String::with_capacity(64);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Inside { path: &mut path, visit }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// What stands at a path.
struct Inside<'s, 'a> {
    path: &'s mut String,
    visit: &'s mut dyn FnMut(&str, Leaf<'a>),
}

impl<'a> Inside<'_, 'a> {
    fn leaf(self, leaf: Leaf<'a>) {
        (self.visit)(self.path, leaf);
    }
}

impl<'de> DeserializeSeed<'de> for Inside<'_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { path, visit } = self;
        let length = path.len();
        while let Some(Key(key)) = map.next_key()? {
            if length > 0 {
                path.push('.');
            }
            path.push_str(&key);
            map.next_value_seed(Inside { path, visit })?;
            path.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { path, visit } = self;
        while seq.next_element_seed(Inside { path, visit })?.is_some() {}
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.leaf(Leaf::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.leaf(Leaf::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.leaf(Leaf::Number(number.into()));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.leaf(Leaf::Number(number.into()));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        if let Some(number) = serde_json::Number::from_f64(number) {
            self.leaf(Leaf::Number(number));
        }
        Ok(())
    }

    fn visit_bool<E>(self, truth: bool) -> Result<(), E> {
        self.leaf(Leaf::Bool(truth));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key of an object, borrowed where it has no escapes.
#[derive(Debug)]
pub struct Key<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}
