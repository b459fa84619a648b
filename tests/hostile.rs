//! Guests that mean harm, each as a row of a table: answers of many small things, answers that never come, code that
//! costs its compiler gigabytes. Every one goes through the commands that run guests; the program goes on, says what came
//! of it, and its memory stays where it was.
//!
//! A guest is a core module written here by hand to the contract's layout, as no compiler would make it.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;
use tipline::mock::MockSettings;
use tipline::sandbox::{COMPILE_SUBCOMMAND, CallLimits, CompileLimits, Costly, Guest, Profile, SandboxError};
use tipline::sandbox::{MAX_DESCRIPTION_BYTES, MAX_DOCUMENTS, MAX_REJECTS};
use tipline::state::Ledger;

use crate::builds::sha256;
use crate::program::{Running, Served, ensure, printed};
use crate::support::pages::Pages;
use crate::support::{Outcome, command, tipline, trial};

pub fn trials() -> Vec<Trial> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let bombs = BOMBS.iter().map(move |bomb| {
        Trial::test(bomb.name, move || {
            bomb_costs(bomb)?;
            runtime()?.block_on(bomb_of_the_program(bomb))
        })
    });
    let answers = ANSWERS.iter().map(move |row| Trial::test(row.name, move || runtime()?.block_on(answered(row))));
    let stops = STOPPED.iter().map(move |row| Trial::test(row.name, move || runtime()?.block_on(stopped(row))));
    let others = vec![
        trial("hostile::tables_up_to_their_limit_and_none_beyond", tables_of_a_call),
        trial("hostile::a_candidate_that_grows_from_call_to_call_is_told", grows),
        trial("hostile::a_sweep_that_asks_a_guest_is_left_at_a_stop", swept),
        trial("hostile::map_tells_what_a_run_refuses", refused_by_map),
        Trial::test("hostile::only_files_are_taken_for_files", only_files),
        Trial::test("hostile::a_description_is_read_up_to_its_limit", description),
        Trial::test("hostile::the_time_of_a_compilation_is_a_setting", compile_time),
        trial("hostile::the_time_of_a_call_is_a_setting", call_time),
        trial("hostile::a_call_that_never_ends_is_left_at_a_stop", endless),
        trial("hostile::many_guests_at_once_share_the_memory", crowd),
        trial("hostile::a_guest_swapped_in_the_cache_never_runs", swapped),
    ];
    bombs.chain(answers).chain(stops).chain(others).collect()
}

/// What the program may take above what it takes at rest.
const ROOM_KIB: u64 = 512 * 1024;

/// Where lists begin in a guest's memory; what it is given stands below.
const LISTS: u32 = 1 << 20;

/// A guest that gives this answer to everything: `fill` writes a batch, or what comes in its place.
fn guest(fill: &str, more: &str) -> Result<Vec<u8>, Failed> {
    guest_described(fill, more, DESCRIPTION.len())
}

const DESCRIPTION: &str = r#"{"name":"hostile","version":"1","fields":{}}"#;

