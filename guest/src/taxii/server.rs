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
use super::offers::{ALL, ID, Offer, UNFIT, offers};
use super::refused::said;
use super::request::{LONGEST_PATH, escape, path};
use super::state::{Met, Place, Survey, Turn};
use crate::config::MAX_COLLECTIONS;
use crate::contract::{Failure, Note, Response, Step};
use crate::members;
use crate::page::text;
use crate::refusal::{ServerError, error_under, is_error_with_status, is_login, is_markup, page_for_people};
use crate::seen::print;
use crate::words::{clean, quote};

/// API roots that one discovery may name. Each costs a request a poll.
const MAX_ROOTS: usize = 16;

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
        let value = value.filter(|value| !is_error_with_status(value));
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
            survey.at_default = value.get("default").is_some_and(Value::is_string);
            self.run.survey = Some(survey);
            return self.go_on(None);
        }
        let list = value.as_ref().and_then(offers);
        let Some(list) = list else { return self.unlisted(survey, response, body) };
        let root = survey.roots.pop().unwrap_or_default();
        self.match_offers(&mut survey, &root, &list)?;
        survey.at_default = false;
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
            survey.at_default = false;
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
            let place = self.want(&root, &Offer { id: name, alias: "", title: "", readable: true }, false)?;
            survey.met.push(Met { name: number, way: ID, place, is_default: false });
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
        if is_markup(body) {
            return page_for_people(response.status, body, "a list of collections");
        }
        if let Some(failure) = error_under(response.status, body) {
            return failure;
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

    /// All roots are known: tells of what is new and begins to read.
    fn settle(mut self, survey: &Survey) -> Result<Step, Failure> {
        let unmet: Vec<(u64, String)> = self
            .names()
            .into_iter()
            .filter(|(number, _)| !survey.met.iter().any(|met| met.name == *number))
            .map(|(number, name)| (number, quote(name)))
            .collect();
        if let Some((_, name)) = unmet.iter().find(|(number, _)| survey.barred.contains(number)) {
            return Err(Failure::Forbidden(format!(
                "The collection {name} is there, but the server says that this account may not read it. {}",
                super::ADVICE.forbidden
            )));
        }
        let unmet: Vec<String> = unmet.into_iter().map(|(_, name)| name).collect();
        let mut offered = if survey.offered.is_empty() { "none".to_owned() } else { survey.offered.join(", ") };
        if survey.untold > 0 {
            offered.push_str(&format!(" and {} more", survey.untold));
        }
        self.agrees_with_url(&offered)?;
        let asked = |place: &Place| place.turn != Turn::None;
        if !unmet.is_empty() || survey.met.is_empty() {
            let what = if unmet.is_empty() {
                "`collection` is missing".to_owned()
            } else if self.config.collections.is_empty() {
                // Nobody has named it.
                format!("`collection` is left out, and the vendor's {} is not offered by this server", unmet.join(", "))
            } else {
                format!("`collection` names {}, which this server does not offer", unmet.join(", "))
            };
            let text = format!("{what}. Set it to one or more of those it offers: {offered}.");
            // Without any, the fault need not be in the settings.
            return Err(if survey.offered.is_empty() { Failure::Protocol(text) } else { Failure::Config(text) });
        }
        let count = self.state.places.iter().filter(|place| asked(place)).count();
        if count == 0 && survey.met.iter().any(|met| met.place == UNFIT) {
            let why = self.notes.iter().find(|note| note.code == "collection-failed").map(|note| note.text.as_str());
            let why = why.unwrap_or("Each collection that is wanted has an address that may be read as another place.");
            return Err(Failure::Config(format!("{why} The server offers: {offered}.")));
        }
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

    /// What `url` leads to is among what is to be read, under whichever name.
    fn agrees_with_url(&self, offered: &str) -> Result<(), Failure> {
        let Some(id) = &self.config.url_collection else { return Ok(()) };
        let mut end = "/collections/".to_owned();
        escape(id, &mut end);
        end.push('/');
        if self.state.places.iter().any(|place| place.turn != Turn::None && place.path.ends_with(&end)) {
            return Ok(());
        }
        let names: Vec<String> = self.config.collections.iter().map(|name| quote(name)).collect();
        Err(Failure::Config(format!(
            "`url` leads to the collection {}, but `collection` names {}. Leave `collection` out, or set `url` to the API root {} and \
             `collection` to what you want. The server offers: {offered}.",
            quote(id),
            names.join(", "),
            clean(self.base.as_str())
        )))
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
