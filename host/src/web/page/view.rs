//! A view: what is asked, how it is ordered and which columns it has. All of it stands in the page's address, so that a view
//! is a link.
//!
//! An address is read leniently: what is left out or makes no sense is as if it were not there, but for the query, whose
//! mistakes are shown at their place.

use tipline_catalog::{Direction, Grouping, Order, SortKey, time_column};
use tipline_kql::{Expr, Values, quote};

use super::columns::{self, Column};
use crate::store::Among;

/// Rows of a page that may be chosen.
pub(super) const SIZES: [usize; 4] = [25, 50, 100, 250];

/// The names of times that may be asked for, by what the address calls them.
pub(super) const TIMES: [(&str, &str, &str); 5] = [
    ("observed", "tipline.observed_at", "Observed"),
    ("last_seen", "threat.indicator.last_seen", "Last seen"),
    ("first_seen", "threat.indicator.first_seen", "First seen"),
    ("ends", "tipline.expires_at", "Ends"),
    ("timestamp", "@timestamp", "Timestamp"),
];

/// When a feed last showed it, in [`TIMES`]: the usual one, as renewals do not move it.
pub(super) const OBSERVED: usize = 0;

/// When it was last seen at work, in [`TIMES`].
pub(super) const LAST_SEEN: usize = 1;

/// What a trend is stacked by and facets are counted of, by what the address and queries call it.
pub(super) const FACETS: [(&str, &str, &str); 8] = [
    ("type", "threat.indicator.type", "Type"),
    ("provider", "threat.indicator.provider", "Provider"),
    ("feed", "threat.feed.name", "Feed"),
    ("confidence", "threat.indicator.confidence", "Confidence"),
    ("tlp", "threat.indicator.marking.tlp", "TLP"),
    ("tag", "tags", "Tag"),
    ("software", "threat.software.name", "Software"),
    ("actor", "threat.group.name", "Actor"),
];

/// What a page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// In KQL, as it was typed.
    pub(super) query: String,
    pub(super) among: Among,
    /// Of [`TIMES`], by its number; none is the first, until it tells nothing apart.
    pub(super) time: Option<usize>,
    /// The first moment, in KQL's date math; none is the beginning of time.
    pub(super) from: Option<String>,
    /// The last one.
    pub(super) to: Option<String>,
    pub(super) grouping: Grouping,
    pub(super) order: Order,
    pub(super) columns: Vec<&'static Column>,
    pub(super) size: usize,
    /// From 1 on.
    pub(super) page: usize,
    /// Of [`FACETS`], by its number.
    pub(super) stack: usize,
    /// The claim whose details are shown.
    pub(super) id: Option<String>,
    pub(super) tab: Tab,
}

/// The details' tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tab {
    #[default]
    Overview,
    Table,
    Json,
}

impl Tab {
    pub(super) const ALL: [(Self, &'static str, &'static str); 3] =
        [(Self::Overview, "overview", "Overview"), (Self::Table, "table", "Table"), (Self::Json, "json", "JSON")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(tab, ..)| *tab == self).map_or("overview", |(_, word, _)| word)
    }
}

impl Default for View {
    fn default() -> Self {
        Self {
            query: String::new(),
            among: Among::Live,
            time: None,
            from: None,
            to: None,
            grouping: Grouping::Values,
            order: newest(),
            columns: columns::usual(),
            size: SIZES[0],
            page: 1,
            stack: 1,
            id: None,
            tab: Tab::default(),
        }
    }
}

fn newest() -> Order {
    let time = time_column("threat.indicator.last_seen").unwrap_or_default();
    Order { key: SortKey::Time(time), direction: Direction::Descending }
}

