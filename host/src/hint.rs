//! What may be wrong with a query that finds nothing: a condition that no claim fits by itself, a value in another case, a
//! sign that KQL does not have, a time or a state that leaves out all that fits.
//!
//! Whoever found something is told nothing. A hint costs a few counts.

use std::slice;

use tipline_catalog::{Grouping, IP, NAME, time_column, word_column};
use tipline_kql::{
    Expr, Fields, Literal, Node, Predicate, SEARCH, Test, Type, Values, full_names, parse, print, quote, resolve,
};

use crate::store::{Among, Catalog, CatalogError, Condition, Question};
use crate::{text, types};

/// Hints that are given.
const MOST: usize = 3;

/// Conditions and words that are counted by themselves: a query of more is not mended by looking at each.
const COUNTED: usize = 8;

/// Words of a field that are looked through.
const WORDS: usize = 1_000;

/// Documents that are read through for a hint, at most: so many take a part of a second.
const READ_THROUGH: u64 = 20_000;

/// Words of a field that are listed.
const LISTED: usize = 10;

/// Who reads the hints, and so how what has ended is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Of the command line, which has switches.
    Terminal,
    /// Of the page, which has words to click on.
    Page,
}

/// The hints for a question that found nothing; `query` is what was typed of it.
///
/// # Errors
/// [`CatalogError`] where the catalog cannot be asked.
pub(crate) async fn hints(
    catalog: &dyn Catalog,
    question: &Question,
    query: &str,
    reader: Reader,
) -> Result<Vec<String>, CatalogError> {
    let asker = Asker { catalog, question };
    if let Some(hint) = asker.of_state(reader).await? {
        return Ok(vec![hint]);
    }
    if let Some(hint) = asker.of_time().await? {
        return Ok(vec![hint]);
    }
    match parse(query) {
        Ok(tree) => asker.of_parts(&tree).await,
        Err(_) => Ok(Vec::new()),
    }
}

struct Asker<'a> {
    catalog: &'a dyn Catalog,
    question: &'a Question,
}

