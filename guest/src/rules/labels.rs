//! What labels and tags say beside being searched: that their source takes nothing to be bad, or wants nothing detected by
//! it, and which techniques it has to do with. The same for records and for STIX objects.
//!
//! Labels are anybody's words, so only those are understood that can mean one thing: the words of STIX's own vocabularies,
//! those of MISP's taxonomies (`misp:to_ids="false"`), and what platforms write in their place.

use std::borrow::Cow;

use tipline_observable::{AttackId, AttackKind, attack_id, listed_attack_id};

/// Why nobody is to be warned of what an indicator names, though nobody took it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Its source keeps it as context and wants nothing detected by it.
    NotForDetection,
    /// Its source calls it harmless, or a false positive.
    Benign,
}

/// Words for what is harmless, where nothing else is said.
const BENIGN: [&str; 14] = [
    "allowlist",
    "allowlisted",
    "benign",
    "clean",
    "goodware",
    "harmless",
    "known-good",
    "legitimate",
    "non-malicious",
    "not-malicious",
    "safe",
    "whitelist",
    "whitelisted",
    "good",
];
/// Words for what was taken to be bad and is not, whatever else is said: who adds them looked at the rest.
const FALSE_POSITIVE: [&str; 5] =
    ["confirmed-false-positive", "false-positive", "false-positives", "falsepositive", "known-false-positive"];
/// What a value is a verdict about: the predicates of taxonomies, and of `name:value`.
const PREDICATES: [&str; 10] = [
    "analysis",
    "analyst-verdict",
    "artifact-state",
    "assessment",
    "classification",
    "disposition",
    "reputation",
    "state",
    "status",
    "verdict",
];

/// What the types of an indicator, in the words of STIX's `indicator_types`, and its labels say. STIX 2.0 has the types
/// among the labels.
pub fn verdict(types: &[Cow<'_, str>], labels: &[Cow<'_, str>]) -> Option<Verdict> {
    if types.is_empty() && labels.is_empty() {
        return None;
    }
    let (mut of_types, mut of_words, mut of_tags) = (Words::default(), Words::default(), None);
    for word in types.iter().map(|text| bare(text)).filter(|text| !same(text, "unknown")) {
        of_types.hear(word);
    }
    for label in labels {
        match label.as_bytes().iter().position(|b| matches!(b, b':' | b'=')).and_then(|at| parted(label, at)) {
            Some((space, rest)) => of_tags = of_tags.max(tagged(space, rest)),
            None => of_words.hear(bare(label)),
        }
    }
    let is_benign = of_types.has_false_positive
        || of_words.has_false_positive
        || of_types.all_benign.unwrap_or_else(|| of_words.all_benign == Some(true));
    of_tags.max(is_benign.then_some(Verdict::Benign))
}

/// What words say that stand together.
#[derive(Default)]
struct Words {
    has_false_positive: bool,
    /// Whether all of them are for what is harmless; none where there is no word.
    all_benign: Option<bool>,
}

impl Words {
    fn hear(&mut self, word: &str) {
        self.has_false_positive |= is_of(&FALSE_POSITIVE, word);
        self.all_benign = Some(self.all_benign != Some(false) && is_of(&BENIGN, word));
    }
}

/// Whether a word is one of a list.
fn is_of(list: &[&str], word: &str) -> bool {
    list.iter().any(|known| same(word, known))
}

/// What stands before a byte of ASCII and behind it.
fn parted(text: &str, at: usize) -> Option<(&str, &str)> {
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(1..)?))
}

/// What `namespace:predicate="value"` or `name:value` says.
fn tagged(space: &str, rest: &str) -> Option<Verdict> {
    let (predicate, value) = rest.rsplit_once(['=', ':']).unwrap_or((space, rest));
    let (space, predicate, value) = (bare(space), bare(predicate), bare(value));
    if same(predicate, "to-ids") {
        return is_of(&["false", "no", "0"], value).then_some(Verdict::NotForDetection);
    }
    let is_benign = if same(space, "false-positive") {
        is_of(&["confirmed", "false-positive"], predicate) && is_of(&["true", "yes", "1", "confirmed"], value)
    } else {
        is_of(&PREDICATES, predicate) && (is_of(&BENIGN, value) || is_of(&FALSE_POSITIVE, value))
    };
    is_benign.then_some(Verdict::Benign)
}

/// Without quotes.
fn bare(text: &str) -> &str {
    // Most have none.
    if let [first, .., last] = text.as_bytes()
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
    {
        return text;
    }
    text.trim().trim_matches(['"', '\'']).trim()
}

/// Whether a text is a word in lower case with hyphens, in any case and whatever stands between its parts.
fn same(text: &str, word: &str) -> bool {
    let plain = |b: u8| if matches!(b, b' ' | b'_') { b'-' } else { b.to_ascii_lowercase() };
    text.len() == word.len() && text.bytes().map(plain).eq(word.bytes())
}

