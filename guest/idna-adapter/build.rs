//! Turns what ICU4X knows of Unicode into the tables of this crate, so that both have the same version of Unicode.
//!
//! ICU4X itself is asked, one character at a time: what UTS 46 makes of it, its classes, and which pairs compose. How
//! the answers are written down stands in `src/format.rs`. Anything that the form can't hold stops the build.

#[path = "src/format.rs"]
#[expect(dead_code, reason = "some names are for reading only")]
mod format;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::iter::once;
use std::path::PathBuf;

use icu_normalizer::properties::{
    CanonicalCombiningClassMapBorrowed, CanonicalCompositionBorrowed, CanonicalDecompositionBorrowed, Decomposed,
};
use icu_normalizer::uts46::Uts46MapperBorrowed;
use icu_properties::props::{BidiClass, GeneralCategory, JoiningType};
use icu_properties::{CodePointMapData, CodePointMapDataBorrowed};

use format::{bidi, fate, joining};

/// A block begins after so many bytes: smaller ones are read faster and need more room for the lists beside them.
const BLOCK: usize = 64;
/// Texts in one run at most, as a run can't be divided between blocks.
const TEXTS: usize = 16;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/format.rs");
    let fates: Vec<Fate> = code_points(fate_of);
    let mut text = mapping(&fates).written("MAPPING");
    text += &properties();
    text += &pairs(&fates);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("tables.rs"), text).expect("OUT_DIR can be written");
}

/// An answer for every code point. A surrogate, which is no character, gets that of the character before it, so that
/// it divides no run.
fn code_points<T: Clone>(answer: impl Fn(char) -> T) -> Vec<T> {
    let mut answers: Vec<T> = Vec::with_capacity(0x11_0000);
    for code in 0..0x11_0000 {
        let found = char::from_u32(code).map_or_else(|| answers.last().cloned(), |c| Some(answer(c)));
        answers.push(found.expect("the first code point is a character"));
    }
    answers
}

