//! A trend as bars: a line for each interval, in which each word has a sign of its own.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::clock::Millis;
use crate::store::Drawn;
use crate::text::{self, Align, Style, Table};
use crate::time;

/// The signs of the words, those with the highest totals first.
const SIGNS: [char; 4] = ['█', '▓', '▒', '░'];

/// The sign of what has none of these words.
const OTHERS: char = '·';

/// How many words are told apart.
pub(super) const TOP: usize = SIGNS.len();

/// The longest bar, in characters.
const BAR: u64 = 50;

const DAY: Millis = 24 * 60 * 60 * 1_000;
const MINUTE: Millis = 60 * 1_000;

/// What can be drawn over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Over {
    /// When its source first saw it
    FirstSeen,
    /// When its source last saw it
    LastSeen,
    /// When the feed last showed it
    Observed,
    /// When it ends
    Ends,
    /// When it was retired
    Retired,
}

impl Over {
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::FirstSeen => "threat.indicator.first_seen",
            Self::LastSeen => "threat.indicator.last_seen",
            Self::Observed => "tipline.observed_at",
            Self::Ends => "tipline.expires_at",
            Self::Retired => "tipline.retired_at",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::FirstSeen => "FIRST SEEN",
            Self::LastSeen => "LAST SEEN",
            Self::Observed => "OBSERVED",
            Self::Ends => "ENDS",
            Self::Retired => "RETIRED",
        }
    }
}

/// The bars, and below them what the signs stand for.
pub(super) fn bars(drawn: &Drawn, over: Over, style: Style) -> String {
    let Drawn { over: along, trend } = drawn;
    let parts = |place: usize| {
        let of_words = trend.series.iter().map(move |(_, counts)| counts.get(place).copied().unwrap_or(0));
        of_words.chain([trend.others.get(place).copied().unwrap_or(0)])
    };
    let most = (0..trend.others.len()).map(|place| parts(place).sum()).max().unwrap_or(0).max(1);
    let moments = moment(along.from, along.interval).len().max(over.title().len());
    let longest = style.bar(&[moments, text::count(most).len().max("COUNT".len())], BAR);
    let mut table = Table::new(&[(over.title(), Align::Left), ("COUNT", Align::Right), ("", Align::Left)]);
    for place in 0..trend.others.len() {
        let from = along.from.saturating_add(along.interval.saturating_mul(place as u64));
        let (mut bar, mut sum, mut length) = (String::new(), 0, 0);
        // What is rounded is the sum, so that a bar is as long as its count, whatever it is made of.
        for (count, sign) in parts(place).zip(SIGNS.into_iter().take(trend.series.len()).chain([OTHERS])) {
            sum += count;
            let end = (sum * longest).div_ceil(most);
            (length..end).for_each(|_| bar.push(sign));
            length = end;
        }
        table.row([moment(from, along.interval), text::count(sum), bar]);
    }
    let mut out = table.render(style);
    let all_others: u64 = trend.others.iter().sum();
    let others = (all_others > 0).then(|| (OTHERS, "others".to_owned(), all_others));
    let words =
        trend.series.iter().zip(SIGNS).map(|((counted, _), sign)| (sign, text::cell(&counted.word), counted.count));
    for (sign, word, count) in words.chain(others) {
        let _ = writeln!(out, "{sign} {word} {}", style.dim(&text::count(count)));
    }
    out
}

/// A moment, no more exact than intervals of this length need.
fn moment(at: Millis, interval: Millis) -> String {
    let whole = time::print(at);
    let length = match interval {
        DAY.. => "2026-11-27".len(),
        MINUTE.. => "2026-11-27T10:00".len(),
        _ => "2026-11-27T10:00:00".len(),
    };
    whole.get(..length).unwrap_or(&whole).replace('T', " ")
}

/// All numbers.
pub(super) fn numbers(drawn: &Drawn, over: Over, field: &str) -> Value {
    let Drawn { over: along, trend } = drawn;
    let series: Vec<Value> = trend
        .series
        .iter()
        .map(|(counted, counts)| json!({ "word": counted.word, "total": counted.count, "counts": counts }))
        .collect();
    json!({
        "time": over.field(),
        "field": field,
        "from": time::print(along.from),
        "to": time::print(along.to),
        "interval_seconds": along.interval / 1_000,
        "series": series,
        "others": trend.others,
    })
}

#[cfg(test)]
mod tests {
    use tipline_catalog::{Beside, Counted, Trend};

    use super::*;

    fn drawn(interval: Millis, series: &[(&str, &[u64])], others: &[u64]) -> Drawn {
        let from = time::parse("2026-11-27T00:00:00Z").unwrap();
        let to = from + interval * others.len() as u64;
        let over = tipline_catalog::Over { time: 0, from, to, interval };
        let series = series
            .iter()
            .map(|(word, counts)| (Counted { word: (*word).to_owned(), count: counts.iter().sum() }, counts.to_vec()));
        let beside = Beside::default();
        Drawn { over, trend: Trend { series: series.collect(), others: others.to_vec(), beside } }
    }

    #[test]
    fn bars_are_as_long_as_their_counts_and_made_of_their_words() {
        let plain = Style::PLAIN;
        let some = drawn(DAY, &[("url", &[30, 0, 1]), ("file", &[10, 0, 1])], &[10, 0, 0]);
        let bars = bars(&some, Over::LastSeen, plain);
        let expected = format!(
            "LAST SEEN   COUNT\n2026-11-27     50  {}{}{}\n2026-11-28      0\n2026-11-29      2  █▓\n█ url 31\n▓ file 11\n· others 10\n",
            "█".repeat(30),
            "▓".repeat(10),
            "·".repeat(10)
        );
        assert_eq!(bars, expected);
        // What a feed calls itself is shown as text.
        let odd = drawn(DAY, &[("evil.example\u{1b}[2J", &[1])], &[0]);
        let bars = super::bars(&odd, Over::Ends, plain);
        assert!(bars.contains("evil[.]example") && !bars.contains('\u{1b}') && !bars.contains("others"), "{bars}");
    }

    #[test]
    fn moments_are_as_exact_as_their_intervals() {
        let at = time::parse("2026-11-27T10:05:30Z").unwrap();
        for (interval, expected) in
            [(7 * DAY, "2026-11-27"), (5 * MINUTE, "2026-11-27 10:05"), (1_000, "2026-11-27 10:05:30")]
        {
            assert_eq!(moment(at, interval), expected);
        }
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(bars(&drawn(DAY, &[], &[]), Over::Observed, Style::PLAIN), "OBSERVED  COUNT\n");
    }
}
