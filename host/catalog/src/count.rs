//! Counts: of words, and of words over time.

use tipline_model::clock::Millis;

use crate::bits::Bits;
use crate::columns::Columns;
use crate::filter::Grouping;
use crate::words::WordColumn;

/// How many have a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The word.
    pub word: String,
    /// Of the claims or values found.
    pub count: u64,
}

/// Words over time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trend {
    /// The words with the highest totals, each with its counts by interval.
    pub series: Vec<(Counted, Vec<u64>)>,
    /// What has only other words, or none, by interval.
    pub others: Vec<u64>,
    /// What lies in no interval.
    pub beside: Beside,
}

/// How many claims lie in no interval of a trend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    /// Before the first one.
    pub before: u64,
    /// Behind the last one.
    pub behind: u64,
    /// They have no such time.
    pub timeless: u64,
}

/// What a trend is drawn over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// A column of [`crate::TIMES`], by its number.
    pub time: usize,
    /// Where the first interval begins.
    pub from: Millis,
    /// Where the last one ends.
    pub to: Millis,
    /// How long each is, in milliseconds.
    pub interval: Millis,
}

const MINUTE: Millis = 60 * 1_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// The lengths that people count time by.
const LENGTHS: [Millis; 16] = [
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    91 * DAY,
    182 * DAY,
    364 * DAY,
];

impl Over {
    /// From one moment to another by intervals that people count by, at most so many and one, begun at a round time.
    pub fn round(time: usize, from: Millis, to: Millis, intervals: u32) -> Self {
        let wanted = to.saturating_sub(from).div_ceil(Millis::from(intervals.max(1)));
        let longest = wanted.div_ceil(364 * DAY) * 364 * DAY;
        let interval = LENGTHS.into_iter().find(|length| *length >= wanted).unwrap_or(longest);
        let from = from - from % interval;
        let intervals = to.saturating_sub(from).div_ceil(interval).max(1);
        let to = from.saturating_add(intervals.saturating_mul(interval));
        Self { time, from, to, interval }
    }

    /// How many intervals it has.
    pub fn count(&self) -> usize {
        let intervals = self.to.saturating_sub(self.from).div_ceil(self.interval.max(1));
        usize::try_from(intervals).unwrap_or(usize::MAX).min(MAX_INTERVALS)
    }

    /// In which interval a moment lies.
    pub fn place(&self, at: Millis) -> Option<usize> {
        let behind = at.checked_sub(self.from).filter(|_| at < self.to)?;
        usize::try_from(behind / self.interval.max(1)).ok().filter(|place| *place < MAX_INTERVALS)
    }
}

/// The most intervals of a trend: more than a screen has points across.
pub(crate) const MAX_INTERVALS: usize = 4_000;

/// The claims of what was found, by how their words count.
struct Counting {
    /// Each word of these counts.
    alone: Vec<u32>,
    /// Those of one group stand beside each other: a word counts once for all of them.
    together: Vec<u32>,
    /// Where each group of these ends.
    ends: Vec<usize>,
}

impl Counting {
    /// Whatever number of columns is counted, the groups are looked at once. Most have a single claim, whose words need no
    /// comparing.
    fn new(columns: &Columns, found: &Bits, scope: &Bits, grouping: Grouping) -> Self {
        let number = |slot: usize| u32::try_from(slot).unwrap_or(u32::MAX);
        if grouping == Grouping::Claims {
            return Self { alone: found.iter().map(number).collect(), together: Vec::new(), ends: Vec::new() };
        }
        let by_group = columns.by_group();
        let (mut alone, mut together, mut ends) = (Vec::with_capacity(found.count()), Vec::new(), Vec::new());
        for group in found.iter() {
            let mut claims = by_group.within(group, scope).map(number);
            let (Some(first), second) = (claims.next(), claims.next()) else { continue };
            match second {
                None => alone.push(first),
                Some(second) => {
                    together.extend([first, second].into_iter().chain(claims));
                    ends.push(together.len());
                }
            }
        }
        Self { alone, together, ends }
    }

