//! Bytes looked at sixteen at a time: a few vector instructions where a loop would take a step for each. Loops over bytes
//! become such vectors in a processor's code, and hardly ever in that of WebAssembly.

use wide::u8x16;

/// Sixteen bytes, or a mark for each of them.
pub type Sixteen = u8x16;

/// Which of them are this byte.
#[inline(always)]
pub fn are(bytes: Sixteen, byte: u8) -> Sixteen {
    bytes.simd_eq(Sixteen::splat(byte))
}

/// Which of them are no higher than this byte.
#[inline(always)]
pub fn at_most(bytes: Sixteen, byte: u8) -> Sixteen {
    bytes.min(Sixteen::splat(byte)).simd_eq(bytes)
}

/// Which of them lie between these two, or are one of them.
#[inline(always)]
pub fn within(bytes: Sixteen, first: u8, last: u8) -> Sixteen {
    bytes.max(Sixteen::splat(first)).simd_eq(bytes) & at_most(bytes, last)
}

/// Marks the bytes that are meant: a bit for each, the lowest for the first.
#[inline(always)]
pub fn marks(sixteen: &[u8; 16], are_meant: impl Fn(Sixteen) -> Sixteen) -> u32 {
    are_meant(Sixteen::new(*sixteen)).to_bitmask()
}

/// Whether one of any number of bytes is meant. The last sixteen are looked at once more where they are no whole ones.
#[inline(always)]
pub fn any(bytes: &[u8], are_meant: impl Fn(Sixteen) -> Sixteen) -> bool {
    match bytes.last_chunk::<16>() {
        Some(last) => bytes.as_chunks::<16>().0.iter().chain([last]).any(|some| marks(some, &are_meant) != 0),
        None => few(bytes).is_some_and(|few| marks(&few, are_meant) != 0),
    }
}

/// Up to sixteen bytes as sixteen, in which some of them stand more than once; nothing where there is none. In words, as what is
/// put together byte by byte takes longer than to look at it.
#[inline(always)]
fn few(bytes: &[u8]) -> Option<[u8; 16]> {
    let (first, last) = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let both = u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
        (both, both)
    } else {
        let (first, last) = (*bytes.first()?, *bytes.last()?);
        let middle = bytes.get(1).copied().unwrap_or(first);
        let all = u64::from(u32::from_le_bytes([first, middle, last, last]));
        (all << 32 | all, all << 32 | all)
    };
    Some((u128::from(first) << 64 | u128::from(last)).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_met_wherever_it_stands() {
        for length in 0..50 {
            let mut bytes = vec![b'x'; length];
            assert!(!any(&bytes, |some| are(some, b'y')), "{length}");
            for at in 0..length {
                bytes[at] = b'y';
                assert!(any(&bytes, |some| are(some, b'y')), "{at} of {length}");
                assert_eq!(bytes.iter().all(|b| *b == b'y'), !any(&bytes, |some| !are(some, b'y')), "{at} of {length}");
                bytes[at] = b'x';
            }
        }
    }

    #[test]
    fn marks_are_those_of_the_bytes() {
        for byte in 0..=u8::MAX {
            let sixteen = std::array::from_fn(|place| if place == 3 { byte } else { b'M' });
            for (low, high) in [(0, 0x1f), (b'0', b'9'), (0x80, 0xff), (b'Z', b'Z')] {
                let expected = u32::from((low..=high).contains(&byte)) << 3;
                assert_eq!(marks(&sixteen, |some| within(some, low, high)), expected, "{byte}");
            }
            assert_eq!(marks(&sixteen, |some| at_most(some, b'0')), u32::from(byte <= b'0') << 3, "{byte}");
        }
    }
}
