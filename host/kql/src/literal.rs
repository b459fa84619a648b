//! What a document's JSON must hold for a query to find it.
//!
//! A million documents are read for a question that no column answers, and taking each apart is most of the work. Nearly all of
//! them lack a piece of text that the query asks for, which a look at their bytes tells.
//!
//! It errs on one side only: where the bytes may say the same in another way, a document may be found.

use memchr::memmem::Finder;

use crate::fold::SEARCH;
use crate::pattern::Pattern;
use crate::predicate::{Predicate, Test};

/// The pieces of text without which a query finds nothing.
#[derive(Debug)]
pub struct Literals {
    needs: Needs,
    /// Where this stands, a character may be written by its number.
    escape: Finder<'static>,
}

#[derive(Debug)]
enum Needs {
    /// Nothing that bytes could tell.
    Nothing,
    Piece(Box<Finder<'static>>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Literals {
    /// Of a query.
    pub fn of(predicate: &Predicate) -> Self {
        Self { needs: Needs::of(predicate), escape: Finder::new(b"\\u") }
    }

    /// Whether a document with these texts, one for each of its claims, may be what the query finds.
    pub fn may_be_in<T: AsRef<[u8]>>(&self, texts: &[T]) -> bool {
        match &self.needs {
            Needs::Nothing => true,
            needs => needs.are_met(texts) || texts.iter().any(|text| self.escape.find(text.as_ref()).is_some()),
        }
    }
}

impl Needs {
    fn of(predicate: &Predicate) -> Self {
        match predicate {
            Predicate::And(parts) => {
                let needs = parts.iter().map(Self::of).filter(|part| !matches!(part, Self::Nothing));
                Self::All(needs.collect()).simple()
            }
            Predicate::Or(parts) => {
                let needs: Vec<Self> = parts.iter().map(Self::of).collect();
                let is_open = needs.is_empty() || needs.iter().any(|part| matches!(part, Self::Nothing));
                if is_open { Self::Nothing } else { Self::Any(needs) }
            }
            // What all documents are searched by stands in none of them.
            Predicate::Test(column, _) if column == SEARCH => Self::Nothing,
            Predicate::Test(_, Test::Equals(text)) => Self::pieces(&Pattern::exact(text.as_str())),
            Predicate::Test(_, Test::Like(pattern)) => Self::pieces(pattern),
            Predicate::All | Predicate::None | Predicate::Not(_) | Predicate::Test(..) => Self::Nothing,
        }
    }

    /// Of each piece the longest part that JSON writes in one way only.
    fn pieces(pattern: &Pattern) -> Self {
        let needs = pattern.pieces().iter().filter_map(|piece| {
            let parts = piece.split(|c: char| c.is_control() || matches!(c, '"' | '\\' | '/'));
            let longest = parts.max_by_key(|part| part.len())?;
            // A number is read and printed before it is compared, so it may look otherwise.
            let is_number = longest.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
            (!is_number).then(|| Self::Piece(Box::new(Finder::new(longest.as_bytes()).into_owned())))
        });
        Self::All(needs.collect()).simple()
    }

    fn simple(self) -> Self {
        match self {
            Self::All(mut parts) if parts.len() < 2 => parts.pop().unwrap_or(Self::Nothing),
            needs => needs,
        }
    }

    fn are_met<T: AsRef<[u8]>>(&self, texts: &[T]) -> bool {
        match self {
            Self::Nothing => true,
            Self::Piece(piece) => texts.iter().any(|text| piece.find(text.as_ref()).is_some()),
            Self::All(parts) => parts.iter().all(|part| part.are_met(texts)),
            Self::Any(parts) => parts.iter().any(|part| part.are_met(texts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fields, parse, resolve};

    /// Query, documents of which one is to be found, and whether their bytes leave it open.
    const CASES: &[(&str, &[&str], bool)] = &[
        ("url.path: *gate*", &[r#"{"url":{"path":"/a/gate.php"}}"#], true),
        ("url.path: *gate*", &[r#"{"url":{"path":"/a/login.php"}}"#], false),
        // The case of letters counts.
        ("url.path: *gate*", &[r#"{"url":{"path":"/Gate"}}"#], false),
        // Any claim of a value may have it.
        ("url.path: *gate*", &["{}", r#"{"url":{"path":"gate"}}"#], true),
        // Each piece, and of a whole text all of it.
        ("url.path: *gate*php", &[r#"{"url":{"path":"gate.asp"}}"#], false),
        ("url.path: gate", &[r#"{"url":{"path":"gatt"}}"#], false),
        // Characters that may be written with a backslash or without part the pieces.
        (r#"url.path: "a/gate""#, &[r#"{"url":{"path":"a\/gate"}}"#], true),
        (r#"url.path: "a/gate""#, &[r#"{"url":{"path":"a/login"}}"#], false),
        // Any character may be written by its number.
        ("url.path: *gate*", &[r#"{"url":{"path":"\u0067ate"}}"#], true),
        // A number is compared as it is printed: 1.0e2 is 100.0.
        (r#"url.path: "100.0""#, &[r#"{"url":{"path":1.0e2}}"#], true),
        ("url.path: true", &[r#"{"url":{"path":true}}"#], true),
        ("url.path: gate and tags: a1", &[r#"{"url":{"path":"gate"}}"#], false),
        ("url.path: gate or tags: a1", &[r#"{"url":{"path":"gate"}}"#], true),
        ("url.path: gate or tags: a1", &[r#"{"url":{"path":"x"},"tags":["a2"]}"#], false),
        // What is not there, or of a kind that bytes don't show, may be anything.
        ("not url.path: gate", &["{}"], true),
        ("url.path: gate or port: 80", &["{}"], true),
        ("url.path: *", &["{}"], true),
        ("", &["{}"], true),
    ];

    #[test]
    fn a_document_is_passed_over_where_its_bytes_show_that_it_lacks_something() {
        let fields = Fields::new([("url.path", "wildcard"), ("tags", "keyword"), ("port", "long")]);
        for (query, texts, may) in CASES {
            let predicate = resolve(&parse(query).unwrap(), &fields, 0).unwrap();
            assert_eq!(Literals::of(&predicate).may_be_in(texts), *may, "{query}: {texts:?}");
        }
    }
}
