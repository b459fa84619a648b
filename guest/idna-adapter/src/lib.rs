//! What the `idna` crate asks of Unicode, from tables of 21 KB.
//!
//! `idna` reaches its data through a crate of this name, which is there to be replaced. The one on crates.io brings the
//! tables of ICU4X, made for speed: 105 KB, with their code a fifth of the component. This one has the same interface
//! and gives the same answers; `build.rs` makes its tables from ICU4X, so the version of Unicode is that of ICU4X, and
//! the tests compare the two for every character and for many texts.
//!
//! A look-up reads up to some dozens of bytes and a text is mapped as a whole, not while it is read. That is slower, and
//! names with other letters than ASCII's are rare. Nothing here panics: a damaged table would make characters disallowed.

#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::unreachable
    )
)]
#![forbid(unsafe_code)]

extern crate alloc;

mod format;
mod normalise;
mod tables;

use alloc::vec::Vec;

use format::{bidi, joining};

/// Letters that join to the left, or to both sides.
pub const LEFT_OR_DUAL_JOINING_MASK: JoiningTypeMask = JoiningTypeMask(joining::LEFT | joining::DUAL);

/// Letters that join to the right, or to both sides.
pub const RIGHT_OR_DUAL_JOINING_MASK: JoiningTypeMask = JoiningTypeMask(joining::RIGHT | joining::DUAL);

/// The classes that make a name one of both directions.
pub const RTL_MASK: BidiClassMask = BidiClassMask(bidi::RIGHT_TO_LEFT | bidi::ARABIC_NUMBER);

/// The classes with which a label may begin.
pub const FIRST_BC_MASK: BidiClassMask = BidiClassMask(bidi::LEFT_TO_RIGHT | bidi::RIGHT_TO_LEFT);

/// The classes with which a left-to-right label may end, marks left aside.
pub const LAST_LTR_MASK: BidiClassMask = BidiClassMask(bidi::LEFT_TO_RIGHT | bidi::EUROPEAN_NUMBER);

/// The classes with which a right-to-left label may end, marks left aside.
pub const LAST_RTL_MASK: BidiClassMask =
    BidiClassMask(bidi::RIGHT_TO_LEFT | bidi::EUROPEAN_NUMBER | bidi::ARABIC_NUMBER);

/// The classes that may stand within a left-to-right label.
pub const MIDDLE_LTR_MASK: BidiClassMask =
    BidiClassMask(bidi::LEFT_TO_RIGHT | bidi::EUROPEAN_NUMBER | bidi::NEUTRAL | bidi::NONSPACING_MARK);

/// The classes that may stand within a right-to-left label.
pub const MIDDLE_RTL_MASK: BidiClassMask = BidiClassMask(
    bidi::RIGHT_TO_LEFT | bidi::ARABIC_NUMBER | bidi::EUROPEAN_NUMBER | bidi::NEUTRAL | bidi::NONSPACING_MARK,
);

/// How a letter joins its neighbours: Joining_Type, with U and C in one.
#[derive(Clone, Copy)]
pub struct JoiningType(u8);

impl JoiningType {
    /// The set of this value alone.
    pub fn to_mask(self) -> JoiningTypeMask {
        JoiningTypeMask(self.0)
    }

    /// Whether letters on both sides of it join as if it were not there.
    pub fn is_transparent(self) -> bool {
        self.0 == joining::TRANSPARENT
    }
}

/// A set of [`JoiningType`]s.
#[derive(Clone, Copy)]
pub struct JoiningTypeMask(u8);

impl JoiningTypeMask {
    /// Whether the two have a value in common.
    pub fn intersects(self, other: JoiningTypeMask) -> bool {
        self.0 & other.0 != 0
    }
}

/// The writing direction: Bidi_Class, with those in one that the rule for names treats alike.
#[derive(Clone, Copy)]
pub struct BidiClass(u8);

impl BidiClass {
    /// The set of this value alone.
    pub fn to_mask(self) -> BidiClassMask {
        BidiClassMask(self.0)
    }

    /// Left_To_Right.
    pub fn is_ltr(self) -> bool {
        self.0 == bidi::LEFT_TO_RIGHT
    }

    /// Nonspacing_Mark.
    pub fn is_nonspacing_mark(self) -> bool {
        self.0 == bidi::NONSPACING_MARK
    }

    /// European_Number.
    pub fn is_european_number(self) -> bool {
        self.0 == bidi::EUROPEAN_NUMBER
    }

    /// Arabic_Number.
    pub fn is_arabic_number(self) -> bool {
        self.0 == bidi::ARABIC_NUMBER
    }
}

/// A set of [`BidiClass`]es.
#[derive(Clone, Copy)]
pub struct BidiClassMask(u8);

impl BidiClassMask {
    /// Whether the two have a value in common.
    pub fn intersects(self, other: BidiClassMask) -> bool {
        self.0 & other.0 != 0
    }
}

/// Canonical_Combining_Class of the signs that join consonants.
const VIRAMA: u8 = 9;

/// What `idna` asks.
pub struct Adapter(());

impl Default for Adapter {
    fn default() -> Self {
        Self::new()
    }
}

impl Adapter {
    /// There is nothing to prepare.
    pub const fn new() -> Self {
        Self(())
    }

    /// Whether the Canonical_Combining_Class is Virama.
    pub fn is_virama(&self, c: char) -> bool {
        tables::properties(c).class == VIRAMA
    }

    /// Whether the General_Category is Nonspacing_Mark, Spacing_Mark or Enclosing_Mark.
    pub fn is_mark(&self, c: char) -> bool {
        tables::properties(c).mark
    }

    /// The writing direction.
    pub fn bidi_class(&self, c: char) -> BidiClass {
        BidiClass(tables::properties(c).bidi)
    }

    /// How the letter joins its neighbours.
    pub fn joining_type(&self, c: char) -> JoiningType {
        JoiningType(tables::properties(c).joining)
    }

    /// The steps "map" and "normalise" of UTS 46. What is ignored is left out, what is disallowed becomes U+FFFD, and what
    /// only STD3 disallows stays. There is no transitional processing.
    pub fn map_normalize<'delegate, I: Iterator<Item = char> + 'delegate>(
        &'delegate self,
        iter: I,
    ) -> impl Iterator<Item = char> + 'delegate {
        mapped(iter, None)
    }

    /// The same with U+FFFD for what is ignored: a text is valid where this leaves it as it is.
    pub fn normalize_validate<'delegate, I: Iterator<Item = char> + 'delegate>(
        &'delegate self,
        iter: I,
    ) -> impl Iterator<Item = char> + 'delegate {
        mapped(iter, Some(char::REPLACEMENT_CHARACTER))
    }
}

fn mapped(text: impl Iterator<Item = char>, ignored: Option<char>) -> impl Iterator<Item = char> {
    let mut mapped = Vec::new();
    text.for_each(|c| tables::map(c, ignored, &mut mapped));
    normalise::normalise(mapped).into_iter()
}
