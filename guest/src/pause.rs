//! How long to wait, from what a server says about its limits and from how often it failed.
//!
//! Times of the server are compared with its own `Date`, never with our clock, unless it sends none. Whatever it asks
//! for is clamped: a pause of ten years, of no time at all, or in the past must neither stop an input for good nor
//! make a loop. Jitter is the host's.

use serde_json::Value;

use crate::config::Config;
use crate::contract::{Next, Note, Response, Wait};
use crate::members::{Members, number};
use crate::rules::Clocks;
use tipline_ecs::Json;
use tipline_ecs::key;
use tipline_ecs::time::{HOUR, MINUTE, Millis, SECOND, parse_http_date, rfc3339};

/// The shortest pause before a request is repeated: the limits' own unit is the second.
pub(crate) const SHORTEST: Millis = SECOND;

/// The first pause after a failure; it doubles with each further one up to `max_retry_wait`.
const FIRST_RETRY: Millis = 2 * SECOND;

/// The pause where a server says that the limit is reached, but not until when. Its limits are per minute.
const USUAL_LIMIT: Millis = MINUTE;

/// Numbers from here on are seconds since 1970 (2001 and later), smaller ones a number of seconds to wait.
const EPOCH_FROM: u64 = 1_000_000_000;

/// Numbers from here on are milliseconds since 1970.
const EPOCH_MILLIS_FROM: u64 = 100_000_000_000;

/// A `Retry-After` above this is taken for a mistake where `X-RateLimit-Reset` knows better.
const PLAUSIBLE: Millis = 48 * HOUR;

/// The clocks of a feed and of this machine that are further apart than this are not both right, and nobody knows which
/// one is.
pub(crate) const CLOCKS_APART: Millis = 10 * MINUTE;

/// Whether a server's clock agrees with ours.
pub(crate) fn is_trusted(server: Millis, now: Millis) -> bool {
    server.abs_diff(now) <= CLOCKS_APART
}

/// When a run's documents were seen: by the server's clock, or by the earlier of the two where they do not agree; always
/// after the run before. Versions are made of whole seconds, so a second is the least that tells two runs apart. A run
/// before that lies in the future of both clocks was dated by one that has since been set right: it binds nobody.
pub(crate) fn observed(server: Option<Millis>, now: Millis, before: Millis) -> Millis {
    let server = server.unwrap_or(now);
    let seen = if is_trusted(server, now) { server } else { server.min(now) };
    if before > server.max(now).saturating_add(CLOCKS_APART) {
        return seen;
    }
    seen.max(before.saturating_add(SECOND))
}

/// What the server's clock and ours say of each other.
pub(crate) fn lag(server: Option<Millis>, now: Millis) -> Clocks {
    let is_behind = server.is_some_and(|server| server < now && !is_trusted(server, now));
    Clocks { ours: is_behind.then_some(now), latest: server.unwrap_or(now).max(now) }
}

/// What a person should know about clocks that do not agree.
pub(crate) fn apart(server: Option<Millis>, now: Millis) -> Option<Note> {
    let server = server.filter(|server| !is_trusted(*server, now))?;
    let (code, side) = if server > now { ("clock-ahead", "ahead of") } else { ("clock-behind", "behind") };
    let text = format!(
        "The feed's clock says {}, {side} ours, which says {}. Documents are dated by the earlier of the two, and nothing \
         ends before both say so. Check the clock of this machine.",
        rfc3339(server),
        rfc3339(now)
    );
    Some(Note { code: code.to_owned(), text })
}

/// A wait that must outlive a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) until: Millis,
    pub(crate) reason: String,
}

impl Pause {
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let pause =
            Self { until: number(from.needed("until")?)?, reason: from.text("reason")?.unwrap_or_default().to_owned() };
        from.finish()?;
        Ok(pause)
    }

    pub(crate) fn write(&self, out: &mut Json) {
        let object = out.open(key!("wait"));
        out.number(key!("until"), self.until);
        out.text_field(key!("reason"), &self.reason);
        out.close(object);
    }

    /// What a caller is to do about it.
    pub(crate) fn next(&self) -> Next {
        Next::WaitUntil(Wait { until: self.until, reason: self.reason.clone() })
    }

    /// Whether it is still to be kept. A wait longer than any made here comes from a clock that was set back: it is
    /// over.
    pub(crate) fn lasts(&self, config: &Config, now: Millis) -> bool {
        let longest = config.max_rate_wait.max(config.max_retry_wait).max(MINUTE);
        self.until > now && self.until.saturating_sub(now) <= longest
    }
}

/// The pause after this many failures in a row.
pub(crate) fn backoff(config: &Config, attempts: u32) -> Millis {
    let doubled = 2_u64.saturating_pow(attempts.saturating_sub(1)).saturating_mul(FIRST_RETRY);
    doubled.min(config.max_retry_wait).max(SHORTEST)
}

/// The reason of that pause.
pub(crate) fn failed(config: &Config, attempts: u32, what: &str) -> String {
    format!("failed request {attempts} of {}: {what}", config.max_retries)
}

/// What has been the matter `attempts` times in a row: a server that answers 429 or 503 has answered.
pub(crate) fn gave_up(who: &str, attempts: u32, what: &str) -> String {
    let what = what.trim_end_matches('.');
    let said = what.strip_prefix("no answer: ").unwrap_or(what);
    match (what.strip_prefix("status "), attempts) {
        (Some(status), 1) => format!("{who} answered with status {status}"),
        (Some(status), _) => {
            format!("{who} answered {attempts} times in a row with a failure, the last time with status {status}")
        }
        (None, 1) => format!("{who} did not answer: {said}"),
        (None, _) => format!("{who} did not answer {attempts} times in a row, the last time: {said}"),
    }
}

