//! The members of a page, and the records in it, split off as raw text in one walk.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::plain::{NotPlain, Plain};

/// Records assumed before counting, to save the first few reallocations.
const USUAL_RECORDS: usize = 128;

/// What a page is made of. Of a repeated member the last counts, but of repeated lists of records all do.
#[derive(Debug, Default)]
pub struct Parts<'p> {
    /// `data`.
    pub data: Data<'p>,
    /// `meta`.
    pub meta: Option<&'p str>,
    /// `links`.
    pub links: Option<&'p str>,
    /// `error`.
    pub error: Option<&'p str>,
    /// `objects`, where a STIX bundle and a TAXII envelope have their records.
    pub objects: Data<'p>,
    /// `type`, of a bundle.
    pub kind: Option<&'p str>,
    /// `more`, of an envelope.
    pub more: Option<&'p str>,
    /// `next`, of an envelope.
    pub next: Option<&'p str>,
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
    List(Vec<&'p str>),
    /// Something else.
    Other,
}

impl<'p> Parts<'p> {
    /// Takes a page apart.
    ///
    /// # Errors
    /// The text is no JSON, or no object.
    pub fn read(page: &'p str) -> serde_json::Result<Self> {
        plain(page).or_else(|NotPlain| serde_json::from_str(page))
    }

    /// Takes up a member of this name, whose value comes next.
    pub(super) fn take(&mut self, name: &str, reader: &mut Plain<'p>) -> Result<(), NotPlain> {
        let raw = match name {
            "data" => return plain_list(&mut self.data, reader),
            "objects" => return plain_list(&mut self.objects, reader),
            "meta" => &mut self.meta,
            "links" => &mut self.links,
            "error" => &mut self.error,
            "type" => &mut self.kind,
            "more" => &mut self.more,
            "next" => &mut self.next,
            _ => {
                self.others = true;
                return reader.raw().map(|_| ());
            }
        };
        *raw = Some(reader.raw()?);
        Ok(())
    }

    /// What stands in a page's `data` where that is an object: a page within the page.
    pub fn inner(page: &'p str) -> Option<&'p str> {
        #[derive(serde::Deserialize)]
        struct Outer<'o> {
            #[serde(borrow)]
            data: &'o RawValue,
        }
        let inner = serde_json::from_str::<Outer<'p>>(page).ok()?.data.get();
        inner.starts_with('{').then_some(inner)
    }

    /// Whether it is a STIX bundle, whose `objects` may be missing.
    pub fn is_bundle(&self) -> bool {
        self.kind == Some(r#""bundle""#)
    }

    /// Whether it is an envelope of TAXII: it says whether there is more, or nothing at all.
    pub fn is_envelope(&self) -> bool {
        let said = [self.meta, self.links, self.error, self.kind, self.next].iter().any(Option::is_some);
        self.more.is_some() || !(said || self.others)
    }
}

/// The elements of a list, as received.
///
/// # Errors
/// The text is no JSON, or no list.
pub fn list(text: &str) -> serde_json::Result<Vec<&str>> {
    let mut reader = Plain::new(text);
    let mut list = Vec::with_capacity(USUAL_RECORDS);
    let read = reader.elements(|reader| {
        list.push(reader.outline()?);
        Ok(())
    });
    if read.and_then(|()| reader.end()).is_ok() {
        return Ok(list);
    }
    let list = serde_json::from_str::<Vec<&RawValue>>(text)?;
    Ok(list.into_iter().map(RawValue::get).collect())
}

/// [`Parts::read`] of a page as nearly all are written.
fn plain(page: &str) -> Result<Parts<'_>, NotPlain> {
    let mut reader = Plain::new(page);
    let mut parts = Parts::default();
    reader.members(|name, reader| parts.take(name, reader))?;
    reader.end()?;
    Ok(parts)
}

impl<'p> Data<'p> {
    /// What comes under the same name: more records, or nothing where there are some.
    fn take(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::List(records), Self::List(more)) => records.extend(more),
            (Self::List(_), _) => {}
            (_, other) => *self = other,
        }
    }
}

fn plain_list<'p>(data: &mut Data<'p>, reader: &mut Plain<'p>) -> Result<(), NotPlain> {
    if !reader.is_list() {
        data.take(if reader.raw()? == "null" { Data::Null } else { Data::Other });
        return Ok(());
    }
    let mut list = Vec::with_capacity(USUAL_RECORDS);
    reader.elements(|reader| {
        list.push(reader.outline()?);
        Ok(())
    })?;
    data.take(Data::List(list));
    Ok(())
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
                            (if matches!(member, Member::Data) { &mut parts.data } else { &mut parts.objects })
                                .take(list);
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
                    *raw = Some(map.next_value::<&RawValue>()?.get());
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
                while let Some(record) = list.next_element::<&RawValue>()? {
                    records.push(record.get());
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
