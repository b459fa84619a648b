//! The automaton against a second implementation of the public suffix list.

use socdefenders::suffix::split;

use crate::corpus;

#[test]
fn names_are_cut_as_the_psl_crate_cuts_them() {
    let mut names: Vec<String> = corpus::rows("iocs.jsonl")
        .unwrap_or_default()
        .iter()
        .filter(|row| row.kind == "domain")
        .map(|row| corpus::undone(&row.value).to_ascii_lowercase())
        .filter(|name| corpus::is_name(name))
        .collect();
    for name in
        ["a.b.c.kobe.jp", "x.city.kobe.jp", "www.ck", "a.ck", "b.a.ck", "foo.github.io", "onion", "a.b.unlisted"]
    {
        names.push(name.to_owned());
    }
    for name in names {
        let parts = split(&name);
        assert_eq!(Some(parts.top_level), psl::suffix_str(&name), "{name}");
        assert_eq!(parts.registered, psl::domain_str(&name), "{name}");
    }
}
