//! Lists of objects within a STIX object: phases, references and markings, of which three texts count.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::texts::Text;

/// A member of `kill_chain_phases`, `external_references` or `granular_markings`.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    /// The chain, the source, or the marking.
    pub name: Text<'a>,
    /// The phase, or the URL.
    pub what: Text<'a>,
    /// The source's id for it.
    pub id: Text<'a>,
}

/// A list of them.
#[derive(Debug, Default)]
pub struct Entries<'a>(pub Vec<Entry<'a>>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element::<Entry<'de>>()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }

            pass_over!(Entries(Vec::new()); bool number text null object);
        }
        deserializer.deserialize_any(List)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum EntryKey {
    #[serde(alias = "source_name", alias = "marking_ref")]
    KillChainName,
    #[serde(alias = "url")]
    PhaseName,
    ExternalId,
    #[serde(other)]
    Unknown,
}

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
                let mut entry = Entry::default();
                while let Some(key) = map.next_key::<EntryKey>()? {
                    let text = match key {
                        EntryKey::KillChainName => &mut entry.name,
                        EntryKey::PhaseName => &mut entry.what,
                        EntryKey::ExternalId => &mut entry.id,
                        EntryKey::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *text = map.next_value()?;
                }
                Ok(entry)
            }

            pass_over!(Entry::default(); bool number text null list);
        }
        deserializer.deserialize_any(Fields)
    }
}
