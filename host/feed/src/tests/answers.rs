//! What comes back: redirects, sizes, codings, times.

use std::io::Write as _;

use super::server::{Answer, Server, answer, ok};
use super::*;

fn redirect(to: &str) -> Vec<u8> {
    answer("302 Found", &format!("Location: {to}\r\n"), b"moved")
}

#[tokio::test]
async fn a_good_answer_is_passed_on() {
    let server = Server::always(ok(
        "X-RateLimit-Limit: 10\r\nX-RateLimit-Remaining: 7\r\nSet-Cookie: a=b\r\nX-Odd: \u{1}\r\nX-Latin: \u{fc}\r\n"
            .replace('\u{1}', "plain")
            .as_str(),
        b"\xEF\xBB\xBF{\"a\":\"\xFF\"}",
    ))
    .await;
    let feed = feed(&server);
    let response = feed.fetch(&get("/api/v1/iocs?limit=1")).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.body, b"\xEF\xBB\xBF{\"a\":\"\xFF\"}", "every byte as it came");
    let names: Vec<_> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"x-ratelimit-remaining") && !names.contains(&"set-cookie"), "{names:?}");
    assert!(response.headers.contains(&("x-latin".to_owned(), "\u{fc}".to_owned())));
    assert_eq!(feed.rate_limit(), RateLimit { limit: Some(10), remaining: Some(7) });
    assert_eq!(feed.requests(), 1);
    let head = server.seen().remove(0).to_lowercase();
    assert!(head.starts_with("get /api/v1/iocs?limit=1 http/1.1\r\n"), "{head}");
    assert!(head.contains("accept: application/json\r\n") && head.contains("user-agent: tipline/"), "{head}");
}

#[tokio::test]
async fn an_error_status_is_an_answer_even_where_its_body_is_damaged() {
    let long = vec![b'x'; usize::try_from(MAX_ERROR_BODY_BYTES).unwrap() + 1];
    let cases: [(Vec<u8>, u16, usize); 6] = [
        // Whether the server says how long it is, or ends the connection.
        (answer("503 Busy", "", &long), 503, 64 * 1024),
        (answer("429 Too Many Requests", "Retry-After: 7\r\n", b"slow down"), 429, 9),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 50\r\n\r\ncut".to_vec(), 503, 3),
        (answer("500 Oops", "Content-Encoding: gzip\r\n", b"not gzip"), 500, 0),
        (answer("400 Bad", "Content-Encoding: x-own\r\n", b"???"), 400, 0),
        ([b"HTTP/1.1 502 Bad\r\n\r\n".to_vec(), long].concat(), 502, 64 * 1024),
    ];
    for (bytes, status, length) in cases {
        let response = fetch(&Server::always(bytes).await).await.unwrap();
        assert_eq!((response.status, response.body.len()), (status, length));
    }
}

#[tokio::test]
async fn redirects_on_the_same_origin_are_followed_with_the_key() {
    let server = Server::start(|n, address, _| {
        Answer::Close(match n {
            0 => redirect("/api/v1/other?x=1"),
            1 => redirect("last"),
            2 => redirect(&format!("http://{address}/api/v1/end")),
            _ => ok("", b"there"),
        })
    })
    .await;
    assert_eq!(fetch(&server).await.unwrap().body, b"there");
    let seen = server.seen();
    let paths: Vec<_> = seen.iter().map(|head| head.split(' ').nth(1).unwrap()).collect();
    assert_eq!(paths, ["/api/v1/iocs?limit=1", "/api/v1/other?x=1", "/api/v1/last", "/api/v1/end"]);
    assert!(seen.iter().all(|head| head.contains(KEY)));
}

/// A POST of these bytes.
fn post(body: &[u8]) -> Request {
    let headers = vec![("content-type".to_owned(), "a/b".to_owned()), ("x-own".to_owned(), "1".to_owned())];
    Request { method: "POST".to_owned(), headers, body: Some(body.to_vec()), ..get("/api/query?a=b") }
}

