//! Which of the collections that a server offers are wanted.

use serde_json::Value;

use super::Poll;
use super::request::{LONGEST_PATH, escape};
use super::state::{Met, Place, Survey, Turn};
use crate::config::{MAX_COLLECTIONS, has_vendors_collections};
use crate::contract::Failure;
use crate::words::{clean, quote};

/// Collections that people are told of.
const MAX_TOLD: usize = 40;

/// The longest line about one of them, in bytes.
const LONGEST_LINE: usize = 120;

/// The name for all collections.
pub(super) const ALL: &str = "*";

/// The vendor's words for its collections, each with the ids its pages give them.
const VENDORS: [(&str, &[&str]); 4] = [
    ("all", &["all", "all-iocs", "soc-defenders-all"]),
    ("ips", &["ips", "ip-addresses", "soc-defenders-network"]),
    ("hashes", &["hashes", "file-hashes", "soc-defenders-hashes"]),
    ("cves", &["cves"]),
];

/// What is read of them where nothing is named.
const VENDORS_USUAL: &str = "all";

/// A collection as the server describes it.
pub(super) struct Offer<'v> {
    pub(super) id: &'v str,
    pub(super) alias: &'v str,
    pub(super) title: &'v str,
    pub(super) readable: bool,
}

impl<'c> Poll<'c> {
    /// The names of what is wanted, with their numbers. The vendor has a usual one.
    pub(super) fn names(&self) -> Vec<(u64, &'c str)> {
        match self.config.collections.as_slice() {
            [] if has_vendors_collections(&self.base) => vec![(0, VENDORS_USUAL)],
            names => (0..).zip(names.iter().map(String::as_str)).collect(),
        }
    }

