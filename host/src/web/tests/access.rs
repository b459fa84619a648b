//! Who is let in, and what is refused.

use std::time::Duration;

use super::super::access::OWN_LISTS;
use super::super::link::LINK_LIFE;
use super::*;
use crate::store::kept::SESSION_REST;

#[tokio::test]
async fn a_link_lets_a_browser_in_once() {
    let stand = Stand::new(Rights::Change).await;
    let link = stand.link();
    let answer = stand.get(&link, &[]).await;
    let port = stand.serving.address().port();
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with(&format!("tipline-{port}=")), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let line = format!("Cookie: other=1; {}", cookie.split(';').next().unwrap());
    assert_eq!(stand.get("/", std::slice::from_ref(&line)).await.status, 200);
    let again = stand.get(&link, &[]).await;
    assert_eq!((again.status, again.header("set-cookie")), (403, None));
    assert!(again.body.contains("tipline open"), "{}", again.body);
    // Whoever was let in comes back to the page by the link in his history.
    let again = stand.get(&link, &[line]).await;
    assert_eq!((again.status, again.header("set-cookie"), again.header("location")), (303, None, Some("/")));
}

#[tokio::test]
async fn without_a_good_token_nobody_is_let_in() {
    let stand = Stand::new(Rights::Change).await;
    let old = stand.link();
    stand.pass(LINK_LIFE);
    let other = Stand::new(Rights::Change).await.link();
    for link in ["/open", "/open?token=", "/open?token=a.b.c", "/open?other=1", &old, &other] {
        let answer = stand.get(link, &[]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{link}");
    }
    // Nothing but GET takes one.
    let link = stand.link();
    assert_eq!(stand.post(&link, &[stand.origin()], "").await.status, 405);
    assert_eq!(stand.get(&link, &[]).await.status, 303);
}

#[tokio::test]
async fn without_a_session_nothing_is_shown() {
    let stand = Stand::new(Rights::Change).await;
    let port = stand.serving.address().port();
    let browser = stand.browser().await;
    let value = browser.cookie.split_once('=').unwrap().1;
    for line in [
        "X: y".to_owned(),
        format!("Cookie: tipline-{port}="),
        format!("Cookie: tipline-{port}=x"),
        format!("Cookie: tipline={value}"),
        format!("Cookie: tipline-1={value}"),
        format!("Cookie: x-tipline-{port}={value}"),
    ] {
        for path in ["/", "/end", OWN_LISTS, "/any"] {
            let answer = stand.get(path, std::slice::from_ref(&line)).await;
            assert!(answer.status == 403 && answer.body.contains("tipline open"), "{line} {path}: {answer:?}");
        }
    }
    // Another service on this host may set cookies of our name for paths of its own.
    let tossed = format!("Cookie: tipline-{port}=x; {}", browser.cookie);
    assert_eq!(stand.get("/", &[tossed]).await.status, 200);
    // A link on another site's page comes without the cookie: our own page asks again.
    let answer = stand.get("/", &["Sec-Fetch-Site: cross-site".to_owned()]).await;
    assert!(answer.body.contains("http-equiv=\"refresh\""), "{}", answer.body);
}

#[tokio::test]
async fn a_session_ends_when_it_rests() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    stand.pass(SESSION_REST - Duration::from_millis(1));
    assert!(stand.is_let_in(&browser).await);
    stand.pass(SESSION_REST);
    assert!(!stand.is_let_in(&browser).await);
}

#[tokio::test]
async fn what_another_origin_sends_changes_nothing() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let (own, host) = (stand.origin(), stand.host());
    for origin in [
        "X: no origin".to_owned(),
        "Origin: null".to_owned(),
        "Origin: http://evil.example".to_owned(),
        format!("Origin: https://{host}"),
        format!("Origin: http://{host}.evil.example"),
        format!("Origin: http://evil.example/{host}"),
        format!("{own}\r\n{own}"),
    ] {
        let answer = stand.post("/end", &[browser.line(), origin.clone()], &browser.field()).await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
    }
    assert!(stand.is_let_in(&browser).await);
    assert_eq!(stand.post("/end", &[browser.line(), own], &browser.field()).await.status, 303);
    assert!(!stand.is_let_in(&browser).await);
}

