//! What comes of a request that is refused: what else can be asked for, or the failure with its cause.

use super::state::{Ask, Chain, Edge, Form, Matching, Turn};
use super::{ADVICE, Poll, request};
use crate::contract::{Failure, Response, Step};
use crate::refusal::{self, ServerError};
use crate::words::clean;

/// How often in a row a server may forget a `next` before that is a failure.
const MAX_LOST: u32 = 3;

/// Collections that may refuse the credential one after the other before the others are not asked: more would look like
/// guessing a password.
const MAX_DENIED: usize = 3;

impl Poll<'_> {
    /// The failure of an answer that is no page.
    pub(super) fn refusal(&self, response: &Response) -> Failure {
        self.refusal_of(response, &self.request().target, self.run.survey.is_none())
    }

    /// The same for what was asked for at a target, which is of objects or of the server itself.
    pub(super) fn refusal_of(&self, response: &Response, target: &str, is_of_objects: bool) -> Failure {
        let error = || ServerError::read(&response.text());
        // Where nothing says what there is, what was said at `url` counts.
        let silent = if is_of_objects && self.run.unlisted == 0 { 0 } else { self.run.silent };
        match response.status {
            406 | 415 => Failure::Protocol(format!(
                "The server answered {} for {target} {}: it gives neither `{}` nor `{}`. It may speak an older TAXII; set \
                 `url` to its TAXII 2.1 address.",
                response.status,
                error(),
                request::WITH_VERSION,
                request::WITHOUT_VERSION
            )),
            400 | 413 | 414 | 416 | 422 | 501 if is_of_objects => Failure::Protocol(format!(
                "The server refused {target} with {} {}, for one object as for many, and with `match[type]` as without it{}. \
                 Check `url` and `collection`; if they are right, this is no TAXII 2.1 server.",
                response.status,
                error(),
                match response.status {
                    400 | 422 => ", without any `limit`, and with an `added_after`",
                    416 => ", and without any `limit`",
                    _ => "",
                }
            )),
            404 | 410 if silent == 401 => Failure::Credential(format!(
                "The server answered `url` itself with a login page, and nothing was found below it. Check {}; then that `url` \
                 is the address of an API root or a discovery, and not of pages for people.",
                ADVICE.credential
            )),
            404 | 410 if matches!(silent, 402 | 403) => Failure::Forbidden(format!(
                "The server does not allow this: it answered {silent} to `url` itself, and {} for {target} {}. Check {}. {}",
                response.status,
                error(),
                ADVICE.credential,
                ADVICE.forbidden
            )),
            404 | 410 if is_of_objects && self.run.unlisted > 0 => Failure::Protocol(format!(
                "The server answered {} for {target} {}. Its list of collections could not be read ({}), so `collection` was \
                 taken for an id. {} Check `collection`, too.",
                response.status,
                error(),
                said(self.run.unlisted),
                self.missing()
            )),
            404 | 410 if silent > 0 => Failure::Protocol(format!(
                "The server answered {} for {target} {}. {}",
                response.status,
                error(),
                self.missing()
            )),
            _ => refusal::refusal(response, target, &ADVICE),
        }
    }

    /// What to change where nothing was found; what is at `url` may have said nothing for a reason.
    pub(super) fn missing(&self) -> String {
        match self.run.silent {
            0 | 404 | 410 => ADVICE.missing.to_owned(),
            silent @ 500..=599 => format!(
                "`url` itself was asked first and gave {}; once it answers, it may say where to ask. Look at the server.",
                said(silent)
            ),
            silent => format!("`url` itself was asked first and gave {}. {}", said(silent), ADVICE.missing),
        }
    }

    /// Whether `match[type]` may be why a request is refused, or just was.
    pub(super) fn may_be_the_types(&self) -> bool {
        let chain = self.run.chain.as_ref().filter(|_| self.run.survey.is_none());
        self.state.matching == Matching::Unknown
            && chain.is_some_and(|chain| matches!(chain.ask, Ask::Wanted | Ask::Refused | Ask::Failing))
    }

    /// The server refuses to give objects: there are none, or less is to be asked for, or without `match[type]`, or its
    /// `next` is gone. What it was is found by trying one after the other.
    pub(super) fn refused(mut self, response: &Response) -> Result<Step, Failure> {
        let failure = self.refusal(response);
        let Some(mut chain) = self.run.chain.take() else { return Err(failure) };
        let status = response.status;
        // Without `match[type]` it may still be that.
        let may_be_the_types = chain.ask == Ask::Wanted && self.state.matching == Matching::Unknown;
        if chain.form == Form::Since && !may_be_the_types {
            chain.form = Form::SinceInVain;
        }
        // What was there in an earlier poll still is, as long as anything says that the server is.
        let is_known = self.run.unlisted == 0 || self.run.silent == 0;
        let is_there = is_known && self.state.place(&chain.path).is_some_and(|place| place.there);
        match status {
            400 | 403 | 413 | 414 | 416 | 422 if chain.edge == Edge::Wider => {
                if chain.high.is_none() {
                    self.note(
                        "no-dates",
                        format!("The server gives, for {}, no dates and no larger pages.", clean(&chain.path)),
                    );
                    self.leave(&chain, Turn::Read, None);
                    return self.go_on(None);
                }
                self.step_behind(&mut chain);
            }
            404 if ServerError::read(&response.text()).says_nothing_is_there() => return self.nothing(chain, response),
            400 | 404 | 410 if chain.next.is_some() => {
                if chain.lost >= MAX_LOST {
                    self.run.chain = Some(chain);
                    return self.refuse(Failure::Protocol(format!(
                        "The server does not know its own `next` again: it answered {status} {} to it, {MAX_LOST} times after \
                         beginning anew. Look at the server, or at what stands between here and it.",
                        ServerError::read(&response.text())
                    )));
                }
                chain.begin_again(self.config.overlap);
                chain.lost = chain.lost.saturating_add(1);
            }
            404 if is_there => {
                if !chain.any {
                    self.not_found(&chain, response);
                }
                return self.nothing(chain, response);
            }
            400 | 422 if names_added_after(response) && self.may_want_a_date(&chain) => {
                chain.begin_again(self.config.overlap);
                chain.form = Form::Since;
            }
            413 | 416 if self.run.cap > 1 && !self.state.unlimited => self.ask_for_less(&mut chain),
            400 | 413 | 414 | 416 | 422 | 501
                if chain.ask == Ask::Wanted && self.state.matching == Matching::Unknown =>
            {
                chain.begin_again(self.config.overlap);
                chain.ask = Ask::Refused;
            }
            400 | 422 if self.may_want_a_date(&chain) => {
                chain.begin_again(self.config.overlap);
                (chain.ask, chain.form) = (Ask::Refused, Form::Since);
            }
            400 | 414 | 422 if self.run.cap > 1 && !self.state.unlimited => self.ask_for_less(&mut chain),
            400 | 416 | 422 if !self.state.unlimited && !matches!(chain.form, Form::Unlimited | Form::Bare) => {
                self.without_limit(&mut chain, Form::Unlimited);
            }
            400 | 422 if chain.form == Form::Unlimited && chain.after.is_none() && !self.state.since => {
                self.without_limit(&mut chain, Form::Bare);
            }
            _ => {
                self.run.chain = Some(chain);
                return self.refuse(failure);
            }
        }
        self.run.chain = Some(chain);
        self.go_on(None)
    }

    /// A collection that is there, as the server says, has no objects to be found, and that is not because it is empty.
    fn not_found(&mut self, chain: &Chain, response: &Response) {
        let why = match self.run.unlisted {
            0 => "the server lists that collection",
            _ => "an earlier poll has read that collection",
        };
        let text = format!(
            "The server answered {} for {} {}, although {why}. It is taken for empty, and asked for again at the next poll. If it should have objects, check `collection` and what the account may read, or ask the server's operator.",
            response.status,
            self.objects(chain),
            ServerError::read(&response.text())
        );
        self.note("not-found", text);
    }

    /// Whether the server may refuse a request because it says no date.
    fn may_want_a_date(&self, chain: &Chain) -> bool {
        chain.form == Form::Usual && chain.after.is_none() && !self.state.since
    }

    /// No page is small enough: the server may take no `limit`.
    fn without_limit(&mut self, chain: &mut Chain, form: Form) {
        chain.begin_again(self.config.overlap);
        chain.form = form;
        if self.state.matching == Matching::Unknown {
            chain.ask = Ask::Refused;
        }
    }

    /// What was tried brought a page: it is how this server wants to be asked. Whether a request is to be sent again, to see
    /// whether `match[type]` was any of the trouble.
    pub(super) fn learn_form(&mut self, chain: &mut Chain) -> bool {
        let form = chain.form;
        chain.form = if form == Form::SinceInVain { form } else { Form::Usual };
        if matches!(form, Form::Since | Form::Bare) {
            self.wants_a_date();
        }
        if matches!(form, Form::Unlimited | Form::Bare) {
            self.state.unlimited = true;
            self.state.most = 0;
            self.run.cap = self.config.limit.max(1);
            chain.limit = self.run.cap;
            let text = "The server refuses every `limit`; pages are as large as it makes them.";
            self.note("no-limit", text.to_owned());
        }
        let is_tried = form != Form::Usual && form != Form::SinceInVain;
        if is_tried && chain.ask == Ask::Refused {
            chain.ask = Ask::Wanted;
            return true;
        }
        false
    }

    /// The server gives nothing unless it is told from when on.
    pub(super) fn wants_a_date(&mut self) {
        self.state.since = true;
        let text = "The server refuses requests without `added_after`; it is asked for what was added after 1970.";
        self.note("added-after", text.to_owned());
    }

    /// Half as many objects at once, as the server may refuse so many.
    pub(super) fn ask_for_less(&mut self, chain: &mut Chain) {
        self.run.cap = (self.run.cap / 2).max(1);
        (self.state.most, self.state.most_of) = (self.run.cap, self.config.limit);
        chain.begin_again(self.config.overlap);
        chain.limit = self.run.cap;
    }

    /// As many objects at once as the settings and the server allow.
    pub(super) fn full_limit(&self) -> u32 {
        let is_refused = self.state.most > 0 && self.state.most_of == self.config.limit;
        if is_refused { self.config.limit.min(self.state.most) } else { self.config.limit }.max(1)
    }

    /// A collection cannot be read. Alone it fails the poll, else the others go on.
    pub(super) fn refuse(mut self, failure: Failure) -> Result<Step, Failure> {
        let others = self.state.places.iter().filter(|place| matches!(place.turn, Turn::Due | Turn::Read)).count() > 1;
        let has = |turn: Turn| self.state.places.iter().filter(|place| place.turn == turn).count();
        let is_denied = matches!(failure, Failure::Credential(_)) && has(Turn::Read) == 0;
        let goes_on =
            others && self.run.survey.is_none() && !(is_denied && has(Turn::Refused).saturating_add(1) >= MAX_DENIED);
        let (Failure::Forbidden(text) | Failure::Protocol(text) | Failure::Credential(text)) = &failure else {
            return Err(failure);
        };
        let Some(chain) = self.run.chain.take_if(|_| goes_on) else { return Err(failure) };
        self.note("collection-failed", format!("A collection was left out of this poll. {text}"));
        self.leave(&chain, Turn::Refused, None);
        self.go_on(None)
    }
}

/// What a status was, for people; 200 stands for what is not what was asked for.
pub(super) fn said(status: u32) -> String {
    if (200..300).contains(&status) { "nothing that could be read".to_owned() } else { format!("status {status}") }
}

/// Whether a refusal speaks of the parameter.
fn names_added_after(response: &Response) -> bool {
    let text = response.text().to_ascii_lowercase();
    ["added_after", "added-after", "added after", "addedafter"].iter().any(|name| text.contains(name))
}