impl Asker<'_> {
    /// How many are found; none where that would be told by reading all documents, and there are many.
    async fn count_if_cheap(&self, predicate: Predicate, among: Among) -> Result<Option<u64>, CatalogError> {
        let is_cheap = is_cheap(&predicate, &self.question.condition.fields)
            || self.count(Predicate::All, Among::All).await? <= READ_THROUGH;
        if is_cheap { self.count(predicate, among).await.map(Some) } else { Ok(None) }
    }

    async fn count(&self, predicate: Predicate, among: Among) -> Result<u64, CatalogError> {
        let condition = Condition { predicate, fields: self.question.condition.fields.clone() };
        let question = Question {
            condition,
            among,
            grouping: Grouping::Claims,
            behind: 0,
            limit: 0,
            facets: Vec::new(),
            trend: None,
            ..self.question.clone()
        };
        Ok(self.catalog.ask(&question).await?.total)
    }

    /// How many a part of the query finds by itself, where that is cheap.
    async fn count_of(&self, node: &Node, among: Among) -> Result<Option<u64>, CatalogError> {
        let now = i64::try_from(self.question.now).unwrap_or(i64::MAX);
        match resolve(node, &self.question.condition.fields, now) {
            Ok(predicate) => self.count_if_cheap(predicate, among).await,
            Err(_) => Ok(None),
        }
    }

    /// What is found in another state.
    async fn of_state(&self, reader: Reader) -> Result<Option<String>, CatalogError> {
        let of = |among| self.count(self.question.condition.predicate.clone(), among);
        let (asked, found) = match self.question.among {
            Among::All => return Ok(None),
            Among::Ended => (Among::Live, of(Among::Live).await?),
            Among::Live => (Among::Ended, of(Among::Ended).await?),
        };
        if found > 0 {
            let (state, advice) = match (asked, reader) {
                (Among::Live, Reader::Terminal) => ("live", "leave --ended out"),
                (Among::Live, Reader::Page) => ("live", "choose Live"),
                (_, Reader::Terminal) => ("ended", "add --ended, or --expired for all"),
                (_, Reader::Page) => ("ended", "choose Ended or All"),
            };
            return Ok(Some(format!("{} {state} {}: {advice}.", text::count(found), matches_of(found))));
        }
        let found = of(Among::All).await?;
        let advice = if reader == Reader::Terminal { "add --expired" } else { "choose All" };
        let which = if found == 1 {
            "condition matches, which is no indicator by itself"
        } else {
            "conditions match, which are no indicators by themselves"
        };
        Ok((found > 0).then(|| format!("{} {which}: {advice}.", text::count(found))))
    }

    /// What is found without the time.
    async fn of_time(&self) -> Result<Option<String>, CatalogError> {
        let all = &self.question.condition.predicate;
        let parts = match all {
            Predicate::And(parts) => parts.as_slice(),
            only => slice::from_ref(only),
        };
        let others: Vec<Predicate> = parts.iter().filter(|part| !is_time(part)).cloned().collect();
        if others.len() == parts.len() {
            return Ok(None);
        }
        let found = self.count_if_cheap(Predicate::all(others), self.question.among).await?.unwrap_or(0);
        let are = if found == 1 { "is" } else { "are" };
        Ok((found > 0).then(|| format!("{} {are} found without the time.", text::count(found))))
    }

    async fn of_parts(&self, tree: &Node) -> Result<Vec<String>, CatalogError> {
        let parts = match &tree.node {
            Expr::And(parts) => parts.as_slice(),
            _ => slice::from_ref(tree),
        };
        let mut hints = Vec::new();
        let mut found = Vec::new();
        for part in parts.iter().take(COUNTED) {
            let count = if parts.len() == 1 { Some(0) } else { self.count_of(part, self.question.among).await? };
            match count {
                Some(0) => {}
                Some(count) => {
                    found.push(format!("{} {}", shown(part), text::count(count)));
                    continue;
                }
                None => continue,
            }
            let before = hints.len();
            for leaf in leaves(part).into_iter().take(MOST) {
                hints.extend(self.of_leaf(leaf).await?);
            }
            if hints.len() == before && parts.len() > 1 {
                hints.push(format!("Nothing fits {} alone.", shown(part)));
            }
        }
        if hints.is_empty() && found.len() > 1 && found.len() == parts.len() {
            hints.push(format!("No claim fits all of it. Each alone finds: {}.", found.join(", ")));
        }
        hints.truncate(MOST);
        Ok(hints)
    }

    async fn of_leaf(&self, leaf: Leaf<'_>) -> Result<Option<String>, CatalogError> {
        match leaf {
            Leaf::Text(literal) => self.of_text(literal).await,
            Leaf::Range(field) => {
                let names = self.names(field);
                Ok(if self.is_anywhere(&names).await? { None } else { Some(nowhere(field)) })
            }
            Leaf::Is(field, literal) => self.of_condition(field, literal).await,
        }
    }

    /// The fields that a name stands for, those that there are.
    fn names(&self, field: &str) -> Vec<String> {
        let fields = &self.question.condition.fields;
        full_names(field).into_iter().filter(|name| fields.kind(name).is_some()).map(str::to_owned).collect()
    }

    async fn is_anywhere(&self, names: &[String]) -> Result<bool, CatalogError> {
        let exists = names.iter().map(|name| Predicate::Test(name.clone(), Test::Exists));
        Ok(self.count_if_cheap(Predicate::any(exists), Among::All).await? != Some(0))
    }

    /// A text without a field.
    async fn of_text(&self, literal: &Literal) -> Result<Option<String>, CatalogError> {
        let Some(written) = literal.text() else {
            return Ok(None);
        };
        if let Some(meant) = self.meant(written) {
            return Ok(Some(format!("A condition is written with a colon. Did you mean `{meant}`?")));
        }
        if let Literal::Quoted(quoted) = literal {
            if quoted.contains('*') {
                return Ok(Some(
                    "In quotes, `*` is an asterisk. Without them it stands for any characters.".to_owned(),
                ));
            }
            let Some(unquoted) = unquoted(quoted) else { return Ok(None) };
            let found = self.count_of(&unquoted, self.question.among).await?.unwrap_or(0);
            return Ok((found > 0)
                .then(|| format!("In quotes the words stand side by side. Without them {}.", are_found(found))));
        }
        let words: Vec<&str> = written.split_whitespace().collect();
        if words.len() < 2 {
            return Ok(None);
        }
        for word in words.iter().take(COUNTED) {
            let node = Node::from(Expr::Text(Literal::Quoted((*word).to_owned())));
            if self.count_of(&node, self.question.among).await? == Some(0) {
                return Ok(Some(format!("All words of plain text must occur, and `{word}` occurs nowhere.")));
            }
        }
        Ok(None)
    }

    /// `field = value`, `field=value` or `field value` as a condition.
    fn meant(&self, written: &str) -> Option<String> {
        let (name, value, is_not) = match written.split_once('=') {
            Some((name, value)) => {
                let is_not = name.ends_with('!');
                (name.trim_end_matches(['!', '=']).trim(), value.trim_start_matches('=').trim(), is_not)
            }
            None => {
                let (name, value) = written.split_once(char::is_whitespace)?;
                (name, value.trim(), false)
            }
        };
        let name = name.to_lowercase();
        let is_known = !self.names(&name).is_empty();
        // A word that is a field's whole name is more often one of a sentence.
        let is_meant = is_known && (written.contains('=') || full_names(&name) != [name.as_str()]);
        let is_plain = value.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '*'));
        let value = if is_plain { value.to_owned() } else { quote(value.trim_matches(['"', '\''])) };
        let not = if is_not { "not " } else { "" };
        (is_meant && !value.is_empty()).then(|| format!("{not}{name}: {value}"))
    }

    async fn of_condition(&self, field: &str, literal: &Literal) -> Result<Option<String>, CatalogError> {
        let names = self.names(field);
        if names.is_empty() {
            // Only a host with its port gets so far.
            return Ok(Some(format!("There is no field `{field}`, so it was read as a host with its port.")));
        }
        if names.iter().all(|name| word_column(name).is_some()) {
            return self.of_words(field, &names, literal).await;
        }
        if !self.is_anywhere(&names).await? {
            return Ok(Some(nowhere(field)));
        }
        let Some(written) = literal.text() else { return Ok(None) };
        let is = |field: &str, text: &str| condition(field, Literal::Quoted(text.to_owned()));
        if names == [NAME] {
            let plain = Node::from(Expr::Text(Literal::Quoted(written.to_owned())));
            let found = self.count_of(&plain, self.question.among).await?.unwrap_or(0);
            return Ok((found > 0).then(|| {
                format!("`{field}` is asked for as a whole. In plain text, {}: {}", are_found(found), shown(&plain))
            }));
        }
        let kinds: Vec<_> = names.iter().filter_map(|name| self.question.condition.fields.kind(name)).collect();
        if kinds == [Type::Ip] {
            let ranges = is("value", written);
            let found = self.count_of(&ranges, self.question.among).await?.unwrap_or(0);
            let holds = if found == 1 { "range holds" } else { "ranges hold" };
            return Ok((found > 0)
                .then(|| format!("This field has no ranges. {} {holds} it: value: {written}", text::count(found))));
        }
        let lower = written.to_lowercase();
        if lower != written {
            let found = self.count_of(&is(field, &lower), self.question.among).await?.unwrap_or(0);
            return Ok((found > 0).then(|| {
                format!("Upper and lower case count here. {}: {field}: {lower}", sentence(&are_found(found)))
            }));
        }
        Ok(None)
    }

    /// A value of a field whose words are counted.
    async fn of_words(&self, field: &str, names: &[String], literal: &Literal) -> Result<Option<String>, CatalogError> {
        let mut stored = Vec::new();
        for name in names {
            stored.extend(self.catalog.words(name, "", WORDS).await?);
        }
        if names == [types::TYPE] {
            for word in types::UNTYPED {
                let count = self.count_of(&condition("type", Literal::Quoted(word.to_owned())), Among::All).await?;
                stored.extend(count.filter(|count| *count > 0).map(|count| (word.to_owned(), count)));
            }
        }
        if stored.is_empty() {
            return Ok(Some(nowhere(field)));
        }
        // What the words people use for types mean is stored under others.
        let found = self.count_of(&condition(field, literal.clone()), Among::All).await?;
        if literal.is_any() || found.is_some_and(|found| found > 0) {
            return Ok(None);
        }
        let wanted = literal.pattern().map(str::to_lowercase);
        if let Some((word, _)) = stored.iter().find(|(word, _)| wanted.fits(&word.to_lowercase())) {
            return Ok(Some(format!("Upper and lower case count here: there is {field} `{}`.", text::show(word))));
        }
        let piece = wanted.pieces().join("");
        let is_near = |word: &str| {
            let word = word.to_lowercase();
            word.contains(&piece) || word.len() > 2 && piece.contains(&word)
        };
        let (near, others): (Vec<_>, Vec<_>) = stored.iter().partition(|(word, _)| is_near(word));
        let (listed, more) = match near.len() {
            0 => (others, stored.len() > LISTED),
            _ => (near, true),
        };
        let listed: Vec<String> = listed
            .iter()
            .take(LISTED)
            .map(|(word, count)| format!("{} ({})", text::show(word), text::count(*count)))
            .collect();
        let which = if more { "There are, among others" } else { "There are" };
        Ok(Some(format!("No claim has {field} `{}`. {which}: {}.", literal.pattern(), listed.join(", "))))
    }
}

