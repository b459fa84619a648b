//! Which store documents go to, so that a state is never taken for one of another.
//!
//! A state says how far a feed has been read, and that what it read is stored. That is untrue as soon as the store is another
//! one: its index was deleted and made anew, or the configuration names another cluster, index or file. So each input's row in
//! the ledger keeps which store its state was committed to, and whoever resumes the state compares.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A store, by what does not change while it is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// Where it is and what it is called there, once for each way that leads to it. Empty where nothing is known of it.
    pub names: BTreeSet<String>,
    /// What the store itself calls its parts (the UUIDs of indices). They end with the part, so they are believed before any
    /// name. `None` where one may not look; empty where nothing is there.
    pub ids: Option<BTreeSet<String>>,
    /// Whether it holds any document; `None` where one may not look. That is compared with what was committed, and not kept.
    #[serde(skip)]
    pub is_filled: Option<bool>,
}

/// Why a state does not fit the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It is another one.
    Another,
    /// What documents went to is not there any more.
    Gone,
    /// It is the same one, and holds no document any more.
    Emptied,
    /// It is the same one, and documents in it were dated ahead of the time, so that what came meanwhile was refused.
    SetBack,
}

impl Loss {
    /// What happened to the output, for a message.
    pub fn text(self) -> &'static str {
        match self {
            Self::Another => {
                "The output is not the one that this input's documents went to: it was deleted and made anew, or the \
                 configuration names another one"
            }
            Self::Gone => "What this input's documents went to is gone from the output",
            Self::SetBack => {
                "Documents of this input were dated ahead of the time, and what came meanwhile was taken for older"
            }
            Self::Emptied => "The output holds none of the documents any more that went there",
        }
    }
}

/// The name in the place of a store's whose documents were set back.
const SET_BACK: &str = "set back";

impl Standing {
    /// What is kept of a store whose documents were set back, until the next poll.
    pub(crate) fn set_back() -> Self {
        Self::named(SET_BACK)
    }

    /// One of a single name that nobody can look into.
    pub fn named(name: impl Into<String>) -> Self {
        Self { names: BTreeSet::from([name.into()]), ..Self::default() }
    }

    /// What has become of `before`, as this is what stands there now. `was_filled` is whether documents were stored there.
    pub fn loss_since(&self, before: &Self, was_filled: bool) -> Option<Loss> {
        if self.names.is_empty() || before.names.is_empty() {
            return None;
        }
        if before.names.contains(SET_BACK) {
            return Some(Loss::SetBack);
        }
        match (&self.ids, before.ids.as_ref().filter(|ids| !ids.is_empty())) {
            (Some(now), Some(_)) if now.is_empty() => return Some(Loss::Gone),
            // It was made by the documents, and is gone before anybody looked at it.
            (Some(now), None) if now.is_empty() && was_filled && !self.names.is_disjoint(&before.names) => {
                return Some(Loss::Gone);
            }
            (Some(now), Some(then)) if now.is_disjoint(then) => return Some(Loss::Another),
            (Some(_), Some(_)) => {}
            _ if self.names.is_disjoint(&before.names) => return Some(Loss::Another),
            _ => {}
        }
        (was_filled && self.is_filled == Some(false)).then_some(Loss::Emptied)
    }

    /// Whether it is one that its first document makes, and nothing is there yet.
    pub fn is_to_be_made(&self) -> bool {
        self.ids.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// What is kept where it is the same store: what cannot be looked at just now is as it was.
    pub(crate) fn after(self, before: Self) -> Self {
        Self { ids: self.ids.or(before.ids), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str], ids: Option<&[&str]>) -> Standing {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Standing { names: set(names), ids: ids.map(set), is_filled: None }
    }

    #[test]
    fn a_store_is_told_from_another_by_its_own_word_before_its_name() {
        for (before, now, expected) in [
            (of(&["a"], None), of(&["a"], None), None),
            (of(&["a"], None), of(&["b"], None), Some(Loss::Another)),
            // One of several hosts was taken away, another was added.
            (of(&["a", "b"], None), of(&["b", "c"], None), None),
            (of(&["a"], Some(&["1"])), of(&["a"], Some(&["1"])), None),
            (of(&["a"], Some(&["1"])), of(&["b"], Some(&["1"])), None),
            (of(&["a"], Some(&["1"])), of(&["a"], Some(&["2"])), Some(Loss::Another)),
            // A data stream rolls over, and its oldest index goes.
            (of(&["a"], Some(&["1", "2"])), of(&["a"], Some(&["2", "3"])), None),
            (of(&["a"], Some(&["1"])), of(&["a"], Some(&[])), Some(Loss::Gone)),
            // It is made by its first document.
            (of(&["a"], Some(&[])), of(&["a"], Some(&["1"])), None),
            // It was made by its first document, and is gone before anybody looked; or went while nobody might look.
            (of(&["a"], Some(&[])), of(&["a"], Some(&[])), Some(Loss::Gone)),
            (of(&["a"], None), of(&["a"], Some(&[])), Some(Loss::Gone)),
            (of(&["a"], None), of(&["b"], Some(&[])), Some(Loss::Another)),
            (of(&["a"], Some(&[])), of(&["b"], Some(&["1"])), Some(Loss::Another)),
            // The credential may look no more, or may now.
            (of(&["a"], Some(&["1"])), of(&["a"], None), None),
            (of(&["a"], Some(&["1"])), of(&["b"], None), Some(Loss::Another)),
            (of(&["a"], None), of(&["a"], Some(&["1"])), None),
            (of(&["set back"], None), of(&["a"], Some(&["1"])), Some(Loss::SetBack)),
            // Nothing is known of it.
            (of(&[], None), of(&["a"], Some(&["1"])), None),
            (of(&["a"], Some(&["1"])), of(&[], None), None),
        ] {
            assert_eq!(now.loss_since(&before, true), expected, "{before:?} {now:?}");
        }
    }

    #[test]
    fn what_no_document_went_to_is_not_gone() {
        for before in [of(&["a"], Some(&[])), of(&["a"], None)] {
            assert_eq!(of(&["a"], Some(&[])).loss_since(&before, false), None, "{before:?}");
        }
    }

    #[test]
    fn a_store_is_emptied_where_documents_went_there_and_none_is_there() {
        for (was_filled, is_filled, expected) in [
            (true, Some(false), Some(Loss::Emptied)),
            (true, Some(true), None),
            (true, None, None),
            (false, Some(false), None),
        ] {
            let now = Standing { is_filled, ..Standing::named("a") };
            assert_eq!(now.loss_since(&Standing::named("a"), was_filled), expected, "{was_filled} {is_filled:?}");
        }
    }

    #[test]
    fn what_cannot_be_looked_at_just_now_is_as_it_was() {
        let kept = of(&["b"], None).after(of(&["a"], Some(&["1"])));
        assert_eq!(kept, of(&["b"], Some(&["1"])));
    }
}
