//! `tipline record` and `tipline replay`: a poll as a file, and a file as a feed.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use clap::Args;
use tokio::net::TcpListener;
use url::Position;

use super::backfill::look_back_to;
use super::progress::Progress;
use super::run::failure;
use super::settings::{Settings, check_guest_settings, feed_of, guest_of, one_input};
use super::{Failed, runtime, signals, when};
use crate::clock::{Clock, Millis};
use crate::config::parse_size;
use crate::eval::recording::{Exchange, MAX_READ_BYTES, Recording};
use crate::gate::Gate;
use crate::guests::Guests;
use crate::http::MAX_REQUEST_BODY_BYTES;
use crate::observer::Observer;
use crate::poll::trapped::Traps;
use crate::poll::{Bounds, Poller};
use crate::state::Ledger;
use crate::store::{Delivery, Page, Sink, SinkError, SweepOrder, Swept};
use crate::tape::{Tape, Target};
use crate::text;
use crate::time;

/// Record what a feed answers to one poll, as a HAR file
#[derive(Debug, Args)]
#[command(after_long_help = "\
Nothing is stored and no checkpoint moves, so `tipline run` may go on; it costs the requests of one full poll. The file
holds no key: requests are written without it, and where the feed repeats it, it is replaced by [secret]. Browsers and
HAR tools open it; `tipline eval` and `tipline replay` use it. `tipline run --record DIR` records the polls of a run.

Examples:
  tipline record --out today.har
  tipline record -c tipline.yml --input socdefenders --since 2h --out today.har
  tipline eval today.har --candidate my-mapper.wasm")]
pub(super) struct Record {
    #[command(flatten)]
    settings: Settings,
    /// Which input, if the configuration has several
    #[arg(long, value_name = "ID")]
    input: Option<String>,
    /// The file
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// From when; the input's `initial_interval` if left out
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<Millis>,
    /// Cut the recording at a page's end when it would grow longer; the exit code is 1 then
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = length)]
    max_size: u64,
}

impl Record {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load_with_inputs()?;
        let mut input = one_input(&config, self.input.as_deref())?;
        let clock = Clock::system();
        if let Some(since) = self.since {
            look_back_to(&mut input, since, clock.now())?;
        }
        let guest = guest_of(&mut Guests::new(Some(&config.state_dir)), &input)?;
        check_guest_settings(&guest, &input)?;
        let tape = Arc::new(Tape::new(Target::File(self.out.clone()), self.max_size));
        let id = input.id.clone();
        runtime()?.block_on(async {
            let stop = signals::stop_on_signal(signals::INTERRUPTED)?;
            let progress = Arc::new(Progress::new("records", None));
            let poller = Poller {
                feed: Arc::new(feed_of(&input)?),
                input: Arc::new(input),
                guest,
                sink: Arc::new(Nowhere),
                ledger: Ledger::nowhere(),
                gate: Gate::default(),
                clock,
                observer: Arc::new(vec![tape.clone() as Arc<dyn Observer>, progress.clone()]),
                traps: Traps::default(),
            };
            let report = poller.poll_from(String::new(), false, Bounds::default(), &stop).await;
            // A poll that fails is worth a recording as well: it shows why.
            let recorded = tape.finish(&id)?;
            progress.end();
            if let Some(recorded) = recorded {
                writeln!(
                    io::stdout(),
                    "{}: {} requests, {}",
                    self.out.display(),
                    recorded.entries,
                    text::bytes(recorded.bytes)
                )?;
            }
            let is_cut = recorded.is_some_and(|recorded| recorded.is_cut);
            if is_cut {
                let most = text::bytes(self.max_size);
                writeln!(
                    io::stderr(),
                    "The recording was cut at a page's end, as it would be longer than {most}: what the feed answered after \
                     that is not in it. Record less, with a later --since, or raise --max-size."
                )?;
            }
            let ended = failure(&report?.ended);
            if let Some(reason) = &ended {
                writeln!(io::stderr(), "The poll ended early: {}", text::show_beside(reason, &config.own_words()))?;
            }
            if is_cut || ended.is_some() { Err(Failed.into()) } else { Ok(()) }
        })
    }
}

pub(super) fn size(value: &str) -> Result<u64, String> {
    parse_size(value).filter(|bytes| *bytes > 0).ok_or_else(|| "expected a size such as 64MiB".to_owned())
}

/// The length of a recording; what could not be read again is not written.
fn length(value: &str) -> Result<u64, String> {
    let most = MAX_READ_BYTES;
    size(value).and_then(|length| match length <= most {
        true => Ok(length),
        false => Err(format!("expected at most {}, which is what is read again", text::bytes(most))),
    })
}