/// Whether the catalog answers it without reading documents, but for few.
fn is_cheap(predicate: &Predicate, fields: &Fields) -> bool {
    match predicate {
        Predicate::All | Predicate::None => true,
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().all(|part| is_cheap(part, fields)),
        Predicate::Not(inner) => is_cheap(inner, fields),
        Predicate::Test(column, test) => {
            word_column(column).is_some()
                || time_column(column).is_some()
                || [NAME, IP, SEARCH].contains(&column.as_str())
                || fields.kind(column) == Some(Type::IpRange)
                || matches!(test, Test::Equals(_))
        }
    }
}

/// A condition without `and`, `or` and `not`.
#[derive(Debug, Clone, Copy)]
enum Leaf<'a> {
    Text(&'a Literal),
    Is(&'a str, &'a Literal),
    Range(&'a str),
}

/// The conditions of which one would have to hold. Of what is excluded, nobody has to be told.
fn leaves(node: &Node) -> Vec<Leaf<'_>> {
    fn values<'a>(field: &'a str, of: &'a Values) -> Vec<Leaf<'a>> {
        match of {
            Values::One(literal) => vec![Leaf::Is(field, literal)],
            Values::And(parts) | Values::Or(parts) => parts.iter().flat_map(|part| values(field, &part.node)).collect(),
            Values::Not(_) => Vec::new(),
        }
    }
    match &node.node {
        Expr::All | Expr::Not(_) => Vec::new(),
        Expr::And(parts) | Expr::Or(parts) => parts.iter().flat_map(leaves).collect(),
        Expr::Text(literal) => vec![Leaf::Text(literal)],
        Expr::Is { field, values: of } => field.node.as_exact().map_or_else(Vec::new, |field| values(field, &of.node)),
        Expr::Range { field, .. } => field.node.as_exact().map(Leaf::Range).into_iter().collect(),
    }
}

