//! Finds a text however its characters are escaped, each in a way of its own.
//!
//! A server that repeats a key may escape any of its characters and leave any other as it is, and every encoder keeps
//! other ones; so a list of whole codings is never complete. Here each escape in a text is read back on its own: percent
//! signs (with either case, coded again up to three times), `\u002f`, `\x2f`, `\/`, `&#47;`, `&#x2f;`, `&amp;`. Where
//! what it stands for may be a character of a needle, and what stands before it is the needle's beginning, the rest is
//! followed character by character. A text without escapes costs one look for the three characters that begin one.

use std::ops::Range;

/// How often a percent sign may itself be coded. A proxy and an application that each do it once are two.
const MAX_LAYERS: usize = 3;

/// What the texts looked for have at which place, by byte.
#[derive(Clone)]
pub(super) struct Escapes {
    needles: Vec<Vec<u8>>,
    /// For each byte: the needles that hold it, and where.
    places: Vec<Vec<(usize, usize)>>,
}

/// What an escape may stand for, and how long it is; a coded percent sign has two readings or more.
type Readings = [Option<(u8, usize)>; MAX_LAYERS];

impl Escapes {
    pub(super) fn new(needles: impl IntoIterator<Item = String>) -> Self {
        let needles: Vec<Vec<u8>> = needles.into_iter().map(String::into_bytes).collect();
        let mut places = vec![Vec::new(); 256];
        for (number, needle) in needles.iter().enumerate() {
            for (at, byte) in needle.iter().enumerate() {
                places[usize::from(*byte)].push((number, at));
            }
        }
        Self { needles, places }
    }

    /// Where the needles stand with at least one escape in them; in order, without overlaps. The ends are borders of
    /// characters: a needle begins and ends with a whole one, and an escape is ASCII.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut from = 0;
        while let Some(at) = text[from..].iter().position(|b| matches!(b, b'%' | b'\\' | b'&')).map(|at| from + at) {
            from = at + 1;
            let after = found.last().map_or(0, |last| last.end);
            if at < after {
                continue;
            }
            if let Some(span) = self.around(&text[after..], at - after) {
                from = after + span.end;
                found.push(after + span.start..after + span.end);
            }
        }
        found
    }

    /// The longest needle whose first escape stands here.
    fn around(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let mut longest: Option<Range<usize>> = None;
        for (byte, length) in readings(&text[at..]).into_iter().flatten() {
            for (number, place) in &self.places[usize::from(byte)] {
                let (before, rest) = self.needles[*number].split_at(*place);
                if !text[..at].ends_with(before) {
                    continue;
                }
                if let Some(end) = end(text, at + length, &rest[1..]) {
                    let span = at - before.len()..end;
                    if longest.as_ref().is_none_or(|longest| longest.len() < span.len()) {
                        longest = Some(span);
                    }
                }
            }
        }
        longest
    }
}

/// Where a needle ends that goes on from here, escaped or not.
fn end(text: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    // All places that what was read so far may have led to: a percent sign of the needle has two spellings.
    let mut places = vec![from];
    for wanted in needle {
        let mut next = Vec::new();
        for place in places {
            let rest = text.get(place..).unwrap_or_default();
            let plain = rest.first().filter(|byte| *byte == wanted).map(|byte| (*byte, 1));
            for (byte, length) in readings(rest).into_iter().flatten().chain(plain) {
                if byte == *wanted && !next.contains(&(place + length)) {
                    next.push(place + length);
                }
            }
        }
        places = next;
    }
    places.into_iter().max()
}

fn readings(text: &[u8]) -> Readings {
    let mut readings = Readings::default();
    match text.first() {
        Some(b'%') => {
            let mut length = 1;
            for reading in &mut readings {
                let Some(byte) = hex(text.get(length..length + 2)) else { break };
                length += 2;
                *reading = Some((byte, length));
                if byte != b'%' {
                    break;
                }
            }
        }
        Some(b'\\') => readings[0] = backslash(text),
        Some(b'&') => readings[0] = entity(text),
        _ => {}
    }
    readings
}

