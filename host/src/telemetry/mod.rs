//! What the program says about itself while it runs: log lines on standard error, and on a loopback port its metrics
//! and its health, which [`crate::web`] serves.

mod health;
mod logging;
mod metrics;
pub(crate) mod watchers;

pub use health::{Health, InputHealth, LATE_INTERVALS};
pub use logging::init_logging;
pub use metrics::Metrics;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The names are read from the source, as a family without a value is not in the text that is served.
    #[test]
    fn every_metric_is_described() {
        let source = include_str!("metrics.rs");
        let code = source.split("#[cfg(test)]").next().unwrap_or(source);
        let registered =
            ["registry.register(", "encode_descriptor("].into_iter().flat_map(|call| code.split(call).skip(1));
        let names: BTreeSet<&str> = registered.filter_map(|rest| rest.split('"').nth(1)).collect();
        assert!(names.len() >= 12 && names.contains("health") && names.contains("swept_documents"), "{names:?}");
        let docs = include_str!("../../../docs/operations.md");
        let words = docs.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let described = words.filter_map(|word| word.strip_prefix("tipline_"));
        let described: BTreeSet<&str> =
            described.map(|word| word.trim_end_matches("_total").trim_end_matches("_info")).collect();
        // What is described and is none would be an alert that never comes.
        assert_eq!(described, names, "docs/operations.md describes each metric and no other");
    }
}
