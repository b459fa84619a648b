//! A proxy on the way: its login, and what is said where it stands in the way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::server::{Answer, Server, answer, ok};
use super::*;
use tipline_config::ProxyLogin;

const PASSWORD: &str = "p@ss/word: 7f3a9b";

fn login(password: SecretSource) -> ProxyLogin {
    ProxyLogin { username: "pu".to_owned(), password }
}

fn inline(password: &str) -> SecretSource {
    SecretSource::Inline(Secret::new(password))
}

/// The feed behind a proxy, with the key allowed over plain http.
fn behind(url: &str, proxy: &Server, login: Option<ProxyLogin>) -> Feed {
    let mut input = input(url);
    let proxy = ProxySettings::new(Url::parse(&format!("http://{}", proxy.address)).unwrap());
    input.http.proxy = Some(ProxySettings { login, ..proxy });
    input.http.allow_insecure = true;
    Feed::new(&input).unwrap()
}

/// A proxy that lets in one login and answers in the feed's place.
async fn guarded(password: &'static str) -> Server {
    let expected =
        format!("proxy-authorization: basic {}\r\n", STANDARD.encode(format!("pu:{password}"))).to_lowercase();
    Server::start(move |_, _, head| {
        Answer::Close(if head.to_lowercase().contains(&expected) {
            ok("", b"from behind")
        } else {
            answer("407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"p\"\r\n", b"")
        })
    })
    .await
}

#[tokio::test]
async fn a_proxy_gets_its_login_and_the_feed_does_not() {
    let proxy = guarded(PASSWORD).await;
    let feed = behind("http://feed.invalid/base", &proxy, Some(login(inline(PASSWORD))));
    assert_eq!(feed.fetch(&get("/x")).await.unwrap().body, b"from behind");
    assert!(proxy.seen()[0].starts_with("GET http://feed.invalid/base/x HTTP/1.1\r\n"), "{:?}", proxy.seen());

    // In its address, as shells and other programs write it.
    let url = format!("http://pu:p%40ss%2Fword%3A%207f3a9b@{}", proxy.address);
    let settings = ProxySettings::new(Url::parse(&url).unwrap());
    assert_eq!(settings.login, Some(login(inline(PASSWORD))));
    assert!(!format!("{settings:?}").contains("7f3a9b"));

    // Through a tunnel it goes with the request for it alone.
    let tunnel = Server::always(answer("403 Forbidden", "", b"")).await;
    failed(behind("https://feed.invalid", &tunnel, Some(login(inline(PASSWORD)))).fetch(&get("/x")).await);
    let seen = tunnel.seen();
    let coded = STANDARD.encode(format!("pu:{PASSWORD}"));
    assert!(seen[0].starts_with("CONNECT feed.invalid:443") && seen[0].contains(&coded), "{seen:?}");
    assert!(!seen[0].contains(KEY), "{seen:?}");
}

#[tokio::test]
async fn a_password_that_is_refused_is_read_again() {
    let proxy = guarded("second_password").await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    std::fs::write(&path, "first_password\n").unwrap();
    let feed = behind("http://feed.invalid", &proxy, Some(login(SecretSource::File(path.clone()))));
    let text = failed(feed.fetch(&get("/")).await);
    assert!(text.contains("does not accept the login (407)") && text.contains("`proxy_password_file`"), "{text}");
    std::fs::write(&path, "second_password\n").unwrap();
    assert_eq!(feed.fetch(&get("/")).await.unwrap().body, b"from behind", "without waiting for the next poll");
}

