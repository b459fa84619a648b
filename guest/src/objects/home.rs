//! Where the values of a pattern go: for each kind of object what it is in ECS, and the field of each of its properties.
//!
//! Also what is no value alone, as it would fit too much (a size, a protocol), and what of an object's properties speaks of
//! another object: a process' parent, the address a name resolves to. A file's directory and content, a message's sender and
//! attachments and a process' own binary are parts of what they belong to.

use std::borrow::Cow;

use tipline_observable::Label;
use tipline_stix::pattern::{Literal, LiteralKind, Pattern, Step, Test};

/// What a property is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// A value to be told apart.
    Value(Label),
    /// The address of a message's recipient: a value only where there is no other.
    Recipient,
    /// The type of the address that stands beside it.
    Hint,
    /// A port.
    Port,
    /// Text for a field.
    Field(&'static str),
    /// A hash, its algorithm last in the path.
    Hash,
    /// A registry key.
    RegistryKey,
    /// A distinguished name, by the field before its parts.
    Distinguished(&'static [(&'static str, &'static str)], &'static str),
    /// How a name is encoded, or when an object was made or used: nothing that would narrow a claim.
    Detail,
    /// Nothing that has a field.
    None,
}

/// The ECS type of an object; `None` where it has none.
pub(crate) fn ecs_type(object: &str) -> Option<&'static str> {
    Some(match object {
        "ipv4-addr" => "ipv4-addr",
        "ipv6-addr" => "ipv6-addr",
        "domain-name" | "hostname" | "x-opencti-hostname" => "domain-name",
        "url" => "url",
        "email-addr" | "email-message" => "email-addr",
        "file" => "file",
        "artifact" => "artifact",
        "directory" => "directory",
        "mac-addr" => "mac-addr",
        "mutex" => "mutex",
        "process" => "process",
        "software" => "software",
        "user-account" => "user-account",
        "windows-registry-key" | "win-registry-key" => "windows-registry-key",
        "x509-certificate" => "x509-certificate",
        "autonomous-system" => "autonomous-system",
        _ => return None,
    })
}

/// Types of objects that are known here and have no type in ECS.
const OTHERS: [&str; 4] = [TRAFFIC, "user-agent", "cryptocurrency-wallet", "x-opencti-user-agent"];
/// Those that have one.
const TYPES: [&str; 20] = [
    "artifact",
    "autonomous-system",
    "directory",
    "domain-name",
    "email-addr",
    "email-message",
    "file",
    "hostname",
    "ipv4-addr",
    "ipv6-addr",
    "mac-addr",
    "mutex",
    "process",
    "software",
    "url",
    "user-account",
    "win-registry-key",
    "windows-registry-key",
    "x-opencti-hostname",
    "x509-certificate",
];

/// The type that is meant by one in another case, with underscores, or with its words in one: `IPv4-Addr`, `domain_name`,
/// `EmailAddr`. A type that is not known here is itself.
pub(crate) fn known(object: &str) -> &str {
    if ecs_type(object).is_some() || object == TRAFFIC {
        return object;
    }
    fn plain(text: &str) -> impl Iterator<Item = u8> {
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase())
    }
    TYPES.into_iter().chain(OTHERS).find(|known| plain(known).eq(plain(object))).unwrap_or(object)
}

const SUBJECT: &[(&str, &str)] = &[
    ("C", "threat.indicator.x509.subject.country"),
    ("CN", "threat.indicator.x509.subject.common_name"),
    ("L", "threat.indicator.x509.subject.locality"),
    ("O", "threat.indicator.x509.subject.organization"),
    ("OU", "threat.indicator.x509.subject.organizational_unit"),
    ("ST", "threat.indicator.x509.subject.state_or_province"),
];
const ISSUER: &[(&str, &str)] = &[
    ("C", "threat.indicator.x509.issuer.country"),
    ("CN", "threat.indicator.x509.issuer.common_name"),
    ("L", "threat.indicator.x509.issuer.locality"),
    ("O", "threat.indicator.x509.issuer.organization"),
    ("OU", "threat.indicator.x509.issuer.organizational_unit"),
    ("ST", "threat.indicator.x509.issuer.state_or_province"),
];

