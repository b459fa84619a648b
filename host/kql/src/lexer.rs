//! The words and signs of a query. What a colon is depends on what is expected, so the parser asks for one at a time.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::{KqlError, Span, shown};
use crate::fold::refang_value;
use crate::{Operator, Pattern};

/// A place between two characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) byte: usize,
    column: usize,
}

impl Place {
    pub(crate) const START: Self = Self { byte: 0, column: 1 };
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    End,
    Open,
    Close,
    Colon,
    Operator(Operator),
    And,
    Or,
    Not,
    Quoted(String),
    Word(Pattern),
}

/// A token, where it stands, and where the next begins.
#[derive(Debug, Clone)]
pub(crate) struct Lexed {
    pub(crate) token: Token,
    pub(crate) span: Span,
    pub(crate) next: Place,
}

/// What may stand there, which decides what a colon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// A field or plain text: a colon that begins it belongs to an address.
    Operand,
    /// A value: a colon between two digits belongs to a time or a port, too. A field may end with a digit.
    Value,
    /// Behind a word: a colon is the sign.
    Behind,
}

/// What ends a word, unless it is escaped.
const SPECIAL: [char; 6] = ['(', ')', ':', '<', '>', '"'];

/// What may be escaped beside letters.
pub(crate) const ESCAPED: [char; 10] = ['\\', '"', '(', ')', ':', '<', '>', '*', '{', '}'];

struct Reader<'a> {
    text: &'a str,
    at: Place,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at.byte..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at.byte += c.len_utf8();
        self.at.column += 1;
        Some(c)
    }

    fn skip(&mut self, chars: usize) {
        for _ in 0..chars {
            self.take();
        }
    }

    fn span(&self, from: Place) -> Span {
        Span { start: from.byte, end: self.at.byte, column: from.column }
    }

    fn error(&self, from: Place, text: String) -> KqlError {
        KqlError::new(self.span(from), text)
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let unit = u32::from_str_radix(digits, 16).ok();
        self.skip(4);
        unit
    }

    /// What follows a backslash that has been read.
    fn escape(&mut self, in_quotes: bool) -> Result<String, KqlError> {
        let from = Place { byte: self.at.byte - 1, column: self.at.column - 1 };
        let Some(c) = self.take() else {
            let mut error = self.error(from, "expected what is escaped behind `\\`, but the query ends".to_owned());
            error.is_incomplete = true;
            return Err(error);
        };
        Ok(match c {
            't' => "\t".to_owned(),
            'r' => "\r".to_owned(),
            'n' => "\n".to_owned(),
            'u' => return self.unicode(from).map(String::from),
            c if ESCAPED.contains(&c) => c.to_string(),
            _ => {
                let keyword = self.text.get(from.byte + 1..).unwrap_or_default();
                for word in ["and", "or"] {
                    if !in_quotes && keyword.get(..word.len()).is_some_and(|k| k.eq_ignore_ascii_case(word)) {
                        let text = keyword[..word.len()].to_owned();
                        self.skip(word.len() - 1);
                        return Ok(text);
                    }
                }
                let what = shown(&format!("\\{c}"));
                return Err(self.error(
                    from,
                    format!(
                        "{what} means nothing; a backslash is written `\\\\`, and before it stands only what must: \
                     `\\\"`, `\\*`, `\\(`, `\\t`, `\\u00e9`"
                    ),
                ));
            }
        })
    }

    fn unicode(&mut self, from: Place) -> Result<char, KqlError> {
        let Some(unit) = self.unit() else {
            return Err(self.error(from, "expected four hexadecimal digits behind `\\u`".to_owned()));
        };
        let code = match unit {
            0xD800..0xDC00 => {
                let low = if self.rest().starts_with("\\u") {
                    self.skip(2);
                    self.unit()
                } else {
                    None
                };
                low.filter(|low| (0xDC00..0xE000).contains(low))
                    .map(|low| 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            }
            unit => Some(unit),
        };
        code.and_then(char::from_u32).ok_or_else(|| {
            self.error(
                from,
                "this is half of a character; the other half, `\\udc00` to `\\udfff`, must follow".to_owned(),
            )
        })
    }

    fn quoted(&mut self) -> Result<String, KqlError> {
        let from = self.at;
        self.take();
        let mut text = String::new();
        loop {
            match self.take() {
                None => {
                    let mut error = self.error(from, "expected `\"` at the end of what begins here".to_owned());
                    error.is_incomplete = true;
                    return Err(error);
                }
                Some('"') => return Ok(text),
                Some('\\') => text.push_str(&self.escape(true)?),
                Some(c) => text.push(c),
            }
        }
    }

    /// The colon at hand can only be one of a URL, an address or a time.
    fn is_colon_of_word(&self, begin: usize, position: Position) -> bool {
        let rest = &self.rest()[1..];
        let before = &self.text[begin..self.at.byte];
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        !before.is_empty() && rest.starts_with("//")
            || before.ends_with('[') && (rest.starts_with(']') || rest.starts_with("//]"))
            || position == Position::Value && digit(before.chars().last()) && digit(rest.chars().next())
            || digit(rest.chars().next()) && is_address(before)
            || rest.starts_with(char::is_alphanumeric) && ["://", "[:]//", "[://]"].iter().any(|at| before.contains(at))
    }

    /// The length of an IPv6 address in brackets that begins here, behind which a port may stand.
    fn bracketed(&self) -> Option<usize> {
        let inside = self.rest().strip_prefix('[')?;
        let end = inside.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, ':' | '.')))?;
        (inside[end..].starts_with(']') && inside[..end].parse::<Ipv6Addr>().is_ok()).then_some(end + 2)
    }

    /// The length of an IPv6 address or network that begins here and ends as a word does.
    fn address(&self) -> Option<usize> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, ':' | '.'))).unwrap_or(rest.len());
        rest[..end].parse::<Ipv6Addr>().ok()?;
        let is_end = |c: char| c.is_whitespace() || matches!(c, ')' | '/');
        rest[end..].chars().next().is_none_or(is_end).then_some(end)
    }

    fn word(&mut self, position: Position) -> Result<Token, KqlError> {
        let begin = self.at;
        let mut pieces = vec![String::new()];
        let mut is_escaped = false;
        if let Some(length) = self.address().or_else(|| self.bracketed()) {
            pieces[0].push_str(&self.rest()[..length]);
            self.skip(length);
        }
        while let Some(c) = self.peek() {
            let is_colon = c == ':' && self.is_colon_of_word(begin.byte, position);
            if c.is_whitespace() || SPECIAL.contains(&c) && !is_colon {
                break;
            }
            self.take();
            let last = pieces.len() - 1;
            match c {
                '*' => pieces.push(String::new()),
                '\\' => {
                    is_escaped = true;
                    pieces[last].push_str(&self.escape(false)?);
                }
                c => pieces[last].push(c),
            }
        }
        let keyword = [("and", Token::And), ("or", Token::Or), ("not", Token::Not)]
            .into_iter()
            .find(|(word, _)| !is_escaped && self.text[begin.byte..self.at.byte].eq_ignore_ascii_case(word));
        Ok(keyword.map_or_else(|| Token::Word(Pattern::new(pieces)), |(_, token)| token))
    }
}

