//! What a question about the output found.

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// Works, but a person should know.
    Warning,
    /// Does not work.
    Fault,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `connection`, `credential`, `privileges`, `setup`, `pipeline`, `blocks`, `kibana`, `lifecycle`.
    pub subject: &'static str,
    /// How bad.
    pub level: Level,
    /// In one or two sentences, with what to do.
    pub text: String,
}

/// The answer to a question.
pub(super) fn finding(subject: &'static str, level: Level, text: impl Into<String>) -> Finding {
    Finding { subject, level, text: text.into() }
}
