//! Times as feeds write them, where they do not write RFC 3339.
//!
//! A time without a zone is read as UTC, which is what those who leave it out mean nearly always; whoever reads it is told, so
//! that it can be said. A date alone is its first instant. A number is seconds since 1970 or, where that would be a date no
//! feed writes, milliseconds or microseconds. Nothing is guessed: `12/05/2026` is May to some and December to others, and
//! no time here.

use super::{MONTHS, Millis, SECOND, days_of, days_since_1970, parse_rfc3339, zone};

/// A time that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Milliseconds since 1970.
    pub at: Millis,
    /// Microseconds beyond those, 0 to 999.
    pub micros: u16,
    /// Whether it was said in which zone.
    pub has_zone: bool,
}

/// Seconds since 1970 from here on (2001): a smaller number is a year, a count or a mistake.
const SECONDS_FROM: u64 = 1_000_000_000;
/// Milliseconds from here on: as seconds it would be the year 10000. The last second before it is how some write "never".
const MILLIS_FROM: u64 = 253_402_300_800;
/// Microseconds from here on, which as milliseconds would be the year 10000.
const MICROS_FROM: u64 = MILLIS_FROM * SECOND;
/// Nanoseconds from here on.
const NANOS_FROM: u64 = MICROS_FROM * SECOND;

/// Reads a time: RFC 3339; the same without a zone, without seconds, with white space for the `T`, with slashes, or without
/// separators; a date alone; seconds, milliseconds, microseconds or nanoseconds since 1970; and the forms of HTTP (RFC 9110
/// section 5.6.7), e-mail (RFC 5322) and JavaScript, which name the month. `None` for anything else and for times before 1970 or after 9999.
pub fn parse(text: &str) -> Option<Told> {
    let text = text.trim();
    // Nearly all are RFC 3339 as it should be.
    let told = match parse_rfc3339(text) {
        Some(at) => Told { at, micros: micros_of(text), has_zone: true },
        None => since_1970(text).or_else(|| numbered(text)).or_else(|| named(text))?,
    };
    (told.at <= super::LAST).then_some(told)
}

/// The fourth to sixth digit behind the point.
fn micros_of(text: &str) -> u16 {
    let digits = text.split_once('.').map_or("", |(_, rest)| rest).bytes().take_while(u8::is_ascii_digit);
    let mut digits = digits.skip(3).map(|b| u16::from(b.wrapping_sub(b'0')));
    let mut next = || digits.next().unwrap_or(0);
    let [hundreds, tens, ones] = [next(), next(), next()];
    hundreds.saturating_mul(100).saturating_add(tens.saturating_mul(10)).saturating_add(ones)
}

/// A number of seconds, or of what is finer.
fn since_1970(text: &str) -> Option<Told> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let number: u64 = whole.parse().ok()?;
    let micros = match number {
        NANOS_FROM.. => number / SECOND,
        MICROS_FROM.. => number,
        MILLIS_FROM.. => number.checked_mul(SECOND)?,
        SECONDS_FROM.. => number.checked_mul(SECOND * SECOND)?.checked_add(part(fraction)?)?,
        // Digits of a date without separators are a date.
        _ => return None,
    };
    Some(Told { at: micros / SECOND, micros: u16::try_from(micros % SECOND).ok()?, has_zone: true })
}

/// Digits behind a point as microseconds.
fn part(digits: &str) -> Option<u64> {
    let mut padded = digits.bytes().chain(std::iter::repeat(b'0')).take(6);
    padded.try_fold(0_u64, |all, b| all.checked_mul(10)?.checked_add(u64::from(b.wrapping_sub(b'0'))))
}

/// The parts of a time.
#[derive(Default)]
struct Parts {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    micros: u64,
}

