//! What Kibana's own code reads and what Elasticsearch finds by it, against ours.
//!
//! The code is Kibana 7's, republished on npm for whoever wants it outside Kibana; it is fetched by name, and nothing of it
//! is in the program. `TIPLINE_TEST_ELASTICSEARCH` names an Elasticsearch for what queries find.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tipline_kql::{
    Document, Expr, Literal, Node, SEARCH, SEARCHED, elasticsearch, parse, print, print_for_kibana, resolve,
    search_text,
};

use crate::cases::{self, get};
use crate::data::{described, documents, fields, golden, here};
use crate::trees::{Trees, leaves};

pub(crate) fn trials() -> Vec<Trial> {
    let has = |program: &str| {
        Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    let has_node = has("node") && has("npm");
    let has_server = env::var_os("TIPLINE_TEST_ELASTICSEARCH").is_some();
    vec![
        Trial::test("judge::kibana_reads_and_refuses_what_we_do", readings).with_ignored_flag(!has_node),
        Trial::test("judge::elasticsearch_finds_what_columns_and_kibana_find", findings)
            .with_ignored_flag(!(has_node && has_server)),
    ]
}

/// The folder with Kibana's code, fetched once; the tests run beside each other.
fn modules() -> Result<PathBuf, Failed> {
    static FETCHING: Mutex<()> = Mutex::new(());
    let _alone = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kibana");
    if !folder.join("node_modules/@cybernetex/kbn-es-query").is_dir() {
        fs::create_dir_all(&folder)?;
        for name in ["package.json", "package-lock.json"] {
            fs::copy(here("kibana").join(name), folder.join(name))?;
        }
        let npm = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .output()?;
        if !npm.status.success() {
            return Err(format!("npm ci: {}", String::from_utf8_lossy(&npm.stderr)).into());
        }
    }
    Ok(folder)
}

fn judged(task: &Value) -> Result<Vec<Value>, Failed> {
    let input = tempfile::NamedTempFile::new()?;
    fs::write(input.path(), task.to_string())?;
    let script = here("kibana/judge.mjs");
    let node = Command::new("node").arg(script).arg(modules()?).stdin(fs::File::open(input.path())?).output()?;
    if !node.status.success() {
        return Err(String::from_utf8_lossy(&node.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&node.stdout)?)
}

/// As Kibana's data views name types.
fn view() -> Value {
    let kind = |kind: &'static str| match kind {
        "keyword" | "constant_keyword" | "wildcard" | "text" | "match_only_text" => "string",
        "long" | "integer" | "float" | "double" => "number",
        other => other,
    };
    let search = [(SEARCH, "wildcard")];
    described().chain(search).map(|(name, of)| json!({ "name": name, "type": kind(of) })).collect()
}

/// What Kibana 7 reads otherwise, by the reason that `docs/kql.md` gives; each is a beginning of the reason in the table.
fn reason(block: &cases::Block) -> Option<&str> {
    get(block, "kibana7")
}

fn readings() -> Result<(), Failed> {
    let marked = cases::read("errors.txt");
    let accepted = cases::read("cases.txt");
    let fields = fields();
    let mut asked = Vec::new();
    for (block, is_read) in accepted.iter().map(|block| (block, true)).chain(marked.iter().map(|block| (block, false)))
    {
        let Some(query) = get(block, "query") else { continue };
        let query = query.replace(cases::MARK, "");
        // A refusal of fields and values is none of the grammar.
        let is_read = is_read || parse(&query).is_ok();
        asked.push((query.clone(), is_read, reason(block)));
        if let (Ok(tree), None) = (parse(&query), reason(block))
            && let Ok(printed) = print_for_kibana(&tree, &fields)
        {
            asked.push((printed, true, None));
        }
    }
    let queries: Vec<_> = asked.iter().map(|(text, _, _)| json!({ "text": text, "ours": null })).collect();
    let verdicts = judged(&json!({ "fields": view(), "queries": queries, "elasticsearch": null }))?;
    let mut wrong = Vec::new();
    for ((text, is_read, reason), verdict) in asked.iter().zip(&verdicts) {
        let reads = verdict.get("refused").is_none();
        let differs = reads != *is_read;
        if differs && reason.is_none() {
            let does = if reads { "reads" } else { "refuses" };
            wrong.push(format!("{text}\n  Kibana {does} it, and the table gives no reason: {verdict}"));
        }
    }
    assert_eq!(verdicts.len(), asked.len());
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// `properties` of these fields, as the template of `tipline setup` has them on a cluster without `wildcard`.
fn mapping() -> Value {
    let mut root = json!({ "dynamic": false, "properties": {} });
    for (name, kind) in described().chain([(SEARCH, "wildcard")]) {
        let field = match kind {
            "keyword" => json!({ "type": "keyword", "ignore_above": 1024 }),
            "wildcard" => json!({ "type": "keyword", "ignore_above": 8191 }),
            "match_only_text" => json!({ "type": "text" }),
            kind => json!({ "type": kind }),
        };
        let mut level = &mut root["properties"];
        let (head, last) = name.rsplit_once('.').map_or(("", name), |(head, last)| (head, last));
        for part in head.split('.').filter(|part| !part.is_empty()) {
            level = &mut level[part]["properties"];
        }
        level[last] = field;
    }
    root
}

/// With the field of plain text, as stores write it.
fn searchable(mut document: Value) -> Value {
    let mut found = Vec::new();
    leaves(&document, "", &mut found);
    let texts = SEARCHED
        .iter()
        .flat_map(|name| found.iter().filter(move |(path, _)| path == name).map(|(_, text)| text.as_str()));
    let text = search_text(texts);
    if !text.is_empty() {
        document["tipline"]["search"] = json!(text);
    }
    document
}

fn findings() -> Result<(), Failed> {
    let url = env::var("TIPLINE_TEST_ELASTICSEARCH")?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let fields = fields();
    let documents: Vec<Value> = documents().into_iter().chain(golden()).map(searchable).collect();
    let columns: Vec<_> = documents.iter().map(|document| Document::of(document, &fields)).collect();
    let mut trees: Vec<(Node, bool)> = Vec::new();
    for block in cases::read("cases.txt") {
        if let Some(query) = get(&block, "query") {
            trees.push((parse(query)?, reason(&block).is_none()));
        }
    }
    let many: u64 = env::var("TIPLINE_KQL_TREES").ok().and_then(|many| many.parse().ok()).unwrap_or(300);
    let mut random = Trees::new(&documents);
    trees.extend((0..many).map(|number| (random.tree(number), true)));
    let mut queries = Vec::new();
    let mut expected = Vec::new();
    for (tree, _) in &trees {
        let predicate = resolve(tree, &fields, now).map_err(|error| format!("{}: {error}", print(tree)))?;
        queries.push(json!({ "text": print_for_kibana(tree, &fields)?, "ours": elasticsearch(&predicate) }));
        expected.push(json!((0..columns.len()).filter(|at| columns[*at].matches(&predicate)).collect::<Vec<_>>()));
    }
    let task = json!({ "fields": view(), "mapping": mapping(), "documents": documents, "queries": queries, "elasticsearch": url });
    let verdicts = judged(&task)?;
    let mut wrong = Vec::new();
    let (mut agreed, mut selective) = (0, 0);
    let cases = trees.len() - many as usize;
    for (number, (((tree, is_judged), query), (verdict, expected))) in
        trees.iter().zip(&queries).zip(verdicts.iter().zip(&expected)).enumerate()
    {
        if verdict["ours"] != *expected {
            wrong.push(format!(
                "{}\n  columns find {expected}\n  Elasticsearch finds {}\n  by {}",
                print(tree),
                verdict["ours"],
                query["ours"]
            ));
        }
        let found = expected.as_array().map_or(0, Vec::len);
        let is_selective = found * 100 >= documents.len() && found * 100 <= documents.len() * 90;
        selective += usize::from(number >= cases && is_selective);
        match &verdict["kibana"] {
            ids if ids == expected => agreed += 1,
            // Kibana 7 cuts patterns at spaces, reads no `\u`, and sends what Elasticsearch refuses.
            Value::Array(_) if *is_judged && !is_widened(tree) && !pattern_with_space(&query["text"]) => {
                let differs = |at: &usize| is_in(&verdict["kibana"], *at) != is_in(expected, *at);
                let one = (0..documents.len()).find(differs).map(|at| documents[at].to_string());
                wrong.push(format!(
                    "{}\n  we find {expected}\n  Kibana's translation finds {}\n  the first that differs is {}",
                    query["text"],
                    verdict["kibana"],
                    one.unwrap_or_default()
                ));
            }
            _ => {}
        }
    }
    println!(
        "of {} queries Kibana's translation finds the same for {agreed}; of {many} random ones {selective} find some and not all",
        trees.len()
    );
    if !wrong.is_empty() {
        return Err(format!("{} differ:\n{}", wrong.len(), wrong.join("\n")).into());
    }
    assert!(agreed * 2 > trees.len(), "Kibana judged {agreed} of {}", trees.len());
    assert!(selective * 2 >= many as usize, "{selective} of {many} find some and not all");
    Ok(())
}

/// Whether a text has spaces, which stand as asterisks in what is printed for Kibana: it finds more.
fn is_widened(tree: &Node) -> bool {
    match &tree.node {
        Expr::And(parts) | Expr::Or(parts) => parts.iter().any(is_widened),
        Expr::Not(inner) => is_widened(inner),
        Expr::Text(Literal::Quoted(text)) => text.trim().contains(char::is_whitespace),
        Expr::All | Expr::Text(_) | Expr::Is { .. } | Expr::Range { .. } => false,
    }
}

/// Whether a number is in a list of them.
fn is_in(list: &Value, at: usize) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|one| one.as_u64() == u64::try_from(at).ok()))
}

/// An unquoted value with an asterisk and a space in it.
fn pattern_with_space(text: &Value) -> bool {
    let text = text.as_str().unwrap_or_default();
    let mut in_quotes = false;
    let mut is_escaped = false;
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => in_quotes = !in_quotes,
            c if !in_quotes => plain.push(c),
            _ => {}
        }
    }
    let words = plain.replace(" and ", "\n").replace(" or ", "\n").replace("not ", "\n");
    words.split(['\n', ':', '(', ')']).any(|part| part.trim().contains('*') && part.trim().contains(' '))
}
