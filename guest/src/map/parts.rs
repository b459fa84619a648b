//! The members of a page, and the records in it, split off as raw text in one walk.
//!
//! This stands in the mapping's crate, and is no generic, so that the walk through megabytes is compiled for speed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Records assumed before counting, to save the first few reallocations.
const USUAL_RECORDS: usize = 128;

/// What a page is made of. Of a repeated member the last counts.
#[derive(Debug, Default)]
pub struct Parts<'p> {
    /// `data`.
    pub data: Data<'p>,
    /// `meta`.
    pub meta: Option<&'p RawValue>,
    /// `links`.
    pub links: Option<&'p RawValue>,
    /// `error`.
    pub error: Option<&'p RawValue>,
    /// `objects`, where a STIX bundle and a TAXII envelope have their records.
    pub objects: Data<'p>,
    /// `type`, of a bundle.
    pub kind: Option<&'p RawValue>,
    /// `more`, of an envelope.
    pub more: Option<&'p RawValue>,
    /// `next`, of an envelope.
    pub next: Option<&'p RawValue>,
    /// Whether there are other members than these.
    pub others: bool,
}

/// What stands in `data`.
#[derive(Debug, Default)]
pub enum Data<'p> {
    /// There is none.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// Each record as received.
    List(Vec<&'p RawValue>),
    /// Something else.
    Other,
}

impl<'p> Parts<'p> {
    /// Takes a page apart.
    ///
    /// # Errors
    /// The text is no JSON, or no object.
    pub fn read(page: &'p str) -> serde_json::Result<Self> {
        serde_json::from_str(page)
    }

    /// Whether it is a STIX bundle, whose `objects` may be missing.
    pub fn is_bundle(&self) -> bool {
        self.kind.is_some_and(|kind| kind.get() == r#""bundle""#)
    }

    /// Whether it is an envelope of TAXII: it says whether there is more, or nothing at all.
    pub fn is_envelope(&self) -> bool {
        let said = [self.meta, self.links, self.error, self.kind, self.next].iter().any(Option::is_some);
        self.more.is_some() || !(said || self.others)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Meta,
    Data,
    Links,
    Error,
    Objects,
    Type,
    More,
    Next,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Parts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `data` or `objects`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
                let mut parts = Parts::default();
                while let Some(member) = map.next_key()? {
                    let raw = match member {
                        Member::Data | Member::Objects => {
                            let list = map.next_value()?;
                            *(if matches!(member, Member::Data) { &mut parts.data } else { &mut parts.objects }) = list;
                            continue;
                        }
                        Member::Other => {
                            map.next_value::<IgnoredAny>()?;
                            parts.others = true;
                            continue;
                        }
                        Member::Meta => &mut parts.meta,
                        Member::Links => &mut parts.links,
                        Member::Error => &mut parts.error,
                        Member::Type => &mut parts.kind,
                        Member::More => &mut parts.more,
                        Member::Next => &mut parts.next,
                    };
                    *raw = Some(map.next_value()?);
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Data<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Data<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Data<'de>, A::Error> {
                let mut records = Vec::with_capacity(USUAL_RECORDS);
                while let Some(record) = list.next_element()? {
                    records.push(record);
                }
                Ok(Data::List(records))
            }

            fn visit_unit<E>(self) -> Result<Data<'de>, E> {
                Ok(Data::Null)
            }

            pass_over!(Data::Other; bool number text object);
        }
        deserializer.deserialize_any(Any)
    }
}
