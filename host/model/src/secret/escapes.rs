//! Finds a text however its characters are escaped, each in a way of its own.
//!
//! A server that repeats a key may escape any of its characters and leave any other as it is, and every encoder keeps
//! other ones; so a list of whole codings is never complete. Here each escape in a text is read back on its own: percent
//! signs (of either case), `\u002f`, `\x2f`, `\/`, `&#47;`, `&#x2f;`, `&amp;`, `%u002f`, and what is escaped again up to
//! three times, such as `\\u002f` or `%26%2347%3B`. What is no ASCII may also have been read as Latin-1 in between, as servers
//! do with headers: `\u00fc`, `\u00c3\u00bc` and `&uuml;` are all the same letter.
//! Where what an escape stands for may be a character of a needle, and what stands before it is the needle's beginning, the
//! rest is followed character by character. A text without escapes costs one look for the characters that begin one.

use std::ops::Range;

use super::alone::stands_alone;

/// How often an escape may itself be escaped. A proxy and an application that each do it once are two.
const MAX_LAYERS: usize = 3;

/// The most digits of an escape by number: those of the last code point, and leading zeros.
const MAX_DIGITS: usize = 8;

/// What HTML calls the characters of Latin-1, from the first that is no control character.
const LATIN: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy",
    "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm",
    "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig",
    "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve",
    "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN",
    "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc",
    "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml",
    "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