impl Parts {
    /// The instant, in a zone.
    fn told(&self, zone_text: &str) -> Option<Told> {
        let zone_text = zone_text.trim();
        let has_zone = !zone_text.is_empty();
        let is_word = ["utc", "gmt", "ut"].iter().any(|word| zone_text.eq_ignore_ascii_case(word));
        // `+0000 UTC`, as Go prints it.
        let zone_text = if zone_text.starts_with(['+', '-']) { first_word(zone_text) } else { zone_text };
        let offset_text = ["UTC", "GMT"].iter().find_map(|word| zone_text.strip_prefix(word)).unwrap_or(zone_text);
        let (east, offset) = if !has_zone || is_word { (true, 0) } else { zone(offset_text.as_bytes())? };
        let is_day = (1..=12).contains(&self.month) && self.day > 0 && self.day <= days_of(self.year, self.month);
        if !is_day || self.hour > 23 || self.minute > 59 || self.second > 60 || self.year > 9_999 {
            return None;
        }
        let days = days_since_1970(self.year, self.month, self.day)?;
        let hours = days.checked_mul(24)?.checked_add(self.hour)?;
        let minutes = hours.checked_mul(60)?.checked_add(self.minute)?;
        // A leap second is the last second there is a number for.
        let seconds = minutes.checked_mul(60)?.checked_add(self.second.min(59))?;
        let seconds = if east { seconds.checked_sub(offset)? } else { seconds.checked_add(offset)? };
        Some(Told {
            at: seconds.checked_mul(SECOND)?.checked_add(self.micros / SECOND)?,
            micros: u16::try_from(self.micros % SECOND).ok()?,
            has_zone,
        })
    }

    /// Takes up `hh:mm`, `hh:mm:ss` or `hh:mm:ss.ffffff`, or the same without colons; gives what is behind it.
    fn clock<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let colon = if text.as_bytes().get(2) == Some(&b':') { ":" } else { "" };
        let (hour, rest) = digits(text, 2)?;
        let (minute, mut rest) = digits(rest.strip_prefix(colon)?, 2)?;
        (self.hour, self.minute) = (hour, minute);
        let seconds = rest.strip_prefix(colon).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(text) = seconds {
            (self.second, rest) = digits(text, 2)?;
            if let Some(behind) = rest.strip_prefix(['.', ',']) {
                let end = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
                let (fraction, after) = behind.split_at_checked(end)?;
                self.micros = part(fraction)?;
                rest = after;
            }
        }
        Some(rest)
    }
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or(text)
}

/// So many digits, and what is behind them.
fn digits(text: &str, count: usize) -> Option<(u64, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    number.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    Some((number.parse().ok()?, rest))
}

/// `2026-12-05 08:00`, `2026/12/05`, `20261205T080000Z`.
fn numbered(text: &str) -> Option<Told> {
    let mut parts = Parts::default();
    let (year, rest) = digits(text, 4)?;
    let between = ["-", "/", "."].into_iter().find(|between| rest.starts_with(between)).unwrap_or_default();
    let (month, rest) = digits(rest.strip_prefix(between)?, 2)?;
    let (day, rest) = digits(rest.strip_prefix(between)?, 2)?;
    (parts.year, parts.month, parts.day) = (year, month, day);
    if rest.is_empty() {
        return parts.told("");
    }
    let clock = rest.strip_prefix(['T', 't', '_']).or_else(|| rest.starts_with(' ').then(|| rest.trim_start()));
    // Of a certificate (X.690): `20261205080000Z`.
    let clock = clock.or_else(|| (between.is_empty() && rest.len() >= 6).then_some(rest))?;
    let zone = parts.clock(clock)?;
    parts.told(zone)
}

