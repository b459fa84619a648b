//! Real feeds, cut into pages in any way and in any order, end with the same documents live.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::data::{Folder, shared};
use crate::host::{Dice, Host, NOON, SIZES, Style, any_cut_gives_the_same};

pub fn trials() -> Vec<Trial> {
    vec![
        shared("convergence::records_cut_in_any_way_give_the_same", &["iocs.jsonl"], records),
        shared("convergence::objects_cut_in_any_way_give_the_same", &["stix_indicators.jsonl"], objects),
    ]
}

/// Every so many of the records: with all of them the test takes minutes and shows nothing more.
const STEP: usize = 8;

fn records(folder: &Folder) {
    let records: Vec<String> = folder.text("iocs.jsonl").lines().step_by(STEP).map(str::to_owned).collect();
    any_cut_gives_the_same(&records, NOON);
}

fn objects(folder: &Folder) {
    let rows = folder.lines("stix_indicators.jsonl").into_iter().step_by(STEP);
    let mut objects: Vec<Value> = rows
        .map(|mut row| {
            let mut object = row["indicator"].take();
            // Most are years old; only what is good is live, and compared.
            object["valid_until"] = "2030-01-01T00:00:00Z".into();
            object
        })
        .collect();
    let mut dice = Dice(7);
    let mut wanted = None;
    for order in ["given", "reversed", "shuffled"] {
        for limit in SIZES {
            for style in [Style::Envelope, Style::Bundle] {
                let mut host = Host::new(style, limit);
                host.poll(&objects);
                let is = host.live();
                assert!(!is.is_empty());
                assert!(*wanted.get_or_insert_with(|| is.clone()) == is, "{order}, {style:?} by {limit}");
            }
        }
        if order == "given" {
            objects.reverse();
        } else {
            for end in (1..objects.len()).rev() {
                objects.swap(end, dice.roll(end as u64 + 1) as usize);
            }
        }
    }
}
