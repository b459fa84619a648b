//! Instants to the microsecond, as a server dates what is added to a collection.
//!
//! Milliseconds, in which the rest of the crate computes, are too coarse here: what is added in one go differs in its
//! microseconds, and a page may end anywhere in it.

use tipline_ecs::time::{Millis, SECOND, parse_rfc3339, write_rfc3339};

/// Microseconds since 1970.
pub(super) type Instant = u64;

/// Microseconds in a millisecond.
const MICROS: u64 = 1_000;

/// What a header says. `None` for anything but an RFC 3339 time, such as `undefined`, or the words in which JavaScript
/// writes a date.
pub(super) fn parse(text: &str) -> Option<Instant> {
    let millis = parse_rfc3339(text)?;
    let mut fraction = text.split_once('.').map_or("", |(_, rest)| rest).bytes().take_while(u8::is_ascii_digit).skip(3);
    let mut micros = 0_u64;
    for _ in 0..3 {
        let digit = fraction.next().unwrap_or(b'0').wrapping_sub(b'0');
        micros = micros.saturating_mul(10).saturating_add(u64::from(digit));
    }
    Some(from_millis(millis).saturating_add(micros))
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

pub(super) fn from_millis(millis: Millis) -> Instant {
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
        ] {
            let mut out = String::new();
            write(parse(text).unwrap(), &mut out);
            assert_eq!(out, expected);
            assert_eq!(parse(&out), parse(text));
        }
        for text in ["", "undefined", "null", "Thu Feb 20 2020 22:10:20 GMT+0000 (Coordinated Universal Time)", "0"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
