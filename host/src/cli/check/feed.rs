//! What one feed says to a poll that stores nothing.
//!
//! The guest is driven from the beginning until a page has records: over REST that is one request, over TAXII a few, and
//! its pages are asked for with a limit of one object. What it notes on the way (a server's title, its collections) is
//! printed. Over TAXII it is then resumed from where the last poll ended, without the overlap, as far as to an indicator:
//! that tells whether anything new waits.

use serde_json::Value;

use super::finding::{Finding, Level};
use crate::clock::{Clock, Millis};
use crate::config::Input;
use crate::connection::explain::web_page;
use crate::http::{Feed, FetchError};
use crate::plan::{Plan, requests_a_day};
use crate::poll::{date, naming_key_file};
use crate::sandbox::{Batch, Event, Failure, Guest, Next, Note, Request, Response, SandboxError, Step, Wait};
use crate::secret::{Credential, is_loopback};
use crate::text;

/// A clock that is further off moves what `since` means; the guest refuses ten minutes.
const SKEW_WARNED: Millis = 2 * 60 * 1_000;

/// The share of a plan's requests from which on a warning is due: restarts and retries need room.
const PLAN_SHARE_PERCENT: u64 = 80;

/// Requests until a page has records: discovery, the root, its collections and the first page over TAXII, each once more
/// with another media type. Fixed: who needs more sees it in a run's log.
const MAX_REQUESTS: usize = 8;

/// Steps for each of these: a guest that asks for rows does so once or twice for an answer.
const STEPS_A_REQUEST: usize = 3;

/// What an input's guest is told of its transport, and by what name it knows the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    transport: String,
    feed: String,
}

impl Way {
    fn of(input: &Input) -> Self {
        let settings: Value = serde_json::from_str(&input.guest_config).unwrap_or_default();
        let feed = settings.get("feed");
        let named = feed.and_then(|feed| feed.as_str().or_else(|| feed.get("name")?.as_str()));
        let transport = settings.get("transport").and_then(Value::as_str).unwrap_or("rest");
        // Only the vendor's own hosts may be without a name.
        Self { transport: transport.to_owned(), feed: named.unwrap_or("SOC Defenders").to_owned() }
    }

    fn is_taxii(&self) -> bool {
        self.transport == "taxii"
    }
}

/// Inputs that read one feed in more than one way: their indicators do not become one document.
pub(super) fn doubles(inputs: &[Input]) -> Vec<Finding> {
    // What a guest of the user's own makes of its settings is not known.
    let built_in = inputs.iter().filter(|input| input.guest_file.is_none());
    let ways: Vec<_> = built_in.map(|input| (input, Way::of(input))).collect();
    let mut findings = Vec::new();
    for (at, (second, way)) in ways.iter().enumerate() {
        let before = ways.iter().take(at);
        let Some((first, other)) =
            before.into_iter().find(|(_, other)| other.feed == way.feed && other.transport != way.transport)
        else {
            continue;
        };
        let text = format!(
            "`{}` reads {} by `{}` and this input by `{}`, both into one output. The two name providers differently, so an \
             indicator becomes two documents. Keep one of the inputs.",
            first.id, way.feed, other.transport, way.transport
        );
        findings.push(Finding::new(Level::Warn, &second.id, "transport", text));
    }
    findings
}

/// Inputs whose feeds have one name and are not one server: what one says of a value takes the place of what the other says.
pub(super) fn namesakes(inputs: &[Input]) -> Vec<Finding> {
    let ways: Vec<_> = inputs.iter().map(|input| (input, Way::of(input).feed)).collect();
    let mut findings = Vec::new();
    for (at, (second, name)) in ways.iter().enumerate() {
        let is_other = |first: &Input| {
            let are_tried_here = is_loopback(&first.url) && is_loopback(&second.url);
            first.url.origin() != second.url.origin() && !are_tried_here
        };
        let Some((first, _)) = ways.iter().take(at).find(|(first, other)| other == name && is_other(first)) else {
            continue;
        };
        let text = format!(
            "`{}` reads {name} from {} and this input from {}. A document is known by its feed's name, so each of the two writes \
             over, and retires, what the other has stored. Give them different names (`feed: {{name: …}}`), unless both \
             are the same feed.",
            first.id,
            first.url.origin().ascii_serialization(),
            second.url.origin().ascii_serialization()
        );
        findings.push(Finding::new(Level::Warn, &second.id, "feed", text));
    }
    findings
}

