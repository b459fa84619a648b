//! A file of records, cut into what a guest takes at once.
//!
//! A page or an array goes to the guest whole, within the limit of a feed's body. Lines are taken in chunks, so that a
//! file of any length needs the memory of one chunk; what a guest joins, it joins within a chunk. Bytes stay as they are: a
//! damaged one is the guest's to judge.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use tipline_model::clock::Millis;
use tipline_model::text;
use tipline_model::time;
use tipline_sandbox::Reject;

/// The longest page or array, and the longest line: a feed's body may not be longer either. Fixed: the guest's
/// memory is cut for it, and lines have no such end.
const MAX_WHOLE_BYTES: u64 = tipline_config::MAX_BODY_BYTES;

/// Lines that go to the guest at once: its documents are some 10 MiB.
const CHUNK_LINES: usize = 5_000;

/// Bytes that go to the guest at once, where lines are long.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// Takes what goes to the guest at once, with the time at which its feed showed it, where that is known.
pub type Each<'e> = &'e mut dyn FnMut(&[u8], Option<Millis>) -> Result<()>;

/// Hands over a page or an array whole, lines in chunks; with the page's own time where it has one.
///
/// # Errors
/// What cannot be read or is no JSON, with what was expected; and what `each` gives.
pub fn for_each_part(input: Box<dyn Read>, each: Each<'_>) -> Result<()> {
    up_to(MAX_WHOLE_BYTES, input, each)
}

/// Hands over all there is, for a guest that has its own idea of a page.
///
/// # Errors
/// What cannot be read or is too long; and what `each` gives.
pub fn whole(input: Box<dyn Read>, each: Each<'_>) -> Result<()> {
    whole_up_to(MAX_WHOLE_BYTES, input, each)
}

fn whole_up_to(most: u64, input: impl Read, each: Each<'_>) -> Result<()> {
    let mut page = Vec::new();
    input.take(most + 1).read_to_end(&mut page).context("The records cannot be read")?;
    if page.len() as u64 > most {
        bail!("The input is longer than {}; no feed's page is that long. Split the file.", text::bytes(most));
    }
    each(&page, None)
}

/// What tells a page from a record.
#[derive(Deserialize)]
struct Shape {
    data: Option<IgnoredAny>,
    objects: Option<IgnoredAny>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    generated_at: Option<String>,
}

/// Hands over a page or an array whole, lines in chunks; with the page's own time where it has one. What is longer than
/// `most` bytes is no page, no array and no line.
fn up_to(most: u64, input: impl Read, each: Each<'_>) -> Result<()> {
    let mut input = BufReader::new(input);
    let mut start = Vec::new();
    input.by_ref().take(most).read_to_end(&mut start).context("The records cannot be read")?;
    let is_all = input.fill_buf().context("The records cannot be read")?.is_empty();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    let opening = start.iter().find(|b| !b.is_ascii_whitespace());
    let whole = start;
    match opening {
        None => bail!("The input is empty; expected a page, an array of records, or one record a line."),
        Some(b'[' | b'{') => {}
        Some(_) => bail!(
            "The input begins with `{}`; expected JSON: a page, an array of records, or one record a line.",
            text::escape(&String::from_utf8_lossy(whole).trim_start().chars().take(40).collect::<String>())
        ),
    }
    if is_all && opening == Some(&b'[') && serde_json::from_slice::<IgnoredAny>(whole).is_ok() {
        return each(whole, None);
    }
    if is_all && let Ok(shape) = serde_json::from_slice::<Shape>(whole) {
        if shape.data.is_none() && shape.objects.is_none() {
            // One record, perhaps over many lines.
            return each(&[b"[", whole, b"]"].concat(), None);
        }
        let generated = shape.meta.and_then(|m| m.generated_at).and_then(|at| time::parse(at.trim()));
        return each(whole, generated);
    }
    if opening == Some(&b'[') {
        let reason = match is_all {
            true => "is not valid JSON".to_owned(),
            false => format!("is longer than {}", text::bytes(most)),
        };
        bail!("The input is an array and {reason}; write one record a line instead.");
    }
    for_each_chunk(BufReader::new(start.chain(input)), most, |chunk| each(chunk, None))
}