/// Whether a part asks for nothing but times.
fn is_time(predicate: &Predicate) -> bool {
    fn are_times(predicate: &Predicate) -> bool {
        match predicate {
            Predicate::All | Predicate::None => false,
            Predicate::And(parts) | Predicate::Or(parts) => parts.iter().all(are_times),
            Predicate::Not(inner) => are_times(inner),
            Predicate::Test(_, Test::Time { .. }) => true,
            // What was never seen is asked for beside --since.
            Predicate::Test(column, Test::Exists) => time_column(column).is_some(),
            Predicate::Test(..) => false,
        }
    }
    are_times(predicate) && !matches!(predicate, Predicate::Test(_, Test::Exists))
}

fn condition(field: &str, literal: Literal) -> Node {
    Expr::Is { field: tipline_kql::Pattern::exact(field).into(), values: Values::One(literal).into() }.into()
}

/// A quoted text of several words, each by itself.
fn unquoted(quoted: &str) -> Option<Node> {
    let words: Vec<Node> =
        quoted.split_whitespace().map(|word| Expr::Text(Literal::Quoted(word.to_owned())).into()).collect();
    (words.len() > 1).then(|| Expr::And(words).into())
}

fn shown(node: &Node) -> String {
    format!("`{}`", print(node))
}

fn nowhere(field: &str) -> String {
    format!("No stored claim has `{field}` at all.")
}

fn are_found(found: u64) -> String {
    format!("{} {} found", text::count(found), if found == 1 { "is" } else { "are" })
}

fn matches_of(found: u64) -> &'static str {
    if found == 1 { "one matches" } else { "ones match" }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