/// What HTML calls other characters.
const NAMED: [(&str, char); 44] = [
    ("amp", '&'),
    ("AMP", '&'),
    ("lt", '<'),
    ("LT", '<'),
    ("gt", '>'),
    ("GT", '>'),
    ("quot", '"'),
    ("QUOT", '"'),
    ("apos", '\''),
    ("excl", '!'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("midast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("UnderBar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("rcub", '}'),
    ("rbrace", '}'),
    ("euro", '\u{20ac}'),
    ("OElig", '\u{152}'),
    ("oelig", '\u{153}'),
];

/// What the texts looked for have at which place, by byte.
#[derive(Clone)]
pub(super) struct Escapes {
    needles: Vec<Needle>,
    /// For each byte: the needles that hold it, and where.
    places: Vec<Vec<(usize, usize)>>,
    /// Whether any holds more than ASCII.
    is_beyond_ascii: bool,
}

/// A text that is looked for.
#[derive(Clone)]
struct Needle {
    bytes: Vec<u8>,
    /// Whether it counts only where it stands alone.
    is_short: bool,
}

/// What may be meant at a place, and how much of the text it takes.
#[derive(Clone, Copy)]
struct Reading {
    utf8: [u8; 4],
    count: usize,
    length: usize,
}

impl Reading {
    fn bytes(&self) -> &[u8] {
        self.utf8.get(..self.count).unwrap_or_default()
    }

    /// The one ASCII character that is meant.
    fn ascii(&self) -> Option<u8> {
        match self.bytes() {
            [byte] if byte.is_ascii() => Some(*byte),
            _ => None,
        }
    }
}

/// Who is told of a reading.
type Told<'t> = &'t mut dyn FnMut(Reading);

impl Escapes {
    /// Looks for these texts, each with whether it counts only where it stands alone.
    pub(super) fn new(needles: impl IntoIterator<Item = (String, bool)>) -> Self {
        let needle = |(text, is_short): (String, bool)| Needle { bytes: text.into_bytes(), is_short };
        let needles: Vec<Needle> = needles.into_iter().map(needle).collect();
        let mut places = vec![Vec::new(); 256];
        for (number, needle) in needles.iter().enumerate() {
            for (at, byte) in needle.bytes.iter().enumerate() {
                places[usize::from(*byte)].push((number, at));
            }
        }
        let is_beyond_ascii = needles.iter().any(|needle| !needle.bytes.is_ascii());
        Self { needles, places, is_beyond_ascii }
    }

    /// Where the needles stand with at least one escape in them; in order, without overlaps. The ends are borders of
    /// characters: a needle begins and ends with a whole one, and so does what stands for one.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut from = 0;
        let begins = |byte: &u8| matches!(byte, b'%' | b'\\' | b'&') || self.is_beyond_ascii && !byte.is_ascii();
        while let Some(at) = text[from..].iter().position(begins).map(|at| from + at) {
            from = at + 1;
            let after = found.last().map_or(0, |last| last.end);
            if at < after {
                continue;
            }
            if let Some(span) = self.around(&text[after..], at - after) {
                from = after + span.end;
                found.push(after + span.start..after + span.end);
            }
        }
        found
    }

    /// The longest needle whose first escape stands here.
    fn around(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let mut longest: Option<Range<usize>> = None;
        readings(&text[at..], MAX_LAYERS, &mut |reading| {
            let Some(first) = reading.bytes().first() else { return };
            for (number, place) in &self.places[usize::from(*first)] {
                let needle = &self.needles[*number];
                let (before, rest) = needle.bytes.split_at(*place);
                if !rest.starts_with(reading.bytes()) || !text[..at].ends_with(before) {
                    continue;
                }
                let Some(end) = end(text, at + reading.length, &rest[reading.count..]) else { continue };
                let span = at - before.len()..end;
                if longest.as_ref().is_some_and(|longest| longest.len() >= span.len()) {
                    continue;
                }
                if !needle.is_short || stands_alone(text, &span, &needle.bytes) {
                    longest = Some(span);
                }
            }
        });
        longest
    }
}

/// Where a needle ends that goes on from here, escaped or not.
fn end(text: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    // What is left of the needle at which place of the text: an escape may have more than one reading.
    let mut open = vec![(from, 0)];
    let mut seen = 0;
    let mut end = None;
    while let Some((place, done)) = open.get(seen).copied() {
        seen += 1;
        let wanted = &needle[done..];
        let Some(first) = wanted.first() else {
            end = end.max(Some(place));
            continue;
        };
        let rest = &text[place..];
        let mut reach = |next: (usize, usize)| {
            if !open.contains(&next) {
                open.push(next);
            }
        };
        if rest.first() == Some(first) {
            reach((place + 1, done + 1));
        }
        readings(rest, MAX_LAYERS, &mut |reading| {
            if wanted.starts_with(reading.bytes()) {
                reach((place + reading.length, done + reading.count));
            }
        });
    }
    end
}

/// All that may be meant by what begins here, with escapes in so many layers; not what stands here as it is.
fn readings(text: &[u8], layers: usize, found: Told<'_>) {
    one_by_one(text, layers, &mut |reading| {
        found(reading);
        // A byte that was read as a letter of Latin-1, each of whose own two is escaped.
        let [first @ (0xc2 | 0xc3)] = reading.bytes() else { return };
        one_by_one(&text[reading.length..], layers, &mut |next| {
            if let [second @ 0x80..=0xbf] = next.bytes() {
                found(latin(*first, *second, reading.length + next.length));
            }
        });
    });
}

/// The byte whose letter of Latin-1 these two are in UTF-8.
fn latin(first: u8, second: u8, length: usize) -> Reading {
    Reading { utf8: [(first << 6) | (second & 0x3f), 0, 0, 0], count: 1, length }
}

/// As [`readings`], but for two escapes that are one character together.
fn one_by_one(text: &[u8], layers: usize, found: Told<'_>) {
    match text {
        [intro @ (b'%' | b'\\' | b'&'), ..] => introduced(text, (*intro, 1), 0, layers, found),
        // A letter of Latin-1 in UTF-8 is a byte that was read as one.
        [first @ (0xc2 | 0xc3), second @ 0x80..=0xbf, ..] => {
            found(latin(*first, *second, 2));
        }
        // A byte that is no UTF-8 is such a letter.
        [byte @ 0x80..=0xff, ..] => character(u32::from(*byte), 1, found),
        _ => {}
    }
}

/// The escapes that begin with `intro`, for which the first `length` bytes stand, themselves escaped `layer` times.
fn introduced(text: &[u8], (intro, length): (u8, usize), layer: usize, layers: usize, found: Told<'_>) {
    if layer == layers {
        return;
    }
    let mut each = |reading: Reading| {
        found(reading);
        if let Some(intro @ (b'%' | b'\\' | b'&')) = reading.ascii() {
            introduced(text, (intro, reading.length), layer + 1, layers, found);
        }
    };
    match intro {
        b'%' => percent(text, length, &mut each),
        b'\\' => backslash(text, length, layer, &mut each),
        _ => entity(text, length, layer, &mut each),
    }
}

/// An escape of URLs.
fn percent(text: &[u8], at: usize, found: Told<'_>) {
    if text.get(at) == Some(&b'u') {
        return utf16(text, at, found);
    }
    if let Some(byte) = number(text.get(at..at + 2), 16) {
        character(byte, at + 2, found);
    }
}

/// An escape of JSON, JavaScript, Python and their like.
fn backslash(text: &[u8], at: usize, layer: usize, found: Told<'_>) {
    let rest = &text[at..];
    match rest {
        [b'u' | b'x', b'{', digits @ ..] => {
            let Some(count) = digits.iter().take(MAX_DIGITS + 1).position(|byte| *byte == b'}') else { return };
            if let Some(code) = number(digits.get(..count), 16) {
                character(code, at + count + 3, found);
            }
        }
        [b'u', ..] => utf16(text, at, found),
        [letter @ (b'x' | b'U'), ..] => {
            let count = if *letter == b'x' { 2 } else { 8 };
            if let Some(code) = number(rest.get(1..=count), 16) {
                character(code, at + count + 1, found);
            }
        }
        [b'0'..=b'3', ..] => {
            if let Some(code) = number(rest.get(..3), 8) {
                character(code, at + 3, found);
            }
        }
        // Who escapes a backslash escapes the other one as well.
        [b'\\' | b'%' | b'&', ..] if layer > 0 => {}
        [punctuation, ..] if punctuation.is_ascii_punctuation() => character(u32::from(*punctuation), at + 1, found),
        _ => {}
    }
    readings(rest, layer, &mut |reading| {
        if reading.ascii().is_some_and(|byte| byte.is_ascii_punctuation()) {
            found(Reading { length: at + reading.length, ..reading });
        }
    });
}

/// An escape of HTML and XML.
fn entity(text: &[u8], at: usize, layer: usize, found: Told<'_>) {
    let (mut from, mut radix) = (at, 0);
    if let Some(length) = symbol(&text[at..], b'#', layer) {
        (from, radix) = (at + length, 10);
        if let Some(b'x' | b'X') = text.get(from) {
            (from, radix) = (from + 1, 16);
        }
    }
    let count = text[from..].iter().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let Some(length) = symbol(&text[from + count..], b';', layer) else { return };
    let said = &text[from..from + count];
    let code = if radix == 0 { named(said) } else { number(Some(said), radix) };
    if let Some(code) = code {
        character(code, from + count + length, found);
    }
}

fn named(name: &[u8]) -> Option<u32> {
    let latin = || LATIN.iter().zip(0xa0..).find(|(known, _)| known.as_bytes() == name).map(|(_, code)| code);
    let other = NAMED.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, c)| u32::from(*c));
    other.or_else(latin)
}

