//! From tokens to the tree: operators wait on a stack until a looser one, a closing bracket or the end comes.

use super::lexer::{Kind, Lexer, Token, is_plain_name, refusal};
use super::{Literal, LiteralKind, MAX_BYTES, MAX_DEPTH, Node, Operator, Pattern, Refusal, Step, Test, place};

/// The longest piece of a pattern that a refusal shows, in characters.
const SHOWN: usize = 30;

/// What waits for its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Paren,
    Bracket,
    /// An operator and how many operands it has so far, the one still to come included.
    Operator(Link, u32),
}

/// What joins operands, the loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Link {
    FollowedBy,
    Or,
    And,
}

pub(super) fn parse(text: &str) -> Result<Pattern<'_>, Refusal> {
    if text.len() > MAX_BYTES {
        let found = format!("{} bytes", text.len());
        return Err(Refusal { column: 1, expected: "a pattern of at most 262144 bytes", found });
    }
    if let Some(pattern) = usual(text) {
        return Ok(pattern);
    }
    general(text)
}

/// Reads `[type:property = 'value']`, as nearly all patterns are written to the space; nothing else, and nothing that is
/// to be refused.
pub(super) fn usual(text: &str) -> Option<Pattern<'_>> {
    let (object, mut rest) = text.strip_prefix('[')?.split_once(':')?;
    let mut steps = Vec::with_capacity(2);
    let literal = loop {
        let (name, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'')?,
            None => rest.split_at_checked(rest.find([' ', '.'])?)?,
        };
        if !is_plain_name(name) {
            return None;
        }
        steps.push(Step::Name(name));
        match after.strip_prefix(" = ") {
            Some(literal) => break literal.strip_suffix(']')?,
            None => rest = after.strip_prefix('.')?,
        }
    };
    let value = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    let literal = Literal { kind: LiteralKind::Text, text: literal };
    if !is_plain_name(object) || value.bytes().any(|b| matches!(b, b'\'' | b'\\')) {
        return None;
    }
    let test = Test {
        object,
        operator: Operator::Equal,
        negated: false,
        steps: (0, place(steps.len())),
        literals: (0, 1),
        span: (1, place(text.len().saturating_sub(1))),
    };
    Some(Pattern { nodes: vec![Node::Test(0), Node::Observation], tests: vec![test], steps, literals: vec![literal] })
}

