//! What is printed for people: hostile values made harmless, figures made readable, tables made straight.
//!
//! Everything that came from a feed, a server or a file passes [`show`] on its way to a terminal or a log line. It takes
//! the teeth out of addresses (`hxxp://evil[.]example`), so that no terminal makes a link of them and no one clicks by
//! accident, and it writes control characters and those that turn or hide text as `\u{…}`. JSON output is for programs
//! and says what was there; only these characters are written as JSON's own escapes ([`json`]).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use aho_corasick::{AhoCorasick, MatchKind};
use jiff::Timestamp;

use crate::time::Millis;

/// The longest value in a table; the rest is cut, and the cut marked.
const CELL_CHARS: usize = 100;

/// A column is not made narrower than this to fit a terminal: it holds a date, a word, and a beginning of an id by which that
/// is found. Less tells nothing.
const NARROWEST: usize = 12;

/// A hostile text for people's eyes: defanged and escaped.
pub fn show(text: &str) -> String {
    escape(&defang(text)).into_owned()
}

/// [`show`] for a stranger's words in which names of our own may stand, such as the address that was asked: these stay as
/// they are, so that they can be copied. They are known again only where they stand alone, not as a part of a longer name.
pub fn show_beside(text: &str, own: &[String]) -> String {
    beside(text, own)
        .into_iter()
        .map(|(text, is_own)| if is_own { escape(text).into_owned() } else { show(text) })
        .collect()
}

/// The parts of a text, and whether each is one of these names.
pub(crate) fn beside<'t>(text: &'t str, own: &[String]) -> Vec<(&'t str, bool)> {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '\\' | '@' | ':' | '%');
    let stands_alone = |before: &str, name: &str, after: &str| {
        let mut next = after.chars();
        // What stands at an address of our own is no part of it.
        let is_address = name.contains("://") && !name.ends_with('/');
        !before.ends_with(|c| joins(c) || c == '.')
            && match next.next() {
                // A message's own colon or full stop comes before a space, or ends it.
                Some('.' | ':') => next.next().is_none_or(char::is_whitespace),
                Some('/' | '?') if is_address => true,
                next => next.is_none_or(|c| !joins(c)),
            }
    };
    let names: Vec<&str> = own.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let Ok(search) = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(names) else {
        // Names too long to be looked for are no names.
        return vec![(text, false)];
    };
    let mut parts = Vec::new();
    let mut shown = 0;
    for found in search.find_iter(text) {
        let (start, end) = (found.start(), found.end());
        if stands_alone(&text[shown..start], &text[start..end], &text[end..]) {
            parts.extend([(&text[shown..start], false), (&text[start..end], true)]);
            shown = end;
        }
    }
    parts.push((&text[shown..], false));
    parts
}

/// Takes the teeth out of addresses: `hxxp` for `http`, `[.]` for a dot within a name, `[at]` within an address.
pub fn defang(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut previous: Option<char> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if previous.is_none_or(|p| !p.is_alphanumeric())
            && let Some((scheme, harmless)) = scheme(rest)
        {
            out.push_str(harmless);
            rest = &rest[scheme.len()..];
            previous = scheme.chars().last();
            continue;
        }
        if previous.is_none_or(|p| p.is_whitespace() || matches!(p, '=' | '(' | '"' | '\'' | '`' | ','))
            && let Some(length) = harmless(rest)
        {
            out.push_str(&rest[..length]);
            previous = rest[..length].chars().last();
            rest = &rest[length..];
            continue;
        }
        let after = &rest[c.len_utf8()..];
        // Dots that browsers take for one in a name are told apart by no reader.
        let within = previous.is_some_and(|p| !p.is_whitespace() && p != '[' && p != '(')
            && after.starts_with(|n: char| n.is_alphanumeric() || n == '_' || n == '-');
        match c {
            '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' if within => {
                out.push('[');
                out.push(c);
                out.push(']');
            }
            '@' if within => out.push_str("[at]"),
            _ => out.push(c),
        }
        previous = Some(c);
        rest = after;
    }
    out
}

