//! Where the key goes, and where it never does.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::server::{Answer, Server, answer, ok};
use super::*;
use tipline_model::secret::OwnHeader;

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
    let own = |name, scheme| Some(Credential::Key(KeyHeader::new(name, scheme).unwrap(), source.clone()));
    let cases = [
        (own(None, Some("Token")), Some(format!("authorization: Token {KEY}\r\n"))),
        (own(Some("X-Api-Key"), None), Some(format!("x-api-key: {KEY}\r\n"))),
        (own(Some("Auth-Key"), None), Some(format!("auth-key: {KEY}\r\n"))),
        (own(Some("Authorization"), None), Some(format!("authorization: {KEY}\r\n"))),
        (own(Some("X-Auth"), Some("Key")), Some(format!("x-auth: Key {KEY}\r\n"))),
        (Some(Credential::Bearer(source.clone())), Some(format!("authorization: Bearer {KEY}\r\n"))),
        // Elasticsearch's own, in a form of Elasticsearch's.
        (
            Some(Credential::ApiKey(SecretSource::Inline(Secret::new(format!("essu_{KEY}"))))),
            Some(format!("authorization: ApiKey essu_{KEY}\r\n")),
        ),
        (
            Some(Credential::Basic { username: "apikey".to_owned(), password: source.clone() }),
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
            Some(line) => {
                assert!(head.contains(&line), "{head}");
                assert_eq!(head.matches(KEY).count() + head.matches(&basic).count(), 1, "in one place: {head}");
                assert_eq!(head.contains("authorization"), line.starts_with("authorization"), "{head}");
            }
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
            let source = SecretSource::Inline(Secret::new(KEY));
            for credential in [
                Credential::Basic { username: "apikey".to_owned(), password: source.clone() },
                Credential::Key(KeyHeader::new(Some("Auth-Key"), None).unwrap(), source),
            ] {
                input.credential = Some(credential);
                let feed = Feed::new(&input).unwrap();
                let result = feed.fetch(&get("/api")).await;
                assert_clean(&format!("{result:?} {feed:?}"));
            }
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
        input.http.proxy = proxy.cloned().map(ProxySettings::new);
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

#[tokio::test]
async fn a_key_in_a_header_of_its_own_follows_its_file_and_redirects_within_the_origin_only() {
    let server = Server::start(|number, address, _| {
        Answer::Close(match number {
            0 => answer("302 Found", &format!("Location: http://{address}/b\r\n"), b""),
            1 | 3 => ok("", b"{}"),
            2 => answer("401 Unauthorized", "", b""),
            _ => answer("302 Found", "Location: http://127.0.0.1:9/\r\n", b""),
        })
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "first_key_12345\n").unwrap();
    let mut input = input(&format!("http://{}", server.address));
    let header = KeyHeader::new(Some("Auth-Key"), None).unwrap();
    input.credential = Some(Credential::Key(header, SecretSource::File(path.clone())));
    let feed = Feed::new(&input).unwrap();
    assert_eq!(feed.fetch(&get("/a")).await.unwrap().status, 200);
    assert_eq!(feed.fetch(&get("/c")).await.unwrap().status, 401);
    std::fs::write(&path, "second_key_6789\n").unwrap();
    feed.reload_credential().unwrap();
    assert_eq!(feed.fetch(&get("/c")).await.unwrap().status, 200);
    refused(feed.fetch(&get("/d")).await);
    let keys: Vec<_> =
        server.seen().iter().map(|head| head.split("auth-key: ").nth(1).unwrap()[..15].to_owned()).collect();
    assert_eq!(keys, ["first_key_12345"; 3].into_iter().chain(["second_key_6789"; 2]).collect::<Vec<_>>());

    for (text, part) in
        [("Token first_key_12345", "`auth.scheme`"), ("first_key\n12345", "line break"), ("\u{1}first", "sent")]
    {
        std::fs::write(&path, text).unwrap();
        let text = refused(feed.reload_credential());
        assert!(text.contains(part) && text.contains("`auth.key_file`") && !text.contains("first_key"), "{text}");
    }
}

#[tokio::test]
async fn a_guest_sets_no_header_of_the_configured_key() {
    let server = Server::always(ok("", b"{}")).await;
    let mut input = input(&format!("http://{}", server.address));
    let source = SecretSource::Inline(Secret::new(KEY));
    input.credential = Some(Credential::Key(KeyHeader::new(Some("Auth-Key"), None).unwrap(), source));
    let feed = Feed::new(&input).unwrap();
    for name in ["Auth-Key", "auth-key", "AUTH-KEY", "Authorization"] {
        let request = Request { headers: vec![(name.to_owned(), "mine".to_owned())], ..get("/") };
        let text = refused(feed.fetch(&request).await);
        assert!(text.contains(&format!("the header `{}`", name.to_lowercase())), "{text}");
    }
    assert!(server.seen().is_empty());
    let request = Request { headers: vec![("x-api-key".to_owned(), "mine".to_owned())], ..get("/") };
    feed.fetch(&request).await.unwrap();
}

#[test]
fn a_key_that_cannot_be_sent_is_refused_without_being_shown() {
    let mut input = input("https://feed.example");
    input.credential = Some(Credential::Bearer(SecretSource::Inline(Secret::new(format!("{KEY}\n{KEY}")))));
    let text = refused(Feed::new(&input));
    assert!(text.contains("line break"), "{text}");
    assert_clean(&text);
}

#[tokio::test]
async fn headers_of_ones_own_go_with_every_request_and_nobody_sees_their_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("team");
    std::fs::write(&path, "first_team_value\n").unwrap();
    let server = Server::start(|number, _, head| {
        Answer::Close(match number {
            // As to somebody who is not known any more.
            2 => answer("403 Forbidden", "", b""),
            _ => ok("", head.as_bytes()),
        })
    })
    .await;
    let mut input = input(&format!("http://{}", server.address));
    let inline = SecretSource::Inline(Secret::new("tenant_value"));
    input.headers = vec![
        OwnHeader::new("X-Tenant", inline).unwrap(),
        OwnHeader::new("X-Team", SecretSource::File(path.clone())).unwrap(),
    ];
    let feed = Feed::new(&input).unwrap();
    let body = String::from_utf8(feed.fetch(&get("/a")).await.unwrap().body).unwrap();
    assert!(body.contains("x-tenant: [secret]\r\n") && body.contains("x-team: [secret]\r\n"), "{body}");
    for name in ["X-Tenant", "x-team", "X_Team"] {
        let request = Request { headers: vec![(name.to_owned(), "mine".to_owned())], ..get("/") };
        assert!(refused(feed.fetch(&request).await).contains("which only the host may"));
    }
    feed.fetch(&get("/b")).await.unwrap();
    std::fs::write(&path, "second_team_value\n").unwrap();
    assert_eq!(feed.fetch(&get("/c")).await.unwrap().status, 200, "read again at once");
    let teams: Vec<_> = server.seen().iter().map(|head| head.contains("x-team: second_team_value\r\n")).collect();
    assert_eq!(teams, [false, false, false, true]);
    assert!(server.seen().iter().all(|head| head.contains("x-tenant: tenant_value\r\n")));

    // Without a key, too, their values are not sent in the clear.
    let mut open = Input { credential: None, ..input };
    open.url = Url::parse("http://feed.example").unwrap();
    assert!(refused(Feed::new(&open)).contains("unencrypted"));
}

#[tokio::test]
async fn a_key_that_is_refused_is_read_again_at_once() {
    let server = Server::start(|_, _, head| {
        Answer::Close(if head.contains("second_key_6789") { ok("", b"{}") } else { answer("401 No", "", b"") })
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "first_key_12345\n").unwrap();
    let mut input = input(&format!("http://{}", server.address));
    input.credential = Some(Credential::Bearer(SecretSource::File(path.clone())));
    let feed = Feed::new(&input).unwrap();
    assert_eq!(feed.fetch(&get("/")).await.unwrap().status, 401);
    assert_eq!(server.seen().len(), 1, "nothing has changed, so nothing is asked again");
    std::fs::write(&path, "second_key_6789\n").unwrap();
    assert_eq!(feed.fetch(&get("/")).await.unwrap().status, 200);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(feed.fetch(&get("/")).await.unwrap().status, 200, "the key in use stays");
}

#[tokio::test]
async fn all_requests_under_way_when_a_key_changes_are_asked_again() {
    let server = Server::start(|_, _, head| {
        Answer::Close(if head.contains("second_key_6789") { ok("", b"{}") } else { answer("401 No", "", b"") })
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "first_key_12345\n").unwrap();
    let mut input = input(&format!("http://{}", server.address));
    input.credential = Some(Credential::Bearer(SecretSource::File(path.clone())));
    let feed = Feed::new(&input).unwrap();
    // Whoever comes later has been refused with a key that another one has replaced.
    let used = feed.connection.live();
    assert!(!feed.connection.reload(&used).unwrap());
    std::fs::write(&path, "second_key_6789\n").unwrap();
    for _ in 0..4 {
        assert!(feed.connection.reload_apart(&used).await.unwrap());
    }
    assert!(!feed.connection.reload(&feed.connection.live()).unwrap());

    std::fs::write(&path, "first_key_12345\n").unwrap();
    feed.reload_credential().unwrap();
    std::fs::write(&path, "second_key_6789\n").unwrap();
    let request = get("/");
    let (a, b, c, d) =
        tokio::join!(feed.fetch(&request), feed.fetch(&request), feed.fetch(&request), feed.fetch(&request));
    assert_eq!([a, b, c, d].map(|response| response.unwrap().status), [200; 4]);
}

#[tokio::test]
async fn a_key_across_the_end_of_what_is_kept_leaves_no_beginning() {
    let kept = usize::try_from(MAX_ERROR_BODY_BYTES).unwrap();
    let escaped = KEY.bytes().map(|b| format!("&#x{b:04x};")).collect::<String>();
    for key in [KEY.to_owned(), hex::encode(KEY), STANDARD.encode(KEY), escaped] {
        let shown = key.get(..6).unwrap();
        // Whether it lies across the end of what is kept, or of what is read.
        for end in [kept, kept + KEY.len() * 20] {
            for after in [0, 2 * kept] {
                let body = [vec![b' '; end - key.len() / 2], key.clone().into_bytes(), vec![b' '; after]].concat();
                let head = "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n".as_bytes();
                for bytes in [answer("500 Oops", "", &body), [head, &body].concat()] {
                    let response = fetch(&Server::always(bytes).await).await.unwrap();
                    let text = String::from_utf8(response.body).unwrap();
                    assert!(text.len() <= kept && !text.contains(shown), "{}", text.trim());
                }
            }
        }
    }
    // The server breaks off in it.
    let body = format!("HTTP/1.1 500 Oops\r\nContent-Length: 500\r\n\r\nno {}", &KEY[..20]);
    assert_eq!(fetch(&Server::always(body).await).await.unwrap().body, b"no ");
}

#[tokio::test]
async fn a_key_across_the_cut_of_a_message_leaves_no_beginning() {
    let shown = KEY.get(..6).unwrap();
    for length in 150..210 {
        let filler = "a".repeat(length);
        let redirect = answer("302 Found", &format!("Location: https://b.invalid/{filler}{KEY}/x\r\n"), b"");
        assert!(!refused(fetch(&Server::always(redirect).await).await).contains(shown), "{length}");
        let packed = ok(&format!("Content-Encoding: {filler}{KEY}x\r\n"), b"");
        assert!(!failed(fetch(&Server::always(packed).await).await).contains(shown), "{length}");
        let server = Server::always(ok("", b"{}")).await;
        let feed = feed(&server);
        let text = refused(feed.fetch(&get(&format!("/../{filler}{KEY}x"))).await);
        assert!(!text.contains(shown), "{text}");
        let request = Request { method: format!("{filler}{KEY}x"), ..get("/") };
        assert!(!refused(feed.fetch(&request).await).contains(shown), "{length}");
    }
}
