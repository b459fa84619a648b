//! What `tipline check` finds out about the output: one finding for each question, with what to do.
//!
//! It asks in the order in which things go wrong (reachable, credential, privileges, set-up, seen by Kibana) and goes
//! on after a fault where later questions still make sense. Clusters differ in what they answer: where one does not
//! have an endpoint, the finding says that it is not known, which is no fault.

use reqwest::Method;
use serde_json::{Value, json};

use super::Elasticsearch;
use super::bulk::request_needs_person;
use super::client::{Call, encoded};
use crate::SinkError;
use tipline_config::Mode;

/// Kibana's default threat index.
const KIBANA_PATTERN: &str = "logs-ti_*";

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// Works, but a person should know.
    Warning,
    /// Does not work.
    Fault,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `connection`, `credential`, `privileges`, `setup`, `kibana`, `lifecycle`.
    pub subject: &'static str,
    /// How bad.
    pub level: Level,
    /// In one or two sentences, with what to do.
    pub text: String,
}

impl Elasticsearch {
    /// Asks the cluster everything that must be right before documents go there. Writes nothing.
    pub async fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let is_reachable = self.find_cluster(&mut findings).await;
        if !is_reachable {
            return findings;
        }
        self.find_privileges(&mut findings).await;
        self.find_setup(&mut findings).await;
        if self.settings.mode == Mode::Events {
            let text = "`mode: events` keeps history: it can't renew or retire, so documents match until Kibana's look-back of 30 days is over.";
            findings.push(finding("lifecycle", Level::Warning, text));
        }
        self.find_for_kibana(&mut findings).await;
        findings
    }

    async fn find_cluster(&self, findings: &mut Vec<Finding>) -> bool {
        let answer = match self.ask(Call::get("/")).await {
            Ok(answer) => answer,
            Err(error) => {
                findings.push(finding("connection", Level::Fault, error.to_string()));
                return false;
            }
        };
        let version = answer.json().get("version").cloned().unwrap_or_default();
        let number = version.get("number").and_then(Value::as_str).map(|number| self.client.excerpt(number));
        let product = match (version.get("distribution").and_then(Value::as_str), answer.is_elastic) {
            (Some("opensearch"), _) => "OpenSearch",
            (_, true) if version.get("build_flavor") == Some(&json!("serverless")) => "Elasticsearch Serverless",
            (_, true) => "Elasticsearch",
            (_, false) => "A cluster that does not say what it is",
        };
        match answer.status.as_u16() {
            200 => {
                let text = format!("{product} {} answers at {}.", number.unwrap_or_default(), self.client.hosts());
                findings.push(finding("connection", Level::Good, text));
            }
            // A key that may only write documents may not ask for the version; some builds have no such endpoint.
            400 | 403 | 405 => {
                let text = format!("{product} answers at {}, without telling its version.", self.client.hosts());
                findings.push(finding("connection", Level::Good, text));
            }
            401 => findings.push(finding("credential", Level::Fault, request_needs_person(&self.client, &answer))),
            _ => {
                findings.push(finding("connection", Level::Fault, request_needs_person(&self.client, &answer)));
                return false;
            }
        }
        answer.status != 401
    }

    async fn find_privileges(&self, findings: &mut Vec<Finding>) {
        if !self.client.has_credential() {
            findings.push(finding(
                "credential",
                Level::Warning,
                "No credential is set; the cluster lets everybody in.",
            ));
            return;
        }
        let needed: &[&str] = match self.settings.mode {
            Mode::Latest => &["read", "index", "create_doc", "delete", "view_index_metadata", "maintenance"],
            Mode::Events => &["create_doc", "auto_configure"],
        };
        let body = json!({ "index": [{ "names": [self.settings.index], "privileges": needed }] });
        let call = Call::new(Method::POST, "/_security/user/_has_privileges").json(&body);
        let answer = match self.ask(call).await {
            Ok(answer) => answer,
            Err(error) => return findings.push(finding("privileges", Level::Fault, error.to_string())),
        };
        let json = answer.json();
        let granted = json.get("index").and_then(|index| index.get(&self.settings.index)).and_then(Value::as_object);
        let (Some(granted), 200) = (granted, answer.status.as_u16()) else {
            let text = format!(
                "This cluster does not say what the credential may do ({}); the first page will tell.",
                answer.status
            );
            return findings.push(finding("privileges", Level::Warning, text));
        };
        let lacking: Vec<&str> =
            needed.iter().copied().filter(|name| granted.get(*name) != Some(&Value::Bool(true))).collect();
        let index = &self.settings.index;
        match lacking.as_slice() {
            [] => findings.push(finding("privileges", Level::Good, format!("The credential has every privilege needed on {index}."))),
            // Only makes a sweep see the last second.
            ["maintenance"] => findings.push(finding(
                "privileges",
                Level::Good,
                format!("The credential has every privilege needed on {index} (without `maintenance`, a sweep may miss the last second's documents)."),
            )),
            lacking => findings.push(finding(
                "privileges",
                Level::Fault,
                format!("The credential lacks {} on {index}. Add them to its role, or make a new key.", lacking.join(", ")),
            )),
        }
    }

    async fn find_setup(&self, findings: &mut Vec<Finding>) {
        match self.check_setup().await {
            Ok(report) => {
                if !report.done.is_empty() {
                    findings.push(finding("setup", Level::Good, format!("{}.", report.done.join("; "))));
                }
                findings.extend(report.warnings.into_iter().map(|text| finding("setup", Level::Warning, text)));
            }
            Err(SinkError::Setup(text) | SinkError::Unavailable(text)) => {
                findings.push(finding("setup", Level::Fault, text));
            }
            Err(error) => findings.push(finding("setup", Level::Fault, error.to_string())),
        }
    }

    async fn find_for_kibana(&self, findings: &mut Vec<Finding>) {
        let path = format!("/{}/_mapping?filter_path=*.mappings.dynamic,error", encoded(KIBANA_PATTERN));
        // The asterisk is a pattern here.
        let path = path.replace("%2A", "*");
        let Ok(answer) = self.ask(Call::get(path)).await else { return };
        if answer.status == 403 {
            let text = format!(
                "The credential may not look at {KIBANA_PATTERN}, so it is not known whether Kibana's rules see the index."
            );
            return findings.push(finding("kibana", Level::Warning, text));
        }
        let json = answer.json();
        let stream = format!(".ds-{}-", self.settings.index);
        let is_seen = json.as_object().is_some_and(|indices| {
            indices.keys().any(|name| *name == self.settings.index || name.starts_with(&stream))
        });
        let index = &self.settings.index;
        findings.push(match (is_seen, self.settings.mode) {
            (true, _) => finding("kibana", Level::Good, format!("Kibana's threat index {KIBANA_PATTERN} sees {index}.")),
            (false, Mode::Events) if index.starts_with("logs-ti_") => {
                finding("kibana", Level::Good, format!("Kibana's threat index {KIBANA_PATTERN} will see {index} from its first document on."))
            }
            (false, _) => finding(
                "kibana",
                Level::Fault,
                format!("Kibana's threat index {KIBANA_PATTERN} does not see {index}, so indicator rules won't match. Run `tipline setup`."),
            ),
        });
    }
}

fn finding(subject: &'static str, level: Level, text: impl Into<String>) -> Finding {
    Finding { subject, level, text: text.into() }
}
