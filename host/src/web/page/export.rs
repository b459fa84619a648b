//! Exports of a view, in the formats of `tipline export`, streamed as they are written.

use std::io::{self, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::mpsc::{Sender, channel};
use tracing::warn;

use crate::export::{Export, Format};
use crate::store::{Catalog, Question};

/// Bytes that are sent together.
const CHUNK: usize = 64 * 1024;

/// Chunks written ahead of whoever takes them.
const CHUNKS_AHEAD: usize = 4;

/// What there is, for who asks for something else.
pub(super) const FORMATS: &str = "There are csv, ndjson, stix and list.";

/// What a format is called in addresses and files.
pub(super) fn format(word: &str) -> Option<(Format, &'static str, &'static str)> {
    match word {
        "ndjson" => Some((Format::Ndjson, "ndjson", "application/x-ndjson")),
        "csv" => Some((Format::Csv, "csv", "text/csv; charset=utf-8")),
        "stix" => Some((Format::Stix, "json", "application/stix+json;version=2.1")),
        "list" => Some((Format::List, "txt", "text/plain; charset=utf-8")),
        _ => None,
    }
}

/// Sends chunks as they are full.
struct Chunks {
    written: Vec<u8>,
    sender: Sender<io::Result<Bytes>>,
}

impl Chunks {
    fn send(&mut self) -> io::Result<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.written));
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        tokio::task::block_in_place(|| self.sender.blocking_send(Ok(chunk))).map_err(gone)
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        if self.written.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.written.is_empty() { Ok(()) } else { self.send() }
    }
}

/// Everything that a question finds, as a download. Where it fails half-way the download breaks off, so that nobody takes a
/// part for the whole.
pub(super) fn download(
    catalog: Arc<dyn Catalog>,
    question: Question,
    wanted: (Format, &'static str, &'static str),
) -> Response {
    let (format, ending, media) = wanted;
    let (sender, receiver) = channel::<io::Result<Bytes>>(CHUNKS_AHEAD);
    tokio::spawn(async move {
        let out = Chunks { written: Vec::with_capacity(CHUNK), sender: sender.clone() };
        if let Err(reason) = write(catalog.as_ref(), &question, format, out).await {
            warn!("An export broke off: {reason}");
            // Whoever asked may be gone.
            let _ = sender.send(Err(io::Error::other("the export broke off"))).await;
        }
    });
    let body =
        Body::from_stream(stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))));
    let name = format!("attachment; filename=\"indicators.{ending}\"");
    ([(CONTENT_TYPE, media.to_owned()), (CONTENT_DISPOSITION, name)], body).into_response()
}

async fn write(catalog: &dyn Catalog, question: &Question, format: Format, out: Chunks) -> Result<(), String> {
    let mut export = Export::begin(format, out).map_err(|error| error.to_string())?;
    let mut outcome = Ok(());
    let mut add = |hit| {
        if outcome.is_ok() {
            outcome = export.add(&hit);
        }
    };
    catalog.stream(question, &mut add).await.map_err(|error| error.to_string())?;
    outcome.map_err(|error| error.to_string())?;
    export.finish().map(|_| ()).map_err(|error| error.to_string())
}
