//! The server: one address, a bounded number of connections, none of which is held for long by a slow client.
//!
//! Connections beyond the most wait in the system's queue, which refuses what is too much: nothing of them is in memory. Each
//! has so long for its head and so long without taking its answer, then it is closed and the next one gets its turn; one that
//! is kept alive and says nothing ends like one whose head does not come. What a request's body may take is for who reads
//! it (`access`). It listens on loopback alone.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::text;

/// The most connections at once: a person's browsers have dozens, watchers and firewalls one each.
pub const MAX_CONNECTIONS: usize = 256;

/// Connections that wait with the system: so many more come at once from a page with many parts in many windows, and are not
/// put off for a second.
const WAITING: u32 = 1_024;

/// For the head of a request, and between two requests of a connection. It is sent in one piece, over any line.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that takes nothing of its answer for so long is gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest head: a view's address of 16 KiB, and what browsers say of themselves.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Lines of a head. Browsers send two dozen.
pub const MAX_HEAD_LINES: usize = 64;

/// A connection's buffer. Bodies are read through it.
const BUFFER_BYTES: usize = 64 * 1024;

/// Where no connection can be taken, as the process has too many files open, so long is waited for one to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Nothing can be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Others could reach it.
    #[error(
        "{0} is an address that others can reach, and the page has no login yet. Set `http.listen` (or --listen) to an address on \
         127.0.0.1 or [::1]. Whoever works on another machine comes through a tunnel with the same port: \
         `ssh -L {port}:127.0.0.1:{port} THIS_MACHINE`; for metrics put a proxy with a password before it.", port = .0.port()
    )]
    NotLoopback(SocketAddr),
    /// The port is taken, or may not be used.
    #[error("Nothing can be served on {address}: {reason}. {advice}")]
    Bind {
        /// What was tried.
        address: SocketAddr,
        /// What came back.
        reason: io::Error,
        /// Who has it, as far as can be told, and what to do.
        advice: String,
    },
}

/// An address that is ours, on which nothing is served yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// The running server. It ends when it is dropped.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// Takes a loopback address; port 0 is any free one.
///
/// # Errors
/// [`ServeError`].
pub async fn listen(address: SocketAddr) -> Result<Listener, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let listener = match bound(address) {
        Ok(listener) => listener,
        Err(reason) => {
            let is_taken = reason.kind() == io::ErrorKind::AddrInUse;
            let other = if is_taken { other(address).await } else { None };
            let advice = match (other, is_taken) {
                (Some(inputs), _) if inputs.is_empty() => {
                    "Another `tipline serve` serves its page there: open that one \
                     (`tipline open`), end it, or set `http.listen` (or --listen) to another port."
                        .to_owned()
                }
                (Some(inputs), _) => format!(
                    "Another `tipline run` serves its own there, of its inputs {inputs}: set `http.listen` (or `serve --listen`) \
                     to another port, or end that run if it is this one's. With `http: {{page: true}}` it serves the page, too."
                ),
                (None, true) => {
                    "Another program has this port: set `http.listen` (or `serve --listen`) to a free one.".to_owned()
                }
                (None, false) => {
                    "Set `http.listen` (or `serve --listen`) to a port that this program may use.".to_owned()
                }
            };
            return Err(ServeError::Bind { address, reason, advice });
        }
    };
    let taken = |reason| ServeError::Bind { address, reason, advice: "Try again.".to_owned() };
    let address = listener.local_addr().map_err(taken)?;
    Ok(Listener { listener, address })
}

fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a server that has just ended keep no port from the next one.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// One of ours on this machine answers at once; what does not is another program.
const ASKED_FOR: Duration = Duration::from_secs(1);

/// The health of a run with as many inputs as there may be is shorter.
const LONGEST_HEALTH: u64 = 256 * 1024;

