//! Instants as milliseconds since 1970, the only form of time this crate computes with.
//!
//! There is no clock here: "now" is always an argument.

pub mod told;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

/// One second, minute, hour and day.
pub const SECOND: Millis = 1_000;
/// See [`SECOND`].
pub const MINUTE: Millis = 60 * SECOND;
/// See [`SECOND`].
pub const HOUR: Millis = 60 * MINUTE;
/// See [`SECOND`].
pub const DAY: Millis = 24 * HOUR;

/// An RFC 3339 time with a zone, with 0 to 9 fractional digits, cut to milliseconds. `None` for anything else and
/// for times before 1970, on whose clock it may be.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    // Most have no white space around them.
    let is_bare = text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_graphic());
    let bytes = if is_bare { text } else { text.trim() }.as_bytes();
    let (date_time, mut rest) = bytes.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, t, h1, h2, b':', n1, n2, b':', s1, s2] = *date_time else {
        return None;
    };
    if !matches!(t, b'T' | b't' | b' ') {
        return None;
    }
    let year = two(y1, y2)?.checked_mul(100)?.checked_add(two(y3, y4)?)?;
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    // A leap second is the last second there is a number for.
    let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
    if !(1..=12).contains(&month) || day == 0 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut fraction = 0_u64;
    if let Some((b'.', digits)) = rest.split_first() {
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return None;
        }
        for place in 0..3 {
            let digit = digits.get(place).filter(|b| b.is_ascii_digit()).copied().unwrap_or(b'0');
            fraction = fraction.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))?;
        }
        rest = digits.get(count..)?;
    }
    let (east, offset) = zone(rest)?;
    let days = days_since_1970(year, month, day)?;
    let seconds = days
        .checked_mul(24)?
        .checked_add(hour)?
        .checked_mul(60)?
        .checked_add(minute)?
        .checked_mul(60)?
        .checked_add(second.min(59))?;
    let seconds = if east { seconds.checked_sub(offset)? } else { seconds.checked_add(offset)? };
    seconds.checked_mul(SECOND)?.checked_add(fraction)
}

/// A zone as seconds, and whether it lies east of Greenwich.
fn zone(bytes: &[u8]) -> Option<(bool, u64)> {
    let (sign, hours, minutes) = match *bytes {
        [b'Z' | b'z'] => return Some((true, 0)),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, two(h1, h2)?, two(m1, m2)?),
        [sign, h1, h2] => (sign, two(h1, h2)?, 0),
        _ => return None,
    };
    let east = match sign {
        b'+' => true,
        b'-' => false,
        _ => return None,
    };
    let seconds = hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?;
    (hours <= 23 && minutes <= 59).then_some((east, seconds))
}

fn two(tens: u8, ones: u8) -> Option<u64> {
    let digit = |b: u8| b.is_ascii_digit().then(|| u64::from(b.wrapping_sub(b'0')));
    digit(tens)?.checked_mul(10)?.checked_add(digit(ones)?)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the years from 0 to 1970 in the Gregorian calendar, counted from 1 March of the year 0.
const DAYS_TO_1970: u64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const DAYS_OF_ERA: u64 = 146_097;

/// Days since 1970-01-01; years are counted from March, so that the leap day is the last one.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let era = year / 400;
    let of_era = year % 400;
    let from_march = month.checked_add(9)? % 12;
    let of_year = from_march.checked_mul(153)?.checked_add(2)?.checked_div(5)?.checked_add(day)?.checked_sub(1)?;
    let days = of_era.checked_mul(365)?.checked_add(of_era / 4)?.checked_sub(of_era / 100)?.checked_add(of_year)?;
    era.checked_mul(DAYS_OF_ERA)?.checked_add(days)?.checked_sub(DAYS_TO_1970)
}

