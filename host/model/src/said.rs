//! Words for people, of which it is known whose they are.
//!
//! A message holds words of ours (names of settings, fields, files and commands) and words of others (values of a feed,
//! what a server answers). Only the latter are defanged. Which is which is known where the message is made, and nowhere
//! else: so it is said there, by type, and kept until the message is shown.

use std::fmt;

use crate::text;

/// A message in parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Said(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Ours(String),
    Theirs(String),
}

impl Said {
    /// Words of ours, or names that a person has chosen: shown as they are.
    pub fn ours(text: impl Into<String>) -> Self {
        Self(vec![Part::Ours(text.into())])
    }

    /// Words of others: shown so that nobody clicks on them.
    pub fn theirs(text: impl Into<String>) -> Self {
        Self(vec![Part::Theirs(text.into())])
    }

    /// These and then those.
    #[must_use]
    pub fn and(mut self, more: impl Into<Self>) -> Self {
        self.0.extend(more.into().0);
        self
    }

    /// The same, where words of others name what is our own, such as the address that was asked.
    #[must_use]
    pub fn beside(self, own: &[String]) -> Self {
        let parts = self.0.into_iter().flat_map(|part| match part {
            Part::Ours(text) => vec![Part::Ours(text)],
            Part::Theirs(text) => {
                let parts = text::beside(&text, own).into_iter().filter(|(text, _)| !text.is_empty());
                let part = |(text, is_own): (&str, bool)| match is_own {
                    true => Part::Ours(text.to_owned()),
                    false => Part::Theirs(text.to_owned()),
                };
                parts.map(part).collect()
            }
        });
        Self(parts.collect())
    }

    /// The parts, and whether each is ours.
    pub fn parts(&self) -> impl Iterator<Item = (bool, &str)> {
        self.0.iter().map(|part| (matches!(part, Part::Ours(_)), part.text()))
    }

    /// As it was said, for programs.
    pub fn plain(&self) -> String {
        self.0.iter().map(|part| part.text()).collect()
    }

    /// At most so many characters; a cut is marked.
    #[must_use]
    pub fn cut(self, chars: usize) -> Self {
        let mut left = chars;
        let mut parts = Vec::with_capacity(self.0.len());
        for part in self.0 {
            let length = part.text().chars().count();
            if length > left {
                parts.push(part.map(|text| text::cut(text, left)));
                break;
            }
            left -= length;
            parts.push(part);
        }
        Self(parts)
    }
}

impl Part {
    fn text(&self) -> &str {
        match self {
            Self::Ours(text) | Self::Theirs(text) => text,
        }
    }

    fn map(&self, change: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Ours(text) => Self::Ours(change(text)),
            Self::Theirs(text) => Self::Theirs(change(text)),
        }
    }
}

/// What stands in the program's text is ours.
impl From<&'static str> for Said {
    fn from(text: &'static str) -> Self {
        Self::ours(text)
    }
}

/// As people see it.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Ours(text) => f.write_str(&text::escape(text)),
            Part::Theirs(text) => f.write_str(&text::show(text)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_others_are_defanged_and_all_are_escaped() {
        let said =
            Said::ours("event.id\u{1b} in a.har: ").and(Said::theirs("http://evil.example/\u{7}")).and(" (tipline.db)");
        assert_eq!(said.to_string(), "event.id\\u{1b} in a.har: hxxp://evil[.]example/\\u{7} (tipline.db)");
        assert_eq!(said.plain(), "event.id\u{1b} in a.har: http://evil.example/\u{7} (tipline.db)");
    }

    #[test]
    fn names_of_our_own_are_known_in_words_of_others() {
        let own = ["http://127.0.0.1:8080".to_owned()];
        let said = Said::theirs("http://127.0.0.1:8080/x.y says evil.example").and(" in a.har").beside(&own);
        assert_eq!(said.to_string(), "http://127.0.0.1:8080/x[.]y says evil[.]example in a.har");
        let parts: Vec<_> = said.parts().collect();
        assert_eq!(parts, [(true, own[0].as_str()), (false, "/x.y says evil.example"), (true, " in a.har")]);
    }

    #[test]
    fn a_cut_keeps_whose_words_they_are() {
        let said = Said::ours("a.b: ").and(Said::theirs("evil.example")).and(" (c.d)");
        for (chars, expected) in [
            (99, "a.b: evil[.]example (c.d)"),
            (23, "a.b: evil[.]example (c.d)"),
            (22, "a.b: evil[.]example (c.…"),
            (12, "a.b: evil[.]e…"),
            (5, "a.b: …"),
            (3, "a.…"),
        ] {
            assert_eq!(said.clone().cut(chars).to_string(), expected, "{chars}");
        }
    }
}