impl View {
    /// Reads an address' query.
    pub(super) fn read(query: &str) -> Self {
        let mut view = Self::default();
        let mut columns = Vec::new();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.as_ref();
            match key.as_ref() {
                "q" => value.trim().clone_into(&mut view.query),
                "among" => {
                    view.among = match value {
                        "ended" => Among::Ended,
                        "all" => Among::All,
                        _ => Among::Live,
                    }
                }
                "time" => view.time = TIMES.iter().position(|(word, ..)| *word == value).or(view.time),
                "from" => view.from = Some(value.trim().to_owned()).filter(|text| !text.is_empty()),
                "to" => view.to = Some(value.trim().to_owned()).filter(|text| !text.is_empty()),
                "rows" => view.grouping = if value == "claims" { Grouping::Claims } else { Grouping::Values },
                "sort" => view.order = order(value).unwrap_or(view.order),
                // One list, as links have it, or one a column, as the form of the columns has it.
                "columns" => columns.extend(value.split(',').filter_map(columns::named)),
                "size" => view.size = value.parse().ok().filter(|size| SIZES.contains(size)).unwrap_or(view.size),
                "page" => view.page = value.parse().ok().filter(|page| *page > 0).unwrap_or(1),
                "stack" => view.stack = FACETS.iter().position(|(word, ..)| *word == value).unwrap_or(view.stack),
                "id" => view.id = Some(value.to_owned()).filter(|id| !id.is_empty()),
                "tab" => {
                    let known = Tab::ALL.iter().find(|(_, word, _)| *word == value);
                    view.tab = known.map_or(view.tab, |(tab, ..)| *tab);
                }
                _ => {}
            }
        }
        if !columns.is_empty() {
            view.columns = Vec::new();
            columns.into_iter().for_each(|column| {
                if !view.columns.contains(&column) {
                    view.columns.push(column)
                }
            });
        }
        view
    }

    /// What differs from the usual view, as keys and values of an address.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let usual = Self::default();
        let mut pairs = Vec::new();
        let mut add = |differs: bool, key, value: String| {
            if differs {
                pairs.push((key, value));
            }
        };
        add(!self.query.is_empty(), "q", self.query.clone());
        let among = if self.among == Among::Ended { "ended" } else { "all" };
        add(self.among != Among::Live, "among", among.to_owned());
        add(self.time.is_some(), "time", TIMES[self.time()].0.to_owned());
        add(self.from.is_some(), "from", self.from.clone().unwrap_or_default());
        add(self.to.is_some(), "to", self.to.clone().unwrap_or_default());
        add(self.grouping == Grouping::Claims, "rows", "claims".to_owned());
        add(self.order != usual.order, "sort", sort(self.order));
        let words: Vec<&str> = self.columns.iter().map(|column| column.word).collect();
        add(self.columns != usual.columns, "columns", words.join(","));
        add(self.size != usual.size, "size", self.size.to_string());
        add(self.page != 1, "page", self.page.to_string());
        add(self.stack != usual.stack, "stack", FACETS[self.stack].0.to_owned());
        add(self.id.is_some(), "id", self.id.clone().unwrap_or_default());
        add(self.id.is_some() && self.tab != usual.tab, "tab", self.tab.word().to_owned());
        pairs
    }

    /// The view's address below a path.
    pub(super) fn link(&self, path: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    /// This view but for a change; from its first page, as the rows are others.
    pub(super) fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut view = Self { page: 1, id: None, tab: Tab::default(), ..self.clone() };
        change(&mut view);
        view
    }

    /// This view with its details, or without.
    pub(super) fn showing(&self, id: Option<&str>, tab: Tab) -> Self {
        Self { id: id.map(str::to_owned), tab, ..self.clone() }
    }

    /// This view, filtered further: by what has the value, or has none where there is no value; or by all others.
    pub(super) fn filtered(&self, field: &str, value: Option<&str>, is_wanted: bool) -> Self {
        let condition = match value {
            Some(value) => format!("{field}: {}", quote(value)),
            None => format!("{field}: *"),
        };
        let is_turned = is_wanted != value.is_some();
        let condition = if is_turned { format!("not {condition}") } else { condition };
        self.but(|view| view.query = joined(&view.query, &condition))
    }

    /// What the query says of single values, as filters do, and what it is without each of them.
    pub(super) fn stated(&self) -> Vec<Stated> {
        let Ok(node) = tipline_kql::parse(&self.query) else { return Vec::new() };
        let parts = match node.node {
            Expr::And(parts) => parts,
            _ => vec![node],
        };
        let stated = parts.iter().enumerate().filter_map(|(number, part)| {
            let (is_wanted, part) = match &part.node {
                Expr::Not(part) => (false, part.as_ref()),
                _ => (true, part),
            };
            let Expr::Is { field, values } = &part.node else { return None };
            let Values::One(value) = &values.node else { return None };
            let mut others = parts.clone();
            others.remove(number);
            let others = match others.len() {
                0 => Expr::All,
                1 => others.remove(0).node,
                _ => Expr::And(others),
            };
            Some(Stated {
                field: field.node.as_exact()?.to_owned(),
                value: value.text()?.to_owned(),
                is_wanted,
                without: tipline_kql::print(&others.into()),
            })
        });
        stated.collect()
    }

    /// The time that is asked for: of [`TIMES`], by its number.
    pub(super) fn time(&self) -> usize {
        self.time.unwrap_or(OBSERVED)
    }

    /// How many rows stand before the page's first.
    pub(super) fn behind(&self) -> usize {
        (self.page - 1).saturating_mul(self.size)
    }
}

/// A part of a query that holds for all of it and is about one value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stated {
    /// As it is written: short or in full.
    pub(super) field: String,
    pub(super) value: String,
    /// Whether it is asked for, or to be left out.
    pub(super) is_wanted: bool,
    /// The query without it.
    pub(super) without: String,
}

/// A query with a condition more. What is an alternative, or can't be read, is put in parentheses first, so that the
/// condition holds for all of it.
fn joined(query: &str, condition: &str) -> String {
    if query.is_empty() {
        return condition.to_owned();
    }
    let stands_alone = match tipline_kql::parse(query) {
        Ok(node) => !matches!(node.node, tipline_kql::Expr::Or(_)),
        Err(_) => false,
    };
    // Said already.
    if stands_alone && query.split(" and ").any(|part| part == condition) {
        return query.to_owned();
    }
    if stands_alone { format!("{query} and {condition}") } else { format!("({query}) and {condition}") }
}

