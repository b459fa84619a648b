//! Instants as people type them: `2024-12-09T10:30:00Z`, `2024-12-09`, or how long ago, `24h`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

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
    let day = || {
        // A time without a zone would be taken for a day as well.
        let date: Date = Some(text).filter(|text| text.len() == "2024-12-09".len())?.parse().ok()?;
        date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    };
    let parsed = text.parse::<Timestamp>().ok().or_else(day);
    parsed.and_then(|t| u64::try_from(t.as_millisecond()).ok()).ok_or_else(|| {
        "expected a time such as 2024-12-09T10:30:00Z, a day such as 2024-12-09 (UTC), or how long ago: 24h".to_owned()
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
            ("2024-12-09", NOW - 37_800_000),
            ("90m", NOW - 5_400_000),
            ("100000w", 0),
        ] {
            assert_eq!(instant(text, NOW), Ok(expected), "{text}");
        }
        for bad in ["", "yesterday", "2024-13-09", "1969-01-01", "-1h", "2024-12-09T10:30:00"] {
            assert!(instant(bad, NOW).is_err(), "{bad}");
        }
    }
}