/// One whose description has this length; what follows the text are zeros.
fn guest_described(fill: &str, more: &str, length: usize) -> Result<Vec<u8>, Failed> {
    // Imports stand before everything else.
    let (imports, more) = if more.starts_with("(import") { (more, "") } else { ("", more) };
    let text = format!(
        r#"(module
  {imports}
  (memory (export "memory") 1700)
  (global $top (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  ;; A text or a list.
  (func $pair (param $at i32) (param $ptr i32) (param $len i32)
    (i32.store (local.get $at) (local.get $ptr))
    (i32.store offset=4 (local.get $at) (local.get $len)))
  ;; So many items of a size, each a copy of what stands at the beginning of the lists.
  (func $repeat (param $size i32) (param $count i32)
    (local $end i32) (local $at i32)
    (local.set $at (i32.add (i32.const {LISTS}) (local.get $size)))
    (local.set $end (i32.add (i32.const {LISTS}) (i32.mul (local.get $size) (local.get $count))))
    (loop $more
      (if (i32.lt_u (local.get $at) (local.get $end))
        (then
          (memory.copy (local.get $at) (i32.const {LISTS}) (local.get $size))
          (local.set $at (i32.add (local.get $at) (local.get $size)))
          (br $more)))))
  {more}
  (func $fill (param $base i32)
    {fill})
  (func (export "tipline:input/mapper@0.2.0#map-records") (param i32 i32 i64 i32 i32) (result i32)
    (global.set $given (local.get 4))
    (call $fill (i32.const 8))
    (i32.const 0))
  (func (export "tipline:input/pager@0.2.0#advance")
    (param i32 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (if (i32.eqz (local.get 5))
      (then
        (i32.store8 offset=88 (i32.const 0) (i32.const 0))
        (call $pair (i32.const 96) (i32.const 1024) (i32.const 3))
        (call $pair (i32.const 104) (i32.const 1032) (i32.const 2))
        (return (i32.const 0))))
    (i32.store8 offset=8 (i32.const 0) (i32.const 1))
    (i32.store8 offset=88 (i32.const 0) (i32.const 3))
    (call $fill (i32.const 16))
    (i32.const 0))
  (func (export "tipline:input/mapper@0.2.0#describe") (result i32)
    (call $pair (i32.const 512) (i32.const 1040) (global.get $described))
    (i32.const 512))
  ;; How many bytes of records were given last.
  (global $given (mut i32) (i32.const 0))
  (global $described (mut i32) (i32.const {length}))
  (data (i32.const 1024) "GET\00\00\00\00\00/1")
  (data (i32.const 1040) {DESCRIPTION:?})
  (data (i32.const 2048) "tipline.db "))"#
    );
    wat::parse_str(&text).map_err(|error| format!("{error}").into())
}

/// Writes a list's place at an offset of the batch.
fn list(offset: u32, at: u32, count: usize) -> String {
    format!("(call $pair (i32.add (local.get $base) (i32.const {offset})) (i32.const {at}) (i32.const {count}))")
}

/// Writes a number at an offset of the batch.
fn number(offset: u32, value: usize) -> String {
    format!("(i32.store offset={offset} (local.get $base) (i32.const {value}))")
}

/// The first item of the lists, of so many bytes, from these numbers; and so many copies of it.
fn items(size: usize, count: usize, item: &[(u32, u32)]) -> String {
    let mut text: String = item
        .iter()
        .map(|(at, value)| format!("(i32.store offset={at} (i32.const {LISTS}) (i32.const {value}))"))
        .collect();
    let _ = write!(text, "(call $repeat (i32.const {size}) (i32.const {count}))");
    text
}

/// Documents that are a byte and a line feed each.
fn documents(count: usize) -> String {
    let at = LISTS + 40 * u32::try_from(count).unwrap_or(0);
    let lines = format!(
        "(memory.fill (i32.const {at}) (i32.const 120) (i32.const {length}))
         (global.set $top (i32.const {at}))
         (loop $more
           (i32.store8 offset=1 (global.get $top) (i32.const 10))
           (global.set $top (i32.add (global.get $top) (i32.const 2)))
           (br_if $more (i32.lt_u (global.get $top) (i32.const {end}))))",
        length = 2 * count,
        end = at as usize + 2 * count,
    );
    [
        items(40, count, &[(0, 2048), (4, 7), (32, 1)]),
        lines,
        list(8, at, 2 * count),
        list(16, LISTS, count),
        number(32, count),
        number(36, count),
    ]
    .concat()
}

/// Rejects whose texts are these lengths.
fn rejects(count: usize, code: u32, detail: u32, raw: u32) -> String {
    let item = [(0, 2048), (4, code), (8, 2048), (12, detail), (16, 2048), (20, raw)];
    [items(24, count, &item), list(24, LISTS, count), number(32, count), number(40, count)].concat()
}

/// Skips of one record each, whose reasons have this length.
fn skips(count: usize, reason: u32) -> String {
    let item = [(0, 2048), (4, reason), (8, 1)];
    [items(12, count, &item), list(48, LISTS, count), number(32, count), number(44, count)].concat()
}

fn notes(count: usize, length: u32) -> String {
    [items(16, count, &[(0, 2048), (4, length), (8, 2048), (12, length)]), list(56, LISTS, count)].concat()
}

/// A failure whose text is `tipline.db `, so often.
fn failure(times: usize) -> String {
    let length = 11 * times;
    format!(
        "(memory.copy (i32.const {LISTS}) (i32.const 2048) (i32.const 11))
         (call $repeat (i32.const 11) (i32.const {times}))
         (i32.store8 (i32.const 0) (i32.const 1))
         (i32.store8 (i32.const 8) (i32.const 3))
         (call $pair (i32.const 12) (i32.const {LISTS}) (i32.const {length}))"
    )
}

/// An answer, and what each command says of it.
struct Answer {
    name: &'static str,
    fill: fn() -> String,
    /// What `run --once`, `map` and `eval` say, one of the words each.
    said: [&'static str; 3],
}

/// An answer that is refused says so everywhere; one that is kept is counted.
const ANSWERS: &[Answer] = &[
    Answer {
        name: "hostile::answer_of_as_many_short_documents_as_there_may_be",
        fill: || documents(MAX_DOCUMENTS),
        said: ["quarantined 300000", "mapped 300000", "300000"],
    },
    Answer {
        name: "hostile::answer_of_one_document_more",
        fill: || documents(MAX_DOCUMENTS + 1),
        said: ["more than the 300000 documents", "more than the 300000 documents", "more than the 300000 documents"],
    },
    Answer {
        name: "hostile::answer_of_as_many_short_rejects_as_there_may_be",
        fill: || rejects(MAX_REJECTS, 1, 1, 1),
        said: ["rejected 200000", "rejected 200000", "200000"],
    },
    Answer {
        name: "hostile::answer_of_one_reject_more",
        fill: || rejects(MAX_REJECTS + 1, 1, 1, 1),
        said: ["more than the 200000 rejects", "more than the 200000 rejects", "more than the 200000 rejects"],
    },
    Answer {
        name: "hostile::answer_of_rejects_that_are_all_one_long_text",
        fill: || rejects(2_000, 30_000, 30_000, 1_000_000),
        said: ["longer than the 67108864 bytes", "longer than the 67108864 bytes", "longer than the 67108864 bytes"],
    },
    Answer {
        name: "hostile::answer_of_rejects_with_long_codes",
        fill: || rejects(1_000, 30_000, 30_000, 1),
        said: ["rejected 1000", "rejected 1000", "1000"],
    },
    Answer {
        name: "hostile::answer_of_skips_of_a_million_reasons",
        fill: || skips(1_000_000, 3),
        said: ["skipped 1000000", "skipped 1000000", "1000000"],
    },
    Answer {
        name: "hostile::answer_of_a_million_notes",
        fill: || notes(1_000_000, 3),
        said: ["read 0", "read 0", "."],
    },
    Answer {
        name: "hostile::answer_of_a_failure_that_names_our_file_so_often",
        fill: || failure(100_000),
        said: ["tipline.db", "tipline.db", "protocol"],
    },
    Answer {
        name: "hostile::answer_of_a_failure_as_long_as_an_answer_may_be",
        fill: || failure(6_000_000),
        said: ["tipline.db", "tipline.db", "protocol"],
    },
    Answer {
        name: "hostile::answer_of_a_call_without_end",
        fill: || "(loop $more (br $more))".to_owned(),
        said: ["units of fuel", "units of fuel", "units of fuel"],
    },
    Answer {
        name: "hostile::answer_of_a_call_that_fills_its_memory_without_end",
        fill: || "(loop $more (memory.fill (i32.const 0) (i32.const 1) (i32.const 100000000)) (br $more))".to_owned(),
        said: ["no answer within 2s", "no answer within 2s", "no answer within 2s"],
    },
    Answer {
        name: "hostile::answer_of_memory_that_grows_without_end",
        fill: || "(loop $more (drop (memory.grow (i32.const 16))) (br $more))".to_owned(),
        said: ["bytes of memory", "bytes of memory", "bytes of memory"],
    },
    Answer {
        name: "hostile::answer_of_calls_in_each_other_without_end",
        fill: || "(call $fill (local.get $base))".to_owned(),
        said: ["stack", "stack", "stack"],
    },
];

/// A guest in a folder of its own, with a configuration.
struct Stand {
    folder: TempDir,
    feed: Pages,
}

impl Stand {
    async fn new(guests: &[Vec<u8>], sandbox: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let feed = Pages::start(&[("/1", "{}".to_owned())]).await?;
        let mut text = "inputs:\n".to_owned();
        for (number, guest) in guests.iter().enumerate() {
            fs::write(folder.path().join(format!("guest{number}.wasm")), guest)?;
            let (url, sum) = (&feed.url, sha256(guest));
            write!(
                text,
                "  - id: feed{number}\n    type: ./guest{number}.wasm\n    sha256: {sum}\n    url: {url}\n    \
                 feed: {{name: hostile}}\n    sandbox: {{{sandbox}}}\n"
            )?;
        }
        text += "output:\n  sqlite: {path: tipline.db}\nstate_dir: state\n";
        fs::write(folder.path().join("tipline.yml"), text)?;
        fs::write(folder.path().join("page.json"), "{\"data\":[]}")?;
        Ok(Self { folder, feed })
    }

    async fn ran(&self, arguments: &[&str]) -> Result<Measured, Failed> {
        let folder = self.folder.path().to_owned();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        tokio::task::spawn_blocking(move || measured(&folder, &arguments)).await?
    }
}

/// A command that has ended.
#[derive(Debug)]
struct Measured {
    said: String,
    code: Option<i32>,
    peak_kib: u64,
}

/// How often a process is looked at: its peak only rises, so the last look is at most this far behind.
const LOOK: Duration = Duration::from_millis(5);

fn measured(folder: &Path, arguments: &[String]) -> Result<Measured, Failed> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child =
        command(folder, &arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            // What is shown is shown in lines; a report of a gigabyte would be a fault of its own.
            assert!(bytes.len() < 64 << 20, "{} bytes were printed", bytes.len());
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>));
    let err = read(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read + Send>));
    let (peak_kib, code) = peak(&mut child)?;
    let said = [out, err].map(|thread| thread.join().unwrap_or_default()).concat();
    Ok(Measured { said, code, peak_kib })
}

