//! The members of a JSON object, read by name: settings and states.
//!
//! Nothing is passed over in silence. A member of another type is refused, and so is one nobody asked for, by naming
//! all that were. This is one reader for all such objects, as one written by `serde` for each of them would be a tenth
//! of the component. Messages speak as `serde_json`'s do, and a caller puts what it read in front of them.

use crate::read::escaped;
use serde_json::{Map, Value};

/// An object being read.
pub(crate) struct Members<'v> {
    map: &'v Map<String, Value>,
    asked: Vec<&'static str>,
}

/// JSON text as a value.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl<'v> Members<'v> {
    /// The members of a value that has to be an object.
    pub(crate) fn of(value: &'v Value) -> Result<Self, String> {
        match value {
            Value::Object(map) => Ok(Self { map, asked: Vec::new() }),
            other => Err(unexpected(other, "an object")),
        }
    }

    /// A member as it is; `None` where there is none.
    pub(crate) fn any(&mut self, name: &'static str) -> Option<&'v Value> {
        self.asked.push(name);
        self.map.get(name)
    }

    /// A member that has to be there.
    pub(crate) fn needed(&mut self, name: &'static str) -> Result<&'v Value, String> {
        self.any(name).ok_or_else(|| format!("missing field `{name}`"))
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<Option<u64>, String> {
        self.any(name).map(number).transpose().map_err(|error| at(name, &error))
    }

    /// A whole number below 2^32.
    pub(crate) fn count(&mut self, name: &'static str) -> Result<Option<u32>, String> {
        let Some(number) = self.number(name)? else { return Ok(None) };
        u32::try_from(number).map(Some).map_err(|_| at(name, &format!("{number} is too large")))
    }

    /// `true`, or anything that means false: `false` and nothing at all.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, String> {
        match self.any(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(at(name, &unexpected(other, "true or false"))),
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<&'v str>, String> {
        self.any(name).map(text).transpose().map_err(|error| at(name, &error))
    }

    /// A list; empty where there is none.
    pub(crate) fn list(&mut self, name: &'static str) -> Result<&'v [Value], String> {
        match self.any(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(at(name, &unexpected(other, "a list"))),
        }
    }

    /// A list of texts; empty where there is none.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<&'v str>, String> {
        self.list(name)?.iter().map(text).collect::<Result<_, _>>().map_err(|error| at(name, &error))
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(self) -> Result<(), String> {
        let unknown = self.map.keys().find(|key| !self.asked.contains(&key.as_str()));
        unknown.map_or(Ok(()), |key| {
            let asked = self.asked.join("`, `");
            Err(format!("unknown field `{}`, expected one of `{asked}`", escaped(key)))
        })
    }
}

/// A whole number.
pub(crate) fn number(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| unexpected(value, "a whole number, not below 0"))
}

/// A text.
pub(crate) fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| unexpected(value, "a text"))
}

/// An error with the place where it happened.
pub(crate) fn at(name: &str, error: &str) -> String {
    format!("`{name}`: {error}")
}

fn unexpected(value: &Value, expected: &str) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("invalid type: {found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one member of each kind.
    fn read(text: &str) -> Result<(), String> {
        let value = parse(text)?;
        let mut members = Members::of(&value)?;
        members.needed("needed")?;
        members.count("count")?;
        members.flag("flag")?;
        members.text("text")?;
        members.texts("texts")?;
        members.finish()
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(read(r#"{"needed":null,"count":7,"flag":true,"text":"t","texts":["a"]}"#), Ok(()));
        for (text, part) in [
            ("{", "EOF"),
            ("[]", "invalid type: a list, expected an object"),
            ("{}", "missing field `needed`"),
            (r#"{"needed":1,"count":null}"#, "`count`: invalid type: null"),
            (r#"{"needed":1,"count":-1}"#, "`count`: invalid type: a number"),
            (r#"{"needed":1,"count":1.5}"#, "`count`: invalid type: a number"),
            (r#"{"needed":1,"count":4294967296}"#, "`count`: 4294967296 is too large"),
            (r#"{"needed":1,"flag":"yes"}"#, "`flag`: invalid type: a text"),
            (r#"{"needed":1,"text":{}}"#, "`text`: invalid type: an object"),
            (r#"{"needed":1,"texts":"one"}"#, "`texts`: invalid type: a text, expected a list"),
            (r#"{"needed":1,"texts":["a",true]}"#, "`texts`: invalid type: true or false"),
            (r#"{"needed":1,"odd\n":2}"#, "unknown field `odd\\n`, expected one of `needed`, `count`, `flag`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