/// The date of an HTTP header (RFC 9110 section 5.6.7): the IMF-fixdate form, the only one that may be sent. The name
/// of the day is not compared with the date.
pub fn parse_http_date(text: &str) -> Option<Millis> {
    let bytes: &[u8; 29] = text.trim().as_bytes().try_into().ok()?;
    let [_, _, _, b',', b' ', d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', time @ ..] = *bytes else {
        return None;
    };
    let [h1, h2, b':', n1, n2, b':', s1, s2, b' ', b'G', b'M', b'T'] = time else { return None };
    let month = MONTHS.iter().zip(1..).find(|(name, _)| ***name == [m1, m2, m3]).map(|(_, month)| month)?;
    let year = two(y1, y2)?.checked_mul(100)?.checked_add(two(y3, y4)?)?;
    let (day, hour, minute, second) = (two(d1, d2)?, two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
    if day == 0 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    let seconds = hour.checked_mul(60)?.checked_add(minute)?.checked_mul(60)?.checked_add(second.min(59))?;
    days.checked_mul(DAY)?.checked_add(seconds.checked_mul(SECOND)?)
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The last instant with a year of four digits.
const LAST: Millis = 253_402_300_799_999;

/// Writes an instant as RFC 3339 in UTC: with milliseconds where there are any, else in whole seconds.
pub fn write_rfc3339(millis: Millis, out: &mut String) {
    let millis = millis.min(LAST);
    let days = (millis / DAY).saturating_add(DAYS_TO_1970);
    let (era, of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let leaps = (of_era / 1_460).saturating_add(of_era / (DAYS_OF_ERA - 1));
    let year = of_era.saturating_sub(leaps).saturating_add(of_era / 36_524) / 365;
    let of_year = of_era.saturating_sub(year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100));
    let from_march = of_year.saturating_mul(5).saturating_add(2) / 153;
    let day = of_year.saturating_sub(from_march.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let month = if from_march < 10 { from_march.saturating_add(3) } else { from_march.saturating_sub(9) };
    let year = era.saturating_mul(400).saturating_add(year).saturating_add(u64::from(month <= 2));
    let [y1, y2] = digits(year / 100);
    let [y3, y4] = digits(year);
    let ([m1, m2], [d1, d2]) = (digits(month), digits(day));
    let ([h1, h2], [n1, n2]) = (digits(millis / HOUR % 24), digits(millis / MINUTE % 60));
    let [s1, s2] = digits(millis / SECOND % 60);
    let whole = [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2];
    // One write for all of it: a document has up to seven times.
    out.push_str(std::str::from_utf8(&whole).unwrap_or_default());
    let mut fraction = millis % SECOND;
    if fraction > 0 {
        out.push('.');
        while fraction > 0 {
            let [_, digit] = digits(fraction / 100);
            out.push(char::from(digit));
            fraction = (fraction % 100).saturating_mul(10);
        }
    }
    out.push('Z');
}

/// The last two digits of a number.
fn digits(number: u64) -> [u8; 2] {
    let number = u8::try_from(number % 100).unwrap_or(0);
    [b'0' | (number / 10), b'0' | (number % 10)]
}

/// [`write_rfc3339`] into a string of its own.
pub fn rfc3339(millis: Millis) -> String {
    let mut out = String::with_capacity(24);
    write_rfc3339(millis, &mut out);
    out
}

/// A duration as people write it in a configuration: `90s`, `15m`, `24h`, `45d`, in milliseconds.
pub fn parse_duration(text: &str) -> Option<Millis> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let unit = match unit.trim() {
        "ms" => 1,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-12-09T10:30:00Z", 1_733_740_200_000),
            ("2024-12-09T10:30:00.25Z", 1_733_740_200_250),
        ] {
            assert_eq!(parse_rfc3339(text), Some(millis));
            assert_eq!(rfc3339(millis), text);
        }
    }

    #[test]
    fn rfc3339_takes_zones_and_nine_digits_and_refuses_the_rest() {
        assert_eq!(parse_rfc3339("2024-12-09T12:30:00+02:00"), Some(1_733_740_200_000));
        assert_eq!(parse_rfc3339("2024-12-09T10:30:00.123456789Z"), Some(1_733_740_200_123));
        for bad in
            ["", "yesterday", "2024-12-09", "2024-13-09T10:30:00Z", "2024-12-09T10:30:00", "1969-01-01T00:00:00Z"]
        {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_and_many_zones_are_what_a_calendar_library_says() {
        for day in 0..60_000_u64 {
            let millis = day * DAY + day * 7_919 % DAY;
            let instant = jiff::Timestamp::from_millisecond(i64::try_from(millis).unwrap()).unwrap();
            assert_eq!(rfc3339(millis), instant.to_string());
            assert_eq!(parse_rfc3339(&instant.to_string()), Some(millis));
        }
        for text in [
            "2024-02-29T23:59:60Z",
            "2023-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2000-02-29t00:00:00z",
            "2024-12-09 10:30:00-0530",
            "2024-12-09T10:30:00+14",
            "2024-12-09T24:00:00Z",
            "2024-12-09T10:60:00Z",
            "2024-00-09T10:30:00Z",
            "2024-04-31T10:30:00Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
        ] {
            let instant = text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_millisecond()).ok());
            // The library stops a day short of the year 10000, to have room for zones.
            if !text.starts_with("9999") {
                assert_eq!(parse_rfc3339(text), instant, "{text}");
            }
        }
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn http_dates() {
        assert_eq!(parse_http_date("Mon, 09 Dec 2024 10:30:00 GMT"), Some(1_733_740_200_000));
        assert_eq!(parse_http_date("Thu, 29 Feb 2024 23:59:60 GMT"), Some(1_709_251_199_000));
        for bad in [
            "undefined",
            "",
            "Mon, 09 Dec 2024 10:30:00 UTC",
            "Fri, 30 Feb 2024 10:30:00 GMT",
            "Mon, 09 Dez 2024 10:30:00 GMT",
            "Monday, 09-Dec-24 10:30:00 GMT",
            "Mon, 09 Dec 2024 25:30:00 GMT",
            "Mon, 09 Dec 1969 10:30:00 GMT",
        ] {
            assert_eq!(parse_http_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("15m"), Some(900_000));
        assert_eq!(parse_duration("24h"), Some(DAY));
        for bad in ["", "h", "1", "1y", "-1h", "1.5h", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
