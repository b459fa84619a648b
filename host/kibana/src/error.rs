//! Why there is no answer.

use std::fmt;

use thiserror::Error;

use crate::{Act, Version};

/// The most characters of a server's words that a message repeats.
const SHOWN_CHARS: usize = 300;

/// What was tried, what came back, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KibanaError {
    /// What is no address of a Kibana.
    #[error(
        "{} is no address of a Kibana. Give the one it is opened at, with its base path and without a login, such as \
         https://kibana.example.", Shown(.address)
    )]
    Address {
        /// What was given.
        address: String,
    },
    /// What is no name of a space.
    #[error(
        "{} is no name of a space. Give the one that stands behind `/s/` in Kibana's address: small letters, digits, `_` and \
         `-`.", Shown(.space)
    )]
    Space {
        /// What was given.
        space: String,
    },
    /// A document that lacks what the action goes by.
    #[error(
        "The document has no {missing}, so {consequence}. Look at its JSON, and report it if the feed does state it."
    )]
    Document {
        /// What it lacks.
        missing: &'static str,
        /// What can't be done.
        consequence: &'static str,
    },
    /// Something that a person has left out.
    #[error("{sentence}")]
    Incomplete {
        /// What is missing, and what to do.
        sentence: &'static str,
    },
    /// A hash that can't be blocked.
    #[error(
        "The blocklist of Elastic Defend takes MD5, SHA-1 and SHA-256, and {} is none of these. Block the file by another \
         of its hashes.", Shown(.value)
    )]
    NoHash {
        /// What was given.
        value: String,
    },
    /// More than Kibana takes, known before it is asked.
    #[error("{what} has {given} {unit}, and Kibana takes {most}. Make it shorter, or do it in parts.")]
    TooMuch {
        /// What is too long.
        what: &'static str,
        /// What is counted.
        unit: &'static str,
        /// How many there are.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// A body that can't be written as JSON.
    #[error("Tipline could not {}: the request cannot be written ({reason}). Please report this.", .act.tried())]
    Unwritable {
        /// What was tried.
        act: Act,
        /// The reason.
        reason: String,
    },
    /// The credential is unknown.
    #[error(
        "Tipline could not {}: Kibana does not know the key (401){}. Make a new API key in Kibana under Stack Management, and \
         set it.", .act.tried(), Said(.message)
    )]
    Unauthorized {
        /// What was tried.
        act: Act,
        /// The server's words.
        message: String,
    },
    /// The credential may not do this.
    #[error(
        "Tipline could not {}: the key may not do this (403){}. Its role needs {}.{}",
        .act.tried(), Said(.message), .act.privilege(), Defend(*.act)
    )]
    Forbidden {
        /// What was tried.
        act: Act,
        /// The server's words.
        message: String,
    },
    /// The licence doesn't have it.
    #[error(
        "Tipline could not {}: Kibana's licence does not include it (403){}. Ask whoever runs the cluster for a higher \
         subscription, or leave this action out.", .act.tried(), Said(.message)
    )]
    Unlicensed {
        /// What was tried.
        act: Act,
        /// The server's words.
        message: String,
    },
    /// What it is about is gone.
    #[error(
        "Tipline could not {}: {} is not there (404){}. It may have been deleted, or lie in another space: look in Kibana, \
         and choose another.{}", .act.tried(), .act.object(), Said(.message), Defend(*.act)
    )]
    Missing {
        /// What was tried.
        act: Act,
        /// The server's words.
        message: String,
    },
    /// There is no such route.
    #[error(
        "Tipline could not {}: there is no such page ({status}). The address may not be Kibana's, may lack its base path, or \
         name a space that is not there; or this Kibana has no Security solution, or is older than {}.",
        .act.tried(), Version::OLDEST
    )]
    Elsewhere {
        /// What was tried.
        act: Act,
        /// The status.
        status: u16,
    },
    /// Somebody else was first.
    #[error(
        "Tipline could not {}: it was changed by somebody else meanwhile (409){}. Do it again; what is done already is not \
         done twice.", .act.tried(), Said(.message)
    )]
    Conflict {
        /// What was tried.
        act: Act,
        /// The server's words.
        message: String,
    },
    /// The body is too large.
    #[error(
        "Tipline could not {}: the request is too large for Kibana, or for a proxy before it (413). Choose fewer indicators or \
         a shorter text, or raise `server.maxPayload` in Kibana.", .act.tried()
    )]
    TooLarge {
        /// What was tried.
        act: Act,
    },
    /// Too many requests.
    #[error("Tipline could not {}: Kibana has too many requests (429). Try again {}.", .act.tried(), Later(*.seconds))]
    Busy {
        /// What was tried.
        act: Act,
        /// How long to wait, where it said so.
        seconds: Option<u64>,
    },
    /// A fault of the server.
    #[error(
        "Tipline could not {}: Kibana failed ({status}){}. Try again, which does nothing twice; if it stays so, Kibana's log \
         has the reason.", .act.tried(), Said(.message)
    )]
    Broken {
        /// What was tried.
        act: Act,
        /// The status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// No answer came.
    #[error(
        "Tipline could not {}: no answer came ({}). Whether it was done is not known: try again, which does nothing twice.",
        .act.tried(), Shown(.reason)
    )]
    NoAnswer {
        /// What was tried.
        act: Act,
        /// Why not: it took too long, the connection broke.
        reason: String,
    },
    /// The interface's version is not there.
    #[error(
        "Tipline could not {}: this Kibana does not speak the interface of 2023-10-31{}. Tipline is made for {} to 9.x: update \
         whichever is older.", .act.tried(), Said(.message), Version::OLDEST
    )]
    WrongVersion {
        /// What was tried.
        act: Act,
        /// The server's words.
        message: String,
    },
    /// A release that lacks it.
    #[error("This Kibana is {found}, and it takes {needed} to {}. Update Kibana, or leave this action out.", .act.tried())]
    TooOld {
        /// What was to be done.
        act: Act,
        /// Which release it is.
        found: Version,
        /// Which it takes.
        needed: Version,
    },
    /// Another address is named.
    #[error(
        "Tipline could not {}: it was sent elsewhere ({status}). Give the address at which Kibana itself answers, with its \
         base path, and not that of a login page.", .act.tried()
    )]
    Redirected {
        /// What was tried.
        act: Act,
        /// The status.
        status: u16,
    },
    /// The request is not accepted.
    #[error(
        "Tipline could not {}: Kibana refused it ({status}){}. If the words do not say what to change, please report them with \
         Kibana's version.", .act.tried(), Said(.message)
    )]
    Refused {
        /// What was tried.
        act: Act,
        /// The status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The answer is no such answer.
    #[error(
        "Tipline could not {}: the answer cannot be read ({}). A login page or a proxy may stand before Kibana: give the \
         address at which Kibana itself answers.", .act.tried(), Shown(.reason)
    )]
    Unreadable {
        /// What was tried.
        act: Act,
        /// What is wrong with it.
        reason: String,
    },
    /// A record of a batch that says what can't be.
    #[error(
        "The record of this action cannot be continued: {reason}. Begin the action again; what is done is not done twice."
    )]
    Record {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl KibanaError {
    /// Whether the same may be tried again later, without a change by anybody.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Broken { .. } | Self::NoAnswer { .. } | Self::Conflict { .. })
    }

    /// The route is not there, so what it was asked for is not known to be gone.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Elsewhere { .. })
    }
}

/// Words of others in one line, not all of them, and with nothing that turns or hides text.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, c) in self.0.trim().chars().enumerate() {
            if index == SHOWN_CHARS {
                return f.write_str("…");
            }
            if is_hidden(c) { write!(f, "\\u{{{:x}}}", u32::from(c))? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

/// Controls, and what turns, joins or hides the text around it.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What the server said, where it said anything.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.trim().is_empty() { Ok(()) } else { write!(f, ", saying “{}”", Shown(self.0)) }
    }
}

/// What the blocklist needs beside a privilege.
struct Defend(Act);

impl fmt::Display for Defend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_about_the_blocklist() {
            return Ok(());
        }
        f.write_str(
            " Where Elastic Defend is not installed, there is nothing that could block: export the hashes instead.",
        )
    }
}

struct Later(Option<u64>);

impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(1) => f.write_str("in a second"),
            Some(seconds) => write!(f, "in {seconds} seconds"),
            None => f.write_str("in a minute"),
        }
    }
}
