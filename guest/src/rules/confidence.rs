//! How sure a source is of what it says, in whichever scale it says so.
//!
//! Numbers are of 100, as STIX has them; a fraction of one, a percentage and `n/m` are what they say they are. The words are
//! those of the scales that STIX 2.1 (appendix A) gives numbers for (None/Low/Med/High, Admiralty credibility, words of
//! estimative probability, the DNI scale) and those feeds use beside them.

use tipline_ecs::Confidence;

/// A word and what it means of 100.
const WORDS: [(&str, u8); 42] = [
    ("none", 0),
    ("impossible", 0),
    ("almost no chance", 5),
    ("remote", 5),
    ("improbable", 10),
    ("highly unlikely", 10),
    ("almost certainly not", 10),
    ("very low", 10),
    ("very unlikely", 15),
    ("highly improbable", 15),
    ("low", 15),
    ("doubtful", 29),
    ("unlikely", 29),
    ("probably not", 29),
    ("possibly true", 50),
    ("possible", 50),
    ("med", 50),
    ("medium", 50),
    ("moderate", 50),
    ("even chance", 50),
    ("chances about even", 50),
    ("roughly even chance", 50),
    ("roughly even odds", 50),
    ("likely", 70),
    ("probable", 70),
    ("probably true", 70),
    ("high", 85),
    ("very likely", 85),
    ("highly likely", 85),
    ("highly probable", 85),
    ("very high", 95),
    ("very probable", 85),
    ("almost certain", 95),
    ("nearly certain", 95),
    ("almost certainly", 95),
    ("certain", 100),
    ("certainly true", 100),
    ("confirmed", 100),
    ("confirmed by other sources", 100),
    ("verified", 100),
    ("critical", 95),
    ("full", 100),
];

/// Confidence in ECS's words; none for what no scale has (`unknown`, `truth cannot be judged`), which passes as if it were
/// absent.
pub fn confidence(text: &str) -> Option<Confidence> {
    // The feed's own words first.
    let score = match text {
        "high" => 85.0,
        "medium" => 50.0,
        "low" => 15.0,
        _ => number(text).or_else(|| word(text))?,
    };
    Confidence::of_percent(score)
}

/// `85`, `0.85`, `85%`, `17/20`, as a number of 100.
fn number(text: &str) -> Option<f64> {
    let plain = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(percent) = text.strip_suffix('%') {
        return plain(percent);
    }
    if let Some((part, whole)) = text.split_once('/') {
        let (part, whole) = (plain(part)?, plain(whole)?);
        return (whole > 0.0 && (0.0..=whole).contains(&part)).then(|| part / whole * 100.0);
    }
    let number = plain(text)?;
    // A whole 1 is one of a hundred; with a point it is of a scale that ends there.
    let is_fraction = text.contains('.') && (0.0..=1.0).contains(&number);
    Some(if is_fraction { number * 100.0 } else { number })
}

/// `High`, `2 - Probably True`, `HIGH_CONFIDENCE`.
fn word(text: &str) -> Option<f64> {
    let plain: String =
        text.chars().map(|c| if c.is_ascii_alphabetic() { c.to_ascii_lowercase() } else { ' ' }).collect();
    let words: Vec<&str> = plain.split(' ').filter(|word| !word.is_empty() && *word != "confidence").collect();
    let plain = words.join(" ");
    WORDS.iter().find(|(known, _)| *known == plain).map(|(_, score)| f64::from(*score))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_read_in_every_scale() {
        use Confidence::{High, Low, Medium, None as Nothing};
        for (text, expected) in [
            ("high", Some(High)),
            ("High", Some(High)),
            ("HIGH", Some(High)),
            ("Med", Some(Medium)),
            ("medium", Some(Medium)),
            ("low", Some(Low)),
            ("None", Some(Nothing)),
            ("very-high", Some(High)),
            ("HIGH_CONFIDENCE", Some(High)),
            ("0", Some(Nothing)),
            ("1", Some(Low)),
            ("29", Some(Low)),
            ("30", Some(Medium)),
            ("69.9", Some(Medium)),
            ("70", Some(High)),
            ("100", Some(High)),
            ("0.85", Some(High)),
            ("0.5", Some(Medium)),
            ("1.0", Some(High)),
            ("0.0", Some(Nothing)),
            ("1.5", Some(Low)),
            ("85%", Some(High)),
            ("17 / 20", Some(High)),
            ("3/10", Some(Medium)),
            ("2 - Probably True", Some(High)),
            ("3 - Possibly True", Some(Medium)),
            ("4 - Doubtful", Some(Low)),
            ("5 - Improbable", Some(Low)),
            ("1 - Confirmed by other sources", Some(High)),
            ("6 - Truth cannot be judged", None),
            ("Almost Certain", Some(High)),
            ("Even Chance", Some(Medium)),
            ("Unlikely / Improbable", None),
            ("unknown", None),
            ("101", None),
            ("-1", None),
            ("5/0", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(confidence(text), expected, "{text}");
        }
    }
}