    /// How many have each word of a column, by the words' numbers.
    fn count(&self, words: &WordColumn) -> Vec<u64> {
        let mut sets = vec![0_u64; words.sets()];
        self.alone.iter().for_each(|slot| sets[words.set_of(*slot as usize) as usize] += 1);
        // Claims of a value lie far apart. Read by themselves, they are waited for together.
        let together: Vec<u32> = self.together.iter().map(|slot| words.set_of(*slot as usize)).collect();
        let mut counts = vec![0_u64; words.words().iter().len()];
        // For which group a word was counted last.
        let mut counted = vec![usize::MAX; counts.len()];
        let mut start = 0;
        for (group, end) in self.ends.iter().enumerate() {
            let of_group = together.get(start..*end).unwrap_or_default();
            start = *end;
            match of_group {
                // Most claims of a value say the same.
                [first, others @ ..] if others.iter().all(|set| set == first) => sets[*first as usize] += 1,
                _ => {
                    for word in of_group.iter().flat_map(|set| words.members(*set)) {
                        let word = *word as usize;
                        if std::mem::replace(&mut counted[word], group) != group {
                            counts[word] += 1;
                        }
                    }
                }
            }
        }
        for (set, count) in sets.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            for word in words.members(u32::try_from(set).unwrap_or(u32::MAX)) {
                counts[*word as usize] += count;
            }
        }
        counts
    }

    /// The words of a column with their counts, the most frequent first.
    fn facet(&self, words: &WordColumn) -> Vec<Counted> {
        let counts = self.count(words);
        let mut counted: Vec<_> = words.words().iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        counted.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        counted.into_iter().map(|(word, count)| Counted { word: word.to_owned(), count }).collect()
    }
}

/// So many times are looked at to find the ends of nearly all; of more claims every so many-th. What the ends leave out is
/// known to about a thousandth then, and costs no more than the look at the claims itself.
const SAMPLED: usize = 16 * 1024;

/// A share of a trend's claims that may lie before it and behind it, in hundredths: what is so rare would make one bar of all
/// the others.
const RARE: usize = 100;

/// The ends of a trend of nearly all, from the first and the early time and the late and the last one, between which nearly
/// all are. An end stays where leaving out what is rare does not make the span half as long or less: nobody is to wonder about
/// what is missing for little.
pub fn nearly_all((first, early): (Millis, Millis), (late, last): (Millis, Millis)) -> (Millis, Millis) {
    let is_half = |part: Millis, whole: Millis| part.saturating_mul(2) <= whole;
    let most = late.saturating_sub(early);
    if !is_half(most, last.saturating_sub(first)) {
        return (first, last);
    }
    let from = if is_half(most, late.saturating_sub(first)) { early } else { first };
    let to = if is_half(most, last.saturating_sub(early)) { late } else { last };
    (from, to)
}

/// As [`nearly_all`], of times in order.
fn ends(times: &[Millis]) -> Option<(Millis, Millis)> {
    let rare = times.len() / RARE;
    let (early, late) = (times.get(rare)?, times.get(times.len().checked_sub(1 + rare)?)?);
    Some(nearly_all((*times.first()?, *early), (*late, *times.last()?)))
}

/// The most series of a trend: more than anybody tells apart by colours.
const MAX_SERIES: usize = 64;

impl Columns {
    /// How many of the claims or values found have each word of some columns; of each the most frequent first, then by the
    /// word. Of a group, the words of its claims in scope count, each once, however many claims say it.
    pub fn facets(&self, found: &Bits, scope: &Bits, grouping: Grouping, columns: &[usize]) -> Vec<Vec<Counted>> {
        let counting = Counting::new(self, found, scope, grouping);
        columns.iter().map(|column| counting.facet(&self.words[*column])).collect()
    }

    /// The earliest and the latest time of the claims found; none where none has one.
    pub fn span(&self, found: &Bits, time: usize) -> Option<(Millis, Millis)> {
        let times = &self.times[time];
        let spans = found.iter().filter_map(|slot| times.of(slot));
        spans.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
    }

    /// From when to when nearly all of the claims found are; none where none has such a time. It is as long as all of them
    /// take, unless a hundredth of them at an end takes half of that.
    pub fn nearly_all(&self, found: &Bits, time: usize) -> Option<(Millis, Millis)> {
        let times = &self.times[time];
        let every = (found.count() / SAMPLED).max(1);
        let (mut first, mut last) = (Millis::MAX, 0);
        let mut sample = Vec::with_capacity(found.count() / every + 1);
        for (number, (from, to)) in found.iter().filter_map(|slot| times.of(slot)).enumerate() {
            (first, last) = (first.min(from), last.max(to));
            if number.is_multiple_of(every) {
                sample.push(to);
            }
        }
        if sample.is_empty() {
            return None;
        }
        // The very ends are known whatever was looked at.
        sample.extend([first, last]);
        sample.sort_unstable();
        ends(&sample)
    }

