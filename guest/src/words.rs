//! Texts of others, as they are shown to people: they come from outside and end in terminals and logs.

/// Characters of a server's text that are shown. Enough for a title or a message, too few to flood a log.
const QUOTED: usize = 160;

/// Characters of what the host says that are kept: its longest advice has half of them.
const LONGEST_TOLD: usize = 800;

/// [`clean`], in quotation marks.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", clean(text).replace('"', "'"))
}

/// What the host says of a request without an answer. It says what to change at its end, and has cleaned what was a
/// stranger's, so it is neither cut like a stranger's text nor put in quotation marks.
pub(crate) fn told(text: &str) -> String {
    let text = text.trim();
    let mut told: String = text.chars().take(LONGEST_TOLD).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST_TOLD).is_some() {
        told.push('…');
    }
    told
}

/// The beginning of a foreign text for people: on one line, without control or direction characters and without
/// anything a terminal would make a link of.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.trim().chars();
    for c in chars.by_ref().take(QUOTED) {
        match c {
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out.replace("://", "[:]//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_says_is_told_up_to_its_longest() {
        let said = "\u{e9}".repeat(LONGEST_TOLD);
        assert_eq!(told(&said), said);
        assert_eq!(told(&format!("{said}x")), format!("{said}…"));
    }
}
