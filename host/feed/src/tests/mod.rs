//! The connection against servers on loopback that are honest, broken or hostile.

mod answers;
mod keys;
mod proxy;
mod server;
mod trust;

use std::time::Duration;

use url::Url;

use super::*;
use tipline_config::ProxySettings;
use tipline_model::secret::{Credential, KeyHeader, Secret, SecretSource};

const KEY: &str = "sk_live_CANARY_7f3a9b52c1";

fn input(url: &str) -> Input {
    let credential = Some(Credential::Bearer(SecretSource::Inline(Secret::new(KEY))));
    Input { credential, ..Input::new("feed", Url::parse(url).unwrap()) }
}

fn feed(server: &server::Server) -> Feed {
    Feed::new(&input(&format!("http://{}", server.address))).unwrap()
}

fn get(target: &str) -> Request {
    Request::get(target)
}

async fn fetch(server: &server::Server) -> Result<Response, FetchError> {
    feed(server).fetch(&get("/api/v1/iocs?limit=1")).await
}

fn failed(result: Result<Response, FetchError>) -> String {
    match result {
        Err(FetchError::Failed(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, FetchError>) -> String {
    match result {
        Err(FetchError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}
