//! A line of `tipline check`.

use std::borrow::Cow;

use serde_json::json;

use crate::text::{self, Style};

/// So much of a line is shown to people; a server may have thousands of collections. Fixed: `--json` has all of it.
pub(super) const SHOWN_CHARS: usize = 2_000;

/// How well it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The input's id, or `output`.
    pub(super) about: String,
    pub(super) subject: Cow<'static, str>,
    pub(super) text: String,
}

impl Finding {
    pub(super) fn new(
        level: Level,
        about: &str,
        subject: impl Into<Cow<'static, str>>,
        text: impl Into<String>,
    ) -> Self {
        Self { level, about: about.to_owned(), subject: subject.into(), text: text.into() }
    }

    pub(super) fn to_json(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        let json = json!({ "level": level, "about": self.about, "subject": self.subject, "text": self.text });
        text::json(&json.to_string()).into_owned()
    }

    pub(super) fn to_line(&self, style: Style) -> String {
        let level = match self.level {
            Level::Ok => style.green("ok  "),
            Level::Warn => style.yellow("warn"),
            Level::Fail => style.red("fail"),
        };
        // Addresses in these texts are the user's own; they are escaped, not defanged.
        let shown = text::cut(&text::escape(&self.text), SHOWN_CHARS);
        format!("{level}  {} {}: {shown}", text::escape(&self.about), text::escape(&self.subject))
    }
}