    /// Finds what is wanted among what a root offers.
    pub(super) fn match_offers(
        &mut self,
        survey: &mut Survey,
        root: &str,
        offers: &[Offer<'_>],
    ) -> Result<(), Failure> {
        let vendor = has_vendors_collections(&self.base);
        for (number, name) in self.names() {
            if name == ALL {
                survey.met.push(Met { name: number, way: ID, place: 0, is_default: false });
                for offer in offers.iter().filter(|offer| offer.readable) {
                    self.want(root, offer, true)?;
                }
            } else if let Some((way, fits)) = find(name, offers, vendor) {
                self.match_name(survey, root, number, name, way, &fits)?;
            }
        }
        for offer in offers {
            if survey.offered.len() >= MAX_TOLD {
                survey.untold = survey.untold.saturating_add(1);
                continue;
            }
            let barred = if offer.readable { "" } else { ", not to be read by this account" };
            let (id, title) = (clean(offer.id), clean(offer.title));
            let line = if title.is_empty() { format!("{id}{barred}") } else { format!("{id} ({title}){barred}") };
            let cut = line.get(..line.floor_char_boundary(LONGEST_LINE)).unwrap_or_default();
            survey.offered.push(cut.to_owned());
        }
        Ok(())
    }

    /// A name in the settings fits what a root offers. The surest way in any root counts, but for the default root's. One id in
    /// several roots is read in each; one title or alias of several ids could be either, so that nobody would see what is missing.
    fn match_name(
        &mut self,
        survey: &mut Survey,
        root: &str,
        number: u64,
        name: &str,
        way: u64,
        fits: &[&Offer<'_>],
    ) -> Result<(), Failure> {
        let before = survey.met.iter().position(|met| met.name == number);
        let known = before.and_then(|at| survey.met.get(at)).copied();
        let is_settled = |met: Met| met.is_default || met.way < way || met.way == way && way == WORDS;
        if known.is_some_and(is_settled) {
            return Ok(());
        }
        let Some(offer) = fits.iter().find(|offer| offer.readable) else {
            survey.barred.push(number);
            return Ok(());
        };
        let other = fits.iter().find(|other| other.readable && other.id != offer.id);
        if let Some(other) = other.filter(|_| way > WORDS) {
            return Err(ambiguous(name, offer.id, other.id));
        }
        if let Some(known) = known {
            let path = self.place_at(known.place).map(|place| place.path.clone()).unwrap_or_default();
            let id = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
            if known.way == way {
                return if id == offer.id {
                    self.want(root, offer, true).map(|_| ())
                } else {
                    Err(ambiguous(name, &id, offer.id))
                };
            }
            // What fitted less is not meant, unless by another name.
            let others = survey.met.iter().filter(|met| met.place == known.place).count();
            let is_alone = others < 2 && !self.config.collections.iter().any(|name| name == ALL);
            if let Some(place) = self.place_at(known.place).filter(|_| is_alone) {
                place.turn = Turn::None;
            }
            survey.met.retain(|met| met.name != number);
        }
        let place = self.want(root, offer, true)?;
        survey.met.push(Met { name: number, way, place, is_default: survey.at_default });
        Ok(())
    }

    fn place_at(&mut self, number: u64) -> Option<&mut Place> {
        self.state.places.get_mut(usize::try_from(number).ok()?)
    }

    /// A collection is to be read in this run, and has this place; the server lists it, or is only said to have it.
    pub(super) fn want(&mut self, root: &str, offer: &Offer<'_>, is_listed: bool) -> Result<u64, Failure> {
        // One too many is enough for `settle` to refuse them all.
        if self.state.places.iter().filter(|place| place.turn != Turn::None).count() > MAX_COLLECTIONS {
            return Ok(u64::MAX);
        }
        let mut path = format!("{root}collections/");
        escape(offer.id, &mut path);
        path.push('/');
        // The others go on; alone it fails the poll, in `settle`.
        if path.len() > LONGEST_PATH || means_another_place(offer.id) {
            self.note("collection-failed", unfit(offer.id, path.len()));
            return Ok(UNFIT);
        }
        if self.state.place(&path).is_none() {
            self.state.places.push(Place::new(path.clone(), self.config, self.now));
        }
        let mut numbered = (0_u64..).zip(&mut self.state.places);
        let Some((number, place)) = numbered.find(|(_, place)| place.path == path) else { return Ok(u64::MAX) };
        place.there |= is_listed;
        if place.turn == Turn::None {
            place.turn = Turn::Due;
        }
        Ok(number)
    }
}

/// In the place of a place: the collection cannot be asked for.
pub(super) const UNFIT: u64 = u64::MAX;

/// What there is to say of a collection that cannot be asked for, whose address has so many bytes.
fn unfit(id: &str, bytes: usize) -> String {
    format!(
        "The collection {} cannot be asked for: its address has {bytes} bytes, more than {LONGEST_PATH}, or may be read as that \
         of another place. Leave it out of `collection`, or name the others there.",
        quote(id)
    )
}

/// How often an id is decoded to see what it means: servers and what stands before them may do so once each.
const MAX_DECODINGS: usize = 4;

/// Whether some server may read an id as a way to this folder or the one above: encoded however often, behind a slash,
/// before a parameter, among what is cut off, or in look-alikes. The host sends no such request.
fn means_another_place(id: &str) -> bool {
    let mut id = id.to_owned();
    for _ in 0..MAX_DECODINGS {
        let is_step = |part: &str| {
            let part = part.split([';', '?', '#']).next().unwrap_or_default();
            let part = part.trim_matches(|c: char| c <= ' ' || c == '\u{7f}');
            let part: String = part.chars().map(|c| if DOTS.contains(&c) { '.' } else { c }).collect();
            matches!(part.as_str(), "." | ".." | "\u{2025}" | "\u{fe30}")
        };
        let is_misspelt = id.to_ascii_lowercase().contains("%u");
        if is_misspelt || id.split(|c| SLASHES.contains(&c)).any(is_step) {
            return true;
        }
        // What is no text is none that anybody means.
        let Ok(decoded) = percent_encoding::percent_decode_str(&id).decode_utf8() else { return true };
        if decoded == id.as_str() {
            return false;
        }
        id = decoded.into_owned();
    }
    true
}

/// What some servers take for a slash.
const SLASHES: [char; 10] =
    ['/', '\\', '\u{ff0f}', '\u{2044}', '\u{2215}', '\u{29f8}', '\u{ff3c}', '\u{fe68}', '\u{2216}', '\u{29f5}'];

/// What some servers take for a dot.
const DOTS: [char; 3] = ['\u{ff0e}', '\u{2024}', '\u{fe52}'];

/// The collections in an answer; one without an id is none. No answer where it has something else in their place.
pub(super) fn offers(value: &Value) -> Option<Vec<Offer<'_>>> {
    let list = match value.get("collections") {
        Some(Value::Array(list)) => list.as_slice(),
        // Who may see none gets an object with nothing in it.
        Some(Value::Null) => &[],
        None if value.as_object().is_some_and(serde_json::Map::is_empty) => &[],
        _ => return None,
    };
    let mut offers = Vec::new();
    for collection in list {
        let [id, alias, title] = ["id", "alias", "title"]
            .map(|name| collection.get(name).and_then(Value::as_str).unwrap_or_default().trim());
        // The standard wants it said; who says nothing gives it freely.
        let readable = collection.get("can_read").and_then(Value::as_bool).unwrap_or(true);
        if !id.is_empty() {
            offers.push(Offer { id, alias, title, readable });
        }
    }
    Some(offers)
}

/// What finds a collection, the surest first: its id, the vendor's words, its alias, its title.
pub(super) const ID: u64 = 0;
const WORDS: u64 = 1;
const ALIAS: u64 = 2;
const TITLE: u64 = 3;

/// The collections of this name, and by what they were found; one alone where it is by id or by the vendor's words.
fn find<'o, 'v>(name: &str, offers: &'o [Offer<'v>], vendor: bool) -> Option<(u64, Vec<&'o Offer<'v>>)> {
    let words = VENDORS.iter().find(|(word, _)| vendor && word.eq_ignore_ascii_case(name)).map(|(_, ids)| *ids);
    let fits = |offer: &Offer<'_>, way: u64| match way {
        ID => offer.id == name,
        WORDS => words.is_some_and(|ids| ids.contains(&offer.id)),
        ALIAS => offer.alias.eq_ignore_ascii_case(name),
        _ => offer.title.eq_ignore_ascii_case(name),
    };
    [ID, WORDS, ALIAS, TITLE].into_iter().find_map(|way| {
        let mut found: Vec<&Offer<'_>> = offers.iter().filter(|offer| fits(offer, way)).collect();
        if way <= WORDS {
            found.truncate(1);
        }
        (!found.is_empty()).then_some((way, found))
    })
}

/// The failure of a name that several collections have.
fn ambiguous(name: &str, one: &str, other: &str) -> Failure {
    let (one, other) = (quote(one), quote(other));
    Failure::Config(format!(
        "`collection` names {}, which is the title or alias of more than one collection: {one} and {other}. Write the id of the \
         one you want, or `collection: [{one}, {other}]` for both.",
        quote(name)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_decoded_so_often_and_no_further() {
        // What is coded once more than it is decoded may mean anything in the end.
        let coded = |times: usize| format!("a%{}41", "25".repeat(times - 1));
        assert!(!means_another_place(&coded(MAX_DECODINGS - 1)));
        assert!(means_another_place(&coded(MAX_DECODINGS)));
        assert!(means_another_place(&coded(MAX_DECODINGS + 1)));
    }
}
