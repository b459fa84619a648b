//! The program against medallion 3.0.0, a TAXII server that others wrote, with taxii2-client, a reader that others wrote,
//! as the judge of how much there is.
//!
//! `TIPLINE_TEST_MEDALLION` names the script that starts one, `tests/servers/medallion`: every test has a server of its
//! own, as two of them change what it serves, and a poll that is killed leaves something behind in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;
use tipline::config::Config;
use tipline::state::{Counts, Ledger};

use crate::kills::run_for;
use crate::support::{Documents, Outcome, Ran, compiled, expected_of, in_sqlite, same_identities, tipline};
use crate::trial::missing;

const VARIABLE: &str = "TIPLINE_TEST_MEDALLION";

pub fn trials() -> Vec<Trial> {
    vec![
        trial("medallion::everything_is_read_once_and_counted_by_others", read_once),
        trial("medallion::a_poll_that_is_killed_or_cut_short_goes_on", goes_on),
        trial("medallion::an_update_updates_and_a_revocation_retires_at_once", changes),
        trial("medallion::check_tells_what_it_has_and_what_is_wrong", check),
        Trial::ignorable_test("medallion::indicators_of_others_are_read_once_and_counted", || {
            let corpus = std::env::var_os("TIPLINE_CORPUS")
                .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"), PathBuf::from);
            let data = corpus.join("medallion/data_300.json");
            match std::env::var(VARIABLE) {
                // It may not be copied into the repository, so that its absence is no fault of the machine.
                Ok(_) if !data.is_file() => Ok(Completion::ignored_with(format!("{} is not there", data.display()))),
                Ok(script) => {
                    read_once(Medallion::start(&script, &data.to_string_lossy())?).map(|()| Completion::Completed)
                }
                Err(_) => missing(&unset()),
            }
        }),
    ]
}

fn unset() -> String {
    format!("{VARIABLE} is not set; set it to the path of tests/servers/medallion")
}

/// A test with a server of its own, of generated indicators.
fn trial(name: &str, test: fn(Medallion) -> Outcome) -> Trial {
    Trial::ignorable_test(name, move || match std::env::var(VARIABLE) {
        Ok(script) => test(Medallion::start(&script, "generated")?).map(|()| Completion::Completed),
        Err(_) => missing(&unset()),
    })
}

/// A running server, and a folder with the configuration that polls it.
struct Medallion {
    folder: TempDir,
    /// What the script printed.
    root: String,
    discovery: String,
    login: String,
    password: String,
    python: String,
    data: Value,
    pid: String,
}

impl Medallion {
    fn start(script: &str, data: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        // Free now, and not given to anyone else so soon.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let output = Command::new(script)
            .env("PORT", port.to_string())
            .env("MEDALLION_DATA", data)
            .env("PAGE_SIZE", "100")
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .output()?;
        let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            return Err(format!("{script}: {err}").into());
        }
        let printed = |name: &str| {
            let value = out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.map(str::to_owned).ok_or_else(|| Failed::from(format!("{script} printed no {name}: {out}{err}")))
        };
        let server = Self {
            root: printed("URL")?,
            discovery: printed("DISCOVERY")?,
            login: printed("LOGIN")?,
            password: printed("PASSWORD")?,
            python: printed("PYTHON")?,
            data: serde_json::from_str(&fs::read_to_string(printed("DATA")?)?)?,
            pid: printed("PID")?,
            folder,
        };
        fs::create_dir(server.path("state"))?;
        std::os::unix::fs::symlink(compiled()?, server.path("state/cache"))?;
        Ok(server)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration, with these lines beside the usual ones of the input. Nothing expires by its
    /// age: what others serve is ten years old, and the sweep would delete it.
    fn configure(&self, input: &[&str]) -> Result<Config, Failed> {
        let login = [
            format!("username: {}", self.login),
            format!("password: {}", self.password),
            "initial_interval: all".to_owned(),
            "ttl: {ip: none, domain: none, url: none, email: none, hash: none, cve: none, other: none}".to_owned(),
        ];
        let file = self.path("tipline.yml");
        let lines = login.iter().map(String::as_str).chain(input.iter().copied());
        let lines: String = lines.map(|line| format!("    {line}\n")).collect();
        let text = format!(
            "inputs:\n  - id: feed\n    transport: taxii\n    url: {}\n    feed: {{name: Medallion}}\n{lines}output:\n  \
             sqlite: {{path: tipline.db}}\nstate_dir: state\n",
            self.discovery
        );
        fs::write(&file, text)?;
        crate::support::schema::load(&file)
    }

