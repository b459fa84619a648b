//! What may stand at a cursor.

use crate::lexer::{Place, Position, Token, lex};
use crate::{Pattern, Span};

/// What is expected, and what is written of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What kind of thing.
    pub expected: Expected,
    /// What is written of it before the cursor, without quotes and escapes.
    pub prefix: String,
    /// What a choice replaces, what stands behind the cursor included.
    pub span: Span,
}

/// What may stand somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// A field's name, short or full; or plain text.
    Field,
    /// `:`, and `<` and the like where the field has an order.
    Operator {
        /// The field, as it is written.
        field: String,
    },
    /// A value of this field; it is written with [`crate::quote`].
    Value {
        /// The field, as it is written.
        field: String,
    },
    /// `and` or `or`.
    Conjunction,
    /// `not`.
    Negation,
}

/// What a parenthesis holds.
enum Inside {
    Conditions,
    Values(Pattern),
}

/// Where a value may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Behind `:`, where a list may begin, too.
    First,
    /// In a list.
    Listed,
    /// Behind a sign that compares.
    Compared,
}

/// What the text before some place ends with.
enum State {
    /// A condition may begin.
    Operand,
    /// Words that may be a field or plain text, or plain text that is whole.
    Words { field: Option<Pattern> },
    /// A value may begin.
    Value { field: Pattern, place: Values },
    /// A value, which may go on where it is of words.
    Valued { field: Pattern, begin: Option<(Place, String)> },
    /// A parenthesis that is closed.
    Closed,
}

/// What may stand at a cursor, a place in bytes; nothing where the text before it can't be the beginning of a query.
pub fn complete(text: &str, cursor: usize) -> Vec<Completion> {
    let cursor = text.floor_char_boundary(cursor.min(text.len()));
    let head = &text[..cursor];
    let mut state = State::Operand;
    let mut open = Vec::new();
    let mut at = Place::START;
    loop {
        let position = match &state {
            State::Operand => Position::Operand,
            State::Value { .. } => Position::Value,
            _ => Position::Behind,
        };
        let lexed = match lex(head, at, position) {
            Ok(lexed) => lexed,
            Err(error) if error.is_incomplete => return expected(&state, text, head, Some(at), position),
            Err(_) => return Vec::new(),
        };
        let is_word = matches!(lexed.token, Token::Word(_) | Token::And | Token::Or | Token::Not);
        if lexed.token == Token::End {
            return expected(&state, text, head, None, position);
        }
        if is_word && lexed.span.end == cursor {
            return expected(&state, text, head, Some(at), position);
        }
        state = match (state, lexed.token) {
            (State::Operand, Token::Not) => State::Operand,
            (State::Operand, Token::Open) => {
                open.push(Inside::Conditions);
                State::Operand
            }
            (State::Operand, Token::Word(field)) => State::Words { field: Some(field) },
            (State::Operand, Token::Quoted(field)) => State::Words { field: Some(Pattern::exact(field)) },
            (State::Words { .. }, Token::Word(_)) => State::Words { field: None },
            (State::Words { field: Some(field) }, Token::Colon) => State::Value { field, place: Values::First },
            (State::Words { field: Some(field) }, Token::Operator(_)) => {
                State::Value { field, place: Values::Compared }
            }
            (State::Value { field, place: Values::First | Values::Listed }, Token::Open) => {
                open.push(Inside::Values(field.clone()));
                State::Value { field, place: Values::Listed }
            }
            (State::Value { field, place: Values::Listed }, Token::Not) => {
                State::Value { field, place: Values::Listed }
            }
            (State::Value { field, .. }, Token::Word(word)) => {
                State::Valued { field, begin: Some((at, word.to_string())) }
            }
            (State::Value { field, .. }, Token::Quoted(_)) => State::Valued { field, begin: None },
            (State::Valued { field, begin: Some((begin, words)) }, Token::Word(word)) => State::Valued {
                field,
                begin: Some((begin, words + &head[at.byte..lexed.span.start] + &word.to_string())),
            },
            (State::Words { .. } | State::Valued { .. } | State::Closed, Token::And | Token::Or) => match open.last() {
                Some(Inside::Values(field)) => State::Value { field: field.clone(), place: Values::Listed },
                _ => State::Operand,
            },
            (State::Words { .. } | State::Valued { .. } | State::Closed, Token::Close) if open.pop().is_some() => {
                State::Closed
            }
            _ => return Vec::new(),
        };
        at = lexed.next;
    }
}

/// The choices in a state, with the token from `at` on that the cursor touches.
fn expected(state: &State, text: &str, head: &str, at: Option<Place>, position: Position) -> Vec<Completion> {
    let cursor = Span { start: head.len(), end: head.len(), column: head.chars().count() + 1 };
    let (prefix, span) = at.map_or_else(|| (String::new(), cursor), |at| touched(text, head, at, position));
    let choice = |expected| Completion { expected, prefix: prefix.clone(), span };
    let operator =
        |field: String| Completion { expected: Expected::Operator { field }, prefix: String::new(), span: cursor };
    match state {
        State::Operand => {
            let mut choices = vec![choice(Expected::Field), choice(Expected::Negation)];
            if !prefix.is_empty() {
                choices.push(operator(prefix.clone()));
            }
            choices
        }
        State::Words { field } => {
            let mut choices = vec![choice(Expected::Conjunction)];
            if let (Some(field), true) = (field, prefix.is_empty()) {
                choices.insert(0, operator(field.to_string()));
            }
            choices
        }
        State::Value { field, place } => {
            let mut choices = vec![choice(Expected::Value { field: field.to_string() })];
            if *place == Values::Listed {
                choices.push(choice(Expected::Negation));
            }
            choices
        }
        State::Valued { field, begin } => {
            let mut choices = vec![choice(Expected::Conjunction)];
            if let Some((begin, words)) = begin {
                let from = lex(text, *begin, Position::Value).map_or(cursor, |lexed| lexed.span);
                let gap_end = at.map_or(head.len(), |_| span.start);
                let words_end = head[..gap_end].trim_end().len();
                let prefix = format!("{words}{}{prefix}", &head[words_end..gap_end]);
                choices.insert(
                    0,
                    Completion { expected: Expected::Value { field: field.to_string() }, prefix, span: from.to(span) },
                );
            }
            choices
        }
        State::Closed => vec![choice(Expected::Conjunction)],
    }
}

/// What the token under the cursor says before it, and where all of it stands.
fn touched(text: &str, head: &str, at: Place, position: Position) -> (String, Span) {
    // A quote is closed, and an escape that has only begun left out.
    let mut begun = head.to_owned();
    let lexed = loop {
        let closed = format!("{begun}\"");
        if let Ok(lexed) = lex(&begun, at, position).or_else(|_| lex(&closed, at, position)) {
            break Some(lexed);
        }
        begun.pop();
        if begun.len() <= at.byte {
            break None;
        }
    };
    let Some(lexed) = lexed else {
        return (String::new(), Span { start: head.len(), end: head.len(), column: head.chars().count() + 1 });
    };
    let prefix = match lexed.token {
        Token::Word(word) => word.to_string(),
        Token::Quoted(text) => text,
        _ => head[lexed.span.start..].to_owned(),
    };
    // A quote that is not closed in the whole text either may have swallowed what follows: only its word is replaced.
    let end = match lex(text, at, position) {
        Ok(whole) => whole.span.end,
        Err(_) => head.len() + text[head.len()..].find(char::is_whitespace).unwrap_or(text.len() - head.len()),
    };
    (prefix, Span { end: end.max(head.len()), ..lexed.span })
}