/// Where a property goes. Indexes are left out of the path.
pub(crate) fn home(object: &str, path: &str) -> Home {
    let own = |field| Home::Field(field);
    match (object, path) {
        ("ipv4-addr", "value") => Home::Value(Label::Ipv4),
        ("ipv6-addr", "value") => Home::Value(Label::Ipv6),
        ("domain-name" | "hostname" | "x-opencti-hostname", "value") => Home::Value(Label::Domain),
        ("url", "value") => Home::Value(Label::Url),
        ("email-addr", "value") => Home::Value(Label::Email),
        // A reference has no text of its own, but not all who write patterns know.
        ("email-message", "from_ref.value" | "from_ref" | "sender_ref.value" | "sender_ref") => {
            Home::Value(Label::Email)
        }
        (
            "email-message",
            "to_refs.value" | "to_refs" | "cc_refs.value" | "cc_refs" | "bcc_refs.value" | "bcc_refs",
        ) => Home::Recipient,
        ("email-message", "subject") => own("socdefenders.ioc.email.subject"),
        ("email-message", "body_multipart.body_raw_ref.name") => own("threat.indicator.file.name"),
        ("email-message", "message_id") => own("socdefenders.ioc.email.message_id"),
        (TRAFFIC, "dst_ref.value" | "src_ref.value") => Home::Value(Label::Other),
        (TRAFFIC, "dst_ref.type" | "src_ref.type") => Home::Hint,
        (TRAFFIC, "dst_port" | "src_port") => Home::Port,
        (TRAFFIC, "protocols") => own("socdefenders.ioc.protocols"),
        ("file" | "artifact", "name") => own("threat.indicator.file.name"),
        ("file", "path") => own("threat.indicator.file.path"),
        ("file", "parent_directory_ref.path") | ("directory", "path") => own("threat.indicator.file.directory"),
        ("file", "size") => own("threat.indicator.file.size"),
        ("file" | "artifact", "mime_type") => own("threat.indicator.file.mime_type"),
        ("file", "extensions.windows-pebinary-ext.imphash") => own("threat.indicator.file.pe.imphash"),
        ("windows-registry-key" | "win-registry-key", "key") => Home::RegistryKey,
        ("windows-registry-key" | "win-registry-key", "values.name") => own("threat.indicator.registry.value"),
        ("windows-registry-key" | "win-registry-key", "values.data") => own("threat.indicator.registry.data.strings"),
        ("windows-registry-key" | "win-registry-key", "values.data_type") => own("threat.indicator.registry.data.type"),
        ("x509-certificate", "serial_number") => own("threat.indicator.x509.serial_number"),
        ("x509-certificate", "signature_algorithm") => own("threat.indicator.x509.signature_algorithm"),
        ("x509-certificate", "subject_public_key_algorithm") => own("threat.indicator.x509.public_key_algorithm"),
        ("x509-certificate", "version") => own("threat.indicator.x509.version_number"),
        ("x509-certificate", "validity_not_before") => own("threat.indicator.x509.not_before"),
        ("x509-certificate", "validity_not_after") => own("threat.indicator.x509.not_after"),
        ("x509-certificate", "subject") => {
            Home::Distinguished(SUBJECT, "threat.indicator.x509.subject.distinguished_name")
        }
        ("x509-certificate", "issuer") => {
            Home::Distinguished(ISSUER, "threat.indicator.x509.issuer.distinguished_name")
        }
        ("autonomous-system", "number") => own("threat.indicator.as.number"),
        ("autonomous-system", "name") => own("threat.indicator.as.organization.name"),
        ("mac-addr", "value") => own("socdefenders.ioc.mac"),
        ("mutex", "name") => own("socdefenders.ioc.mutex"),
        ("process", "name") => own("socdefenders.ioc.process.name"),
        ("process", "command_line") => own("socdefenders.ioc.process.command_line"),
        ("process", "pid") => own("socdefenders.ioc.process.pid"),
        ("process", "cwd") => own("socdefenders.ioc.process.working_directory"),
        ("process", "image_ref.name" | "binary_ref.name") => own("socdefenders.ioc.process.executable"),
        ("software", "name") => own("socdefenders.ioc.software.name"),
        ("software", "vendor") => own("socdefenders.ioc.software.vendor"),
        ("software", "cpe") => own("socdefenders.ioc.software.cpe"),
        ("software", "version") => own("socdefenders.ioc.software.version"),
        ("user-account", "user_id") => own("socdefenders.ioc.user.id"),
        ("user-account", "account_login") => own("socdefenders.ioc.user.name"),
        ("user-account", "display_name") => own("socdefenders.ioc.user.full_name"),
        ("user-account", "account_type") => own("socdefenders.ioc.user.type"),
        (
            "file" | "directory",
            "name_enc" | "path_enc" | "ctime" | "mtime" | "atime" | "created" | "modified" | "accessed",
        )
        | ("process", "created" | "created_time") => Home::Detail,
        ("file" | "artifact" | "x509-certificate", path) if is_hash(path) => Home::Hash,
        ("process", path)
            if path.strip_prefix("image_ref.").or_else(|| path.strip_prefix("binary_ref.")).is_some_and(is_hash) =>
        {
            Home::Hash
        }
        _ => Home::None,
    }
}