/// What can be sorted by, by what the address calls it.
fn order(written: &str) -> Option<Order> {
    let (word, direction) = written.split_once(':').unwrap_or((written, "desc"));
    let direction = if direction == "asc" { Direction::Ascending } else { Direction::Descending };
    Some(Order { key: columns::named(word)?.sorted?.key()?, direction })
}

fn sort(order: Order) -> String {
    let word = columns::sorted_by(order.key).map_or("last_seen", |column| column.word);
    format!("{word}:{}", if order.direction == Direction::Ascending { "asc" } else { "desc" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let usual = View::default();
        assert_eq!((usual.link("/"), View::read("")), ("/".to_owned(), usual.clone()));
        let all = View {
            query: "type: url and tag: \"a b\" and not value: \"ж&=+%\"".to_owned(),
            among: Among::Ended,
            time: Some(3),
            from: Some("now-7d".to_owned()),
            to: Some("2026-11-27T10:15:00Z".to_owned()),
            grouping: Grouping::Claims,
            order: Order { key: SortKey::Name, direction: Direction::Ascending },
            columns: ["claims", "indicator"].into_iter().filter_map(columns::named).collect(),
            size: 100,
            page: 7,
            stack: 5,
            id: Some("ab/cd".to_owned()),
            tab: Tab::Json,
        };
        let link = all.link("/");
        let (_, query) = link.split_once('?').unwrap();
        assert_eq!(View::read(query), all, "{link}");
        for (key, _) in all.pairs() {
            assert!(query.contains(&format!("{key}=")), "{key}");
        }
    }

    #[test]
    fn what_makes_no_sense_in_an_address_is_as_if_it_were_not_there() {
        for query in [
            "size=7",
            "size=-1",
            "page=0",
            "page=x",
            "sort=colour:asc",
            "sort=id:asc",
            "columns=,x",
            "stack=",
            "time=never",
            "tab=none&id=",
            "among=live",
            "rows=values",
            "unknown=1",
            "%ff=%fe",
            "&&=",
            "q=+",
        ] {
            assert_eq!(View::read(query), View::default(), "{query}");
        }
        let columns = View::read("columns=type&columns=indicator,type").columns;
        assert_eq!(columns.iter().map(|column| column.word).collect::<Vec<_>>(), ["type", "indicator"]);
    }

    #[test]
    fn a_filter_holds_for_the_whole_query() {
        for (query, value, is_wanted, expected) in [
            ("", Some("x"), true, r#"tag: "x""#),
            ("", None, true, "not tag: *"),
            ("", None, false, "tag: *"),
            ("type: url", Some("x"), false, r#"type: url and not tag: "x""#),
            ("type: url or type: file", Some("x"), true, r#"(type: url or type: file) and tag: "x""#),
            (r#"tag: "x""#, Some("x"), true, r#"tag: "x""#),
            (r#"tag: "x" and type: url"#, Some("x"), true, r#"tag: "x" and type: url"#),
            // What can't be read is not made to mean something else.
            ("type: (", Some("x"), true, r#"(type: () and tag: "x""#),
        ] {
            let view = View { query: query.to_owned(), page: 9, id: Some("a".to_owned()), ..View::default() };
            let filtered = view.filtered("tag", value, is_wanted);
            assert_eq!((filtered.query.as_str(), filtered.page, filtered.id), (expected, 1, None));
        }
    }

    #[test]
    fn what_a_query_says_of_single_values_is_known_and_can_be_taken_back() {
        let stated = |query: &str| {
            let view = View { query: query.to_owned(), ..View::default() };
            let of = |one: Stated| (one.field, one.value, one.is_wanted, one.without);
            view.stated().into_iter().map(of).collect::<Vec<_>>()
        };
        let one = |field: &str, value: &str, is_wanted: bool, without: &str| {
            (field.to_owned(), value.to_owned(), is_wanted, without.to_owned())
        };
        assert_eq!(stated(""), []);
        assert_eq!(stated("type: ("), []);
        assert_eq!(stated("tag: x or tag: y"), []);
        assert_eq!(stated("tag: x"), [one("tag", "x", true, "")]);
        assert_eq!(
            stated("(type: url or type: file) and not tag: \"a b\" and tags: z* and confidence: high"),
            [
                one("tag", "a b", false, "(type: url or type: file) and tags: z* and confidence: high"),
                one("confidence", "high", true, "(type: url or type: file) and not tag: \"a b\" and tags: z*"),
            ]
        );
    }

    #[test]
    fn any_value_can_be_filtered_by() {
        for value in ["\"", "\\", "a\\", "*", "and", ") or (", "\u{202e}x", "😀", "a\nb", "{}", "", " "] {
            let query = View::default().filtered("tag", Some(value), true).query;
            let node = tipline_kql::parse(&query).unwrap();
            let tipline_kql::Expr::Is { values, .. } = node.node else { panic!("{query}") };
            let tipline_kql::Values::One(literal) = values.node else { panic!("{query}") };
            assert_eq!(literal.text(), Some(value), "{query}");
        }
    }
}
