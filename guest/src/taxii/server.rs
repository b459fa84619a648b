//! What a server is and has: discovery, API roots, collections.
//!
//! `url` is asked what it is. What it answers need not say: an API root may answer with nothing of use, so whatever
//! names no roots is taken for a root, and its collections decide. A root on another origin is a failure that names it,
//! as the credential goes to the configured origin alone. A collection is found by its id, else alias, else title; for
//! the vendor, whose pages spell the ids in three ways, the words of its instructions find each of them. A name that
//! finds nothing is a failure that lists what there is.

use serde_json::Value;
use url::Url;

use super::Poll;
use super::refused::said;
use super::request::{escape, path};
use super::state::{Place, Survey, Turn};
use crate::config::{MAX_COLLECTIONS, is_vendor};
use crate::contract::{Failure, Note, Response, Step};
use crate::members;
use crate::page::text;
use crate::refusal::{ServerError, clean, is_login, is_markup, page_for_people, quote};
use crate::seen::print;

/// API roots that one discovery may name. Each costs a request a poll.
const MAX_ROOTS: usize = 16;

/// The longest path of a collection, in bytes: with as many collections as there may be, the state stays in its bounds.
pub(super) const LONGEST_PATH: usize = 256;

/// Collections that people are told of.
const MAX_TOLD: usize = 40;

/// The longest line about one of them, in bytes.
const LONGEST_LINE: usize = 120;

/// The name for all collections.
const ALL: &str = "*";

/// The vendor's words for its collections, each with the ids its pages give them.
const VENDORS: [(&str, &[&str]); 4] = [
    ("all", &["all", "all-iocs", "soc-defenders-all"]),
    ("ips", &["ips", "ip-addresses", "soc-defenders-network"]),
    ("hashes", &["hashes", "file-hashes", "soc-defenders-hashes"]),
    ("cves", &["cves"]),
];

/// A collection as the server describes it.
struct Offer<'v> {
    id: &'v str,
    alias: &'v str,
    title: &'v str,
    readable: bool,
}

