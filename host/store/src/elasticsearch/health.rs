//! What `tipline check` finds out about the output: one finding for each question, with what to do.
//!
//! It asks in the order in which things go wrong (reachable, credential, privileges, set-up, blocks, seen by Kibana) and goes
//! on after a fault where later questions still make sense. Clusters differ in what they answer: where one does not
//! have an endpoint, the finding says that it is not known, which is no fault.

use reqwest::Method;
use serde_json::{Value, json};

use super::Elasticsearch;
use super::client::{Call, encoded};
use super::explain::{CLOSED, closed_text, is_put_off, request_needs_person, stranger};
use super::finding::{Finding, Level, finding};
use super::setup::{ALIAS, Inspection, backing_number};
use tipline_config::Mode;

/// What `run` needs on the index; without it nothing can be stored, or nothing ends.
const TO_RUN: [&str; 5] = ["read", "index", "create_doc", "delete", "view_index_metadata"];

/// What `run` needs on the data stream of events mode.
const TO_RUN_EVENTS: [&str; 2] = ["create_doc", "auto_configure"];

/// What is better to have on either; without it less is seen, and nothing is lost.
const TO_SEE: [&str; 1] = ["maintenance"];

/// What is better to have on the data stream: `search` and `verify` read it, `check` and `setup` look at its fields.
const TO_SEE_EVENTS: [&str; 3] = ["read", "view_index_metadata", "maintenance"];

/// What `setup` needs of the cluster.
const TO_SET_UP_CLUSTER: [&str; 1] = ["manage_index_templates"];

/// What `setup` needs on index and alias, or data stream.
const TO_SET_UP: [&str; 3] = ["create_index", "manage", "view_index_metadata"];

/// What blocks writes to an index, with what to do. `{index}` stands for its name.
const BLOCKS: [(&str, &str); 5] = [
    ("index.verified_before_close", CLOSED),
    (
        "index.blocks.read_only_allow_delete",
        "The disk is past its flood stage, so Elasticsearch takes no documents for {index} \
         (`index.blocks.read_only_allow_delete`). Free disk space or add a node; Elasticsearch lifts the block itself then.",
    ),
    (
        "index.blocks.write",
        "{index} is blocked for writing (`index.blocks.write`). If nobody meant it, lift the block: PUT {index}/_settings \
         {\"index.blocks.write\": null}",
    ),
    (
        "index.blocks.read_only",
        "{index} is read-only (`index.blocks.read_only`). If nobody meant it, lift the block: PUT {index}/_settings \
         {\"index.blocks.read_only\": null}",
    ),
    (
        "index.blocks.metadata",
        "Fields and settings of {index} can be neither read nor changed (`index.blocks.metadata`), which `tipline setup` does. \
         If nobody meant it, lift the block: PUT {index}/_settings {\"index.blocks.metadata\": null}",
    ),
];

/// What blocks a whole cluster.
const CLUSTER_BLOCKS: [&str; 2] = ["cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete"];