#[tokio::test]
async fn a_post_is_sent_once_with_its_headers_and_body() {
    for (body, length) in [(&b"{\"since\":1}"[..], 11), (b"", 0)] {
        let server = Server::always(answer("503 Busy", "", b"later")).await;
        let feed = feed(&server);
        assert_eq!(feed.fetch(&post(body)).await.unwrap().status, 503);
        let seen = server.seen();
        let [sent] = seen.as_slice() else { panic!("{seen:?}") };
        let lower = sent.to_lowercase();
        assert!(sent.starts_with("POST /api/query?a=b HTTP/1.1\r\n"), "{sent}");
        for line in ["content-type: a/b\r\n", "x-own: 1\r\n", &format!("content-length: {length}\r\n")] {
            assert!(lower.contains(line), "{sent}");
        }
        assert!(sent.contains(&format!("Bearer {KEY}\r\n")) && lower.contains("user-agent: tipline/"), "{sent}");
        assert!(sent.as_bytes().ends_with(body), "{sent}");
        assert_eq!(feed.requests(), 1);
    }
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = failed(Feed::new(&input(&format!("http://{address}"))).unwrap().fetch(&post(b"")).await);
    assert!(text.starts_with(&format!("POST http://{address}/api/query: ")), "{text}");
}

#[tokio::test]
async fn a_redirected_post_is_sent_again_or_asked_for() {
    for (status, again) in [(301, false), (302, false), (303, false), (307, true), (308, true)] {
        let server = Server::start(move |n, _, _| {
            Answer::Close(match n {
                0 => answer(&format!("{status} Moved"), "Location: /other\r\n", b""),
                _ => ok("", b"there"),
            })
        })
        .await;
        assert_eq!(feed(&server).fetch(&post(b"{}")).await.unwrap().body, b"there");
        let sent = server.seen().remove(1);
        assert_eq!(sent.starts_with("POST /other HTTP/1.1\r\n"), again, "{status}: {sent}");
        assert_eq!(sent.starts_with("GET /other HTTP/1.1\r\n"), !again, "{status}: {sent}");
        assert_eq!((sent.ends_with("{}"), sent.contains("content-type: a/b")), (again, again), "{status}: {sent}");
        assert!(sent.contains("x-own: 1\r\n") && sent.contains(KEY), "{status}: {sent}");
    }
    // Where it leads is under the same rule.
    let other = Server::always(ok("", b"")).await;
    let to = format!("http://127.0.0.1:{}/x", other.address.port());
    let server =
        Server::start(move |_, _, _| Answer::Close(answer("307 Moved", &format!("Location: {to}\r\n"), b""))).await;
    assert!(refused(feed(&server).fetch(&post(b"{}")).await).contains("set url: http://"));
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn what_is_not_a_guests_to_send_is_not_sent() {
    let server = Server::always(ok("", b"{}")).await;
    let headers = vec![("authorization".to_owned(), "Bearer mine".to_owned())];
    for request in [
        Request { method: "DELETE".to_owned(), ..get("/") },
        Request { headers, ..get("/") },
        Request { body: Some(b"x".to_vec()), ..get("/") },
    ] {
        let text = refused(feed(&server).fetch(&request).await);
        assert!(text.contains("was not sent") && text.contains("fault of the guest"), "{text}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn one_redirect_too_many_is_refused() {
    let server = Server::start(|_, _, _| Answer::Close(redirect("/again"))).await;
    let feed = feed(&server);
    let text = refused(feed.fetch(&get("/again")).await);
    assert!(text.contains("more than 3 times"), "{text}");
    assert_eq!(feed.requests(), 1 + MAX_REDIRECTS as u64);
}

#[tokio::test]
async fn another_origin_gets_no_request() {
    let other = Server::always(ok("", b"")).await;
    let port = other.address.port();
    for to in
        [format!("http://127.0.0.1:{port}/x"), format!("http://localhost:{port}/"), format!("//127.0.0.1:{port}/")]
    {
        let server = Server::start(move |_, _, _| Answer::Close(redirect(&to))).await;
        let text = refused(fetch(&server).await);
        assert!(text.contains("set url: http://"), "{text}");
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_status_without_an_address_is_an_answer() {
    assert_eq!(fetch(&Server::always(answer("302 Found", "", b"")).await).await.unwrap().status, 302);
    assert_eq!(fetch(&Server::always(b"HTTP/1.1 304 Same\r\n\r\n".to_vec()).await).await.unwrap().status, 304);
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_answers_are_read_up_to_the_cap_and_no_further() {
    const CAP: usize = 1_000_000;
    for (length, fits) in [(CAP, true), (CAP + 1, false), (CAP * 20, false)] {
        let bytes = ok("Content-Encoding: gzip\r\n", &gzip(&vec![b' '; length]));
        let server = Server::always(bytes).await;
        let mut input = input(&format!("http://{}", server.address));
        input.http.max_body_bytes = CAP as u64;
        let result = Feed::new(&input).unwrap().fetch(&get("/")).await;
        if fits {
            assert_eq!(result.unwrap().body.len(), length);
        } else {
            let text = failed(result);
            assert!(
                text.contains("longer than 1000000 bytes") && text.contains("`limit`") && text.contains("`max_body`"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn plain_answers_are_read_up_to_the_cap_declared_or_not() {
    const CAP: usize = 1000;
    let endless = |bytes: &[u8]| [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", bytes].concat();
    let cases = [
        (ok("", &[b'x'; CAP]), true),
        (ok("", &[b'x'; CAP + 1]), false),
        (endless(&[b'x'; CAP]), true),
        (endless(&[b'x'; CAP + 1]), false),
        // Refused by what it declares, before a byte of it is read.
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec(), false),
    ];
    for (bytes, fits) in cases {
        let server = Server::start(move |_, _, _| Answer::Close(bytes.clone())).await;
        let mut input = input(&format!("http://{}", server.address));
        input.http.max_body_bytes = CAP as u64;
        let result = Feed::new(&input).unwrap().fetch(&get("/")).await;
        if fits {
            assert_eq!(result.unwrap().body.len(), CAP);
        } else {
            assert!(failed(result).contains("longer than 1000 bytes"));
        }
    }
}

#[tokio::test]
async fn an_answer_without_end_stops_at_the_cap() {
    let server = Server::start(|_, _, _| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        Answer::Repeat(head, [b"4000\r\n".to_vec(), vec![b'x'; 0x4000], b"\r\n".to_vec()].concat())
    })
    .await;
    let mut input = input(&format!("http://{}", server.address));
    input.http.max_body_bytes = 1_000_000;
    assert!(failed(Feed::new(&input).unwrap().fetch(&get("/")).await).contains("longer than 1000000 bytes"));
}

#[tokio::test]
async fn a_second_layer_or_an_unknown_coding_is_named() {
    for coding in ["gzip, gzip", "gzip, br", "br", "zstd", "deflate", "x-own"] {
        let bytes = ok(&format!("Content-Encoding: {coding}\r\n"), &gzip(&gzip(b"{}")));
        let text = failed(fetch(&Server::always(bytes).await).await);
        assert!(text.contains(&format!("packed as `{coding}`")), "{text}");
    }
}

#[tokio::test]
async fn damaged_answers_say_what_is_wrong() {
    let cases: [(Vec<u8>, &str); 6] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"data\":".to_vec(), "ended before the answer was complete"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab".to_vec(),
            "ended before the answer was complete",
        ),
        (b"".to_vec(), "ended before the answer was complete"),
        (ok("Content-Encoding: gzip\r\n", b"not gzip at all, is it"), "cannot be unpacked"),
        (ok("Content-Encoding: gzip\r\n", &gzip(b"hello world, hello world")[..20]), "cannot be unpacked"),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "is not HTTP"),
    ];
    for (bytes, expected) in cases {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let text = failed(fetch(&Server::always(bytes).await).await);
        assert!(text.contains(expected), "{shown:?}: {text}");
        assert!(text.starts_with("GET http://127.0.0.1:") && text.contains("/api/v1/iocs: "), "{text}");
        assert!(!text.contains("limit=1"), "{text}");
    }
}

#[tokio::test]
async fn headers_are_capped() {
    let with = |bytes: usize| ok(&format!("X-Long: {}\r\n", "h".repeat(bytes)), b"{}");
    fetch(&Server::always(with(MAX_HEADER_BYTES - 200)).await).await.unwrap();
    for bytes in [MAX_HEADER_BYTES, 1_000_000] {
        let text = failed(fetch(&Server::always(with(bytes)).await).await);
        assert!(text.contains("headers are longer than 64 KiB"), "{text}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_ends_at_the_read_timeout() {
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"] {
        let server = Server::start(move |_, _, _| Answer::Stall(bytes.to_vec())).await;
        let mut input = input(&format!("http://{}", server.address));
        input.http.read_timeout = Duration::from_millis(100);
        let text = failed(Feed::new(&input).unwrap().fetch(&get("/")).await);
        assert!(text.contains("nothing came for 0.1 s") && text.contains("`read_timeout`"), "{text}");
    }
}

#[tokio::test]
async fn a_body_that_trickles_ends_at_the_total_timeout() {
    let server = Server::start(|_, _, _| {
        Answer::Repeat(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), b"1\r\nx\r\n".to_vec())
    })
    .await;
    let mut input = input(&format!("http://{}", server.address));
    input.http.timeout = Duration::from_millis(200);
    input.http.max_body_bytes = u64::MAX;
    let text = failed(Feed::new(&input).unwrap().fetch(&get("/")).await);
    assert!(text.contains("not complete after 0.2 s") && text.contains("`timeout`"), "{text}");
}

#[tokio::test]
async fn a_connection_that_is_reset() {
    for sent in [b"".as_slice(), b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.unwrap();
            // Closed with nothing left to wait for, a socket is reset.
            stream.set_zero_linger().unwrap();
            let _ = stream.read_u8().await;
            stream.write_all(sent).await.unwrap();
        });
        let text = failed(Feed::new(&input(&format!("http://{address}"))).unwrap().fetch(&get("/")).await);
        assert!(text.contains("the connection was reset") && text.contains("smaller `limit`"), "{text}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let text = failed(Feed::new(&input(&format!("http://{address}"))).unwrap().fetch(&get("/")).await);
    assert!(text.contains("connection was refused"), "{text}");
    // A name that RFC 6761 says never resolves.
    let text = failed(Feed::new(&input("https://feed.invalid")).unwrap().fetch(&get("/")).await);
    assert!(text.contains("cannot be resolved"), "{text}");
}

#[tokio::test]
async fn a_proxy_is_used_where_set_and_says_407() {
    let proxy = Server::always(answer("407 Proxy Authentication Required", "", b"")).await;
    for url in ["https://feed.invalid", "http://feed.invalid"] {
        let mut input = input(url);
        let proxy = Url::parse(&format!("http://u:hunter2hunter2@{}", proxy.address)).unwrap();
        input.http.proxy = Some(ProxySettings::new(proxy));
        input.http.allow_insecure = true;
        let text = failed(Feed::new(&input).unwrap().fetch(&get("/")).await);
        assert!(text.contains("(407)") && text.contains("`proxy`"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let heads = proxy.seen();
    assert!(heads.iter().any(|head| head.starts_with("CONNECT feed.invalid:443") && !head.contains(KEY)), "{heads:?}");
}