impl Poll<'_> {
    /// Folds an answer about the server itself.
    pub(super) fn surveyed(mut self, response: &Response) -> Result<Step, Failure> {
        self.freeze(response);
        let whole = response.text();
        let body = whole.trim_start_matches('\u{feff}').trim();
        let is_good = response.status < 300;
        let value = members::parse(body).ok().filter(|value| is_good && value.is_object());
        if value.is_none() && is_good && !self.run.retry.damaged() {
            let what = if is_markup(body) {
                page_for_people(response.status, body, "a JSON object").to_string()
            } else {
                format!("no JSON object came, but {}", quote(body))
            };
            self.wait(
                self.run.retry.pause(self.config),
                format!("asking again, as it may be for a moment only: {what}"),
            );
            return self.go_on(None);
        }
        if is_good {
            self.run.retry.went_well();
        } else {
            // After as many failures as there may be, one more ends the poll.
            self.run.retry.attempts = self.run.retry.attempts.min(self.config.max_retries);
            self.run.retry.garbled = 0;
        }
        let mut survey = self.run.survey.take().unwrap_or_default();
        let value = value.filter(|value| value.get("error").is_none());
        if !survey.asked {
            survey.asked = true;
            if value.is_none() {
                // A login page says what 401 says.
                let is_login = is_markup(body) && is_login(body);
                self.run.silent = if is_good && is_login { 401 } else { response.status.into() };
                // What earlier polls read is better known than what may be at `url`.
                if matches!(response.status, 500..=599) && self.knows() {
                    return self.read_known(response.status);
                }
            }
            let value = value.unwrap_or_default();
            survey.title = value.get("title").and_then(text).map(|title| quote(&title)).unwrap_or_default();
            survey.roots = self.roots(&value)?;
            self.run.survey = Some(survey);
            return self.go_on(None);
        }
        let list = value.as_ref().and_then(offers);
        let Some(list) = list else { return self.unlisted(survey, response, body) };
        let root = survey.roots.pop().unwrap_or_default();
        self.match_offers(&mut survey, &root, &list)?;
        self.surveyed_root(survey)
    }

    /// A root is done with.
    fn surveyed_root(mut self, survey: Survey) -> Result<Step, Failure> {
        if survey.roots.is_empty() {
            return self.settle(&survey);
        }
        self.run.survey = Some(survey);
        self.go_on(None)
    }

    /// A list of collections that cannot be read: other roots may have what is wanted, and a collection that is named can be
    /// asked for by its id.
    fn unlisted(mut self, mut survey: Survey, response: &Response, body: &str) -> Result<Step, Failure> {
        let status = response.status;
        let failure = self.no_list(&survey, response, body);
        // Who is denied twice, or sees a login page, is not let in by asking on.
        let is_denied = matches!(failure, Failure::Credential(_)) && (status != 401 || self.run.silent == 401);
        let has_others = survey.roots.len() > 1 || !survey.met.is_empty();
        if is_denied || has_others && status == 401 {
            return Err(failure);
        }
        let root = survey.roots.pop().unwrap_or_default();
        let what = said(status.into());
        if has_others {
            // A root that is not for this account: servers name those too.
            survey.offered.push(format!("nothing below {} ({what})", clean(&root)));
            return self.surveyed_root(survey);
        }
        if self.knows() {
            return self.read_known(status);
        }
        let names = self.config.collections.clone();
        if names.is_empty() || names.iter().any(|name| name == ALL) {
            return Err(failure);
        }
        self.run.unlisted = status.into();
        survey.offered.push(format!("a list of collections that cannot be read ({what})"));
        for (number, name) in (0_u64..).zip(&names) {
            survey.met.push(number);
            self.want(&root, &Offer { id: name, alias: "", title: "", readable: true }, false)?;
        }
        self.settle(&survey)
    }

    /// Whether an earlier poll has read collections.
    fn knows(&self) -> bool {
        self.state.places.iter().any(|place| place.there)
    }

    /// Reads what earlier polls have read, as the server does not say what it has.
    fn read_known(mut self, status: u16) -> Result<Step, Failure> {
        self.run.unlisted = status.into();
        let line = format!("no list of its collections now ({}); those known are read", said(status.into()));
        self.tell(&Survey { offered: vec![line], ..Survey::default() });
        for place in &mut self.state.places {
            if place.there && place.turn == Turn::None {
                place.turn = Turn::Due;
            }
        }
        self.keep_chain();
        self.go_on(None)
    }

    /// The collection that was being read is read on, if it is still wanted.
    fn keep_chain(&mut self) {
        let places = &self.state.places;
        let is_due = |path: &str| places.iter().any(|place| place.turn == Turn::Due && place.path == path);
        self.run.chain = self.run.chain.take().filter(|chain| is_due(&chain.path));
    }

    /// Why there is no list of collections.
    fn no_list(&self, survey: &Survey, response: &Response, body: &str) -> Failure {
        let root = survey.roots.last().map_or("", String::as_str);
        let target = format!("{root}collections/");
        if matches!(response.status, 500..=599) {
            return Failure::Protocol(format!(
                "The server answered {} for {target} {}, and {} times before. Look at the server.",
                response.status,
                ServerError::read(body),
                self.config.max_retries
            ));
        }
        if response.status >= 300 {
            return self.refusal_of(response, &target, false);
        }
        let said = ServerError::read(body);
        if is_markup(body) {
            return page_for_people(response.status, body, "a list of collections");
        }
        let is_error = members::parse(body).is_ok_and(|value| value.get("error").is_some());
        if is_error && said.is_about_login() {
            return Failure::Credential(format!(
                "The server does not accept the credential: check {}. It answered with an error under status {}: {said}.",
                super::ADVICE.credential,
                response.status
            ));
        }
        if is_error {
            let status = response.status;
            return Failure::Protocol(format!("The server answered with an error under status {status}: {said}."));
        }
        Failure::Protocol(format!(
            "The server answered {} for {target} with {}, where a list of collections was expected. {}",
            response.status,
            quote(body),
            self.missing()
        ))
    }

    /// The paths of the API roots, the first one last.
    fn roots(&self, value: &Value) -> Result<Vec<String>, Failure> {
        let named = value.get("api_roots").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<&str> = value.get("default").into_iter().chain(named).filter_map(Value::as_str).collect();
        if texts.is_empty() {
            return Ok(vec![path(&self.base)]);
        }
        let mut roots: Vec<String> = Vec::new();
        for text in texts {
            let mut base = self.base.clone();
            base.set_path(&path(&self.base));
            let root = base.join(text).ok();
            let is_here = |root: &Url| {
                root.scheme() == self.base.scheme()
                    && root.host_str() == self.base.host_str()
                    && root.port_or_known_default() == self.base.port_or_known_default()
            };
            let Some(root) = root.filter(is_here) else {
                return Err(Failure::Protocol(format!(
                    "The server's discovery names the API root {}, which has another origin than `url`, {}. Nothing was \
                     sent there. If it is the one you want, set `url` to it.",
                    clean(text),
                    clean(self.base.as_str())
                )));
            };
            let root = path(&root);
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        if roots.len() > MAX_ROOTS || roots.iter().any(|root| root.len() > LONGEST_PATH) {
            return Err(Failure::Protocol(format!(
                "The server's discovery names {} API roots, more than {MAX_ROOTS}, or one of more than {LONGEST_PATH} bytes. \
                 Set `url` to the one you want.",
                roots.len()
            )));
        }
        roots.reverse();
        Ok(roots)
    }

    /// Finds what is wanted among what a root offers.
    fn match_offers(&mut self, survey: &mut Survey, root: &str, offers: &[Offer<'_>]) -> Result<(), Failure> {
        let usual = ["all".to_owned()];
        let vendor = is_vendor(&self.base);
        let wanted = match self.config.collections.as_slice() {
            [] if vendor => usual.as_slice(),
            names => names,
        };
        for (number, name) in (0_u64..).zip(wanted) {
            if name == ALL {
                survey.met.push(number);
                for offer in offers.iter().filter(|offer| offer.readable) {
                    self.want(root, offer, true)?;
                }
            } else if !survey.met.contains(&number)
                && let Some(offer) = find(name, offers, vendor)
            {
                survey.met.push(number);
                if !offer.readable {
                    return Err(Failure::Forbidden(format!(
                        "The collection {} is there, but the server says that this account may not read it. {}",
                        quote(name),
                        super::ADVICE.forbidden
                    )));
                }
                self.want(root, offer, true)?;
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

    /// A collection is to be read in this run; the server lists it, or is only said to have it.
    fn want(&mut self, root: &str, offer: &Offer<'_>, is_listed: bool) -> Result<(), Failure> {
        // One too many is enough for `settle` to refuse them all.
        if self.state.places.iter().filter(|place| place.turn != Turn::None).count() > MAX_COLLECTIONS {
            return Ok(());
        }
        let mut path = format!("{root}collections/");
        escape(offer.id, &mut path);
        path.push('/');
        if path.len() > LONGEST_PATH || matches!(offer.id, "." | "..") {
            return Err(Failure::Protocol(format!(
                "The collection {} cannot be asked for: its address has {} bytes, more than {LONGEST_PATH}, or means \
                 another place. Leave it out of `collection`.",
                quote(offer.id),
                path.len()
            )));
        }
        if self.state.place(&path).is_none() {
            self.state.places.push(Place::new(path.clone(), self.config, self.now));
        }
        if let Some(place) = self.state.place(&path) {
            place.there |= is_listed;
            if place.turn == Turn::None {
                place.turn = Turn::Due;
            }
        }
        Ok(())
    }

    /// All roots are known: tells of what is new and begins to read.
    fn settle(mut self, survey: &Survey) -> Result<Step, Failure> {
        let names = self.config.collections.iter();
        let unmet: Vec<String> = (0_u64..)
            .zip(names)
            .filter(|(number, _)| !survey.met.contains(number))
            .map(|(_, name)| quote(name))
            .collect();
        let mut offered = if survey.offered.is_empty() { "none".to_owned() } else { survey.offered.join(", ") };
        if survey.untold > 0 {
            offered.push_str(&format!(" and {} more", survey.untold));
        }
        let asked = |place: &Place| place.turn != Turn::None;
        if !unmet.is_empty() || survey.met.is_empty() {
            let what = if unmet.is_empty() {
                "`collection` is missing".to_owned()
            } else {
                format!("`collection` names {}, which this server does not offer", unmet.join(", "))
            };
            let text = format!("{what}. Set it to one or more of those it offers: {offered}.");
            // Without any, the fault need not be in the settings.
            return Err(if survey.offered.is_empty() { Failure::Protocol(text) } else { Failure::Config(text) });
        }
        let count = self.state.places.iter().filter(|place| asked(place)).count();
        if count == 0 {
            return Err(Failure::Forbidden(format!(
                "The server offers no collection that can be read, but {offered}. {}",
                super::ADVICE.forbidden
            )));
        }
        if count > MAX_COLLECTIONS {
            return Err(Failure::Config(format!(
                "`collection` stands for {count} or more collections, at most {MAX_COLLECTIONS} can be one input's. Name those you \
                 want: {offered}."
            )));
        }
        // Places of collections that are gone are kept while there is room: they may come back.
        while self.state.places.len() > MAX_COLLECTIONS
            && let Some(gone) = self.state.places.iter().position(|place| !asked(place))
        {
            self.state.places.remove(gone);
        }
        self.keep_chain();
        self.tell(survey);
        self.go_on(None)
    }

    /// Title and collections as notes, once and whenever they change.
    fn tell(&mut self, survey: &Survey) {
        let title = if survey.title.is_empty() {
            "The server gives no title".to_owned()
        } else {
            format!("The server is {}", survey.title)
        };
        let mut said = vec![Note { code: "server".to_owned(), text: format!("{title}.") }];
        let collection = |text: String| Note { code: "collection".to_owned(), text };
        said.extend(survey.offered.iter().map(|line| collection(format!("It offers {line}."))));
        if survey.untold > 0 {
            said.push(collection(format!("It offers {} more.", survey.untold)));
        }
        let told = print(&mut said.iter().map(|note| note.text.as_str()));
        if self.state.told.replace(told) != Some(told) {
            self.notes.extend(said);
        }
    }
}

/// The collections in an answer; one without an id is none. No answer where it has something else in their place.
fn offers(value: &Value) -> Option<Vec<Offer<'_>>> {
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

/// The collection of this name: by id, by the vendor's words, by alias, by title.
fn find<'o, 'v>(name: &str, offers: &'o [Offer<'v>], vendor: bool) -> Option<&'o Offer<'v>> {
    let words = VENDORS.iter().find(|(word, _)| vendor && word.eq_ignore_ascii_case(name)).map(|(_, ids)| *ids);
    let fits = |offer: &Offer<'_>, way: u32| match way {
        0 => offer.id == name,
        1 => words.is_some_and(|ids| ids.contains(&offer.id)),
        2 => offer.alias.eq_ignore_ascii_case(name),
        _ => offer.title.eq_ignore_ascii_case(name),
    };
    (0..4).find_map(|way| offers.iter().find(|offer| fits(offer, way)))
}
