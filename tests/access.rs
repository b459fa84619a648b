//! The page as the program serves it: who is led there, and what of it is written anywhere.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use libtest_mimic::{Failed, Trial};
use tipline::mock::MockSettings;
use tipline::store::kept::{Kept, View};

use crate::fake_elasticsearch::FakeElasticsearch;
use crate::program::{Running, Served, command, ensure, finished, printed};
use crate::support::Outcome;

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("access::serve_prints_a_link_and_open_another", serve_and_open),
        Trial::test("access::no_token_cookie_or_key_is_written_anywhere", nothing_is_written),
        Trial::test("access::run_and_serve_share_what_is_kept", run_and_serve),
        Trial::test("access::where_no_run_has_its_state_nothing_can_be_changed", without_state),
        Trial::test("access::open_says_what_is_missing", open_says_what_is_missing),
        Trial::test("access::no_link_goes_to_the_journal", journal),
        Trial::test("access::what_cannot_be_served_is_refused", refused),
    ]
}

/// Where a link leads, and its path.
fn parts(link: &str) -> Result<(&str, &str), Failed> {
    let rest = link.trim().strip_prefix("http://").ok_or_else(|| format!("no link: {link}"))?;
    let slash = rest.find('/').ok_or_else(|| format!("no path: {link}"))?;
    Ok(rest.split_at(slash))
}

/// Sends a request with these lines in its head; gives the answer.
fn ask(address: &str, request: &str, lines: &str, body: &str) -> Result<String, Failed> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The line with the cookie that a link is exchanged for.
fn cookie(link: &str) -> Result<String, Failed> {
    let (address, path) = parts(link)?;
    let answer = ask(address, &format!("GET {path}"), "", "")?;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
    Ok(format!("Cookie: {}\r\n", cookie.ok_or_else(|| format!("no cookie for {link}: {answer}"))?))
}

/// Follows a link as a browser does; gives the page.
pub fn visit(link: &str) -> Result<String, Failed> {
    let (address, _) = parts(link)?;
    let page = ask(address, "GET /", &cookie(link)?, "")?;
    ensure(page.starts_with("HTTP/1.1 200"), &page)?;
    Ok(page)
}

/// A place with a store of a few documents.
fn filled() -> Result<(tempfile::TempDir, Served), Failed> {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), 20)?;
    served.configure(place.path(), "")?;
    printed(place.path(), &["run", "--once"])?;
    Ok((place, served))
}

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

fn serve_and_open() -> Outcome {
    let (place, _served) = filled()?;
    let mut serving = Running::start_with(place.path(), &SERVE)?;
    let link = serving.writes("/open?token=")?;
    visit(&link)?;
    ensure(cookie(&link).is_err(), "it works once")?;
    let other = printed(place.path(), &["open"])?;
    ensure(other.lines().count() == 1 && other != link, &other)?;
    visit(&other)?;
    serving.signal("TERM")?;
    let code = serving.code()?;
    ensure(code == Some(0), format!("it ended with {code:?}:\n{}", serving.seen()))?;
    let left: Vec<_> = fs::read_dir(place.path().join(".tipline"))?.collect::<Result<_, _>>()?;
    ensure(!left.iter().any(|entry| entry.path().extension().is_some_and(|end| end == "key")), "its key is left")
}

