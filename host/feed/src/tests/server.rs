//! A server on loopback that answers each connection with bytes made by hand, so that it can be as wrong as needed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What to do with one request.
pub(super) enum Answer {
    /// Write this and close.
    Close(Vec<u8>),
    /// Write this and keep the connection open without another byte.
    Stall(Vec<u8>),
    /// Write this again and again until the client goes away.
    Repeat(Vec<u8>, Vec<u8>),
}

/// Ends when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers request number n (from 0) by `answer(n, request)`; the address is known to it.
    pub(super) async fn start(answer: impl Fn(usize, SocketAddr, &str) -> Answer + Send + Sync + 'static) -> Self {
        Self::with_tls(None, answer).await
    }

    pub(super) async fn with_tls(
        tls: Option<tokio_rustls::TlsAcceptor>,
        answer: impl Fn(usize, SocketAddr, &str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log, tls) = (Arc::clone(&answer), Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        // A client that does not trust us ends the handshake; that is the test.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, address, &log, &*answer).await;
                            }
                        }
                        None => serve(stream, address, &log, &*answer).await,
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    /// Answers everything with these bytes.
    pub(super) async fn always(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, _, _| Answer::Close(bytes.clone())).await
    }

    /// The heads of the requests so far, each with its body.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    log: &Mutex<Vec<String>>,
    answer: &(impl Fn(usize, SocketAddr, &str) -> Answer + ?Sized),
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let mut head = String::from_utf8(head).unwrap();
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    head.push_str(&String::from_utf8_lossy(&body));
    let number = {
        let mut log = log.lock().unwrap();
        log.push(head.clone());
        log.len() - 1
    };
    match answer(number, address, &head) {
        Answer::Close(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Answer::Stall(bytes) => {
            let _ = stream.write_all(&bytes).await;
            // Ends when the client gives up.
            let _ = stream.read_u8().await;
        }
        Answer::Repeat(first, bytes) => {
            if stream.write_all(&first).await.is_ok() {
                while stream.write_all(&bytes).await.is_ok() {}
            }
        }
    }
}

/// A good answer with this body and these extra header lines.
pub(super) fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    answer("200 OK", headers, body)
}

pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
