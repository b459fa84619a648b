//! A table for spreadsheets, as RFC 4180 has it. A cell that a spreadsheet would take for a formula gets an apostrophe in
//! front, as OWASP advises: values come from strangers.

use std::io::{self, Write};

use serde_json::Value;

use crate::document::{kind, name, text_at, texts_at};
use crate::text;

/// The columns: what it is called, and where it stands.
const COLUMNS: [(&str, &str); 13] = [
    ("feed", "threat.feed.name"),
    ("provider", "threat.indicator.provider"),
    ("confidence", "threat.indicator.confidence"),
    ("tlp", "threat.indicator.marking.tlp"),
    ("first_seen", "threat.indicator.first_seen"),
    ("last_seen", "threat.indicator.last_seen"),
    ("observed", "tipline.observed_at"),
    ("ends", "tipline.expires_at"),
    ("tags", "tags"),
    ("software", "threat.software.name"),
    ("actor", "threat.group.name"),
    ("description", "threat.indicator.description"),
    ("reference", "threat.indicator.reference"),
];

pub(super) struct Table<W: Write> {
    out: W,
    line: String,
}

impl<W: Write> Table<W> {
    pub(super) fn begin(out: W) -> io::Result<Self> {
        let mut table = Self { out, line: String::new() };
        let names = ["type", "value"].into_iter().chain(COLUMNS.iter().map(|(name, _)| *name)).chain(["id"]);
        for name in names {
            table.cell(name);
        }
        table.end()?;
        Ok(table)
    }

    pub(super) fn add(&mut self, id: &str, document: &Value) -> io::Result<bool> {
        self.cell(kind(document));
        self.cell(name(document));
        for (_, path) in COLUMNS {
            match text_at(document, path) {
                "" => self.cell(&texts_at(document, path).join("; ")),
                text => self.cell(text),
            }
        }
        self.cell(id);
        self.end()?;
        Ok(true)
    }

    fn cell(&mut self, said: &str) {
        if !self.line.is_empty() {
            self.line.push(',');
        }
        self.line.push('"');
        if said.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
            self.line.push('\'');
        }
        for c in said.chars() {
            match c {
                '"' => self.line.push_str("\"\""),
                '\n' | '\r' | '\t' => self.line.push(c),
                // A terminal or a spreadsheet would obey it. Programs that want the value itself read NDJSON or STIX.
                c if text::is_hidden(c) => self.line.push_str(&text::escape(c.encode_utf8(&mut [0; 4]))),
                c => self.line.push(c),
            }
        }
        self.line.push('"');
    }

    fn end(&mut self) -> io::Result<()> {
        self.line.push_str("\r\n");
        self.out.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_text_and_nothing_else() {
        for (value, cell) in [
            ("evil.example", r#""evil.example""#),
            ("=cmd|' /C calc'!A0", r#""'=cmd|' /C calc'!A0""#),
            ("+1", r#""'+1""#),
            ("-1", r#""'-1""#),
            ("@SUM(A1)", r#""'@SUM(A1)""#),
            ("\t=1", "\"'\t=1\""),
            ("a,\"b\"\nc", "\"a,\"\"b\"\"\nc\""),
            ("\u{202e}gnp\u{1b}[2J\0.exe", "\"\\u{202e}gnp\\u{1b}[2J\\u{0}.exe\""),
        ] {
            let mut out = Vec::new();
            let mut table = Table::begin(&mut out).unwrap();
            let document =
                json!({ "tags": ["x", "y"], "threat": { "indicator": { "type": "domain-name", "name": value } } });
            assert!(table.add("id", &document).unwrap());
            table.finish().unwrap();
            let text = String::from_utf8(out).unwrap();
            let rows = text.split_once("\r\n").unwrap().1;
            let expected = format!(
                "\"domain-name\",{cell},\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"x; y\",\"\",\"\",\"\",\"\",\"id\"\r\n"
            );
            assert_eq!(rows, expected);
        }
    }
}
