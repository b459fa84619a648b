//! `tipline replay`: a recording as a feed.

mod shelf;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use clap::Args;
use tokio::net::TcpListener;

use super::{runtime, signals};
use crate::http::MAX_REQUEST_BODY_BYTES;
use crate::recording::Recording;
use crate::text;
use shelf::Shelf;

/// Serve a recording as a feed, to see again what happened
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each request is answered as the same method, path, query and body was when it was recorded: the first time with the first \
answer, then with the next, and the last one stays; a POST whose body was not recorded is answered as another one was. What was \
not recorded is answered with 404. Keys are neither asked for nor looked at. The answers carry the headers of then, so a limit \
that was reached then is reached again.

A poll asks from a time on, which is another one today. With --by-order a request that was not recorded stands for one that \
was and differs from it only in times: for the one recorded after the last one answered, else for that one again, else for the \
next that fits. So a poll with the settings of then goes the way it went then, and a second one goes it from the beginning.

Examples:
  tipline replay today.har --by-order --port 8080
  tipline run -c replay.yml --once      # with `url: http://127.0.0.1:8080/`, a `feed: {name}`, the recorded settings and an empty store")]
pub(super) struct Replay {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The port on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Answer by order where only the times in a request differ from the recorded ones
    #[arg(long)]
    by_order: bool,
}

impl Replay {
    pub(super) fn run(self) -> Result<()> {
        let recording = Recording::read(&self.file)?;
        if recording.exchanges.is_empty() {
            bail!("{} holds no answer to a GET or a POST, so there is nothing to serve.", self.file.display());
        }
        let count = recording.exchanges.len();
        let shelf = Shelf::new(recording.exchanges, self.by_order);
        runtime()?.block_on(async {
            let stop = signals::stop_on_signal(signals::STOPPED)?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let listener = TcpListener::bind(address).await.with_context(|| {
                format!("The recording cannot be served at {address}; choose another port, or 0 for any")
            })?;
            let router = Router::new().fallback(answer).with_state(Arc::new(Mutex::new(shelf)));
            writeln!(io::stdout(), "serving {count} recorded answers at http://{}/", listener.local_addr()?)?;
            let stopped = async move { stop.cancelled().await };
            axum::serve(listener, router).with_graceful_shutdown(stopped).await?;
            Ok(())
        })
    }
}

/// What the framing of an answer says is made anew.
const OF_THE_CONNECTION: [&str; 5] =
    ["content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive"];

async fn answer(State(shelf): State<Arc<Mutex<Shelf>>>, request: Request) -> Response<Body> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let method = request.method().as_str().to_owned();
    // A longer body was not recorded, as none is sent.
    let body = axum::body::to_bytes(request.into_body(), MAX_REQUEST_BODY_BYTES).await.unwrap_or_default();
    let recorded = shelf.lock().unwrap_or_else(PoisonError::into_inner).answer(&method, &target, &body);
    let plain = |status: StatusCode, text: String| {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response
    };
    match recorded {
        None => plain(
            StatusCode::NOT_FOUND,
            format!("{{\"error\":{{\"message\":\"not recorded: {}\"}}}}", text::escape(&target)),
        ),
        // What gave no answer then gives none now, as near as a server can come to it.
        Some(Err(reason)) => plain(StatusCode::BAD_GATEWAY, reason),
        Some(Ok(recorded)) => {
            let mut response = Response::builder().status(recorded.status);
            for (name, value) in recorded.headers.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()))
            {
                response = response.header(name, value);
            }
            let broken = |e| plain(StatusCode::BAD_GATEWAY, format!("{e}"));
            response.body(Body::from(recorded.body)).unwrap_or_else(broken)
        }
    }
}
