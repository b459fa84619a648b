//! What can be read of a text in which something is no JSON, and what stands in lists and bundles within each other.
//!
//! A page whose brackets and quotes fit is split without this, and a record in it that is no JSON costs itself. Here it is
//! for the rest: brackets that are mixed, a quote that is never closed, half an object, a page that ends in its midst. An
//! element that is whole JSON counts as one; what is none lasts up to the next object that is whole and says that it is a
//! record or a STIX object. So what is broken is as small as can be, and what stands inside a broken object by right (a
//! reference, an extension) is not taken for an object of its own.

use memchr::memrchr;

use super::parts::{Data, Parts, list};
use super::plain::{NotPlain, Plain};

/// How deep bundles and lists may stand in each other. Exports of exports go three deep; each level is one more walk over
/// what it holds.
pub const MAX_NESTING: u8 = 8;

/// How often a text may be walked over, all attempts together, before the rest of it counts as one broken element. Objects
/// that begin in each other and end nowhere would cost the square of their length.
const MAX_WALKS: usize = 16;

/// Places looked at for the end of a list whose last element is broken. Behind it stand a few members of the envelope.
const MAX_ENDS: usize = 32;

/// A page of which something could not be read.
#[derive(Debug)]
pub struct Salvage<'p> {
    /// Its members, as far as they were found, with all elements of its list, broken ones among them.
    pub parts: Parts<'p>,
    /// Its list and itself have their ends.
    pub has_end: bool,
    /// They have, behind an element that is whole: what is broken stands inside for sure.
    pub is_whole: bool,
    /// Its list has its end behind an element that is whole, whatever became of the rest of it.
    pub lists_all: bool,
    /// How many elements are JSON.
    pub good: usize,
}

impl<'p> Salvage<'p> {
    /// Reads a page as far as it goes: an object with `objects` or `data`. `None` where there is no such list.
    pub fn read(page: &'p str) -> Option<Self> {
        let mut parts = Parts::default();
        let (name, at) = head(page, &mut parts)?;
        let mut walk = Walk::new(page, at);
        let has_end = walk.list(|behind| tail(page, behind, &mut Parts::default()).is_ok());
        let has_tail = has_end && tail(page, walk.at, &mut parts).is_ok();
        let lists_all = has_end && !walk.ends_broken;
        let is_whole = has_tail && lists_all;
        let good = walk.good;
        let list = Data::List(walk.pieces);
        *(if name == "data" { &mut parts.data } else { &mut parts.objects }) = list;
        Some(Self { parts, has_end: has_tail, is_whole, lists_all, good })
    }
}

/// Elements of which some may be broken.
#[derive(Debug, PartialEq)]
pub struct Pieces<'t> {
    /// Each as received.
    pub list: Vec<&'t str>,
    /// How many are JSON.
    pub good: usize,
    /// They have their end.
    pub has_end: bool,
    /// They have, behind an element that is whole: what is broken stands inside for sure.
    pub is_whole: bool,
}

/// The elements of a list or of a row of values, each whole or broken: what stands in `[…]`, or one behind the other.
pub fn pieces(text: &str) -> Pieces<'_> {
    let trimmed = text.trim_start();
    let begin = text.len().saturating_sub(trimmed.len());
    let is_list = trimmed.starts_with('[');
    let mut walk = Walk::new(text, begin.saturating_add(usize::from(is_list)));
    let has_end = if is_list {
        walk.list(|behind| text.get(behind..).is_some_and(|rest| rest.trim().is_empty()))
    } else {
        walk.row();
        !walk.ends_broken
    };
    Pieces { has_end, is_whole: has_end && !walk.ends_broken, list: walk.pieces, good: walk.good }
}

/// What stands inside an element that is no record itself: a list, a bundle, a page, or one that is broken and holds whole
/// ones. `None` for anything else.
pub fn contents(raw: &str) -> Option<Vec<&str>> {
    let is_of_objects = |list: &Vec<&str>| list.iter().any(|one| one.starts_with(['{', '[']));
    if raw.starts_with('[') {
        let inner = list(raw).unwrap_or_else(|_| pieces(raw).list);
        return Some(inner).filter(is_of_objects);
    }
    if !raw.starts_with('{') {
        return None;
    }
    match Parts::read(raw) {
        Ok(parts) if parts.is_bundle() => match parts.objects {
            Data::List(inner) => Some(inner),
            Data::Absent | Data::Null => Some(Vec::new()),
            Data::Other => None,
        },
        // What has a type is what it says.
        Ok(parts) if parts.kind.is_none() => match (parts.objects, parts.data) {
            (Data::List(inner), _) | (_, Data::List(inner)) => Some(inner).filter(is_of_objects),
            _ => None,
        },
        Ok(_) => None,
        Err(_) => {
            if let Some(Salvage { parts, good: 1.., .. }) = Salvage::read(raw)
                && parts.is_bundle()
                && let Data::List(inner) = parts.objects
            {
                return Some(inner);
            }
            let inner = pieces(raw);
            (inner.list.len() > 1 && inner.good > 0).then_some(inner.list)
        }
    }
}