/// Takes everything and keeps nothing.
struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    async fn deliver(&self, page: Page) -> Result<Delivery, SinkError> {
        page.turn.come().await?;
        Ok(Delivery { indexed: page.len() as u64, ..Delivery::default() })
    }

    async fn sweep(&self, _: SweepOrder) -> Result<Swept, SinkError> {
        Ok(Swept::default())
    }

    async fn retire(&self, _: &[String], _: &str, _: Millis) -> Result<u64, SinkError> {
        Ok(0)
    }
}

/// Serve a recording as a feed, to see again what happened
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each request is answered as the same method, path, query and body was when it was recorded: the first time with the first
answer, then with the next, and the last one stays; a POST whose body was not recorded is answered as another one was. What was
not recorded is answered with 404. Keys are neither asked for nor looked at. The answers carry the headers of then, so a limit
that was reached then is reached again.

A poll asks from a time on, which is another one today. With --by-order a request that was not recorded is answered as those
were that differ from it only in times, in the order in which they were recorded.

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

/// What is served.
#[derive(Default)]
struct Shelf {
    answers: Answers,
    /// The same by targets without their times, for requests that were not recorded; none without `--by-order`.
    by_order: Option<Answers>,
}

/// A target whose query has a mark in the place of each time. Its other values stay, in their order.
fn timeless(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let is_time = |value: &str| {
        let decoded = url::form_urlencoded::parse(format!("v={value}").as_bytes()).next().map(|(_, v)| v.into_owned());
        decoded.is_some_and(|text| time::parse(&text).is_some() || text.parse::<jiff::civil::Date>().is_ok())
    };
    let part = |part: &str| match part.split_once('=') {
        Some((key, value)) if is_time(value) => format!("{key}=*"),
        _ => part.to_owned(),
    };
    let query: Vec<String> = query.split('&').map(part).collect();
    format!("{path}?{}", query.join("&"))
}

/// Answers by method and target, each with the body it is the answer to.
type Answers = HashMap<(String, String), VecDeque<(Vec<u8>, Answer)>>;

type Answer = Result<crate::sandbox::Response, String>;

impl Replay {
    pub(super) fn run(self) -> Result<()> {
        let recording = Recording::read(&self.file)?;
        if recording.exchanges.is_empty() {
            bail!("{} holds no answer to a GET or a POST, so there is nothing to serve.", self.file.display());
        }
        let count = recording.exchanges.len();
        let (mut answers, mut by_order) = (Answers::new(), Answers::new());
        for Exchange { url, request, answer, .. } in recording.exchanges {
            let from_origin = url[Position::BeforePath..Position::AfterQuery].to_owned();
            let body = request.body.unwrap_or_default();
            let mut add = |target: String, answer: Answer| {
                let timeless = by_order.entry((request.method.clone(), timeless(&target))).or_default();
                timeless.push_back((body.clone(), answer.clone()));
                answers.entry((request.method.clone(), target)).or_default().push_back((body.clone(), answer));
            };
            // With the base URL's path as recorded, and without, as `url:` may be either here.
            if from_origin != request.target {
                add(from_origin, answer.clone());
            }
            add(request.target.clone(), answer);
        }
        runtime()?.block_on(async {
            let stop = signals::stop_on_signal(signals::STOPPED)?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let listener = TcpListener::bind(address).await.with_context(|| {
                format!("The recording cannot be served at {address}; choose another port, or 0 for any")
            })?;
            let shelf = Shelf { answers, by_order: self.by_order.then_some(by_order) };
            let router = Router::new().fallback(answer).with_state(Arc::new(Mutex::new(shelf)));
            writeln!(io::stdout(), "serving {count} recorded answers at http://{}/", listener.local_addr()?)?;
            let stopped = async move { stop.cancelled().await };
            axum::serve(listener, router).with_graceful_shutdown(stopped).await?;
            Ok(())
        })
    }
}

/// The next answer to this body, or to any where it was not recorded; the last one stays.
fn next(left: &mut VecDeque<(Vec<u8>, Answer)>, body: &[u8]) -> Option<Answer> {
    let same: Vec<usize> = left.iter().enumerate().filter(|(_, (b, _))| b == body).map(|(at, _)| at).collect();
    let (first, more) = match same.as_slice() {
        [] => (0, left.len() > 1),
        [first, rest @ ..] => (*first, !rest.is_empty()),
    };
    if more { left.remove(first).map(|(_, answer)| answer) } else { left.get(first).map(|(_, answer)| answer.clone()) }
}

/// What the framing of an answer says is made anew.
const OF_THE_CONNECTION: [&str; 5] =
    ["content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive"];

impl Shelf {
    fn answer(&mut self, method: &str, target: &str, body: &[u8]) -> Option<Answer> {
        if let Some(left) = self.answers.get_mut(&(method.to_owned(), target.to_owned())) {
            return next(left, body);
        }
        next(self.by_order.as_mut()?.get_mut(&(method.to_owned(), timeless(target)))?, body)
    }
}

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
