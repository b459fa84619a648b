//! Instants to the microsecond, as a server dates what is added to a collection.
//!
//! Milliseconds, in which the rest of the crate computes, are too coarse here: what is added in one go differs in its
//! microseconds, and a page may end anywhere in it.

use tipline_ecs::time::{Millis, SECOND, told, write_rfc3339};

/// Microseconds since 1970.
pub(super) type Instant = u64;

/// Microseconds in a millisecond.
const MICROS: u64 = 1_000;

/// What a header says, in whichever form; `None` for what is no time at all, such as `undefined`.
pub(super) fn parse(text: &str) -> Option<Instant> {
    let told = told::parse(text)?;
    Some(from_millis(told.at).saturating_add(u64::from(told.micros)))
}

/// Whether a text that is no time says that there is none, as programs print what is absent.
pub(super) fn is_absent(text: &str) -> bool {
    let text = text.trim();
    let words = ["null", "none", "nil", "undefined", "nan", "invalid date", "n/a", "-"];
    text.is_empty() || words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Writes it with six digits behind the point.
pub(super) fn write(instant: Instant, out: &mut String) {
    let millis = instant / MICROS;
    write_rfc3339((millis / SECOND).saturating_mul(SECOND), out);
    // The `Z`.
    out.pop();
    let micros = instant % (MICROS * SECOND);
    let mut place = MICROS * SECOND;
    out.push('.');
    while place > 1 {
        place /= 10;
        let digit = micros.checked_div(place).unwrap_or(0) % 10;
        out.push(char::from(b'0'.saturating_add(u8::try_from(digit).unwrap_or(0))));
    }
    out.push('Z');
}

pub(super) const fn from_millis(millis: Millis) -> Instant {
    millis.saturating_mul(MICROS)
}

pub(super) fn to_millis(instant: Instant) -> Millis {
    instant / MICROS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_and_written_to_the_microsecond() {
        for (text, expected) in [
            ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000000Z"),
            ("2026-03-01T12:00:00.5Z", "2026-03-01T12:00:00.500000Z"),
            ("2026-03-01T12:00:00.123Z", "2026-03-01T12:00:00.123000Z"),
            ("2026-03-01T12:00:00.1234Z", "2026-03-01T12:00:00.123400Z"),
            ("2026-03-01T12:00:00.000001Z", "2026-03-01T12:00:00.000001Z"),
            ("2026-03-01T12:00:00.123456789Z", "2026-03-01T12:00:00.123456Z"),
            (" 2026-03-01T14:00:00.25+02:00 ", "2026-03-01T12:00:00.250000Z"),
            ("2026-03-01T12:00:00.000001", "2026-03-01T12:00:00.000001Z"),
            ("2026-03-01 12:00:00.123456", "2026-03-01T12:00:00.123456Z"),
            ("2026-03-01", "2026-03-01T00:00:00.000000Z"),
            ("1772366400", "2026-03-01T12:00:00.000000Z"),
            ("1772366400.000001", "2026-03-01T12:00:00.000001Z"),
            ("1772366400250", "2026-03-01T12:00:00.250000Z"),
            ("1772366400250001", "2026-03-01T12:00:00.250001Z"),
            ("Sun, 01 Mar 2026 12:00:00 GMT", "2026-03-01T12:00:00.000000Z"),
            ("Sun Mar 01 2026 14:00:00 GMT+0200 (Eastern European Standard Time)", "2026-03-01T12:00:00.000000Z"),
        ] {
            let mut out = String::new();
            write(parse(text).unwrap(), &mut out);
            assert_eq!(out, expected);
            assert_eq!(parse(&out), parse(text));
        }
        for (text, absent) in [
            ("", true),
            ("undefined", true),
            ("null", true),
            ("Invalid Date", true),
            ("0", false),
            ("12/05/2026", false),
            ("yesterday", false),
        ] {
            assert_eq!((parse(text), is_absent(text)), (None, absent), "{text}");
        }
    }
}
