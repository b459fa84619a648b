//! `tipline eval --cluster` at a cluster that misbehaves: whatever happens, the temporary index is deleted, or its name said.

use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::program::command;

type Outcome = Result<(), Failed>;
type Test = fn() -> Outcome;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 5] = [
        ("an_index_that_may_have_been_made_is_deleted", unclear_creation),
        ("fields_that_are_refused_are_a_finding", refused_fields),
        ("documents_that_cannot_be_tried_do_not_pass", refused_bulk),
        ("an_index_that_cannot_be_deleted_is_named", refused_deletion),
        ("a_signal_ends_it_and_the_index", signal),
    ];
    tests.into_iter().map(|(name, test)| Trial::test(format!("dry_run::{name}"), test)).collect()
}

/// A status and the type of an error; 200 without one.
type Answer = (u16, &'static str);

const GOOD: Answer = (200, "");

/// What the cluster answers.
#[derive(Clone, Copy)]
struct Script {
    create: Answer,
    /// None: it never answers.
    bulk: Option<Answer>,
    delete: Answer,
}

impl Script {
    const OBEDIENT: Self = Self { create: GOOD, bulk: Some(GOOD), delete: GOOD };
}

struct Cluster {
    url: String,
    /// Methods and paths, in their order.
    asked: Receiver<String>,
    _runtime: Runtime,
}

impl Cluster {
    fn start(script: Script) -> Result<Self, Failed> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (asks, asked) = channel();
        let app = Router::new().fallback(answer).with_state((script, asks));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("http://{}", listener.local_addr()?);
        runtime.spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, asked, _runtime: runtime })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.try_iter().collect()
    }
}

async fn answer(State((script, asks)): State<(Script, Sender<String>)>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // A test that has seen enough is gone.
    let _ = asks.send(format!("{method} {path}"));
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    let (status, kind) = match method {
        Method::PUT => script.create,
        Method::DELETE => script.delete,
        _ => match script.bulk {
            Some(answer) => answer,
            None => std::future::pending().await,
        },
    };
    let body = if status == 200 { taken(&body) } else { json!({ "error": { "type": kind, "reason": "no" } }) };
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

/// Each document of a bulk request is indexed; what is none has no items.
fn taken(body: &Bytes) -> Value {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    json!({ "errors": false, "items": vec![json!({ "index": { "status": 201 } }); lines / 2] })
}

/// What an evaluation at such a cluster leaves: exit code, output, errors, requests.
fn evaluated(script: Script) -> Result<(Option<i32>, String, String, Vec<String>), Failed> {
    let cluster = Cluster::start(script)?;
    let folder = prepared(&cluster)?;
    let output = command(folder.path(), &ARGUMENTS).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr), cluster.asked()))
}

const ARGUMENTS: [&str; 6] = ["eval", "a.jsonl", "--candidate", "built-in", "--cluster", "es.yml"];

fn prepared(cluster: &Cluster) -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("a.jsonl"), "{\"type\":\"domain\",\"value\":\"evil.example.net\"}\n")?;
    let config = format!("output: {{elasticsearch: {{hosts: ['{}'], pipeline: elsewhere}}}}\n", cluster.url);
    std::fs::write(folder.path().join("es.yml"), config)?;
    Ok(folder)
}

fn is_deleted(asked: &[String]) -> bool {
    asked.last().is_some_and(|last| last.starts_with("DELETE /tipline-eval-"))
}

fn unclear_creation() -> Outcome {
    for create in [(504, "timeout"), (400, "validation_exception")] {
        let (code, out, error, asked) = evaluated(Script { create, ..Script::OBEDIENT })?;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{create:?}: {error}");
        assert!(error.contains(create.1), "{error}");
        assert!(is_deleted(&asked), "{asked:?}");
    }
    Ok(())
}

fn refused_fields() -> Outcome {
    let create = (400, "mapper_parsing_exception");
    let (code, out, error, asked) = evaluated(Script { create, ..Script::OBEDIENT })?;
    assert_eq!(code, Some(1), "{error}");
    assert!(out.contains("the index mapping") && out.contains("verdict: do not ship"), "{out}");
    assert_eq!(asked.len(), 1, "there is nothing to write to and nothing to delete: {asked:?}");
    Ok(())
}

fn refused_bulk() -> Outcome {
    let (code, out, error, asked) = evaluated(Script { bulk: Some((403, "security_exception")), ..Script::OBEDIENT })?;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains("Documents cannot be tried in the cluster"), "{error}");
    assert!(is_deleted(&asked), "{asked:?}");
    Ok(())
}

fn refused_deletion() -> Outcome {
    let (code, out, error, asked) = evaluated(Script { delete: (403, "security_exception"), ..Script::OBEDIENT })?;
    assert_eq!(code, Some(0), "the candidate is not to blame: {error}");
    assert!(out.contains("cluster: 1 documents tried in a temporary index, 0 refused"), "{out}");
    assert!(error.contains("may be left in the cluster") && error.contains("DELETE /tipline-eval-"), "{error}");
    assert!(is_deleted(&asked), "{asked:?}");
    Ok(())
}

fn signal() -> Outcome {
    let cluster = Cluster::start(Script { bulk: None, ..Script::OBEDIENT })?;
    let folder = prepared(&cluster)?;
    let child = command(folder.path(), &ARGUMENTS).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let id = child.id().to_string();
    while !cluster.asked.recv_timeout(Duration::from_secs(60))?.starts_with("POST ") {}
    assert!(Command::new("kill").args(["-INT", &id]).status()?.success());
    let output = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the evaluation is not whole"), "{error}");
    let asked = cluster.asked();
    assert!(is_deleted(&asked), "{asked:?}");
    Ok(())
}