/// How much of the text stands for this symbol, as it is or escaped in up to so many layers.
fn symbol(text: &[u8], wanted: u8, layers: usize) -> Option<usize> {
    let mut length = (text.first() == Some(&wanted)).then_some(1);
    if length.is_none() {
        readings(text, layers, &mut |reading| {
            if reading.ascii() == Some(wanted) {
                length = Some(reading.length);
            }
        });
    }
    length
}

/// Four digits behind a `u` that stands at `at`, and the other half of a character that takes two of them.
fn utf16(text: &[u8], at: usize, found: Told<'_>) {
    let Some(first) = number(text.get(at + 1..at + 5), 16) else { return };
    if !(0xd800..0xdc00).contains(&first) {
        return character(first, at + 5, found);
    }
    let (intro, rest) = (&text[..=at], &text[at + 5..]);
    let second = rest.strip_prefix(intro).and_then(|digits| number(digits.get(..4), 16));
    if let Some(second @ 0xdc00..0xe000) = second {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        character(code, at + 5 + intro.len() + 4, found);
    }
}

/// A character by its number, which may also be a byte's.
fn character(code: u32, length: usize, found: Told<'_>) {
    if let Some(c) = char::from_u32(code) {
        let mut utf8 = [0; 4];
        let count = c.encode_utf8(&mut utf8).len();
        found(Reading { utf8, count, length });
    }
    if let Ok(byte @ 0x80..) = u8::try_from(code) {
        found(Reading { utf8: [byte, 0, 0, 0], count: 1, length });
    }
}

