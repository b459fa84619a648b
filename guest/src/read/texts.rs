//! What the fields of records and objects hold, read without copying.
//!
//! Every field is only a hint: one of the wrong type is as good as absent.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::plain::Plain;

/// What is filled in place from a JSON object, as it is large. Of a repeated member the last counts.
pub(crate) trait InPlace<'a>: Default {
    /// The names of its members, and one for all others.
    type Key: Deserialize<'a>;

    /// What it is, for an error.
    const WHAT: &'static str;

    /// Takes the value of a member.
    fn member<A: MapAccess<'a>>(&mut self, key: Self::Key, map: &mut A) -> Result<(), A::Error>;

    /// Reads one, in place of what was there.
    ///
    /// # Errors
    /// The text is no JSON, or no object.
    fn read(&mut self, raw: &'a str) -> serde_json::Result<()> {
        *self = Self::default();
        let mut reader = Plain::new(raw);
        if Members(self, PhantomData).deserialize(&mut reader).and_then(|()| reader.end()).is_ok() {
            return Ok(());
        }
        *self = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(raw);
        Members(self, PhantomData).deserialize(&mut deserializer)?;
        deserializer.end()
    }
}

struct Members<'r, 'a, T>(&'r mut T, PhantomData<&'a ()>);

impl<'a, T: InPlace<'a>> DeserializeSeed<'a> for Members<'_, 'a, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, T: InPlace<'a>> Visitor<'a> for Members<'_, 'a, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: a JSON object", T::WHAT)
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key()? {
            self.0.member(key, &mut map)?;
        }
        Ok(())
    }
}

/// Text, or a number in its decimal form; nothing for anything else and for blank text.
#[derive(Debug, Clone, Default)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text, if there is one.
    pub fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// A list of texts; one text counts as a list of one.
#[derive(Debug, Default)]
pub struct Texts<'a>(pub Vec<Cow<'a, str>>);

/// Values of no interest, for visitors that take some.
macro_rules! pass_over {
    ($none:expr; $($what:ident)*) => { $(pass_over!(@ $what, $none);)* };
    (@ bool, $none:expr) => { fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { Ok($none) } };
    (@ number, $none:expr) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { Ok($none) }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { Ok($none) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { Ok($none) }
    };
    (@ text, $none:expr) => { fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { Ok($none) } };
    (@ null, $none:expr) => { fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($none) } };
    (@ list, $none:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($none)
        }
    };
    (@ object, $none:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($none)
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text((!super::trim(text).is_empty()).then_some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text((!super::trim(text).is_empty()).then(|| Cow::Owned(text.to_owned()))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
                let mut text = String::new();
                tipline_ecs::write_number(number, &mut text);
                Ok(Text(Some(Cow::Owned(text))))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Text<'de>, E> {
                Ok(Text(decimal(number).map(Cow::Owned)))
            }

            pass_over!(Text(None); bool null list object);
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Texts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts<'de>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element::<Text<'de>>()? {
                    texts.extend(text.0);
                }
                Ok(Texts(texts))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Texts<'de>, E> {
                Ok(Texts(if super::trim(text).is_empty() { Vec::new() } else { vec![Cow::Borrowed(text)] }))
            }

            fn visit_str<E>(self, text: &str) -> Result<Texts<'de>, E> {
                Ok(Texts(if super::trim(text).is_empty() { Vec::new() } else { vec![Cow::Owned(text.to_owned())] }))
            }

            pass_over!(Texts(Vec::new()); bool number null object);
        }
        deserializer.deserialize_any(Any)
    }
}

/// A number as people write it, to six places, and without any where it is large; `None` where it is too large to be one
/// that somebody meant.
fn decimal(number: f64) -> Option<String> {
    const PLACES: u64 = 1_000_000;
    /// Above, a number has no six places any more.
    const WITH_PLACES: f64 = 1e9;
    /// Above, not every whole number is one of this type.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    if number.abs() >= LARGEST {
        return None;
    }
    if number.abs() >= WITH_PLACES {
        return Some(format!("{}", number.trunc() as i64));
    }
    let millionths = (number.abs() * PLACES as f64).round() as u64;
    let sign = if number < 0.0 { "-" } else { "" };
    // Of a scale that ends with it this is all, and of one of a hundred next to nothing.
    if millionths == PLACES {
        return Some(format!("{sign}1.0"));
    }
    let text = format!("{sign}{}.{:06}", millionths / PLACES, millionths % PLACES);
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// `true`, also as a text and as 1: a revocation that is written so is meant, and one that is missed goes on matching.
#[derive(Default)]
pub(crate) struct Flag(pub(crate) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Switch::deserialize(deserializer)?.0 == Some(true)))
    }
}

/// `true` or `false`, also as a text and as 1 or 0; nothing for anything else.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Switch(pub(crate) Option<bool>);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Switch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Switch, E> {
                Ok(Switch(Some(flag)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Switch, E> {
                let is = |word: &str, digit: &str| {
                    let text = super::trim(text);
                    text.eq_ignore_ascii_case(word) || text == digit
                };
                Ok(Switch(if is("true", "1") { Some(true) } else { is("false", "0").then_some(false) }))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Switch, E> {
                Ok(Switch(if number == 1 { Some(true) } else { (number == 0).then_some(false) }))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Switch, E> {
                Ok(Switch(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Switch, E> {
                Ok(Switch(None))
            }

            pass_over!(Switch(None); null list object);
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_back_may_say_so_in_other_words() {
        for (json, flag) in [
            ("true", true),
            ("false", false),
            (r#""true""#, true),
            (r#"" True ""#, true),
            (r#""1""#, true),
            ("1", true),
            ("0", false),
            (r#""false""#, false),
            (r#""no""#, false),
            ("null", false),
            ("-1", false),
            ("1.5", false),
            ("[true]", false),
            (r#"{"revoked":true}"#, false),
        ] {
            assert_eq!(serde_json::from_str::<Flag>(json).unwrap().0, flag, "{json}");
        }
    }

    #[test]
    fn a_switch_is_off_where_it_says_so_alone() {
        for (json, off) in [
            ("false", true),
            (r#""False""#, true),
            ("0", true),
            (r#""0""#, true),
            ("true", false),
            ("null", false),
            (r#""""#, false),
            ("2", false),
            ("[]", false),
        ] {
            assert_eq!(serde_json::from_str::<Switch>(json).unwrap().0 == Some(false), off, "{json}");
        }
    }

    #[test]
    fn numbers_count_as_their_decimal_form() {
        for (json, text) in [
            ("85", Some("85")),
            ("-3", Some("-3")),
            ("0.85", Some("0.85")),
            ("85.0", Some("85")),
            ("-0.5", Some("-0.5")),
            ("0.1234567", Some("0.123457")),
            ("0.9999999", Some("1.0")),
            ("1.0", Some("1.0")),
            ("1", Some("1")),
            ("999999999.25", Some("999999999.25")),
            ("1e9", Some("1000000000")),
            ("1796457600.5", Some("1796457600")),
            ("9.1e15", None),
            ("1e300", None),
        ] {
            let text_of: Text<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(text_of.as_deref(), text, "{json}");
        }
    }
}
