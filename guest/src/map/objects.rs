//! The objects of a bundle or an envelope, and what their earlier versions said.
//!
//! Of the versions of an object that one page holds the last one counts. What an earlier page said of it is in the memory: a
//! version older than that changes nothing, and what the new one no longer claims is ended by a document of its own, a
//! *correction*, so that whoever reads documents needs nothing else to know what is over.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess};
use tipline_ecs::time::{Millis, SECOND};
use tipline_ecs::{Composed, Expiry, Identity, Indicator, Standing, Stix};
use tipline_observable::Observable;
use xxhash_rust::xxh3::xxh3_64;

use super::{Mapper, Record};
use crate::memory::{Claimed, Edition, Object, object_key};
use crate::objects::{self, Change, Object as StixObject, Yield};
use crate::read::plain::{NotPlain, Plain};
use crate::read::{DateFaults, InPlace, MAX_NESTING, Text, contents};
use crate::rules::{Left, REVOKED};

/// Documents of one page after which what else stands on it is asked for again, or, where that cannot be, rejected, to be tried
/// again by itself: an object may give thousands of documents, each with all that the object says, a server may send a million records whatever it was asked
/// for, and a page that does not fit into the memory would never be passed.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

/// Objects for which room is made before they are read: the most that are asked for. What a server gives beyond that may be
/// thirty million of what is none.
const USUAL_OBJECTS: usize = 16_384;

/// The most objects of a page whose rows are asked for. A page asked for has 16,384 at most; what a server gives beyond that
/// is mapped as if it came for the first time.
const MAX_RECALLED: usize = 65_536;

/// What `tipline.expiry_reason` says of a claim that a later version of its object no longer makes.
const REPLACED: &str = "replaced";

/// The type of a bundle.
const BUNDLE: &str = "bundle";

/// What the first pass reads of an object.
#[derive(Default)]
struct Named<'a> {
    id: Text<'a>,
    kind: Text<'a>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Type,
    #[serde(other)]
    Unknown,
}

impl<'a> InPlace<'a> for Named<'a> {
    type Key = Key;

    const WHAT: &'static str = "an object";

    fn member<A: MapAccess<'a>>(&mut self, key: Key, map: &mut A) -> Result<(), A::Error> {
        match key {
            Key::Id => self.id = map.next_value()?,
            Key::Type => self.kind = map.next_value()?,
            Key::Unknown => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl Named<'_> {
    /// Whether it may be a container of others.
    fn may_contain(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == BUNDLE)
    }

    /// The key of its row, where it has one.
    fn key(&self) -> Option<String> {
        let id = self.id.as_deref()?;
        is_indicator(self.kind.as_deref(), Some(id)).then(|| object_key(id))
    }
}

/// The keys of the rows that a page's objects need, each once. This first pass reads nothing but ids and types.
pub(crate) fn object_keys(list: &[&str]) -> Vec<String> {
    fn find(raw: &str, depth: u8, keys: &mut Vec<String>) {
        let mut named = Named::default();
        let is_read = named.read(raw).is_ok();
        match contents(raw).filter(|_| !is_read || named.may_contain()) {
            Some(inner) if depth < MAX_NESTING => inner.iter().for_each(|one| find(one, depth.saturating_add(1), keys)),
            Some(_) => {}
            None => keys.extend(named.key().filter(|_| is_read)),
        }
    }
    let mut keys = Vec::new();
    list.iter().for_each(|raw| find(raw, 0, &mut keys));
    rows_of(keys)
}

/// The same for a page as nearly all are written, in one walk and without taking it apart. Nothing but ids and types has to
/// be JSON; the row of an object that is none is asked for in vain.
///
/// # Errors
/// It is to be read in the general way.
pub(crate) fn page_keys(page: &str) -> Result<Vec<String>, NotPlain> {
    let mut keys = Vec::new();
    let mut reader = Plain::new(page);
    reader.members(|name, reader| {
        match name {
            "objects" => {}
            // Some pages have their objects there.
            "data" => return Err(NotPlain),
            _ => return reader.raw().map(|_| ()),
        }
        reader.elements(|reader| {
            let mut named = Named::default();
            reader.members(|name, reader| {
                match name {
                    "id" => named.id = Text::deserialize(reader)?,
                    "type" => named.kind = Text::deserialize(reader)?,
                    _ => reader.skip()?,
                }
                Ok(())
            })?;
            if named.may_contain() {
                return Err(NotPlain);
            }
            keys.extend(named.key());
            Ok(())
        })
    })?;
    reader.end()?;
    Ok(rows_of(keys))
}

/// As many as are asked for, each once.
fn rows_of(mut keys: Vec<String>) -> Vec<String> {
    tipline_ecs::set(&mut keys);
    keys.truncate(MAX_RECALLED);
    keys
}

