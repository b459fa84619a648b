//! Dates with date math, read and rounded as Elasticsearch does.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// What a date is written like.
pub(crate) const EXAMPLE: &str = "2026-11-27, 2026-11-27T10:15:30Z, now-7d or now/d";

/// The beginning and the end of what a text names, in milliseconds since 1970.
pub(crate) fn named(text: &str, now: i64) -> Option<(i64, i64)> {
    Some((instant(text, now, false)?, instant(text, now, true)?))
}

/// The moment that a text names, the beginning of what it names: a date, or date math such as `now-1d` and `now/d`. In
/// milliseconds since 1970.
pub fn moment(text: &str, now: i64) -> Option<i64> {
    instant(text, now, false)
}

/// A time of a document: as a date without math, or milliseconds.
pub(crate) fn stored(text: &str) -> Option<i64> {
    absolute(text, false).map(milliseconds)?.or_else(|| text.parse().ok())
}

fn instant(text: &str, now: i64, is_end: bool) -> Option<i64> {
    if let Some(math) = text.strip_prefix("now") {
        let now = Timestamp::from_millisecond(now).ok()?.to_zoned(TimeZone::UTC).datetime();
        return milliseconds(calculated(now, math, is_end)?);
    }
    match text.split_once("||") {
        Some((date, math)) => milliseconds(calculated(absolute(date, false)?, math, is_end)?),
        None => milliseconds(absolute(text, is_end)?),
    }
}