/// An escape of JSON, JavaScript and their like.
fn backslash(text: &[u8]) -> Option<(u8, usize)> {
    match text.get(1)? {
        b'u' => Some((hex(text.get(2..6).filter(|digits| digits.starts_with(b"00"))?.get(2..))?, 6)),
        b'x' => Some((hex(text.get(2..4))?, 4)),
        punctuation if punctuation.is_ascii_punctuation() => Some((*punctuation, 2)),
        _ => None,
    }
}

/// The longest escape of HTML and XML that is read: a character's number with zeros before it. Fixed: none is written longer, and
/// each byte of a text may begin one.
const LONGEST_ENTITY: usize = 10;

/// An escape of HTML and XML.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    let end = text.iter().take(LONGEST_ENTITY).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&text[1..end]).ok()?;
    let byte = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(digits) => u8::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        },
        None => match name {
            "amp" => b'&',
            "lt" => b'<',
            "gt" => b'>',
            "quot" => b'"',
            "apos" => b'\'',
            "sol" => b'/',
            "plus" => b'+',
            "equals" => b'=',
            _ => return None,
        },
    };
    Some((byte, end + 1))
}

fn hex(digits: Option<&[u8]>) -> Option<u8> {
    let digits = std::str::from_utf8(digits?).ok()?;
    // `from_str_radix` takes a sign as well.
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "tk+7f3/9a%Q=z&x~b\"e";

    /// Every way of one character.
    fn ways(c: char) -> Vec<String> {
        let code = u32::from(c);
        let mut ways = vec![
            c.to_string(),
            format!("%{code:02X}"),
            format!("%{code:02x}"),
            format!("%25{code:02X}"),
            format!("%2525{code:02x}"),
            format!("\\u{code:04x}"),
            format!("\\u{code:04X}"),
            format!("\\x{code:02x}"),
            format!("&#{code};"),
            format!("&#x{code:X};"),
        ];
        if c.is_ascii_punctuation() {
            ways.push(format!("\\{c}"));
        }
        ways
    }

    #[test]
    fn any_mix_of_escapes_is_found_from_end_to_end() {
        let escapes = Escapes::new([KEY.to_owned()]);
        let mut random = fastrand::Rng::with_seed(20_261_122);
        for _ in 0..2_000 {
            let coded: String = KEY.chars().map(|c| random.choice(ways(c)).unwrap()).collect();
            if coded == KEY {
                continue;
            }
            for (before, after) in [("", ""), ("\u{e9}%41 t", "&lt;\u{e9}"), ("tk", "%2")] {
                let text = format!("{before}{coded}{after}");
                let expected = before.len()..before.len() + coded.len();
                assert_eq!(escapes.find(text.as_bytes()), [expected], "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_coding_of_a_needle_is_not_found() {
        let escapes = Escapes::new([KEY.to_owned(), "\\\\\\\\\\\\\\\\x".to_owned()]);
        let almost = KEY.replace('/', "%2F").replace('e', "%66");
        for text in ["", "%", "%%%", "\\", "\\u00", "&;", "&#;", "&#x+41;", "%+1", &almost, &"\\".repeat(1_000)] {
            assert_eq!(escapes.find(text.as_bytes()), Vec::<Range<usize>>::new(), "{text}");
        }
    }

    #[test]
    fn a_percent_sign_is_read_back_so_often_and_no_further() {
        let escapes = Escapes::new(["abcdefgh/".to_owned()]);
        for (layers, is_found) in [(MAX_LAYERS, true), (MAX_LAYERS + 1, false)] {
            let text = format!("abcdefgh%{}2f", "25".repeat(layers - 1));
            assert_eq!(escapes.find(text.as_bytes()).len(), usize::from(is_found), "{text}");
        }
    }
    #[test]
    fn an_entity_is_read_up_to_its_longest() {
        let escapes = Escapes::new(["abcdefgh/".to_owned()]);
        for (length, is_found) in [(LONGEST_ENTITY, true), (LONGEST_ENTITY + 1, false)] {
            let entity = format!("&#{:0>width$};", 47, width = length - 3);
            assert_eq!(escapes.find(format!("abcdefgh{entity}").as_bytes()).len(), usize::from(is_found), "{entity}");
        }
    }
}
