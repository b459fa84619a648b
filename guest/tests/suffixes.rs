//! The automaton against a second implementation of the public suffix list; names of feeds are held against it in
//! `corpus/values.rs`.

use socdefenders::suffix::split;

#[test]
fn rules_of_each_kind_cut_as_the_psl_crate_does() {
    for name in
        ["a.b.c.kobe.jp", "x.city.kobe.jp", "www.ck", "a.ck", "b.a.ck", "foo.github.io", "onion", "a.b.unlisted"]
    {
        let parts = split(name);
        assert_eq!(Some(parts.top_level), psl::suffix_str(name), "{name}");
        assert_eq!(parts.registered, psl::domain_str(name), "{name}");
    }
}