#[tokio::test]
async fn what_another_port_of_this_machine_sends_changes_nothing() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let port = stand.serving.address().port();
    for origin in ["http://127.0.0.1:1", "http://127.0.0.1", "http://localhost", &format!("http://localhost:{port}")] {
        // It is the same site: the browser sends the cookie along.
        let lines = [browser.line(), format!("Origin: {origin}"), "Sec-Fetch-Site: same-site".to_owned()];
        assert_eq!(stand.post("/end", &lines, &browser.field()).await.status, 403, "{origin}");
    }
    assert!(stand.is_let_in(&browser).await);
    // Nor does it get a part of the page, by which it could tell what there is; a person may follow a link from there.
    for (lines, status) in [
        (["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"], 403),
        (["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"], 403),
        (["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], 200),
        (["Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"], 200),
        (["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], 200),
    ] {
        let mut lines = lines.map(str::to_owned).to_vec();
        lines.push(browser.line());
        assert_eq!(stand.get("/", &lines).await.status, status, "{lines:?}");
    }
}

#[tokio::test]
async fn a_name_that_was_rebound_is_refused() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    stand.page.kept().save(&View { name: "v".to_owned(), query: String::new() }).unwrap();
    let key = stand.page.kept().key("v", NOW).unwrap();
    let port = stand.serving.address().port();
    let link = stand.link();
    for (host, is_ours) in [
        (format!("127.0.0.1:{port}"), true),
        (format!("localhost:{port}"), true),
        (format!("LocalHost:{port}"), true),
        (format!("evil.example:{port}"), false),
        (format!("127.0.0.1.evil.example:{port}"), false),
        (format!("127.0.0.2:{port}"), false),
        (format!("[::1]:{port}"), false),
        (format!("localhost.:{port}"), false),
        ("127.0.0.1:1".to_owned(), false),
        ("127.0.0.1".to_owned(), false),
        ("localhost".to_owned(), false),
        (String::new(), false),
        (format!("127.0.0.1:{port}\r\nHost: evil.example"), false),
    ] {
        for path in ["/", "/open?token=a", &format!("/lists/v.txt?key={}", key.shown())] {
            let line = browser.line();
            let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{line}\r\n\r\n");
            let answer = stand.send(head.as_bytes()).await;
            let is_refused = matches!(answer.status, 400 | 421);
            assert_eq!(!is_refused, is_ours, "{host} {path}: {answer:?}");
            assert!(is_ours || !answer.body.contains("example.com"), "{host} {path}: {answer:?}");
        }
    }
    let host = stand.host();
    let head =
        format!("GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{}\r\n\r\n", browser.line());
    assert_eq!(stand.send(head.as_bytes()).await.status, 421);
    // A link that is asked for by another name is not used up.
    let head = format!("GET {link} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(stand.send(head.as_bytes()).await.status, 421);
    assert_eq!(stand.get(&link, &[]).await.status, 303);
}

#[tokio::test]
async fn a_form_of_another_session_changes_nothing() {
    let stand = Stand::new(Rights::Change).await;
    let (victim, thief) = (stand.browser().await, stand.browser().await);
    let lines = || vec![victim.line(), stand.origin()];
    let multipart = |token: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{token}\r\n--b\r\nContent-Disposition: form-data; \
                 name=\"list\"; filename=\"a\"\r\n\r\n198.51.100.7\r\n--b--\r\n"
        )
    };
    let kind = "Content-Type: multipart/form-data; boundary=b".to_owned();
    for body in
        [String::new(), "csrf=".to_owned(), thief.field(), format!("x={}", victim.csrf), format!("{}x", victim.field())]
    {
        assert_eq!(stand.post("/end", &lines(), &body).await.status, 403, "{body}");
    }
    for (header, body) in [
        (kind.clone(), multipart(&thief.csrf)),
        (kind.clone(), victim.field()),
        // A form of this kind needs no leave to be sent from anywhere.
        ("Content-Type: text/plain".to_owned(), victim.field()),
        (format!("X-Csrf-Token: {}", thief.csrf), victim.field()),
    ] {
        let mut lines = lines();
        lines.push(header.clone());
        assert_eq!(stand.post("/end", &lines, &body).await.status, 403, "{header}");
    }
    assert!(stand.is_let_in(&victim).await);
    // Each way in which our own page sends it.
    let file = format!("--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{}\r\n", "x".repeat(3 << 20));
    for (header, body) in [
        (None, thief.field()),
        (Some(kind.clone()), multipart(&thief.csrf)),
        // Fields come in the order of the page, also behind a long file.
        (Some(kind), format!("{file}{}", multipart(&thief.csrf))),
        (Some(format!("X-Csrf-Token: {}", thief.csrf)), String::new()),
    ] {
        let mut lines = vec![thief.line(), stand.origin()];
        lines.extend(header);
        // What there is below this address is the views' to say: it came through.
        let status = stand.post(OWN_LISTS, &lines, &body).await.status;
        assert!(!matches!(status, 0 | 403), "{lines:?}: {status}");
    }
}

#[tokio::test]
async fn nothing_but_post_changes_anything() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let (host, line, origin) = (stand.host(), browser.line(), stand.origin());
        let head = format!(
            "{method} /end HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{line}\r\n{origin}\r\nX-Csrf-Token: {}\r\n\r\n",
            browser.csrf
        );
        assert_eq!(stand.send(head.as_bytes()).await.status, 405, "{method}");
    }
    assert!(matches!(stand.get("/end", &[browser.line()]).await.status, 403 | 405));
    assert!(stand.is_let_in(&browser).await);
}

