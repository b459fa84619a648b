//! The fields that queries may ask for.

use maud::{Markup, html};
use tipline_kql::Type;

use crate::web::App;

/// The short names, with what they stand for.
const SHORT: [(&str, &str); 11] = [
    ("value", "the indicator; an address or network also finds the ranges that hold it"),
    ("type", "ip, domain, url, hash, sha256, email, vulnerability, technique, …"),
    ("provider", "who says so"),
    ("feed", "where it came from"),
    ("confidence", "None, Low, Medium, High; also >= medium"),
    ("tlp", "CLEAR, GREEN, AMBER, AMBER+STRICT, RED; also <= green"),
    ("tag", "a word that its source put to it"),
    ("software", "malware or tools, by name or alias"),
    ("actor", "groups, by name or alias"),
    ("first_seen, last_seen", "times; also > now-7d"),
    ("ends", "when it is taken out of matching"),
];

/// The view.
pub(super) fn page(app: &App) -> Markup {
    html! {
        div.page {
            h1 { "Fields" }
            p.lead { "What queries can ask for. Text without a field is looked for in value, description, tags, software and actor." }
            section {
                h2 { "Short names" }
                table.fields { tbody { @for (name, means) in SHORT { tr { th scope="row" { code { (name) } } td { (means) } } } } }
            }
            section {
                h2 { "Examples" }
                table.fields { tbody {
                    @for (query, means) in [
                        ("type: url and confidence >= high", "URLs of high confidence"),
                        ("tag: cobalt* and last_seen > now-7d", "seen within a week, with a tag that begins so"),
                        ("198.51.100.7", "what says something of this address, ranges included"),
                        ("hxxps://evil[.]example/login", "as it stands in a report"),
                        ("not provider: \"Unit 42 iocs\" and ends < now+7d", "what ends within a week, and is not theirs"),
                    ] {
                        tr { th scope="row" { a href=(super::view::View { query: query.to_owned(), ..super::view::View::default() }.link("/")) { code { (query) } } } td { (means) } }
                    }
                } }
            }
            section {
                h2 { "All fields" }
                table.fields {
                    thead { tr { th scope="col" { "Field" } th scope="col" { "Type" } } }
                    tbody { @for (name, kind) in app.fields.iter() { tr { th scope="row" { (name) } td { (word(kind)) } } } }
                }
            }
        }
    }
}

fn word(kind: Type) -> String {
    let word = format!("{kind:?}");
    let name = word.split([' ', '{', '(']).next().unwrap_or_default();
    name.chars()
        .flat_map(|c| if c.is_uppercase() { vec![' ', c.to_ascii_lowercase()] } else { vec![c] })
        .collect::<String>()
        .trim()
        .to_owned()
}