/// Whether a guest of the user's own takes its settings for what it maps outside of polls, too: `map`, `eval` and
/// `rejects retry` call it alone.
fn refusal_to_map(input: &Input, guest: &Guest, now: Millis) -> Option<Finding> {
    input.guest_file.as_ref()?;
    match guest.map_records(&input.guest_config, now, b"[]") {
        Err(error) => Some(Finding::new(Level::Fail, &input.id, "guest", error.to_string())),
        Ok(Err(Failure::Config(text))) => Some(Finding::new(Level::Fail, &input.id, "settings", text)),
        // That there are no records is for it to refuse.
        Ok(_) => None,
    }
}

/// The note of a guest whose feed says that what was asked for is not there, and that read it as empty.
const NOT_FOUND: &str = "not-found";

/// What came of driving the guest.
struct Asked {
    first: Option<Response>,
    /// Notes, and whether they came without records.
    notes: Vec<(Note, bool)>,
    end: End,
}

enum End {
    /// A page, and whether there are more.
    Page(Batch, bool),
    Done,
    Wait(Wait),
    /// The guest would wait after a web page in the place of data, whose title this is.
    Web(u16, String),
    Refused(Failure),
    Unanswered(FetchError),
    Broken(SandboxError),
    /// No page after [`MAX_REQUESTS`].
    Long,
}

/// Drives a guest from a state to its first page that is `enough`.
async fn ask(
    state: &str,
    enough: impl Fn(&Batch) -> bool,
    advance: impl Fn(&str, &Event) -> Result<Result<Step, Failure>, SandboxError>,
    fetch: impl AsyncFn(&Request) -> Result<Response, FetchError>,
) -> Asked {
    let mut asked = Asked { first: None, notes: Vec::new(), end: End::Long };
    let (mut state, mut event) = (state.to_owned(), Event::Start);
    let mut requests = 0;
    let mut web = None;
    for _ in 0..=MAX_REQUESTS * STEPS_A_REQUEST {
        let step = match advance(&state, &event) {
            Ok(Ok(step)) => step,
            Ok(Err(failure)) => return Asked { end: End::Refused(failure), ..asked },
            Err(error) => return Asked { end: End::Broken(error), ..asked },
        };
        if let Some(batch) = &step.batch {
            asked.notes.extend(batch.notes.iter().map(|note| (note.clone(), batch.read == 0)));
        }
        // Nothing is remembered here, as nothing is kept of a check.
        if let (Next::Recall(_), Event::Response(response) | Event::Recalled((_, response))) = (&step.next, &event) {
            (state, event) = (step.state, Event::Recalled((Vec::new(), response.clone())));
            continue;
        }
        let request = match (step.batch, step.next) {
            // A run asks again later, as proxies show such pages for a while; who checks wants to know now.
            (_, Next::WaitUntil(wait)) => {
                let end = web.map_or(End::Wait(wait), |(status, title)| End::Web(status, title));
                return Asked { end, ..asked };
            }
            (Some(batch), next) if enough(&batch) => {
                return Asked { end: End::Page(batch, matches!(next, Next::Fetch(_))), ..asked };
            }
            (_, Next::Done | Next::Recall(_)) => return Asked { end: End::Done, ..asked },
            (_, Next::Fetch(request)) => request,
        };
        if requests == MAX_REQUESTS {
            break;
        }
        requests += 1;
        let response = match fetch(&request).await {
            Ok(response) => response,
            Err(error) => return Asked { end: End::Unanswered(error), ..asked },
        };
        web = web_page(&response.body).map(|title| (response.status, title));
        asked.first.get_or_insert_with(|| Response { body: Vec::new(), ..response.clone() });
        (state, event) = (step.state, Event::Response(response));
    }
    asked
}

