//! The objects of a bundle or an envelope.
//!
//! What an indicator says is read in another crate, as that is compiled for size; this one only reads the JSON, leaves
//! out older versions of an object that the same page brings anew, and counts and places what came of each.

use xxhash_rust::xxh3::xxh3_64;

use crate::observable::Misfit;
use crate::order;
use crate::time::{Millis, parse_rfc3339};

use super::{Left, Mapper, Record, Yield, count, read, tally};

/// Documents of one page after which its further objects are rejected, to be tried again by themselves: an object may
/// give thousands of documents, each with all that the object says, and a page that does not fit into the memory would
/// never be passed.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

impl<'a> Mapper<'a> {
    /// Maps the objects of a bundle or an envelope, given as their JSON texts.
    pub fn objects(&mut self, list: &[&'a str]) {
        let mut read: Vec<_> = list.iter().map(|raw| read(raw)).collect();
        self.stix.learn(&mut list.iter().zip(&read).filter_map(|(raw, object)| Some((*raw, object.as_ref().ok()?))));
        // By a hash first: ids are long and begin alike.
        let mut versions: Vec<(u64, &str, Option<Millis>, usize)> = Vec::new();
        for (place, object) in read.iter().enumerate() {
            if let Ok(object) = object
                && let Some(id) = object.id.as_deref()
            {
                versions.push((xxh3_64(id.as_bytes()), id, object.modified.as_deref().and_then(parse_rfc3339), place));
            }
        }
        order::sort(&mut versions);
        let mut is_old = vec![false; list.len()];
        let mut newest: Option<(&str, Option<Millis>)> = None;
        for (_, id, modified, place) in versions.iter().rev() {
            match newest {
                // The same version twice is one, and merges.
                Some((known, latest)) if known == *id => {
                    if *modified < latest
                        && let Some(old) = is_old.get_mut(*place)
                    {
                        *old = true;
                    }
                }
                _ => newest = Some((*id, *modified)),
            }
        }
        // In their places, as an object is large.
        for ((raw, object), is_old) in list.iter().zip(&mut read).zip(is_old) {
            count(&mut self.batch.read);
            let given = match object {
                Ok(_) if is_old => Err(Left::Skipped("older version of the same object")),
                Ok(object) => self.stix.read(self.settings, self.frame.observed(), object),
                Err(left) => Err(std::mem::replace(left, Left::Skipped(""))),
            };
            self.take(raw, given);
        }
    }

    /// Counts and places what an object gave.
    pub(super) fn take(&mut self, raw: &'a str, given: Result<Yield<'a>, Left>) {
        match given {
            Ok(_) if self.batch.documents.len() > MAX_DOCUMENT_BYTES => self.leave(
                raw,
                Left::Rejected(Misfit::new(
                    "page-too-large",
                    "The objects before it on its page gave more than 64 MiB of documents. Set a smaller `limit`.",
                )),
            ),
            Ok(given) => {
                count(&mut self.batch.mapped);
                for indicator in &given.made {
                    count(&mut self.batch.made);
                    self.place(raw, indicator);
                }
                for reason in given.whole {
                    tally(&mut self.whole, reason);
                }
            }
            Err(left) => self.leave(raw, left),
        }
    }
}

/// Whether a record is a STIX object: its type says so, or its id does.
pub(super) fn is_object(record: &Record<'_>) -> bool {
    let kind = record.kind.as_deref().unwrap_or_default();
    kind == "indicator"
        || record.id.as_deref().and_then(|id| id.strip_prefix(kind)).is_some_and(|rest| rest.starts_with("--"))
}