/// The technique, tactic, group or software of ATT&CK's that a label names: `T1059.001`, `attack.t1059` as Sigma has it,
/// `mitre-attack:T1059`, `misp-galaxy:mitre-attack-pattern="Phishing - T1566"`. A group or a piece of software only where
/// the label says whose id it is: `S0154` may be anything's.
pub fn technique(label: &str) -> Option<AttackId> {
    const GALAXY: &str = "misp-galaxy:mitre-";
    const SPACES: [&str; 6] = ["att&ck", "tactic", "technique", "techniques", "ttp", "ttps"];
    let label = label.trim();
    // Most labels are words. Any of these ids has four digits.
    if label.bytes().filter(u8::is_ascii_digit).count() < 4 {
        return None;
    }
    let is_id = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let head = label.split([':', '=', '.']).next().filter(|head| head.len() < label.len());
    let is_said = head.is_some_and(|head| {
        head.split(['-', '_', ' '])
            .any(|word| word.eq_ignore_ascii_case("mitre") || word.eq_ignore_ascii_case("attack"))
            || SPACES.iter().any(|space| same(bare(head), space))
    });
    let is_of_misp = || label.get(..GALAXY.len()).is_some_and(|start| start.eq_ignore_ascii_case(GALAXY));
    if is_said || label.contains("attack.mitre.org/") || is_of_misp() {
        let page = listed_attack_id(label);
        // `attack.` is the head of the word in Sigma's.
        let headless =
            |word: &str| attack_id(word.split_once('.').filter(|(head, _)| *head != "AML").map_or(word, |(_, id)| id));
        return page.or_else(|| label.split(|c| !is_id(c)).find_map(|word| attack_id(word).or_else(|| headless(word))));
    }
    listed_attack_id(label).filter(|id| matches!(id.kind, AttackKind::Technique | AttackKind::Tactic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_harmless_by_its_source_is_told() {
        use Verdict::{Benign, NotForDetection};
        let benign = Some(Benign);
        for (types, labels, said) in [
            (vec!["benign"], vec![], benign),
            (vec!["Benign", "unknown"], vec!["phishing"], benign),
            (vec!["benign", "malicious-activity"], vec![], None),
            (vec!["malicious-activity"], vec!["benign"], None),
            (vec!["malicious-activity"], vec!["false-positive"], benign),
            (vec!["false-positive"], vec![], benign),
            (vec!["unknown"], vec!["benign"], benign),
            (vec![], vec!["benign"], benign),
            (vec![], vec!["benign", "tlp:green"], benign),
            (vec![], vec!["benign", "phishing"], None),
            (vec![], vec!["benign", "allowlisted"], benign),
            (vec![], vec!["phishing", "False Positive"], benign),
            (vec![], vec!["FALSE_POSITIVE"], benign),
            (vec![], vec!["false-positive:confirmed=\"true\""], benign),
            (vec![], vec!["false-positive:confirmed=\"false\""], None),
            (vec![], vec!["false-positive:risk=\"high\""], None),
            (vec![], vec!["not-a-false-positive"], None),
            (vec![], vec!["ioc:artifact-state=\"not-malicious\""], benign),
            (vec![], vec!["verdict:benign", "phishing"], benign),
            (vec![], vec!["status = false positive"], benign),
            (vec![], vec!["verdict:malicious"], None),
            (vec![], vec!["c2:benign"], None),
            (vec![], vec!["misp:to_ids=\"False\""], Some(NotForDetection)),
            (vec![], vec!["to_ids:false", "phishing"], Some(NotForDetection)),
            (vec![], vec!["misp:to_ids=\"false\"", "false-positive"], benign),
            (vec![], vec!["misp:to_ids=\"True\""], None),
            (vec![], vec!["unknown"], None),
            (vec!["unknown"], vec![], None),
            (vec![], vec![], None),
        ] {
            let texts =
                |list: &[&'static str]| -> Vec<Cow<'static, str>> { list.iter().map(|t| (*t).into()).collect() };
            assert_eq!(verdict(&texts(&types), &texts(&labels)), said, "{types:?} {labels:?}");
        }
    }

    #[test]
    fn techniques_are_found_in_labels() {
        for (label, id) in [
            ("T1059.001", Some("T1059.001")),
            ("t1059", Some("T1059")),
            ("TA0011", Some("TA0011")),
            ("attack.t1059.001", Some("T1059.001")),
            ("attack.g0016", Some("G0016")),
            ("attack.execution", None),
            ("mitre-attack:T1059", Some("T1059")),
            ("MITRE_ATTACK: T1059.003", Some("T1059.003")),
            ("mitre:T1566", Some("T1566")),
            ("att&ck:S0154", Some("S0154")),
            ("technique=T1071", Some("T1071")),
            ("misp-galaxy:mitre-attack-pattern=\"Spearphishing Link - T1566.002\"", Some("T1566.002")),
            ("misp-galaxy:mitre-intrusion-set=\"APT29 - G0016\"", Some("G0016")),
            ("https://attack.mitre.org/techniques/T1059/001/", Some("T1059.001")),
            ("T1059 - Command and Scripting Interpreter", Some("T1059")),
            ("mitre-atlas:AML.T0051", Some("AML.T0051")),
            ("S0154", None),
            ("G0016", None),
            ("phishing", None),
            ("attack", None),
            ("building:T1059", None),
            ("", None),
        ] {
            assert_eq!(technique(label).map(|found| found.id).as_deref(), id, "{label}");
        }
    }
}
