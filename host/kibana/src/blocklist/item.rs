//! The blocklist's entries as Kibana tells them.

use serde::{Deserialize, Serialize};

use super::{OURS, Os, PER_PAGE, POLICY};
use crate::answer::{Answer, FromAnswer, json, refusal};
use crate::{Act, KibanaError};

/// One field of an entry and the values that are blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The field.
    pub field: String,
    #[serde(rename = "type")]
    kind: String,
    operator: String,
    /// Entries of other kinds, such as signers, have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Values>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Values {
    Many(Vec<String>),
    /// `match` instead of `match_any`.
    Text(String),
}

impl Entry {
    pub(super) fn of(field: &str, values: Vec<String>) -> Self {
        let (kind, operator) = ("match_any".to_owned(), "included".to_owned());
        Self { field: field.to_owned(), kind, operator, value: Some(Values::Many(values)) }
    }

    /// What is blocked.
    pub fn values(&self) -> &[String] {
        match &self.value {
            Some(Values::Many(values)) => values,
            Some(Values::Text(value)) => std::slice::from_ref(value),
            None => &[],
        }
    }
}

/// An entry as Kibana tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its id, as whoever made it chose.
    pub item_id: String,
    #[serde(rename = "_version", default)]
    pub(super) version: Option<String>,
    /// What it is called.
    pub name: String,
    #[serde(default)]
    os_types: Vec<Os>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// What it blocks.
    #[serde(default)]
    pub entries: Vec<Entry>,
}

impl Item {
    /// Whether Tipline made it.
    pub fn is_ours(&self) -> bool {
        self.item_id.starts_with(OURS)
    }

    pub(super) fn policies(&self) -> Vec<&str> {
        self.tags.iter().map(String::as_str).filter(|tag| tag.starts_with(POLICY)).collect()
    }
}

impl FromAnswer for Item {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        json(act, answer)
    }
}

/// None where there is no such entry.
impl FromAnswer for Option<Item> {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        if answer.status == 404 && !refusal(act, answer).is_elsewhere() {
            return Ok(None);
        }
        json(act, answer).map(Some)
    }
}

/// A page of entries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Items {
    /// Those of the page.
    pub data: Vec<Item>,
    /// How many there are.
    pub total: u64,
}

impl Items {
    /// Whether another page follows this one, counted from 1.
    pub fn goes_on(&self, page: u32) -> bool {
        !self.data.is_empty() && u64::from(page) * u64::from(PER_PAGE) < self.total
    }
}

impl FromAnswer for Items {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        json(act, answer)
    }
}
