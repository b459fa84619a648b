//! What the guest gets of an input: its settings as JSON, without the host's own keys and without any secret.
//!
//! The guest has no files, so `exclude: [file:list.txt]` is read here, one entry a line, `#` for comments
//! at the beginning of a line or after white space.

use std::path::Path;

use serde_json::{Map, Value as Json};
use url::Url;

use super::tree::{Fault, Section, nearest};

/// The most entries of `exclude`, files included: the guest looks each record up among them.
pub const MAX_EXCLUDES: usize = 10_000;

/// The longest file of exclusions: ten thousand entries of 400 bytes.
pub const MAX_EXCLUDE_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Shorter keys have too many neighbours: `types` is the guest's, and no misspelt `type`.
const SHORTEST_MISSPELT: usize = 6;

/// The built-in guest's settings of an input, all keys but the host's own.
pub(super) fn settings(section: &Section<'_>, host_keys: &[&str], url: &Url, folder: &Path) -> Result<String, Fault> {
    for (key, _) in section.entries().filter(|(key, _)| !host_keys.contains(key)) {
        // The guest would name its own keys only.
        if let Some(near) = nearest(key, host_keys).filter(|near| near.len() >= SHORTEST_MISSPELT) {
            return Err(section.fault(key, format!("is no setting; did you mean `{near}`?")));
        }
    }
    let exclude = section.texts("exclude")?;
    let mut settings = Map::from_iter([("type".to_owned(), Json::from("socdefenders"))]);
    settings.extend(own(section, host_keys, url));
    put_excludes(&mut settings, section, exclude, folder)?;
    Ok(Json::Object(settings).to_string())
}

/// The settings of a guest of the user's own, which may have any keys but the host's. Where it has an `exclude` of the
/// built-in one's form, its files are read, as no guest can.
pub(super) fn settings_unchecked(
    section: &Section<'_>,
    host_keys: &[&str],
    url: &Url,
    folder: &Path,
) -> Result<String, Fault> {
    let mut settings = own(section, host_keys, url);
    put_excludes(&mut settings, section, section.texts("exclude").ok().flatten(), folder)?;
    Ok(Json::Object(settings).to_string())
}

/// `url` and all keys that are not the host's.
fn own(section: &Section<'_>, host_keys: &[&str], url: &Url) -> Map<String, Json> {
    let own = section.entries().filter(|(key, _)| !host_keys.contains(key));
    let url = ("url".to_owned(), Json::from(url.as_str()));
    std::iter::once(url).chain(own.map(|(key, node)| (key.to_owned(), node.to_json()))).collect()
}

fn put_excludes(
    settings: &mut Map<String, Json>,
    section: &Section<'_>,
    exclude: Option<Vec<&str>>,
    folder: &Path,
) -> Result<(), Fault> {
    if let Some(exclude) = exclude {
        settings.insert("exclude".to_owned(), excludes(section, &exclude, folder)?.into());
    }
    Ok(())
}

fn excludes(section: &Section<'_>, entries: &[&str], folder: &Path) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    for entry in entries {
        match entry.strip_prefix("file:") {
            None => all.push((*entry).to_owned()),
            Some(path) => {
                let path = folder.join(path.trim());
                let text = read_list(&path).map_err(|reason| {
                    let advice = "expected a readable text file with one entry a line";
                    section.fault("exclude", format!("names {}: {reason}; {advice}.", path.display()))
                })?;
                let lines = text.lines().map(|line| without_comment(line).trim());
                all.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
            }
        }
        if all.len() > MAX_EXCLUDES {
            let message = format!("has more than {MAX_EXCLUDES} entries; use CIDRs and domain suffixes to shorten it.");
            return Err(section.fault("exclude", message));
        }
    }
    Ok(all)
}

/// A comment begins the line or stands after white space; inside a URL the sign begins its fragment.
fn without_comment(line: &str) -> &str {
    let begins = |at: &usize| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let end = line.match_indices('#').map(|(at, _)| at).find(begins);
    &line[..end.unwrap_or(line.len())]
}

fn read_list(path: &Path) -> Result<String, String> {
    tipline_model::file::read_text(path, MAX_EXCLUDE_FILE_BYTES).map_err(|error| error.to_string())
}
