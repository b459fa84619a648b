//! Elastic's Cloud ID: `name:base64`, where the base64 holds `host$elasticsearch$kibana`.
//!
//! The deployment's Elasticsearch is `https://elasticsearch.host`; a port may stand behind either part, else it is 443.
//! Kibana's part may be missing and is not used. The name is for people only.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use url::Url;

/// Some copy it without the `=` at its end.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The address of a deployment's Elasticsearch, or what is wrong with its id. The id is no secret.
pub(super) fn host(id: &str) -> Result<Url, &'static str> {
    let (_, coded) = id.trim().rsplit_once(':').ok_or("has no `:` between a name and the rest")?;
    let bytes = ENGINE.decode(coded).map_err(|_| "is no base64 behind its `:`")?;
    let text = String::from_utf8(bytes).map_err(|_| "is no text in its base64")?;
    let mut parts = text.split('$').map(str::trim);
    let (Some(domain), Some(cluster)) = (parts.next(), parts.next()) else {
        return Err("has no `$` between a host and an Elasticsearch in its base64");
    };
    let (domain, domain_port) = with_port(domain)?;
    let (cluster, cluster_port) = with_port(cluster)?;
    // Only then is what comes out one name, and nothing of it a path, a user or another host.
    let is_name = |name: &str, dots: bool| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || (dots && c == '.'))
    };
    if !is_name(domain, true) {
        return Err("names no host in its base64");
    }
    if cluster == "undefined" || !is_name(cluster, false) {
        return Err("names no Elasticsearch in its base64");
    }
    let port = cluster_port.or(domain_port).unwrap_or(443);
    Url::parse(&format!("https://{cluster}.{domain}:{port}")).map_err(|_| "names no host in its base64")
}

fn with_port(part: &str) -> Result<(&str, Option<u16>), &'static str> {
    match part.split_once(':') {
        None => Ok((part, None)),
        Some((name, port)) => Ok((name, Some(port.parse().map_err(|_| "has a port that is no number in its base64")?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> String {
        format!("my deployment:{}", ENGINE.encode(text))
    }

    #[test]
    fn a_deployment_has_one_address() {
        for (text, expected) in [
            ("eu-west-1.aws.found.io$4fa88a$kib01", "https://4fa88a.eu-west-1.aws.found.io/"),
            ("us-east-1.aws.elastic-cloud.com$ab-12", "https://ab-12.us-east-1.aws.elastic-cloud.com/"),
            ("found.io:9243$4fa88a$kib01", "https://4fa88a.found.io:9243/"),
            ("found.io$4fa88a:9244$kib01:9245", "https://4fa88a.found.io:9244/"),
            ("found.io:443$4fa88a$", "https://4fa88a.found.io/"),
        ] {
            assert_eq!(host(&id(text)).map(String::from).as_deref(), Ok(expected), "{text}");
            assert_eq!(host(id(text).trim_end_matches('=')).map(String::from).as_deref(), Ok(expected), "{text}");
        }
        // A name may hold colons.
        assert!(host(&format!("a:{}", id("found.io$4fa88a$kib01"))).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (given, expected) in [
            ("4fa88a".to_owned(), "has no `:`"),
            ("name:not base64".to_owned(), "is no base64"),
            (format!("name:{}", ENGINE.encode(b"\xff\xfe$x")), "is no text"),
            (id("found.io"), "has no `$`"),
            (id("$4fa88a$kib01"), "names no host"),
            (id("evil.example/$4fa88a$kib01"), "names no host"),
            (id("found.io$$kib01"), "names no Elasticsearch"),
            (id("found.io$undefined$kib01"), "names no Elasticsearch"),
            (id("found.io$user@evil.example/$kib01"), "names no Elasticsearch"),
            (id("found.io:x$4fa88a$kib01"), "has a port"),
        ] {
            assert!(host(&given).unwrap_err().starts_with(expected), "{given}: {:?}", host(&given));
        }
    }
}
