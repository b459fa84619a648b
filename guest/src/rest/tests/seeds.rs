//! Servers of every kind of fault at once: lists in an order that changes, bursts of updates, answers without records,
//! refused depths, clamped limits, and clocks that are off by a minute to a year.
//!
//! Each poll ends with every record stored, or with a note and a mark that has not passed what is missing; once the server
//! is well the next polls bring it; no note says what is not so; no feed is read for ever.

use super::clocks::poll_as_it_comes;
use super::crashes::Dice;
use super::server::{BROKEN, Links, Order, SimRecord, SimServer, Total, Traits, Until};
use super::{CONFIG, Driver, NOON, domains, response};
use crate::contract::Event;
use tipline_ecs::time::{DAY, HOUR, MINUTE, Millis, SECOND};

/// Notes that say that something is missing.
const SHORT: [&str; 5] = ["window-deep", "empty-page", "no-progress", "reordered", "unanswered"];

/// What happens between two requests.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// One request in so many meets an update of up to so many records.
    updates: Option<(u64, u64)>,
    reorder: Reorder,
    empties: Empties,
    /// One request in so many meets a record that is gone.
    losses: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Reorder {
    Never,
    /// One request in so many finds another order.
    Now(u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Empties {
    Never,
    /// One request in so many, twice in a row at most.
    Now(u64),
    /// Every request of a poll from this one on.
    From(usize),
}

const CALM: Life = Life { updates: None, reorder: Reorder::Never, empties: Empties::Never, losses: None };

fn life(dice: &mut Dice, traits: &Traits) -> Life {
    let mut life = CALM;
    // What has neither id nor date cannot be told apart: when it moves by an update, it looks as if it came twice.
    if (traits.ids_and_dates || traits.order != Order::OldestFirst) && dice.roll(2) == 0 {
        life.updates = Some((1 + dice.roll(12), 1 + dice.roll(40)));
    }
    if traits.ids_and_dates && dice.roll(3) == 0 {
        life.reorder = Reorder::Now(dice.pick(&[1, 3, 20]));
        // A record that moves out of sight while another one comes into its place is beyond what any client of offset
        // paging can see, so a poll meets one or the other.
        (life.updates, life.losses) = (None, None);
    }
    life.empties = match dice.roll(4) {
        0 => Empties::Now(3 + dice.roll(20)),
        1 => Empties::From(1 + dice.roll(12) as usize),
        _ => Empties::Never,
    };
    if life.reorder == Reorder::Never && dice.roll(4) == 0 {
        life.losses = Some(2 + dice.roll(10));
    }
    if !traits.broken.is_empty() || !traits.poison.is_empty() || traits.cut.is_some() {
        // What cannot be read shows no edge: where it stands, nobody can see what moved between two pages.
        (life.updates, life.reorder, life.losses) = (None, Reorder::Never, None);
        // Nor whether an answer without anything, where nobody counts, is the end.
        if traits.total == Total::Absent {
            life.empties = Empties::Never;
        }
    }
    life
}

fn skew(dice: &mut Dice) -> i64 {
    let size = dice.pick(&[MINUTE, 9 * MINUTE, 11 * MINUTE, HOUR, DAY, 60 * DAY, 365 * DAY]);
    let skew = (size / 2 + dice.roll(size / 2)) as i64;
    match dice.roll(3) {
        0 => 0,
        1 => skew,
        _ => -skew,
    }
}

/// Some records that are no JSON, or get no answer, or answers that are always cut.
fn spoil(dice: &mut Dice, server: &mut SimServer) {
    if server.traits.ignores_offset {
        // The first page over and over shows in its edge alone.
        return;
    }
    let count = server.records.len() as u64;
    let value = |dice: &mut Dice, server: &SimServer| server.records[dice.roll(count) as usize].value.clone();
    for _ in 0..dice.pick(&[0, 0, 0, 1, 3, 20]) {
        let bad = (value(dice, server), dice.roll(BROKEN.len() as u64) as usize);
        server.traits.broken.push(bad);
    }
    for _ in 0..dice.pick(&[0, 0, 0, 0, 1, 2]) {
        let bad = value(dice, server);
        server.traits.poison.push(bad);
    }
    server.traits.poison_with = dice.pick(&[Some(500), Some(502), Some(504), None]);
    if dice.roll(6) == 0 {
        server.traits.cut = Some(1_000 + dice.roll(20_000) as usize);
    }
}

fn traits(dice: &mut Dice) -> Traits {
    let clock = dice.roll(10);
    let total = dice.pick(&[Total::True, Total::True, Total::True, Total::Text, Total::Absent]);
    // Without a total nobody can see that a list is cut.
    let counts = total != Total::Absent;
    Traits {
        clamp: dice.pick(&[10_000, 10_000, 37, 11, 5]),
        names_limit: dice.roll(2) == 0,
        total,
        links: dice.pick(&[Links::Absolute, Links::Relative, Links::Absent, Links::Null, Links::Itself, Links::Always]),
        until: dice.pick(&[
            Until::Honoured,
            Until::Honoured,
            Until::Honoured,
            Until::Null,
            Until::Echoed,
            Until::Present,
            Until::Ignored,
        ]),
        generated_at: clock != 0,
        date: clock > 0,
        ids_and_dates: dice.roll(4) > 0,
        last_offset: (counts && dice.roll(8) == 0).then(|| 60 + dice.roll(200)),
        longest: (counts && dice.roll(8) == 0).then(|| 60 + dice.roll(200)),
        refuses_offset: (dice.roll(3) == 0).then(|| 30 + dice.roll(300)),
        refuses_with: dice.pick(&[400, 403, 404, 413, 416, 422, 500]),
        ignores_offset: counts && dice.roll(20) == 0,
        order: dice.pick(&[Order::Given, Order::OldestFirst, Order::NewestFirst]),
        // A feed without a clock whose records are from another one cannot be divided by time.
        skew: if clock == 0 { 0 } else { skew(dice) },
        ..Traits::default()
    }
}

/// Records over a day, or close together somewhere in it, or half of them.
fn records(dice: &mut Dice, skew: i64) -> Vec<SimRecord> {
    let count = 1 + dice.roll(400);
    let newest = (NOON - HOUR - dice.roll(18) * HOUR).saturating_add_signed(skew);
    let span = dice.pick(&[count * 60, 50 * 60, 4 * HOUR / SECOND]).min(4 * HOUR / SECOND) * SECOND;
    let mut records = domains(count, newest, (span / count).max(SECOND));
    if dice.roll(2) == 0 {
        let newest = (NOON - HOUR).saturating_add_signed(skew);
        let more = domains(dice.roll(300), newest, 3 * MINUTE);
        records.extend(more.into_iter().map(|r| SimRecord { value: format!("e{}", r.value), ..r }));
    }
    for at in (1..records.len()).rev() {
        let other = dice.roll(at as u64 + 1) as usize;
        records.swap(at, other);
    }
    records
}

/// What a server makes of one request, by what happens to it.
struct World {
    life: Life,
    empty_before: u64,
    /// Something happened in this poll that may leave something to the next one.
    disturbed: bool,
}

impl World {
    fn meddle(&mut self, dice: &mut Dice, server: &mut SimServer, request: usize, clock: Millis) {
        let count = server.records.len() as u64;
        if self.life.losses.is_some_and(|every| dice.roll(every) == 0) && count > 1 {
            self.disturbed = true;
            server.records.remove(dice.roll(count) as usize);
        }
        let count = server.records.len() as u64;
        if let Some((every, most)) = self.life.updates
            && dice.roll(every) == 0
        {
            self.disturbed = true;
            for _ in 0..=dice.roll(most) {
                let at = dice.roll(count) as usize;
                server.records[at].changed = clock;
            }
        }
        if let Reorder::Now(every) = self.life.reorder
            && dice.roll(every) == 0
        {
            self.disturbed = true;
            for at in (1..server.records.len()).rev() {
                let other = dice.roll(at as u64 + 1) as usize;
                server.records.swap(at, other);
            }
        }
        let empty = match self.life.empties {
            Empties::Never => false,
            Empties::Now(every) => self.empty_before < 2 && dice.roll(every) == 0,
            Empties::From(first) => request >= first,
        };
        self.empty_before = if empty { self.empty_before + 1 } else { 0 };
        if empty {
            self.disturbed = true;
            server.script.push_back(self.nothing(dice, count));
        }
    }

    fn nothing(&self, dice: &mut Dice, count: u64) -> Event {
        match dice.roll(3) {
            0 => response(204, &[], ""),
            1 => response(200, &[], r#"{"data":[]}"#),
            _ => response(200, &[], &format!(r#"{{"meta":{{"total":{count}}},"data":[]}}"#)),
        }
    }
}

fn mark(driver: &Driver) -> Millis {
    driver.state()["marks"]["*"].as_u64().unwrap()
}

/// Records that are neither read nor kept as rejects.
fn unaccounted(driver: &Driver) -> Vec<&str> {
    let is_kept = |value: &str| {
        let is_broken = driver.server.traits.broken.iter().any(|(broken, _)| broken == value);
        let text = format!("\"{value}\"");
        is_broken && driver.rejects.iter().any(|reject| String::from_utf8_lossy(&reject.raw).contains(&text))
    };
    driver.missing().into_iter().filter(|value| !is_kept(value)).collect()
}

/// A poll and what must hold after it.
fn poll(driver: &mut Driver, dice: &mut Dice, life: Life, name: &str) {
    driver.notes.clear();
    let goes_on = driver.state.contains("\"run\"");
    // A run that goes on began earlier.
    let earlier = serde_json::from_str::<serde_json::Value>(&driver.state)
        .ok()
        .and_then(|state| state.pointer("/run/began/clocks/feed")?.as_u64());
    let began = earlier.unwrap_or_else(|| driver.server.clock(driver.now));
    let said_before = driver.state.contains("\"short_of\"");
    let (before, read) = (driver.server.targets.len(), driver.read);
    let mut world = World { life, empty_before: 0, disturbed: false };
    let ended = poll_as_it_comes(driver, |server, request, clock| world.meddle(dice, server, request, clock));
    assert!(
        ended,
        "{name}: no end; last requests {:#?}",
        driver.server.targets.iter().rev().take(9).collect::<Vec<_>>()
    );
    let sent = driver.server.targets.len() - before;
    assert!(sent <= 5_000, "{name}: {sent} requests");

    let codes = driver.codes();
    let missing: Vec<(&str, Millis)> = unaccounted(driver)
        .into_iter()
        .map(|value| (value, driver.server.records.iter().find(|r| r.value == value).unwrap().changed))
        .collect();
    let is_under_way = driver.state().get("run").is_some();
    // What was changed meanwhile is the next poll's.
    let old: Vec<_> = missing.iter().filter(|(_, changed)| *changed < began).collect();
    let passed: Vec<_> =
        missing.iter().filter(|(_, changed)| *changed <= mark(driver) && !driver.is_in_a_hole(*changed)).collect();
    // Until the feed has said its time the mark is by our clock, and moves with it.
    let is_ours = driver.state().get("clocks").is_none() && driver.server.traits.skew != 0;
    assert!(
        passed.is_empty() || is_ours,
        "{name}: the mark {} has passed {passed:?}: {:?}",
        mark(driver),
        driver.notes
    );
    let t = &driver.server.traits;
    // An answer that says nothing moves no mark, and it may be right.
    let silent = driver.read == read && life.empties != Empties::Never;
    // A run says once what is missing of it.
    let silent = silent || said_before;
    let said = is_under_way || codes.iter().any(|code| SHORT.contains(code) || *code == "no-clock") || silent;
    assert!(old.is_empty() || said, "{name}: {} are missing without a word: {:?}", old.len(), driver.notes);

    let apart = t.skew.unsigned_abs() > 10 * MINUTE;
    for code in codes {
        let deep = driver.notes.iter().find(|(known, _)| known == "window-deep");
        let is_so = match code {
            "window-deep" if deep.is_some_and(|(_, text)| text.contains("walked all the same")) => true,
            "clock-ahead" => apart && t.skew > 0,
            "clock-behind" => apart && t.skew < 0,
            "no-clock" => !t.generated_at && !t.date || life.empties != Empties::Never,
            // A depth is advised, and can be passed.
            "window-deep" | "empty-page" | "no-progress" | "reordered" => {
                world.disturbed
                    || goes_on
                    || !t.poison.is_empty()
                    || t.limits_depth()
                    || matches!(t.until, Until::Echoed | Until::Present | Until::Ignored)
            }
            "page-cut" => t.cut.is_some(),
            "gave-up" | "unanswered" if !t.poison.is_empty() => true,
            "gave-up" | "unanswered" => t.refuses_offset.is_some() && t.refuses_with == 500,
            _ => false,
        };
        assert!(is_so, "{name}: {code} is not so: {:?}", driver.notes);
    }
    assert_eq!(driver.ended, 0, "{name}: documents that are over by both clocks");
}

fn round(seed: u64) {
    let mut dice = Dice::new(seed);
    let traits = traits(&mut dice);
    let records = records(&mut dice, traits.skew);
    let config = CONFIG
        .replace("100}", &format!(r#"{},"max_offset":{}}}"#, dice.pick(&[100, 100, 1_000, 20]), 60 + dice.roll(340)));
    let name = format!("seed {seed}: {traits:?}");
    let mut server = SimServer::new(records, traits);
    spoil(&mut dice, &mut server);
    let name = format!("{name} {:?} {:?} {:?}", server.traits.broken, server.traits.poison, server.traits.cut);
    let mut driver = Driver::new(&config, server);
    for _ in 0..2 {
        let life = life(&mut dice, &driver.server.traits);
        poll(&mut driver, &mut dice, life, &format!("{name} {life:?}"));
        driver.now += 20 * MINUTE;
    }

    // The server is well: what it cannot give at all, it gives now, and what smaller windows bring, they bring.
    let t = &mut driver.server.traits;
    t.poison.clear();
    t.cut = None;
    if !matches!(t.until, Until::Honoured | Until::Null) || t.clamp < 20 || !t.generated_at && !t.date {
        (t.refuses_offset, t.last_offset, t.longest, t.ignores_offset) = (None, None, None, false);
    }
    for round in 0..4 {
        if round == 2 {
            // Nor can more records of one instant than it lets anyone page through.
            let t = &mut driver.server.traits;
            (t.refuses_offset, t.last_offset, t.longest, t.ignores_offset) = (None, None, None, false);
        }
        poll(&mut driver, &mut dice, CALM, &format!("{name} calm"));
        driver.now += 20 * MINUTE;
    }
    assert_eq!(unaccounted(&driver), Vec::<&str>::new(), "{name}: {:?}", driver.notes);
    assert!(
        !driver.codes().iter().any(|code| *code != "window-deep" && SHORT.contains(code)),
        "{name}: {:?}",
        driver.notes
    );
    let t = &driver.server.traits;
    if t.generated_at || t.date {
        let present = driver.server.clock(driver.now);
        assert!(present - mark(&driver) <= HOUR, "{name}: the mark stands still: {:?}", driver.notes);
    }
}

/// As many as `TIPLINE_SEEDS` says; 300 without it.
#[test]
fn whatever_a_server_does_nothing_is_lost_in_silence() {
    let seeds = std::env::var("TIPLINE_SEEDS").map_or(300, |seeds| seeds.parse().unwrap());
    let failed: Vec<String> = (1..=seeds)
        .filter_map(|seed| std::panic::catch_unwind(|| round(seed)).err().map(|_| format!("{seed}")))
        .collect();
    assert!(failed.is_empty(), "{} of {seeds} seeds: {}", failed.len(), failed.join(" "));
}
