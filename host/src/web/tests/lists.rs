//! Lists for other programs, by their keys.

use super::*;

#[tokio::test]
async fn a_list_is_fetched_with_its_key() {
    let stand = Stand::new(Rights::Look).await;
    let kept = stand.page.kept().clone();
    for (name, query) in [
        ("C2 of ours", "q=value%3A+*.example.com"),
        ("one", "q=value%3A+a.example.com"),
        ("wrong", "q=%28"),
        ("a/ü", "q=value%3A+b.example.com"),
    ] {
        kept.save(&View { name: name.to_owned(), query: query.to_owned() }).unwrap();
    }
    let key = |view: &str| kept.key(view, NOW).unwrap().shown().to_owned();
    let (all, one, wrong) = (key("C2 of ours"), key("one"), key("wrong"));
    let address = "/lists/C2%20of%20ours.txt";
    for (path, lines) in [
        (format!("{address}?key={all}"), vec![]),
        (address.to_owned(), vec![format!("Authorization: Bearer {all}")]),
        (address.to_owned(), vec![format!("Authorization: bearer {all}"), "Sec-Fetch-Site: cross-site".to_owned()]),
    ] {
        let answer = stand.get(&path, &lines).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "a.example.com\nb.example.com\nc.example.com\n"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("content-length"), Some("42"));
    }
    assert_eq!(stand.get(&format!("/lists/one.txt?key={one}"), &[]).await.body, "a.example.com\n");
    let path = format!("/lists/a%2F%C3%BC.txt?key={}", key("a/ü"));
    assert_eq!(stand.get(&path, &[]).await.body, "b.example.com\n");
    let answer = stand.get(&format!("/lists/wrong.txt?key={wrong}"), &[]).await;
    assert!(answer.status == 503 && answer.body.contains("Column 2"), "{answer:?}");
}

#[tokio::test]
async fn a_list_that_has_not_changed_is_not_sent_again() {
    let stand = Stand::new(Rights::Change).await;
    let kept = stand.page.kept().clone();
    kept.save(&View { name: "all".to_owned(), query: String::new() }).unwrap();
    let path = format!("/lists/all.txt?key={}", kept.key("all", NOW).unwrap().shown());
    let first = stand.get(&path, &[]).await;
    let tag = first.header("etag").unwrap().to_owned();
    for (given, status) in [
        (tag.clone(), 304),
        (format!("\"x\", {tag}"), 304),
        (format!("W/{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let answer = stand.get(&path, &[format!("If-None-Match: {given}")]).await;
        assert_eq!((answer.status, answer.header("etag")), (status, Some(tag.as_str())), "{given}");
        assert_eq!(answer.body.is_empty(), status == 304, "{given}");
    }
    stand.store.deliver(documents(&[Sample::new("d", NOW)], "later", NOW)).await.unwrap();
    let answer = stand.get(&path, &[format!("If-None-Match: {tag}")]).await;
    assert!(answer.status == 200 && answer.body.contains("d.example.com"), "{answer:?}");
    assert_ne!(answer.header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn a_wrong_key_tells_nothing_of_what_there_is() {
    let stand = Stand::new(Rights::Change).await;
    let kept = stand.page.kept().clone();
    for name in ["one", "two"] {
        kept.save(&View { name: name.to_owned(), query: String::new() }).unwrap();
    }
    let (good, other) = (kept.key("one", NOW).unwrap(), kept.key("two", NOW).unwrap());
    let revoked = kept.key("one", NOW).unwrap();
    kept.revoke("one", kept.keys("one").unwrap()[1].id).unwrap();
    let mut told = Vec::new();
    for path in [
        "/lists/one.txt".to_owned(),
        "/lists/one.txt?key=".to_owned(),
        format!("/lists/one.txt?key={}", other.shown()),
        format!("/lists/one.txt?key={}", revoked.shown()),
        format!("/lists/none.txt?key={}", good.shown()),
        format!("/lists/one?key={}", good.shown()),
        format!("/lists/ONE.txt?key={}", good.shown()),
        "/lists/none.txt".to_owned(),
    ] {
        let answer = stand.get(&path, &[]).await;
        let head: Vec<_> = answer.head.lines().filter(|line| !line.starts_with("date:")).collect();
        told.push((answer.status, head.join("\n"), answer.body));
    }
    assert_eq!(told[0].0, 403);
    assert!(told.iter().all(|answer| *answer == told[0]), "{told:?}");
    assert_eq!(stand.get(&format!("/lists/one.txt?key={}", good.shown()), &[]).await.status, 200);
}