#[tokio::test]
async fn a_proxy_that_stands_in_the_way_is_named_with_its_setting() {
    let page =
        |status: &str, more: &str| answer(status, &format!("Content-Type: text/html\r\n{more}"), b"<html>no</html>");
    let ntlm = page("407 Proxy Authentication Required", "Proxy-Authenticate: NTLM\r\n");
    let login = |given: bool| given.then(|| login(inline(PASSWORD)));
    for (bytes, given, expected) in [
        (page("407 Proxy Authentication Required", ""), false, "asks for a login (407). Set `proxy_username`"),
        (page("407 Proxy Authentication Required", ""), true, "does not accept the login (407)"),
        (ntlm, true, "by NTLM, and only Basic"),
        (page("403 Forbidden", ""), false, "the proxy answers 403 Forbidden"),
        (page("502 Bad Gateway", ""), false, "the proxy answers 502 Bad Gateway"),
        (page("504 Gateway Timeout", ""), false, "the proxy answers 504 Gateway Timeout"),
    ] {
        let proxy = Server::always(bytes).await;
        let text = failed(behind("http://feed.invalid", &proxy, login(given)).fetch(&get("/")).await);
        assert!(text.contains(expected) && text.contains("`proxy"), "{text}");
        assert!(text.contains(&format!("through the proxy http://{}", proxy.address)), "{text}");
    }
    // What is data is the feed's own word.
    for status in ["403 Forbidden", "502 Bad Gateway"] {
        let proxy = Server::always(answer(status, "Content-Type: application/json\r\n", b"{}")).await;
        assert!(behind("http://feed.invalid", &proxy, None).fetch(&get("/")).await.is_ok());
    }
    for status in ["403 Forbidden", "502 Bad Gateway", "500 Oops"] {
        let proxy = Server::always(page(status, "")).await;
        let text = failed(behind("https://feed.invalid", &proxy, None).fetch(&get("/")).await);
        assert!(text.contains("the proxy opens no connection to it") && text.contains("`proxy`"), "{text}");
    }
    // One that is not there.
    for url in ["http://feed.invalid", "https://feed.invalid"] {
        let proxy = Server::always(b"".to_vec()).await;
        let address = proxy.address;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut gone = input(url);
        gone.http.proxy = Some(ProxySettings::new(Url::parse(&format!("http://{free}")).unwrap()));
        gone.http.allow_insecure = true;
        let text = failed(Feed::new(&gone).unwrap().fetch(&get("/")).await);
        assert!(text.contains("the proxy cannot be reached: it refuses the connection"), "{address}: {text}");
    }
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_named_by_its_variable() {
    let proxy = Server::always(answer("407 Proxy Authentication Required", "", b"")).await;
    for (given, expected) in
        [(None, "Write HTTPS_PROXY"), (Some(login(inline(PASSWORD))), "user and password in HTTPS_PROXY")]
    {
        let mut input = input("https://feed.invalid");
        let settings = ProxySettings::new(Url::parse(&format!("http://{}", proxy.address)).unwrap());
        input.http.proxy = Some(ProxySettings { named_by: "HTTPS_PROXY", login: given, ..settings });
        let text = failed(Feed::new(&input).unwrap().fetch(&get("/")).await);
        assert!(text.contains("(407)") && text.contains(expected), "{text}");
    }
}

#[test]
fn a_variable_that_names_no_proxy_is_refused_by_its_name() {
    let mut input = input("https://feed.invalid");
    let unreadable = ProxySettings::new(Url::parse("unreadable:").unwrap());
    input.http.proxy = Some(ProxySettings { named_by: "HTTPS_PROXY", ..unreadable });
    let text = refused(Feed::new(&input));
    assert!(text.starts_with("HTTPS_PROXY in the environment is no http or https address"), "{text}");
}

#[tokio::test]
async fn what_a_proxy_repeats_of_its_login_reaches_nobody() {
    let coded = STANDARD.encode(format!("pu:{PASSWORD}"));
    for echo in [PASSWORD.to_owned(), coded.clone(), hex::encode(PASSWORD), PASSWORD.chars().rev().collect()] {
        let proxy = Server::always(ok(&format!("X-Echo: {echo}\r\n"), echo.as_bytes())).await;
        let feed = behind("http://feed.invalid", &proxy, Some(login(inline(PASSWORD))));
        let shown = format!("{:?} {feed:?}", feed.fetch(&get("/")).await);
        assert!(!shown.contains("7f3a9b") && !shown.contains(&coded), "{shown}");
        let answer = feed.fetch(&get("/")).await.unwrap();
        assert!(String::from_utf8_lossy(&answer.body).contains("[secret]"), "{answer:?}");
    }
}