/// Whether a property can be what its object is known by. A size, a protocol or a date fits too much, a port as well.
pub(crate) fn tells(home: Home) -> bool {
    match home {
        Home::Field(field) => !is_general(field),
        Home::Value(_) | Home::Recipient | Home::Hash | Home::RegistryKey | Home::Distinguished(..) => true,
        Home::Hint | Home::Port | Home::Detail | Home::None => false,
    }
}

/// Whether a field says nothing alone.
pub(crate) fn is_general(field: &str) -> bool {
    matches!(
        field,
        "threat.indicator.file.size"
            | "threat.indicator.file.mime_type"
            | "threat.indicator.registry.data.type"
            | "threat.indicator.x509.signature_algorithm"
            | "threat.indicator.x509.public_key_algorithm"
            | "threat.indicator.x509.version_number"
            | "threat.indicator.x509.not_before"
            | "threat.indicator.x509.not_after"
            | "socdefenders.ioc.protocols"
            | "socdefenders.ioc.process.pid"
            | "socdefenders.ioc.process.working_directory"
            | "socdefenders.ioc.software.vendor"
            | "socdefenders.ioc.software.version"
            | "socdefenders.ioc.user.type"
    )
}

/// References whose objects are parts of those that hold them.
const OWN_REFERENCES: [&str; 12] = [
    "bcc_refs",
    "binary_ref",
    "body_raw_ref",
    "cc_refs",
    "content_ref",
    "dst_ref",
    "from_ref",
    "image_ref",
    "parent_directory_ref",
    "sender_ref",
    "src_ref",
    "to_refs",
];

/// Whether a property speaks of another object.
pub(crate) fn is_foreign(path: &str) -> bool {
    path.split('.').any(|step| (step.ends_with("_ref") || step.ends_with("_refs")) && !OWN_REFERENCES.contains(&step))
}

/// What a property behind a reference is where it stands alone: the type of the object that is referred to, and the
/// property there.
pub(crate) fn behind(path: &str) -> Option<(&'static str, String)> {
    // Most have none.
    if !path.contains('_') {
        return None;
    }
    let steps: Vec<&str> = path.split('.').collect();
    let last = steps.iter().rposition(|step| step.ends_with("_ref") || step.ends_with("_refs"))?;
    let property = steps.get(last.saturating_add(1)..)?.join(".");
    let object = match *steps.get(last)? {
        "contains_refs" | "body_raw_ref" => "file",
        "parent_ref" | "child_refs" => "process",
        "creator_user_ref" => "user-account",
        "belongs_to_refs" => "autonomous-system",
        // Whose kind of address is not said.
        "resolves_to_refs" | "src_ref" | "dst_ref" if property == "value" => {
            return Some((TRAFFIC, "dst_ref.value".to_owned()));
        }
        _ => return None,
    };
    Some((object, property))
}

/// The object whose ends are addresses and names.
pub(crate) const TRAFFIC: &str = "network-traffic";

/// The word and the field of a text that is a value of its own although no object of ECS has a field for it; the word is
/// part of its identity. Of an object that STIX does not know that is any property but a custom one; of the others those
/// that are compared elsewhere: user agents, fingerprints of TLS, headers, names of services.
pub(crate) fn bare(object: &str, path: &str) -> Option<(Cow<'static, str>, &'static str)> {
    if let Some(known) = fingerprint(object, path).or_else(|| named(object, path)) {
        return Some((Cow::Borrowed(known.0), known.1));
    }
    let is_bare = match object {
        "email-message" => path.starts_with("additional_header_fields."),
        "process" => path == "extensions.windows-service-ext.service_name",
        // Their names are of any form and nobody compares them with what is seen.
        "attack-pattern" | "vulnerability" | "malware" | "tool" | "threat-actor" | "intrusion-set" | "campaign"
        | "software" | TRAFFIC => false,
        _ => ecs_type(object).is_none() && !path.split('.').any(|name| name.starts_with("x_")),
    };
    is_bare.then(|| (Cow::Owned(format!("{object}:{path}")), "socdefenders.ioc.value"))
}

