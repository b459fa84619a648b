//! Short texts, packed: a JSON document of two KiB takes some four hundred bytes with what all of them have in common
//! known beforehand.
//!
//! What is in common stands in `data/pack.dict`, made by `zstd --train` of the documents of the demo's feed and of rows
//! that a guest remembers of it (`data/README.md`). A packed text begins with a byte that says how it was made, so another
//! dictionary gets another number and what was packed with this one can be read for ever. Zstandard's magic number,
//! its dictionary's id and a checksum are left out: SQLite holds the pages, and four bytes of twelve would be these.

use std::cell::RefCell;
use std::sync::LazyLock;

use thiserror::Error;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::{CParameter, get_frame_content_size};

/// The dictionary that packed texts of form [`DICTIONARY_1`] need.
const DICTIONARY: &[u8] = include_bytes!("../../data/pack.dict");

/// As it is: what packing would make longer.
const PLAIN: u8 = 0;

/// A Zstandard frame without its magic number, made with [`DICTIONARY`].
const DICTIONARY_1: u8 = 1;

/// What every Zstandard frame begins with.
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// How hard is tried. Level 1 leaves documents a twentieth longer than level 3 and takes two thirds of its time; level 9 saves a
/// tenth and takes six times as long.
const LEVEL: i32 = 1;

/// The longest text unpacked, in bytes: the longest document, and what the host adds to one. Fixed: it guards the memory
/// against a damaged file.
const MAX_UNPACKED_BYTES: u64 = 1024 * 1024 + 64 * 1024;

static ENCODER: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    /// A context takes longer to make than a text to pack. None where Zstandard has no memory for one.
    static PACKER: RefCell<Option<Compressor<'static>>> = RefCell::new(packer());
    static UNPACKER: RefCell<Option<Decompressor<'static>>> =
        RefCell::new(Decompressor::with_prepared_dictionary(&DECODER).ok());
}

/// A packed text cannot be read: the file is damaged, or was written by a newer version.
#[derive(Debug, Error)]
#[error("A packed text cannot be unpacked: {0}. The file is damaged, or a newer tipline wrote it.")]
pub struct Unreadable(String);

impl Unreadable {
    /// For this reason.
    pub fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

fn packer() -> Option<Compressor<'static>> {
    let mut packer = Compressor::with_prepared_dictionary(&ENCODER).ok()?;
    packer.set_parameter(CParameter::DictIdFlag(false)).ok()?;
    packer.set_parameter(CParameter::ChecksumFlag(false)).ok()?;
    Some(packer)
}

/// Packs a text; the shorter it is, the less is gained.
pub fn pack(text: &[u8]) -> Vec<u8> {
    let frame = PACKER.with_borrow_mut(|packer| packer.as_mut()?.compress(text).ok());
    match frame.as_deref().and_then(|frame| frame.strip_prefix(&MAGIC)) {
        Some(frame) if frame.len() < text.len() => tagged(DICTIONARY_1, frame),
        _ => tagged(PLAIN, text),
    }
}

fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len() + 1);
    packed.push(tag);
    packed.extend_from_slice(bytes);
    packed
}

/// The text that was packed.
///
/// # Errors
/// [`Unreadable`].
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let unreadable = Unreadable::new;
    match packed.split_first() {
        Some((&PLAIN, text)) => Ok(text.to_vec()),
        Some((&DICTIONARY_1, rest)) => {
            let frame = [&MAGIC, rest].concat();
            let length = match get_frame_content_size(&frame) {
                Ok(Some(length)) if length <= MAX_UNPACKED_BYTES => usize::try_from(length).unwrap_or(usize::MAX),
                _ => return Err(unreadable("its length is missing or too long")),
            };
            UNPACKER.with_borrow_mut(|unpacker| match unpacker {
                Some(unpacker) => unpacker.decompress(&frame, length).map_err(|e| unreadable(&e.to_string())),
                None => Err(unreadable("there is no memory for it")),
            })
        }
        Some((tag, _)) => Err(unreadable(&format!("it is of form {tag}"))),
        None => Err(unreadable("it is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let repeated = "a row of text, again and again; ".repeat(2_000);
        for text in [b"".as_slice(), b"a", b"\xff\x00\xfe", br#"{"event":{"kind":"enrichment"}}"#, repeated.as_bytes()]
        {
            let packed = pack(text);
            assert!(packed.len() <= text.len() + 1, "{packed:?}");
            assert_eq!(unpack(&packed).unwrap(), text);
        }
        assert!(pack(repeated.as_bytes()).len() < 200);
    }

    #[test]
    fn a_document_takes_a_fourth_of_its_length() {
        let document = crate::testing::Sample::new("a", crate::testing::NOW).json();
        let packed = pack(document.as_bytes());
        assert!(
            packed.len() * 4 < document.len() * 3 && packed[0] == DICTIONARY_1,
            "{} {}",
            packed.len(),
            document.len()
        );
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let packed = pack(&[b'x'; 1_000]);
        let mut cut = packed.clone();
        cut.truncate(packed.len() - 1);
        for (damaged, expected) in [
            (vec![], "it is empty"),
            (vec![9, 1, 2], "it is of form 9"),
            (vec![DICTIONARY_1], "its length is missing"),
            (vec![DICTIONARY_1, 0xff, 0xff, 0xff], ""),
            (cut, ""),
        ] {
            let error = unpack(&damaged).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_text_is_unpacked_up_to_the_longest_and_no_further() {
        let most = usize::try_from(MAX_UNPACKED_BYTES).unwrap();
        for (length, fits) in [(most, true), (most + 1, false)] {
            assert_eq!(unpack(&pack(&vec![b'x'; length])).is_ok(), fits, "{length}");
        }
    }
}
