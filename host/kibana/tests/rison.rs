//! RISON read back, by its grammar and nothing of the writer's.

use serde_json::{Map, Value};

pub(crate) fn read(text: &str) -> Value {
    let mut reader = Reader { rest: text };
    let value = reader.value();
    assert_eq!(reader.rest, "", "in {text}");
    value
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn take(&mut self) -> char {
        let c = self.rest.chars().next().expect("the text goes on");
        self.rest = &self.rest[c.len_utf8()..];
        c
    }

    fn is_next(&mut self, c: char) -> bool {
        let found = self.rest.starts_with(c);
        if found {
            self.take();
        }
        found
    }

    fn value(&mut self) -> Value {
        if self.is_next('!') {
            return match self.take() {
                't' => Value::Bool(true),
                'f' => Value::Bool(false),
                'n' => Value::Null,
                '(' => {
                    let mut list = Vec::new();
                    while !self.is_next(')') {
                        assert!(list.is_empty() || self.is_next(','));
                        list.push(self.value());
                    }
                    Value::Array(list)
                }
                other => panic!("!{other}"),
            };
        }
        if self.is_next('(') {
            let mut object = Map::new();
            while !self.is_next(')') {
                assert!(object.is_empty() || self.is_next(','));
                let key = self.word();
                assert!(self.is_next(':'), "behind {key}");
                let value = self.value();
                assert!(object.insert(key, value).is_none(), "a key comes once");
            }
            return Value::Object(object);
        }
        if self.is_next('\'') {
            let mut text = String::new();
            loop {
                match self.take() {
                    '\'' => return Value::String(text),
                    '!' => text.push(self.take()),
                    c => text.push(c),
                }
            }
        }
        Value::String(self.word())
    }

    /// A number would be no text: none of ours may look like one.
    fn word(&mut self) -> String {
        let end = self.rest.find([' ', '\'', '!', ':', '(', ')', ',', '*', '@', '$']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        assert!(word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'), "{word:?} is no word");
        word.to_owned()
    }
}