/// The members before a page's list, its name, and the place behind its bracket.
fn head<'p>(page: &'p str, parts: &mut Parts<'p>) -> Option<(&'static str, usize)> {
    let mut found = None;
    let mut reader = Plain::new(page);
    let read = reader.members(|name, reader| match ["objects", "data"].into_iter().find(|list| *list == name) {
        Some(list) if reader.is_list() => {
            found = Some((list, reader.at.saturating_add(1)));
            Err(NotPlain)
        }
        _ => parts.take(name, reader),
    });
    if found.is_some() || read.is_ok() {
        return found;
    }
    // What is broken before the list is passed over; what follows is what matters. A list behind whole objects is not the
    // page's.
    let at = |name: &'static str| {
        let quoted = format!("\"{name}\"");
        let behind = page.find(&quoted)?.saturating_add(quoted.len());
        let rest = page.get(behind..)?.trim_start().strip_prefix(':')?.trim_start().strip_prefix('[')?;
        let before = page.get(..behind)?;
        (!before.contains("\n{") && pieces(before).good == 0).then_some((name, page.len().saturating_sub(rest.len())))
    };
    at("objects").or_else(|| at("data"))
}

/// The members behind a page's list, to its end.
fn tail<'p>(page: &'p str, at: usize, parts: &mut Parts<'p>) -> Result<(), NotPlain> {
    let mut reader = Plain::within(page, at);
    reader.further(false, |name, reader| parts.take(name, reader))?;
    reader.end()
}

/// A walk over elements.
struct Walk<'t> {
    text: &'t str,
    at: usize,
    /// Bytes that may still be looked at.
    budget: usize,
    pieces: Vec<&'t str>,
    /// How many of them are JSON.
    good: usize,
    /// The last of them is none.
    ends_broken: bool,
    /// They stand one behind the other, and in no list.
    is_row: bool,
}

impl<'t> Walk<'t> {
    fn new(text: &'t str, at: usize) -> Self {
        let budget = text.len().saturating_mul(MAX_WALKS);
        Self { text, at, budget, pieces: Vec::new(), good: 0, ends_broken: false, is_row: false }
    }

    /// Walks to the end of a list; `false` if it has none. `ends` says whether what is behind a bracket can follow a list.
    fn list(&mut self, ends: impl Fn(usize) -> bool) -> bool {
        loop {
            match self.next() {
                None => return false,
                // One bracket too many ends nothing.
                Some(b']') if ends(self.at.saturating_add(1)) || self.again(None).is_none() => {
                    self.at = self.at.saturating_add(1);
                    return true;
                }
                Some(_) if self.element() => {}
                Some(_) => {
                    let end = self.end(ends);
                    self.push(end.unwrap_or(self.text.len()), false);
                    self.at = self.at.saturating_add(usize::from(end.is_some()));
                    return end.is_some();
                }
            }
        }
    }

    /// Walks over values one behind the other.
    fn row(&mut self) {
        self.is_row = true;
        while self.next().is_some() {
            if !self.element() {
                self.push(self.text.len(), false);
            }
        }
    }

    /// Takes an element, or what is broken up to the next one; `false` if there is no next one.
    fn element(&mut self) -> bool {
        let here = self.at;
        // A stray quote makes a text of what stands between two others.
        let is_apart = |text: &str, end: usize| {
            let behind = text.get(end..).unwrap_or_default().trim_start();
            text.get(here..).is_some_and(|one| one.starts_with('{'))
                || behind.is_empty()
                || behind.starts_with([',', ']'])
        };
        if let Some(end) = self.whole(here).filter(|end| is_apart(self.text, *end)) {
            self.push(end, true);
            return true;
        }
        // Its brackets may fit although it is no JSON; at the very end it may have taken the list's for its own.
        let mut reader = Plain::new(self.text.get(here..).unwrap_or_default());
        let outline = reader.outline().ok().map(|_| here.saturating_add(reader.at));
        let outline = outline.filter(|end| is_apart(self.text, *end) && *end < self.text.trim_end().len());
        let next = self.again(outline);
        let Some(end) = next.into_iter().chain(outline).min() else { return false };
        self.push(end, false);
        true
    }