fn for_each_chunk(mut lines: impl BufRead, most: u64, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut chunk = Vec::new();
    let mut count = 0;
    loop {
        let before = chunk.len();
        let read = lines.by_ref().take(most + 1).read_until(b'\n', &mut chunk).context("The records cannot be read")?;
        if read as u64 > most {
            bail!("A line is longer than {}; no record is that long. Split the file.", text::bytes(most));
        }
        count += 1;
        if read == 0 || count == CHUNK_LINES || before + read >= CHUNK_BYTES {
            if !chunk.iter().all(u8::is_ascii_whitespace) {
                each(&chunk)?;
            }
            chunk.clear();
            count = 0;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// A reject as a line of a file: its text, or in base64 what is none.
pub fn reject_line(reject: &Reject, observed: Millis) -> String {
    #[derive(Serialize)]
    struct Line<'r> {
        code: &'r str,
        detail: &'r str,
        #[serde(skip_serializing_if = "Option::is_none")]
        raw: Option<&'r str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        raw_base64: Option<String>,
        observed: Millis,
    }
    let raw = std::str::from_utf8(&reject.raw).ok();
    let raw_base64 = raw.is_none().then(|| base64::engine::general_purpose::STANDARD.encode(&reject.raw));
    let line = Line { code: &reject.code, detail: &reject.detail, raw, raw_base64, observed };
    // Texts and a number are always JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of inputs that are texts.
    fn parts(input: &[u8]) -> Result<Vec<(String, Option<Millis>)>> {
        let parts = parts_up_to(MAX_WHOLE_BYTES, input)?;
        Ok(parts.into_iter().map(|(part, at)| (String::from_utf8(part).unwrap(), at)).collect())
    }

    fn parts_up_to(most: u64, input: &[u8]) -> Result<Vec<(Vec<u8>, Option<Millis>)>> {
        let mut parts = Vec::new();
        up_to(most, input, &mut |part, generated| {
            parts.push((part.to_vec(), generated));
            Ok(())
        })?;
        Ok(parts)
    }

    #[test]
    fn pages_arrays_and_single_records_go_whole() {
        let page = r#"{"meta":{"generated_at":"2024-12-09T10:30:00Z"},"data":[]}"#;
        let pretty = "{\n  \"data\": [],\n  \"meta\": {}\n}\n";
        for (input, expected) in [
            (page, (page.to_owned(), Some(1_733_740_200_000))),
            (pretty, (pretty.to_owned(), None)),
            ("[{\"a\":1},\n{\"a\":2}]", ("[{\"a\":1},\n{\"a\":2}]".to_owned(), None)),
            ("{\"objects\":[]}", ("{\"objects\":[]}".to_owned(), None)),
            ("{\n\"a\":1}", ("[{\n\"a\":1}]".to_owned(), None)),
            ("\u{feff}[]", ("[]".to_owned(), None)),
        ] {
            assert_eq!(parts(input.as_bytes()).unwrap(), [expected]);
        }
    }

    #[test]
    fn lines_go_in_chunks() {
        let lines = "{\"a\":1}\n".repeat(CHUNK_LINES);
        assert_eq!(parts(lines.as_bytes()).unwrap(), [(lines.clone(), None)]);
        let more = lines.clone() + "{\"a\":2}";
        assert_eq!(parts(more.as_bytes()).unwrap(), [(lines, None), ("{\"a\":2}".to_owned(), None)]);
        let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(CHUNK_BYTES / 2));
        assert_eq!(parts(long.repeat(3).as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn a_whole_input_and_a_line_have_a_longest_form() {
        let most = 20;
        for (input, expected) in [
            ("[{\"a\":\"xxxxxxxxxx\"}]", Ok(1)),
            ("[{\"a\":\"xxxxxxxxxxx\"}]", Err("an array and is longer than 20 B")),
            ("{\"data\":[{\"a\":123}]}", Ok(1)),
            // A line, its end included; what is no page any more is read by lines.
            ("{\"a\":\"xxxxxxxxxxx\"}\n{}\n", Ok(1)),
            ("{\"a\":\"xxxxxxxxxxxx\"}\n{}\n", Err("A line is longer than 20 B")),
        ] {
            match (parts_up_to(most, input.as_bytes()), expected) {
                (Ok(parts), Ok(count)) => assert_eq!(parts.len(), count, "{input}"),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{input}: {error}"),
                (other, _) => panic!("{input}: {other:?}"),
            }
        }
        let taken = |input: &str| whole_up_to(most, input.as_bytes(), &mut |_, _| Ok(()));
        assert!(taken("a page of 20 bytes..").is_ok());
        assert!(taken("a page of 21 bytes...").unwrap_err().to_string().contains("longer than 20 B"));
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        for input in [&b"{\"a\":\"\xff\"}\n{}\n"[..], b"{\"data\":[\"\xff\"]}", b"[\"\xff\"]"] {
            assert_eq!(parts_up_to(MAX_WHOLE_BYTES, input).unwrap(), [(input.to_vec(), None)]);
        }
    }

    #[test]
    fn a_reject_is_a_line_of_a_file() {
        for (raw, expected) in [
            (&b"{\"v\":\"\xc3\xa9\"}\n"[..], "\"raw\":\"{\\\"v\\\":\\\"\u{e9}\\\"}\\n\""),
            (b"\xff\x00", "\"raw_base64\":\"/wA=\""),
        ] {
            let reject = Reject { code: "c".to_owned(), detail: "d".to_owned(), raw: raw.to_vec() };
            let line = format!("{{\"code\":\"c\",\"detail\":\"d\",{expected},\"observed\":7}}");
            assert_eq!(reject_line(&reject, 7), line);
        }
    }

    #[test]
    fn a_bad_line_is_the_guests_to_reject() {
        let lines = "{\"a\":\n{\"b\":2}\n";
        assert_eq!(parts(lines.as_bytes()).unwrap(), [(lines.to_owned(), None)]);
    }

    #[test]
    fn what_is_no_records_is_refused() {
        for (input, expected) in [
            (&b""[..], "The input is empty"),
            (b" \n\n", "The input is empty"),
            (b"<html>\x1b", "begins with `<html>\\u{1b}`; expected JSON"),
            (b"[{\"a\":1}", "an array and is not valid JSON"),
        ] {
            assert!(parts(input).unwrap_err().to_string().contains(expected));
        }
    }
}