/// What a sensor makes of a connection, and what it is called there.
const FINGERPRINTS: [(&str, &str); 10] = [
    ("ja3", "socdefenders.ioc.tls.ja3"),
    ("ja3s", "socdefenders.ioc.tls.ja3s"),
    ("ja4", "socdefenders.ioc.tls.ja4"),
    ("ja4s", "socdefenders.ioc.tls.ja4s"),
    ("ja4h", "socdefenders.ioc.tls.ja4h"),
    ("ja4x", "socdefenders.ioc.tls.ja4x"),
    ("ja4t", "socdefenders.ioc.tls.ja4t"),
    ("ja4l", "socdefenders.ioc.tls.ja4l"),
    ("jarm", "socdefenders.ioc.tls.jarm"),
    ("hassh", "socdefenders.ioc.hassh"),
];

/// A fingerprint, by a word in the object's or the property's name: `x-ja4:value`, `network-traffic:x_misp_ja3_fingerprint_md5`.
fn fingerprint(object: &str, path: &str) -> Option<(&'static str, &'static str)> {
    if !is_own(object) && object != TRAFFIC && object != "x509-certificate" {
        return None;
    }
    // The last of them says most: `extensions.x-ja3-ext.ja3s` is the server's.
    let mut words = path.rsplit(['.', '_', '-']).chain(object.rsplit('-'));
    words.find_map(|word| FINGERPRINTS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).copied())
}

/// A user agent, a wallet.
fn named(object: &str, path: &str) -> Option<(&'static str, &'static str)> {
    let name = path.rsplit('.').next().unwrap_or(path);
    let plain: String = name.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect();
    let is_value = matches!(path, "value" | "address" | "name" | "string");
    let is_agent = (matches!(object, TRAFFIC | "http-request" | "http") && plain == "useragent")
        || (is_own(object) && object.ends_with("user-agent") && is_value);
    if is_agent {
        return Some(("user-agent", "socdefenders.ioc.user_agent"));
    }
    let is_wallet = is_own(object) && object.ends_with("wallet") && is_value;
    is_wallet.then_some(("cryptocurrency-wallet", "socdefenders.ioc.wallet"))
}

/// Whether STIX does not know this kind of object.
fn is_own(object: &str) -> bool {
    ecs_type(object).is_none() && object != TRAFFIC
}

/// `hashes.MD5`, and `hashes[*]` for any of them.
fn is_hash(path: &str) -> bool {
    path == "hashes" || path.strip_prefix("hashes.").is_some_and(|algorithm| !algorithm.contains('.'))
}

/// A path without its indexes, and the quotes of its names.
pub(crate) fn path<'p>(pattern: &'p Pattern<'_>, test: &Test<'_>) -> Cow<'p, str> {
    let mut path = Cow::Borrowed("");
    for step in pattern.steps(test) {
        if let Step::Name(name) = step {
            if path.is_empty() {
                // Most paths have one step.
                path = Cow::Borrowed(*name);
            } else {
                let path = path.to_mut();
                path.push('.');
                path.push_str(name);
            }
        }
    }
    path
}

/// Whether text can be a CVE or a technique where nothing else is known of it.
pub(crate) fn is_text(literal: &Literal<'_>) -> bool {
    literal.kind == LiteralKind::Text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_that_have_one_in_ecs_are_listed_and_no_others() {
        let (_, rest) = include_str!("home.rs").split_once("pub(crate) fn ecs_type(").unwrap();
        let (arms, _) = rest.split_once("_ => return None").unwrap();
        let patterns = arms.lines().filter_map(|line| line.split_once("=>")).map(|(pattern, _)| pattern);
        let mut matched: Vec<&str> = patterns.flat_map(|pattern| pattern.split('"').skip(1).step_by(2)).collect();
        matched.sort_unstable();
        assert_eq!(matched, TYPES);
        assert!(OTHERS.iter().all(|other| ecs_type(other).is_none()));
        for name in TYPES.into_iter().chain(OTHERS) {
            assert_eq!(known(&name.to_ascii_uppercase().replace('-', "_")), name);
        }
    }
}