    /// The next byte that separates nothing.
    fn next(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        // A record separator stands before each value of a JSON text sequence (RFC 7464).
        let is_between = |b: &u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t' | b',' | 0x1e);
        let length = rest.iter().take_while(|b| is_between(b)).count();
        self.at = self.at.saturating_add(length);
        rest.get(length).copied()
    }

    /// The end of a value that is JSON and begins here.
    fn whole(&mut self, at: usize) -> Option<usize> {
        let rest = self.text.get(at..).filter(|_| self.budget > 0)?;
        let mut reader = Plain::new(rest);
        let read = reader.raw();
        self.budget = self.budget.saturating_sub(reader.at.saturating_add(1));
        read.ok().filter(|raw| !raw.is_empty()).map(|_| at.saturating_add(reader.at))
    }

    /// Where the next object begins that is whole and says what it is, and that is no part of the broken one before it.
    /// `outline` is where that one ends, if its brackets fit.
    fn again(&mut self, outline: Option<usize>) -> Option<usize> {
        let mut place = Place::default();
        let mut at = self.at;
        let is_object = self.text.as_bytes().get(at) == Some(&b'{');
        loop {
            let byte = self.text.as_bytes().get(at).copied()?;
            if byte == b'{'
                && at > self.at
                && (!is_object || place.may_begin_an_element(self.text, at, outline, self.is_row))
                && let Some(end) = self.whole(at)
                && self.text.get(at..end).is_some_and(says_what_it_is)
            {
                return Some(at);
            }
            at = at.saturating_add(place.pass(byte));
        }
    }

    /// Where the list ends whose last element is broken.
    fn end(&self, ends: impl Fn(usize) -> bool) -> Option<usize> {
        let mut to = self.text.len();
        for _ in 0..MAX_ENDS {
            to = self.at.saturating_add(memrchr(b']', self.text.as_bytes().get(self.at..to)?)?);
            if ends(to.saturating_add(1)) {
                return Some(to);
            }
        }
        None
    }

    /// Takes what lasts up to here.
    fn push(&mut self, end: usize, is_whole: bool) {
        let piece = self.text.get(self.at..end).unwrap_or_default();
        self.pieces.push(piece.trim_end_matches([',', ' ', '\n', '\r', '\t']));
        self.good = self.good.saturating_add(usize::from(is_whole));
        self.ends_broken = !is_whole;
        self.at = end;
    }
}

/// A place within a broken element, as far as its quotes and brackets tell.
#[derive(Default)]
struct Place {
    depth: u32,
    in_text: bool,
}

impl Place {
    /// Goes on by a byte; gives how many it takes along.
    fn pass(&mut self, byte: u8) -> usize {
        match byte {
            b'\\' if self.in_text => return 2,
            b'"' => self.in_text = !self.in_text,
            b'{' | b'[' if !self.in_text => self.depth = self.depth.saturating_add(1),
            b'}' | b']' if !self.in_text => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        1
    }

    /// Whether what begins here can be an element behind the broken one. Within its brackets, where they fit, it is a part of
    /// it, and so is the value of a member and the first of a member's list. In a text it can be one only if a quote is
    /// missing before it: it follows the end of an element, or a text that was cut; behind a quote it is what a text quotes.
    /// In a row of objects an element begins a line.
    fn may_begin_an_element(&self, text: &str, at: usize, outline: Option<usize>, is_row: bool) -> bool {
        let before = text.get(..at).unwrap_or_default();
        let bare = before.trim_end();
        if is_row && (bare.is_empty() || before.ends_with(['\n', '\u{1e}'])) {
            return true;
        }
        if self.in_text {
            let without_comma = bare.strip_suffix(',').map(str::trim_end);
            return match without_comma {
                Some(cut) => self.depth == 0 || !cut.ends_with('"'),
                None => bare.ends_with(['}', ']']),
            };
        }
        self.depth == 0 || (outline.is_none() && !bare.ends_with([':', '[']))
    }
}

/// Whether an object is a record or a STIX object, and not a part of one: it has a type and a value or a pattern, or an id
/// that begins with its type.
pub fn says_what_it_is(object: &str) -> bool {
    let (mut kind, mut id, mut has_value) = ("", "", false);
    let read = Plain::new(object).members(|name, reader| {
        match name {
            "type" => kind = reader.raw()?,
            "id" => id = reader.raw()?,
            "value" | "pattern" => has_value |= reader.raw()?.starts_with('"'),
            _ => _ = reader.raw()?,
        }
        Ok(())
    });
    let kind = kind.trim_matches('"');
    read.is_ok()
        && !kind.is_empty()
        && (has_value || id.trim_matches('"').strip_prefix(kind).is_some_and(|rest| rest.starts_with("--")))
}

#[cfg(test)]
mod tests;