fn peak(child: &mut Child) -> Result<(u64, Option<i32>), Failed> {
    let mut peak_kib = 0;
    loop {
        peak_kib = high_water_mark(child.id()).unwrap_or(peak_kib);
        if let Some(status) = child.try_wait()? {
            return Ok((peak_kib, status.code()));
        }
        std::thread::sleep(LOOK);
    }
}

fn high_water_mark(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What the program takes where it has nothing to do.
async fn idle(stand: &Stand) -> Result<u64, Failed> {
    fs::write(stand.folder.path().join("records.jsonl"), r#"{"type":"domain","value":"a.example"}"#)?;
    Ok(stand.ran(&["map", "records.jsonl"]).await?.peak_kib)
}

async fn answered(row: &Answer) -> Outcome {
    let guest = guest(&(row.fill)(), "")?;
    // So that a row takes seconds: the one that is to meet the clock has all the fuel there is.
    let fuel = if row.said[0].contains("2s") { "1000000000000" } else { "200000000" };
    let [run, map, eval] = row.said;
    said_by_each(guest, fuel, [run, map, eval, ""]).await
}

/// What `run`, `map`, `eval` and `check` say of a guest; none of them takes much memory for it.
async fn said_by_each(guest: Vec<u8>, fuel: &str, said: [&str; 4]) -> Outcome {
    let stand = Stand::new(&[guest], &format!("time: 2s, fuel: {fuel}")).await?;
    let idle = idle(&stand).await?;
    let eval = ["eval", "page.json", "--base", "built-in", "--candidate", "guest0.wasm", "--time", "2s"];
    let eval = [&eval[..], &["--fuel", fuel, "-c", "tipline.yml"]].concat();
    let commands: [&[&str]; 4] =
        [&["run", "--once"], &["map", "page.json", "-c", "tipline.yml"], &eval, &["check", "-c", "tipline.yml"]];
    for (arguments, expected) in commands.iter().zip(said) {
        let ran = stand.ran(arguments).await?;
        let said = crate::support::shortened(&ran.said);
        assert!(ran.said.contains(expected), "{arguments:?}: {expected} is not in {said}");
        assert!(ran.code.is_some(), "{arguments:?} was ended by a signal: {said}");
        assert!(!ran.said.contains("panicked"), "{arguments:?}: {said}");
        let taken = ran.peak_kib.saturating_sub(idle);
        assert!(taken < ROOM_KIB, "{arguments:?} took {} MiB: {said}", taken / 1024);
    }
    Ok(())
}

/// Code that costs its compiler more than its length says.
struct Bomb {
    name: &'static str,
    /// What stands beside the contract's own, growing with a number.
    code: fn(usize) -> Beside,
    /// The largest of it that compiles within the limits of the test, and one that does not.
    kept: usize,
    /// None where it costs no more than it is long.
    exceeded: Option<usize>,
    /// What is said of the one that does not.
    said: &'static str,
}

/// What stands beside the contract's own in a module.
enum Beside {
    Text(String),
    /// Types of so many parameters each, which nothing uses.
    Types(usize),
}

const COSTLY: &str = "compiling it took";

const BOMBS: &[Bomb] = &[
    Bomb {
        name: "hostile::bomb_of_loops",
        code: |n| Beside::Text(loops(n)),
        kept: 20,
        exceeded: Some(4_000),
        said: COSTLY,
    },
    Bomb {
        name: "hostile::bomb_of_locals",
        code: |n| Beside::Text(locals(n)),
        kept: 100,
        exceeded: Some(49_000),
        said: COSTLY,
    },
    Bomb {
        name: "hostile::bomb_of_functions",
        code: |n| Beside::Text(functions(n)),
        kept: 100,
        exceeded: Some(60_000),
        said: COSTLY,
    },
    Bomb { name: "hostile::bomb_of_tables", code: |n| Beside::Text(tables(n)), kept: 2, exceeded: None, said: COSTLY },
    Bomb { name: "hostile::bomb_of_data", code: |n| Beside::Text(data(n)), kept: 100, exceeded: None, said: COSTLY },
    Bomb {
        name: "hostile::bomb_of_data_segments",
        code: |n| Beside::Text("(data \"x\")".repeat(n)),
        kept: 1_000,
        exceeded: Some(100_001),
        said: "data segments",
    },
    Bomb {
        name: "hostile::bomb_of_nesting",
        code: |n| Beside::Text(nesting(n)),
        kept: 1_000,
        exceeded: Some(50_000),
        said: COSTLY,
    },
    Bomb { name: "hostile::bomb_of_types", code: Beside::Types, kept: 100, exceeded: Some(40_000), said: COSTLY },
    Bomb {
        name: "hostile::bomb_of_exports",
        code: |n| Beside::Text((0..n).map(|n| format!("(func (export \"e{n}\"))")).collect()),
        kept: 100,
        exceeded: Some(100_000),
        said: COSTLY,
    },
    Bomb {
        name: "hostile::bomb_of_imports",
        code: |n| Beside::Text((0..n).map(|n| format!("(import \"a\" \"n{n}\" (func))")).collect()),
        kept: 0,
        exceeded: Some(100_000),
        said: "import",
    },
];

/// Loops in each other, each of which changes some locals.
fn loops(count: usize) -> String {
    let locals = "i64 ".repeat(64);
    let sets: String = (0..64).map(|n| format!("(local.set {n} (i64.add (local.get {n}) (i64.const 1)))")).collect();
    let (begin, end) = ("(loop ".repeat(count), "(br_if 0 (i32.wrap_i64 (local.get 0))))".repeat(count));
    format!("(func (local {locals}) {begin}{sets}{end})")
}

/// One function with many locals, all of which live from loop to loop.
fn locals(count: usize) -> String {
    let sets: String = (0..count).map(|n| format!("(local.set {n} (i64.load (i32.const {})))", n * 8)).collect();
    let uses: String = (0..count).map(|n| format!("(i64.store (i32.const {}) (local.get {n}))", n * 8)).collect();
    let locals = "i64 ".repeat(count);
    format!("(func (local {locals}) (loop {sets}(loop {uses}(br 0))))")
}

fn functions(count: usize) -> String {
    let one = "(func (param i64 i64) (result i64) (i64.div_u (i64.mul (local.get 0) (local.get 1)) (i64.const 7)))";
    one.repeat(count)
}

/// Tables whose last element alone is said.
fn tables(count: usize) -> String {
    let one = |n: usize| format!("(table $t{n} 1000000 funcref) (elem (table $t{n}) (i32.const 999999) func 0)");
    (0..count).map(one).collect()
}

/// Bytes far apart from each other.
fn data(count: usize) -> String {
    (0..count).map(|n| format!("(data (i32.const {}) \"x\")", LISTS as usize + n * 1_000_000)).collect()
}

fn nesting(count: usize) -> String {
    format!("(func {}{})", "block ".repeat(count), "end ".repeat(count))
}

fn bomb(bomb: &Bomb, size: usize) -> Result<Vec<u8>, Failed> {
    let with = |more: &str| guest(&[list(8, LISTS, 0), number(32, 0)].concat(), more);
    match (bomb.code)(size) {
        Beside::Text(more) => with(&more),
        Beside::Types(count) => with_types(&with("")?, count),
    }
}

/// The module with so many types more, no two alike, behind its own. As bytes: as a text they would be many megabytes.
fn with_types(module: &[u8], count: usize) -> Result<Vec<u8>, Failed> {
    const HEAD: usize = 8;
    // The first section is that of the types.
    let (length, after) = unsigned(&module[HEAD + 1..])?;
    let (own, rest) = module[HEAD + 1 + after..].split_at(length);
    let (known, entries) = unsigned(own)?;
    let mut section = leb(known + count);
    section.extend(&own[entries..]);
    for number in 0..count {
        // A function without results, and with 900 parameters of two kinds, as the number's bits say.
        section.push(0x60);
        section.extend(leb(900));
        section.extend((0..900).map(|at| if number >> (at % 20) & 1 == 0 { 0x7f } else { 0x7e }));
        section.push(0);
    }
    Ok([&module[..=HEAD], &leb(section.len()), &section, rest].concat())
}

/// A number as WASM writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Such a number, and how many bytes it takes.
fn unsigned(bytes: &[u8]) -> Result<(usize, usize), Failed> {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).ok_or("no number")? + 1;
    let value = bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Ok((value, length))
}

/// Compiling ends within the limits, whatever is compiled, and says which of them it passed.
fn bomb_costs(row: &Bomb) -> Outcome {
    // Small, so that a row takes a second.
    let limits = CompileLimits { memory_bytes: 96 << 20, time: Duration::from_secs(20) };
    let compiled = |size: usize| {
        let file = bomb(row, size)?;
        Ok::<_, Failed>(Guest::compiled_within(&file, Profile::Sandboxed(CallLimits::SANDBOXED), limits, None))
    };
    compiled(row.kept)??;
    let Some(exceeded) = row.exceeded else { return Ok(()) };
    match compiled(exceeded)? {
        Err(SandboxError::Costly(Costly::Memory { .. } | Costly::Time { .. })) if row.said == COSTLY => Ok(()),
        Err(error @ SandboxError::Load(_)) if row.said != COSTLY => {
            let error = error.to_string();
            assert!(error.contains(row.said) && error.len() < 8 * 1024, "{error}");
            Ok(())
        }
        other => Err(format!("{}: {other:?}", row.name).into()),
    }
}

async fn bomb_of_the_program(row: &Bomb) -> Outcome {
    let Some(size) = row.exceeded else { return Ok(()) };
    let bomb = bomb(row, size)?;
    let stand = Stand::new(&[bomb], "compile_memory: 96MiB, compile_time: 20s").await?;
    let idle = idle(&stand).await?;
    let eval =
        ["eval", "page.json", "--candidate", "guest0.wasm", "--compile-memory", "96MiB", "--compile-time", "20s"];
    let commands: [&[&str]; 4] =
        [&["run", "--once"], &["map", "page.json", "-c", "tipline.yml"], &eval, &["check", "-c", "tipline.yml"]];
    for arguments in commands {
        let ran = stand.ran(arguments).await?;
        assert!(ran.said.contains(row.said), "{arguments:?}: {ran:?}");
        let is_named = ran.said.contains("`sandbox.compile_") || row.said != COSTLY;
        assert!(is_named, "{arguments:?} names no setting: {ran:?}");
        assert!(ran.peak_kib.saturating_sub(idle) < ROOM_KIB, "{arguments:?}: {ran:?}");
    }
    Ok(())
}

/// A guest that neither answers nor uses fuel worth the name; the time is set so long that only the stop can end it.
async fn endless() -> Outcome {
    let fill = format!("(if (i32.eqz {MAPS}) (then {STUCK}))");
    let stand = Stand::new(&[guest(&fill, "")?], "time: 1h, fuel: 1000000000000").await?;
    let folder = stand.folder.path().to_owned();
    let mut running = tokio::task::spawn_blocking(move || Running::start(&folder)).await??;
    // What follows the answer is the call.
    while stand.feed.requests().is_empty() {
        assert!(!running.has_ended()?, "{}", running.seen());
        tokio::time::sleep(LOOK).await;
    }
    tokio::task::spawn_blocking(move || {
        running.signal("TERM")?;
        let code = running.code()?;
        assert_eq!(code, Some(0), "{}", running.seen());
        assert!(!running.seen().contains("is left"), "the call was not ended: {}", running.seen());
        Ok(())
    })
    .await?
}

/// A command that is stopped while a stranger's code is being compiled for it.
struct Stopped {
    name: &'static str,
    arguments: &'static [&'static str],
    /// None where the signal itself ends it.
    code: Option<i32>,
}