/// Kibana's default threat index.
const KIBANA_PATTERN: &str = "logs-ti_*";

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
        self.find_pipelines(&mut findings).await;
        self.find_blocks(&mut findings).await;
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
        // One that may not be asked for its version has no such doubt.
        let is_told = answer.is_elastic || answer.json().pointer("/version/number").is_some();
        let stranger = stranger(&self.client, &answer).filter(|_| !is_told && answer.status != 401);
        if let Some(stranger) = stranger.filter(|_| !is_put_off(answer.status)) {
            findings.push(finding("connection", Level::Fault, stranger));
            return false;
        }
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
        let index = &self.settings.index;
        let (to_run, to_see): (&[&str], &[&str]) = match self.settings.mode {
            Mode::Latest => (&TO_RUN, &TO_SEE),
            Mode::Events => (&TO_RUN_EVENTS, &TO_SEE_EVENTS),
        };
        let set_up: &[&str] = match self.settings.mode {
            Mode::Latest => &[index, ALIAS],
            Mode::Events => &[index],
        };
        let of_index: Vec<&str> = to_run.iter().chain(to_see).chain(&TO_SET_UP).copied().collect();
        let mut body = json!({ "cluster": TO_SET_UP_CLUSTER, "index": [{ "names": [index], "privileges": of_index }] });
        if let (Mode::Latest, Some(wanted)) = (self.settings.mode, body["index"].as_array_mut()) {
            wanted.push(json!({ "names": [ALIAS], "privileges": TO_SET_UP }));
        }
        let call = Call::new(Method::POST, "/_security/user/_has_privileges").json(&body);
        let answer = match self.ask(call).await {
            Ok(answer) => answer,
            Err(error) => return findings.push(finding("privileges", Level::Fault, error.to_string())),
        };
        let json = answer.json();
        let is_told = json.get("index").and_then(|index| index.get(&self.settings.index)).is_some_and(Value::is_object);
        if !is_told || answer.status != 200 {
            let text = format!(
                "This cluster does not say what the credential may do ({}); the first page will tell. Needed on {index}: {}.",
                answer.status,
                to_run.join(", ")
            );
            return findings.push(finding("privileges", Level::Warning, text));
        }
        let lacks = |place: Option<&Value>, wanted: &[&str]| -> Vec<String> {
            let has = |name: &str| place.and_then(|place| place.get(name)) == Some(&Value::Bool(true));
            wanted.iter().filter(|name| !has(name)).map(|name| format!("`{name}`")).collect()
        };
        let on = |name: &str| json.get("index").and_then(|index| index.get(name));
        let lacking = lacks(on(index), to_run);
        findings.push(if lacking.is_empty() {
            finding(
                "privileges",
                Level::Good,
                format!("The credential has every privilege on {index} that `run` needs."),
            )
        } else {
            let text = format!(
                "The credential lacks {} on {index}. Add them to its role, or make a new key: {}.",
                lacking.join(", "),
                to_run.join(", ")
            );
            finding("privileges", Level::Fault, text)
        });
        let lacking = lacks(on(index), to_see);
        if !lacking.is_empty() {
            let without = lacking.iter().map(|privilege| match privilege.as_str() {
                "`maintenance`" => "a sweep or `verify` may miss the last second's documents",
                "`read`" => "`search`, `show` and `verify` cannot read",
                _ => "`check` cannot look at everything",
            });
            let text = format!(
                "Without {} on {index} less is seen and nothing lost: {}.",
                lacking.join(", "),
                without.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
            );
            findings.push(finding("privileges", Level::Warning, text));
        }
        let mut lacking = lacks(json.get("cluster"), &TO_SET_UP_CLUSTER);
        lacking.extend(set_up.iter().flat_map(|name| {
            lacks(on(name), &TO_SET_UP).into_iter().map(move |privilege| format!("{privilege} on {name}"))
        }));
        if !lacking.is_empty() {
            let text = format!(
                "`tipline setup` needs another credential, as this one lacks {}; `run` does without.",
                lacking.join(", ")
            );
            findings.push(finding("privileges", Level::Good, text));
        }
    }

    /// Whether the index takes documents now.
    async fn find_blocks(&self, findings: &mut Vec<Finding>) {
        let index = &self.settings.index;
        let path = format!("/{}/_settings?flat_settings=true", encoded(index));
        // Not filtered: a flat name is one key with dots in it, which `filter_path` takes for several.
        let Ok(answer) = self.ask(Call::get(path)).await else { return };
        match answer.status.as_u16() {
            200 => {}
            _ if answer.error_type().as_deref() == Some("cluster_block_exception") => {
                let text = BLOCKS.last().map(|(_, text)| text.replace("{index}", index)).unwrap_or_default();
                return findings.push(finding("blocks", Level::Fault, text));
            }
            // That it is missing is the set-up's finding.
            404 => return,
            _ => {
                let text = format!(
                    "The credential may not look at the settings of {index}, so it is not known whether it is blocked for writing."
                );
                return findings.push(finding("blocks", Level::Warning, text));
            }
        }
        let json = answer.json();
        // Of a data stream the last one takes the writes.
        let settings = json.as_object().and_then(|indices| {
            indices.iter().max_by_key(|(name, _)| backing_number(name)).and_then(|(_, index)| index.get("settings"))
        });
        let is_set = |settings: Option<&Value>, name: &str| {
            settings.and_then(|all| all.get(name)).is_some_and(|value| value == "true" || value == true)
        };
        let mut faults: Vec<String> = BLOCKS
            .iter()
            .filter(|(name, _)| is_set(settings, name))
            .map(|(_, text)| text.replace("{index}", index))
            .collect();
        // Serverless has no such settings, and a credential need not be allowed to see them.
        let path = "/_cluster/settings?flat_settings=true";
        if let Ok(answer) = self.ask(Call::get(path)).await
            && answer.status == 200
        {
            let json = answer.json();
            let blocked = CLUSTER_BLOCKS
                .iter()
                .filter(|name| ["persistent", "transient"].iter().any(|kind| is_set(json.get(kind), name)));
            faults.extend(blocked.map(|name| {
                format!(
                    "The whole cluster is read-only (`{name}`). If nobody meant it, lift the block: PUT _cluster/settings \
                     {{\"persistent\": {{\"{name}\": null}}}}"
                )
            }));
        }
        if faults.is_empty() {
            findings.push(finding("blocks", Level::Good, format!("{index} is not blocked for writing.")));
        }
        findings.extend(faults.into_iter().map(|text| finding("blocks", Level::Fault, text)));
    }

    async fn find_setup(&self, findings: &mut Vec<Finding>) {
        match self.inspect_setup().await {
            Ok(Inspection { report, faults }) => {
                if !report.done.is_empty() {
                    findings.push(finding("setup", Level::Good, format!("{}.", report.done.join("; "))));
                }
                findings.extend(report.warnings.into_iter().map(|text| finding("setup", Level::Warning, text)));
                findings.extend(faults.into_iter().map(|text| finding("setup", Level::Fault, text)));
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
            // A closed index is in no pattern.
            (false, _) if findings.iter().any(|finding| finding.text == closed_text(index)) => {
                finding("kibana", Level::Warning, format!("Kibana's threat index {KIBANA_PATTERN} sees {index} only once it is open."))
            }
            (false, Mode::Events) => finding(
                "kibana",
                Level::Warning,
                format!(
                    "Kibana's threat index {KIBANA_PATTERN} does not see {index}, and `mode: events` makes no alias for it. Add \
                     {index} to `securitySolution:defaultThreatIndex` in Kibana's advanced settings, or to each indicator rule."
                ),
            ),
            (false, _) => finding(
                "kibana",
                Level::Fault,
                format!("Kibana's threat index {KIBANA_PATTERN} does not see {index}, so indicator rules won't match. Run `tipline setup`."),
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_privileges_stand_in_the_readme() {
        let readme = include_str!("../../../../README.md");
        let section = readme.split("### Privileges").nth(1).unwrap().split("\n#").next().unwrap();
        for privilege in TO_RUN.iter().chain(&TO_RUN_EVENTS).chain(&TO_SEE).chain(&TO_SEE_EVENTS).chain(&TO_SET_UP) {
            assert!(section.contains(&format!("`{privilege}`")), "{privilege}");
        }
        assert!(section.contains(&format!("`{}`", TO_SET_UP_CLUSTER[0])));
    }
}
