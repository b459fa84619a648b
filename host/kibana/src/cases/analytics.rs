//! Which cases hold an indicator, by the index that Kibana keeps of what is attached to them since 9.5.

use serde::{Deserialize, Serialize};

use super::OWNER;
use crate::answer::{Answer, FromAnswer, json};
use crate::request::{Act, Call};
use crate::{Kibana, KibanaError};

/// The most hits of one look-up, and the most documents it asks for: claims of a value are tens, not thousands.
const MAX_HITS: u32 = 1_000;

/// Looks up which cases of the space have any of these documents attached, in the index that Kibana keeps of them since 9.5.
/// For a value these are the `_id`s of all its claims.
///
/// # Errors
/// [`KibanaError::TooMuch`] for more documents than one look-up takes.
pub fn find_attached(kibana: &Kibana, ids: &[String]) -> Result<Call<Option<Attached>>, KibanaError> {
    let most = MAX_HITS as usize;
    if ids.len() > most {
        return Err(KibanaError::TooMuch { what: "The look-up", unit: "documents", given: ids.len(), most });
    }
    let term = |field, values: Vec<&str>| {
        Filter::Terms(Terms { field, values: values.into_iter().map(str::to_owned).collect() })
    };
    let body = LookUp {
        size: MAX_HITS,
        source: false,
        fields: ["case.id", "attachment.attachment_id"],
        query: Query {
            bool: Filters {
                filter: [
                    term("attachment.attachment_id", ids.iter().map(String::as_str).collect()),
                    term("attachment.type", vec!["externalReference", "security.indicator"]),
                    term("owner", vec![OWNER]),
                    term("space_id", vec![kibana.space()]),
                ],
            },
        },
    };
    Call::to_elasticsearch(Act::FindAttached, "/.cases-attachments/_search".to_owned(), &body)
}

#[derive(Serialize)]
struct LookUp {
    size: u32,
    #[serde(rename = "_source")]
    source: bool,
    fields: [&'static str; 2],
    query: Query,
}

#[derive(Serialize)]
struct Query {
    bool: Filters,
}

#[derive(Serialize)]
struct Filters {
    filter: [Filter; 4],
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Filter {
    Terms(Terms),
}

/// A field and the values it may have, which JSON writes as a member by the field's name.
struct Terms {
    field: &'static str,
    values: Vec<String>,
}

impl Serialize for Terms {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.field, &self.values)])
    }
}

/// Cases and what is attached to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attached {
    /// The id of a case and that of a document, as often as it is attached.
    pub pairs: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Answered {
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "case.id", default)]
    case: Vec<String>,
    #[serde(rename = "attachment.attachment_id", default)]
    attachment: Vec<String>,
}

/// None where there is no such index, or the key may not read it: then tags and comments say it.
impl FromAnswer for Option<Attached> {
    fn from_answer(act: Act, answer: &Answer<'_>) -> Result<Self, KibanaError> {
        if matches!(answer.status, 403 | 404) {
            return Ok(None);
        }
        let answered: Answered = json(act, answer)?;
        let pairs = answered.hits.hits.into_iter().flat_map(|Hit { fields }| {
            let case = fields.case.into_iter().next();
            fields.attachment.into_iter().filter_map(move |id| Some((case.clone()?, id)))
        });
        Ok(Some(Attached { pairs: pairs.collect() }))
    }
}
