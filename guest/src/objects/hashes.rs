//! A file's hashes: which field each has, and in which form it stands there.
//!
//! What the five usual ones are their length decides, whatever they are called ([`Algorithm::read`]); a name that is wrong is
//! noted. Of the others each keeps its name, and those of a known length have to have it.

use tipline_ecs::{Fact, hash_field};
use tipline_observable::{Algorithm, Misfit};
use tipline_stix::pattern::plain_algorithm;

/// The field of hashes that ECS has no place for, as `name:value`.
const OTHER: &str = "socdefenders.ioc.hash";

/// The field for a hash called `name`, and a note where the name is another's.
///
/// # Errors
/// Why the text is no such hash.
pub(crate) fn read(name: &str, text: &str) -> Result<(Fact, Option<&'static str>), Misfit> {
    let plain = plain_algorithm(name);
    let text = bare(&plain, text);
    let fact = |field, text: String| Ok((Fact { field, text }, None));
    match plain.as_str() {
        // Any of them, where none is named.
        "MD5" | "SHA1" | "SHA256" | "SHA384" | "SHA512" | "HASHES" => {
            let read = Algorithm::read(text).or_else(|| Algorithm::read_named(text));
            let (algorithm, hex) = read.ok_or_else(|| misfit(name))?;
            let is_meant = plain == "HASHES" || plain == algorithm.name();
            Ok((Fact { field: hash_field(algorithm), text: hex }, (!is_meant).then(|| labelled(&plain))))
        }
        // Base64 is not the same in another case.
        "SSDEEP" => fact("threat.indicator.file.hash.ssdeep", text.to_owned()),
        // As its authors print it.
        "TLSH" => fact("threat.indicator.file.hash.tlsh", text.to_ascii_uppercase()),
        "IMPHASH" => fact("threat.indicator.file.pe.imphash", text.to_ascii_lowercase()),
        "PEHASH" => fact("threat.indicator.file.pe.pehash", text.to_ascii_lowercase()),
        "TELFHASH" => fact("threat.indicator.file.elf.telfhash", text.to_ascii_lowercase()),
        other => match digits(other) {
            Some(lengths) => {
                let is_hash = lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
                if !is_hash {
                    return Err(misfit(name));
                }
                fact(OTHER, format!("{}:{}", other.to_ascii_lowercase(), text.to_ascii_lowercase()))
            }
            None => fact(OTHER, format!("{}:{text}", other.to_ascii_lowercase())),
        },
    }
}

/// A hash without the name of its own algorithm before it: `ssdeep:3:…`.
fn bare<'t>(plain: &str, text: &'t str) -> &'t str {
    let named = text.split_once([':', '=']).filter(|(word, _)| plain_algorithm(word.trim()) == plain);
    named.map_or(text, |(_, rest)| rest.trim())
}

/// How many hexadecimal digits a hash of a known algorithm has.
fn digits(plain: &str) -> Option<&'static [usize]> {
    Some(match plain {
        "MD6" => &[32, 40, 56, 64, 96, 128],
        "RIPEMD160" => &[40],
        "SHA224" | "SHA3224" => &[56],
        "SHA3256" => &[64],
        "SHA3384" => &[96],
        "SHA3512" | "WHIRLPOOL" => &[128],
        _ => return None,
    })
}

/// The note for a hash that is called another's name.
fn labelled(plain: &str) -> &'static str {
    match plain {
        "MD5" => "labelled-md5",
        "SHA1" => "labelled-sha1",
        "SHA256" => "labelled-sha256",
        "SHA384" => "labelled-sha384",
        _ => "labelled-sha512",
    }
}

fn misfit(name: &str) -> Misfit {
    Misfit::new(
        "bad-hash",
        format!(
            "A hash was expected for `{}`: hexadecimal digits, as many as its algorithm has.",
            crate::read::escaped(name)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hash_has_its_field_and_form() {
        let (md5, sha1, sha256) = ("0A".repeat(16), "0a".repeat(20), "0a".repeat(32));
        for (name, text, expected) in [
            ("MD5", md5.as_str(), Some(("threat.indicator.file.hash.md5", "0a".repeat(16), None))),
            ("sha-1", &sha1, Some(("threat.indicator.file.hash.sha1", sha1.clone(), None))),
            ("SHA_256", &sha256, Some(("threat.indicator.file.hash.sha256", sha256.clone(), None))),
            ("MD5", &sha256, Some(("threat.indicator.file.hash.sha256", sha256.clone(), Some("labelled-md5")))),
            ("hashes", &sha1, Some(("threat.indicator.file.hash.sha1", sha1.clone(), None))),
            ("MD5", "f00", None),
            (
                "MD5",
                &format!("md5:{}", "0A".repeat(16)),
                Some(("threat.indicator.file.hash.md5", "0a".repeat(16), None)),
            ),
            ("SHA-256", &format!("SHA256={sha256}"), Some(("threat.indicator.file.hash.sha256", sha256.clone(), None))),
            (
                "SHA-256",
                &format!("{{sha-256}}{sha256}"),
                Some(("threat.indicator.file.hash.sha256", sha256.clone(), None)),
            ),
            ("hashes", &format!("sha_1: {sha1}"), Some(("threat.indicator.file.hash.sha1", sha1.clone(), None))),
            (
                "MD5",
                &format!("sha1:{sha1}"),
                Some(("threat.indicator.file.hash.sha1", sha1.clone(), Some("labelled-md5"))),
            ),
            ("MD5", &format!("evil:{}", "0a".repeat(16)), None),
            ("SSDEEP", "ssdeep:3:aB:c", Some(("threat.indicator.file.hash.ssdeep", "3:aB:c".to_owned(), None))),
            ("SHA-256", &"0g".repeat(32), None),
            ("TLSH", "t1abc", Some(("threat.indicator.file.hash.tlsh", "T1ABC".to_owned(), None))),
            ("ssdeep", "3:aB:c", Some(("threat.indicator.file.hash.ssdeep", "3:aB:c".to_owned(), None))),
            ("IMPHASH", "AB", Some(("threat.indicator.file.pe.imphash", "ab".to_owned(), None))),
            ("SHA3-256", &sha256, Some((OTHER, format!("sha3256:{sha256}"), None))),
            ("SHA3-256", &sha1, None),
            ("VHASH", "0123z\"", Some((OTHER, "vhash:0123z\"".to_owned(), None))),
        ] {
            let read = read(name, text).ok().map(|(fact, note)| (fact.field, fact.text, note));
            assert_eq!(read, expected, "{name} {text}");
        }
    }
}
