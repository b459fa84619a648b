//! What is asked.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;

use crate::answer::{Answer, FromAnswer};
use crate::{Kibana, KibanaError};

/// The version of Kibana's public interface. Releases that have no versions yet pass the header over.
const API_VERSION: &str = "2023-10-31";

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes.
    Post,
    /// Sets the whole.
    Put,
    /// Sets a part.
    Patch,
    /// Takes away.
    Delete,
}

impl Method {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// Kibana; the path goes behind [`Kibana::address`].
    Kibana,
    /// The Elasticsearch that Kibana keeps its cases in.
    Elasticsearch,
}

/// What a request is for: the words of its errors, and what its key must be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Which version answers.
    AskVersion,
    /// Saves a Timeline.
    SaveTimeline,
    /// Deletes saved Timelines.
    DeleteTimeline,
    /// Looks for cases.
    FindCases,
    /// Reads a case.
    ReadCase,
    /// Makes a case.
    CreateCase,
    /// Sets a case's tags.
    TagCase,
    /// Reads what is attached to a case.
    ReadHistory,
    /// Makes sure that an indicator is attached to a case.
    ReadAttached,
    /// Attaches an indicator to a case.
    Attach,
    /// Takes an indicator off a case.
    Detach,
    /// Looks for what is attached to any case.
    FindAttached,
    /// Makes the blocklist.
    CreateBlocklist,
    /// Looks into the blocklist.
    FindBlocked,
    /// Puts hashes on the blocklist.
    Block,
    /// Changes an entry of the blocklist.
    ChangeBlocked,
    /// Takes hashes off the blocklist.
    Unblock,
}

impl Act {
    /// Of all that are.
    pub const ALL: [Self; 17] = [
        Self::AskVersion,
        Self::SaveTimeline,
        Self::DeleteTimeline,
        Self::FindCases,
        Self::ReadCase,
        Self::CreateCase,
        Self::TagCase,
        Self::ReadHistory,
        Self::ReadAttached,
        Self::Attach,
        Self::Detach,
        Self::FindAttached,
        Self::CreateBlocklist,
        Self::FindBlocked,
        Self::Block,
        Self::ChangeBlocked,
        Self::Unblock,
    ];

    /// What was tried, behind "could not".
    pub fn tried(self) -> &'static str {
        match self {
            Self::AskVersion => "ask Kibana for its version",
            Self::SaveTimeline => "save the Timeline",
            Self::DeleteTimeline => "delete the Timeline",
            Self::FindCases => "look for cases",
            Self::ReadCase => "read the case",
            Self::CreateCase => "create the case",
            Self::TagCase => "set the case's tags",
            Self::ReadHistory => "read what is attached to the case",
            Self::ReadAttached => "see whether the indicator is attached to the case",
            Self::Attach => "attach the indicator to the case",
            Self::Detach => "take the indicator off the case",
            Self::FindAttached => "look up the cases of the indicator in `.cases-attachments`",
            Self::CreateBlocklist => "create the blocklist of Elastic Defend",
            Self::FindBlocked => "read the blocklist of Elastic Defend",
            Self::Block => "put the hashes on the blocklist of Elastic Defend",
            Self::ChangeBlocked => "change the entry of the blocklist of Elastic Defend",
            Self::Unblock => "take the hashes off the blocklist of Elastic Defend",
        }
    }

    /// What the role of the key needs for it: a feature of Kibana as its form of roles calls it, and where, or an index.
    pub fn privilege(self) -> &'static str {
        match self {
            Self::AskVersion => "any access to Kibana",
            Self::SaveTimeline | Self::DeleteTimeline => "`Timeline: All` under Security, in this space",
            Self::FindCases | Self::ReadCase | Self::ReadHistory | Self::ReadAttached => {
                "`Cases: Read` under Security, in this space"
            }
            Self::CreateCase | Self::TagCase | Self::Attach => "`Cases: All` under Security, in this space",
            Self::Detach => "`Cases: All` under Security with its part `Delete`, in this space",
            Self::FindAttached => "the index privilege `read` on `.cases*`",
            Self::FindBlocked => "`Blocklist: Read` under Security, until 9.0 in all spaces",
            Self::CreateBlocklist | Self::Block | Self::ChangeBlocked | Self::Unblock => {
                "`Blocklist: All` under Security, until 9.0 in all spaces, and from 9.1 on `Global Artifact Management: All` \
                 to block in every policy at once"
            }
        }
    }

    /// What is not there where its answer is 404.
    pub(crate) fn object(self) -> &'static str {
        match self {
            Self::ReadCase | Self::TagCase | Self::ReadHistory | Self::ReadAttached | Self::Attach | Self::Detach => {
                "the case"
            }
            Self::DeleteTimeline => "the Timeline",
            Self::CreateBlocklist | Self::Block => "the blocklist",
            Self::FindBlocked | Self::ChangeBlocked | Self::Unblock => "the entry",
            Self::AskVersion | Self::SaveTimeline | Self::FindCases | Self::CreateCase | Self::FindAttached => {
                "the page"
            }
        }
    }

    pub(crate) fn is_about_the_blocklist(self) -> bool {
        matches!(self, Self::CreateBlocklist | Self::FindBlocked | Self::Block | Self::ChangeBlocked | Self::Unblock)
    }

    /// Whether it may be sent again where nobody knows what became of it. The others make another one each time.
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Self::SaveTimeline | Self::CreateCase | Self::Attach)
    }
}

/// A request as it is sent, but for the credential, which whoever sends it adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who is asked.
    pub server: Server,
    /// How.
    pub method: Method,
    /// The path with its parameters; it begins with a slash and goes behind the server's address.
    pub path: String,
    /// JSON, or nothing.
    pub body: Option<String>,
}

impl Request {
    /// What goes with it beside the credential.
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        let mut headers = vec![("accept", "application/json")];
        if self.body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        if self.server == Server::Kibana {
            headers.push(("elastic-api-version", API_VERSION));
            // Kibana refuses what writes without it, whatever its value; the published interface asks for `true`.
            if self.method != Method::Get {
                headers.push(("kbn-xsrf", "true"));
            }
        }
        headers
    }
}

/// A request, and how its answer is read.
pub struct Call<T> {
    /// What is sent.
    pub request: Request,
    /// What it is for.
    pub act: Act,
    answer: PhantomData<fn() -> T>,
}

impl<T: FromAnswer> Call<T> {
    /// Without a body. The path is the one in the space.
    pub(crate) fn new(kibana: &Kibana, act: Act, method: Method, path: &str) -> Self {
        let request = Request { server: Server::Kibana, method, path: kibana.path(path), body: None };
        Self { request, act, answer: PhantomData }
    }

    pub(crate) fn to_elasticsearch(act: Act, path: String, body: &impl Serialize) -> Result<Self, KibanaError> {
        let request = Request { server: Server::Elasticsearch, method: Method::Post, path, body: None };
        Self { request, act, answer: PhantomData }.with(body)
    }

    pub(crate) fn with(mut self, body: &impl Serialize) -> Result<Self, KibanaError> {
        let unwritable =
            |error: serde_json::Error| KibanaError::Unwritable { act: self.act, reason: error.to_string() };
        self.request.body = Some(serde_json::to_string(body).map_err(unwritable)?);
        Ok(self)
    }

    /// What the answer says.
    ///
    /// # Errors
    /// [`KibanaError`] where it is a refusal, or is no such answer.
    pub fn read(&self, answer: &Answer<'_>) -> Result<T, KibanaError> {
        T::from_answer(self.act, answer)
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("act", &self.act).field("request", &self.request).finish_non_exhaustive()
    }
}
