//! What has become of a claim: changed, gone, or another one in its row.

use tipline_kql::Fields;

use super::*;

fn document(name: &str) -> String {
    format!(r#"{{"threat":{{"indicator":{{"name":"{name}"}}}},"tipline":{{"key":"{name}"}}}}"#)
}

fn filled(claims: &[(u32, &str, &str)]) -> Columns {
    let mut columns = Columns::new(&Fields::new([]));
    for (row, id, name) in claims {
        columns.put(*row, id, &document(name)).unwrap();
    }
    columns.settle();
    columns
}

/// The claims by name, then id: the rows, and whether each is of the id.
fn by_name(columns: &Columns, ids: &[&str]) -> Vec<(u32, bool)> {
    let order = Order { key: SortKey::Name, direction: Direction::Ascending };
    let slots = columns.page(columns.stored(), columns.stored(), Grouping::Claims, order, 0, usize::MAX);
    slots.into_iter().zip(ids).map(|(slot, id)| (columns.row(slot), columns.claim(slot).is_of(id))).collect()
}

#[test]
fn a_row_whose_number_comes_again_is_the_new_claim() {
    let mut columns = filled(&[(1, "10", "same"), (2, "20", "same"), (5, "30", "same")]);
    assert_eq!(by_name(&columns, &["10", "20", "30"]), [(1, true), (2, true), (5, true)]);
    columns.remove(5);
    assert_eq!(columns.last_row(), Some(2));
    columns.put(5, "15", &document("same")).unwrap();
    columns.settle();
    assert_eq!(by_name(&columns, &["10", "15", "20"]), [(1, true), (5, true), (2, true)]);
    assert_eq!(columns.last_row(), Some(5));
}

#[test]
fn a_row_that_comes_behind_higher_ones_is_refused_and_changes_nothing() {
    let mut columns = filled(&[(1, "10", "a"), (5, "30", "b")]);
    let refused = columns.put(4, "20", &document("c"));
    assert!(matches!(refused, Err(PutError::OutOfOrder { row: 4 })), "{refused:?}");
    columns.settle();
    assert_eq!(by_name(&columns, &["10", "30"]), [(1, true), (5, true)]);
    // Who removes what never came changes nothing either.
    columns.remove(4);
    columns.remove(6);
    assert_eq!(columns.stored().count(), 2);
}

#[test]
fn a_page_of_nothing_is_empty_wherever_it_begins() {
    let columns = filled(&[(1, "10", "a"), (2, "20", "b"), (3, "30", "c")]);
    for key in [SortKey::Name, SortKey::Claims, SortKey::Time(0), SortKey::Word(0)] {
        let order = Order { key, direction: Direction::Ascending };
        for (behind, limit, expected) in [(0, 0, 0), (1, 0, 0), (2, 5, 1), (3, 1, 0), (usize::MAX, usize::MAX, 0)] {
            let page = columns.page(columns.stored(), columns.stored(), Grouping::Claims, order, behind, limit);
            assert_eq!(page.len(), expected, "{key:?}, {limit} behind {behind}");
        }
    }
}

#[test]
fn what_stands_behind_the_name_is_searched_whatever_the_name_is() {
    for (name, behind) in [("evil.example", "b"), ("  two\\n lines ", "b"), (" ", "b"), ("", "b"), ("", "")] {
        let mut columns = Columns::new(&Fields::new([]));
        let json = format!(
            r#"{{"threat":{{"indicator":{{"name":"{name}","description":"{behind} first"}}}},"tags":["{behind} second"]}}"#
        );
        columns.put(1, "10", &json).unwrap();
        for (looked_for, is_there) in
            [("first", true), ("second", true), ("b second", !behind.is_empty()), ("third", false)]
        {
            let fields = Fields::new([("tipline.search", "wildcard")]);
            let query =
                tipline_kql::resolve(&tipline_kql::parse(&format!("\"{looked_for}\"")).unwrap(), &fields, 0).unwrap();
            let found = columns.find(&query, &fields, columns.stored(), Grouping::Claims);
            assert_eq!((found.yes.count() == 1, found.undecided().count()), (is_there, 0), "{name:?}: {looked_for}");
        }
    }
}

#[test]
fn a_value_stands_where_what_its_row_shows_belongs_either_way() {
    let mut columns = Columns::new(&Fields::new([]));
    let claims = [
        (1, "a", "Low", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        (2, "a", "High", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        (3, "b", "Medium", "2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"),
    ];
    for (row, name, confidence, first, last) in claims {
        let json = format!(
            r#"{{"threat":{{"indicator":{{"name":"{name}","confidence":"{confidence}","first_seen":"{first}","last_seen":"{last}"}}}},"tipline":{{"key":"{name}"}}}}"#
        );
        columns.put(row, &row.to_string(), &json).unwrap();
    }
    columns.settle();
    // The surest, the earliest first seen, the latest last seen.
    for (field, upwards) in [
        ("threat.indicator.confidence", ["b", "a"]),
        ("threat.indicator.first_seen", ["a", "b"]),
        ("threat.indicator.last_seen", ["b", "a"]),
    ] {
        let key = SortKey::of(field).unwrap();
        for direction in [Direction::Ascending, Direction::Descending] {
            let order = Order { key, direction };
            let scope = columns.stored();
            let groups: Bits = Bits::of(columns.groups(), |_| true);
            let page = columns.page(&groups, scope, Grouping::Values, order, 0, usize::MAX);
            let claims = columns.claims_of(&page, scope, order);
            let names: Vec<&str> =
                claims.iter().map(|slots| if columns.row(slots[0]) == 3 { "b" } else { "a" }).collect();
            let mut expected = upwards.to_vec();
            if direction == Direction::Descending {
                expected.reverse();
            }
            assert_eq!(names, expected, "{field} {direction:?}");
        }
    }
}