fn number(digits: Option<&[u8]>, radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits?).ok()?;
    // `from_str_radix` takes a sign as well.
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "tk+7f3/9a%Q=z&x~b\"e";

    /// Every way of one character.
    fn ways(c: char) -> Vec<String> {
        let code = u32::from(c);
        let mut ways = vec![
            c.to_string(),
            format!("%{code:02X}"),
            format!("%{code:02x}"),
            format!("%25{code:02X}"),
            format!("%2525{code:02x}"),
            format!("\\u{code:04x}"),
            format!("\\u{code:04X}"),
            format!("\\x{code:02x}"),
            format!("&#{code};"),
            format!("&#x{code:X};"),
        ];
        if c.is_ascii_punctuation() {
            ways.push(format!("\\{c}"));
        }
        ways
    }

    #[test]
    fn any_mix_of_escapes_is_found_from_end_to_end() {
        let escapes = Escapes::new([(KEY.to_owned(), false)]);
        let mut random = fastrand::Rng::with_seed(20_261_122);
        for _ in 0..2_000 {
            let coded: String = KEY.chars().map(|c| random.choice(ways(c)).unwrap()).collect();
            if coded == KEY {
                continue;
            }
            for (before, after) in [("", ""), ("\u{e9}%41 t", "&lt;\u{e9}"), ("tk", "%2")] {
                let text = format!("{before}{coded}{after}");
                let expected = before.len()..before.len() + coded.len();
                assert_eq!(escapes.find(text.as_bytes()), [expected], "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_coding_of_a_needle_is_not_found() {
        let escapes = Escapes::new([KEY, "\\\\\\\\\\\\\\\\x"].map(|needle| (needle.to_owned(), false)));
        let almost = KEY.replace('/', "%2F").replace('e', "%66");
        for text in ["", "%", "%%%", "\\", "\\u00", "&;", "&#;", "&#x+41;", "%+1", &almost, &"\\".repeat(1_000)] {
            assert_eq!(escapes.find(text.as_bytes()), Vec::<Range<usize>>::new(), "{text}");
        }
    }

    #[test]
    fn a_percent_sign_is_read_back_so_often_and_no_further() {
        let escapes = Escapes::new([("abcdefgh/".to_owned(), false)]);
        for (layers, is_found) in [(MAX_LAYERS, true), (MAX_LAYERS + 1, false)] {
            let text = format!("abcdefgh%{}2f", "25".repeat(layers - 1));
            assert_eq!(escapes.find(text.as_bytes()).len(), usize::from(is_found), "{text}");
        }
    }

    /// What common encoders make of a password that is more than ASCII.
    #[test]
    fn a_letter_beyond_ascii_is_found_in_every_form() {
        let secret = "M\u{fc}ll\"er\\\u{20ac}\u{1f600}x";
        let utf16 = |text: &str| -> String {
            let unit = |unit: u16| match u8::try_from(unit).map(char::from) {
                Ok(c) if c.is_ascii() => c.to_string(),
                _ => format!("\\u{unit:04x}"),
            };
            text.encode_utf16().map(unit).collect()
        };
        // As Python, PHP and many others write JSON.
        let json = |text: &str| utf16(&text.replace('\\', "\\\\").replace('"', "\\\""));
        let latin: String = secret.bytes().map(char::from).collect();
        let entities = |text: &str, each: fn(u32) -> String| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { each(u32::from(c)) }).collect()
        };
        let percent = |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let decimal = entities(secret, |code| format!("&#{code};"));
        let forms = [
            json(secret),
            json(secret)
                .to_ascii_uppercase()
                .replace("\\U", "\\u")
                .replace("ER", "er")
                .replace("LL", "ll")
                .replace('X', "x"),
            json(&json(secret)),
            json(&json(&json(secret))),
            serde_json::to_string(&json(secret)).unwrap().trim_matches('"').to_owned(),
            json(&latin),
            latin.clone(),
            decimal.clone(),
            entities(secret, |code| format!("&#x{code:x};")),
            entities(secret, |code| format!("&#x{code:05X};")),
            entities(secret, |code| format!("\\x{{{code:x}}}")),
            entities(secret, |code| format!("\\u{{{code:x}}}")),
            entities(secret, |code| format!("\\U{code:08x}")),
            entities(&latin, |code| format!("\\x{code:02x}")),
            entities(&latin, |code| format!("\\{code:03o}")),
            json(secret).replace("\\u", "%u").replace("\\\"", "%22").replace("\\\\", "%5C"),
            decimal.replace('&', "&amp;"),
            percent(secret),
            percent(&latin),
            percent(&decimal),
            percent(&json(secret)),
            percent(&percent(secret)),
            "M&uuml;ll&quot;er&bsol;&euro;&#128512;x".to_owned(),
            "M%FCll%22er%5C&#8364;\\ud83d\\ude00x".to_owned(),
        ];
        let escapes = Escapes::new([(secret.to_owned(), false)]);
        for form in forms {
            for (before, after) in [("", ""), ("\u{e9}: ", "\u{fc}&amp;")] {
                let text = format!("{before}{form}{after}");
                let expected = before.len()..before.len() + form.len();
                assert_eq!(escapes.find(text.as_bytes()), [expected], "{text}");
            }
        }
        // In Latin-1 itself, which is no UTF-8.
        let escapes = Escapes::new([("M\u{fc}ll".to_owned(), false)]);
        let expected = 2..6;
        assert_eq!(escapes.find(b"a M\xfcll b"), [expected]);
    }

    #[test]
    fn an_escape_has_so_many_digits_and_no_more() {
        let escapes = Escapes::new([("abcdef\u{fc}h".to_owned(), false)]);
        for (zeros, is_found) in [(MAX_DIGITS - 2, true), (MAX_DIGITS - 1, false)] {
            let zeros = "0".repeat(zeros);
            for text in [format!("abcdef&#x{zeros}fc;h"), format!("abcdef\\u{{{zeros}fc}}h")] {
                assert_eq!(escapes.find(text.as_bytes()).len(), usize::from(is_found), "{text}");
            }
        }
    }

    #[test]
    fn what_is_escaped_so_often_is_found_and_no_further() {
        let escapes = Escapes::new([("abcdef\u{fc}h".to_owned(), false)]);
        let mut text = "abcdef\\u00fch".to_owned();
        for layer in 1..=MAX_LAYERS + 1 {
            assert_eq!(escapes.find(text.as_bytes()).len(), usize::from(layer <= MAX_LAYERS), "{text}");
            text = text.replace('\\', "\\\\");
        }
    }
}