/// What an input's feed says; `stored` is where its last poll ended.
pub(super) async fn findings(input: &Input, stored: Option<String>, guest: &Guest, clock: &Clock) -> Vec<Finding> {
    let finding = |level, subject, text: String| Finding::new(level, &input.id, subject, text);
    let feed = match Feed::new(input) {
        Ok(feed) => feed,
        Err(error) => return vec![finding(Level::Fail, "settings", error.to_string())],
    };
    if let Some(refusal) = refusal_to_map(input, guest, clock.now()) {
        return vec![refusal];
    }
    let way = Way::of(input);
    let one = [("limit", Value::from(1))];
    let config = if way.is_taxii() { with(&input.guest_config, one) } else { input.guest_config.clone() };
    let fetch = async |request: &Request| feed.fetch(request).await;
    let advance = |state: &str, event: &Event| guest.advance(&config, state, clock.now(), event);
    let asked = ask("", is_told, advance, fetch).await;

    let mut findings = Vec::new();
    if let (None, End::Refused(failure)) = (&asked.first, &asked.end) {
        return vec![finding(Level::Fail, "settings", failure.text().to_owned())];
    }
    if let End::Broken(error) = &asked.end {
        return vec![finding(Level::Fail, "guest", error.to_string())];
    }
    findings.push(finding(Level::Ok, "settings", "usable".to_owned()));
    findings.push(match &input.credential {
        None if !input.headers.is_empty() || input.http.tls.client.is_some() => {
            finding(Level::Ok, "credential", "None is set but `headers` or `client_cert`.".to_owned())
        }
        None => {
            let text = "None is set; most feeds ask for `api_key`, `username` and `password`, or `auth`.";
            finding(Level::Warn, "credential", text.to_owned())
        }
        Some(credential) => finding(Level::Ok, "credential", sent_as(credential)),
    });
    if let Some(first) = &asked.first {
        findings.push(finding(Level::Ok, "connection", format!("{} answers with status {}", input.url, first.status)));
        findings.push(clock_skew(input, first, clock.now()));
        findings.extend(plan(input, feed.rate_limit().limit));
    }
    let is_reached = !matches!(asked.end, End::Refused(_) | End::Unanswered(_) | End::Web(..));
    findings.extend(answer(input, asked));
    if let (true, true, Some(state)) = (is_reached, way.is_taxii(), stored) {
        // What the overlap would read again is no news.
        let config = with(&config, [("overlap", Value::from("0s"))]);
        let advance = |state: &str, event: &Event| guest.advance(&config, state, clock.now(), event);
        findings.push(waiting(input, ask(&state, is_news, advance, fetch).await));
    }
    findings
}

/// How the key is sent, without the key.
fn sent_as(credential: &Credential) -> String {
    let scheme = credential.scheme().map_or_else(String::new, |scheme| format!("{scheme} "));
    format!("sent as `{}: {scheme}…`, from `{}`", credential.header(), credential.setting())
}

/// What the guest noted and how its first page came.
fn answer(input: &Input, asked: Asked) -> Vec<Finding> {
    let finding = |level, subject: &'static str, text: String| Finding::new(level, &input.id, subject, text);
    // What comes without records tells about the server; beside records it tells what is odd about them.
    let mut findings: Vec<_> = asked
        .notes
        .into_iter()
        .map(|(note, informs)| {
            let informs = informs && note.code != NOT_FOUND;
            Finding::new(if informs { Level::Ok } else { Level::Warn }, &input.id, note.code, note.text)
        })
        .collect();
    findings.extend(match asked.end {
        End::Page(batch, true) if batch.read == 0 => {
            let text = "understood; the first page holds no records, and more pages follow, which a poll reads";
            Some(finding(Level::Ok, "answer", text.to_owned()))
        }
        End::Page(batch, more) => {
            let more = if more { ", and there are more" } else { "" };
            let text = format!(
                "{} records on the first page ({} mapped, {} rejected, {} skipped){more}",
                batch.read, batch.mapped, batch.rejected, batch.skipped
            );
            Some(finding(Level::Ok, "answer", text))
        }
        End::Done => asked.first.map(|_| finding(Level::Ok, "answer", "understood; there are no records".to_owned())),
        End::Long => {
            Some(finding(Level::Ok, "answer", format!("understood; no page with records in {MAX_REQUESTS} requests")))
        }
        End::Wait(wait) => Some(asks_to_wait(input, &wait)),
        End::Web(status, title) => Some(page_for_people(input, status, &title)),
        End::Refused(failure) => Some(refusal(input, &failure)),
        End::Unanswered(error) => Some(finding(Level::Fail, "connection", error.to_string())),
        End::Broken(error) => Some(finding(Level::Fail, "guest", error.to_string())),
    });
    findings
}

