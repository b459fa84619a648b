//! What a guest is and writes, as JSON.

use tipline_ecs::{FIELDS, Feed, OWN, write_string};

/// A guest's description: its name and version, and the fields it writes, with Elasticsearch's types, as they are added to
/// the index template. `own` are fields beside those of [`tipline_ecs`], such as `("my_feed.ioc.campaign", "keyword")`.
pub fn describe(name: &str, version: &str, feed: Feed<'_>, own: &[(&str, &str)]) -> String {
    let mut out = String::from("{\"name\":");
    write_string(name, &mut out);
    out.push_str(",\"version\":");
    write_string(version, &mut out);
    out.push_str(",\"fields\":{");
    let (root, _) = OWN.split_once('.').unwrap_or((OWN, ""));
    let written = FIELDS.iter().map(|(field, kind)| {
        let below = field.strip_prefix(root).filter(|below| below.starts_with('.'));
        (below.map_or_else(|| (*field).to_owned(), |below| format!("{}{below}", feed.namespace)), *kind)
    });
    let own = own.iter().map(|(field, kind)| ((*field).to_owned(), *kind));
    for (index, (field, kind)) in written.chain(own).enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(&field, &mut out);
        out.push(':');
        write_string(kind, &mut out);
    }
    out.push_str("}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_under_the_guests_own_name() {
        let feed = Feed { name: "F", reference: "", module: "m", dataset: "d", namespace: "my_feed" };
        let text = describe("my-feed", "1.0.0", feed, &[("my_feed.ioc.campaign", "keyword")]);
        let described: serde_json::Value = serde_json::from_str(&text).unwrap();
        let fields = described["fields"].as_object().unwrap();
        assert_eq!((&described["name"], &described["version"]), (&"my-feed".into(), &"1.0.0".into()));
        assert_eq!(fields.len(), FIELDS.len() + 1);
        assert_eq!(fields["my_feed.ioc.type"], "keyword");
        assert_eq!(fields["my_feed.ioc.campaign"], "keyword");
        assert_eq!(fields["threat.indicator.ip"], "ip");
        assert!(fields.keys().all(|field| !field.starts_with("socdefenders")));
    }
}
