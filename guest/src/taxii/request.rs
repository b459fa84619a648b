//! The requests: targets from the server's origin, with their final slash, and the `Accept` header in two forms.
//!
//! A target begins at the origin, not at `url`: an API root may lie beside the discovery that names it. Every request
//! for objects carries all its filters, whether it has a `next` or not; a server may refuse one that does not. Times
//! are written with microseconds, which the standard asks for and the reference server reads to the last digit.

use url::Url;

use super::instant::{Instant, write};
use super::state::Chain;
use crate::config::Config;
use crate::contract::Request;
use crate::objects::KINDS;

/// The longest path of a collection, in bytes: with as many collections as there may be, the state stays in its bounds.
pub(super) const LONGEST_PATH: usize = 256;

/// The media type as the standard has it.
pub(super) const WITH_VERSION: &str = "application/taxii+json;version=2.1";

/// For servers that know no parameter.
pub(super) const WITHOUT_VERSION: &str = "application/taxii+json";

/// What is wanted.
const INDICATORS: &str = "indicator";

/// What is wanted beside it with `context`: what is used of STIX.
const CONTEXT: &str = "identity,marking-definition,malware,tool,threat-actor,intrusion-set,attack-pattern,relationship,\
                       vulnerability";

/// The types asked for.
pub(super) fn types(config: &Config) -> String {
    let mut types = vec![INDICATORS];
    if config.context {
        types.push(CONTEXT);
    }
    if config.mapping.observables {
        types.extend(KINDS);
    }
    types.join(",")
}

/// Whether a type gives documents by itself.
pub(super) fn is_wanted(config: &Config, kind: &str) -> bool {
    kind == INDICATORS || config.mapping.observables && is_observable(kind)
}

/// Whether a type is one that `observables` would read.
pub(super) fn is_observable(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// A GET.
pub(super) fn get(target: String, plain: bool) -> Request {
    Request::get(target, if plain { WITHOUT_VERSION } else { WITH_VERSION })
}

/// A URL's path, with the final slash that the standard asks for.
pub(super) fn path(url: &Url) -> String {
    let path = url.path();
    if path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

/// The objects of a collection, so many and from there on, where that is said.
pub(super) fn objects(
    config: &Config,
    chain: &Chain,
    after: Option<Instant>,
    limit: Option<u32>,
    with_types: bool,
) -> String {
    let mut target = format!("{}objects/", chain.path);
    if let Some(limit) = limit {
        parameter("limit", &limit.to_string(), &mut target);
    }
    if let Some(after) = after {
        parameter("added_after", &after_text(after), &mut target);
    }
    if with_types {
        parameter("match%5Btype%5D", &types(config), &mut target);
    }
    if let Some(next) = &chain.next {
        parameter("next", next, &mut target);
    }
    target
}

fn after_text(after: Instant) -> String {
    let mut text = String::with_capacity(27);
    write(after, &mut text);
    text
}

fn parameter(name: &str, value: &str, target: &mut String) {
    target.push(if target.contains('?') { '&' } else { '?' });
    target.push_str(name);
    target.push('=');
    escape(value, target);
}

/// A text as a part of a path or a value of a query: all but the letters, digits and four signs that mean nothing
/// anywhere is written in hex.
pub(super) fn escape(text: &str, target: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            target.push(char::from(byte));
        } else {
            target.push('%');
            for digit in [byte >> 4, byte & 15] {
                target.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
}