fn milliseconds(time: DateTime) -> Option<i64> {
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// So many digits and no others.
fn fixed(text: &str, length: usize) -> Option<i64> {
    (text.len() == length).then(|| digits(text)).flatten()
}

/// Fewer digits are a year, or nothing.
const FEWEST_DIGITS_OF_MILLISECONDS: usize = 11;

fn absolute(text: &str, is_end: bool) -> Option<DateTime> {
    if text.len() >= FEWEST_DIGITS_OF_MILLISECONDS
        && let Some(milliseconds) = digits(text.strip_prefix('-').unwrap_or(text))
    {
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let time = Timestamp::from_millisecond(sign * milliseconds).ok()?;
        return Some(time.to_zoned(TimeZone::UTC).datetime());
    }
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.split('-');
    let year = fixed(parts.next()?, 4)?;
    let month = parts.next().map(|part| fixed(part, 2)).map_or(Some(1), |part| part)?;
    let day = parts.next().map(|part| fixed(part, 2));
    if parts.next().is_some() || time.is_some() && day.is_none() {
        return None;
    }
    let date =
        Date::new(year.try_into().ok()?, month.try_into().ok()?, day.map_or(Some(1), |d| d)?.try_into().ok()?).ok()?;
    let (clock, zone) = zoned(time.unwrap_or_default())?;
    let time = time_of_day(clock, is_end)?;
    DateTime::from_parts(date, time).checked_sub(Span::new().try_minutes(zone).ok()?).ok()
}

/// What is missing is the beginning or the end.
fn time_of_day(clock: &str, is_end: bool) -> Option<Time> {
    let (clock, fraction) = clock.split_once(['.', ',']).map_or((clock, None), |(clock, rest)| (clock, Some(rest)));
    let mut parts = clock.split(':');
    let mut part = |greatest| match parts.next().filter(|part| !part.is_empty()) {
        Some(part) => fixed(part, 2).filter(|part| *part <= greatest).map(|part| (part, true)),
        None => Some((if is_end { greatest } else { 0 }, false)),
    };
    let ((hour, _), (minute, has_minute), (second, has_second)) = (part(23)?, part(59)?, part(59)?);
    let is_whole = !(clock.is_empty() && fraction.is_some()) && (has_minute || !has_second);
    if parts.next().is_some() || clock.ends_with(':') || !is_whole {
        return None;
    }
    let millisecond = match fraction {
        Some(fraction) if has_second && (1..=9).contains(&fraction.len()) => {
            digits(fraction)?;
            format!("{fraction}00").get(..3)?.parse().ok()?
        }
        Some(_) => return None,
        None if is_end => 999,
        None => 0_i32,
    };
    Time::new(hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?, millisecond * 1_000_000).ok()
}

/// The time without its zone, and the zone in minutes east of UTC.
fn zoned(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (time, zone) = time.split_at(at);
    let (sign, zone) = zone.split_at(1);
    let (hours, minutes) = match zone.len() {
        2 => (fixed(zone, 2)?, 0),
        4 => (fixed(zone.get(..2)?, 2)?, fixed(zone.get(2..)?, 2)?),
        5 => zone.split_once(':').and_then(|(h, m)| Some((fixed(h, 2)?, fixed(m, 2)?)))?,
        _ => return None,
    };
    let east = hours * 60 + minutes;
    (hours <= 18 && minutes <= 59).then_some((time, if sign == "-" { -east } else { east }))
}

fn calculated(mut time: DateTime, mut math: &str, is_end: bool) -> Option<DateTime> {
    while let Some(operation) = math.chars().next() {
        math = &math[operation.len_utf8()..];
        let length = math.find(|c: char| !c.is_ascii_digit()).unwrap_or(math.len());
        let count = if length == 0 { 1 } else { digits(&math[..length])? };
        let unit = math.get(length..)?.chars().next()?;
        math = &math[length + unit.len_utf8()..];
        time = match operation {
            '+' => moved(time, count, unit)?,
            '-' => moved(time, -count, unit)?,
            '/' if count == 1 && is_end => {
                moved(rounded(time, unit)?, 1, unit)?.checked_sub(Span::new().milliseconds(1)).ok()?
            }
            '/' if count == 1 => rounded(time, unit)?,
            _ => return None,
        };
    }
    Some(time)
}

fn moved(time: DateTime, count: i64, unit: char) -> Option<DateTime> {
    let span = Span::new();
    let span = match unit {
        'y' => span.try_years(count),
        'M' => span.try_months(count),
        'w' => span.try_weeks(count),
        'd' => span.try_days(count),
        'h' | 'H' => span.try_hours(count),
        'm' => span.try_minutes(count),
        's' => span.try_seconds(count),
        _ => return None,
    };
    time.checked_add(span.ok()?).ok()
}

fn rounded(time: DateTime, unit: char) -> Option<DateTime> {
    let date = time.date();
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let at = |date: Date, hour, minute, second| Some(date.at(hour, minute, second, 0));
    match unit {
        'y' => at(date.first_of_year(), 0, 0, 0),
        'M' => at(date.first_of_month(), 0, 0, 0),
        'w' => {
            let back = i64::from(date.weekday().since(Weekday::Monday));
            at(date.checked_sub(Span::new().days(back)).ok()?, 0, 0, 0)
        }
        'd' => at(date, 0, 0, 0),
        'h' | 'H' => at(date, hour, 0, 0),
        'm' => at(date, hour, minute, 0),
        's' => at(date, hour, minute, second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Friday.
    const NOW: &str = "2026-11-27T10:15:30.125Z";

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn dates_have_a_beginning_and_an_end() {
        for (text, begin, end) in [
            ("2026", "2026-01-01T00:00:00Z", "2026-01-01T23:59:59.999Z"),
            ("2026-11", "2026-11-01T00:00:00Z", "2026-11-01T23:59:59.999Z"),
            ("2026-11-27", "2026-11-27T00:00:00Z", "2026-11-27T23:59:59.999Z"),
            ("2026-11-27T", "2026-11-27T00:00:00Z", "2026-11-27T23:59:59.999Z"),
            ("2026-11-27T10", "2026-11-27T10:00:00Z", "2026-11-27T10:59:59.999Z"),
            ("2026-11-27T10:15", "2026-11-27T10:15:00Z", "2026-11-27T10:15:59.999Z"),
            ("2026-11-27T10:15:30", "2026-11-27T10:15:30Z", "2026-11-27T10:15:30.999Z"),
            ("2026-11-27T10:15:30.5", "2026-11-27T10:15:30.5Z", "2026-11-27T10:15:30.5Z"),
            ("2026-11-27T10:15:30.123456789Z", "2026-11-27T10:15:30.123Z", "2026-11-27T10:15:30.123Z"),
            ("2026-11-27T10:15:30+01:30", "2026-11-27T08:45:30Z", "2026-11-27T08:45:30.999Z"),
            ("2026-11-27T10-0100", "2026-11-27T11:00:00Z", "2026-11-27T11:59:59.999Z"),
            ("1764201600000", "2025-11-27T00:00:00Z", "2025-11-27T00:00:00Z"),
            ("now", NOW, NOW),
            ("now-1d", "2026-11-26T10:15:30.125Z", "2026-11-26T10:15:30.125Z"),
            ("now+d", "2026-11-28T10:15:30.125Z", "2026-11-28T10:15:30.125Z"),
            ("now/d", "2026-11-27T00:00:00Z", "2026-11-27T23:59:59.999Z"),
            ("now-1w/w", "2026-11-16T00:00:00Z", "2026-11-22T23:59:59.999Z"),
            ("now/M", "2026-11-01T00:00:00Z", "2026-11-30T23:59:59.999Z"),
            ("now/y", "2026-01-01T00:00:00Z", "2026-12-31T23:59:59.999Z"),
            ("now/h+1m", "2026-11-27T10:01:00Z", "2026-11-27T11:00:59.999Z"),
            ("2026-11-30||-1M", "2026-10-30T00:00:00Z", "2026-10-30T00:00:00Z"),
            ("2026-03-31||-1M/d", "2026-02-28T00:00:00Z", "2026-02-28T23:59:59.999Z"),
            ("2026-11||/M", "2026-11-01T00:00:00Z", "2026-11-30T23:59:59.999Z"),
        ] {
            assert_eq!(named(text, at(NOW)), Some((at(begin), at(end))), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "26",
            "2026-1",
            "2026-13-01",
            "2026-02-30",
            "2026-11-27 10:15",
            "2026T10",
            "2026-11-27T24:00",
            "2026-11-27T10:",
            "2026-11-27T10:15:30.",
            "2026-11-27T10.5",
            "2026-11-27T.5",
            "2026-11-27T10:15:30+1",
            "20261127",
            "yesterday",
            "Now",
            "now-",
            "now-1",
            "now-1x",
            "now/2d",
            "now*1d",
            "now-99999999999999999999d",
            "now+9999999y",
            "2026-11-27||/x",
            "٢٠٢٦",
            "2026-11-27T10:15:30+19:00",
        ] {
            assert_eq!(named(text, at(NOW)), None, "{text}");
        }
    }
}