/// The length of a time with a fraction, of a technique's id or of a version that the text begins with: no one takes them for an
/// address.
fn harmless(text: &str) -> Option<usize> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    // `0` stands for a digit.
    let fits = |shape: &str| {
        text.len() >= shape.len()
            && text.bytes().zip(shape.bytes()).all(|(c, s)| if s == b'0' { c.is_ascii_digit() } else { c == s })
    };
    let version = digits(text);
    let version = text[version..].strip_prefix('.').map_or(0, |rest| version + 1 + digits(rest));
    let length = if (3..=7).contains(&version) && !text.starts_with('.') && !text[..version].ends_with('.') {
        // Of two numbers: a version, an amount.
        version
    } else if fits("T0000.000") {
        "T0000.000".len()
    } else if fits("0000-00-00T00:00:00.0") || fits("0000-00-00 00:00:00.0") {
        let whole = "0000-00-00T00:00:00.".len();
        let fraction = whole + digits(&text[whole..]);
        fraction + usize::from(text[fraction..].starts_with('Z'))
    } else {
        return None;
    };
    let ends = |next: char| !next.is_alphanumeric() && !matches!(next, '.' | '-' | '_' | '@' | ':' | '/');
    let mut rest = text[length..].chars();
    let is_apart = match rest.next() {
        // The end of a sentence.
        Some('.') => rest.next().is_none_or(char::is_whitespace),
        // A zone.
        Some('-' | '+') => {
            length > "T0000.000".len() && text[length..].len() > 1 && rest.next().is_some_and(|c| c.is_ascii_digit())
        }
        next => next.is_none_or(ends),
    };
    is_apart.then_some(length)
}

fn scheme(text: &str) -> Option<(&'static str, &'static str)> {
    const SCHEMES: [(&str, &str); 4] =
        [("https://", "hxxps://"), ("http://", "hxxp://"), ("ftp://", "fxp://"), ("file://", "fxle://")];
    SCHEMES.into_iter().find(|(s, _)| text.get(..s.len()).is_some_and(|start| start.eq_ignore_ascii_case(s)))
}

/// Control characters, and those that turn, join or hide text, as `\u{…}`; line ends and tabs as `\n` and `\t`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// [`escape`] for messages of several lines: line ends stay.
pub fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape(line).into_owned()).collect::<Vec<_>>().join("\n")
}

/// JSON as one line that a terminal shows as it is: what [`escape`] would escape stands in its strings as `\u…`, which is the
/// same to every program.
pub fn json(json: &str) -> Cow<'_, str> {
    // Nearly all are of nothing but plain ASCII, which is told at the speed of memory.
    let is_plain = json.bytes().fold(true, |is_plain, byte| is_plain & matches!(byte, b' '..=b'~'));
    if is_plain || !json.chars().any(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            // As such they stand only between values.
            '\n' | '\r' | '\t' => out.push(' '),
            c if is_hidden(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, and those that reorder or hide what is around them.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// [`show`], cut to what a table's cell takes.
pub fn cell(text: &str) -> String {
    cut(&show(text), CELL_CHARS)
}

/// At most so many characters; a cut is marked.
pub fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A duration in its largest units: `45d`, `1h 30m`, `2.5s`, `80ms`.
pub fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    if millis < 60_000 {
        let seconds = format!("{:.1}", duration.as_secs_f64());
        return format!("{}s", seconds.strip_suffix(".0").unwrap_or(&seconds));
    }
    let seconds = duration.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(parts.len() - 1);
    let shown: Vec<_> =
        parts.iter().skip(first).take(2).filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    shown.join(" ")
}

/// A number of bytes: `512 B`, `5 MiB`, `1.5 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let number = format!("{value:.1}");
    format!("{} {}", number.strip_suffix(".0").unwrap_or(&number), UNITS[unit])
}

/// A count with its thousands apart: `23,500`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An instant as RFC 3339 in UTC, in whole seconds.
pub fn instant(at: Millis) -> String {
    i64::try_from(at / 1_000)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| "far in the future".to_owned(), |t| t.to_string())
}

/// How far an instant is from now: `3m ago`, `in 12m`, `now`.
pub fn relative(at: Millis, now: Millis) -> String {
    let apart = Duration::from_secs(at.abs_diff(now) / 1_000);
    match apart.as_secs() {
        0 => "now".to_owned(),
        _ if at < now => format!("{} ago", duration(apart)),
        _ => format!("in {}", duration(apart)),
    }
}

/// How long ago something was; what a clock that ran ahead has dated is no thing of the future.
pub fn ago(at: Millis, now: Millis) -> String {
    match at.saturating_sub(now) / 1_000 {
        0 => relative(at, now),
        ahead => format!("now? (dated {} ahead)", duration(Duration::from_secs(ahead))),
    }
}

/// Whether and how text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    coloured: bool,
    /// How many characters a line may have; any number where it goes to a file or a program.
    width: Option<usize>,
}

impl Style {
    /// Never coloured.
    pub const PLAIN: Self = Self { coloured: false, width: None };