/// Reads any pattern.
pub(super) fn general(text: &str) -> Result<Pattern<'_>, Refusal> {
    let mut lexer = Lexer::new(text);
    let token = lexer.next()?;
    let pattern = Pattern { nodes: Vec::new(), tests: Vec::new(), steps: Vec::new(), literals: Vec::new() };
    let parser = Parser { text, lexer, token, end: 0, pattern, waiting: Vec::new(), depth: 0 };
    parser.pattern()
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    /// The token that is looked at.
    token: Token<'a>,
    /// Where the token before it ended.
    end: usize,
    pattern: Pattern<'a>,
    waiting: Vec<Waiting>,
    /// How many of `waiting` are parentheses.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn pattern(mut self) -> Result<Pattern<'a>, Refusal> {
        let mut inside = false;
        loop {
            // An operand begins here.
            if self.take("(")? {
                self.depth = self.depth.saturating_add(1);
                if self.depth > MAX_DEPTH {
                    return Err(refusal(self.text, self.token.at, "at most 64 parentheses in each other", "more"));
                }
                self.waiting.push(Waiting::Paren);
                continue;
            }
            if inside {
                self.test()?;
            } else if self.take("[")? {
                self.waiting.push(Waiting::Bracket);
                inside = true;
                continue;
            } else {
                return Err(self.refuse("`[` or `(`"));
            }
            // An operand has ended: what may follow it, until the next one begins.
            let mut qualifiers = None;
            loop {
                if inside && self.token.is("]") {
                    self.close(Waiting::Bracket, "`AND`, `OR` or `)`")?;
                    self.pattern.nodes.push(Node::Observation);
                    inside = false;
                    qualifiers = Some(0);
                } else if self.token.is(")") {
                    self.close(Waiting::Paren, if inside { "`AND`, `OR` or `]`" } else { "the end" })?;
                    self.depth = self.depth.saturating_sub(1);
                    qualifiers = None;
                } else if let Some(link) = self.link(inside) {
                    self.advance()?;
                    self.wait_for(link);
                    break;
                } else if inside || !self.qualifier(&mut qualifiers)? {
                    if inside || self.token.kind != Kind::End {
                        return Err(self.refuse(if inside {
                            "`AND`, `OR` or `]`"
                        } else {
                            "`AND`, `OR`, `FOLLOWEDBY`, a qualifier or the end"
                        }));
                    }
                    self.emit(None);
                    if !self.waiting.is_empty() {
                        return Err(self.refuse("`)`"));
                    }
                    return Ok(self.pattern);
                }
            }
        }
    }

    fn link(&self, inside: bool) -> Option<Link> {
        match self.token.text {
            _ if self.token.kind != Kind::Keyword => None,
            "AND" => Some(Link::And),
            "OR" => Some(Link::Or),
            "FOLLOWEDBY" if !inside => Some(Link::FollowedBy),
            _ => None,
        }
    }

    /// Lets an operator wait for its next operand, after all tighter ones before it are done.
    fn wait_for(&mut self, link: Link) {
        self.emit(Some(link));
        match self.waiting.last_mut() {
            Some(Waiting::Operator(last, operands)) if *last == link => *operands = operands.saturating_add(1),
            _ => self.waiting.push(Waiting::Operator(link, 2)),
        }
    }

    /// Writes the operators that are tighter than one to come; all back to the last bracket for none.
    fn emit(&mut self, before: Option<Link>) {
        while let Some(Waiting::Operator(link, operands)) = self.waiting.last()
            && before.is_none_or(|before| *link > before)
        {
            self.pattern.nodes.push(match link {
                Link::FollowedBy => Node::FollowedBy(*operands),
                Link::Or => Node::Or(*operands),
                Link::And => Node::And(*operands),
            });
            self.waiting.pop();
        }
    }

    fn close(&mut self, bracket: Waiting, else_expected: &'static str) -> Result<(), Refusal> {
        self.emit(None);
        if self.waiting.last() != Some(&bracket) {
            return Err(self.refuse(else_expected));
        }
        self.waiting.pop();
        self.advance()
    }

    /// Reads a qualifier, if there is one. `seen` are those directly behind the same observation, of which each kind may
    /// stand there once; behind parentheses they may repeat.
    fn qualifier(&mut self, seen: &mut Option<u8>) -> Result<bool, Refusal> {
        let (bit, node) = if self.token.is("WITHIN") {
            (1, Node::Within)
        } else if self.token.is("REPEATS") {
            (2, Node::Repeats(false))
        } else if self.token.is("START") {
            (4, Node::StartStop)
        } else {
            return Ok(false);
        };
        if let Some(seen) = seen {
            if *seen & bit != 0 {
                return Err(self.refuse("each qualifier once"));
            }
            *seen |= bit;
        }
        self.advance()?;
        let node = match node {
            Node::Within => {
                self.one_of(&[Kind::Int, Kind::Float], "a positive number")?;
                self.keyword("SECONDS", "`SECONDS`")?;
                node
            }
            Node::StartStop => {
                self.one_of(&[Kind::Time], "a time t'…'")?;
                self.keyword("STOP", "`STOP`")?;
                self.one_of(&[Kind::Time], "a time t'…'")?;
                node
            }
            _ => {
                let times = self.one_of(&[Kind::Int], "a positive whole number")?;
                self.keyword("TIMES", "`TIMES`")?;
                Node::Repeats(!matches!(times.text, "1" | "+1"))
            }
        };
        self.pattern.nodes.push(node);
        Ok(true)
    }

    fn test(&mut self) -> Result<(), Refusal> {
        let start = self.token.at;
        let first = place(self.pattern.literals.len());
        let mut negated = self.take("NOT")?;
        let (object, steps, operator);
        if negated || self.token.is("EXISTS") {
            self.keyword("EXISTS", "`EXISTS` behind `NOT`, or an object's path")?;
            (object, steps) = self.path()?;
            operator = Operator::Exists;
        } else {
            (object, steps) = self.path()?;
            negated = self.take("NOT")?;
            operator = self.operator()?;
            self.operand(operator)?;
        }
        let literals = (first, place(self.pattern.literals.len()));
        let test = Test { object, operator, negated, steps, literals, span: (place(start), place(self.end)) };
        self.pattern.nodes.push(Node::Test(place(self.pattern.tests.len())));
        self.pattern.tests.push(test);
        Ok(())
    }

    fn path(&mut self) -> Result<(&'a str, (u32, u32)), Refusal> {
        let first = place(self.pattern.steps.len());
        let object = self.one_of(&[Kind::Name], "an object's path such as file:name")?;
        self.keyword(":", "`:` behind the object's type")?;
        self.name()?;
        loop {
            if self.take(".")? {
                self.name()?;
            } else if self.take("[")? {
                let step = if self.take("*")? {
                    Step::Any
                } else {
                    Step::Index(self.one_of(&[Kind::Int, Kind::NegativeInt], "a whole number or `*`")?.text)
                };
                self.keyword("]", "`]`")?;
                self.pattern.steps.push(step);
            } else {
                return Ok((object.text, (first, place(self.pattern.steps.len()))));
            }
        }
    }

    fn name(&mut self) -> Result<(), Refusal> {
        let token = self.one_of(&[Kind::Name, Kind::Text], "a property's name")?;
        let name = match token.kind {
            Kind::Text => token.text.get(1..token.text.len().saturating_sub(1)).unwrap_or_default(),
            _ => token.text,
        };
        self.pattern.steps.push(Step::Name(name));
        Ok(())
    }

    fn operator(&mut self) -> Result<Operator, Refusal> {
        let operator = match self.token.text {
            "=" | "==" => Operator::Equal,
            "!=" | "<>" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            "IN" => Operator::In,
            "LIKE" => Operator::Like,
            "MATCHES" => Operator::Matches,
            "ISSUBSET" => Operator::IsSubset,
            "ISSUPERSET" => Operator::IsSuperset,
            _ => return Err(self.refuse("an operator")),
        };
        self.advance()?;
        Ok(operator)
    }

    fn operand(&mut self, operator: Operator) -> Result<(), Refusal> {
        match operator {
            Operator::In => {
                self.keyword("(", "`(`")?;
                if self.take(")")? {
                    return Ok(());
                }
                self.literal(true)?;
                while self.take(",")? {
                    self.literal(true)?;
                }
                self.keyword(")", "`,` or `)`")
            }
            Operator::Like | Operator::Matches | Operator::IsSubset | Operator::IsSuperset => {
                if self.token.kind != Kind::Text {
                    return Err(self.refuse("a string"));
                }
                self.literal(true)
            }
            Operator::Equal | Operator::NotEqual => self.literal(true),
            _ => self.literal(false),
        }
    }

    fn literal(&mut self, may_be_boolean: bool) -> Result<(), Refusal> {
        let kind = match self.token.kind {
            Kind::Text => LiteralKind::Text,
            Kind::Int | Kind::NegativeInt | Kind::Float | Kind::NegativeFloat => LiteralKind::Number,
            Kind::Boolean if may_be_boolean => LiteralKind::Boolean,
            Kind::Hex => LiteralKind::Hex,
            Kind::Binary => LiteralKind::Binary,
            Kind::Time => LiteralKind::Time,
            _ => return Err(self.refuse("a string, a number or another literal")),
        };
        self.pattern.literals.push(Literal { kind, text: self.token.text });
        self.advance()
    }

    fn advance(&mut self) -> Result<(), Refusal> {
        self.end = self.lexer.end();
        self.token = self.lexer.next()?;
        Ok(())
    }

    /// Passes over a keyword or symbol, if it is the next.
    fn take(&mut self, text: &str) -> Result<bool, Refusal> {
        let is = self.token.is(text);
        if is {
            self.advance()?;
        }
        Ok(is)
    }

    fn keyword(&mut self, text: &str, expected: &'static str) -> Result<(), Refusal> {
        if self.take(text)? { Ok(()) } else { Err(self.refuse(expected)) }
    }

    fn one_of(&mut self, kinds: &[Kind], expected: &'static str) -> Result<Token<'a>, Refusal> {
        let token = self.token;
        if !kinds.contains(&token.kind) {
            return Err(self.refuse(expected));
        }
        self.advance()?;
        Ok(token)
    }

    fn refuse(&self, expected: &'static str) -> Refusal {
        let found = if self.token.kind == Kind::End { "the end".to_owned() } else { shown(self.token.text) };
        refusal(self.text, self.token.at, expected, &found)
    }
}

fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    // As `Debug` writes it, but for its quotation marks.
    let quoted = format!("{start:?}");
    format!("`{}{more}`", quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default())
}

/// `SHA-256`, `sha256` and `Sha_256` are one.
pub fn plain_algorithm(name: &str) -> String {
    let mut plain = name.to_ascii_uppercase();
    plain.retain(|c| !matches!(c, '-' | '_'));
    plain
}
