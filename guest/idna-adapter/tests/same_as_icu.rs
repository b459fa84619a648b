//! The answers of this crate are those of ICU4X, asked in the way of the crate that this one replaces.
//!
//! Every character by itself; every pair out of those that normalisation has to do with; and texts drawn from seeded
//! numbers. A text that differs is named with its code points.

use icu_normalizer::properties::{CanonicalCompositionBorrowed, CanonicalDecompositionBorrowed, Decomposed};
use icu_normalizer::uts46::Uts46MapperBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::{BidiClass, GeneralCategory, JoiningType};
use idna_adapter::{
    Adapter, FIRST_BC_MASK, LAST_LTR_MASK, LAST_RTL_MASK, LEFT_OR_DUAL_JOINING_MASK, MIDDLE_LTR_MASK, MIDDLE_RTL_MASK,
    RIGHT_OR_DUAL_JOINING_MASK, RTL_MASK,
};

const OURS: Adapter = Adapter::new();
const ICU: Uts46MapperBorrowed<'static> = Uts46MapperBorrowed::new();

fn every_char() -> impl Iterator<Item = char> {
    '\u{0}'..=char::MAX
}

#[track_caller]
fn assert_same(text: &[char]) {
    let chars = || text.iter().copied();
    assert!(
        OURS.map_normalize(chars()).eq(ICU.map_normalize(chars())),
        "{} is mapped to {}, not {}",
        codes(chars()),
        codes(OURS.map_normalize(chars())),
        codes(ICU.map_normalize(chars()))
    );
    assert!(
        OURS.normalize_validate(chars()).eq(ICU.normalize_validate(chars())),
        "{} is checked as {}, not {}",
        codes(chars()),
        codes(OURS.normalize_validate(chars())),
        codes(ICU.normalize_validate(chars()))
    );
}