/// Whether a file below a folder holds this.
fn is_in_a_file(folder: &Path, text: &str) -> Result<bool, Failed> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = match path.is_dir() {
            true => is_in_a_file(&path, text)?,
            false => fs::read(&path)?.windows(text.len()).any(|part| part == text.as_bytes()),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn nothing_is_written() -> Outcome {
    let (place, _served) = filled()?;
    let mut serving = Running::start_with(place.path(), &[&SERVE[..], &["-vv"]].concat())?;
    let link = serving.writes("/open?token=")?;
    let (address, path) = parts(&link)?;
    let token = path.split_once('=').ok_or("no token")?.1.to_owned();
    let line = cookie(&link)?;
    let cookie = line.trim().rsplit_once('=').ok_or("no cookie")?.1.to_owned();
    ask(address, &format!("GET {path}"), &line, "")?;
    ask(address, &format!("GET {path}x"), "", "")?;
    ask(address, "GET /", &line, "")?;
    let kept = Kept::open(&place.path().join(".tipline/page.db"))?;
    kept.save(&View { name: "all".to_owned(), query: String::new() })?;
    let key = kept.key("all", 0)?.shown().to_owned();
    let list = ask(address, &format!("GET /lists/all.txt?key={key}"), "", "")?;
    ensure(list.starts_with("HTTP/1.1 200"), list)?;
    ask(address, &format!("GET /lists/none.txt?key={key}"), "", "")?;
    serving.signal("TERM")?;
    serving.code()?;
    ensure(!serving.seen().is_empty(), "there is no log")?;
    drop(kept);
    for secret in [token, cookie, key] {
        ensure(!serving.seen().contains(&secret), format!("in the log: {secret}"))?;
        ensure(!is_in_a_file(place.path(), &secret)?, format!("in a file: {secret}"))?;
    }
    Ok(())
}

fn run_and_serve() -> Outcome {
    let place = tempfile::tempdir()?;
    let served = Served::start(MockSettings::default(), 20)?;
    served.configure(place.path(), "http: {listen: '127.0.0.1:0', page: true}\n")?;
    let mut run = Running::start(place.path())?;
    let line = run.until("served at http://")?;
    let address = line.split_once("served at http://").ok_or("no address")?.1.trim().to_owned();
    run.until("polled")?;
    // It is opened by what lies in the state folder, and shows metrics beside the page.
    let link = printed(place.path(), &["open"])?;
    ensure(parts(&link)?.0 == address, &link)?;
    visit(&link)?;
    let (status, text) = crate::health::get(&address, "/metrics", "localhost")?;
    ensure(status == 200 && text.contains("tipline_health"), text)?;

    let mut serving = Running::start_with(place.path(), &SERVE)?;
    let second = serving.writes("/open?token=")?;
    visit(&second)?;
    let port = parts(&second)?.0.rsplit_once(':').ok_or("no port")?.1;
    let chosen = printed(place.path(), &["open", "--port", port])?;
    ensure(parts(&chosen)?.0 == parts(&second)?.0, &chosen)?;
    // A link opens the page that made it, and no other.
    let (_, path) = parts(&chosen)?;
    let elsewhere = ask(&address, &format!("GET {path}"), "", "")?;
    ensure(elsewhere.starts_with("HTTP/1.1 403"), elsewhere)?;
    // What one of them keeps, the other one has.
    let kept = Kept::open(&place.path().join(".tipline/page.db"))?;
    kept.save(&View { name: "all".to_owned(), query: String::new() })?;
    let key = kept.key("all", 0)?;
    let list = format!("GET /lists/all.txt?key={}", key.shown());
    for address in [address.as_str(), parts(&second)?.0] {
        let answer = ask(address, &list, "", "")?;
        ensure(answer.starts_with("HTTP/1.1 200"), answer)?;
    }
    for mut running in [run, serving] {
        running.signal("TERM")?;
        let code = running.code()?;
        ensure(code == Some(0), format!("it ended with {code:?}:\n{}", running.seen()))?;
    }
    Ok(())
}

fn without_state() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let fake = runtime.block_on(FakeElasticsearch::start());
    let place = tempfile::tempdir()?;
    let url = fake.url.as_str().trim_end_matches('/');
    fs::write(place.path().join("tipline.yml"), format!("output: {{elasticsearch: {{hosts: ['{url}']}}}}\n"))?;
    let mut serving = Running::start_with(place.path(), &SERVE)?;
    serving.until("The page is read-only")?;
    let link = serving.writes("/open?token=")?;
    let line = cookie(&link)?;
    let (address, _) = parts(&link)?;
    let origin = format!("{line}Origin: http://{address}\r\n");
    let answer = ask(address, "POST /views", &origin, "")?;
    ensure(answer.starts_with("HTTP/1.1 403") && answer.contains("read-only"), answer)?;
    ensure(!place.path().join(".tipline/page.db").exists(), "a file was made")
}

fn open_says_what_is_missing() -> Outcome {
    let (place, _served) = filled()?;
    let none = || -> Outcome {
        let output = finished(place.path(), &["open"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        let clear = said.contains("tipline serve") && said.contains("http: {page: true}");
        ensure(output.status.code() == Some(2) && output.stdout.is_empty() && clear, said)
    };
    none()?;
    let mut serving = Running::start_with(place.path(), &SERVE)?;
    let link = serving.writes("/open?token=")?;
    serving.signal("KILL")?;
    serving.code()?;
    let port = parts(&link)?.0.rsplit_once(':').ok_or("no port")?.1;
    ensure(place.path().join(format!(".tipline/page-{port}.key")).exists(), "it was killed")?;
    // Its key lies there still.
    none()
}

/// What systemd gives a service for its output, and what a shell inherits from one.
fn journal() -> Outcome {
    use std::os::unix::fs::MetadataExt as _;
    let (place, _served) = filled()?;
    for is_journal in [true, false] {
        let (mut from, to) = std::io::pipe()?;
        let about = fs::metadata(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&to)))?;
        let inode = if is_journal { about.ino() } else { about.ino() + 1 };
        let mut child = command(place.path(), &SERVE)
            .env("JOURNAL_STREAM", format!("{}:{inode}", about.dev()))
            .stdout(to)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = std::io::BufReader::new(child.stderr.take().ok_or("no standard error")?);
        let mut line = String::new();
        while !line.contains("`tipline open` prints a link") {
            line.clear();
            if std::io::BufRead::read_line(&mut log, &mut line)? == 0 {
                return Err("it ended before it served anything".into());
            }
        }
        // Whatever it prints it has printed when it has answered a request.
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split(';').next()).ok_or("no address")?;
        if !is_journal {
            let mut begun = [0; 4];
            from.read_exact(&mut begun)?;
        }
        ask(address, "GET /healthz", "", "")?;
        std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        child.wait()?;
        let mut printed = String::new();
        from.read_to_string(&mut printed)?;
        ensure(printed.contains("token=") != is_journal, format!("{is_journal}: {printed}"))?;
    }
    Ok(())
}

fn refused() -> Outcome {
    let (place, served) = filled()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for (arguments, code, parts) in [
        (vec!["serve", "--listen", "0.0.0.0:9464"], 2, ["no login yet", "ssh -L 9464:127.0.0.1:9464"]),
        (vec!["serve", "--listen", "[2001:db8::1]:80"], 2, ["no login yet", "ssh -L 80:127.0.0.1:80"]),
        (vec!["serve", "--listen", &address], 1, ["Another program has this port", "serve --listen"]),
        (vec!["serve", "--listen", "everywhere"], 2, ["--listen", "invalid"]),
    ] {
        let output = finished(place.path(), &arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let clear = parts.iter().all(|part| said.contains(part));
        ensure(output.status.code() == Some(code) && clear, format!("{arguments:?}: {:?} {said}", output.status))?;
    }
    served.configure(place.path(), "output: {ndjson: {}}\n")?;
    let output = finished(place.path(), &SERVE)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure(output.status.code() == Some(2) && said.contains("cannot be searched"), said)
}