/// What waits after the last poll.
fn waiting(input: &Input, asked: Asked) -> Finding {
    let finding = |level, text: &str| Finding::new(level, &input.id, "waiting", text);
    match asked.end {
        End::Page(..) => finding(Level::Ok, "new objects wait for the next poll"),
        End::Long => finding(Level::Ok, "objects may wait for the next poll"),
        End::Done => finding(Level::Ok, "nothing new since the last poll"),
        End::Wait(wait) => asks_to_wait(input, &wait),
        End::Web(status, title) => page_for_people(input, status, &title),
        End::Refused(Failure::State(text)) => Finding::new(Level::Fail, &input.id, "state", text),
        End::Refused(failure) => refusal(input, &failure),
        End::Unanswered(error) => Finding::new(Level::Fail, &input.id, "connection", error.to_string()),
        End::Broken(error) => Finding::new(Level::Fail, &input.id, "guest", error.to_string()),
    }
}

fn asks_to_wait(input: &Input, wait: &Wait) -> Finding {
    let text = format!("The feed asks to wait until {}: {}", text::instant(wait.until), wait.reason);
    Finding::new(Level::Warn, &input.id, "answer", text)
}

fn page_for_people(input: &Input, status: u16, title: &str) -> Finding {
    let title = match title {
        "" => String::new(),
        title => format!(", titled `{}`", text::escape(title)),
    };
    let credential = match &input.credential {
        Some(credential) => format!("Check `{}`", credential.setting()),
        None => "Set `api_key`, `username` and `password`, or `auth`".to_owned(),
    };
    let text = format!(
        "{} answers with a web page (status {status}{title}) where data was expected, as for a login or from a proxy. \
         {credential}, then `url:`, then `http.proxy`.",
        input.url
    );
    let subject = if status < 500 { "credential" } else { "answer" };
    Finding::new(Level::Fail, &input.id, subject, text)
}

fn refusal(input: &Input, failure: &Failure) -> Finding {
    let subject = match failure {
        Failure::Credential(_) => "credential",
        Failure::Forbidden(_) => "plan",
        _ => "answer",
    };
    Finding::new(Level::Fail, &input.id, subject, naming_key_file(failure.clone(), input).text())
}

/// Whether it is a page, or an end, and not only what a guest says about the server.
fn is_told(batch: &Batch) -> bool {
    batch.read > 0 || batch.notes.is_empty()
}

/// Whether it has an indicator; a bundle has its feed's identity on pages that have nothing else.
fn is_news(batch: &Batch) -> bool {
    batch.mapped + batch.rejected > 0
}

