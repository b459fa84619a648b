//! Its blocklist.

use serde::Deserialize;
use serde_json::{Value, json};

use super::standin::{Answered, Call, Reply, Standin};

/// An entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id, as whoever made it chose.
    pub item_id: String,
    version: u64,
    /// Its policies, and what else.
    pub tags: Vec<String>,
    /// Its one operating system.
    pub os_types: Vec<String>,
    /// Fields and the values blocked.
    pub entries: Vec<(String, Vec<String>)>,
    name: String,
}

impl Entry {
    fn json(&self) -> Value {
        let entry = |(field, values): &(String, Vec<String>)| json!({ "field": field, "type": "match_any", "operator": "included", "value": values });
        json!({
            "id": format!("so-{}", self.item_id), "item_id": self.item_id, "_version": format!("v{}", self.version),
            "list_id": "endpoint_blocklists", "type": "simple", "namespace_type": "agnostic", "name": self.name,
            "description": "", "tags": self.tags, "os_types": self.os_types,
            "entries": self.entries.iter().map(entry).collect::<Vec<_>>(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewList {
    list_id: String,
    r#type: String,
    namespace_type: String,
    name: String,
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    list_id: Option<String>,
    item_id: String,
    _version: Option<String>,
    r#type: String,
    namespace_type: String,
    name: String,
    #[allow(dead_code, reason = "that it is there is what counts")]
    description: String,
    os_types: Vec<String>,
    tags: Vec<String>,
    entries: Vec<NewEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEntry {
    field: String,
    r#type: String,
    operator: String,
    value: Vec<String>,
}

fn check(is_so: bool, message: &str) -> Result<(), Reply> {
    if is_so { Ok(()) } else { Err(Reply::list_error(400, format!("EndpointArtifactError: {message}"))) }
}

fn is_blocklist(item: &Item) -> bool {
    item.list_id.as_deref() == Some("endpoint_blocklists")
}

/// The rules of Kibana's validator of blocklists.
fn validated(item: Item, version: u64) -> Result<Entry, Reply> {
    check(item.r#type == "simple" && item.namespace_type == "agnostic", "type or namespace")?;
    check(!item.name.trim().is_empty(), "name")?;
    let is_os = |os: &String| ["windows", "linux", "macos"].contains(&os.as_str());
    check(item.os_types.len() == 1 && item.os_types.iter().all(is_os), "os_types")?;
    let is_policy = |tag: &&String| tag.starts_with("policy:");
    check(
        item.tags.iter().any(|tag| tag == "policy:all")
            != item.tags.iter().any(|tag| tag.starts_with("policy:") && tag != "policy:all"),
        "tags",
    )?;
    check(item.tags.iter().filter(is_policy).count() > 0, "tags")?;
    check((1..=3).contains(&item.entries.len()), "entries")?;
    let mut entries = Vec::new();
    for NewEntry { field, r#type, operator, value } in item.entries {
        let digits = match field.as_str() {
            "file.hash.md5" => 32,
            "file.hash.sha1" => 40,
            "file.hash.sha256" => 64,
            _ => return Err(Reply::list_error(400, "EndpointArtifactError: invalid field")),
        };
        check(r#type == "match_any" && operator == "included", "type or operator")?;
        check((1..=2_000).contains(&value.len()), "values")?;
        let is_hash = |hash: &String| hash.len() == digits && hash.bytes().all(|b| b.is_ascii_hexdigit());
        check(value.iter().all(is_hash), "invalid hash")?;
        check(!entries.iter().any(|(had, _)| *had == field), "duplicate field")?;
        entries.push((field, value));
    }
    let Item { item_id, tags, os_types, name, .. } = item;
    Ok(Entry { item_id, version, tags, os_types, entries, name })
}

impl Standin {
    pub(super) fn exception_lists(&mut self, method: &str, path: &[&str], call: &Call<'_>) -> Answered {
        match (method, path) {
            ("POST", []) => self.create_list(call),
            ("POST", ["items"]) => self.create_item(call),
            ("PUT", ["items"]) => self.change_item(call),
            ("GET", ["items"]) => Ok(Reply::ok(self.item(call)?.json())),
            ("DELETE", ["items"]) => {
                let item = self.item(call)?.clone();
                self.blocklist.iter_mut().for_each(|list| list.retain(|entry| entry.item_id != item.item_id));
                Ok(Reply::ok(item.json()))
            }
            ("GET", ["items", "_find"]) => self.find_items(call),
            _ => Err(Reply::error(404, "Not Found")),
        }
    }

    fn create_list(&mut self, call: &Call<'_>) -> Answered {
        let list: NewList = call.body()?;
        let name = "Endpoint Security Blocklists List";
        check(
            [&list.list_id, &list.r#type].into_iter().all(|id| id == "endpoint_blocklists")
                && list.namespace_type == "agnostic"
                && [&list.name, &list.description].into_iter().all(|text| text == name),
            "no such list",
        )?;
        if self.blocklist.is_some() {
            return Err(Reply::list_error(409, "exception list id: \"endpoint_blocklists\" already exists"));
        }
        self.blocklist = Some(Vec::new());
        Ok(Reply::ok(json!({ "id": "so-list", "list_id": list.list_id })))
    }

    fn list(&mut self) -> Result<&mut Vec<Entry>, Reply> {
        let missing = || Reply::list_error(404, "exception list id: \"endpoint_blocklists\" does not exist");
        self.blocklist.as_mut().ok_or_else(missing)
    }

    fn item(&mut self, call: &Call<'_>) -> Result<&mut Entry, Reply> {
        call.parameters(&["item_id", "namespace_type"])?;
        check(call.parameter("namespace_type") == Some("agnostic"), "namespace_type")?;
        let id = call.parameter("item_id").unwrap_or_default().to_owned();
        let missing = || Reply::list_error(404, format!("exception list item item_id: \"{id}\" does not exist"));
        self.list()?.iter_mut().find(|entry| entry.item_id == id).ok_or_else(missing)
    }

    fn create_item(&mut self, call: &Call<'_>) -> Answered {
        let item: Item = call.body()?;
        check(is_blocklist(&item) && item._version.is_none(), "list_id")?;
        let entry = validated(item, 1)?;
        let list = self.list()?;
        if list.iter().any(|had| had.item_id == entry.item_id) {
            let id = &entry.item_id;
            return Err(Reply::list_error(409, format!("exception list item id: \"{id}\" already exists")));
        }
        list.push(entry.clone());
        Ok(Reply::ok(entry.json()))
    }

    fn change_item(&mut self, call: &Call<'_>) -> Answered {
        let item: Item = call.body()?;
        check(is_blocklist(&item), "list_id")?;
        let meddles = self.meddling > 0;
        self.meddling = self.meddling.saturating_sub(1);
        let missing =
            || Reply::list_error(404, format!("exception list item item_id: \"{}\" does not exist", item.item_id));
        let entry = self.list()?.iter_mut().find(|entry| entry.item_id == item.item_id).ok_or_else(missing)?;
        entry.version += u64::from(meddles);
        if item._version.as_deref().is_some_and(|version| version != format!("v{}", entry.version)) {
            return Err(Reply::list_error(409, "[exception-list-agnostic]: version conflict"));
        }
        *entry = validated(item, entry.version + 1)?;
        Ok(Reply::ok(entry.json()))
    }

    fn find_items(&mut self, call: &Call<'_>) -> Answered {
        call.parameters(&["list_id", "namespace_type", "page", "per_page", "filter"])?;
        check(call.parameter("list_id") == Some("endpoint_blocklists"), "list_id")?;
        check(call.parameter("namespace_type") == Some("agnostic"), "namespace_type")?;
        let wanted = match call.parameter("filter") {
            None => None,
            Some(filter) => {
                let value = filter.strip_prefix("exception-list-agnostic.attributes.entries.value:\"");
                let value = value.and_then(|value| value.strip_suffix('"'));
                check(value.is_some(), "filter")?;
                value
            }
        };
        let has = |entry: &&Entry| {
            wanted.is_none_or(|hash| entry.entries.iter().any(|(_, values)| values.iter().any(|value| value == hash)))
        };
        let found = self.list()?.iter().filter(has).map(Entry::json).collect();
        let (data, total) = call.page(found, "per_page", 10_000)?;
        Ok(Reply::ok(json!({ "data": data, "total": total, "page": 1, "per_page": 100 })))
    }
}
