//! Where the key goes, and where it never does.

use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::server::{Answer, Server, answer, ok};
use super::*;

fn assert_clean(what: &str) {
    for coded in [
        KEY.to_owned(),
        STANDARD_NO_PAD.encode(KEY),
        STANDARD_NO_PAD.encode(format!("apikey:{KEY}")),
        KEY.replace('_', "%5F"),
        KEY.to_ascii_lowercase(),
    ] {
        assert!(!what.contains(&coded), "{what}");
    }
}

#[tokio::test]
async fn each_kind_of_credential_is_sent_as_it_should_be() {
    let server = Server::always(ok("", b"{}")).await;
    let source = SecretSource::Inline(Secret::new(KEY));
    let basic = STANDARD.encode(format!("apikey:{KEY}"));
    let cases = [
        (Some(Credential::Bearer(source.clone())), Some(format!("authorization: Bearer {KEY}\r\n"))),
        (Some(Credential::ApiKey(source.clone())), Some(format!("authorization: ApiKey {KEY}\r\n"))),
        (
            Some(Credential::Basic { username: "apikey".to_owned(), password: source }),
            Some(format!("authorization: Basic {basic}\r\n")),
        ),
        (None, None),
    ];
    for (credential, expected) in cases {
        let mut input = input(&format!("http://{}", server.address));
        input.credential = credential;
        Feed::new(&input).unwrap().fetch(&get("/")).await.unwrap();
        let head = server.seen().pop().unwrap();
        match expected {
            Some(line) => assert!(head.contains(&line), "{head}"),
            None => assert!(!head.contains("authorization"), "{head}"),
        }
    }
}

#[tokio::test]
async fn a_key_that_the_server_repeats_reaches_nobody() {
    let basic = STANDARD.encode(format!("apikey:{KEY}"));
    let percent = KEY.replace('_', "%5F");
    for echo in [KEY.to_owned(), STANDARD.encode(KEY), basic, percent, format!("Bearer {KEY}")] {
        let bodies = [
            ok(&format!("X-Echo: {echo}\r\n{KEY}: a name\r\n"), b""),
            ok("", format!("{{\"authorization\":\"{echo}\"}}").as_bytes()),
            answer(
                "401 Unauthorized",
                &format!("WWW-Authenticate: {echo}\r\n"),
                format!("key {echo} is wrong").as_bytes(),
            ),
            answer("302 Found", &format!("Location: https://evil.example/{echo}?k={echo}\r\n"), b""),
            answer("302 Found", &format!("Location: javascript:{echo}\r\n"), b""),
            ok(&format!("Content-Encoding: {echo}\r\n"), b"x"),
        ];
        for bytes in bodies {
            let server = Server::always(bytes).await;
            let mut input = input(&format!("http://{}", server.address));
            input.credential = Some(Credential::Basic {
                username: "apikey".to_owned(),
                password: SecretSource::Inline(Secret::new(KEY)),
            });
            let feed = Feed::new(&input).unwrap();
            let result = feed.fetch(&get("/api")).await;
            assert_clean(&format!("{result:?} {feed:?}"));
        }
    }
    let server = Server::always(ok("", format!("[\"{KEY}\", 1]").as_bytes())).await;
    assert_eq!(fetch(&server).await.unwrap().body, b"[\"[secret]\", 1]");
}

#[tokio::test]
async fn a_key_among_bytes_that_are_no_text_is_replaced_and_they_stay() {
    let escaped = KEY.replace('_', "\\u005f");
    for key in [KEY.to_owned(), escaped, STANDARD.encode(KEY)] {
        let body = [b"\xff\x00[", key.as_bytes(), b"]\xfe\xc3"].concat();
        let response = fetch(&Server::always(ok("", &body)).await).await.unwrap();
        let shown = String::from_utf8_lossy(&response.body).into_owned();
        assert!(response.body.starts_with(b"\xff\x00[[secret]"), "{shown}");
        assert!(response.body.ends_with(b"]\xfe\xc3"), "{shown}");
        assert_clean(&shown);
    }
}

#[test]
fn a_key_is_not_sent_in_the_clear() {
    let proxy = Url::parse("http://proxy.example:3128").unwrap();
    // URL, proxy, allowed without and with `allow_insecure`.
    let cases = [
        ("https://feed.example", None, true),
        ("https://feed.example", Some(&proxy), true),
        ("http://127.0.0.1:9", None, true),
        ("http://[::1]:9", None, true),
        ("http://localhost:9", None, true),
        ("http://feed.example", None, false),
        ("http://192.168.0.1", None, false),
        ("http://127.0.0.1:9", Some(&proxy), false),
    ];
    for (url, proxy, allowed) in cases {
        let mut input = input(url);
        input.http.proxy = proxy.cloned();
        if allowed {
            Feed::new(&input).unwrap();
        } else {
            let text = refused(Feed::new(&input));
            assert!(text.contains("unencrypted") && text.contains("`allow_insecure: true`"), "{text}");
        }
        input.http.allow_insecure = true;
        Feed::new(&input).unwrap();
        input.http.allow_insecure = false;
        input.credential = None;
        Feed::new(&input).unwrap();
    }
}

#[tokio::test]
async fn a_changed_key_file_is_used_after_a_reload() {
    let server = Server::start(|_, _, head| Answer::Close(ok("", head.as_bytes()))).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "first_key_12345\n").unwrap();
    let mut input = input(&format!("http://{}", server.address));
    input.credential = Some(Credential::Bearer(SecretSource::File(path.clone())));
    let feed = Feed::new(&input).unwrap();
    feed.fetch(&get("/")).await.unwrap();

    std::fs::write(&path, "second_key_6789\n").unwrap();
    feed.reload_credential().unwrap();
    let body = String::from_utf8(feed.fetch(&get("/first_key_12345")).await.unwrap().body).unwrap();
    assert!(!body.contains("second_key") && !body.contains("first_key"), "{body}");
    let seen = server.seen();
    assert!(seen[0].contains("Bearer first_key_12345\r\n") && seen[1].contains("Bearer second_key_6789\r\n"));

    std::fs::remove_file(&path).unwrap();
    let text = refused(feed.reload_credential());
    assert!(text.contains("`api_key_file`"), "{text}");
    // The key in use stays.
    feed.fetch(&get("/")).await.unwrap();
    assert!(server.seen()[2].contains("second_key_6789"));
}

#[test]
fn a_key_that_cannot_be_sent_is_refused_without_being_shown() {
    let mut input = input("https://feed.example");
    input.credential = Some(Credential::Bearer(SecretSource::Inline(Secret::new(format!("{KEY}\n{KEY}")))));
    let text = refused(Feed::new(&input));
    assert!(text.contains("line break"), "{text}");
    assert_clean(&text);
}
