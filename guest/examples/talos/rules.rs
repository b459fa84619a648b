//! What Elastic's integration for custom STIX feeds takes out of a pattern, by its published ingest pipelines
//! (`ti_custom`, the pipelines `default` and `indicator-*`).
//!
//! The type is what the text begins with, letter by letter. The text is then cut at every AND and OR, also within quotes,
//! and each piece is held against the type's forms: an optional bracket, a path, `=`, and a value in quotes. A pattern
//! none of whose pieces has such a form gives a document without a value.

/// What stands behind the equals sign.
#[derive(Clone, Copy)]
enum Form {
    /// Anything in quotes.
    Text,
    /// An address in quotes, alone or as a range.
    Ip,
    /// A whole number, in quotes or not.
    Number,
}

type Path = (&'static str, Form);

/// The forms by what a pattern begins with.
const TYPES: [(&str, &[Path]); 9] = [
    ("[autonomous-system", &[("autonomous-system:number", Form::Number)]),
    (
        "[domain-name",
        &[
            ("domain-name:value", Form::Text),
            ("domain-name:resolves_to_refs[*].value", Form::Text),
            ("ipv4-addr:value", Form::Ip),
            ("ipv6-addr:value", Form::Ip),
        ],
    ),
    (
        "[email",
        &[
            ("email-addr:value", Form::Text),
            ("email-message:value", Form::Text),
            ("email-message:from_ref.value", Form::Text),
            ("email-message:to_refs[*].value", Form::Text),
        ],
    ),
    (
        "[file",
        &[
            ("file:hashes.md5", Form::Text),
            ("file:hashes.sha1", Form::Text),
            ("file:hashes.sha256", Form::Text),
            ("file:name", Form::Text),
        ],
    ),
    ("[ipv4-addr", ADDRESSES),
    ("[ipv6-addr", ADDRESSES),
    ("[url", &[("url:value", Form::Text)]),
    (
        "[windows-registry-key",
        &[
            ("windows-registry-key:key", Form::Text),
            ("windows-registry-value-type:name", Form::Text),
            ("windows-registry-value-type:data", Form::Text),
        ],
    ),
    (
        "[x509",
        &[
            ("x509-certificate:hashes.md5", Form::Text),
            ("x509-certificate:hashes.sha1", Form::Text),
            ("x509-certificate:hashes.sha256", Form::Text),
            ("x509-certificate:serial_number", Form::Text),
            ("x509-certificate:signature_algorithm", Form::Text),
            ("x509-certificate:version", Form::Text),
            ("x509-certificate:validity_not_after", Form::Text),
            ("x509-certificate:validity_not_before", Form::Text),
            ("x509-certificate:issuer", Form::Text),
            ("x509-certificate:subject", Form::Text),
        ],
    ),
];

const ADDRESSES: &[Path] = &[("ipv4-addr:value", Form::Ip), ("ipv6-addr:value", Form::Ip)];

/// Whether they take a value out of a pattern.
pub fn take_a_value(pattern: &str) -> bool {
    let Some((_, paths)) = TYPES.iter().find(|(begin, _)| pattern.starts_with(begin)) else { return false };
    pieces(pattern).any(|piece| {
        let piece = piece.strip_prefix('[').unwrap_or(piece);
        // The registry key alone may also be compared by LIKE.
        let like =
            piece.strip_prefix("windows-registry-key:key").map(str::trim_start).and_then(|p| p.strip_prefix("LIKE"));
        let (path, value) = match (like, piece.split_once('=')) {
            (Some(value), _) => ("windows-registry-key:key", value),
            (None, Some((path, value))) => (path.trim_end(), value),
            (None, None) => return false,
        };
        let plain = normal(path);
        paths.iter().any(|(known, form)| *known == plain && is_of(*form, value.trim_start()))
    })
}

/// The text between ANDs and ORs.
fn pieces(pattern: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(pattern);
    std::iter::from_fn(move || {
        let text = rest?;
        let is_space = |c: Option<char>| c.is_some_and(char::is_whitespace);
        let cut = ["AND", "OR"]
            .into_iter()
            .flat_map(|word| text.match_indices(word))
            .filter(|(at, word)| {
                is_space(text[..*at].chars().next_back()) && is_space(text[at + word.len()..].chars().next())
            })
            .min();
        rest = cut.map(|(at, word)| text[at + word.len()..].trim_start());
        Some(cut.map_or(text, |(at, _)| text[..at].trim_end()))
    })
}

/// A path as the table has it: an algorithm's name is compared without case, quotes and hyphen, anything else as it is.
fn normal(path: &str) -> String {
    match path.to_ascii_lowercase().split_once(":hashes.") {
        Some((object, algorithm)) => {
            format!("{object}:hashes.{}", algorithm.trim_matches('\'').replacen("sha-", "sha", 1))
        }
        None => path.to_owned(),
    }
}

fn is_of(form: Form, value: &str) -> bool {
    let quoted = value.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(text, _)| text);
    match form {
        Form::Text => quoted.is_some(),
        Form::Ip => quoted
            .map(|text| text.split_once('/').map_or(text, |(address, _)| address))
            .is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
        Form::Number => quoted.unwrap_or(value).starts_with(|c: char| c.is_ascii_digit()),
    }
}