fn codes(text: impl Iterator<Item = char>) -> String {
    text.map(|c| format!("{:04X}", u32::from(c))).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_character_has_the_same_classes() {
    let category = CodePointMapData::<GeneralCategory>::new();
    let direction = CodePointMapData::<BidiClass>::new();
    let join = CodePointMapData::<JoiningType>::new();
    for c in every_char() {
        use BidiClass as B;
        use GeneralCategory as G;
        use JoiningType as J;
        assert_eq!(OURS.is_virama(c), ICU.is_virama(c), "virama {c:?}");
        let mark = matches!(category.get(c), G::NonspacingMark | G::SpacingMark | G::EnclosingMark);
        assert_eq!(OURS.is_mark(c), mark, "mark {c:?}");

        let (ours, icu) = (OURS.bidi_class(c), direction.get(c));
        let neutral = [
            B::EuropeanSeparator,
            B::CommonSeparator,
            B::EuropeanTerminator,
            B::OtherNeutral,
            B::BoundaryNeutral,
            B::NonspacingMark,
            B::EuropeanNumber,
        ];
        let middle_rtl = [B::RightToLeft, B::ArabicLetter, B::ArabicNumber];
        for (mask, name, classes) in [
            (RTL_MASK, "RTL", &[B::RightToLeft, B::ArabicLetter, B::ArabicNumber][..]),
            (FIRST_BC_MASK, "first", &[B::LeftToRight, B::RightToLeft, B::ArabicLetter]),
            (LAST_LTR_MASK, "last LTR", &[B::LeftToRight, B::EuropeanNumber]),
            (LAST_RTL_MASK, "last RTL", &[B::RightToLeft, B::ArabicLetter, B::EuropeanNumber, B::ArabicNumber]),
            (MIDDLE_LTR_MASK, "middle LTR", &[&[B::LeftToRight], &neutral[..]].concat()),
            (MIDDLE_RTL_MASK, "middle RTL", &[&middle_rtl, &neutral[..]].concat()),
        ] {
            assert_eq!(mask.intersects(ours.to_mask()), classes.contains(&icu), "{name} {c:?} {icu:?}");
        }
        assert_eq!(ours.is_ltr(), icu == B::LeftToRight, "{c:?}");
        assert_eq!(ours.is_nonspacing_mark(), icu == B::NonspacingMark, "{c:?}");
        assert_eq!(ours.is_european_number(), icu == B::EuropeanNumber, "{c:?}");
        assert_eq!(ours.is_arabic_number(), icu == B::ArabicNumber, "{c:?}");

        let (ours, icu) = (OURS.joining_type(c), join.get(c));
        let (left, right) = (LEFT_OR_DUAL_JOINING_MASK, RIGHT_OR_DUAL_JOINING_MASK);
        assert_eq!(left.intersects(ours.to_mask()), matches!(icu, J::LeftJoining | J::DualJoining), "{c:?}");
        assert_eq!(right.intersects(ours.to_mask()), matches!(icu, J::RightJoining | J::DualJoining), "{c:?}");
        assert_eq!(ours.is_transparent(), icu == J::Transparent, "{c:?}");
    }
}

#[test]
fn every_character_becomes_the_same() {
    assert_same(&[]);
    for c in every_char() {
        assert_same(&[c]);
    }
}

/// The parts of characters that are composed of two: first ones, second ones and the wholes.
fn composed() -> [Vec<char>; 3] {
    let (split, compose) = (CanonicalDecompositionBorrowed::new(), CanonicalCompositionBorrowed::new());
    let mut parts = [vec![], vec![], vec![]];
    for c in every_char().filter(|c| !('\u{ac00}'..='\u{d7a3}').contains(c)) {
        if let Decomposed::Expansion(first, second) = split.decompose(c)
            && compose.compose(first, second) == Some(c)
        {
            parts[0].push(first);
            parts[1].push(second);
            parts[2].push(c);
        }
    }
    for list in &mut parts {
        list.sort_unstable();
        list.dedup();
    }
    assert!(parts[2].len() > 900, "normalisation composes more than {} characters", parts[2].len());
    parts
}

const HANGUL: [char; 20] = [
    '\u{10ff}', '\u{1100}', '\u{1101}', '\u{1112}', '\u{1113}', '\u{1160}', '\u{1161}', '\u{1162}', '\u{1175}',
    '\u{1176}', '\u{11a7}', '\u{11a8}', '\u{11c2}', '\u{11c3}', '\u{ac00}', '\u{ac01}', '\u{ac1c}', '\u{d788}',
    '\u{d7a3}', '\u{ffa1}',
];

/// Characters that are mapped, ignored, disallowed, or begin with a mark once they are mapped.
const ODD: [char; 40] = [
    'A',
    'z',
    '.',
    '-',
    '=',
    '<',
    '\u{0}',
    '\u{ad}',
    '\u{df}',
    '\u{130}',
    '\u{340}',
    '\u{341}',
    '\u{343}',
    '\u{344}',
    '\u{345}',
    '\u{34f}',
    '\u{378}',
    '\u{958}',
    '\u{f73}',
    '\u{f75}',
    '\u{f81}',
    '\u{180b}',
    '\u{1e9e}',
    '\u{200b}',
    '\u{200c}',
    '\u{200d}',
    '\u{2126}',
    '\u{212b}',
    '\u{3002}',
    '\u{31d}',
    '\u{e000}',
    '\u{f900}',
    '\u{fdfa}',
    '\u{fe0f}',
    '\u{ff10}',
    '\u{ff76}',
    '\u{ff9e}',
    '\u{ff9f}',
    '\u{fffd}',
    '\u{1d15e}',
];

#[test]
fn every_first_part_before_every_second_becomes_the_same() {
    let [first, second, whole] = composed();
    for first in first.iter().chain(&whole) {
        for second in &second {
            assert_same(&[*first, *second]);
        }
    }
}

#[test]
fn every_pair_of_those_that_matter_becomes_the_same() {
    let [_, second, whole] = composed();
    let mut chars = [&HANGUL[..], &ODD, &second].concat();
    chars.extend(whole.iter().step_by(5));
    for first in &chars {
        for second in &chars {
            assert_same(&[*first, *second]);
        }
    }
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

fn marks() -> Vec<char> {
    let category = CodePointMapData::<GeneralCategory>::new();
    every_char().filter(|c| category.get(*c) == GeneralCategory::NonspacingMark).collect()
}

#[test]
fn random_texts_become_the_same() {
    let [first, second, whole] = composed();
    let mapped: Vec<char> = every_char().filter(|c| !ICU.map_normalize([*c].into_iter()).eq([*c])).collect();
    let (fates, longer): (Vec<char>, Vec<char>) =
        mapped.into_iter().partition(|c| ICU.map_normalize([*c].into_iter()).eq(['\u{fffd}']));
    let hangul: Vec<char> = ('\u{1100}'..'\u{1200}').chain('\u{ac00}'..='\u{d7a3}').collect();
    let wide: Vec<char> = ('\u{ff01}'..'\u{ffe7}').collect();
    let indic_and_arabic: Vec<char> = ('\u{5d0}'..'\u{6ff}').chain('\u{900}'..'\u{e00}').collect();
    let ascii: Vec<char> = (' '..='~').collect();
    let pools = [first, second, whole, marks(), longer, hangul, wide, indic_and_arabic, ascii, ODD.to_vec()];
    let mut seeded = Seeded(46);
    for _ in 0..300_000 {
        // A few pools at a time, so that what acts on each other meets.
        let chosen = [seeded.below(pools.len()), seeded.below(pools.len()), 3, 1];
        let text: Vec<char> = (0..1 + seeded.below(10))
            .map(|_| match seeded.below(40) {
                0 => seeded.of(&fates),
                1 => char::from_u32(seeded.below(0x3_0000) as u32).unwrap_or('a'),
                _ => {
                    let pool = seeded.of(&chosen);
                    seeded.of(&pools[pool])
                }
            })
            .collect();
        assert_same(&text);
    }
}

#[test]
fn a_long_row_of_marks_becomes_the_same() {
    let marks = marks();
    let mut seeded = Seeded(15);
    for length in [1, 17, 1_000, 20_000] {
        let mut text = vec!['e'];
        text.extend((0..length).map(|_| seeded.of(&marks)));
        assert_same(&text);
        text.remove(0);
        assert_same(&text);
    }
}