/// The pause a 429 or 503 asks for, clamped; `None` if it does not say. A server that is only busy may name the end of
/// its usual period too; that binds where no request is left.
pub(crate) fn asked(config: &Config, now: Millis, response: &Response) -> Option<Millis> {
    let server = response.header("date").and_then(parse_http_date).unwrap_or(now);
    let retry = response.header("retry-after").and_then(|text| retry_after(text, server));
    let busy = response.status == 503 && !is_used_up(response);
    let reset = response.header("x-ratelimit-reset").filter(|_| !busy).and_then(|text| reset(text, server));
    let pause = match (retry, reset) {
        (Some(retry), Some(reset)) if retry > PLAUSIBLE => reset,
        (Some(retry), _) => retry,
        (None, reset) => reset?,
    };
    Some(pause.clamp(SHORTEST, config.max_rate_wait.max(SHORTEST)))
}

/// The pause after a 429, never shorter than the back-off: a server whose reset lies in the past is not hammered.
pub(crate) fn limited(config: &Config, now: Millis, response: &Response, attempts: u32) -> Millis {
    let floor = if attempts > 1 { backoff(config, attempts) } else { SHORTEST };
    asked(config, now, response).unwrap_or(USUAL_LIMIT).max(floor)
}

/// The pause before the next request where a good answer says it was the last one allowed.
pub(crate) fn used_up(config: &Config, now: Millis, response: &Response) -> Option<Millis> {
    is_used_up(response).then(|| asked(config, now, response).unwrap_or(USUAL_LIMIT))
}

fn is_used_up(response: &Response) -> bool {
    let remaining = response.header("x-ratelimit-remaining").and_then(|text| text.trim().parse::<i64>().ok());
    remaining.is_some_and(|remaining| remaining <= 0)
}

/// "rate limit: 0 of 10 requests left", as far as the server says.
pub(crate) fn reason(response: &Response) -> String {
    let number = |name| response.header(name).and_then(|text| text.trim().parse::<u64>().ok());
    match (number("x-ratelimit-remaining"), number("x-ratelimit-limit")) {
        (Some(left), Some(limit)) => format!("rate limit: {left} of {limit} requests left"),
        _ => "rate limit: the feed asks for a pause".to_owned(),
    }
}

fn retry_after(text: &str, server: Millis) -> Option<Millis> {
    let text = text.trim();
    match text.parse::<u64>() {
        Ok(seconds) => Some(seconds.saturating_mul(SECOND)),
        // More digits than fit are still a number of seconds.
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => Some(Millis::MAX),
        Err(_) => parse_http_date(text).map(|until| until.saturating_sub(server)),
    }
}

fn reset(text: &str, server: Millis) -> Option<Millis> {
    let text = text.trim();
    // Some servers write a fraction.
    let number = text.split('.').next()?.parse::<u64>().ok()?;
    Some(match number {
        EPOCH_MILLIS_FROM.. => number.saturating_sub(server),
        EPOCH_FROM.. => number.saturating_mul(SECOND).saturating_sub(server),
        _ => number.saturating_mul(SECOND),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipline_ecs::time::DAY;

    const NOW: Millis = 1_772_366_400_000;

    #[test]
    fn of_two_clocks_that_do_not_agree_the_earlier_one_dates_a_run() {
        let year = 365 * DAY;
        for (name, server, before, expected) in [
            ("in step", Some(NOW - MINUTE), 0, NOW - MINUTE),
            ("none", None, 0, NOW),
            ("a little ahead", Some(NOW + CLOCKS_APART), 0, NOW + CLOCKS_APART),
            ("ahead", Some(NOW + CLOCKS_APART + 1), 0, NOW),
            ("a little behind", Some(NOW - CLOCKS_APART), 0, NOW - CLOCKS_APART),
            ("behind", Some(NOW - 60 * DAY), 0, NOW - 60 * DAY),
            ("a second after the run before", Some(NOW), NOW, NOW + SECOND),
            ("behind, after a run that was not", Some(NOW - 60 * DAY), NOW - MINUTE, NOW - MINUTE + SECOND),
            ("ahead, after a run that it dated", Some(NOW + year), NOW + year - DAY, NOW + year - DAY + SECOND),
            ("after a run in the future of both", Some(NOW), NOW + year, NOW),
            ("after one that is a little ahead of both", Some(NOW), NOW + MINUTE, NOW + MINUTE + SECOND),
        ] {
            assert_eq!(observed(server, NOW, before), expected, "{name}");
        }
    }

    #[test]
    fn who_answers_that_it_is_busy_has_answered() {
        for (attempts, what, expected) in [
            (1, "status 429", "The feed answered with status 429"),
            (6, "status 503", "The feed answered 6 times in a row with a failure, the last time with status 503"),
            (1, "no answer: GET /: a reset.", "The feed did not answer: GET /: a reset"),
            (
                6,
                "no answer: GET /: a reset.",
                "The feed did not answer 6 times in a row, the last time: GET /: a reset",
            ),
        ] {
            assert_eq!(gave_up("The feed", attempts, what), expected);
        }
    }

    #[test]
    fn clocks_apart_are_said_and_a_lag_is_counted() {
        for (server, code, by) in [
            (None, None, None),
            (Some(NOW + CLOCKS_APART), None, None),
            (Some(NOW - CLOCKS_APART), None, None),
            (Some(NOW + DAY), Some("clock-ahead"), None),
            (Some(NOW - DAY), Some("clock-behind"), Some(NOW)),
        ] {
            assert_eq!(apart(server, NOW).map(|note| note.code).as_deref(), code);
            assert_eq!(lag(server, NOW), Clocks { ours: by, latest: server.unwrap_or(NOW).max(NOW) });
        }
    }
}