    /// For standard output: coloured on a terminal, unless NO_COLOR is set or the terminal is a dumb one.
    pub fn stdout() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let decided = Self::decide(
            is_terminal,
            std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()),
            std::env::var_os("TERM").is_some_and(|v| v == "dumb"),
        );
        let size = is_terminal.then(|| terminal_size::terminal_size_of(std::io::stdout())).flatten();
        Self { width: size.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0), ..decided }
    }

    fn decide(terminal: bool, no_color: bool, dumb: bool) -> Self {
        Self { coloured: terminal && !no_color && !dumb, width: None }
    }

    /// How long a bar may be behind cells of these widths, with `most` where nothing bounds a line.
    pub fn bar(self, cells: &[usize], most: u64) -> u64 {
        let taken: usize = cells.iter().map(|width| width + GAP).sum();
        self.width.map_or(most, |width| most.min(width.saturating_sub(taken) as u64))
    }

    /// Emphasised.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Less important.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Good.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// To be looked at.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Bad.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Which side a column's cells stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Between two columns.
const GAP: usize = 2;

/// Rows in straight columns. Cells are printed as they are: pass hostile ones through [`cell`].
#[derive(Debug)]
pub struct Table {
    heads: Vec<(&'static str, Align)>,
    /// Columns that may be left out.
    giving_way: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns, none of which is left out.
    pub fn new(heads: &[(&'static str, Align)]) -> Self {
        Self { heads: heads.to_vec(), giving_way: &[], rows: Vec::new() }
    }

    /// On a terminal too narrow for all, these columns give way, the least important first: each is made narrower, and left
    /// out where that is not enough. The others keep their width as long as there are any of these.
    #[must_use]
    pub fn giving_way(self, columns: &'static [&'static str]) -> Self {
        Self { giving_way: columns, ..self }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The columns' widths for a line of so many characters; none for those that are left out. Numbers are never cut.
    fn fitted(&self, widths: Vec<usize>, line: Option<usize>) -> Vec<Option<usize>> {
        let mut widths: Vec<Option<usize>> = widths.into_iter().map(Some).collect();
        let Some(line) = line else { return widths };
        let excess = |widths: &[Option<usize>]| {
            let shown = widths.iter().flatten();
            let all = shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1);
            all.saturating_sub(line)
        };
        for name in self.giving_way {
            let Some(column) = self.heads.iter().position(|(head, _)| head == name) else { continue };
            let (Some(width), excess) = (widths[column], excess(&widths)) else { continue };
            let least = if self.heads[column].1 == Align::Left { width.min(NARROWEST) } else { width };
            widths[column] = match excess {
                0 => break,
                _ if width >= least + excess => Some(width - excess),
                _ => None,
            };
        }
        while excess(&widths) > 0 {
            let of_words = widths.iter_mut().zip(&self.heads).filter(|(_, (_, align))| *align == Align::Left);
            let widest = of_words.filter_map(|(width, _)| width.as_mut()).max_by_key(|width| **width);
            match widest.filter(|width| **width > NARROWEST) {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        widths
    }

    /// The table with its line ends.
    pub fn render(&self, style: Style) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([self.heads[column].0.chars().count()]).max().unwrap_or(0)
        };
        let widths = self.fitted((0..self.heads.len()).map(width).collect(), style.width);
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut out = String::new();
            for ((cell, (_, align)), width) in cells.zip(&self.heads).zip(&widths) {
                let Some(width) = width else { continue };
                let cell = cut(cell, *width);
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (before, after) =
                    if *align == Align::Right { (padding, String::new()) } else { (String::new(), padding) };
                let _ = write!(out, "{before}{cell}{after}  ");
            }
            out.truncate(out.trim_end().len());
            out
        };
        let mut out = style.bold(&line(&mut self.heads.iter().map(|(head, _)| *head)));
        out.push('\n');
        for row in &self.rows {
            out.push_str(&line(&mut row.iter().map(String::as_str)));
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_our_own_stay_where_they_stand_alone() {
        let own = ["tipline.db".to_owned(), "/var/lib/tip.line/tipline.db".to_owned()];
        for (given, shown) in [
            ("tipline.db cannot be written: evil.example", "tipline.db cannot be written: evil[.]example"),
            ("see `tipline.db`, tipline.db: and tipline.db.", "see `tipline.db`, tipline.db: and tipline.db."),
            ("/var/lib/tip.line/tipline.db is locked", "/var/lib/tip.line/tipline.db is locked"),
            ("http://tipline.db/", "hxxp://tipline[.]db/"),
            ("tipline.db.evil.example", "tipline[.]db[.]evil[.]example"),
            ("evil.tipline.db", "evil[.]tipline[.]db"),
            ("tipline.db:80 user@tipline.db", "tipline[.]db:80 user[at]tipline[.]db"),
            ("tipline.db\u{202e} evil.example", "tipline.db\\u{202e} evil[.]example"),
        ] {
            assert_eq!(show_beside(given, &own), shown);
        }
        assert_eq!(show_beside("a.example", &[String::new()]), "a[.]example");
        let own = ["http://127.0.0.1:8080".to_owned(), "127.0.0.1:8080".to_owned(), "127.0.0.1".to_owned()];
        for (given, shown) in [
            ("http://127.0.0.1:8080/x.y answers 500", "http://127.0.0.1:8080/x[.]y answers 500"),
            ("127.0.0.1:8080 refused the connection", "127.0.0.1:8080 refused the connection"),
            ("127.0.0.1 is nobody's.", "127.0.0.1 is nobody's."),
            ("http://127.0.0.1:80801/", "hxxp://127[.]0[.]0[.]1:80801/"),
            ("127.0.0.12", "127[.]0[.]0[.]12"),
            ("http://127.0.0.1:8080@evil.example/", "hxxp://127[.]0[.]0[.]1:8080[at]evil[.]example/"),
        ] {
            assert_eq!(show_beside(given, &own), shown);
        }
    }

    #[test]
    fn addresses_lose_their_teeth() {
        for (text, expected) in [
            ("http://evil.example/a.php?x=1", "hxxp://evil[.]example/a[.]php?x=1"),
            ("HTTPS://EVIL.example", "hxxps://EVIL[.]example"),
            ("see https://a.b and ftp://c.d.", "see hxxps://a[.]b and fxp://c[.]d."),
            ("198.51.100.7", "198[.]51[.]100[.]7"),
            ("bob@evil.example", "bob[at]evil[.]example"),
            ("evil。example", "evil[。]example"),
            ("already[.]done", "already[.]done"),
            ("version=2.1; TAXII 2.1, 0.5 s", "version=2.1; TAXII 2.1, 0.5 s"),
            ("10.1/x 2.1.example 1.2.3", "10[.]1/x 2[.]1[.]example 1[.]2[.]3"),
            ("T1059.001", "T1059.001"),
            ("see T1059.001.", "see T1059.001."),
            ("T1059.001.evil.example", "T1059[.]001[.]evil[.]example"),
            ("xT1059.001", "xT1059[.]001"),
            ("evil.T1059.001", "evil[.]T1059[.]001"),
            ("until 2026-11-21T18:18:57.123Z.", "until 2026-11-21T18:18:57.123Z."),
            ("2026-11-21 18:18:57.1+02:00", "2026-11-21 18:18:57.1+02:00"),
            ("2026-11-21T18:18:57.evil.example", "2026-11-21T18:18:57[.]evil[.]example"),
            ("2026-11-21T18:18:57.5Z.example", "2026-11-21T18:18:57[.]5Z[.]example"),
            ("A sentence. Another one.", "A sentence. Another one."),
            ("d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e"),
        ] {
            assert_eq!(defang(text), expected);
        }
    }

    #[test]
    fn nothing_hidden_reaches_the_terminal() {
        for (text, expected) in [
            ("\x1b[31mred\x07", "\\u{1b}[31mred\\u{7}"),
            ("a\u{202e}cod.exe", "a\\u{202e}cod[.]exe"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("\u{feff}mark", "\\u{feff}mark"),
            ("two\nlines\ttab\rend", "two\\nlines\\ttab\\rend"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("plain ünïcödé 中", "plain ünïcödé 中"),
        ] {
            assert_eq!(show(text), expected);
        }
        assert_eq!(escape_lines("a\nb\x07"), "a\nb\\u{7}");
    }

    #[test]
    fn json_is_the_same_and_harmless() {
        for (given, expected) in [
            ("{\"a\":\"\u{9b}31m \u{202e}x\"}", r#"{"a":"\u009b31m \u202ex"}"#),
            ("{\"tag\":\"\u{e0041}\"}", r#"{"tag":"\udb40\udc41"}"#),
            ("{\n\t\"a\": 1\r\n}", "{  \"a\": 1  }"),
            (r#"{"a":"\u001b[2J ü 中"}"#, r#"{"a":"\u001b[2J ü 中"}"#),
        ] {
            let shown = json(given);
            assert_eq!(shown, expected);
            assert!(!shown.chars().any(is_hidden));
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(&shown), value(given));
        }
    }

    #[test]
    fn figures() {
        for (seconds, expected) in [(0.08, "80ms"), (2.5, "2.5s"), (30.0, "30s"), (900.0, "15m"), (5_400.0, "1h 30m")] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), expected);
        }
        assert_eq!(duration(Duration::from_secs(45 * 86_400)), "45d");
        assert_eq!(duration(Duration::from_secs(86_400 + 59)), "1d");
        for (n, expected) in [(0, "0 B"), (1_023, "1023 B"), (5 << 20, "5 MiB"), (3 << 29, "1.5 GiB")] {
            assert_eq!(bytes(n), expected);
        }
        for (n, expected) in [(0, "0"), (999, "999"), (23_500, "23,500"), (1_000_000, "1,000,000")] {
            assert_eq!(count(n), expected);
        }
        assert_eq!(instant(1_733_740_200_250), "2024-12-09T10:30:00Z");
        assert_eq!(instant(u64::MAX), "far in the future");
        assert_eq!(relative(1_000, 181_000), "3m ago");
        assert_eq!(relative(181_000, 1_000), "in 3m");
        assert_eq!(relative(1_000, 1_500), "now");
        assert_eq!(ago(1_000, 181_000), "3m ago");
        assert_eq!(ago(1_500, 1_000), "now");
        assert_eq!(ago(181_000, 1_000), "now? (dated 3m ahead)");
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        assert_eq!(Style::decide(true, false, false).red("x"), "\x1b[31mx\x1b[0m");
        for (terminal, no_color, dumb) in [(false, false, false), (true, true, false), (true, false, true)] {
            assert_eq!(Style::decide(terminal, no_color, dumb), Style::PLAIN);
        }
    }

    #[test]
    fn tables_fit_the_terminal_and_no_pipe_is_cut() {
        let heads = [("VALUE", Align::Left), ("PROVIDER", Align::Left), ("TIMES", Align::Right)];
        let row = ["a-long-name[.]example", "A provider of much", "1,200"].map(str::to_owned);
        let (mut equal, mut unequal) = (Table::new(&heads), Table::new(&heads).giving_way(&["TIMES", "PROVIDER"]));
        equal.row(row.clone());
        unequal.row(row);
        let terminal = |width| Style { width: Some(width), ..Style::PLAIN };
        let whole =
            "VALUE                  PROVIDER            TIMES\na-long-name[.]example  A provider of much  1,200\n";
        for (table, style, expected) in [
            (&equal, Style::PLAIN, whole),
            (&equal, terminal(48), whole),
            (
                &equal,
                terminal(47),
                "VALUE                 PROVIDER            TIMES\na-long-name[.]examp…  A provider of much  1,200\n",
            ),
            (&equal, terminal(1), "VALUE         PROVIDER      TIMES\na-long-name…  A provider …  1,200\n"),
            (&unequal, Style::PLAIN, whole),
            (&unequal, terminal(48), whole),
            // A number is left out or whole; words are cut first.
            (&unequal, terminal(47), "VALUE                  PROVIDER\na-long-name[.]example  A provider of much\n"),
            (&unequal, terminal(40), "VALUE                  PROVIDER\na-long-name[.]example  A provider of mu…\n"),
            (&unequal, terminal(35), "VALUE                  PROVIDER\na-long-name[.]example  A provider …\n"),
            (&unequal, terminal(34), "VALUE\na-long-name[.]example\n"),
            (&unequal, terminal(21), "VALUE\na-long-name[.]example\n"),
            (&unequal, terminal(20), "VALUE\na-long-name[.]examp…\n"),
            (&unequal, terminal(1), "VALUE\na-long-name…\n"),
        ] {
            assert_eq!(table.render(style), expected, "{style:?}");
        }
    }

    #[test]
    fn bars_take_what_room_is_left() {
        let terminal = |width| Style { width: Some(width), ..Style::PLAIN };
        for (style, length) in [
            (Style::PLAIN, 50),
            (terminal(100), 50),
            (terminal(70), 50),
            (terminal(69), 49),
            (terminal(40), 20),
            (terminal(21), 1),
            (terminal(20), 0),
            (terminal(1), 0),
        ] {
            assert_eq!(style.bar(&[10, 6], 50), length, "{style:?}");
        }
    }

    #[test]
    fn tables_are_straight_and_cells_cut() {
        let mut table = Table::new(&[("type", Align::Left), ("n", Align::Right)]);
        table.row(["ipv4-addr".to_owned(), "7".to_owned()]);
        table.row(["url".to_owned(), "1,200".to_owned()]);
        assert_eq!(table.render(Style::PLAIN), "type           n\nipv4-addr      7\nurl        1,200\n");
        let long = "x".repeat(CELL_CHARS);
        assert_eq!(cell(&long), long);
        assert_eq!(cell(&format!("{long}x")).chars().count(), CELL_CHARS);
        assert!(cell(&format!("{long}x")).ends_with('…'));
    }
}
