//! The stand-in for Kibana over real HTTP on loopback.

use serde_json::{Value, json};

use super::client;
use crate::kibana::{KEY, KibanaServer, Reply, Standin};

async fn send(server: &KibanaServer, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = client()
        .request(method.parse().unwrap(), format!("http://{}{path}", server.addr()))
        .header("authorization", KEY)
        .header("kbn-xsrf", "true");
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn case() -> Value {
    json!({
        "title": "x", "description": "", "tags": [], "owner": "securitySolution", "settings": { "syncAlerts": true },
        "connector": { "id": "none", "name": "none", "type": ".none", "fields": null },
    })
}

#[tokio::test]
async fn it_answers_over_http_what_it_answers_in_memory() {
    let server = KibanaServer::start(Standin::default()).await.unwrap();
    let (status, made) = send(&server, "POST", "/api/cases", Some(case())).await;
    assert_eq!((status, &made["id"]), (200, &json!("case-1")));
    assert_eq!(server.with(|standin| standin.cases.len()), 1);
    let (status, found) = send(&server, "GET", "/api/cases/_find?owner=securitySolution&tags=a%20b", None).await;
    assert_eq!((status, &found["total"]), (200, &json!(0)));
    let (status, _) = send(&server, "GET", "/api/cases/case-2", None).await;
    assert_eq!(status, 404);
    let asked = server.requests();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().flat_map(|asked| &asked.headers).all(|(_, value)| value != KEY), "no key is kept");
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_refused() {
    let server = KibanaServer::start(Standin::default()).await.unwrap();
    let with = |name: &str, value: Value| {
        let mut case = case();
        case[name] = value;
        case
    };
    let without = |name: &str| {
        let mut case = case();
        case.as_object_mut().unwrap().remove(name);
        case
    };
    for body in [
        with("unknown", json!(1)),
        with("title", json!("x".repeat(161))),
        with("title", json!(" ")),
        with("tags", json!(vec!["x"; 201])),
        with("tags", json!(["x".repeat(257)])),
        with("severity", json!("grave")),
        with("owner", json!("me")),
        with("settings", json!({})),
        without("connector"),
        without("description"),
    ] {
        let (status, said) = send(&server, "POST", "/api/cases", Some(body.clone())).await;
        assert_eq!(status, 400, "{body}");
        assert!(said["message"].is_string());
    }
    let (_, made) = send(&server, "POST", "/api/cases", Some(case())).await;
    let comments = format!("/api/cases/{}/comments", made["id"].as_str().unwrap());
    let attachment = |metadata: Value| {
        json!({
            "type": "externalReference", "externalReferenceId": "d", "owner": "securitySolution",
            "externalReferenceStorage": { "type": "elasticSearchDoc" },
            "externalReferenceAttachmentTypeId": "indicator", "externalReferenceMetadata": metadata,
        })
    };
    let good = json!({ "indicatorName": "a", "indicatorType": "b", "indicatorFeedName": "c" });
    for (metadata, status) in [
        (good.clone(), 200),
        (json!({ "indicatorName": "a", "indicatorType": "b" }), 400),
        (json!({ "indicatorName": "a", "indicatorType": "b", "indicatorFeedName": 1 }), 400),
        (json!({ "indicatorName": "a", "indicatorType": "b", "indicatorFeedName": "c", "more": "d" }), 400),
    ] {
        assert_eq!(send(&server, "POST", &comments, Some(attachment(metadata.clone()))).await.0, status, "{metadata}");
    }
    let bare = client().post(format!("http://{}/api/cases", server.addr())).header("authorization", KEY);
    let without_xsrf = bare.header("content-type", "application/json").body(case().to_string()).send().await.unwrap();
    assert_eq!(without_xsrf.status(), 400);
    let stranger = client().get(format!("http://{}/api/cases/_find", server.addr())).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
}

#[tokio::test]
async fn it_fails_as_it_is_told_to_before_and_after_doing_what_was_asked() {
    let server = KibanaServer::start(Standin::default()).await.unwrap();
    server.refuse(Reply::error(429, "Too Many Requests"));
    server.answer_after(Reply::error(502, "Bad Gateway"));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (status, _) = send(&server, "POST", "/api/cases", Some(case())).await;
        seen.push((status, server.with(|standin| standin.cases.len())));
    }
    assert_eq!(seen, [(429, 0), (502, 1), (200, 2)]);
}
