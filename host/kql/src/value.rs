//! What a literal means for a field of a type: a test, or what was expected instead.

use crate::Pattern;
use crate::date;
use crate::error::shown;
use crate::fields::Type;
use crate::fold::lower;
use crate::network::{Network, address};
use crate::predicate::{Predicate, Test};
use crate::tree::{Literal, Operator};

/// The ends of what is named, as a comparison takes them: from, to, both included.
fn ends<T: Copy>(
    operator: Operator,
    begin: T,
    end: T,
    step: impl Fn(T, bool) -> Option<T>,
) -> Option<(Option<T>, Option<T>)> {
    Some(match operator {
        Operator::AtLeast => (Some(begin), None),
        Operator::AtMost => (None, Some(end)),
        Operator::Greater => (Some(step(end, true)?), None),
        Operator::Less => (None, Some(step(begin, false)?)),
    })
}

fn expected(what: &str, found: &Literal) -> String {
    format!("expected {what}, but found {}", shown(&found.pattern().to_string()))
}

/// The text of a value that can have no gaps.
fn whole<'a>(value: &'a Literal, what: &str) -> Result<&'a str, String> {
    value.text().map(str::trim).ok_or_else(|| {
        format!("{}; `*` stands for characters in texts only, and alone for any value", expected(what, value))
    })
}

const NETWORK: &str = "an address or a network, such as 198.51.100.7, 198.51.100.0/24 or 2001:db8::/32";
const ADDRESS: &str = "an address, such as 198.51.100.7 or 2001:db8::1";
const TRUTH: &str = "true or false";
const REAL: &str = "a number, such as 0.75";

fn number(text: &str, least: i128, greatest: i128) -> Option<i128> {
    let number = text.parse::<i128>().ok().or_else(|| {
        // `1e3` and `8080.0` are whole, too; larger ones are not exact.
        let real: f64 = text.parse().ok()?;
        (real.fract() == 0.0 && real.abs() < (1_u64 << 53) as f64).then_some(real as i128)
    });
    number.filter(|number| (least..=greatest).contains(number))
}

fn real(text: &str, is_single: bool) -> Option<f64> {
    let real: f64 = text.parse().ok()?;
    let real = if is_single { f64::from(real as f32) } else { real };
    real.is_finite().then_some(real)
}

/// What is expected of a value of this type: the bounds only where they are what is wrong.
fn whole_number(value: &Literal, least: i128, greatest: i128) -> String {
    match value.text().is_some_and(|text| text.trim().parse::<i128>().is_ok()) {
        true => format!("a whole number from {least} to {greatest}"),
        false => "a whole number, such as 8080".to_owned(),
    }
}

/// `field: value`; none where nothing can fit. What is asked of a key below a flattened field differs.
pub(crate) fn equals(kind: Type, value: &Literal, now: i64) -> Result<Option<Test>, String> {
    if value.is_any() {
        return Ok(Some(Test::Exists));
    }
    Ok(Some(match kind {
        Type::Keyword { .. } | Type::Flattened | Type::FlattenedKey => {
            let pattern = value.pattern();
            match pattern.as_exact() {
                Some(text) => Test::Equals(text.to_owned()),
                None if kind == Type::FlattenedKey && pattern.as_prefix().is_none() => {
                    let what = "a whole value, or its beginning and `*`: below this field Elasticsearch knows no other patterns";
                    return Err(expected(what, value));
                }
                None => Test::Like(pattern),
            }
        }
        Type::Text => match value {
            Literal::Quoted(text) => Test::Phrase(text.clone()),
            Literal::Plain(pattern) => match pattern.as_exact() {
                Some(text) => Test::AnyWord(text.to_owned()),
                None => return Ok(None),
            },
        },
        Type::Ip | Type::IpRange => {
            let network = Network::parse(whole(value, NETWORK)?).ok_or_else(|| expected(NETWORK, value))?;
            let Network { from, to } = network;
            if kind == Type::Ip { Test::Address { from, to } } else { Test::Holds { from, to } }
        }
        Type::Date => {
            let what = format!("a date, such as {}", date::EXAMPLE);
            let (from, to) = date::named(whole(value, &what)?, now).ok_or_else(|| expected(&what, value))?;
            Test::Time { from: Some(from), to: Some(to) }
        }
        Type::Whole { least, greatest } => {
            let what = whole_number(value, least, greatest);
            let only = number(whole(value, &what)?, least, greatest).ok_or_else(|| expected(&what, value))?;
            Test::Whole { from: only, to: only }
        }
        Type::Real { is_single } => {
            let only = real(whole(value, REAL)?, is_single).ok_or_else(|| expected(REAL, value))?;
            Test::Real { from: Some((only, true)), to: Some((only, true)) }
        }
        Type::Boolean => match whole(value, TRUTH)? {
            "true" => Test::Is(true),
            "false" => Test::Is(false),
            _ => return Err(expected(TRUTH, value)),
        },
        Type::Other => return Err(format!("{}: of this field only that can be asked", expected("`*`", value))),
    }))
}