#[tokio::test]
async fn a_page_to_look_at_takes_lists_and_nothing_else() {
    let stand = Stand::new(Rights::Look).await;
    let browser = stand.browser().await;
    let lines = [browser.line(), stand.origin()];
    for (path, is_taken) in
        [("/views", false), ("/checks", false), ("/", false), (OWN_LISTS, true), (&format!("{OWN_LISTS}/new"), true)]
    {
        let answer = stand.post(path, &lines, &browser.field()).await;
        assert_eq!(answer.status != 403, is_taken, "{path}: {answer:?}");
        assert!(is_taken || answer.body.contains("read-only"), "{path}: {answer:?}");
    }
    assert_eq!(stand.post("/end", &lines, &browser.field()).await.status, 303);
}

#[tokio::test]
async fn every_answer_forbids_what_the_page_does_not_need() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let head = b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    // With `no-referrer` browsers send a page's own forms with `Origin: null`.
    for (referrer, answer) in [
        ("same-origin", stand.get("/", &[browser.line()]).await),
        ("same-origin", stand.get("/", &[]).await),
        ("same-origin", stand.get("/none", &[browser.line()]).await),
        ("same-origin", stand.post("/end", &[browser.line()], "").await),
        ("no-referrer", stand.get(&stand.link(), &[]).await),
        ("no-referrer", stand.get("/open?token=x", &[]).await),
        ("no-referrer", stand.get("/lists/none.txt", &[]).await),
        ("no-referrer", stand.send(head).await),
    ] {
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", referrer),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_not_open_yet_says_so() {
    let stand = Stand::closed(Rights::Change).await;
    assert_eq!(stand.get("/", &[]).await.status, 403, "to who was let in");
    let browser = stand.browser().await;
    let answer = stand.get("/", &[browser.line()]).await;
    assert!(answer.status == 503 && answer.body.contains("Starting"), "{answer:?}");
}

#[tokio::test]
async fn watchers_need_no_session() {
    let stand = Stand::new(Rights::Change).await;
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 404)] {
        assert_eq!(stand.get(path, &[]).await.status, status, "{path}");
    }
    let refused = listen(stand.serving.address()).await.unwrap_err().to_string();
    assert!(refused.contains("Another `tipline serve`") && refused.contains("tipline open"), "{refused}");
}
