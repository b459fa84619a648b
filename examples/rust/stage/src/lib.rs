//! A stage of a pipeline that imports Tipline's mapper.

use serde_json::Value;

wit_bindgen::generate!({ world: "example:stage/stage", path: ["../../../wit", "wit"], generate_all });

use tipline::input::mapper::{Batch, Failure, map_records};

struct Stage;
export!(Stage);

impl Guest for Stage {
    fn documents(config: String, observed: u64, records: String) -> Result<String, String> {
        Ok(map(&config, observed, &records)?.documents)
    }

    fn addresses(config: String, observed: u64, records: String) -> Result<Vec<String>, String> {
        let mut addresses = Vec::new();
        for line in map(&config, observed, &records)?.documents.lines() {
            let document: Value = serde_json::from_str(line).map_err(|e| e.to_string())?;
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

fn map(config: &str, observed: u64, records: &str) -> Result<Batch, String> {
    map_records(config, observed, records).map_err(|failure| match failure {
        Failure::Config(text)
        | Failure::Credential(text)
        | Failure::Forbidden(text)
        | Failure::Protocol(text)
        | Failure::State(text) => text,
    })
}
