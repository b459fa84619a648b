//! Why a text is no value.

/// Why a value is none of the known kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Stable, lower-case, with dashes.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Misfit {
    /// With its code and its sentence.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