/// A plain text with gaps, against the words of a text: each word by itself.
pub(crate) fn words(pattern: &Pattern) -> impl Iterator<Item = Test> {
    pattern.split_words().into_iter().map(|word| match word.as_exact() {
        Some(text) => Test::AnyWord(text.to_owned()),
        None if word.is_any() => Test::Exists,
        None => Test::WordLike(word.map(lower)),
    })
}

/// `field < value`; none where nothing can fit.
pub(crate) fn compares(kind: Type, operator: Operator, value: &Literal, now: i64) -> Result<Option<Test>, String> {
    let no_order =
        |what: &str| Err(format!("{what} has no order, so `{}` asks nothing of it; use `:`", operator.sign()));
    Ok(match kind {
        Type::Keyword { .. } => {
            let text = whole_text(value)?;
            let is_included = matches!(operator, Operator::AtLeast | Operator::AtMost);
            Some(match operator {
                Operator::AtLeast | Operator::Greater => Test::Between { from: Some((text, is_included)), to: None },
                Operator::AtMost | Operator::Less => Test::Between { from: None, to: Some((text, is_included)) },
            })
        }
        Type::Ip | Type::IpRange => {
            let address = address(whole(value, ADDRESS)?).ok_or_else(|| expected(ADDRESS, value))?;
            let step = |at: u128, up| if up { at.checked_add(1) } else { at.checked_sub(1) };
            ends(operator, address, address, step).map(|(from, to)| {
                let (from, to) = (from.unwrap_or(0), to.unwrap_or(u128::MAX));
                if kind == Type::Ip { Test::Address { from, to } } else { Test::Holds { from, to } }
            })
        }
        Type::Date => {
            let what = format!("a date, such as {}", date::EXAMPLE);
            let (begin, end) = date::named(whole(value, &what)?, now).ok_or_else(|| expected(&what, value))?;
            let step = |at: i64, up| if up { at.checked_add(1) } else { at.checked_sub(1) };
            ends(operator, begin, end, step).map(|(from, to)| Test::Time { from, to })
        }
        Type::Whole { least, greatest } => {
            let what = whole_number(value, least, greatest);
            let only = number(whole(value, &what)?, least, greatest).ok_or_else(|| expected(&what, value))?;
            let step =
                |at: i128, up| Some(if up { at + 1 } else { at - 1 }).filter(|at| (least..=greatest).contains(at));
            ends(operator, only, only, step)
                .map(|(from, to)| Test::Whole { from: from.unwrap_or(least), to: to.unwrap_or(greatest) })
        }
        Type::Real { is_single } => {
            let only = real(whole(value, REAL)?, is_single).ok_or_else(|| expected(REAL, value))?;
            Some(match operator {
                Operator::AtLeast => Test::Real { from: Some((only, true)), to: None },
                Operator::Greater => Test::Real { from: Some((only, false)), to: None },
                Operator::AtMost => Test::Real { from: None, to: Some((only, true)) },
                Operator::Less => Test::Real { from: None, to: Some((only, false)) },
            })
        }
        Type::Text => return no_order("a text of words"),
        Type::Boolean => return no_order("what is true or false"),
        Type::Flattened | Type::FlattenedKey | Type::Other => return no_order("a field of this type"),
    })
}

fn whole_text(value: &Literal) -> Result<String, String> {
    value
        .text()
        .map(str::to_owned)
        .ok_or_else(|| format!("{}; a comparison has no `*`", expected("a whole text", value)))
}

/// A predicate of one test, or of none that could hold.
pub(crate) fn predicate(column: &str, test: Option<Test>) -> Predicate {
    test.map_or(Predicate::None, |test| Predicate::Test(column.to_owned(), test))
}
