//! Instants as people type them: `2024-12-09T10:30:00Z`, `2024-12-09`, how long ago, `24h`, or in the date math of queries,
//! `now-1d`.

use crate::clock::{Clock, Millis, millis};
use crate::config::parse_duration;

/// For clap: an instant, relative ones measured from now.
pub(super) fn parse(text: &str) -> Result<Millis, String> {
    instant(text, Clock::system().now())
}

fn instant(text: &str, now: Millis) -> Result<Millis, String> {
    let text = text.trim();
    if let Some(ago) = parse_duration(text) {
        return Ok(now.saturating_sub(millis(ago)));
    }
    let named = tipline_kql::moment(text, i64::try_from(now).unwrap_or(i64::MAX));
    // Whatever else is a timestamp, such as one with a space in it.
    let named = named.or_else(|| Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()));
    named.and_then(|at| u64::try_from(at).ok()).ok_or_else(|| {
        "expected a time such as 2024-12-09T10:30:00Z, a day such as 2024-12-09 (UTC), how long ago: 24h, or date math: now-1d, \
         now/d"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        const NOW: Millis = 1_733_740_200_000;
        for (text, expected) in [
            ("2024-12-09T10:30:00Z", NOW),
            ("2024-12-09T12:30:00+02:00", NOW),
            ("2024-12-09T10:30", NOW),
            ("2024-12-09", NOW - 37_800_000),
            ("90m", NOW - 5_400_000),
            ("100000w", 0),
            ("now", NOW),
            ("now-90m", NOW - 5_400_000),
            ("now/d", NOW - 37_800_000),
            ("now-1d/d", NOW - 37_800_000 - 86_400_000),
            ("2024-12-08||+1d", NOW - 37_800_000),
        ] {
            assert_eq!(instant(text, NOW), Ok(expected), "{text}");
        }
        for bad in ["", "yesterday", "2024-13-09", "1969-01-01", "-1h", "now-", "now-1x", "10:30"] {
            assert!(instant(bad, NOW).is_err(), "{bad}");
        }
    }
}
