//! Discovery, API roots, and which collections are read.

use super::server::{Collection, SimServer, Traits, collection};
use super::{CONFIG, Driver, NOON, indicators, one, response};
use crate::contract::{Event, Failure, Next};
use tipline_ecs::time::HOUR;

const VENDOR: &str = r#"{"transport":"taxii","url":"https://www.socdefenders.ai/api/""#;

fn named(names: &[(&'static str, &'static str)]) -> Vec<Collection> {
    names.iter().map(|(id, title)| Collection { title, ..collection(id, indicators(2)) }).collect()
}

fn read(driver: &Driver) -> Vec<String> {
    let mut read: Vec<String> = driver.pages().iter().map(|t| t.split('/').nth(3).unwrap().to_owned()).collect();
    read.dedup();
    read
}

#[test]
fn collections_are_found_by_id_alias_title_and_the_vendors_words() {
    let first = &[("all", "All"), ("ips", "IPs"), ("hashes", "Hashes"), ("cves", "CVEs")];
    let second = &[("all-iocs", "All"), ("ip-addresses", "IPs"), ("file-hashes", "Hashes"), ("cves", "CVEs")];
    let third = &[("soc-defenders-all", "x"), ("soc-defenders-network", "y"), ("soc-defenders-hashes", "z")];
    for (config, offered, expected) in [
        (r#""collection":"all""#, first.as_slice(), &["all"][..]),
        (r#""collection":"all""#, second, &["all-iocs"]),
        (r#""collection":"all""#, third, &["soc-defenders-all"]),
        (r#""collection":["hashes","ips"]"#, first, &["hashes", "ips"]),
        (r#""collection":["hashes","ips"]"#, second, &["file-hashes", "ip-addresses"]),
        (r#""collection":["hashes","ips"]"#, third, &["soc-defenders-hashes", "soc-defenders-network"]),
        (r#""collection":["CVEs"]"#, second, &["cves"]),
        (r#""limit":5"#, second, &["all-iocs"]),
        (r#""collection":"*""#, third, &["soc-defenders-all", "soc-defenders-network", "soc-defenders-hashes"]),
        (r#""collection":["*","all"]"#, third, &["soc-defenders-all", "soc-defenders-network", "soc-defenders-hashes"]),
        (r#""collection":"Y""#, third, &["soc-defenders-network"]),
    ] {
        let mut driver =
            Driver::new(&format!("{VENDOR},{config}}}"), SimServer::new(named(offered), Traits::default()));
        driver.poll().unwrap();
        assert_eq!(read(&driver), expected, "{config}");
        assert_eq!(driver.missing(), Vec::<&str>::new());
    }
    // The words are the vendor's alone.
    let config = CONFIG.replace(r#""one""#, r#""all""#);
    let failure = Driver::new(&config, SimServer::new(named(third), Traits::default())).poll().unwrap_err();
    assert!(matches!(failure, Failure::Config(_)), "{failure}");
    // An alias.
    let mut driver = Driver::new(CONFIG, one(indicators(1), Traits::default()));
    driver.state = driver.advance(Event::Start).unwrap().state;
    driver.state = driver.advance(response(404, &[], "")).unwrap().state;
    let list = r#"{"collections":[{"id":"two","alias":"One"},{"id":"t","title":"one"},{"title":"no id"},7]}"#;
    let step = driver.advance(response(200, &[], list)).unwrap();
    assert!(matches!(&step.next, Next::Fetch(request) if request.target.contains("/collections/two/objects/")));
}

#[test]
fn a_wrong_collection_fails_with_the_right_ones() {
    let offered = named(&[("all-iocs", "All\u{1b} IOCs"), ("cves", "CVEs")]);
    let wrong = CONFIG.replace(r#""one""#, r#"["cves","nope"]"#);
    let none = CONFIG.replace(r#""collection":"one","#, "");
    for (config, words) in [
        (&wrong, &["\"nope\"", "all-iocs (All\\u{1b} IOCs)", "cves (CVEs)"][..]),
        (&none, &["`collection` is missing", "cves (CVEs)"]),
    ] {
        let mut driver = Driver::new(config, SimServer::new(offered.clone(), Traits::default()));
        match driver.poll().unwrap_err() {
            Failure::Config(text) => words.iter().for_each(|word| assert!(text.contains(word), "{word}: {text}")),
            other => panic!("{other:?}"),
        }
    }
    // On this machine, where one like the vendor's may stand, its usual one is looked for.
    let local = none.replace("https://taxii.example", "http://127.0.0.1:8080");
    assert_ne!(local, none);
    let mut server = SimServer::new(offered[1..].to_vec(), Traits::default());
    server.roots = vec!["/api/".to_owned()];
    let failure = Driver::new(&local, server).poll().unwrap_err();
    let said = ["`collection` is left out, and the vendor's \"all\" is not offered", "Set it to one", "cves (CVEs)"];
    assert!(said.iter().all(|word| failure.to_string().contains(word)), "{failure}");
    let mut barred = offered.clone();
    barred.iter_mut().for_each(|c| c.readable = false);
    for name in ["\"cves\"", "\"*\""] {
        let config = CONFIG.replace(r#""one""#, name);
        let failure = Driver::new(&config, SimServer::new(barred.clone(), Traits::default())).poll().unwrap_err();
        assert!(matches!(failure, Failure::Forbidden(_)), "{name}: {failure}");
    }
    let usual = format!(r#"{VENDOR},"limit":5}}"#);
    for (collections, is_barred) in [(&barred[..1], true), (&offered[1..], false)] {
        let failure = Driver::new(&usual, SimServer::new(collections.to_vec(), Traits::default())).poll().unwrap_err();
        assert_eq!(matches!(failure, Failure::Forbidden(_)), is_barred, "{failure}");
    }
    // A server without any may be at fault itself.
    let failure = Driver::new(CONFIG, SimServer::new(Vec::new(), Traits::default())).poll().unwrap_err();
    assert!(matches!(failure, Failure::Protocol(_)), "{failure}");
    // What may not be read is left out of `*`.
    barred[1].readable = true;
    let mut driver = Driver::new(&CONFIG.replace(r#""one""#, r#""*""#), SimServer::new(barred, Traits::default()));
    driver.poll().unwrap();
    assert_eq!(read(&driver), ["cves"]);
}

#[test]
fn a_collection_that_cannot_be_asked_for_costs_itself() {
    for id in [
        "..",
        ".",
        "../other",
        "a/..",
        "%2e%2e",
        "%252e%252e",
        "a%2f..",
        "..;x",
        "a\\..",
        " .. ",
        "\u{ff0e}\u{ff0e}",
        "\u{2025}",
        "%u002e",
        "%c0%ae%c0%ae",
        "a\u{2215}..",
    ] {
        let offered = named(&[("good", "Good"), (id, "Bad")]);
        for wanted in [r#""*""#, r#"["good","Bad"]"#] {
            let config = CONFIG.replace(r#""one""#, wanted);
            let mut driver = Driver::new(&config, SimServer::new(offered.clone(), Traits::default()));
            driver.poll().unwrap();
            assert_eq!(read(&driver), ["good"], "{id} {wanted}");
            let told =
                driver.notes.iter().any(|(code, text)| code == "collection-failed" && text.contains("`collection`"));
            assert!(told, "{id} {wanted}: {:?}", driver.notes);
        }
        let alone = CONFIG.replace(r#""one""#, r#""Bad""#);
        match Driver::new(&alone, SimServer::new(offered, Traits::default())).poll() {
            Err(Failure::Config(text)) => {
                assert!(text.contains("cannot be asked for") && text.contains("good"), "{text}")
            }
            other => panic!("{id}: {other:?}"),
        }
    }
    for id in ["a.b", "a..b", "...", "a/b", "100%", "a;b", "%41", "\u{e9}"] {
        let mut driver = Driver::new(
            &CONFIG.replace(r#""one""#, r#""Fine""#),
            SimServer::new(named(&[(id, "Fine")]), Traits::default()),
        );
        driver.poll().unwrap();
        assert!(!driver.pages().is_empty(), "{id}");
    }
}

#[test]
fn so_many_collections_are_read_and_no_more() {
    let names: Vec<&'static str> = (0..101).map(|i| &*Box::leak(format!("c{i}").into_boxed_str())).collect();
    let config = CONFIG.replace(r#""one""#, r#""*""#);
    for (count, reads) in [(100, true), (101, false)] {
        let collections = names[..count].iter().map(|name| collection(name, indicators(1))).collect();
        let mut driver = Driver::new(&config, SimServer::new(collections, Traits::default()));
        assert_eq!(driver.poll().is_ok(), reads, "{count}");
        let told = driver.notes.iter().filter(|(code, _)| code == "collection").count();
        assert_eq!(told, if reads { 41 } else { 0 });
    }
}

#[test]
fn url_may_be_a_discovery_or_a_root_with_or_without_its_slash() {
    for (url, first, silent) in [
        ("https://taxii.example/taxii2/", "/taxii2/", false),
        ("https://taxii.example/taxii2", "/taxii2/", false),
        ("https://taxii.example/api/", "/api/", false),
        ("https://taxii.example/api", "/api/", false),
        ("https://taxii.example/api/", "/api/", true),
    ] {
        let traits = Traits { silent_root: silent, ..Traits::default() };
        let mut driver = Driver::new(&CONFIG.replace("https://taxii.example/taxii2/", url), one(indicators(2), traits));
        driver.poll().unwrap();
        assert_eq!(driver.server.targets()[..2], [first, "/api/collections/"], "{url}");
        let title = if silent {
            "no title"
        } else if first == "/api/" {
            "\"A Root\""
        } else {
            "\"Some Server\""
        };
        assert!(driver.notes[0].1.contains(title), "{:?}", driver.notes);
    }
}

#[test]
fn a_collection_that_does_not_answer_costs_the_others_nothing() {
    let config = CONFIG.replace(r#""one""#, r#"["a","b","c"]"#);
    for silent in ["a", "b", "c"] {
        let mut collections = named(&[("a", "A"), ("b", "B"), ("c", "C")]);
        collections.iter_mut().filter(|c| c.id == silent).for_each(|c| c.broken = Some(500));
        let mut driver = Driver::new(&config, SimServer::new(collections, Traits::default()));
        for _ in 0..2 {
            driver.poll().unwrap();
            let mut asked = read(&driver);
            asked.sort();
            assert_eq!(asked, ["a", "b", "c"], "{silent}");
            driver.server.requests.clear();
            driver.now += HOUR;
        }
        assert_eq!(driver.codes(), ["collection-failed"], "{silent}");
    }
    // A server that gives none is not asked for each.
    let mut collections = named(&[("a", "A"), ("b", "B"), ("c", "C")]);
    collections.iter_mut().for_each(|c| c.broken = Some(500));
    let mut driver = Driver::new(&config, SimServer::new(collections, Traits::default()));
    driver.poll().unwrap();
    assert_eq!(driver.codes(), ["collection-failed", "gave-up"]);
    assert_eq!(read(&driver), ["a", "b"]);
}

#[test]
fn a_root_that_is_not_for_this_account_costs_the_others_nothing() {
    for (status, fails) in [(403, false), (404, false), (401, true)] {
        let mut driver = Driver::new(CONFIG, one(indicators(1), Traits::default()));
        driver.state = driver.advance(Event::Start).unwrap().state;
        let roots = r#"{"api_roots":["/private/","/api/"]}"#;
        driver.state = driver.advance(response(200, &[], roots)).unwrap().state;
        let step = driver.advance(response(status, &[], "{}"));
        assert_eq!(step.is_err(), fails, "{status}");
        let Ok(step) = step else { continue };
        driver.state = step.state;
        let step = driver.advance(response(200, &[], r#"{"collections":[{"id":"one"}]}"#)).unwrap();
        assert!(matches!(&step.next, Next::Fetch(request) if request.target.starts_with("/api/collections/one/")));
        let told = step.batch.unwrap().notes;
        assert!(told.iter().any(|note| note.text.contains("nothing below /private/")), "{told:?}");
    }
}

#[test]
fn a_discovery_that_is_no_json_is_asked_for_so_often() {
    for (times, reads) in [(2, true), (3, false)] {
        let mut driver = Driver::new(CONFIG, one(indicators(1), Traits::default()));
        driver.server.script.extend((0..times).map(|_| response(200, &[], r#"{"title":"x","#)));
        // Then `url` itself is taken for the root, which it is not.
        match driver.poll() {
            Ok(requests) => assert_eq!((reads, requests), (true, 5)),
            Err(failure) => {
                let text = failure.to_string();
                assert!(
                    !reads && text.contains("`url` itself was asked first and gave nothing that could be read"),
                    "{text}"
                );
                assert_eq!(driver.server.targets()[3..], ["/taxii2/collections/", driver.server.targets()[4]]);
            }
        }
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new());
    }
}

#[test]
fn a_root_has_a_longest_path_and_begins_behind_url() {
    let first = |url: &str, root: &str| {
        let config = CONFIG.replace("https://taxii.example/taxii2/", url);
        let mut driver = Driver::new(&config, one(indicators(1), Traits::default()));
        driver.state = driver.advance(Event::Start).unwrap().state;
        let step = driver.advance(response(200, &[], &format!(r#"{{"api_roots":["{root}"]}}"#)));
        step.map(|step| match step.next {
            Next::Fetch(request) => request.target,
            other => panic!("{other:?}"),
        })
    };
    for url in ["https://taxii.example/taxii2", "https://taxii.example/taxii2/"] {
        assert_eq!(first(url, "api1/").unwrap(), "/taxii2/api1/collections/");
    }
    let path = |bytes: usize| format!("/{}/", "r".repeat(bytes - 2));
    let longest = crate::taxii::request::LONGEST_PATH;
    assert!(first("https://taxii.example/taxii2/", &path(longest)).is_ok());
    assert!(matches!(first("https://taxii.example/taxii2/", &path(longest + 1)), Err(Failure::Protocol(_))));
}

#[test]
fn roots_elsewhere_fail_and_name_themselves() {
    let there = "https://other.example/api/";
    for roots in
        [vec![there], vec!["/api/", there], vec!["http://taxii.example/api/"], vec!["https://taxii.example:8443/api/"]]
    {
        let mut driver = Driver::new(CONFIG, one(indicators(1), Traits::default()));
        driver.server.roots = roots.iter().map(|root| (*root).to_owned()).collect();
        let failure = driver.poll().unwrap_err().to_string();
        let named = roots.last().unwrap().replace("://", "[:]//");
        assert!(failure.contains(&named) && failure.contains("`url`"), "{failure}");
        assert_eq!(driver.server.requests.len(), 1);
    }
    for roots in [vec!["/api/"], vec!["/api"], vec!["https://TAXII.example:443/api/", "/api/"]] {
        let mut driver = Driver::new(CONFIG, one(indicators(1), Traits::default()));
        driver.server.roots = roots.into_iter().map(str::to_owned).collect();
        driver.poll().unwrap();
        assert_eq!(driver.missing(), Vec::<&str>::new());
    }
    // All roots are asked, the default one first; so many and no more.
    for (count, reads) in [(16, true), (17, false)] {
        let mut driver = Driver::new(&CONFIG.replace(r#""one""#, r#""*""#), one(indicators(1), Traits::default()));
        driver.state = driver.advance(Event::Start).unwrap().state;
        let roots: Vec<String> = (0..count).map(|i| format!("/root{i}/")).collect();
        let body = serde_json::json!({"default": "/root1/", "api_roots": roots}).to_string();
        let step = driver.advance(response(200, &[], &body));
        assert_eq!(step.is_ok(), reads);
        let Ok(step) = step else { continue };
        assert!(matches!(&step.next, Next::Fetch(request) if request.target == "/root1/collections/"));
        driver.state = step.state;
        for _ in 0..count {
            let step = driver.advance(response(200, &[], r#"{"collections":[{"id":"a b/ü"}]}"#)).unwrap();
            driver.state = step.state;
        }
        assert_eq!(driver.state()["places"].as_array().unwrap().len(), count);
        let Next::Fetch(request) = driver.advance(Event::Wake).unwrap().next else { panic!() };
        assert!(request.target.starts_with("/root1/collections/a%20b%2F%C3%BC/objects/"), "{}", request.target);
    }
}

#[test]
fn each_collection_has_its_own_place() {
    let mut second = collection("two", indicators(40));
    second.objects.iter_mut().for_each(|o| {
        o.added -= super::from_millis(HOUR);
        o.name.insert(0, 'x');
    });
    let config = CONFIG.replace(r#""one""#, r#"["one","two"]"#);
    let mut driver =
        Driver::new(&config, SimServer::new(vec![collection("one", indicators(150)), second], Traits::default()));
    driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new());
    let cursors: Vec<u64> =
        driver.state()["places"].as_array().unwrap().iter().map(|place| place["cursor"].as_u64().unwrap()).collect();
    assert_eq!(cursors, [super::from_millis(NOON - HOUR), super::from_millis(NOON - 2 * HOUR)]);
    // One that comes later begins at its own beginning; one that is gone for a while goes on where it was.
    let gone = driver.server.collections.remove(0);
    let failure = driver.poll().unwrap_err();
    assert!(failure.to_string().contains("\"one\""), "{failure}");
    driver.server.collections.push(gone);
    driver.poll().unwrap();
    assert!(driver.pages().last().unwrap().contains("added_after=2026-03-01T"));
}

#[test]
fn one_that_is_refused_does_not_stop_the_others() {
    for broken in 0..3 {
        // 404 of one that the server lists says that it has nothing.
        for status in [401, 403, 405, 410] {
            let mut collections = named(&[("a", ""), ("b", ""), ("c", "")]);
            collections[broken].broken = Some(status);
            let names: Vec<char> = ['a', 'b', 'c'].into_iter().collect();
            let config = CONFIG.replace(r#""one""#, r#"["a","b","c"]"#);
            let mut driver = Driver::new(&config, SimServer::new(collections, Traits::default()));
            for _ in 0..2 {
                driver.poll().unwrap();
                assert_eq!(driver.codes(), ["collection-failed"], "{broken} {status}");
                let read: std::collections::BTreeSet<_> = read(&driver).into_iter().collect();
                assert_eq!(read.len(), 3, "all are asked: {names:?}");
            }
            assert_eq!(driver.server.collections[broken].objects.len(), 2);
        }
    }
    // A credential that is refused is not tried at each of a hundred.
    let names: Vec<(&'static str, &'static str)> = vec![("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")];
    let config = CONFIG.replace(r#""one""#, r#""*""#);
    for (denied, asked, fails) in [(5, 3, true), (3, 3, true), (2, 5, false)] {
        let mut collections = named(&names);
        collections.iter_mut().take(denied).for_each(|c| c.broken = Some(401));
        let mut driver = Driver::new(&config, SimServer::new(collections, Traits::default()));
        assert_eq!(matches!(driver.poll(), Err(Failure::Credential(_))), fails, "{denied}");
        assert_eq!(driver.pages().len(), asked, "{denied}");
    }
    let mut collections = named(&[("a", ""), ("b", "")]);
    collections.iter_mut().for_each(|c| c.broken = Some(403));
    let config = CONFIG.replace(r#""one""#, r#"["a","b"]"#);
    let mut driver = Driver::new(&config, SimServer::new(collections, Traits::default()));
    for _ in 0..2 {
        assert!(matches!(driver.poll(), Err(Failure::Forbidden(_))));
    }
    // All are asked anew, and read once they may be.
    driver.server.collections.iter_mut().for_each(|c| c.broken = None);
    driver.poll().unwrap();
    assert_eq!(driver.missing(), Vec::<&str>::new());
}

#[test]
fn title_and_collections_are_told_once_and_when_they_change() {
    let told = |driver: &mut Driver| {
        let before = driver.notes.len();
        driver.poll().unwrap();
        driver.notes[before..].iter().map(|(code, text)| format!("{code}: {text}")).collect::<Vec<_>>()
    };
    let mut other = collection("two", Vec::new());
    other.readable = false;
    other.title = "Another";
    let config = CONFIG.replace("100}", "1}");
    let mut driver =
        Driver::new(&config, SimServer::new(vec![collection("one", indicators(3)), other], Traits::default()));
    assert_eq!(
        told(&mut driver),
        [
            "server: The server is \"Some Server\".",
            "collection: It offers one (one).",
            "collection: It offers two (Another), not to be read by this account."
        ]
    );
    assert_eq!(told(&mut driver), Vec::<String>::new());
    driver.server.collections[1].readable = true;
    assert_eq!(told(&mut driver).len(), 3);
}
