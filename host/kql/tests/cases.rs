//! The tables `cases.txt` (what queries mean) and `errors.txt` (what is wrong, and where).
//!
//! `TIPLINE_UPDATE_CASES=1` writes what comes out into them; read the difference before you keep it. What queries find, and
//! where errors stand, is written by hand and never changed so.

use std::fmt::Write;
use std::{env, fs, slice};

use libtest_mimic::{Failed, Trial};
use tipline_kql::{
    Document, Expr, Literal, Node, Spanned, Values, naive::Naive, parse, print, print_for_kibana, quote, resolve,
};

use crate::data::{NOW, documents, fields, here, id};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("cases::queries_are_read_printed_and_find_as_the_table_says", queries),
        Trial::test("cases::errors_stand_where_the_table_says", errors),
        Trial::test("cases::every_sign_of_the_grammar_has_a_case", grammar),
    ]
}

/// A tree in parentheses, each word with its kind.
fn shown(node: &Node) -> String {
    let all = |keyword: &str, parts: &[Node]| {
        format!("({keyword} {})", parts.iter().map(shown).collect::<Vec<_>>().join(" "))
    };
    match &node.node {
        Expr::All => "all".to_owned(),
        Expr::And(parts) => all("and", parts),
        Expr::Or(parts) => all("or", parts),
        Expr::Not(inner) => format!("(not {})", shown(inner)),
        Expr::Is { field, values } => format!("({} : {})", pieces(field.node.pieces()), shown_values(values)),
        Expr::Range { field, operator, value } => {
            format!("({} {} {})", pieces(field.node.pieces()), operator.sign(), shown_literal(&value.node))
        }
        Expr::Text(text) => shown_literal(text),
    }
}

fn shown_values(values: &Spanned<Values>) -> String {
    let all = |keyword: &str, parts: &[Spanned<Values>]| {
        format!("({keyword} {})", parts.iter().map(shown_values).collect::<Vec<_>>().join(" "))
    };
    match &values.node {
        Values::One(value) => shown_literal(value),
        Values::And(parts) => all("and", parts),
        Values::Or(parts) => all("or", parts),
        Values::Not(inner) => format!("(not {})", shown_values(inner)),
    }
}

fn shown_literal(literal: &Literal) -> String {
    match literal {
        Literal::Quoted(text) => quote(text),
        Literal::Plain(pattern) => format!("[{}]", pieces(pattern.pieces())),
    }
}

/// With … for the gaps.
fn pieces(pieces: &[String]) -> String {
    pieces.join("…").escape_debug().to_string().replace("\\\"", "\"").replace("\\\\", "\\")
}

/// A case: lines of a name and a text, in their order; or a comment.
pub(crate) type Block = Vec<(String, String)>;

pub(crate) fn read(name: &str) -> Vec<Block> {
    let text = fs::read_to_string(here(name)).unwrap();
    let block = |block: &str| {
        let line = |line: &str| match line.split_once(' ') {
            _ if line.starts_with('#') => (String::new(), line.to_owned()),
            Some((name, text)) => (name.to_owned(), text.trim_start().to_owned()),
            None => (line.to_owned(), String::new()),
        };
        block.lines().filter(|line| !line.is_empty()).map(line).collect()
    };
    text.split("\n\n").map(block).filter(|block: &Block| !block.is_empty()).collect()
}

fn written(blocks: &[Block]) -> String {
    let mut out = String::new();
    for (index, block) in blocks.iter().enumerate() {
        out.push_str(if index > 0 { "\n" } else { "" });
        for (name, text) in block {
            if name.is_empty() {
                _ = writeln!(out, "{text}");
            } else {
                _ = writeln!(out, "{}", format!("{name:<8} {text}").trim_end());
            }
        }
    }
    out
}

pub(crate) fn get<'a>(block: &'a Block, name: &str) -> Option<&'a str> {
    block.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
}

/// Sets a line where it is, or behind the query.
fn set(block: &mut Block, name: &str, text: String) {
    match block.iter_mut().find(|(known, _)| known == name) {
        Some(line) => line.1 = text,
        None => {
            let end = block.iter().position(|(known, _)| known == "finds").unwrap_or(block.len());
            block.insert(end, (name.to_owned(), text));
        }
    }
}

