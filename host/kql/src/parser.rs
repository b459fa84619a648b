//! From a text to its tree, by recursive descent: each function reads one production of `docs/kql.md`.

use crate::Pattern;
use crate::error::{KqlError, Span, shown};
use crate::lexer::{Lexed, Place, Position, Token, lex};
use crate::tree::{Expr, Literal, Node, Spanned, Values};

/// A query's bytes. The longest value that people paste is some kilobytes; all else is a program's fault.
pub const MAX_QUERY_BYTES: usize = 64 * 1024;

/// Levels of `not` and parentheses. Elasticsearch takes 30 levels of a query; one of ours gives two of them at most, and
/// some are the caller's.
pub const MAX_DEPTH: usize = 10;

/// Reads a query.
///
/// # Errors
/// [`KqlError`] at the first place where none can go on.
pub fn parse(text: &str) -> Result<Node, KqlError> {
    if text.len() > MAX_QUERY_BYTES {
        let message = format!(
            "the query has {} bytes, {MAX_QUERY_BYTES} at most are read; look many values up from a file instead",
            text.len()
        );
        return Err(KqlError::new(Span { start: 0, end: text.len(), column: 1 }, message));
    }
    let mut parser = Parser { text, at: Place::START, depth: 0 };
    let first = parser.peek(Position::Operand)?;
    if first.token == Token::End {
        return Ok(Spanned::new(first.span, Expr::All));
    }
    let query = parser.or()?;
    let end = parser.peek(Position::Behind)?;
    match end.token {
        Token::End => Ok(query),
        _ => Err(parser.unexpected(&end, "`and`, `or` or the end of the query")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: Place,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self, position: Position) -> Result<Lexed, KqlError> {
        lex(self.text, self.at, position)
    }

    fn take(&mut self, lexed: &Lexed) {
        self.at = lexed.next;
    }

    fn unexpected(&self, found: &Lexed, expected: &str) -> KqlError {
        let text = match &found.token {
            Token::End => format!("expected {expected}, but the query ends"),
            Token::Colon | Token::Operator(_) if expected.contains("`and`") => format!(
                "expected {expected}, but found {}; a value that holds it is written in quotes",
                shown(&self.text[found.span.start..found.span.end])
            ),
            _ => format!("expected {expected}, but found {}", shown(&self.text[found.span.start..found.span.end])),
        };
        KqlError { span: found.span, text, is_incomplete: found.token == Token::End }
    }

    /// One level deeper, for as long as `inner` reads.
    fn deeper<T>(&mut self, span: Span, inner: impl FnOnce(&mut Self) -> Result<T, KqlError>) -> Result<T, KqlError> {
        if self.depth == MAX_DEPTH {
            let text = format!("there are more than {MAX_DEPTH} levels of `not` and parentheses; write it flatter");
            return Err(KqlError::new(span, text));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Operands with a keyword between them.
    fn joined<T>(
        &mut self,
        keyword: &Token,
        operand: impl Fn(&mut Self) -> Result<Spanned<T>, KqlError>,
        join: impl FnOnce(Vec<Spanned<T>>) -> T,
    ) -> Result<Spanned<T>, KqlError> {
        let first = operand(self)?;
        let begin = first.span;
        let mut all = vec![first];
        loop {
            let next = self.peek(Position::Behind)?;
            if next.token != *keyword {
                break;
            }
            self.take(&next);
            all.push(operand(self)?);
        }
        let end = all.last().map_or(begin, |last| last.span);
        match <[Spanned<T>; 1]>::try_from(all) {
            Ok([only]) => Ok(only),
            Err(all) => Ok(Spanned::new(begin.to(end), join(all))),
        }
    }

    fn or(&mut self) -> Result<Node, KqlError> {
        self.joined(&Token::Or, |parser| parser.joined(&Token::And, Self::not, Expr::And), Expr::Or)
    }

    fn not(&mut self) -> Result<Node, KqlError> {
        let first = self.peek(Position::Operand)?;
        match first.token {
            Token::Not => {
                self.take(&first);
                let inner = self.deeper(first.span, Self::not)?;
                Ok(Spanned::new(first.span.to(inner.span), Expr::Not(Box::new(inner))))
            }
            Token::Open => {
                self.take(&first);
                let inner = self.deeper(first.span, Self::or)?;
                let close = self.close()?;
                Ok(Spanned::new(first.span.to(close), inner.node))
            }
            _ => self.condition(),
        }
    }

    fn close(&mut self) -> Result<Span, KqlError> {
        let close = self.peek(Position::Behind)?;
        if close.token != Token::Close {
            return Err(self.unexpected(&close, "`and`, `or` or `)`"));
        }
        self.take(&close);
        Ok(close.span)
    }

    fn condition(&mut self) -> Result<Node, KqlError> {
        let first = self.peek(Position::Operand)?;
        let name = match &first.token {
            Token::Word(name) => name.clone(),
            Token::Quoted(name) => Pattern::exact(name),
            _ => return Err(self.unexpected(&first, "a field, a text, `not` or `(`")),
        };
        let sign = lex(self.text, first.next, Position::Behind)?;
        let field = Spanned::new(first.span, name);
        match sign.token {
            Token::Colon => {
                self.take(&sign);
                let values = self.values()?;
                Ok(Spanned::new(first.span.to(values.span), Expr::Is { field, values }))
            }
            Token::Operator(operator) => {
                self.take(&sign);
                let value = self.value(&format!("a value behind {}", shown(operator.sign())))?;
                Ok(Spanned::new(first.span.to(value.span), Expr::Range { field, operator, value }))
            }
            _ => {
                let text = self.value("a field, a text, `not` or `(`")?;
                Ok(Spanned::new(text.span, Expr::Text(text.node)))
            }
        }
    }

    fn values(&mut self) -> Result<Spanned<Values>, KqlError> {
        let first = self.peek(Position::Value)?;
        if first.token != Token::Open {
            let value = self.value("a value or a list in parentheses behind `:`")?;
            return Ok(Spanned::new(value.span, Values::One(value.node)));
        }
        self.take(&first);
        let list = self.deeper(first.span, |parser| {
            parser.joined(&Token::Or, |parser| parser.joined(&Token::And, Self::values_not, Values::And), Values::Or)
        })?;
        let close = self.close()?;
        Ok(Spanned::new(first.span.to(close), list.node))
    }

    fn values_not(&mut self) -> Result<Spanned<Values>, KqlError> {
        let first = self.peek(Position::Value)?;
        if first.token != Token::Not {
            return self.values();
        }
        self.take(&first);
        let inner = self.deeper(first.span, Self::values_not)?;
        Ok(Spanned::new(first.span.to(inner.span), Values::Not(Box::new(inner))))
    }

    /// A quoted text, or words up to the next sign or keyword.
    fn value(&mut self, expected: &str) -> Result<Spanned<Literal>, KqlError> {
        let is_text = expected.starts_with("a field");
        let first = self.peek(if is_text { Position::Operand } else { Position::Value })?;
        let mut pieces = match &first.token {
            Token::Quoted(text) => {
                self.take(&first);
                return Ok(Spanned::new(first.span, Literal::Quoted(text.clone())));
            }
            Token::Word(_) if !is_text && self.text[first.span.start..].starts_with('{') => {
                let text = "expected a value, but found `{`: documents have no nested objects, so fields are named by their \
                            whole path; a brace of a value is written `\\{`";
                return Err(KqlError::new(first.span, text));
            }
            Token::Word(word) => word.pieces().to_vec(),
            Token::Not if !is_text => {
                return Err(
                    self.unexpected(&first, &format!("{expected}; `not` stands before the field or in the list"))
                );
            }
            Token::And | Token::Or => {
                let keyword = self.text[first.span.start..first.span.end].to_ascii_lowercase();
                let expected = format!("{expected} (as a value, this word is written `\"{keyword}\"`)");
                return Err(self.unexpected(&first, &expected));
            }
            _ => return Err(self.unexpected(&first, expected)),
        };
        self.take(&first);
        let mut end = first.span;
        loop {
            let next = self.peek(Position::Behind)?;
            let Token::Word(word) = &next.token else { break };
            let behind = lex(self.text, next.next, Position::Behind)?;
            if matches!(behind.token, Token::Colon | Token::Operator(_)) {
                return Err(self.unexpected(&next, "`and` or `or` before the next field"));
            }
            if let Some(last) = pieces.last_mut() {
                last.push_str(&self.text[end.end..next.span.start]);
                let (head, rest) =
                    word.pieces().split_first().map_or(("", &[][..]), |(head, rest)| (head.as_str(), rest));
                last.push_str(head);
                pieces.extend_from_slice(rest);
            }
            end = next.span;
            self.take(&next);
        }
        Ok(Spanned::new(first.span.to(end), Literal::Plain(Pattern::new(pieces))))
    }
}
