use super::*;

fn column(text: &str) -> (usize, String) {
    let refusal = Pattern::parse(text).expect_err(text);
    (refusal.column, refusal.to_string())
}

#[test]
fn refusals_say_where_and_what() {
    for (text, said) in [
        ("", "column 1: expected `[` or `(`, found the end"),
        ("file:size = 1", "column 1: expected `[` or `(`, found `file`"),
        ("[file:name = foo]", "column 14: expected a string, a number or another literal, found `foo`"),
        ("[file:name LIKE 1]", "column 17: expected a string, found `1`"),
        ("[file:size < true]", "column 14: expected a string, a number or another literal, found `true`"),
        ("[file.size = 1]", "column 6: expected `:` behind the object's type, found `.`"),
        ("[file:name = 'x", "column 16: expected the quote that ends the string, found the end"),
        ("[a:b = 1", "column 9: expected `AND`, `OR` or `]`, found the end"),
        ("([a:b = 1]", "column 11: expected `)`, found the end"),
        ("[(a:b = 1]", "column 10: expected `AND`, `OR` or `)`, found `]`"),
        ("[a:b = 1]]", "column 10: expected `AND`, `OR`, `FOLLOWEDBY`, a qualifier or the end, found `]`"),
        ("[a:b = 1])", "column 10: expected the end, found `)`"),
        ("[a:b = 1 FOLLOWEDBY a:b = 2]", "column 10: expected `AND`, `OR` or `]`, found `FOLLOWEDBY`"),
        (
            "[a:b = 1] within 2 SECONDS",
            "column 11: expected `AND`, `OR`, `FOLLOWEDBY`, a qualifier or the end, found `within`",
        ),
        ("[a:b = 1] WITHIN 2 SECONDS WITHIN 3 SECONDS", "column 28: expected each qualifier once, found `WITHIN`"),
        ("[a:b = 1] WITHIN -2 SECONDS", "column 18: expected a positive number, found `-2`"),
        ("[a:b = 1] REPEATS 1.5 TIMES", "column 19: expected a positive whole number, found `1.5`"),
        ("[NOT a:b = 1]", "column 6: expected `EXISTS` behind `NOT`, or an object's path, found `a`"),
        ("[a:b = 05]", "column 9: expected `AND`, `OR` or `]`, found `5`"),
        ("[a:b = '\u{fc}' \u{200b}]", "column 12: expected `AND`, `OR` or `]`, found `\\u{200b}`"),
        (r"[file:name = 'C:\']", "column 20: expected the quote that ends the string, found the end"),
    ] {
        assert_eq!(column(text).1, said, "{text}");
    }
}

