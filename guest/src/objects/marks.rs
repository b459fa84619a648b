//! The identifiers that the standards give to markings and to ATT&CK's tactics.

use tipline_ecs::Tlp;

/// The level a marking definition stands for. Each level has one identifier for all the world.
pub(crate) fn tlp(marking: &str) -> Option<Tlp> {
    let (level, version) = match marking.strip_prefix("marking-definition--")? {
        "613f2e26-407d-48c7-9eca-b8e91df99dc9" => ("WHITE", "1.0"),
        "34098fce-860f-48ae-8e50-ebd3cc5e41da" => ("GREEN", "1.0"),
        "f88d31f6-486f-44da-b317-01333bde0b82" => ("AMBER", "1.0"),
        "5e57c739-391a-4eb3-b6be-7d15ca92d5ed" => ("RED", "1.0"),
        "94868c89-83c2-464b-929b-a1a8aa3c8487" => ("CLEAR", "2.0"),
        "bab4a63c-aed9-4cf5-a766-dfca5abac2bb" => ("GREEN", "2.0"),
        "55d920b0-5e8b-4f79-9ee9-91f868d9b421" => ("AMBER", "2.0"),
        "939a9414-2ddd-4d32-a0cd-375ea402b003" => ("AMBER+STRICT", "2.0"),
        "e828b379-4e03-4974-9ac4-e53a884c97c1" => ("RED", "2.0"),
        _ => return None,
    };
    tlp_of(level, version)
}

/// A level by its word, with or without `TLP:`.
pub(crate) fn tlp_of(word: &str, version: &str) -> Option<Tlp> {
    const LEVELS: [(u8, &str); 6] =
        [(0, "WHITE"), (0, "CLEAR"), (1, "GREEN"), (2, "AMBER"), (3, "AMBER+STRICT"), (4, "RED")];
    let word = word.trim();
    let word = word.split_once(':').map_or(word, |(_, level)| level.trim());
    let (rank, level) = LEVELS.into_iter().find(|(_, level)| level.eq_ignore_ascii_case(word))?;
    Some(Tlp { rank, level, version: if version == "1.0" { "1.0" } else { "2.0" } })
}

/// The tactic that a phase of ATT&CK's kill chain is.
pub(crate) fn tactic(chain: &str, phase: &str) -> Option<&'static str> {
    if !chain.eq_ignore_ascii_case("mitre-attack") {
        return None;
    }
    Some(match phase {
        "reconnaissance" => "TA0043",
        "resource-development" => "TA0042",
        "initial-access" => "TA0001",
        "execution" => "TA0002",
        "persistence" => "TA0003",
        "privilege-escalation" => "TA0004",
        "defense-evasion" => "TA0005",
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