/// The inputs of the run that serves there, as its own health names them; none of them where it only shows what is stored.
/// Nothing where it is none of ours.
async fn other(address: SocketAddr) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let head = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(LONGEST_HEALTH).read_to_end(&mut answer).await.ok()?;
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let health: serde_json::Value = serde_json::from_slice(answer.get(body..)?).ok()?;
        let inputs = health.get("inputs")?.as_array()?;
        let names: Option<Vec<_>> = inputs.iter().map(|input| input.get("input")?.as_str()).collect();
        Some(names?.iter().map(|name| text::show(name)).collect::<Vec<_>>().join(", "))
    };
    tokio::time::timeout(ASKED_FOR, asked).await.ok()?
}

impl Listener {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves this.
    pub fn serve(self, routes: Router) -> Serving {
        let Self { listener, address } = self;
        Serving { address, task: tokio::spawn(accept(listener, routes)) }
    }
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes connections for ever. They end with it.
async fn accept(listener: TcpListener, routes: Router) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Before it is taken: until there is a place it is the system's.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let routes = routes.clone();
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            // It is over, however it ended; there is nobody to tell.
            let _ = converse(stream, routes).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, until it is closed.
pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    routes: Router,
) -> hyper::Result<()> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let answer = service_fn(move |request: Request<Incoming>| {
        let routes = routes.clone();
        async move {
            let Ok(response) = routes.oneshot(request.map(Body::new)).await;
            Ok::<_, Infallible>(response)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEAD_LINES)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), answer)
        .await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use futures_util::stream::unfold;
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::Instant;

    use super::*;

    const ANY: &str = "127.0.0.1:0";
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    async fn serve(routes: Router) -> Serving {
        listen(ANY.parse().unwrap()).await.unwrap().serve(routes)
    }

    async fn hello() -> Serving {
        serve(Router::new().route("/", get(async || "hello"))).await
    }

    async fn connect(serving: &Serving) -> TcpStream {
        TcpStream::connect(serving.address()).await.unwrap()
    }

    /// What comes until the connection is closed.
    async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let mut bytes = Vec::new();
        // What is reset has said all it had to say.
        let _ = stream.read_to_end(&mut bytes).await;
        String::from_utf8(bytes).unwrap()
    }

    /// As many files as the system lets this process open: both ends of all connections are in it.
    fn raise_limit() {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).unwrap();
    }

    #[tokio::test]
    async fn a_thousand_connections_take_turns() {
        raise_limit();
        let began = Instant::now();
        let serving = serve(Router::new().route("/", get(async move || began.elapsed().as_secs().to_string()))).await;
        let mut silent = Vec::new();
        for _ in 0..1_000 {
            silent.push(connect(&serving).await);
        }
        let mut last = connect(&serving).await;
        last.write_all(REQUEST).await.unwrap();
        // Time is virtual from here on: a network that needs a moment must not be taken for one that stands still.
        tokio::time::pause();
        let said = rest(&mut last).await;
        let (_, asked) = said.split_once("\r\n\r\n").unwrap();
        // Each place is held for as long as a head may take: three times, and the fourth time it is the last one's turn.
        let turns = 1_000 / MAX_CONNECTIONS as u64 * HEAD_TIMEOUT.as_secs();
        assert!((turns..2 * turns).contains(&asked.parse().unwrap()), "{said}");
    }

    #[tokio::test]
    async fn so_many_connections_are_served_at_once_and_the_next_waits() {
        raise_limit();
        let (inside, mut are_inside) = tokio::sync::watch::channel(0);
        let (open, is_open) = tokio::sync::watch::channel(false);
        let inside = Arc::new(inside);
        let answer = async move || {
            inside.send_modify(|inside| *inside += 1);
            let _ = is_open.clone().wait_for(|is_open| *is_open).await;
            "hello"
        };
        let serving = serve(Router::new().route("/", get(answer))).await;
        let mut all = Vec::new();
        for _ in 0..=MAX_CONNECTIONS {
            let mut stream = connect(&serving).await;
            stream.write_all(REQUEST).await.unwrap();
            all.push(stream);
        }
        are_inside.wait_for(|inside| *inside == MAX_CONNECTIONS).await.unwrap();
        // Many times as often as one needs to come in.
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*are_inside.borrow(), MAX_CONNECTIONS, "the last one waits");
        open.send_replace(true);
        for stream in &mut all {
            assert!(rest(stream).await.ends_with("hello"));
        }
        assert_eq!(*are_inside.borrow(), MAX_CONNECTIONS + 1);
    }

    /// The other end of a connection that no network puts off, so that virtual time stands still while anything is to be done.
    fn converse_with(routes: Router) -> DuplexStream {
        let (here, there) = duplex(64 * 1024);
        tokio::spawn(converse(there, routes));
        here
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_so_long() {
        let second = Duration::from_secs(1);
        for (waits, is_answered) in [(HEAD_TIMEOUT - second, true), (HEAD_TIMEOUT + second, false)] {
            let stream = converse_with(Router::new().route("/", get(async || "hello")));
            let began = Instant::now();
            let (first, second) = REQUEST.split_at(20);
            let (mut from, mut to) = tokio::io::split(stream);
            to.write_all(first).await.unwrap();
            let mut said = Vec::new();
            tokio::select! {
                _ = from.read_to_end(&mut said) => assert_eq!(began.elapsed(), HEAD_TIMEOUT),
                () = tokio::time::sleep(waits) => {
                    to.write_all(second).await.unwrap();
                    from.read_to_end(&mut said).await.unwrap();
                }
            }
            assert_eq!(said.ends_with(b"hello"), is_answered, "{waits:?}");
        }
        // One that is kept alive and says nothing ends as well.
        let mut stream = converse_with(Router::new().route("/", get(async || "hello")));
        let began = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(rest(&mut stream).await.ends_with("hello"));
        assert_eq!(began.elapsed(), HEAD_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_left() {
        let serving = hello().await;
        let mut stream = connect(&serving).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").await.unwrap();
        assert_eq!(rest(&mut stream).await, "", "the connection is closed");
    }

    #[tokio::test]
    async fn a_head_has_its_length() {
        let serving = hello().await;
        let ask = async |lines: String| {
            let mut stream = connect(&serving).await;
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            rest(&mut stream).await
        };
        let line = |length: usize| format!("A: {}\r\n", "x".repeat(length));
        assert!(ask(line(MAX_HEAD_BYTES - 100)).await.ends_with("hello"));
        let refused = ask(line(MAX_HEAD_BYTES)).await;
        assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
        let short = "A: x\r\n";
        assert!(ask(short.repeat(MAX_HEAD_LINES - 2)).await.ends_with("hello"));
        let refused = ask(short.repeat(MAX_HEAD_LINES - 1)).await;
        assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
    }

    /// Tells when it is dropped.
    struct Watched(Option<tokio::sync::oneshot::Sender<()>>);

    impl Drop for Watched {
        fn drop(&mut self) {
            let _ = self.0.take().map(|tell| tell.send(()));
        }
    }

    /// An answer without end, and who is told when nobody sends it any more.
    fn endless() -> (DuplexStream, tokio::sync::oneshot::Receiver<()>) {
        let (tell, told) = tokio::sync::oneshot::channel();
        let watched = Arc::new(std::sync::Mutex::new(Some(Watched(Some(tell)))));
        let answer = async move || {
            let watched = watched.lock().unwrap().take();
            Body::from_stream(unfold(watched, async |watched| {
                Some((Ok::<_, Infallible>(vec![b'x'; 64 * 1024]), watched))
            }))
        };
        (converse_with(Router::new().route("/", get(answer))), told)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_an_answer_is_left() {
        let (mut stream, told) = endless();
        stream.write_all(REQUEST).await.unwrap();
        let began = Instant::now();
        told.await.unwrap();
        assert_eq!(began.elapsed(), WRITE_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_an_answer_slowly_gets_it() {
        let (mut stream, mut told) = endless();
        stream.write_all(REQUEST).await.unwrap();
        let mut piece = vec![0; 16 * 1024];
        for _ in 0..5 {
            tokio::time::sleep(WRITE_TIMEOUT - Duration::from_secs(1)).await;
            stream.read_exact(&mut piece).await.unwrap();
        }
        assert!(told.try_recv().is_err(), "it is still sent");
    }
}