/// What platforms and sensors write against the grammar and what can mean one thing only.
#[test]
fn what_is_plain_is_read_against_the_grammar() {
    for (text, property, value) in [
        ("[file:hashes.SHA-256 = 'x']", "SHA-256", "x"),
        ("[file:hashes.\"SHA-256\" = 'x']", "SHA-256", "x"),
        ("[file:hashes.'SHA-256' = \"x\"]", "SHA-256", "x"),
        ("[file:hashes.sha-1='x']", "sha-1", "x"),
        ("[file:name = \"it's\"]", "name", "it's"),
        (r#"[file:name = "a\"b"]"#, "name", "a\"b"),
        (r"[file:name = 'C:\Temp\a.exe']", "name", r"C:\Temp\a.exe"),
        (r"[file:name = 'C:\\Temp\a.exe']", "name", r"C:\Temp\a.exe"),
        (r"[file:name = 'it\'s']", "name", "it's"),
        (r"[file:name = '\\\\host\\share']", "name", r"\\host\share"),
        ("[file:hashes.MD5 = 'f00']", "MD5", "f00"),
        ("[network-traffic:extensions.http-request-ext.request_header.User-Agent = 'x']", "User-Agent", "x"),
    ] {
        let pattern = Pattern::parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        let test = pattern.tests()[0];
        assert_eq!(pattern.steps(&test).last(), Some(&Step::Name(property)), "{text}");
        assert_eq!(pattern.literals(&test)[0].value(), value, "{text}");
    }
}

#[test]
fn the_grammar_is_read_whole() {
    for text in [
        "[a:b=1]",
        "[a:b==1 AND a:'c-d'<>'x' OR NOT EXISTS a:b]",
        "[a-b:'c d'[*][0][-1].'e' NOT IN (1, -2, +3.5, .5, 'x', true, h'', h'ffd8', b'dGV4dA==', t'2016-02-30T23:59:60.5Z')]",
        "[a:b IN () AND a:b ISSUBSET '10.0.0.0/8' AND a:b NOT ISSUPERSET '10.0.0.0/8']",
        "[a:b MATCHES'x' AND a:b NOT LIKE 'x%' AND a:b>=1 AND a:b<=1 AND a:b<1 AND a:b>1]",
        "([a:b=1]START t'2016-01-01T00:00:00Z' STOP t'2016-01-01T00:00:00Z' WITHIN 1.5 SECONDS REPEATS 2 TIMES)WITHIN 3 SECONDS",
        "[a:b=1]FOLLOWEDBY[a:start=2]OR[a:in=3]AND[a:t=4]//and so on\n/* * */\u{3000}",
        "[a:b = 'x\ny\"\\'\\\\']",
    ] {
        assert!(Pattern::parse(text).is_ok(), "{text}: {:?}", Pattern::parse(text));
    }
}

/// What is read the short way is read as it is the long way.
#[test]
fn both_ways_read_the_same() {
    let md5 = "'d41d8cd98f00b204e9800998ecf8427e'";
    let objects = ["file", "a-b", "AND", "x-", "-x", "true", "h", "", "_a", "1a", "NOT EXISTS a"];
    let paths = ["b", "b.c", "b.'c-d'", "b.'c d'", "hashes.MD5", "hashes.'SHA-256'", "'hashes'.x", "'a.b'", "'a = b'"];
    let others = ["b-c", "b[0]", "b[*].c", "IN", "in", "false", "b.", ".b", "'b\\'", "'b", "b.h", "", "b AND a:c"];
    let operators = [" = ", "=", " == ", " != ", " NOT = ", "  = ", " =\n", " IN ", " LIKE "];
    let literals =
        [md5, "'x'", "''", "'", "'''", r"'\''", r"'\'", "'] OR [a:b = '", "1", "h'ff'", "'\u{fc}\n//'", "('x')", ""];
    let frames = [("[", "]"), ("[ ", "]"), ("[", " ]"), ("([", "])"), ("[", "]]"), ("[", "] "), ("", "]"), ("[", "")];
    let mut short = 0;
    for object in objects {
        for path in paths.iter().chain(&others) {
            for operator in operators {
                for literal in literals {
                    for (open, close) in frames {
                        let text = format!("{open}{object}:{path}{operator}{literal}{close}");
                        if let Some(pattern) = parser::usual(&text) {
                            assert_eq!(Ok(pattern), parser::general(&text), "{text}");
                            short += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(short > 50, "{short}");
    assert!(parser::usual("[domain-name:value = 'example.com']").is_some());
    assert!(parser::usual(&format!("[file:hashes.'MD5' = {md5}]")).is_some());
}

#[test]
fn the_tree_follows_precedence() {
    let nodes = |text: &str| Pattern::parse(text).unwrap().nodes;
    assert_eq!(
        nodes("[a:b=1 OR a:b=2 AND a:b=3 AND a:b=4 OR a:b=5]"),
        [
            Node::Test(0),
            Node::Test(1),
            Node::Test(2),
            Node::Test(3),
            Node::And(3),
            Node::Test(4),
            Node::Or(3),
            Node::Observation
        ]
    );
    assert_eq!(
        nodes("[a:b=1] FOLLOWEDBY [a:b=2] OR ([a:b=3] REPEATS 2 TIMES)"),
        [
            Node::Test(0),
            Node::Observation,
            Node::Test(1),
            Node::Observation,
            Node::Test(2),
            Node::Observation,
            Node::Repeats(true),
            Node::Or(2),
            Node::FollowedBy(2)
        ]
    );
    assert_eq!(
        nodes("[(a:b=1 OR a:b=2) AND a:b=3]"),
        [Node::Test(0), Node::Test(1), Node::Or(2), Node::Test(2), Node::And(2), Node::Observation]
    );
}

#[test]
fn literals_lose_their_quotes_and_escapes() {
    let pattern = Pattern::parse(r"[a:b IN ('C:\\x\'y', 'plain', '', 12, h'ff', '\\\\')]").unwrap();
    let values: Vec<_> = pattern.literals(&pattern.tests()[0]).iter().map(|literal| literal.value()).collect();
    assert_eq!(values, [r"C:\x'y", "plain", "", "12", "ff", r"\\"]);
}

#[test]
fn nesting_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}[a:b=1]{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Pattern::parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(column(&nested(MAX_DEPTH + 1)).0, MAX_DEPTH + 2);
    assert!(Pattern::parse(&format!("[{}a:b=1{}]", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH))).is_ok());
    let long = |bytes: usize| format!("[a:b = '{}']", "x".repeat(bytes - 10));
    assert!(Pattern::parse(&long(MAX_BYTES)).is_ok());
    assert_eq!(column(&long(MAX_BYTES + 1)).0, 1);
    assert!(column(&"(".repeat(MAX_BYTES)).0 < 100);
    assert_eq!(column(&"(".repeat(1_000_000)).0, 1);
}

fn shown(text: &str) -> Vec<String> {
    let pattern = Pattern::parse(text).unwrap();
    alternatives(&pattern)
        .iter()
        .map(|conjunction| {
            let mut parts: Vec<String> = Vec::new();
            for leaf in &conjunction.leaves {
                let test = &pattern.tests()[leaf.test as usize];
                parts.push(match leaf.literal {
                    Some(place) => pattern.literals(test)[place as usize].value().into_owned(),
                    None => format!("({})", test.operator.text()),
                });
            }
            parts.extend(conjunction.limits().map(|limit| limit.word().to_owned()));
            parts.join(" ")
        })
        .collect()
}

#[test]
fn alternatives_are_the_branches_of_or() {
    for (text, expected) in [
        ("[a:b='1']", vec!["1"]),
        ("[a:b='1' OR a:b='2'] OR [a:b='3']", vec!["1", "2", "3"]),
        ("[a:b IN ('1','2') AND a:c='3']", vec!["1 3", "2 3"]),
        ("[(a:b='1' OR a:b='2') AND (a:c='3' OR a:c='4')]", vec!["1 3", "1 4", "2 3", "2 4"]),
        ("[a:b='1' AND a:b!='2' AND a:b NOT = '3']", vec!["1 (!=) (=)"]),
        ("[a:b IN ()]", vec!["(IN)"]),
        ("[a:b LIKE 'x' OR a:b LIKE 'x%' OR a:b LIKE 'x_']", vec!["x", "(LIKE)", "(LIKE)"]),
        ("[a:b='1'] AND [a:b='2']", vec!["1 2 observations"]),
        ("[a:b='1'] FOLLOWEDBY [a:b='2'] WITHIN 5 SECONDS", vec!["1 2 observations sequence"]),
        ("([a:b='1'] FOLLOWEDBY [a:b='2']) WITHIN 5 SECONDS", vec!["1 2 observations sequence window"]),
        ("[a:b='1'] REPEATS 1 TIMES OR [a:b='2'] REPEATS 2 TIMES", vec!["1", "2 repeats"]),
        ("[a:b='1'] WITHIN 5 SECONDS", vec!["1"]),
        ("([a:b='1'] OR [a:b='2'] AND [a:b='3']) WITHIN 5 SECONDS", vec!["1", "2 3 observations window"]),
        ("[a:b='1'] START t'2024-01-01T00:00:00Z' STOP t'2024-02-01T00:00:00Z' OR [a:b='2']", vec!["1 window", "2"]),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn combinations_are_bounded() {
    let choice = |n: usize| format!("({})", vec!["a:b=1"; n].join(" OR "));
    let kept = format!("[{} AND {}]", choice(32), choice(16));
    assert_eq!(alternatives(&Pattern::parse(&kept).unwrap()).len(), 512);
    let exceeded = format!("[{} AND {}]", choice(32), choice(17));
    let apart = alternatives(&Pattern::parse(&exceeded).unwrap());
    assert_eq!(apart.len(), 49);
    assert!(apart.iter().all(|one| one.limits().eq([Limit::Combinations])));
}
