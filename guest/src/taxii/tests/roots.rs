//! Which collection a name means: in one API root, and in several.

use super::server::Traits;
use super::{CONFIG, Driver, one, response};
use crate::contract::{Event, Failure};

/// Asks a discovery and each root for its collections; gives the paths of the collections that are to be read.
fn surveyed(names: &str, discovery: &str, lists: &[&str]) -> Result<Vec<String>, Failure> {
    let config = CONFIG.replace(r#""collection":"one""#, &format!(r#""collection":{names}"#));
    let mut driver = Driver::new(&config, one(Vec::new(), Traits::default()));
    driver.state = driver.advance(Event::Start)?.state;
    driver.state = driver.advance(response(200, &[], discovery))?.state;
    for list in lists {
        let list = format!(r#"{{"collections":[{list}]}}"#);
        driver.state = driver.advance(response(200, &[], &list))?.state;
    }
    let places = driver.state()["places"].as_array().cloned().unwrap_or_default();
    let due = places.iter().filter(|place| place["turn"] == "due");
    Ok(due.map(|place| place["path"].as_str().unwrap().to_owned()).collect())
}

const ROOT: &str = r#"{"title":"A Root"}"#;
const TWO: &str = r#"{"api_roots":["/a/","/b/"]}"#;
const WITH_DEFAULT: &str = r#"{"default":"/b/","api_roots":["/a/","/b/","/c/"]}"#;

#[test]
fn a_title_of_two_collections_fails_and_names_both() {
    for (discovery, lists) in [
        (ROOT, &[r#"{"id":"x1","title":"Feed"},{"id":"x2","title":"feed"}"#][..]),
        (ROOT, &[r#"{"id":"x1","alias":"feed"},{"id":"x0","title":"Feed"},{"id":"x2","alias":"Feed"}"#]),
        (
            ROOT,
            &[
                r#"{"id":"x1","title":"Feed"},{"id":"x0"},{"id":"x3","title":"Feed","can_read":false},{"id":"x2","title":"Feed"}"#,
            ],
        ),
        (TWO, &[r#"{"id":"x1","title":"Feed"}"#, r#"{"id":"x2","title":"Feed"}"#]),
        (WITH_DEFAULT, &[r#"{"id":"x0"}"#, r#"{"id":"x1","title":"Feed"}"#, r#"{"id":"x2","title":"Feed"}"#]),
    ] {
        let result = surveyed(r#""Feed""#, discovery, lists);
        let Err(Failure::Config(text)) = &result else { panic!("{lists:?} {result:?}") };
        for word in ["\"Feed\"", "\"x1\"", "\"x2\"", "`collection: ["] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("x0"), "{text}");
        // What the message says to write is understood.
        let both = surveyed(r#"["x1","x2"]"#, discovery, lists).unwrap();
        assert_eq!(both.len(), 2, "{both:?}");
    }
}

#[test]
fn a_collection_is_looked_for_in_all_roots() {
    let barred = r#"{"id":"one","can_read":false}"#;
    let cases: [(&str, &str, &[&str], &[&str]); 13] = [
        (r#""one""#, TWO, &["", r#"{"id":"one"}"#], &["/b/collections/one/"]),
        (r#""one""#, TWO, &[r#"{"id":"one"}"#, ""], &["/a/collections/one/"]),
        // One id in two roots: both are read.
        (r#""one""#, TWO, &[r#"{"id":"one"}"#; 2], &["/a/collections/one/", "/b/collections/one/"]),
        (r#""One""#, TWO, &[r#"{"id":"1","title":"One"}"#; 2], &["/a/collections/1/", "/b/collections/1/"]),
        // An id goes before a title, wherever it stands.
        (r#""one""#, TWO, &[r#"{"id":"x","title":"One"}"#, r#"{"id":"one"}"#], &["/b/collections/one/"]),
        (r#""one""#, TWO, &[r#"{"id":"one"}"#, r#"{"id":"x","title":"One"}"#], &["/a/collections/one/"]),
        // Unless another name wants what it stood for.
        (
            r#"["one","x"]"#,
            TWO,
            &[r#"{"id":"x","title":"One"}"#, r#"{"id":"one"}"#],
            &["/a/collections/x/", "/b/collections/one/"],
        ),
        (
            r#"["*","one"]"#,
            TWO,
            &[r#"{"id":"x","title":"One"}"#, r#"{"id":"one"}"#],
            &["/a/collections/x/", "/b/collections/one/"],
        ),
        // The default root's goes before that of others.
        (r#""one""#, WITH_DEFAULT, &[r#"{"id":"one"}"#; 3], &["/b/collections/one/"]),
        (
            r#""one""#,
            WITH_DEFAULT,
            &[r#"{"id":"x","title":"One"}"#, r#"{"id":"y","title":"One"}"#, ""],
            &["/b/collections/x/"],
        ),
        // What may not be read in one may be in another.
        (r#""one""#, TWO, &[barred, r#"{"id":"one"}"#], &["/b/collections/one/"]),
        (r#""one""#, TWO, &[r#"{"id":"one"}"#, barred], &["/a/collections/one/"]),
        (
            r#""One""#,
            ROOT,
            &[r#"{"id":"x","title":"One","can_read":false},{"id":"y","title":"One"}"#],
            &["/taxii2/collections/y/"],
        ),
    ];
    for (names, discovery, lists, expected) in cases {
        let read = surveyed(names, discovery, lists).unwrap_or_else(|failure| panic!("{names} {lists:?}: {failure}"));
        assert_eq!(read, expected, "{names} {lists:?}");
    }
    for lists in [[barred, ""], ["", barred], [barred, barred]] {
        let result = surveyed(r#""one""#, TWO, &lists);
        assert!(matches!(&result, Err(Failure::Forbidden(text)) if text.contains("\"one\"")), "{lists:?} {result:?}");
    }
}
