//! Times: RFC 3339 text on the outside, milliseconds since 1970 on the inside.

use std::time::Duration;

use jiff::Timestamp;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

/// A duration in the unit of [`Millis`]; one that is too long for it is as long as there is.
pub fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads `2026-01-31T12:00:00Z`, with or without a fraction or another offset. A time before 1970 is 1970.
pub fn parse(text: &str) -> Option<Millis> {
    parse_usual(text.as_bytes())
        .or_else(|| text.parse::<Timestamp>().ok().map(|time| u64::try_from(time.as_millisecond()).unwrap_or(0)))
}

/// Writes `2026-01-31T12:00:00.000Z`.
pub fn print(at: Millis) -> String {
    let time = i64::try_from(at).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

/// The form the guest writes, which every document has several times; the general parser takes ten times as long, and
/// ends at 9999-12-30: what never expires is often said to do so a day later.
fn parse_usual(text: &[u8]) -> Option<Millis> {
    let number = |range: std::ops::Range<usize>| {
        text.get(range)?.iter().try_fold(0_u64, |sum, c| c.is_ascii_digit().then(|| sum * 10 + u64::from(c - b'0')))
    };
    let millis = match (text.len(), text.last()) {
        (20, Some(b'Z')) => 0,
        (24, Some(b'Z')) if text[19] == b'.' => number(20..23)?,
        _ => return None,
    };
    if text[4] != b'-' || text[7] != b'-' || text[10] != b'T' || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) {
        return None;
    }
    // Leap seconds go the general way.
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970 in the proleptic Gregorian calendar, counted in years that begin in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parsers_agree() {
        for text in [
            "1970-01-01T00:00:00Z",
            "1999-12-28T23:59:59Z",
            "2000-02-28T00:00:00Z",
            "2000-02-29T00:00:00Z",
            "2024-12-31T23:59:59.999Z",
            "2025-04-30T00:00:00Z",
            "2100-02-28T00:00:00Z",
            "2100-03-01T00:00:00Z",
            "2000-03-01T00:00:00Z",
            "2024-02-28T12:34:56.789Z",
            "2024-03-01T00:00:00.001Z",
            "2026-11-22T05:26:00Z",
            "9999-12-28T23:59:59.999Z",
        ] {
            let general = text.parse::<Timestamp>().unwrap().as_millisecond();
            assert_eq!(parse_usual(text.as_bytes()), u64::try_from(general).ok(), "{text}");
        }
    }

    #[test]
    fn other_forms_are_read_and_nonsense_is_not() {
        for (text, expected) in [
            ("2026-01-31T13:00:00+01:00", Some(1_769_860_800_000)),
            ("2026-01-31T12:00:00.123456Z", Some(1_769_860_800_123)),
            ("1969-12-31T23:59:59Z", Some(0)),
            ("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999)),
            ("2026-02-30T12:00:00Z", None),
            ("2100-02-29T12:00:00Z", None),
            ("2026-04-31T12:00:00Z", None),
            ("2026-13-01T12:00:00Z", None),
            ("2026-00-01T12:00:00Z", None),
            ("2026-01-00T12:00:00Z", None),
            ("2026-01-31", None),
            ("2026-01-31T25:00:00Z", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for at in [0, 1, 999, 1_769_860_800_123] {
            assert_eq!(parse(&print(at)), Some(at));
        }
    }
}
