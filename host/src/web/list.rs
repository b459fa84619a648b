//! `/lists/NAME.txt`: the values of a saved view, one a line, as firewalls and resolvers fetch them.
//!
//! No session is needed but a key of that view, in the address (`?key=…`) or as `Authorization: Bearer …`. A wrong or
//! revoked key and a name that is none get the same answer in the same time. The list is written to a file without a name
//! first: so its tag (`ETag`) is that of what is in it, whoever asks again with that tag gets nothing to read, and a slow
//! reader keeps no question open. It holds what is live at that moment.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::try_unfold;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::page_server::{PageServer, starting};
use super::{App, page};
use crate::apart::blocking;
use crate::export::{Export, Format};
use crate::store::Question;
use crate::store::kept::View;
use crate::text;

/// Read and sent in one piece.
const PIECE_BYTES: usize = 64 * 1024;

/// Behind the view's name.
const END: &str = ".txt";

pub(super) async fn fetch(State(server): State<PageServer>, Path(file): Path<String>, request: Request) -> Response {
    let key = key(request.headers(), request.uri().query().unwrap_or_default());
    let now = server.now();
    let name = file.strip_suffix(END).unwrap_or_default().to_owned();
    let view = match server.access().look_up(move |kept| kept.opened(&name, &key, now)).await {
        Ok(Some(view)) => view,
        Ok(None) => return refused(),
        Err(reason) => return unusable(&reason),
    };
    let Some(inside) = server.inside() else { return starting() };
    let list = match written(inside.app.clone(), &view).await {
        Ok(list) => list,
        Err(reason) => {
            warn!("The list of the view {} cannot be given: {reason}", text::show(&view.name));
            return unusable(&reason);
        }
    };
    let tag = format!("\"{}\"", list.digest);
    let is_known = request.headers().get_all(IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
    if is_known
        .flat_map(|known| known.split(','))
        .any(|known| matches!(known.trim().trim_start_matches("W/"), known if known == tag || known == "*"))
    {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CONTENT_LENGTH, list.length.to_string()),
        (ETAG, tag),
        // Whoever keeps it asks whether it is still the same.
        (CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    (headers, pieces(list.file)).into_response()
}

/// The key that was sent; an empty one opens nothing.
fn key(headers: &HeaderMap, query: &str) -> String {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
    });
    let in_address = || url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "key");
    bearer.or_else(|| in_address().map(|(_, key)| key.into_owned())).unwrap_or_default()
}

fn refused() -> Response {
    let text = "There is no list with this name and key. A key is revoked or made where the view is shown.\n";
    (StatusCode::FORBIDDEN, [(WWW_AUTHENTICATE, "Bearer")], text).into_response()
}

fn unusable(reason: &str) -> Response {
    // A firewall keeps the list that it has.
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

/// A list as it is sent.
struct List {
    file: File,
    length: u64,
    digest: String,
}

async fn written(app: Arc<App>, view: &View) -> Result<List, String> {
    let question = page::of_list(&app, &view.query)?;
    app.catalog.settle().await;
    let runtime = tokio::runtime::Handle::current();
    let written = blocking(move || runtime.block_on(write(&app, &question)));
    written.await.map_err(|broken| broken.to_string())?
}

async fn write(app: &App, question: &Question) -> Result<List, String> {
    let failed = |error: io::Error| {
        format!("The list cannot be written to a temporary file: {error}. Free some space in the folder of TMPDIR.")
    };
    let mut counted =
        Counted { out: BufWriter::new(tempfile::tempfile().map_err(failed)?), digest: Sha256::new(), length: 0 };
    let mut export = Export::begin(Format::List, &mut counted).map_err(failed)?;
    let mut unwritten = None;
    let mut add = |hit| {
        if unwritten.is_none() {
            unwritten = export.add(&hit).err();
        }
    };
    app.catalog.stream(question, &mut add).await.map_err(|error| error.to_string())?;
    if let Some(error) = unwritten {
        return Err(failed(error));
    }
    export.finish().map_err(failed)?;
    let Counted { out, digest, length } = counted;
    let mut file = out.into_inner().map_err(|error| failed(error.into_error()))?;
    file.rewind().map_err(failed)?;
    Ok(List { file, length, digest: hex::encode(digest.finalize()) })
}

/// Writes, and knows what and how much.
struct Counted {
    out: BufWriter<File>,
    digest: Sha256,
    length: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.length = self.length.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A file's bytes, read as they are taken.
fn pieces(file: File) -> Body {
    Body::from_stream(try_unfold(file, async |mut file| {
        let read = blocking(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let length = file.read(&mut piece)?;
            piece.truncate(length);
            Ok::<_, io::Error>((piece, file))
        });
        let (piece, file) = read.await.map_err(io::Error::other)??;
        Ok::<_, io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
    }))
}
