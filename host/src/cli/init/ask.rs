//! The questions of `tipline init`.

use std::io::{self, Write};

use anyhow::{Result, bail};
use url::Url;

use super::answers::{Answers, ES_KEY_VARIABLE, Key, Output, Transport};
use super::write::Guarded;
use crate::config::API_KEY_VARIABLE;

/// So often a question is put before it is given up: whoever types meets the end, a program that types may not.
pub(super) const MAX_TRIES: usize = 10;

/// Who answers.
pub(super) trait Person {
    fn ask(&mut self, question: &str) -> Result<String>;
    /// The answer is not shown while it is typed.
    fn ask_hidden(&mut self, question: &str) -> Result<String>;
    fn tell(&mut self, text: &str) -> Result<()>;
}

/// Whoever sits at the terminal.
pub(super) struct Terminal<'g> {
    guarded: &'g Guarded,
}

impl<'g> Terminal<'g> {
    pub(super) fn new(guarded: &'g Guarded) -> Self {
        Self { guarded }
    }
}

impl Person for Terminal<'_> {
    fn ask(&mut self, question: &str) -> Result<String> {
        write!(io::stderr(), "{question} ")?;
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            bail!("There was no answer; nothing was written.");
        }
        Ok(line.trim().to_owned())
    }

    fn ask_hidden(&mut self, question: &str) -> Result<String> {
        let hidden = self.guarded.hide()?;
        let answer = self.ask(question);
        drop(hidden);
        writeln!(io::stderr())?;
        answer
    }

    fn tell(&mut self, text: &str) -> Result<()> {
        Ok(writeln!(io::stderr(), "{text}")?)
    }
}

/// Asks for everything that a first configuration says.
pub(super) fn answers(person: &mut dyn Person) -> Result<Answers> {
    person.tell("Which feed?\n  1  SOC Defenders\n  2  SOC Defenders over TAXII\n  3  another TAXII 2.1 server")?;
    let feed = choice(person, 3)?;
    let transport = if feed == 1 { Transport::Rest } else { Transport::Taxii };
    let (mut url, mut feed_name, mut collections, mut username) = (None, None, Vec::new(), None);
    if feed == 3 {
        url = Some(address(person, "Its address, such as https://taxii.example/api/:")?);
        feed_name = Some(needed(person, "Its name, which stands in every document:")?);
        let names = needed(person, "Collections by id, alias or title, apart by commas; * for all:")?;
        collections = names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        username = Some(person.ask("User, if it wants one [none]:")?).filter(|user| !user.is_empty());
    }
    let of_feed = match (feed, username.is_some()) {
        (3, true) => Key::Typed(password(person)?),
        (3, false) => key(person, "Key (not shown; it goes into feed.key) [none]:", None)?,
        _ => {
            let question =
                format!("Key (not shown; it goes into feed.key) [taken from the variable {API_KEY_VARIABLE}]:");
            key(person, &question, Some(API_KEY_VARIABLE))?
        }
    };
    person.tell("Where to?\n  1  SQLite, a file that can be searched here\n  2  Elasticsearch or OpenSearch")?;
    let output = if choice(person, 2)? == 1 {
        Output::Sqlite
    } else {
        let hosts = vec![address(person, "Its address, such as https://es.example:9200:")?];
        let question = format!(
            "API key (not shown; it goes into elasticsearch.key), or none [taken from the variable {ES_KEY_VARIABLE}]:"
        );
        let key = match key(person, &question, Some(ES_KEY_VARIABLE))? {
            // No key is as short.
            Key::Typed(typed) if typed.eq_ignore_ascii_case("none") => Key::None,
            key => key,
        };
        Output::Elasticsearch { hosts, cloud_id: None, key }
    };
    Ok(Answers { transport, url, feed_name, collections, username, key: of_feed, output })
}

/// A number up to `last`; the first where nothing is typed.
fn choice(person: &mut dyn Person, last: usize) -> Result<usize> {
    again(person, &format!("1 to {last} [1]:"), |answer| match answer {
        "" => Ok(1),
        answer => match answer.parse() {
            Ok(number) if (1..=last).contains(&number) => Ok(number),
            _ => Err(format!("Expected a number from 1 to {last}.")),
        },
    })
}

fn address(person: &mut dyn Person, question: &str) -> Result<String> {
    again(person, question, |answer| match is_address(answer) {
        true => Ok(answer.to_owned()),
        false => Err("Expected an address that begins with https:// or http://.".to_owned()),
    })
}

/// Whether a feed or a cluster can be there.
pub(super) fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// A user without a password logs in nowhere.
fn password(person: &mut dyn Person) -> Result<String> {
    for _ in 0..MAX_TRIES {
        let typed = person.ask_hidden("Password (not shown; it goes into feed.key):")?;
        if !typed.is_empty() {
            return Ok(typed);
        }
        person.tell("A user needs a password here.")?;
    }
    bail!("No password was given in {MAX_TRIES} tries; nothing was written.")
}

fn needed(person: &mut dyn Person, question: &str) -> Result<String> {
    again(person, question, |answer| {
        if answer.is_empty() { Err("Something is needed here.".to_owned()) } else { Ok(answer.to_owned()) }
    })
}

fn key(person: &mut dyn Person, question: &str, variable: Option<&str>) -> Result<Key> {
    let typed = person.ask_hidden(question)?;
    Ok(match (typed.as_str(), variable) {
        ("", Some(name)) => Key::Variable(name.to_owned()),
        ("", None) => Key::None,
        _ => Key::Typed(typed),
    })
}

/// Asks until the answer can be meant.
fn again<T>(person: &mut dyn Person, question: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T> {
    for _ in 0..MAX_TRIES {
        match read(&person.ask(question)?) {
            Ok(answer) => return Ok(answer),
            Err(why) => person.tell(&why)?,
        }
    }
    bail!("No answer could be used in {MAX_TRIES} tries; nothing was written.")
}