const STOPPED: &[Stopped] = &[
    Stopped { name: "hostile::run_stopped_while_it_compiles", arguments: &["run"], code: Some(0) },
    Stopped { name: "hostile::run_once_stopped_while_it_compiles", arguments: &["run", "--once"], code: Some(1) },
    Stopped {
        name: "hostile::map_stopped_while_it_compiles",
        arguments: &["map", "page.json", "-c", "tipline.yml"],
        code: None,
    },
    Stopped {
        name: "hostile::eval_stopped_while_it_compiles",
        arguments: &["eval", "page.json", "--candidate", "guest0.wasm"],
        code: None,
    },
    Stopped { name: "hostile::check_stopped_while_it_compiles", arguments: &["check"], code: None },
];

/// The process that compiles is held, so that it can't be done before the signal comes.
async fn stopped(row: &'static Stopped) -> Outcome {
    let code: String = functions(60_000);
    let stand = Stand::new(&[guest("", &code)?], "compile_memory: 4GiB, compile_time: 1h").await?;
    let folder = stand.folder.path().to_owned();
    tokio::task::spawn_blocking(move || {
        let temporary = folder.join("temporary");
        fs::create_dir(&temporary)?;
        let mut child = Killed(
            command(&folder, row.arguments)
                .env("TMPDIR", &temporary)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?,
        );
        let compiler = compiler_of(&mut child.0)?;
        send("STOP", compiler)?;
        let began = Instant::now();
        send("TERM", child.0.id())?;
        let mut said = String::new();
        child.0.stderr.take().ok_or("no standard error")?.read_to_string(&mut said)?;
        let status = child.0.wait()?;
        assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}: {said}", began.elapsed());
        assert_eq!(status.code(), row.code, "{said}");
        assert!(!said.contains("is left"), "{said}");
        // It may have been held before it could ask to be ended with its parent; then it sees that it has none.
        if is_running(compiler) {
            send("CONT", compiler).ok();
        }
        // What ends it is the system's, which needs a moment.
        until(&format!("process {compiler} is still there"), || Ok(!is_running(compiler)))?;
        assert_eq!(fs::read_dir(&temporary)?.count(), 0, "in the temporary folder");
        let cache = folder.join("state/cache");
        let drafts = || Ok::<_, Failed>(fs::read_dir(&cache)?.map(|entry| entry.map(|entry| entry.file_name())));
        let left: Vec<_> = if cache.exists() { drafts()?.collect::<Result<_, _>>()? } else { Vec::new() };
        assert!(left.iter().all(|name| name == "key"), "{left:?}");
        Ok(())
    })
    .await?
}