    /// The claims found over time, by the words of a column: the `top` most
    /// frequent by themselves, 64 at most. A claim with several of these words counts for each.
    pub fn trend(&self, found: &Bits, over: &Over, column: usize, top: usize) -> Trend {
        let intervals = over.count();
        let (times, words) = (&self.times[over.time], &self.words[column]);
        let place = |slot: usize| times.of(slot).and_then(|(_, at)| over.place(at));
        let mut totals = vec![0_u64; words.words().iter().len()];
        let mut sets = vec![0_u64; words.sets()];
        let mut beside = Beside::default();
        for slot in found.iter() {
            match times.of(slot).map(|(_, at)| at) {
                Some(at) if over.place(at).is_some() => sets[words.set_of(slot) as usize] += 1,
                Some(at) if at < over.from => beside.before += 1,
                Some(_) => beside.behind += 1,
                None => beside.timeless += 1,
            }
        }
        let members = |set: usize| words.members(u32::try_from(set).unwrap_or(u32::MAX));
        for (set, count) in sets.iter().enumerate() {
            members(set).iter().for_each(|word| totals[*word as usize] += count);
        }
        let mut first: Vec<(u64, &str, usize)> = words
            .words()
            .iter()
            .zip(&totals)
            .enumerate()
            .map(|(number, (word, total))| (*total, word, number))
            .filter(|(total, _, _)| *total > 0)
            .collect();
        first.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        first.truncate(top.min(MAX_SERIES));
        // To which series each word counts, and so each set of words: a bit each.
        let mut series_of = vec![0_u64; totals.len()];
        first.iter().enumerate().for_each(|(series, (_, _, word))| series_of[*word] = 1 << series);
        let series_of: Vec<u64> = (0..words.sets())
            .map(|set| members(set).iter().fold(0, |series, word| series | series_of[*word as usize]))
            .collect();
        let mut counts = vec![vec![0_u64; intervals]; first.len()];
        let mut others = vec![0_u64; intervals];
        for slot in found.iter() {
            let Some(place) = place(slot) else { continue };
            let mut series = series_of[words.set_of(slot) as usize];
            if series == 0 {
                others[place] += 1;
            }
            while series != 0 {
                counts[series.trailing_zeros() as usize][place] += 1;
                series &= series - 1;
            }
        }
        let counted = first.iter().map(|(count, word, _)| Counted { word: (*word).to_owned(), count: *count });
        Trend { series: counted.zip(counts).collect(), others, beside }
    }
}

#[cfg(test)]
mod tests {
    use tipline_kql::Fields;

    use super::*;
    use crate::{time_column, word_column};

