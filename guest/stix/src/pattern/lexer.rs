//! A pattern's tokens.

use super::Refusal;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    /// A name, also with hyphens. The grammar wants quotes around a property's name that has one; many leave them out.
    Name,
    /// `AND` and its like: they are no names.
    Keyword,
    Symbol,
    Boolean,
    Int,
    NegativeInt,
    Float,
    NegativeFloat,
    Text,
    Hex,
    Binary,
    Time,
    /// A character that begins nothing.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// Where it begins, in bytes.
    pub(super) at: usize,
}

impl Token<'_> {
    /// Whether it is this keyword or symbol.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Keyword | Kind::Symbol) && self.text == text
    }
}

const KEYWORDS: [&str; 16] = [
    "AND",
    "OR",
    "NOT",
    "FOLLOWEDBY",
    "LIKE",
    "MATCHES",
    "ISSUPERSET",
    "ISSUBSET",
    "EXISTS",
    "IN",
    "START",
    "STOP",
    "WITHIN",
    "REPEATS",
    "SECONDS",
    "TIMES",
];

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, Refusal> {
        self.skip();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let (kind, length) = self.token(rest)?;
        let token = Token { kind, text: rest.get(..length).unwrap_or_default(), at: self.at };
        self.at = self.at.saturating_add(length);
        Ok(token)
    }

    /// Where the last token ended.
    pub(super) fn end(&self) -> usize {
        self.at
    }

    /// Passes over white space and comments.
    fn skip(&mut self) {
        loop {
            let mut rest = self.text.get(self.at..).unwrap_or_default();
            if let Some(behind) = rest.strip_prefix(' ') {
                self.at = self.at.saturating_add(1);
                rest = behind;
            }
            // Most of what follows is ASCII, and no comment.
            if rest.bytes().next().is_some_and(|b| b.is_ascii_graphic() && b != b'/') {
                return;
            }
            let bare = rest.trim_start_matches(is_blank);
            let after = if let Some(comment) = bare.strip_prefix("//") {
                comment.find(['\r', '\n']).and_then(|end| comment.get(end..)).unwrap_or_default()
            } else if let Some((_, after)) = bare.strip_prefix("/*").and_then(|comment| comment.split_once("*/")) {
                after
            } else {
                bare
            };
            self.at = self.text.len().saturating_sub(after.len());
            if after.len() == bare.len() {
                return;
            }
        }
    }

    /// What begins the text, and its length.
    fn token(&self, rest: &str) -> Result<(Kind, usize), Refusal> {
        let Some(first) = rest.bytes().next() else { return Ok((Kind::End, 0)) };
        match first {
            b'\'' | b'"' => return self.string(rest, first).map(|length| (Kind::Text, length)),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => return Ok(word(rest)),
            _ => {}
        }
        if let Some(number) = number(rest) {
            return Ok(number);
        }
        let length = match (first, rest.as_bytes().get(1)) {
            (b'=' | b'!' | b'<' | b'>', Some(b'=')) | (b'<', Some(b'>')) => 2,
            (b'=' | b'<' | b'>' | b'[' | b']' | b'(' | b')' | b'.' | b',' | b':' | b'*', _) => 1,
            _ => return Ok((Kind::Other, rest.chars().next().map_or(0, char::len_utf8))),
        };
        Ok((Kind::Symbol, length))
    }

    /// The length of a string with its quotes. A backslash takes the character behind it along; see [`super::Literal::value`]
    /// for what they mean.
    fn string(&self, rest: &str, quote: u8) -> Result<usize, Refusal> {
        let mut bytes = rest.bytes().enumerate().skip(1);
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' => {
                    bytes.next();
                }
                _ if byte == quote => return Ok(at.saturating_add(1)),
                _ => {}
            }
        }
        let end = self.at.saturating_add(rest.len());
        Err(refusal(self.text, end, "the quote that ends the string", "the end"))
    }
}

/// The white space of the grammar; zero-width space and byte order mark are none.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\t'..='\r' | ' ' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}'
            | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// Whether a text is one name and nothing else wherever it stands.
pub(super) fn is_plain_name(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().all(is_part)
        && !matches!(text, "true" | "false")
        && !KEYWORDS.contains(&text)
}

/// A name, a keyword, or a literal with a letter before its quote.
fn word(rest: &str) -> (Kind, usize) {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let length = rest.bytes().position(|b| !is_name(b) && b != b'-').unwrap_or(rest.len());
    let (word, after) = rest.split_at_checked(length).unwrap_or_default();
    if word.contains('-') {
        return (Kind::Name, length);
    }
    if let Some((inner, _)) = after.strip_prefix('\'').and_then(|after| after.split_once('\'')) {
        let kind = match word {
            "h" if inner.len().is_multiple_of(2) && inner.bytes().all(|b| b.is_ascii_hexdigit()) => Some(Kind::Hex),
            "b" if is_base64(inner) => Some(Kind::Binary),
            "t" if is_time(inner) => Some(Kind::Time),
            _ => None,
        };
        if let Some(kind) = kind {
            return (kind, length.saturating_add(inner.len()).saturating_add(2));
        }
    }
    let kind = match word {
        "true" | "false" => Kind::Boolean,
        _ if word.starts_with(|c: char| c.is_ascii_uppercase()) && KEYWORDS.contains(&word) => Kind::Keyword,
        _ => Kind::Name,
    };
    (kind, length)
}

/// `12`, `+12`, `-1.5`, `.5`; a zero ends a whole number.
fn number(rest: &str) -> Option<(Kind, usize)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    let sign = rest.len().saturating_sub(unsigned.len());
    let negative = rest.starts_with('-');
    let whole = digits(unsigned);
    let fraction = unsigned.get(whole..).and_then(|rest| rest.strip_prefix('.')).map_or(0, digits);
    if fraction > 0 {
        let length = sign.saturating_add(whole).saturating_add(1).saturating_add(fraction);
        return Some((if negative { Kind::NegativeFloat } else { Kind::Float }, length));
    }
    let whole = if unsigned.starts_with('0') { 1 } else { whole };
    (whole > 0).then(|| (if negative { Kind::NegativeInt } else { Kind::Int }, sign.saturating_add(whole)))
}

/// Base64 with its padding, of at least one byte.
fn is_base64(text: &str) -> bool {
    let bare = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    !bare.is_empty()
        && text.len().is_multiple_of(4)
        && bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// `2016-01-02T03:04:05.678Z`: each part within its range, the day in any month.
fn is_time(text: &str) -> bool {
    let Some((whole, rest)) = text.as_bytes().split_first_chunk::<19>() else { return false };
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = *whole else {
        return false;
    };
    let two = |tens: u8, ones: u8, least: &[u8; 2], most: &[u8; 2]| {
        let digits = [tens, ones];
        digits.iter().all(u8::is_ascii_digit) && digits >= *least && digits <= *most
    };
    let fraction = match rest {
        [b'Z'] => true,
        [b'.', digits @ .., b'Z'] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    [y1, y2, y3, y4].iter().all(u8::is_ascii_digit)
        && two(m1, m2, b"01", b"12")
        && two(d1, d2, b"01", b"31")
        && two(h1, h2, b"00", b"23")
        && two(n1, n2, b"00", b"59")
        && two(s1, s2, b"00", b"60")
        && fraction
}

/// A refusal at a place given in bytes.
pub(super) fn refusal(text: &str, at: usize, expected: &'static str, found: &str) -> Refusal {
    let column = text.get(..at).map_or(0, |before| before.chars().count()).saturating_add(1);
    Refusal { column, expected, found: found.to_owned() }
}
