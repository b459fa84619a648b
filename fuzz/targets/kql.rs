//! Queries: any text is read to the tree it is printed from, or refused at a column of it; a cursor is welcome anywhere.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tipline_kql::{Fields, complete, elasticsearch, parse, print, print_for_kibana, resolve};

fuzz_target!(|text: &str| {
    let fields = Fields::new([
        ("tags", "keyword"),
        ("threat.indicator.name", "keyword"),
        ("threat.indicator.ip", "ip"),
        ("threat.indicator.last_seen", "date"),
        ("threat.indicator.type", "keyword"),
        ("socdefenders.ioc.cidr", "ip_range"),
        ("socdefenders.ioc.ports", "long"),
        ("socdefenders.ioc.score", "float"),
        ("socdefenders.article.title", "match_only_text"),
        ("socdefenders.stix.original", "flattened"),
    ]);
    let within = |error: tipline_kql::KqlError| {
        assert_eq!(error.span.column, text[..error.span.start].chars().count() + 1, "{error}");
        assert!(text.get(error.span.start..error.span.end).is_some(), "{error}");
    };
    match parse(text) {
        Err(error) => within(error),
        Ok(tree) => {
            let printed = print(&tree);
            assert_eq!(parse(&printed).as_ref(), Ok(&tree), "{printed}");
            match resolve(&tree, &fields, 0) {
                Err(error) => within(error),
                Ok(predicate) => {
                    let kibana = print_for_kibana(&tree, &fields).expect("what can be resolved can be written out");
                    assert!(parse(&kibana).is_ok(), "{kibana}");
                    let _ = elasticsearch(&predicate);
                }
            }
        }
    }
    for choice in complete(text, text.len() / 2) {
        assert!(text.get(choice.span.start..choice.span.end).is_some());
    }
});
