//! What the numbers in the tables mean: `build.rs` writes them and this crate reads them.
//!
//! A stream is a chain of runs of code points without gaps, from U+0000 to U+10FFFF. Numbers in it are little-endian
//! groups of seven bits, the eighth bit saying that more follow. Every few dozen bytes a block begins, which can be read
//! without what stands before it; lists of their first code points and offsets stand beside the stream.

/// What UTS 46 does with the code points of a run. The head of a run is its length, shifted by [`BITS`](fate::BITS), and
/// one of these. A distance is signed, its sign in the lowest bit.
pub(crate) mod fate {
    /// How far the length is shifted.
    pub(crate) const BITS: u32 = 3;
    /// The bits below the length.
    pub(crate) const MASK: u32 = 0b111;
    /// All stay as they are.
    pub(crate) const VALID: u32 = 0;
    /// None may stand in a name.
    pub(crate) const DISALLOWED: u32 = 1;
    /// All are left out.
    pub(crate) const IGNORED: u32 = 2;
    /// All become the character at the distance that follows.
    pub(crate) const SHIFTED: u32 = 3;
    /// The first of every two becomes the second, which stays: upper and lower case in turn. The length is in twos.
    pub(crate) const TURNS: u32 = 4;
    /// All become the one text that follows.
    pub(crate) const SAME: u32 = 5;
    /// Each becomes a text of its own; they follow. A character of a text is its distance from the one before it in the
    /// block (for the first the block's first code point), shifted by one, the lowest bit saying that more follow.
    pub(crate) const EACH: u32 = 6;
}

/// Bits for the classes of writing direction that the rule for names tells apart.
pub(crate) mod bidi {
    /// L.
    pub(crate) const LEFT_TO_RIGHT: u8 = 1;
    /// R and AL.
    pub(crate) const RIGHT_TO_LEFT: u8 = 1 << 1;
    /// AN.
    pub(crate) const ARABIC_NUMBER: u8 = 1 << 2;
    /// EN.
    pub(crate) const EUROPEAN_NUMBER: u8 = 1 << 3;
    /// ES, CS, ET, ON and BN.
    pub(crate) const NEUTRAL: u8 = 1 << 4;
    /// NSM.
    pub(crate) const NONSPACING_MARK: u8 = 1 << 5;
    /// All others, which no name with right-to-left letters may hold.
    pub(crate) const OTHER: u8 = 1 << 6;
}

/// Bits for how letters join, and for marks.
pub(crate) mod joining {
    /// L.
    pub(crate) const LEFT: u8 = 1;
    /// R.
    pub(crate) const RIGHT: u8 = 1 << 1;
    /// D.
    pub(crate) const DUAL: u8 = 1 << 2;
    /// T.
    pub(crate) const TRANSPARENT: u8 = 1 << 3;
    /// U and C.
    pub(crate) const OTHER: u8 = 1 << 4;
    /// Not a way to join: the general category is Mn, Mc or Me.
    pub(crate) const MARK: u8 = 1 << 7;
}
