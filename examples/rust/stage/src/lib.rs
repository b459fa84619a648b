//! A stage of a pipeline that imports Tipline's mapper.

use serde_json::Value;

wit_bindgen::generate!({ world: "example:stage/stage", path: ["../../../wit", "wit"], generate_all });

use tipline::input::mapper::{Batch, Failure, map_records};

struct Stage;
export!(Stage);

impl Guest for Stage {
    fn documents(config: String, observed: u64, records: Vec<u8>) -> Result<String, String> {
        Ok(map(&config, observed, &records)?.documents)
    }

    fn addresses(config: String, observed: u64, records: Vec<u8>) -> Result<Vec<String>, String> {
        let mut addresses = Vec::new();
        let batch = map(&config, observed, &records)?;
        for (line, head) in batch.documents.lines().zip(&batch.heads) {
            // What has ended is not worth blocking, and its head says so.
            if head.expires.is_some_and(|expires| expires <= observed) {
                continue;
            }
            let document: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
            if document["event"]["type"][0] != "indicator" {
                continue;
            }
            let indicator = &document["threat"]["indicator"];
            if let (Some("High"), Some(ip)) = (indicator["confidence"].as_str(), indicator["ip"].as_str())
                && !addresses.iter().any(|known| known == ip)
            {
                addresses.push(ip.to_owned());
            }
        }
        Ok(addresses)
    }
}

fn map(config: &str, observed: u64, records: &[u8]) -> Result<Batch, String> {
    map_records(config, observed, records).map_err(|failure| match failure {
        Failure::Config(text)
        | Failure::Credential(text)
        | Failure::Forbidden(text)
        | Failure::Protocol(text)
        | Failure::State(text) => text,
    })
}
