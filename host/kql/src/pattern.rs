//! Texts with gaps in them.

/// A text in which any characters may stand in some places, or a text without such places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// Of what stands between the gaps; several gaps in a row are one.
    pub fn new(pieces: impl IntoIterator<Item = String>) -> Self {
        let mut pieces: Vec<String> = pieces.into_iter().collect();
        let last = pieces.len().saturating_sub(1);
        let mut index = 0;
        pieces.retain(|piece| {
            index += 1;
            index == 1 || index - 1 == last || !piece.is_empty()
        });
        if pieces.is_empty() { Self::exact("") } else { Self(pieces) }
    }

    /// This very text.
    pub fn exact(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// Any text that begins so.
    pub fn prefix(text: impl Into<String>) -> Self {
        Self(vec![text.into(), String::new()])
    }

    /// What stands between the gaps, at least one.
    pub fn pieces(&self) -> &[String] {
        &self.0
    }

    /// The text, where it has no gaps.
    pub fn as_exact(&self) -> Option<&str> {
        if let [text] = self.0.as_slice() { Some(text) } else { None }
    }

    /// The beginning, where the one gap is at the end.
    pub fn as_prefix(&self) -> Option<&str> {
        if let [text, end] = self.0.as_slice() { end.is_empty().then_some(text) } else { None }
    }

    /// Whether any text will do.
    pub fn is_any(&self) -> bool {
        self.0.len() > 1 && self.0.iter().all(String::is_empty)
    }

    /// The whole text fits.
    pub fn fits(&self, text: &str) -> bool {
        let [first, rest @ ..] = self.0.as_slice() else { return false };
        let Some((last, inner)) = rest.split_last() else { return text == first };
        let Some(mut text) = text.strip_prefix(first.as_str()).and_then(|text| text.strip_suffix(last.as_str())) else {
            return false;
        };
        // The earliest place leaves most to what follows.
        for piece in inner {
            let Some(at) = text.find(piece.as_str()) else { return false };
            text = &text[at + piece.len()..];
        }
        true
    }

    /// A part of the text fits.
    pub fn is_in(&self, mut text: &str) -> bool {
        for piece in &self.0 {
            let Some(at) = text.find(piece.as_str()) else { return false };
            text = &text[at + piece.len()..];
        }
        true
    }

    /// With each piece changed.
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self::new(self.0.iter().map(|piece| change(piece)))
    }

    /// Its words: what white space parts. A gap belongs to the word it touches.
    pub fn split_words(&self) -> Vec<Self> {
        let mut words = Vec::new();
        let mut word: Vec<String> = Vec::new();
        for (index, piece) in self.0.iter().enumerate() {
            if index > 0 {
                word.push(String::new());
                if word.len() == 1 {
                    word.push(String::new());
                }
            }
            for c in piece.chars() {
                if c.is_whitespace() {
                    if !word.is_empty() {
                        words.push(Self::new(std::mem::take(&mut word)));
                    }
                    continue;
                }
                match word.last_mut() {
                    Some(last) => last.push(c),
                    None => word.push(String::from(c)),
                }
            }
        }
        if !word.is_empty() {
            words.push(Self::new(word));
        }
        words
    }

    /// Characters, gaps included.
    pub fn chars(&self) -> usize {
        self.0.iter().map(|piece| piece.chars().count()).sum::<usize>() + self.0.len() - 1
    }
}

impl std::fmt::Display for Pattern {
    /// With asterisks for the gaps; for reading only, as an asterisk of the text looks the same.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text.split('*').map(str::to_owned))
    }

    #[test]
    fn patterns_fit_whole_texts_or_parts() {
        for (written, text, whole, part) in [
            ("a", "a", true, true),
            ("a", "ab", false, true),
            ("a*", "ab", true, true),
            ("*b", "ab", true, true),
            ("a*b", "ab", true, true),
            ("ab*ba", "aba", false, false),
            ("a*b*c", "axbxc", true, true),
            ("a*b*c", "acxb", false, false),
            ("*", "", true, true),
            ("**", "x", true, true),
            ("a**b", "a-b", true, true),
            ("*a*a*", "xax", false, false),
            ("é*ß", "é€ß", true, true),
        ] {
            assert_eq!(pattern(written).fits(text), whole, "{written} {text}");
            assert_eq!(pattern(written).is_in(text), part, "{written} {text}");
        }
    }

    #[test]
    fn words_keep_their_gaps() {
        for (written, words) in [
            ("a b", vec!["a", "b"]),
            (" a  b ", vec!["a", "b"]),
            ("a*b c", vec!["a*b", "c"]),
            ("a *b c*", vec!["a", "*b", "c*"]),
            ("* *", vec!["*", "*"]),
            ("", vec![]),
        ] {
            let found: Vec<_> = pattern(written).split_words().iter().map(ToString::to_string).collect();
            assert_eq!(found, words, "{written}");
        }
    }
}