/// The guest's settings with others in their place: what a page holds is not what is checked.
fn with<const N: usize>(settings: &str, others: [(&str, Value); N]) -> String {
    let Ok(Value::Object(mut settings)) = serde_json::from_str(settings) else { return settings.to_owned() };
    settings.extend(others.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(settings).to_string()
}

fn clock_skew(input: &Input, response: &Response, now: Millis) -> Finding {
    let (level, text) = match date(response) {
        None => (Level::Warn, "The feed sends no usable `Date`, so its clock is not known.".to_owned()),
        Some(server) if server.abs_diff(now) <= SKEW_WARNED => (Level::Ok, "agrees with the feed's".to_owned()),
        Some(server) => {
            let apart = text::duration(std::time::Duration::from_millis(server.abs_diff(now)));
            let side = if server > now { "ahead of" } else { "behind" };
            (Level::Warn, format!("The feed's clock is {apart} {side} this machine's. Set this machine's by NTP."))
        }
    };
    Finding::new(level, &input.id, "clock", text)
}

fn plan(input: &Input, per_minute: Option<u64>) -> Vec<Finding> {
    let expected = requests_a_day(input.interval, 1);
    let Some(per_minute) = per_minute else {
        let text = format!("At least {expected} requests a day; the feed does not say how many it allows.");
        return vec![Finding::new(Level::Ok, &input.id, "requests", text)];
    };
    let plan = Plan::of(per_minute);
    let text = format!(
        "At least {} requests a day at this interval, of {} that a plan with {per_minute} a minute ({}) allows",
        text::count(expected),
        text::count(plan.a_day),
        plan.name
    );
    let (level, advice) = if expected > plan.a_day {
        (Level::Fail, "; make `interval` longer.")
    } else if expected.saturating_mul(100) > plan.a_day.saturating_mul(PLAN_SHARE_PERCENT) {
        (Level::Warn, "; little is left for further pages, so make `interval` longer.")
    } else {
        (Level::Ok, "")
    };
    vec![Finding::new(level, &input.id, "requests", text + advice)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn input() -> Input {
        Input::new("feed", crate::config::socdefenders())
    }

    fn note(code: &str) -> Note {
        Note { code: code.to_owned(), text: format!("{code} text") }
    }

    fn batch(read: u32, notes: &[&str]) -> Batch {
        Batch { read, mapped: read, notes: notes.iter().map(|code| note(code)).collect(), ..Batch::empty() }
    }

    fn request() -> Next {
        Next::Fetch(Request::get("/"))
    }

    /// Drives a guest that gives these steps, one for each event, the last for ever.
    async fn driven(steps: Vec<(Option<Batch>, Next)>, enough: fn(&Batch) -> bool) -> (Asked, usize) {
        let requests = std::cell::Cell::new(0);
        let asked = ask(
            "7",
            enough,
            |state, event| {
                assert_eq!(state == "7", matches!(event, Event::Start), "the state it gave comes back");
                let (batch, next) = steps[requests.get().min(steps.len() - 1)].clone();
                Ok(Ok(Step { batch, remember: Vec::new(), next, state: "s".to_owned() }))
            },
            async |_| {
                requests.set(requests.get() + 1);
                Ok(Response { status: 200, headers: Vec::new(), body: Vec::new() })
            },
        )
        .await;
        (asked, requests.get())
    }

    #[test]
    fn what_is_not_there_is_a_warning_though_it_comes_without_records() {
        for (code, level) in [("title", Level::Ok), (NOT_FOUND, Level::Warn)] {
            let asked = Asked { first: None, notes: vec![(note(code), true)], end: End::Done };
            let levels: Vec<_> = answer(&input(), asked).into_iter().map(|finding| finding.level).collect();
            assert_eq!(levels, [level], "{code}");
        }
    }

    #[tokio::test]
    async fn notes_without_records_are_told_until_a_page_comes() {
        let (title, list) = (batch(0, &["title"]), batch(0, &["collections", "unreadable"]));
        let page = batch(1, &["gap"]);
        let steps = vec![(None, request()), (Some(title), request()), (Some(list), request()), (Some(page), request())];
        let (asked, requests) = driven(steps, is_told).await;
        assert_eq!(requests, 3);
        let lines: Vec<_> = answer(&input(), asked).into_iter().map(|f| (f.level, f.subject, f.text)).collect();
        let line = |level, subject: &'static str| (level, subject.into(), format!("{subject} text"));
        assert_eq!(
            lines,
            [
                line(Level::Ok, "title"),
                line(Level::Ok, "collections"),
                line(Level::Ok, "unreadable"),
                line(Level::Warn, "gap"),
                (
                    Level::Ok,
                    "answer".into(),
                    "1 records on the first page (1 mapped, 0 rejected, 0 skipped), and there are more".to_owned()
                ),
            ]
        );
    }

    #[tokio::test]
    async fn a_page_for_people_is_named_where_a_guest_would_wait_for_data() {
        let page = |body: &str| Response { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() };
        let wait = || Next::WaitUntil(Wait { until: 0, reason: "r".to_owned() });
        for (body, title) in [
            ("<!DOCTYPE html><html><head><TITLE>Log\n in \u{202e}</TITLE>", Some("Log in")),
            ("\n<html>Sign in</html>", Some("")),
            ("{\"html\":\"<html>\"}", None),
            ("", None),
        ] {
            let asked = ask(
                "",
                is_told,
                |_, event| {
                    let next = if matches!(event, Event::Start) { request() } else { wait() };
                    Ok(Ok(Step { batch: None, remember: Vec::new(), next, state: "s".to_owned() }))
                },
                async |_| Ok(page(body)),
            )
            .await;
            let last = answer(&input(), asked).pop().unwrap();
            let is_page = last.level == Level::Fail && last.text.contains("a web page (status 200");
            assert_eq!(is_page, title.is_some(), "{last:?}");
            if let Some(title) = title {
                assert!(last.text.contains(title) && last.text.contains("`api_key`"), "{last:?}");
                assert!(!last.text.contains('\u{202e}'), "{last:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_guest_that_never_comes_to_a_page_is_left() {
        let (asked, requests) = driven(vec![(None, request())], is_told).await;
        assert!(matches!(asked.end, End::Long));
        assert_eq!(requests, MAX_REQUESTS);
        let mut steps = vec![(None, request()); MAX_REQUESTS];
        steps.push((Some(batch(1, &[])), Next::Done));
        assert!(matches!(driven(steps, is_told).await.0.end, End::Page(_, false)), "the last allowed one counts");
    }

    #[tokio::test]
    async fn what_waits_is_told() {
        let wait = Next::WaitUntil(Wait { until: 0, reason: "r".to_owned() });
        for (steps, level, part) in [
            (vec![(None, request()), (Some(batch(1, &[])), request())], Level::Ok, "new objects wait"),
            (vec![(None, request()), (Some(batch(0, &[])), Next::Done)], Level::Ok, "nothing new"),
            (vec![(Some(batch(0, &[])), request()), (Some(batch(1, &[])), Next::Done)], Level::Ok, "new objects wait"),
            (
                vec![(Some(Batch { mapped: 0, ..batch(1, &[]) }), request()), (None, Next::Done)],
                Level::Ok,
                "nothing new",
            ),
            (vec![(None, Next::Done)], Level::Ok, "nothing new"),
            (vec![(None, request())], Level::Ok, "may wait"),
            (vec![(None, wait)], Level::Warn, "asks to wait"),
        ] {
            let finding = waiting(&input(), driven(steps, is_news).await.0);
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.text.contains(part), "{finding:?}");
        }
    }

    #[test]
    fn one_feed_read_in_two_ways_is_warned_of() {
        let with = |id: &str, settings: &str| Input {
            guest_config: settings.to_owned(),
            ..Input::new(id, crate::config::socdefenders())
        };
        let (rest, taxii) = (with("rest", "{}"), with("taxii", r#"{"transport":"taxii"}"#));
        let other = with("other", r#"{"transport":"taxii","feed":{"name":"Other"}}"#);
        let named = with("named", r#"{"transport":"rest","feed":{"name":"Other"}}"#);
        for (inputs, expected) in [
            (vec![rest.clone()], vec![]),
            (vec![rest.clone(), Input { id: "again".to_owned(), ..rest.clone() }], vec![]),
            (vec![rest.clone(), other.clone()], vec![]),
            (vec![rest.clone(), taxii.clone()], vec!["taxii"]),
            (vec![taxii, rest, other, named], vec!["rest", "named"]),
        ] {
            let findings = doubles(&inputs);
            assert_eq!(findings.iter().map(|f| f.about.as_str()).collect::<Vec<_>>(), expected);
            assert!(findings.iter().all(|f| f.level == Level::Warn && f.text.contains("two documents")));
        }
    }

    #[test]
    fn settings_are_put_in_the_place_of_others() {
        let one = with(r#"{"url":"u","limit":500}"#, [("limit", Value::from(1))]);
        let settings: Value = serde_json::from_str(&one).unwrap();
        assert_eq!(settings, serde_json::json!({ "url": "u", "limit": 1 }));
    }

    #[test]
    fn feeds_of_one_name_on_two_servers_are_told_of() {
        let named = |id: &str, url: &str, name: &str| {
            let mut input = Input::new(id, url.parse().unwrap());
            input.guest_config = serde_json::json!({ "feed": { "name": name } }).to_string();
            input
        };
        let one = named("one", "https://a.example/api", "A feed");
        for (two, is_told) in [
            (named("two", "https://b.example/api", "A feed"), true),
            (named("two", "https://a.example:8443/api", "A feed"), true),
            (named("two", "https://a.example/other", "A feed"), false),
            (named("two", "https://b.example/api", "Another feed"), false),
        ] {
            let found = namesakes(&[one.clone(), two.clone()]);
            assert_eq!(found.len(), usize::from(is_told), "{two:?}");
            if let Some(found) = found.first() {
                assert_eq!((found.level, found.about.as_str()), (Level::Warn, "two"));
                assert!(found.text.contains("`one`") && found.text.contains("https://a.example"), "{}", found.text);
            }
        }
        let here = |port: u16| named("here", &format!("http://127.0.0.1:{port}"), "A feed");
        assert_eq!(namesakes(&[here(1), here(2)]), []);
    }

    #[test]
    fn the_way_of_the_key_is_told_and_the_key_is_not() {
        use crate::secret::{KeyHeader, Secret, SecretSource};
        let inline = || SecretSource::Inline(Secret::new("sk_live_canary"));
        let file = || SecretSource::File("key".into());
        let own = |name, scheme| KeyHeader::new(name, scheme).unwrap();
        for (credential, expected) in [
            (Credential::Bearer(inline()), "sent as `authorization: Bearer …`, from `api_key`"),
            (Credential::Bearer(file()), "sent as `authorization: Bearer …`, from `api_key_file`"),
            (
                Credential::Basic { username: "u".to_owned(), password: file() },
                "sent as `authorization: Basic …`, from `password_file`",
            ),
            (Credential::Key(own(None, Some("Token")), inline()), "sent as `authorization: Token …`, from `auth.key`"),
            (Credential::Key(own(Some("X-Api-Key"), None), file()), "sent as `x-api-key: …`, from `auth.key_file`"),
        ] {
            assert_eq!(sent_as(&credential), expected);
        }
    }

    #[test]
    fn the_plan_is_held_against_the_interval() {
        let at = |seconds| Input { interval: Duration::from_secs(seconds), ..input() };
        for (input, per_minute, expected, part) in [
            (at(900), Some(10), Level::Ok, "At least 96 requests a day at this interval, of 1,000"),
            (at(100), Some(10), Level::Warn, "little is left"),
            (at(60), Some(10), Level::Fail, "make `interval` longer"),
            (at(60), Some(100), Level::Ok, "of 50,000"),
            (at(60), None, Level::Ok, "does not say how many"),
        ] {
            let [finding] = plan(&input, per_minute).try_into().unwrap();
            assert_eq!(finding.level, expected, "{finding:?}");
            assert!(finding.text.contains(part), "{finding:?}");
        }
    }

    #[test]
    fn clocks_are_compared() {
        const NOW: Millis = 1_733_740_200_000;
        let answer = |date: &str| Response {
            status: 200,
            headers: vec![("date".to_owned(), date.to_owned())],
            body: Vec::new(),
        };
        for (date, expected, part) in [
            ("Mon, 09 Dec 2024 10:30:00 GMT", Level::Ok, "agrees"),
            ("Mon, 09 Dec 2024 10:32:00 GMT", Level::Ok, "agrees"),
            ("Mon, 09 Dec 2024 10:40:00 GMT", Level::Warn, "10m ahead of"),
            ("Mon, 09 Dec 2024 09:30:00 GMT", Level::Warn, "1h behind"),
            ("soon", Level::Warn, "no usable `Date`"),
        ] {
            let finding = clock_skew(&input(), &answer(date), NOW);
            assert_eq!(finding.level, expected, "{finding:?}");
            assert!(finding.text.contains(part), "{finding:?}");
        }
    }
}
