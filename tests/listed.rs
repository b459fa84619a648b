//! The lists of bounds and faults, held to the sources: each bound has its row with its value, each row names tests that run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use libtest_mimic::{Failed, Trial};

use crate::support::Outcome;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("bounds::every_bound_is_listed_with_its_tests", every_bound),
        Trial::test("bounds::every_fault_names_tests_that_are_there", every_fault),
        Trial::test("bounds::guest_and_host_have_the_same_numbers", both_sides),
        Trial::test("bounds::what_a_constant_is_and_what_a_row_says_are_read", reading),
    ]
}

/// A Rust file of the repository: its path from the root, and its text.
type Source = (String, String);

/// All Rust texts of these folders of the repository.
fn sources(folders: &[&str]) -> Result<Vec<Source>, Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut left: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path)?;
                found.push((path.strip_prefix(&root)?.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The names of all tests: functions with `#[test]`, the trials of this binary, and those of the others that have no harness.
fn tests_there() -> Result<BTreeSet<String>, Failed> {
    let mut names: BTreeSet<String> = crate::trials().iter().map(|trial| trial.name().to_owned()).collect();
    for (_, text) in sources(&["host", "guest"])? {
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if !line.starts_with("#[") && !line.starts_with("//") {
                let function = line.trim_start_matches("async ").strip_prefix("fn ").filter(|_| is_test);
                names.extend(function.and_then(|rest| rest.split(['(', '<']).next()).map(str::to_owned));
                is_test = false;
            }
            let trial = ["Trial::test(\"", "plain(\"", "shared(\""].into_iter().find_map(|call| line.split_once(call));
            names.extend(trial.and_then(|(_, rest)| rest.split('"').next()).map(str::to_owned));
        }
    }
    Ok(names)
}

/// Whether there is this test. Those of real clusters are listed for each of them.
fn is_there(names: &BTreeSet<String>, name: &str) -> bool {
    let of_group = |groups: &[&str]| groups.iter().any(|group| names.contains(&format!("{group}::{name}")));
    names.contains(name) || of_group(&["opensearch"])
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_bound(name: &str) -> bool {
    name.starts_with("MAX_")
        || name.contains("_MAX_")
        || name.starts_with("LONGEST")
        || name.starts_with("DEEPEST")
        || name.ends_with("_TIMEOUT")
}

/// The constants of the program: what stands behind the name, by file and name.
struct Constants(BTreeMap<(String, String), String>);

impl Constants {
    fn of_the_program() -> Result<Self, Failed> {
        let folders = ["host", "guest/src", "guest/sdk/src", "guest/ecs/src", "guest/observable/src", "guest/stix/src"];
        // The mock feed and tests bound nothing of the program's.
        let is_of_program = |(file, _): &Source| !file.contains("/mock/") && !file.contains("/tests");
        Ok(Self::read(sources(&folders)?.into_iter().filter(is_of_program)))
    }

    fn read(sources: impl IntoIterator<Item = Source>) -> Self {
        let mut all = BTreeMap::new();
        for (file, text) in sources {
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for rest in text.split("const ").skip(1) {
                let Some((name, rest)) = rest.split_once(": ") else { continue };
                let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
                if let (true, Some((_, value))) =
                    (is_name, rest.split_once(';').and_then(|(rest, _)| rest.split_once('=')))
                {
                    all.insert((file.clone(), name.to_owned()), value.trim().to_owned());
                }
            }
        }
        Self(all)
    }

    /// The value of a constant in what a row counts in: bytes, milliseconds, or pieces. None where it is no number.
    fn value(&self, file: &str, name: &str) -> Option<u64> {
        let value = self.evaluate(file, self.0.get(&(file.to_owned(), name.to_owned()))?)?;
        Some(match name {
            _ if name.contains("_KIB_") => value * 1024,
            _ if name.ends_with("_SECONDS") => value * 1000,
            _ => value,
        })
    }

    /// Sums, products, durations and names.
    fn evaluate(&self, file: &str, text: &str) -> Option<u64> {
        let text = text.trim();
        if let Some((one, other)) = text.split_once(" + ") {
            return self.evaluate(file, one)?.checked_add(self.evaluate(file, other)?);
        }
        for (call, unit) in [("Duration::from_secs(", 1000), ("Duration::from_millis(", 1)] {
            if let Some(inner) = text.strip_prefix(call).and_then(|rest| rest.strip_suffix(')')) {
                return Some(self.evaluate(file, inner)? * unit);
            }
        }
        if let Some((one, other)) = text.split_once(" * ") {
            return self.evaluate(file, one)?.checked_mul(self.evaluate(file, other)?);
        }
        if let Ok(number) = text.replace('_', "").parse() {
            return Some(number);
        }
        // One of the same file, or what all other files of the same side call so.
        let name = text.rsplit("::").next()?;
        if self.0.contains_key(&(file.to_owned(), name.to_owned())) {
            return self.value(file, name);
        }
        let side = file.split('/').next();
        let others = self.0.keys().filter(|(other, there)| there == name && other.split('/').next() == side);
        let values: BTreeSet<_> = others.filter_map(|(other, name)| self.value(other, name)).collect();
        values.first().copied().filter(|_| values.len() == 1)
    }

    /// The file and the name of what a row calls `NAME`, or where several files have that, `path/of/file.rs::NAME`.
    fn find(&self, shown: &str) -> Result<(String, String), String> {
        if let Some((file, name)) = shown.split_once(".rs::") {
            return Ok((format!("{file}.rs"), name.to_owned()));
        }
        let of_name = self.0.keys().filter(|(file, name)| name == shown && self.value(file, name).is_some());
        let files: Vec<_> = of_name.map(|(file, _)| file.as_str()).collect();
        match files[..] {
            [file] => Ok((file.to_owned(), shown.to_owned())),
            [] => Err(format!("there is no constant {shown} that is a number")),
            _ => Err(format!("{shown} stands in {}: write `file.rs::{shown}`", files.join(", "))),
        }
    }
}

/// The numbers of a text, in their order, in bytes, milliseconds, or pieces.
fn numbers(text: &str) -> Vec<u64> {
    const UNITS: [(&str, f64); 9] = [
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("ms", 1.0),
        ("s", 1_000.0),
        ("min", 60_000.0),
        ("h", 3_600_000.0),
        ("d", 86_400_000.0),
        ("years", 365.0 * 86_400_000.0),
    ];
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.'])).collect();
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let Ok(number) = word.replace(',', "").parse::<f64>() else { continue };
        let is_last = text.split_whitespace().nth(place).is_some_and(|word| word.ends_with([',', ';']));
        let unit = words.get(place + 1).filter(|_| !is_last);
        let factor =
            unit.and_then(|unit| UNITS.iter().find(|(name, _)| name == unit)).map_or(1.0, |(_, factor)| *factor);
        found.push((number * factor) as u64);
    }
    found
}

fn every_bound() -> Outcome {
    let there = tests_there()?;
    let constants = Constants::of_the_program()?;
    let mut listed = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in include_str!("BOUNDS.md").lines().filter(|line| line.starts_with("| `")) {
        let [bound, default, setting, tests] = row.trim_matches('|').split('|').collect::<Vec<_>>()[..] else {
            return Err(format!("not a row of four: {row}").into());
        };
        if setting.trim().is_empty() {
            wrong.push(format!("neither a setting nor a reason: {row}"));
        }
        let (mut values, said) = (Vec::new(), numbers(default));
        for shown in quoted(bound) {
            match constants.find(shown) {
                Ok((file, name)) => {
                    values.extend(constants.value(&file, &name));
                    listed.insert((file, name));
                }
                Err(why) => wrong.push(format!("{why}: {row}")),
            }
        }
        if values != said {
            wrong.push(format!("the constants are {values:?}, and the row says {said:?}: {row}"));
        }
        if quoted(tests).next().is_none() {
            wrong.push(format!("no test: {row}"));
        }
        wrong.extend(
            quoted(tests).filter(|test| !is_there(&there, test)).map(|test| format!("there is no test {test}: {row}")),
        );
    }
    for (file, name) in
        constants.0.keys().filter(|(file, name)| is_bound(name) && constants.value(file, name).is_some())
    {
        if !listed.contains(&(file.clone(), name.clone())) {
            wrong.push(format!("{name} of {file} is not in tests/BOUNDS.md"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn every_fault() -> Outcome {
    let there = tests_there()?;
    let (mut count, mut wrong) = (0, Vec::new());
    for row in include_str!("FAULTS.md").lines().filter(|line| line.starts_with("| ")).skip(1) {
        let Some(tests) = row.trim_matches('|').split('|').nth(2) else { return Err(row.into()) };
        for name in quoted(tests).filter(|name| !name.contains('*') && !name.contains(' ')) {
            let name = name.strip_prefix("rest::").unwrap_or(name);
            if !is_there(&there, name) {
                wrong.push(format!("there is no test {name}: {row}"));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 80, "only {count} tests are named");
    Ok(())
}

/// What both sides of the contract hold to is written on each, as neither has the other's code.
fn both_sides() -> Outcome {
    let constants = Constants::of_the_program()?;
    for (guest, host) in [
        (("guest/sdk/src/contract.rs", "MAX_STATE_BYTES"), ("host/store/src/state/commit.rs", "MAX_STATE_BYTES")),
        (("guest/sdk/src/page.rs", "MAX_REJECTS"), ("host/sandbox/src/bounds.rs", "MAX_REJECTS")),
        (("guest/ecs/src/claim.rs", "SECONDS_SHIFT"), ("host/store/src/page.rs", "VERSION_SECONDS_SHIFT")),
        (("guest/src/memory.rs", "MAX_ROW_BYTES"), ("host/store/src/memory.rs", "MAX_VALUE_BYTES")),
        (("guest/src/refusal.rs", "RAW_KEPT"), ("host/config/src/limits.rs", "MAX_RAW_BYTES")),
    ] {
        let values = [guest, host].map(|(file, name)| constants.value(file, name));
        assert!(values[0].is_some() && values[0] == values[1], "{guest:?} and {host:?} are {values:?}");
    }
    Ok(())
}

fn reading() -> Outcome {
    for (text, found) in [
        ("300,000, 4 KiB of an answer", &[300_000, 4_096][..]),
        ("1.5 s", &[1_500]),
        ("20, one in 5", &[20, 5]),
        ("3, 6; TAXII 1, 100", &[3, 6, 1, 100]),
        ("10 years, or less by `timeout`", &[315_360_000_000]),
        ("32 lists in each other", &[32]),
    ] {
        assert_eq!(numbers(text), found, "{text}");
    }
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let constants = Constants::read([
        file(
            "host/a.rs",
            "pub const A: usize = 4 * 1024;\nconst B: Duration = Duration::from_secs(2 * 60);\nconst C: &str = \"x\";",
        ),
        file(
            "host/b.rs",
            "const A: u64 = 2 * other::D + 1;\nconst fn no() {}\n#[cfg(test)]\nmod tests {\nconst E: u8 = 1;",
        ),
        file("host/c.rs", "const D: u64 = 1_000;\nconst F_SECONDS: u64 = 3;\nconst G: RangeInclusive<u8> = 1..=2;"),
    ]);
    for (file, name, value) in [
        ("host/a.rs", "A", Some(4_096)),
        ("host/a.rs", "B", Some(120_000)),
        ("host/a.rs", "C", None),
        ("host/b.rs", "A", Some(2_001)),
        ("host/b.rs", "E", None),
        ("host/c.rs", "F_SECONDS", Some(3_000)),
        ("host/c.rs", "G", None),
    ] {
        assert_eq!(constants.value(file, name), value, "{file} {name}");
    }
    assert!(constants.find("A").unwrap_err().contains("host/a.rs, host/b.rs"));
    assert_eq!(constants.find("D")?.0, "host/c.rs");
    assert_eq!(constants.find("host/b.rs::A")?.0, "host/b.rs");
    Ok(())
}
