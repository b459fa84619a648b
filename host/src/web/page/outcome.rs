//! What an action did, told on the page that it leads to. It stands in the address: as text, which is all that it does.

use maud::{Markup, html};
use url::form_urlencoded::Serializer;

use super::layout::notice;
use super::value;
use crate::text;

/// The longest name that is told.
const CHARS_SHOWN: usize = 120;

/// Something that was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What, by a word of [`Outcome::told`].
    pub(super) done: String,
    /// To which view or input; none is all of them.
    pub(super) of: Option<String>,
    /// To which key or reject of it.
    pub(super) number: Option<u64>,
    /// What it is called now.
    pub(super) called: Option<String>,
}

impl Outcome {
    pub(super) fn new(done: &str, of: Option<&str>) -> Self {
        Self { done: done.to_owned(), of: of.map(str::to_owned), ..Self::default() }
    }

    /// Reads an address' query.
    pub(super) fn read(query: &str) -> Option<Self> {
        Some(Self {
            done: value(query, "done")?,
            of: value(query, "of"),
            number: value(query, "number").and_then(|number| number.parse().ok()),
            called: value(query, "called"),
        })
    }

    /// An address that tells it.
    pub(super) fn at(&self, address: &str) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("done", &self.done);
        let number = self.number.map(|number| number.to_string());
        for (key, value) in [("of", &self.of), ("number", &number), ("called", &self.called)] {
            value.iter().for_each(|value| {
                query.append_pair(key, value);
            });
        }
        format!("{address}{}{}", if address.contains('?') { '&' } else { '?' }, query.finish())
    }

    /// Which rejects it was done to.
    pub(super) fn rejects(&self) -> String {
        let of = self.of.as_deref().map(|input| format!(" of {}", text::cut(&text::show(input), CHARS_SHOWN)));
        match self.number {
            Some(number) => format!("reject {number}{}", of.unwrap_or_default()),
            None => format!("all rejects{}", of.unwrap_or_default()),
        }
    }

    /// Told, where there is something to tell.
    pub(super) fn told(&self) -> Markup {
        let name = |name: &Option<String>| text::cut(&text::escape(name.as_deref().unwrap_or_default()), CHARS_SHOWN);
        let view = name(&self.of);
        let (title, more) = match (self.done.as_str(), self.number) {
            ("saved", _) => (
                format!("This view is saved as “{view}”."),
                html! { "It stands in the menu “Views”, and among " a href="/views" { "all views and their lists" } "." },
            ),
            ("renamed", _) => (format!("The view “{view}” is called “{}” now.", name(&self.called)), html! {}),
            ("deleted", _) => (format!("The view “{view}” was deleted."), html! {}),
            ("revoked", Some(key)) => (
                format!("Key {key} of the list of “{view}” was revoked."),
                html! { "Whoever fetches the list with it is refused from now on." },
            ),
            ("dropped", _) => (format!("Dropped for good: {}.", self.rejects()), html! {}),
            _ => return html! {},
        };
        html! { div.outcome role="status" { (notice("good", &title, &more)) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_names_what_was_done_to_what() {
        for (outcome, said) in [
            (Outcome::new("saved", Some("<b>")), "saved as “&lt;b&gt;”"),
            (
                Outcome { called: Some("New".to_owned()), ..Outcome::new("renamed", Some("Old")) },
                "“Old” is called “New” now",
            ),
            (Outcome::new("deleted", Some("Old")), "“Old” was deleted"),
            (Outcome { number: Some(3), ..Outcome::new("revoked", Some("Old")) }, "Key 3 of the list of “Old”"),
            (Outcome { number: Some(7), ..Outcome::new("dropped", Some("a.b")) }, "reject 7 of a[.]b"),
            (Outcome::new("dropped", Some("rest")), "all rejects of rest"),
            (Outcome::new("dropped", None), "all rejects."),
        ] {
            let told = outcome.told().0;
            assert!(told.contains(said), "{told}");
            let address = outcome.at("/views?a=b");
            assert_eq!(Outcome::read(address.split_once('?').unwrap().1), Some(outcome), "{address}");
        }
        assert_eq!(Outcome::new("anything", Some("x")).told().0, "");
        assert_eq!(Outcome::read("of=x"), None);
    }
}
