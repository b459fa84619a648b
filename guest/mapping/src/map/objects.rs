//! The objects of a bundle or an envelope.
//!
//! What an indicator says is read in another crate, as that is compiled for size; this one only reads the JSON, leaves
//! out older versions of an object that the same page brings anew, and counts and places what came of each.

use crate::order;
use crate::time::{Millis, parse_rfc3339};

use super::{Left, Mapper, Record, Yield, count, read, tally};

impl<'a> Mapper<'a> {
    /// Maps the objects of a bundle or an envelope, given as their JSON texts.
    pub fn objects(&mut self, list: &[&'a str]) {
        let read: Vec<_> = list.iter().map(|raw| read(raw)).collect();
        self.stix.learn(&mut list.iter().zip(&read).filter_map(|(raw, object)| Some((*raw, object.as_ref().ok()?))));
        let mut versions: Vec<(&str, Option<Millis>, usize)> = Vec::new();
        for (place, object) in read.iter().enumerate() {
            if let Ok(object) = object
                && let Some(id) = object.id.as_deref()
            {
                versions.push((id, object.modified.as_deref().and_then(parse_rfc3339), place));
            }
        }
        order::sort(&mut versions);
        let mut is_old = vec![false; list.len()];
        for pair in versions.windows(2) {
            if let [(id, modified, place), (next, newer, _)] = pair
                && id == next
                // The same object twice is one, and merges.
                && modified < newer
                && let Some(old) = is_old.get_mut(*place)
            {
                *old = true;
            }
        }
        for ((raw, object), is_old) in list.iter().zip(read).zip(is_old) {
            count(&mut self.batch.read);
            let given = match object {
                Ok(_) if is_old => Err(Left::Skipped("older version of the same object")),
                Ok(mut object) => self.stix.read(self.settings, self.frame.observed(), &mut object),
                Err(left) => Err(left),
            };
            self.take(raw, given);
        }
    }

    /// Counts and places what an object gave.
    pub(super) fn take(&mut self, raw: &'a str, given: Result<Yield<'a>, Left>) {
        match given {
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