fn compare(name: &str, blocks: &[Block], found: &[Block]) -> Result<(), Failed> {
    if env::var_os("TIPLINE_UPDATE_CASES").is_some() {
        fs::write(here(name), written(found)).unwrap();
    }
    let wrong: Vec<String> = blocks
        .iter()
        .zip(found)
        .filter(|(block, found)| block != found)
        .map(|(block, found)| {
            format!("{}\n--- comes out as\n{}", written(slice::from_ref(block)), written(slice::from_ref(found)))
        })
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn queries() -> Result<(), Failed> {
    let (fields, documents) = (fields(), documents());
    let columns: Vec<_> = documents.iter().map(|document| Document::of(document, &fields)).collect();
    let blocks = read("cases.txt");
    let mut found = blocks.clone();
    let mut wrong = String::new();
    for block in &mut found {
        let Some(query) = get(block, "query").map(str::to_owned) else { continue };
        let tree = parse(&query).map_err(|error| format!("{query}: {error}"))?;
        let printed = print(&tree);
        assert_eq!(parse(&printed).as_ref(), Ok(&tree), "{query} is printed as {printed}");
        set(block, "tree", shown(&tree));
        if printed != query || get(block, "printed").is_some() {
            set(block, "printed", printed);
        }
        let kibana = print_for_kibana(&tree, &fields)?;
        let predicate = resolve(&tree, &fields, NOW).map_err(|error| format!("{query}: {error}"))?;
        // What is printed for Kibana is asked here too; a quoted text with spaces may find more that way.
        let again = resolve(&parse(&kibana)?, &fields, NOW).map_err(|error| format!("{kibana}: {error}"))?;
        if kibana != query || get(block, "kibana").is_some() {
            set(block, "kibana", kibana);
        }
        let names = |finds: &dyn Fn(usize) -> bool| {
            let names: Vec<_> = (0..documents.len()).filter(|at| finds(*at)).map(|at| id(&documents[at])).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
        };
        let columns_find = names(&|at| columns[at].matches(&predicate));
        let kibana_finds = names(&|at| columns[at].matches(&again));
        let naive = Naive::new(&tree, &fields, NOW)?;
        let naive_finds = names(&|at| naive.finds(&[&documents[at]]));
        assert_eq!(columns_find, naive_finds, "{query}");
        if get(block, "kibana7") == Some("a space is a gap") {
            assert_ne!(columns_find, kibana_finds, "{query}");
        } else {
            assert_eq!(columns_find, kibana_finds, "{query}");
        }
        match get(block, "finds") {
            Some(expected) if expected == columns_find => {}
            Some(expected) => _ = writeln!(wrong, "{query}\n  shall find {expected}\n  but finds  {columns_find}"),
            None => _ = writeln!(wrong, "{query}\n  has no line `finds`; it finds {columns_find}"),
        }
    }
    if wrong.is_empty() { compare("cases.txt", &blocks, &found) } else { Err(wrong.into()) }
}

/// What marks the place of an error.
pub(crate) const MARK: char = '▸';

fn errors() -> Result<(), Failed> {
    let fields = fields();
    let blocks = read("errors.txt");
    let mut found = blocks.clone();
    let mut count = 0;
    let mut wrong = String::new();
    for block in &mut found {
        let Some(marked) = get(block, "query").map(str::to_owned) else { continue };
        let query = marked.replacen(MARK, "", 1);
        let column = marked.chars().position(|c| c == MARK).ok_or_else(|| format!("no {MARK} in {marked}"))? + 1;
        match parse(&query).and_then(|tree| resolve(&tree, &fields, NOW)) {
            Ok(_) => _ = writeln!(wrong, "{query}\n  is no error"),
            Err(error) => {
                if error.span.column != column {
                    _ = writeln!(wrong, "{query}\n  shall be wrong at {column}: {error}");
                }
                assert_eq!(query[..error.span.start].chars().count() + 1, error.span.column, "{query}");
                assert!(query.get(error.span.start..error.span.end).is_some(), "{query}");
                set(block, "error", error.text);
            }
        }
        count += 1;
    }
    assert!(count >= 100, "there are {count} cases");
    if wrong.is_empty() { compare("errors.txt", &blocks, &found) } else { Err(wrong.into()) }
}

/// The table has what the grammar has: each sign, escape and keyword stands in some query.
fn grammar() -> Result<(), Failed> {
    let docs = include_str!("../../../docs/kql.md");
    let grammar = docs.split("```").nth(3).ok_or("docs/kql.md has no grammar")?;
    let queries: Vec<_> = read("cases.txt").iter().filter_map(|block| get(block, "query").map(str::to_owned)).collect();
    for sign in [
        "and", "or", "not", "(", ")", ":", "<", "<=", ">", ">=", "\"", "*", "\\\\", "\\\"", "\\(", "\\)", "\\:", "\\<",
        "\\>", "\\*", "\\{", "\\}", "\\t", "\\r", "\\n", "\\u", "\\and", "\\or",
    ] {
        let in_grammar = if sign.len() == 2 && sign.starts_with('\\') { &sign[1..] } else { sign };
        assert!(grammar.contains(in_grammar), "the grammar has no {sign}");
        assert!(queries.iter().any(|query| query.contains(sign)), "no case has {sign}");
    }
    Ok(())
}