    fn program(&self, arguments: &[&str]) -> Result<Ran, Failed> {
        tipline(self.folder.path(), arguments)
    }

    /// Runs the program once, which must go well, and gives what it counted.
    fn once(&self) -> Result<Counts, Failed> {
        let ran = self.program(&["run", "--once", "--json"])?;
        if ran.code != Some(0) {
            return Err(format!("{ran:?}").into());
        }
        let line: Value = serde_json::from_str(ran.out.lines().next().unwrap_or_default())?;
        assert_eq!(line["adds_up"], true, "{line}");
        Ok(serde_json::from_value(line["counts"].clone())?)
    }

    fn ledger(&self) -> Result<Ledger, Failed> {
        Ok(Ledger::read(&self.path("tipline.db"))?)
    }

    fn stored(&self) -> Result<Documents, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(in_sqlite(self.ledger()?))
    }

    fn collection(&self) -> Result<&Value, Failed> {
        let all = self.data["feed"]["collections"].as_array().into_iter().flatten();
        all.into_iter().find(|one| one["title"] == "indicators").ok_or_else(|| "no collection of indicators".into())
    }

    /// Its objects of the type `indicator`.
    fn indicators(&self) -> Result<Vec<Value>, Failed> {
        let objects = self.collection()?["objects"].as_array().cloned().unwrap_or_default();
        Ok(objects.into_iter().filter(|object| object["type"] == "indicator").collect())
    }

    /// What the store should hold.
    fn expected(&self, config: &Config) -> Result<Documents, Failed> {
        let observed = tipline::clock::Clock::system().now();
        let settings = &config.inputs.first().ok_or("no input")?.guest_config;
        let expected = expected_of(settings, observed, &self.indicators()?, 50)?;
        if expected.len() < 200 { Err(format!("only {} documents", expected.len()).into()) } else { Ok(expected) }
    }

    /// taxii2-client, with this on its standard input.
    fn others(&self, action: &str, input: &str) -> Result<Vec<u8>, Failed> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/taxii.py");
        let mut child = Command::new(&self.python)
            .arg(script)
            .args([action, &self.root, &self.login, &self.password, "indicators"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().ok_or("no standard input")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(format!("taxii2-client could not {action}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }

    /// How many indicators others read.
    fn counted(&self) -> Result<u64, Failed> {
        let counted: Value = serde_json::from_slice(&self.others("count", "")?)?;
        counted["objects"]["indicator"].as_u64().ok_or_else(|| format!("taxii2-client counted {counted}").into())
    }

    /// Adds versions of objects, as a producer does.
    fn add(&self, objects: &[Value]) -> Outcome {
        self.others("add", &json!(objects).to_string()).map(|_| ())
    }
}

impl Drop for Medallion {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = Command::new("kill").arg(&self.pid).stderr(Stdio::null()).status();
    }
}

fn read_once(server: Medallion) -> Outcome {
    let config = server.configure(&["collection: indicators", "limit: 50", "overlap: 10s"])?;
    let all = server.once()?;
    let expected = server.expected(&config)?;
    let stored = server.stored()?;
    same_identities(&expected, &stored)?;
    let indicators = server.indicators()?.len() as u64;
    assert_eq!((all.read, server.counted()?), (indicators, indicators), "{all:?}");
    assert_eq!(server.ledger()?.counts("feed")?, all);

    // What was added in the last ten seconds before the latest comes again, and changes nothing.
    let again = server.once()?;
    assert!(again.read > 0 && again.read < 50, "{again:?}");
    same_identities(&expected, &server.stored()?)?;

    // Without an overlap there is nothing at all: medallion answers with `{}`.
    server.configure(&["collection: indicators", "limit: 50", "overlap: 0s"])?;
    assert_eq!(server.once()?, Counts::default());
    same_identities(&expected, &server.stored()?)
}

fn goes_on(server: Medallion) -> Outcome {
    let input = ["collection: indicators", "limit: 20"];
    let config = server.configure(&input)?;
    let expected = server.expected(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut random = fastrand::Rng::with_seed(0x6d65_6461);
    for _ in 0..3 {
        // Whether it ended by itself before it was killed does not matter.
        let time = Duration::from_millis(random.u64(300..2_000));
        runtime.block_on(run_for(server.folder.path(), Some(time)))?;
    }
    server.configure(&[&input[..], &["max_pages: 3"]].concat())?;
    // A run reads two pages at least, of which what one date has in common with the run before is known.
    let mut runs = 0;
    while runs == 0 || server.stored()?.len() < expected.len() {
        runs += 1;
        assert!(runs <= 300 / 30, "{} of {} are stored after {runs} runs", server.stored()?.len(), expected.len());
        server.once()?;
    }
    same_identities(&expected, &server.stored()?)?;
    let counts = server.ledger()?.counts("feed")?;
    assert!(counts.adds_up(), "{counts:?}");
    Ok(())
}

fn changes(server: Medallion) -> Outcome {
    server.configure(&["collection: indicators"])?;
    server.once()?;
    let before = server.stored()?;

    let of = |pattern: &str| {
        let found = server.indicators()?.into_iter().find(|object| object["pattern"] == pattern);
        found.ok_or_else(|| Failed::from(format!("there is no {pattern}")))
    };
    let (mut updated, mut revoked) =
        (of("[domain-name:value = 'n1.example']")?, of("[domain-name:value = 'n9.example']")?);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    (updated["modified"], updated["confidence"]) = (json!(now), json!(99));
    (revoked["modified"], revoked["revoked"]) = (json!(now), json!(true));
    server.add(&[updated, revoked])?;

    let found = |text: &str, more: &[&str]| server.program(&[&["search", text, "--count"], more].concat());
    assert_eq!(found("n9.example", &["--type", "domain"])?.out, "1\n");
    server.once()?;
    let after = server.stored()?;
    assert!(before.keys().eq(after.keys()), "the same documents");
    let confidence = |documents: &Documents| {
        let found = documents.values().find(|document| document["threat"]["indicator"]["name"] == "n1.example");
        found.map(|document| document["threat"]["indicator"]["confidence"].clone())
    };
    assert_eq!((confidence(&before), confidence(&after)), (Some(json!("Low")), Some(json!("High"))));
    assert_eq!(found("n9.example", &["--type", "domain"])?.out, "0\n");
    assert_eq!(found("n9.example", &["--type", "domain", "--expired"])?.out, "1\n");
    Ok(())
}

fn check(server: Medallion) -> Outcome {
    let id = server.collection()?["id"].as_str().unwrap_or_default().to_owned();
    let has = |ran: &Ran, part: &str| {
        if ran.out.contains(part) { Ok(()) } else { Err(Failed::from(format!("no `{part}` in {ran:?}"))) }
    };
    server.configure(&[&format!("collection: {id}")])?;
    let good = server.program(&["check"])?;
    assert_eq!(good.code, Some(0), "{good:?}");
    for part in [
        "ok    feed server: The server is \"Documentation ranges\".",
        &format!("ok    feed collection: It offers {id} (indicators).\n"),
        "(empty).\n",
        "(secret), not to be read by this account.\n",
        "ok    feed answer: 1 records on the first page (1 mapped",
    ] {
        has(&good, part)?;
    }
    server.once()?;
    has(&server.program(&["check"])?, "ok    feed waiting: nothing new since the last poll\n")?;
    let mut newer = server.indicators()?.into_iter().next().ok_or("no indicators")?;
    newer["modified"] = json!(jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
    server.add(&[newer])?;
    has(&server.program(&["check"])?, "ok    feed waiting: new objects wait for the next poll\n")?;

    for (collection, part) in [
        (
            "all",
            "`collection` names \"all\", which this server does not offer. Set it to one or more of those it offers: ",
        ),
        ("secret", "The collection \"secret\" is there, but the server says that this account may not read it."),
    ] {
        server.configure(&[&format!("collection: {collection}")])?;
        let ran = server.program(&["check"])?;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        has(&ran, part)?;
        if collection == "all" {
            has(&ran, &format!("{id} (indicators), "))?;
        }
    }

    let wrong = fs::read_to_string(server.path("tipline.yml"))?.replace(&server.password, "wrong-canary");
    fs::write(server.path("tipline.yml"), wrong)?;
    let ran = server.program(&["check"])?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    has(
        &ran,
        "fail  feed credential: The feed does not accept the credential: check `username` and `password`, `api_key` or `auth`.",
    )?;
    assert!(!ran.out.contains("canary") && !ran.err.contains("canary"), "{ran:?}");
    Ok(())
}