/// `Sat, 05 Dec 2026 08:00:00 GMT`, `Sat Dec 05 2026 08:00:00 GMT+0000 (Coordinated Universal Time)`,
/// `5 December 2026`, `Saturday, 05-Dec-26 08:00:00 GMT`.
fn named(text: &str) -> Option<Told> {
    let bare = text.split_once('(').map_or(text, |(bare, _)| bare);
    let mut parts = Parts::default();
    let mut zone = "";
    let mut has_clock = false;
    for word in bare.split([' ', ',']).flat_map(dashed).filter(|word| !word.is_empty()) {
        let number = word.parse::<u64>().ok().filter(|_| word.bytes().all(|b| b.is_ascii_digit()));
        match number {
            _ if word.as_bytes().get(2) == Some(&b':') && !has_clock => {
                zone = parts.clock(word)?;
                has_clock = true;
            }
            Some(number) if parts.day == 0 && word.len() <= 2 => parts.day = number,
            Some(number) if parts.year == 0 && word.len() == 4 => parts.year = number,
            // Two digits are of the century since 1970, as RFC 6265 reads them.
            Some(number) if parts.year == 0 && word.len() == 2 => {
                parts.year = number.checked_add(if number >= 70 { 1_900 } else { 2_000 })?;
            }
            None if parts.month == 0 && month(word).is_some() => parts.month = month(word)?,
            None if is_weekday(word) && !has_clock => {}
            None if has_clock && zone.is_empty() => zone = word,
            _ => return None,
        }
    }
    parts.told(zone)
}

/// The parts of `05-Dec-26`; anything else is itself.
fn dashed(word: &str) -> impl Iterator<Item = &str> {
    let is_date = word.starts_with(|c: char| c.is_ascii_digit()) && word.matches('-').count() == 2;
    let mut parts = is_date.then(|| word.split('-'));
    let mut whole = (!is_date).then_some(word);
    std::iter::from_fn(move || parts.as_mut().and_then(Iterator::next).or_else(|| whole.take()))
}

/// The number of a month by its English name or the first three letters of it.
fn month(word: &str) -> Option<u64> {
    const REST: [&str; 12] = ["uary", "ruary", "ch", "il", "", "e", "y", "ust", "tember", "ober", "ember", "ember"];
    let (short, rest) = word.split_at_checked(3)?;
    let known = MONTHS.iter().zip(REST).zip(1..).find(|((name, _), _)| name.eq_ignore_ascii_case(short.as_bytes()))?;
    let ((_, full), number) = known;
    (rest.is_empty() || rest.eq_ignore_ascii_case(full)).then_some(number)
}

fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    word.get(..3).is_some_and(|short| DAYS.iter().any(|day| short.eq_ignore_ascii_case(day)))
}

#[cfg(test)]
mod tests {
    use super::super::rfc3339;
    use super::*;