/// Runs of code points, in blocks.
#[derive(Default)]
struct Stream {
    starts: Vec<usize>,
    offsets: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stream {
    /// Called before each run; whether it is the first of a block.
    fn begin(&mut self, code: usize) -> bool {
        let full = self.offsets.last().is_none_or(|last| self.bytes.len() - last >= BLOCK);
        if full {
            self.starts.push(code);
            self.offsets.push(self.bytes.len());
        }
        full
    }

    fn number(&mut self, mut number: u32) {
        while number > 0x7f {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// A text, after the character `last` of the one before it.
    fn text(&mut self, last: &mut u32, text: &str) {
        let mut chars = text.chars().map(u32::from).peekable();
        while let Some(c) = chars.next() {
            self.number(distance(*last, c) << 1 | u32::from(chars.peek().is_some()));
            *last = c;
        }
    }

    fn written(&self, name: &str) -> String {
        let Self { starts, offsets, bytes } = self;
        assert!(bytes.len() <= usize::from(u16::MAX), "{name}: offsets have 16 bits");
        format!("static {name}: Stream = Stream {{ starts: &{starts:?}, offsets: &{offsets:?}, bytes: &{bytes:?} }};\n")
    }
}

/// A distance with its sign in the lowest bit.
fn distance(from: u32, to: u32) -> u32 {
    let distance = to as i32 - from as i32;
    ((distance << 1) ^ (distance >> 31)) as u32
}

/// What UTS 46 does with a character.
#[derive(Clone, PartialEq)]
enum Fate {
    Valid,
    Disallowed,
    Ignored,
    Mapped(String),
}

fn fate_of(c: char) -> Fate {
    let mapper = Uts46MapperBorrowed::new();
    let mapped: String = mapper.map_normalize(once(c)).collect();
    let checked: String = mapper.normalize_validate(once(c)).collect();
    if mapped.is_empty() {
        assert_eq!(checked, "\u{fffd}", "{c:?} is ignored, and so no valid character");
        return Fate::Ignored;
    }
    assert_eq!(mapped, checked, "{c:?}: only what is ignored differs");
    match mapped.as_str() {
        "\u{fffd}" => Fate::Disallowed,
        text if text.chars().eq(once(c)) => Fate::Valid,
        _ => Fate::Mapped(mapped),
    }
}

fn mapping(fates: &[Fate]) -> Stream {
    let mut stream = Stream::default();
    let mut last = 0;
    let mut at = 0;
    while at < fates.len() {
        if stream.begin(at) {
            last = at as u32;
        }
        let rest = &fates[at..];
        let (kind, length) = run(at, rest);
        stream.number((length as u32) << fate::BITS | kind);
        let texts = rest.iter().filter_map(|fate| match fate {
            Fate::Mapped(text) => Some(text.as_str()),
            _ => None,
        });
        match kind {
            fate::SHIFTED => stream.number(distance(at as u32, single(&rest[0]).expect("one character"))),
            fate::SAME => texts.take(1).for_each(|text| stream.text(&mut last, text)),
            fate::EACH => texts.take(length).for_each(|text| stream.text(&mut last, text)),
            _ => (),
        }
        at += if kind == fate::TURNS { length * 2 } else { length };
    }
    stream
}

/// The kind and length of the run that begins at a code point.
fn run(at: usize, rest: &[Fate]) -> (u32, usize) {
    let same = rest.iter().take_while(|fate| **fate == rest[0]).count();
    match rest[0] {
        Fate::Valid => (fate::VALID, same),
        Fate::Disallowed => (fate::DISALLOWED, same),
        Fate::Ignored => (fate::IGNORED, same),
        Fate::Mapped(_) => long_run(at, rest).unwrap_or_else(|| {
            let length = (1..rest.len().min(TEXTS))
                .find(|n| !matches!(rest[*n], Fate::Mapped(_)) || long_run(at + n, &rest[*n..]).is_some());
            (fate::EACH, length.unwrap_or(TEXTS))
        }),
    }
}

/// A run of mapped characters that is shorter than their texts, if there is one.
fn long_run(at: usize, rest: &[Fate]) -> Option<(u32, usize)> {
    let next = |n: usize| single(&rest[n]) == Some((at + n) as u32 + 1);
    let turns = (0..rest.len() / 2).take_while(|n| next(2 * n) && rest[2 * n + 1] == Fate::Valid).count();
    if turns > 0 {
        return Some((fate::TURNS, turns));
    }
    let same = rest.iter().take_while(|fate| **fate == rest[0]).count();
    if same > 1 {
        return Some((fate::SAME, same));
    }
    let far = |n: usize| single(&rest[n]).map(|to| i64::from(to) - (at + n) as i64);
    let first = far(0)?;
    let shifted = (0..rest.len()).take_while(|n| far(*n) == Some(first)).count();
    (shifted > 2).then_some((fate::SHIFTED, shifted))
}

/// The one character that a character is mapped to.
fn single(fate: &Fate) -> Option<u32> {
    let Fate::Mapped(text) = fate else { return None };
    let mut chars = text.chars().map(u32::from);
    chars.next().filter(|_| chars.next().is_none())
}

/// The combining class and the bits of each code point: a stream of lengths and places in a list of all that occur.
fn properties() -> String {
    let class = CanonicalCombiningClassMapBorrowed::new();
    let category = CodePointMapData::<GeneralCategory>::new();
    let direction = CodePointMapData::<BidiClass>::new();
    let join = CodePointMapData::<JoiningType>::new();
    let all = code_points(|c| {
        let mark = matches!(
            category.get(c),
            GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark | GeneralCategory::EnclosingMark
        );
        let mark = if mark { joining::MARK } else { 0 };
        (class.get_u8(c), direction_bit(direction, c), joining_bit(join, c) | mark)
    });
    let kinds: Vec<_> = all.iter().collect::<BTreeSet<_>>().into_iter().collect();
    let mut stream = Stream::default();
    let mut at = 0;
    for run in all.chunk_by(|a, b| a == b) {
        stream.begin(at);
        stream.number(run.len() as u32);
        let kind = kinds.iter().position(|kind| **kind == run[0]).expect("all kinds are listed");
        stream.bytes.push(u8::try_from(kind).expect("few kinds occur"));
        at += run.len();
    }
    format!("{}static KINDS: [(u8, u8, u8); {}] = {kinds:?};\n", stream.written("PROPERTIES"), kinds.len())
}

fn direction_bit(map: CodePointMapDataBorrowed<'_, BidiClass>, c: char) -> u8 {
    match map.get(c) {
        BidiClass::LeftToRight => bidi::LEFT_TO_RIGHT,
        BidiClass::RightToLeft | BidiClass::ArabicLetter => bidi::RIGHT_TO_LEFT,
        BidiClass::ArabicNumber => bidi::ARABIC_NUMBER,
        BidiClass::EuropeanNumber => bidi::EUROPEAN_NUMBER,
        BidiClass::EuropeanSeparator
        | BidiClass::CommonSeparator
        | BidiClass::EuropeanTerminator
        | BidiClass::OtherNeutral
        | BidiClass::BoundaryNeutral => bidi::NEUTRAL,
        BidiClass::NonspacingMark => bidi::NONSPACING_MARK,
        _ => bidi::OTHER,
    }
}

fn joining_bit(map: CodePointMapDataBorrowed<'_, JoiningType>, c: char) -> u8 {
    match map.get(c) {
        JoiningType::LeftJoining => joining::LEFT,
        JoiningType::RightJoining => joining::RIGHT,
        JoiningType::DualJoining => joining::DUAL,
        JoiningType::Transparent => joining::TRANSPARENT,
        _ => joining::OTHER,
    }
}

/// The pairs of characters that compose, but for Hangul, which is composed by arithmetic, and for those with a part that
/// UTS 46 leaves in no text.
fn pairs(fates: &[Fate]) -> String {
    let mut left: BTreeSet<char> = BTreeSet::new();
    for (code, fate) in fates.iter().enumerate() {
        match fate {
            Fate::Valid => left.extend(char::from_u32(code as u32)),
            Fate::Mapped(text) => left.extend(text.chars()),
            Fate::Disallowed | Fate::Ignored => (),
        }
    }
    let all: BTreeMap<char, (char, char)> = ('\u{0}'..=char::MAX).filter_map(|c| Some((c, parts(c)?))).collect();
    // A part of what is left is left, and so is what two of them compose to.
    loop {
        let before = left.len();
        for (composed, (first, second)) in &all {
            if left.contains(composed) {
                left.extend([first, second]);
            } else if left.contains(first) && left.contains(second) {
                left.insert(*composed);
            }
        }
        if left.len() == before {
            break;
        }
    }
    let mut tables = String::new();
    for plane in [0, 0x1_0000] {
        let low = |c: char| {
            let low = u32::from(c).checked_sub(plane).and_then(|low| u16::try_from(low).ok());
            low.expect("the first part of a character stands in its plane")
        };
        let here: Vec<_> =
            all.iter().filter(|(c, _)| left.contains(c) && u32::from(**c) & 0x1f_0000 == plane).collect();
        let seconds: Vec<char> =
            here.iter().map(|(_, (_, second))| *second).collect::<BTreeSet<_>>().into_iter().collect();
        let composed: Vec<u16> = here.iter().map(|(c, _)| low(**c)).collect();
        let first: Vec<u16> = here.iter().map(|(_, (first, _))| low(*first)).collect();
        let second: Vec<u8> = here
            .iter()
            .map(|(_, (_, second))| seconds.binary_search(second).expect("all are listed"))
            .map(|place| u8::try_from(place).expect("few characters come second"))
            .collect();
        for (_, (_, second)) in &here {
            assert!(!all.contains_key(second), "{second:?}: a second part is divided no further");
        }
        write!(tables, "Pairs {{ plane: {plane}, composed: &{composed:?}, first: &{first:?}, ").expect("memory");
        write!(tables, "second: &{second:?}, seconds: &{seconds:?} }}, ").expect("memory");
    }
    assert!(all.keys().all(|c| u32::from(*c) < 0x2_0000 || !left.contains(c)), "a pair stands in another plane");
    format!("static PAIRS: [Pairs; 2] = [{tables}];\n")
}

/// What a character is composed of, where normalisation composes it.
fn parts(c: char) -> Option<(char, char)> {
    let hangul = ('\u{ac00}'..='\u{d7a3}').contains(&c);
    match CanonicalDecompositionBorrowed::new().decompose(c) {
        Decomposed::Expansion(first, second) if !hangul => {
            let composed = CanonicalCompositionBorrowed::new().compose(first, second);
            (composed == Some(c)).then_some((first, second))
        }
        _ => None,
    }
}