    /// A claim an hour with the tag of its place of three, and one that has none.
    fn columns() -> Columns {
        let mut columns = Columns::new(&Fields::new([("tags", "keyword"), ("@timestamp", "date")]));
        for hour in 0..24 {
            let tag = ["a", "b", "c"][hour % 3];
            let json = format!(r#"{{"@timestamp":"2026-11-27T{hour:02}:00:00Z","tags":["{tag}","all"]}}"#);
            columns.put(u32::try_from(hour).unwrap(), &hour.to_string(), &json).unwrap();
        }
        columns.put(24, "24", r#"{"@timestamp":"2026-11-27T05:30:00Z"}"#).unwrap();
        columns.settle();
        columns
    }

    const BEGIN: Millis = 1_795_737_600_000;
    fn over(hours: u64, interval: Millis) -> Over {
        let time = time_column("@timestamp").unwrap();
        Over { time, from: BEGIN, to: BEGIN + hours * HOUR, interval }
    }

    #[test]
    fn a_trend_counts_each_word_by_interval_and_the_rest_as_others() {
        let columns = columns();
        let tags = word_column("tags").unwrap();
        let trend = columns.trend(columns.stored(), &over(12, 6 * HOUR), tags, 2);
        let series: Vec<_> = trend
            .series
            .iter()
            .map(|(counted, counts)| (counted.word.as_str(), counted.count, counts.clone()))
            .collect();
        assert_eq!(series, [("all", 12, vec![6, 6]), ("a", 4, vec![2, 2])]);
        // What has no tag at all.
        assert_eq!(trend.others, [1, 0]);
        assert_eq!(trend.beside, Beside { before: 0, behind: 12, timeless: 0 });
    }

    #[test]
    fn what_lies_in_no_interval_is_counted() {
        let mut columns = columns();
        columns.put(25, "25", r#"{"tags":["a"]}"#).unwrap();
        columns.settle();
        let over = Over { from: BEGIN + 6 * HOUR, ..over(12, 6 * HOUR) };
        let trend = columns.trend(columns.stored(), &over, word_column("tags").unwrap(), 2);
        assert_eq!(trend.beside, Beside { before: 7, behind: 12, timeless: 1 });
    }

    #[test]
    fn what_is_rare_and_far_away_is_left_out_at_either_end_and_nothing_else_is() {
        let many = |more: &[Millis]| {
            let mut times: Vec<Millis> =
                (0..300).map(|number| BEGIN + number * HOUR).chain(more.iter().copied()).collect();
            times.sort_unstable();
            ends(&times).unwrap()
        };
        let (first, last) = (BEGIN, BEGIN + 299 * HOUR);
        let (old, new) = (BEGIN - 3_000 * DAY, BEGIN + 3_000 * DAY);
        assert_eq!(many(&[]), (first, last));
        // Not so far that it matters.
        assert_eq!(many(&[BEGIN - DAY]), (BEGIN - DAY, last));
        let (from, to) = many(&[old, old, old]);
        assert_eq!((from, to), (first, last));
        assert_eq!(many(&[new, new, new]), (first, last));
        let (from, to) = many(&[old, new]);
        assert!(from >= first && to <= last && to - from > 280 * HOUR, "{from} {to}");
        // A fiftieth is not rare.
        assert_eq!(many(&[old; 6]), (old, last));
        // Too few to speak of a hundredth.
        assert_eq!(ends(&[old, BEGIN]), Some((old, BEGIN)));
        assert_eq!(ends(&[]), None);
    }

    #[test]
    fn the_ends_of_nearly_all_are_known_whatever_their_number() {
        let mut columns = Columns::new(&Fields::new([("@timestamp", "date")]));
        let time = time_column("@timestamp").unwrap();
        assert_eq!(columns.nearly_all(columns.stored(), time), None);
        let of = |number: u64| {
            let at = if number == 7 { BEGIN - 3_000 * DAY } else { BEGIN + number * 1_000 };
            format!(r#"{{"@timestamp":"{}"}}"#, tipline_model::time::print(at))
        };
        for number in 0..2 * SAMPLED as u32 + 5 {
            columns.put(number, &number.to_string(), &of(u64::from(number))).unwrap();
        }
        columns.settle();
        let (from, to) = columns.nearly_all(columns.stored(), time).unwrap();
        let last = BEGIN + (2 * SAMPLED as u64 + 4) * 1_000;
        assert!(from >= BEGIN && from < BEGIN + (last - BEGIN) / 50 && to == last, "{from} {to}");
    }

    #[test]
    fn intervals_are_round_and_hold_both_ends() {
        for (from, to, intervals, expected) in [
            (BEGIN, BEGIN, 10, (BEGIN, BEGIN + MINUTE, MINUTE)),
            (BEGIN + 1, BEGIN + 10 * MINUTE, 10, (BEGIN, BEGIN + 10 * MINUTE, MINUTE)),
            (BEGIN + 1, BEGIN + 10 * MINUTE + 2, 10, (BEGIN, BEGIN + 15 * MINUTE, 5 * MINUTE)),
            (BEGIN, BEGIN + 29 * DAY, 30, (BEGIN, BEGIN + 29 * DAY, DAY)),
            (0, 4_000 * DAY, 5, (0, 4_368 * DAY, 1_092 * DAY)),
            // Nothing to divide by, and an end before the beginning.
            (BEGIN, BEGIN + DAY, 0, (BEGIN, BEGIN + DAY, DAY)),
            (BEGIN, 0, 10, (BEGIN, BEGIN + MINUTE, MINUTE)),
        ] {
            let over = Over::round(0, from, to, intervals);
            assert_eq!((over.from, over.to, over.interval), expected, "{from} {to} {intervals}");
        }
    }

    #[test]
    fn a_span_is_of_what_was_found() {
        let columns = columns();
        let time = time_column("@timestamp").unwrap();
        assert_eq!(columns.span(columns.stored(), time), Some((BEGIN, BEGIN + 23 * HOUR)));
        assert_eq!(columns.span(&Bits::none(columns.slots()), time), None);
    }

    #[test]
    fn a_trend_has_so_many_series_and_no_more() {
        let mut columns = Columns::new(&Fields::new([("tags", "keyword"), ("@timestamp", "date")]));
        for number in 0..100 {
            let json = format!(r#"{{"@timestamp":"2026-11-27T00:00:00Z","tags":["{number:02}"]}}"#);
            columns.put(number, &number.to_string(), &json).unwrap();
        }
        columns.settle();
        let tags = word_column("tags").unwrap();
        for (top, series) in [(0, 0), (MAX_SERIES, MAX_SERIES), (MAX_SERIES + 1, MAX_SERIES)] {
            let trend = columns.trend(columns.stored(), &over(1, HOUR), tags, top);
            assert_eq!((trend.series.len(), trend.others), (series, vec![100 - series as u64]), "{top}");
        }
    }

    #[test]
    fn a_trend_has_so_many_intervals_and_no_more() {
        let columns = columns();
        let tags = word_column("tags").unwrap();
        let most = MAX_INTERVALS as u64;
        for (intervals, expected) in [(most, MAX_INTERVALS), (most + 1, MAX_INTERVALS)] {
            let over = Over { to: BEGIN + intervals, ..over(0, 1) };
            assert_eq!(columns.trend(columns.stored(), &over, tags, 1).others.len(), expected);
        }
    }
}
