//! What a request may take. Time is virtual.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::super::access::{
    MAX_COOKIES, MAX_FORM_BYTES, MAX_REPORT_BYTES, OWN_LISTS, REPORTS_AT_ONCE, REQUEST_TIMEOUT,
};
use super::*;

#[tokio::test]
async fn so_many_cookies_of_our_name_are_looked_at() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let other = browser.cookie.split('=').next().unwrap();
    for (others, status) in [(MAX_COOKIES - 1, 200), (MAX_COOKIES, 403)] {
        let line = format!("Cookie: {}{}", format!("{other}=x; ").repeat(others), browser.cookie);
        assert_eq!(stand.get("/", &[line]).await.status, status, "{others}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_request_has_so_long() {
    let stand = Stand::new(Rights::Change).await;
    for (wait, status) in [(REQUEST_TIMEOUT - Duration::from_secs(1), 303), (REQUEST_TIMEOUT * 2, 408)] {
        let browser = stand.browser().await;
        let form = stand.form("/end", &[browser.line(), stand.origin()], &browser.field());
        let (last, begin) = form.split_last().unwrap();
        let (mut from, mut to) = tokio::io::split(stand.connect());
        to.write_all(begin).await.unwrap();
        let began = Instant::now();
        let mut said = Vec::new();
        tokio::select! {
            _ = from.read_to_end(&mut said) => assert_eq!(began.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs()),
            () = tokio::time::sleep(wait) => {
                to.write_all(&[*last]).await.unwrap();
                from.read_to_end(&mut said).await.unwrap();
            }
        }
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    }
}

#[tokio::test]
async fn bodies_have_their_length() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let lines = [browser.line(), stand.origin()];
    let filled = |length: usize| {
        let field = browser.field();
        format!("{field}&x={}", "x".repeat(length - field.len() - 3))
    };
    // Only the head of what is too long is sent, and that is enough.
    let head_of = |path: &str, length: usize| {
        let form = String::from_utf8(stand.form(path, &lines, "")).unwrap();
        form.replace("Content-Length: 0", &format!("Content-Length: {length}")).into_bytes()
    };
    for (path, most) in [("/views", MAX_FORM_BYTES), (OWN_LISTS, MAX_REPORT_BYTES)] {
        let status = stand.post(path, &lines, &filled(most)).await.status;
        assert!(!matches!(status, 0 | 403 | 413), "{path}: {status}");
        let answer = stand.send(&head_of(path, most + 1)).await;
        assert!(answer.status == 413 && answer.body.contains(&crate::text::bytes(most as u64)), "{path}: {answer:?}");
    }
    // One that does not say how long it is, is counted.
    let (host, [cookie, origin]) = (stand.host(), &lines);
    let head = format!(
        "POST /views HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{cookie}\r\n{origin}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for (length, is_taken) in [(MAX_FORM_BYTES, true), (MAX_FORM_BYTES + 1, false)] {
        let request = format!("{head}{length:x}\r\n{}\r\n0\r\n\r\n", filled(length));
        let status = stand.send(request.as_bytes()).await.status;
        assert_eq!(!matches!(status, 0 | 413), is_taken, "{length}: {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_reports_are_read_at_once() {
    let stand = Stand::new(Rights::Change).await;
    let browser = stand.browser().await;
    let lines = [browser.line(), stand.origin()];
    let body = format!("{}&x={}", browser.field(), "x".repeat(MAX_FORM_BYTES));
    let form = stand.form(OWN_LISTS, &lines, &body);
    let (last, begin) = form.split_last().unwrap();
    let mut slow = Vec::new();
    for _ in 0..REPORTS_AT_ONCE {
        let mut stream = stand.connect();
        stream.write_all(begin).await.unwrap();
        // It is under way when the session is looked up; nothing else is to be done meanwhile.
        tokio::time::sleep(Duration::from_secs(1)).await;
        slow.push(stream);
    }
    // A short one takes no place; a long one waits for one until its time is over.
    let mut stream = stand.connect();
    stream.write_all(&stand.form(OWN_LISTS, &lines, &browser.field())).await.unwrap();
    let short = read(stream).await.status;
    assert!(!matches!(short, 0 | 403 | 408), "{short}");
    let began = Instant::now();
    let long = async {
        let mut stream = stand.connect();
        stream.write_all(&form).await.unwrap();
        (read(stream).await, began.elapsed().as_secs())
    };
    let end = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        slow[0].write_all(&[*last]).await.unwrap();
    };
    let ((long, waited), ()) = tokio::join!(long, end);
    assert!(!matches!(long.status, 0 | 403 | 408), "{long:?}");
    assert_eq!(waited, 5, "it had its turn when one was through");
}