/// Killed where a test fails before it has ended.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often something is looked at that comes by itself: a minute in all.
const LOOKS: u32 = 12_000;

fn until(what: &str, mut holds: impl FnMut() -> Result<bool, Failed>) -> Outcome {
    for _ in 0..LOOKS {
        if holds()? {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    Err(what.into())
}

/// The process that a command has started to compile.
fn compiler_of(child: &mut Child) -> Result<u32, Failed> {
    let id = child.id();
    let mut found = None;
    until("nothing is compiled", || {
        assert!(child.try_wait()?.is_none(), "it has ended");
        for task in fs::read_dir(format!("/proc/{id}/task"))?.flatten() {
            // A thread that has ended meanwhile has none.
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found = found.or(children.split_whitespace().find_map(|id| id.parse().ok()));
        }
        let name = |id: u32| fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        Ok(found.is_some_and(|id| String::from_utf8_lossy(&name(id)).contains(COMPILE_SUBCOMMAND)))
    })?;
    found.ok_or_else(|| "nothing is compiled".into())
}

/// What has ended and was not waited for yet is there as a zombie.
fn is_running(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn send(signal: &str, process: u32) -> Outcome {
    let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status()?;
    if sent.success() { Ok(()) } else { Err("the process could not be signalled".into()) }
}

/// Whether the call is one of `map-records`.
const MAPS: &str = "(i32.eq (local.get $base) (i32.const 8))";

/// It costs next to no fuel.
const STUCK: &str = "(loop $more (memory.fill (i32.const 0) (i32.const 1) (i32.const 100000000)) (br $more))";

/// A table costs its host memory that is no guest's.
async fn tables_of_a_call() -> Outcome {
    let table = |elements: u32| guest("", &format!("(table {elements} funcref)"));
    let said = ["read 0", "read 0", ".", ""];
    said_by_each(table(20_000)?, "200000000", said).await?;
    said_by_each(table(20_001)?, "200000000", ["table"; 4]).await
}

/// Each call leaves more memory behind; in a new instance there is enough.
async fn grows() -> Outcome {
    let grow = "(drop (memory.grow (i32.const 200)))";
    let stand = Stand::new(&[guest(grow, "")?], "").await?;
    let ran = stand.ran(&["eval", "page.json", "--candidate", "guest0.wasm"]).await?;
    assert!(ran.said.contains("a used instance asks for more than the 134217728 bytes"), "{ran:?}");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    Ok(())
}

/// A guest that answers whatever a poll asks, and never says what is excluded.
async fn swept() -> Outcome {
    // What is stored was another guest's.
    let stuck = format!("(if (i32.and {MAPS} (i32.gt_u (global.get $given) (i32.const 0))) (then {STUCK}))");
    let file = guest(&stuck, "")?;
    let served = tokio::task::spawn_blocking(|| Served::start(MockSettings::default(), 20)).await??;
    let folder = tempfile::tempdir()?;
    let place = folder.path().to_owned();
    tokio::task::spawn_blocking(move || {
        served.configure(&place, "")?;
        printed(&place, &["run", "--once"])?;
        fs::write(place.join("guest0.wasm"), &file)?;
        let (url, sum) = (served.feed.url(), sha256(&file));
        let text = format!(
            "inputs:\n  - id: feed\n    type: ./guest0.wasm\n    sha256: {sum}\n    url: {url}\n    \
             feed: {{name: SOC Defenders}}\n    exclude: [example]\n    sandbox: {{time: 1h, fuel: 1000000000000}}\n\
             sweep: {{interval: 1h}}\n"
        );
        fs::write(place.join("tipline.yml"), text)?;
        // The next one is due.
        Ledger::open(&place.join("tipline.db"))?.set_last_sweep(0)?;
        let mut running = Running::start(&place)?;
        running.until("polled")?;
        running.signal("TERM")?;
        let code = running.code()?;
        assert_eq!(code, Some(0), "{}", running.seen());
        assert!(!running.seen().contains("is left"), "the call was not ended: {}", running.seen());
        Ok(())
    })
    .await?
}

/// Documents of which none is one: a run keeps them aside, and `map` says so and leaves them out.
async fn refused_by_map() -> Outcome {
    let stand = Stand::new(&[guest(&documents(3), "")?], "").await?;
    let folder = stand.folder.path().to_owned();
    let ran =
        tokio::task::spawn_blocking(move || tipline(&folder, &["map", "page.json", "-c", "tipline.yml"])).await??;
    assert!(ran.err.contains("refused 3: invalid-json"), "{ran:?}");
    assert_eq!((ran.out.as_str(), ran.code), ("", Some(0)), "{ran:?}");
    Ok(())
}

/// A pipe without a writer is waited for by whoever opens it, and a device may have no end.
fn only_files() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("folder"))?;
    ensure(std::process::Command::new("mkfifo").arg(path("pipe")).status()?.success(), "no pipe")?;
    fs::write(path("key"), "secret")?;
    let sum = sha256(b"");
    let rows: &[(&[&str], &str)] = &[
        (&["check"], "    type: ./FILE\n    url: https://feed.example\n    sha256: SUM\n"),
        (&["check"], "    api_key_file: FILE\n"),
        (&["check"], "    http: {ca_file: FILE}\n    url: https://127.0.0.1:9/\n"),
        (&["check"], "    http: {client_cert: FILE}\n    url: https://127.0.0.1:9/\n"),
        (&["check"], "    exclude: [file:FILE]\n"),
        (&["check", "-c", "FILE"], ""),
        (&["replay", "FILE"], ""),
        (&["eval", "page.json", "--candidate", "./FILE"], ""),
        (&["eval", "page.json", "--candidate", "built-in", "--waivers", "FILE"], ""),
    ];
    fs::write(path("page.json"), "{\"data\":[]}")?;
    for (arguments, lines) in rows {
        for (file, said) in [("pipe", "it is a pipe"), ("folder", "it is a folder"), ("/dev/zero", "it is a device")] {
            // A guest is known by the slash in its name.
            let guest = if file.starts_with('/') { file.to_owned() } else { format!("./{file}") };
            let file = |text: &str| text.replace("./FILE", &guest).replace("FILE", file).replace("SUM", &sum);
            fs::write(path("tipline.yml"), format!("inputs:\n  - id: feed\n{}", file(lines)))?;
            let arguments: Vec<String> = arguments.iter().map(|argument| file(argument)).collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut child = command(folder.path(), &arguments);
            let mut child = Killed(child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
            until(&format!("{arguments:?} does not end: {lines}"), || Ok(child.0.try_wait()?.is_some()))?;
            let mut ran = String::new();
            child.0.stdout.take().ok_or("no output")?.read_to_string(&mut ran)?;
            child.0.stderr.take().ok_or("no output")?.read_to_string(&mut ran)?;
            assert!(ran.contains(said), "{arguments:?}, {lines}: {ran}");
        }
    }
    Ok(())
}

/// Eight guests that each take what one may take.
async fn crowd() -> Outcome {
    let grows =
        "(drop (memory.grow (i32.const 300))) (memory.fill (i32.const 65536) (i32.const 0) (i32.const 110000000))";
    let guests: Vec<_> = (0..8u32)
        .map(|n| {
            guest(&[grows, &documents(60_000), &number(40, 0)].concat(), &format!("(func (drop (i32.const {n})))"))
        })
        .collect::<Result<_, _>>()?;
    let stand = Stand::new(&guests, "").await?;
    let idle = idle(&stand).await?;
    let ran = stand.ran(&["run", "--once"]).await?;
    for number in 0..8 {
        assert!(ran.said.contains(&format!("feed{number}: ")), "{ran:?}");
    }
    assert!(!ran.said.contains("together"), "each has its turn: {ran:?}");
    assert!(ran.peak_kib.saturating_sub(idle) < ROOM_KIB, "{ran:?}");
    Ok(())
}

/// Machine code of one guest under the name of another one, as whoever shares the folder could put it there.
async fn swapped() -> Outcome {
    let named = |name: &str| guest(&failure(1), &format!("(func (export {name:?}))"));
    let (pinned, other) = (named("pinned")?, named("other")?);
    let stand = Stand::new(&[pinned, other], "").await?;
    let cache = stand.folder.path().join("state/cache");
    stand.ran(&["run", "--once"]).await?;
    let entries = || -> Result<Vec<_>, Failed> {
        let files =
            fs::read_dir(&cache)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        Ok(files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "code")).collect())
    };
    let before = entries()?;
    assert_eq!(before.len(), 2, "{before:?}");
    let code = fs::read(&before[0])?;
    fs::write(&before[1], &code)?;
    let ran = stand.ran(&["run", "--once"]).await?;
    assert!(ran.said.contains("An entry of the compile cache is not used"), "{ran:?}");
    assert_ne!(fs::read(&before[1])?, code, "it was compiled anew");
    Ok(())
}