/// The longest address before a port, defanged in any way.
const ADDRESS_BYTES: usize = 64;

/// An address behind which a port may stand: IPv4, or IPv6 in brackets.
fn is_address(text: &str) -> bool {
    if text.len() > ADDRESS_BYTES {
        return false;
    }
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match bracketed {
        Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
        None => refang_value(text).parse::<Ipv4Addr>().is_ok(),
    }
}

/// The token behind a place, and white space.
pub(crate) fn lex(text: &str, at: Place, position: Position) -> Result<Lexed, KqlError> {
    let mut reader = Reader { text, at };
    while reader.peek().is_some_and(char::is_whitespace) {
        reader.take();
    }
    let from = reader.at;
    let sign = |reader: &mut Reader<'_>, chars, token| {
        reader.skip(chars);
        token
    };
    let has_equals = reader.rest().get(1..2) == Some("=");
    let token = match reader.peek() {
        None => Token::End,
        Some('(') => sign(&mut reader, 1, Token::Open),
        Some(')') => sign(&mut reader, 1, Token::Close),
        Some('<') if has_equals => sign(&mut reader, 2, Token::Operator(Operator::AtMost)),
        Some('<') => sign(&mut reader, 1, Token::Operator(Operator::Less)),
        Some('>') if has_equals => sign(&mut reader, 2, Token::Operator(Operator::AtLeast)),
        Some('>') => sign(&mut reader, 1, Token::Operator(Operator::Greater)),
        Some('"') => Token::Quoted(reader.quoted()?),
        Some(':') if position == Position::Behind || reader.address().is_none() => sign(&mut reader, 1, Token::Colon),
        Some(_) => reader.word(position)?,
    };
    Ok(Lexed { token, span: reader.span(from), next: reader.at })
}