/// An object of the page.
struct Found<'a> {
    raw: &'a str,
    object: StixObject<'a>,
    change: Change,
    /// What is wrong with the dates of its change.
    dates: DateFaults,
    edition: Edition,
}

impl<'a> Mapper<'a> {
    /// Maps the objects of a bundle or an envelope, given as their JSON texts. They stand together, so that they may name
    /// each other.
    pub(crate) fn objects(&mut self, list: &[&'a str]) {
        let mut found: Vec<Found<'a>> = Vec::with_capacity(list.len().min(USUAL_OBJECTS));
        for raw in list {
            self.find(raw, 0, &mut found);
        }
        self.context.take_up(&mut found.iter().map(|one| (one.raw, &one.object)), self.shown);
        for one in found.iter_mut().filter(|one| one.change.is_ahead) {
            let id = one.object.id.as_deref().filter(|id| is_indicator(one.object.kind.as_deref(), Some(id)));
            if let Some((known, _)) = id.and_then(|id| self.recalled.object(&object_key(id))) {
                one.edition = known.place(one.edition, true);
            }
        }
        let is_old = replaced(&found);
        let first = self.part.first;
        for (number, (one, is_old)) in found.iter_mut().zip(is_old).enumerate().skip(first) {
            // One object has room in any case.
            if self.part.may_end && number > first && !self.has_room() {
                self.part.end = Some(number);
                break;
            }
            self.object(one, is_old);
        }
    }

    /// Reads an object, or those that stand in a bundle or a list in its place.
    fn find(&mut self, raw: &'a str, depth: u8, found: &mut Vec<Found<'a>>) {
        if self.is_only_counted(raw) {
            return;
        }
        found.push(Found {
            raw,
            object: StixObject::default(),
            change: Change::default(),
            dates: DateFaults::default(),
            edition: Edition::default(),
        });
        let Some(last) = found.last_mut() else { return };
        let read = last.object.read(raw);
        let may_contain = read.is_err() || last.object.kind.as_deref().is_none_or(|kind| kind == BUNDLE);
        if may_contain && let Some(inner) = contents(raw) {
            found.pop();
            if depth >= MAX_NESTING {
                if self.part.first == 0 {
                    self.nested(raw);
                }
                return;
            }
            return inner.iter().for_each(|one| self.find(one, depth.saturating_add(1), found));
        }
        match read {
            Ok(()) => {
                last.change = last.object.changed(self.shown, &mut last.dates);
                last.edition = Edition::new(last.change.version, self.shown.observed, raw);
            }
            Err(error) => {
                found.pop();
                // Of a page that comes in parts it is told once.
                if self.part.first == 0
                    && let Err(left) = self.unreadable::<()>(raw, &error)
                {
                    self.leave(raw, left);
                }
            }
        }
    }

    /// Maps one object, of which the page may hold a later version. It is taken apart where it stands, as it is large.
    fn object(&mut self, found: &mut Found<'a>, is_old: bool) {
        let Found { raw, object, change, dates, edition } = found;
        let (raw, change, mut edition) = (*raw, *change, *edition);
        if let Err(left) = self.room() {
            return self.leave(raw, left);
        }
        let is_kept = self.recalled.is_kept() && is_indicator(object.kind.as_deref(), object.id.as_deref());
        let id = object.id.clone().0.filter(|_| is_kept);
        let key = id.as_deref().map(object_key);
        let (known, before) = key.as_deref().and_then(|key| self.recalled.object(key)).unzip();
        if let Some(known) = &known {
            edition = known.place(edition, change.is_ahead);
        }
        if is_old || known.as_ref().is_some_and(|known| known.edition.replaces(&edition)) {
            return self.leave(raw, Left::Skipped("older version of the same object"));
        }
        let revoked = object.revoked;
        let given = objects::read(self.context, self.settings, self.shown, raw, object, change, std::mem::take(dates));
        let (Some(id), Some(key)) = (id, key) else {
            return match given {
                Ok(given) => {
                    self.page.mapped();
                    self.say(given, None);
                }
                Err(left) => self.leave(raw, left),
            };
        };
        let since = known.as_ref().filter(|known| known.edition.print == edition.print).map(|known| known.since);
        let since = since.unwrap_or(edition.observed);
        let edition = known.as_ref().map_or(edition, |known| known.edition.max(edition));
        let mut claims = known.map(|known| known.claims).unwrap_or_default();
        let (given, left) = match given {
            Ok(given) => (given, None),
            // What was left out on purpose says nothing; what could not be read leaves standing what was said before. But
            // that it is taken back is said, whatever its pattern has become.
            Err(Left::Rejected(misfit)) if !revoked => return self.leave(raw, Left::Rejected(misfit)),
            Err(left) => (Yield::default(), Some(left)),
        };
        self.say(given, Some(&mut claims));
        let corrected = self.correct(&id, change.at, if revoked { REVOKED } else { REPLACED }, &mut claims);
        match left {
            Some(left) if !corrected => self.leave(raw, left),
            _ => self.page.mapped(),
        }
        // A claim that an earlier run ended needs no higher version: this run's is higher by its seconds.
        let this_run = (edition.observed / SECOND) << tipline_ecs::SECONDS_SHIFT;
        claims.retain(|claim| !claim.ended || claim.version >= this_run);
        self.remembered.object(key, Object { edition, since, claims }, before);
    }

    /// Writes what an object says, each claim once, and notes it among the claims to be remembered.
    fn say(&mut self, given: Yield<'_>, mut claims: Option<&mut Vec<Claimed<'_>>>) {
        let is_alone = given.made.len() == 1;
        let mut says: Vec<(Identity, u64)> = Vec::new();
        for indicator in &given.made {
            let (claim, composed) = self.page.compose(indicator);
            // Alternatives may claim one value twice. The same of them counts wherever they stand.
            match says.iter().find(|(identity, _)| *identity == claim.identity) {
                Some((_, before)) if *before >= composed.version => {
                    self.page.discard();
                    continue;
                }
                _ => {}
            }
            let version = match &mut claims {
                Some(claims) => note(claims, indicator, self.page.value(), composed),
                None => composed.version,
            };
            self.page.write(&claim, version, indicator);
            if !is_alone {
                says.push((claim.identity, composed.version));
            }
        }
        for reason in given.whole {
            self.whole.add(reason);
        }
        if let Some(reason) = given.cut {
            self.cut.add(reason);
        }
        if let Some(reason) = given.held {
            self.held.add(reason);
        }
        self.dates.extend(given.dates);
    }

    /// Ends the claims that the object no longer makes; tells whether there were any.
    fn correct(
        &mut self,
        id: &str,
        modified: Option<Millis>,
        reason: &'static str,
        claims: &mut [Claimed<'_>],
    ) -> bool {
        let observed = self.page.observed();
        let at = modified.unwrap_or(observed).min(observed);
        let mut corrected = false;
        for claimed in claims.iter_mut().filter(|claimed| !claimed.ended && !claimed.said) {
            let name = if claimed.name.is_empty() { &claimed.value } else { &claimed.name };
            let indicator = Indicator {
                id: Some(Cow::Borrowed(id)),
                standing: Standing::Ended { at },
                expiry: Some(Expiry { at, reason: Cow::Borrowed(reason) }),
                modified,
                stix: Some(Box::new(Stix::default())),
                ..Indicator::new(Observable::of_parts(&claimed.kind, &claimed.value, &claimed.shown, name))
            };
            let claim = self.page.claim_of(&claimed.kind, &claimed.value, id);
            let composed = self.page.compose_as(&claim, &indicator);
            claimed.version = claimed.next_version(composed.version, composed.content);
            claimed.content = composed.content;
            claimed.ended = true;
            self.page.write(&claim, claimed.version, &indicator);
            corrected = true;
        }
        corrected
    }
}

/// Of each object whether another one of the page is a later version of it. What has its id and is of another type is none:
/// a relationship hides no indicator, whatever a server calls it.
fn replaced(found: &[Found<'_>]) -> Vec<bool> {
    let ids = found.iter().filter_map(|one| one.object.id.as_deref());
    let mut known: Vec<u64> = ids.map(|id| xxh3_64(id.as_bytes())).collect();
    known.sort_unstable();
    // On most pages each object stands once.
    if known.is_sorted_by(|one, next| one < next) {
        return vec![false; found.len()];
    }
    let mut by_id: Vec<(Name<'_>, Edition)> =
        found.iter().filter_map(|one| Some((named(&one.object)?, one.edition))).collect();
    by_id.sort_unstable();
    let is_replaced = |one: &Found<'_>| {
        let Some(name) = named(&one.object) else { return false };
        let end = by_id.partition_point(|(known, _)| *known <= name);
        let last = end.checked_sub(1).and_then(|place| by_id.get(place));
        last.is_some_and(|(_, last)| *last > one.edition)
    };
    found.iter().map(is_replaced).collect()
}

/// What an object is known by: its id and its type, with a hash before them, as ids begin alike and numbers are told apart
/// sooner.
type Name<'a> = (u64, &'a str, &'a str);

fn named<'a>(object: &'a StixObject<'_>) -> Option<Name<'a>> {
    let id = object.id.as_deref()?;
    // An id says what an object is even where its type is missing.
    let kind = object.kind.as_deref().or_else(|| Some(id.split_once("--")?.0)).unwrap_or_default();
    Some((xxh3_64(id.as_bytes()), id, kind))
}

/// Notes a claim of this value among those to be remembered; gives the version of its document. Claims of one object have
/// one identity where kind and value are the same.
fn note(claims: &mut Vec<Claimed<'_>>, indicator: &Indicator<'_>, value: &str, composed: Composed) -> u64 {
    let what = &indicator.observable;
    let name = what.name().filter(|name| *name != value).unwrap_or_default();
    let expires = indicator.expiry.as_ref().map(|expiry| expiry.at);
    match claims.iter_mut().find(|known| known.value == value && known.kind == what.kind()) {
        Some(known) => {
            known.version = known.next_version(composed.version, composed.content);
            known.content = composed.content;
            known.expires = expires;
            known.ended = false;
            known.said = true;
            for (text, now) in [(&mut known.shown, what.shown_type()), (&mut known.name, name)] {
                if text != now {
                    *text = Cow::Owned(now.to_owned());
                }
            }
            known.version
        }
        None => {
            claims.push(Claimed {
                kind: Cow::Owned(what.kind().to_owned()),
                value: Cow::Owned(value.to_owned()),
                shown: Cow::Owned(what.shown_type().to_owned()),
                name: Cow::Owned(name.to_owned()),
                version: composed.version,
                content: composed.content,
                expires,
                ended: false,
                said: true,
            });
            composed.version
        }
    }
}

/// Whether a record is a STIX object or a bundle of them: its type says so, or its id does.
pub(super) fn is_object(record: &Record<'_>) -> bool {
    let kind = record.kind.as_deref().unwrap_or_default();
    matches!(kind, "indicator" | BUNDLE)
        || record.id.as_deref().and_then(|id| id.strip_prefix(kind)).is_some_and(|rest| rest.starts_with("--"))
}

/// Whether an object is an indicator: an id says what it is even where its type is missing.
fn is_indicator(kind: Option<&str>, id: Option<&str>) -> bool {
    match kind {
        Some(kind) => kind == "indicator",
        None => id.is_some_and(|id| id.starts_with("indicator--")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::{collection, sample};

    use super::*;
    use crate::read::{Data, Parts};

    #[test]
    fn the_rows_of_so_many_objects_are_asked_for_and_each_once() {
        for (objects, keys) in [(2, 2), (MAX_RECALLED, MAX_RECALLED), (MAX_RECALLED + 1, MAX_RECALLED)] {
            let texts: Vec<String> =
                (0..objects).map(|n| format!(r#"{{"type":"indicator","id":"indicator--{n}"}}"#)).collect();
            let twice: Vec<&str> = texts.iter().chain(&texts).map(String::as_str).collect();
            assert_eq!(object_keys(&twice).len(), keys, "{objects}");
        }
    }

    #[test]
    fn rows_of_indicators_alone_are_asked_for() {
        let texts = [r#"{"type":"identity","id":"identity--1"}"#, r#"{"id":"indicator--2"}"#, r#"{"id":7}"#, "[", "{}"];
        assert_eq!(object_keys(&texts), [object_key("indicator--2")]);
    }

    proptest! {
        /// One walk finds the rows that taking the page apart finds, or leaves it to that. It may find more where an object
        /// is no JSON.
        #[test]
        fn both_ways_ask_for_the_same_rows(objects in collection::vec(object(), 0..6), before in before()) {
            let page = format!(r#"{{{before}"objects":[{}]}}"#, objects.join(","));
            if let Ok(keys) = page_keys(&page) {
                let Ok(Parts { objects: Data::List(list), .. }) = Parts::read(&page) else { panic!("{page}") };
                let wanted = object_keys(&list);
                let is_json = serde_json::from_str::<IgnoredAny>(&page).is_ok();
                prop_assert!(wanted == keys || !is_json && wanted.iter().all(|key| keys.contains(key)), "{}", page);
            }
        }
    }

    fn before() -> impl Strategy<Value = &'static str> {
        sample::select(vec![
            "",
            r#""more":true,"next":"\u0041","#,
            r#""objects":[{"id":"indicator--0"}],"#,
            r#""x":[{}],"#,
        ])
    }

    fn object() -> impl Strategy<Value = String> {
        let member = sample::select(vec![
            r#""id":"indicator--1""#,
            r#""id":"indicator--\u0032""#,
            r#""id":"malware--3""#,
            r#""id":7"#,
            r#""id":{"id":"indicator--4"}"#,
            r#""type":"indicator""#,
            r#""type":" ""#,
            r#""type":"malware""#,
            r#""name":"\"},{""#,
            r#""deep":[{"id":"indicator--5","n":[1.5,-2e3,true,null]}]"#,
            r#""bad":01"#,
            r#""bad":"\x""#,
        ]);
        let members = collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")));
        prop_oneof![9 => members, 1 => Just("7".to_owned()), 1 => Just("[]".to_owned())]
    }
}