fn description() -> Outcome {
    for (length, is_read) in [(MAX_DESCRIPTION_BYTES, true), (MAX_DESCRIPTION_BYTES + 1, false)] {
        let file = guest_described("", "", length)?;
        let described = Guest::new(&file, Profile::Sandboxed(CallLimits::SANDBOXED), None)?.describe();
        match described {
            Ok(text) => assert!(is_read && text.len() == length),
            Err(error) => assert!(!is_read && error.to_string().contains("longer than the 1048576 bytes"), "{error}"),
        }
    }
    Ok(())
}

fn compile_time() -> Outcome {
    let file = bomb(&BOMBS[2], 20_000)?;
    for (time, is_kept) in [(Duration::from_millis(100), false), (Duration::from_secs(600), true)] {
        let limits = CompileLimits { time, ..CompileLimits::DEFAULT };
        match Guest::compiled_within(&file, Profile::Sandboxed(CallLimits::SANDBOXED), limits, None) {
            Ok(_) => assert!(is_kept),
            Err(error) => assert!(!is_kept && error.to_string().contains("took longer than 100ms"), "{error}"),
        }
    }
    Ok(())
}

async fn call_time() -> Outcome {
    let once = "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 100000000))";
    let often = format!("(loop $more {once} (br $more))");
    for (fill, setting, said) in
        [(once, "", "read 0"), (&often, "time: 100ms, fuel: 1000000000000", "no answer within 100ms")]
    {
        let stand = Stand::new(&[guest(fill, "")?], setting).await?;
        let ran = stand.ran(&["run", "--once"]).await?;
        assert!(ran.said.contains(said), "{setting}: {ran:?}");
    }
    Ok(())
}
