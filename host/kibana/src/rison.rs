//! RISON, in which Kibana writes the state of its pages into addresses.

use std::fmt::Write as _;

/// A value of a page's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rison {
    Bool(bool),
    Text(String),
    List(Vec<Rison>),
    /// Keys as the language has them bare: letters, or `_` first.
    Object(Vec<(&'static str, Rison)>),
}

impl Rison {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn write(&self) -> String {
        let mut out = String::new();
        self.write_to(&mut out);
        out
    }

    fn write_to(&self, out: &mut String) {
        match self {
            Self::Bool(flag) => out.push_str(if *flag { "!t" } else { "!f" }),
            Self::Text(text) => write_text(text, out),
            Self::List(parts) => {
                out.push_str("!(");
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    part.write_to(out);
                }
                out.push(')');
            }
            Self::Object(members) => {
                // Kibana's own encoder sorts them; so links compare.
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(key, _)| *key);
                out.push('(');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    _ = write!(out, "{key}:");
                    value.write_to(out);
                }
                out.push(')');
            }
        }
    }
}

/// Bare where it is a word of letters, which nothing reads as anything else; in apostrophes otherwise.
fn write_text(text: &str, out: &mut String) {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        out.push_str(text);
        return;
    }
    out.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '!') {
            out.push('!');
        }
        out.push(c);
    }
    out.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_kibana_writes_it() {
        let state = Rison::Object(vec![
            ("to", Rison::text("2026-01-01")),
            ("kind", Rison::text("absolute")),
            ("linkTo", Rison::List(vec![])),
            ("isOpen", Rison::Bool(true)),
            ("shut", Rison::Bool(false)),
            ("many", Rison::List(vec![Rison::text("a"), Rison::text("it's!")])),
            ("empty", Rison::text("")),
        ]);
        assert_eq!(
            state.write(),
            "(empty:'',isOpen:!t,kind:absolute,linkTo:!(),many:!(a,'it!'s!!'),shut:!f,to:'2026-01-01')"
        );
    }
}
