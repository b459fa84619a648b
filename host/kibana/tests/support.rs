//! Claims, and a wire to the Kibana in memory.

use serde_json::json;
use tipline_kibana::{Act, Answer, Claim, FromAnswer, Kibana, KibanaError, Request};

use tipline_mock::kibana::{Asked, KEY, Reply, Standin};

pub(crate) const AT: &str = "2026-01-08T12:00:00.000Z";
pub(crate) const SHA256: &str = "116dd9071887611c19c24aedde270285a4cf97157b846e6343407cf3bcec115a";
pub(crate) const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

pub(crate) fn kibana() -> Kibana {
    Kibana::new("https://kibana.example", None).unwrap()
}

/// A claim with one field, spelled with dots.
pub(crate) fn claim(field: &str, value: &str) -> Claim {
    let document = json!({
        "@timestamp": AT, "event": { "id": "e1" }, "threat": { "feed": { "name": "AbuseCH" } }, field: value,
    });
    Claim::read(&document.to_string(), Some("doc-e1")).unwrap()
}

/// Number so and so of many addresses.
pub(crate) fn address(number: usize) -> Claim {
    let ip = format!("203.0.113.{number}");
    let document = json!({
        "@timestamp": AT, "event.id": format!("event{number}"),
        "threat": { "feed.name": "AbuseCH", "indicator": { "ip": ip, "name": ip, "type": "ipv4-addr" } },
    });
    Claim::read(&document.to_string(), Some(&format!("doc{number}"))).unwrap()
}

/// As a client sends it.
pub(crate) fn asked(request: &Request) -> Asked {
    let headers = request.headers().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Asked {
        method: request.method.to_string(),
        path: request.path.clone(),
        headers: headers.chain([("authorization".to_owned(), KEY.to_owned())]).collect(),
        body: request.body.clone(),
    }
}

pub(crate) fn send(standin: &mut Standin, request: &Request) -> Reply {
    standin.answer(&asked(request))
}

/// As a client hands it on.
pub(crate) fn bytes(reply: &Reply) -> Vec<u8> {
    if reply.body.is_null() { Vec::new() } else { serde_json::to_vec(&reply.body).unwrap() }
}

pub(crate) fn read<T: FromAnswer>(act: Act, reply: &Reply) -> Result<T, KibanaError> {
    T::from_answer(act, &Answer::new(reply.status, &bytes(reply)))
}