    /// A time, what it is in RFC 3339 with microseconds, and whether it names its zone.
    const TIMES: &[(&str, &str, bool)] = &[
        ("2026-12-05T08:00:00Z", "2026-12-05T08:00:00Z", true),
        ("2026-12-05T08:00:00.123456789Z", "2026-12-05T08:00:00.123Z 456", true),
        ("2026-12-05T10:00:00+02:00", "2026-12-05T08:00:00Z", true),
        ("2026-12-05T08:00:00", "2026-12-05T08:00:00Z", false),
        ("2026-12-05T08:00:00.000001", "2026-12-05T08:00:00Z 1", false),
        ("2026-12-05 08:00:00", "2026-12-05T08:00:00Z", false),
        ("2026-12-05 08:00:00,250", "2026-12-05T08:00:00.25Z", false),
        ("2026-12-05 08:00:00 UTC", "2026-12-05T08:00:00Z", true),
        ("2026-12-05 08:00:00 +0000 UTC", "2026-12-05T08:00:00Z", true),
        ("2026-12-05 10:00:00 +0200", "2026-12-05T08:00:00Z", true),
        ("2026-12-05T08:00:00.1234567890123Z", "2026-12-05T08:00:00.123Z 456", true),
        ("2026-12-05T08:00Z", "2026-12-05T08:00:00Z", true),
        ("2026-12-05 08:00", "2026-12-05T08:00:00Z", false),
        ("2026-12-05", "2026-12-05T00:00:00Z", false),
        ("2026/12/05", "2026-12-05T00:00:00Z", false),
        ("20261205", "2026-12-05T00:00:00Z", false),
        ("20261205T080000Z", "2026-12-05T08:00:00Z", true),
        ("20261205T080000", "2026-12-05T08:00:00Z", false),
        ("20261205080000Z", "2026-12-05T08:00:00Z", true),
        ("20261205080000.25+0000", "2026-12-05T08:00:00.25Z", true),
        ("Dec  5 08:00:00 2026 GMT", "2026-12-05T08:00:00Z", true),
        ("1796457600", "2026-12-05T08:00:00Z", true),
        ("1796457600.25", "2026-12-05T08:00:00.25Z", true),
        ("253402300799", "9999-12-31T23:59:59Z", true),
        ("253402300799000", "9999-12-31T23:59:59Z", true),
        ("1796457600250", "2026-12-05T08:00:00.25Z", true),
        ("1796457600250001", "2026-12-05T08:00:00.25Z 1", true),
        ("1796457600250001999", "2026-12-05T08:00:00.25Z 1", true),
        ("Sat, 05 Dec 2026 08:00:00 GMT", "2026-12-05T08:00:00Z", true),
        ("Sat, 5 Dec 2026 10:00:00 +0200", "2026-12-05T08:00:00Z", true),
        ("Saturday, 05-Dec-26 08:00:00 GMT", "2026-12-05T08:00:00Z", true),
        ("Sat Dec  5 08:00:00 2026", "2026-12-05T08:00:00Z", false),
        ("Sat Dec 05 2026 08:00:00 GMT+0000 (Coordinated Universal Time)", "2026-12-05T08:00:00Z", true),
        ("5 December 2026", "2026-12-05T00:00:00Z", false),
        ("Dec 5, 2026", "2026-12-05T00:00:00Z", false),
        (" 2026-12-05 ", "2026-12-05T00:00:00Z", false),
        // None of these is a time that could be read in one way only, or at all.
        ("", "", false),
        ("never", "", false),
        ("null", "", false),
        ("undefined", "", false),
        ("0", "", false),
        ("2026", "", false),
        ("85", "", false),
        ("12/05/2026", "", false),
        ("05.12.2026", "", false),
        ("2026-13-05", "", false),
        ("2026-02-30T08:00:00", "", false),
        ("2026-12-05T25:00:00", "", false),
        ("2026-12-05T08:00:00 CET", "", false),
        ("2026-12-05T08:00:00+25:00", "", false),
        ("2026-12-05T08:00:00Zjunk", "", false),
        ("0001-01-01T00:00:00Z", "", false),
        ("+99999-01-01T00:00:00Z", "", false),
        ("1969-12-31T23:59:59", "", false),
        ("99999999999999999999", "", false),
        ("Dec 2026", "", false),
        ("Sat Dec 32 2026", "", false),
        ("2026-12-05T", "", false),
        ("\u{661}\u{662}", "", false),
    ];

    #[test]
    fn times_are_read_as_feeds_write_them() {
        for (text, expected, has_zone) in TIMES {
            let told = parse(text);
            let written = told.map_or(String::new(), |told| match told.micros {
                0 => rfc3339(told.at),
                micros => format!("{} {micros}", rfc3339(told.at)),
            });
            assert_eq!((written.as_str(), told.is_some_and(|told| told.has_zone)), (*expected, *has_zone), "{text}");
        }
    }

    #[test]
    fn what_http_dates_are_read_elsewhere_are_the_same_here() {
        for second in (0..4_000_000_000_u64).step_by(86_399 * 97) {
            let instant = jiff::Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
            let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).unwrap();
            assert_eq!(super::super::parse_http_date(&text), Some(second * SECOND), "{text}");
            assert_eq!(parse(&text).map(|told| told.at), Some(second * SECOND), "{text}");
        }
    }
}
