//! The identifiers that the standards give to markings and to ATT&CK's tactics.

use std::borrow::Cow;

use tipline_ecs::Tlp;

/// The level a marking definition stands for. Each level has one identifier for all the world.
pub(crate) fn tlp(marking: &str) -> Option<Tlp> {
    // UUIDs are the same in either case.
    let id = marking.trim();
    let is_lower = !id.bytes().any(|b| b.is_ascii_uppercase());
    let id = if is_lower { Cow::Borrowed(id) } else { Cow::Owned(id.to_ascii_lowercase()) };
    let (level, version) = match id.strip_prefix("marking-definition--")? {
        "613f2e26-407d-48c7-9eca-b8e91df99dc9" => ("WHITE", "1.0"),
        "34098fce-860f-48ae-8e50-ebd3cc5e41da" => ("GREEN", "1.0"),
        "f88d31f6-486f-44da-b317-01333bde0b82" => ("AMBER", "1.0"),
        "5e57c739-391a-4eb3-b6be-7d15ca92d5ed" => ("RED", "1.0"),
        "94868c89-83c2-464b-929b-a1a8aa3c8487" => ("CLEAR", "2.0"),
        "bab4a63c-aed9-4cf5-a766-dfca5abac2bb" => ("GREEN", "2.0"),
        "55d920b0-5e8b-4f79-9ee9-91f868d9b421" => ("AMBER", "2.0"),
        "939a9414-2ddd-4d32-a0cd-375ea402b003" => ("AMBER+STRICT", "2.0"),
        // OpenCTI had this level before the standard did, and gives it an identifier of its own. Its others are those of 1.0.
        "826578e1-40ad-459f-bc73-ede076f81f37" => ("AMBER+STRICT", "2.0"),
        "e828b379-4e03-4974-9ac4-e53a884c97c1" => ("RED", "2.0"),
        _ => return None,
    };
    let (rank, level) = LEVELS.into_iter().find(|(_, known)| *known == level)?;
    Some(Tlp { rank, level, version })
}

/// The levels, the strictest last.
const LEVELS: [(u8, &str); 6] =
    [(0, "WHITE"), (0, "CLEAR"), (1, "GREEN"), (2, "AMBER"), (3, "AMBER+STRICT"), (4, "RED")];

/// A level by its word, with or without `TLP:`, whatever stands between the two words of the strict one.
pub(crate) fn tlp_of(word: &str, version: &str) -> Option<Tlp> {
    fn plain(text: &str) -> impl Iterator<Item = u8> {
        text.bytes().filter(u8::is_ascii_alphabetic).map(|b| b.to_ascii_uppercase())
    }
    let is = |level: &str| plain(word).eq(plain(level)) || plain(word).eq(plain("TLP").chain(plain(level)));
    let (rank, level) = LEVELS.into_iter().find(|(_, level)| is(level))?;
    Some(Tlp { rank, level, version: if version == "1.0" { "1.0" } else { "2.0" } })
}

/// A level by the name of its marking definition, which has to say that it is one: `RED` alone may be anything's.
pub(crate) fn tlp_named(name: &str) -> Option<Tlp> {
    name.trim().get(..3).filter(|start| start.eq_ignore_ascii_case("TLP"))?;
    let level = tlp_of(name, "2.0")?;
    // What only the first version has.
    Some(if level.level == "WHITE" { Tlp { version: "1.0", ..level } } else { level })
}

/// The tactic that a phase of ATT&CK's kill chain is, also by its title (`Defense Evasion`). ATT&CK 19 cut defense evasion in
/// two: stealth kept its identifier.
pub(crate) fn tactic(chain: &str, phase: &str) -> Option<&'static str> {
    let plain = |text: &str| -> String {
        text.trim().chars().map(|c| if matches!(c, ' ' | '_') { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    if chain != "mitre-attack" && plain(chain) != "mitre-attack" {
        return None;
    }
    // As they are written nearly always, then as they may be.
    phase_of_attack(phase).or_else(|| phase_of_attack(&plain(phase)))
}

fn phase_of_attack(phase: &str) -> Option<&'static str> {
    Some(match phase {
        "reconnaissance" => "TA0043",
        "resource-development" => "TA0042",
        "initial-access" => "TA0001",
        "execution" => "TA0002",
        "persistence" => "TA0003",
        "privilege-escalation" => "TA0004",
        "defense-evasion" | "stealth" => "TA0005",
        "defense-impairment" => "TA0112",
        "credential-access" => "TA0006",
        "discovery" => "TA0007",
        "lateral-movement" => "TA0008",
        "collection" => "TA0009",
        "exfiltration" => "TA0010",
        "command-and-control" => "TA0011",
        "impact" => "TA0040",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_the_same_in_either_case() {
        for id in [
            "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
            "marking-definition--34098FCE-860F-48AE-8E50-EBD3CC5E41DA",
        ] {
            assert_eq!(tlp(id).map(|tlp| tlp.level), Some("GREEN"), "{id}");
        }
        assert_eq!(tlp("marking-definition--34098fce"), None);
    }

    #[test]
    fn levels_are_read_as_tools_write_them() {
        for (word, level) in [
            ("TLP:AMBER+STRICT", Some("AMBER+STRICT")),
            ("tlp:amber+strict", Some("AMBER+STRICT")),
            ("TLP:AMBER-STRICT", Some("AMBER+STRICT")),
            ("amber_strict", Some("AMBER+STRICT")),
            ("TLP AMBER", Some("AMBER")),
            ("white", Some("WHITE")),
            ("clear", Some("CLEAR")),
            ("TLP:PURPLE", None),
            ("PAP:RED", None),
            ("", None),
        ] {
            assert_eq!(tlp_of(word, "2.0").map(|tlp| tlp.level), level, "{word}");
        }
    }

    #[test]
    fn a_name_says_that_it_is_a_level() {
        for (name, level) in [
            ("TLP:RED", Some(("RED", "2.0"))),
            ("TLP:WHITE", Some(("WHITE", "1.0"))),
            ("RED", None),
            ("Statement", None),
            ("PAP:AMBER", None),
        ] {
            assert_eq!(tlp_named(name).map(|tlp| (tlp.level, tlp.version)), level, "{name}");
        }
    }
}
