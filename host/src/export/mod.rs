//! Documents for other tools: as NDJSON, CSV, a STIX 2.1 bundle, or a plain list of values.
//!
//! Each is written as the documents come, so memory does not grow with them (the list remembers eight bytes for each value,
//! to give it once). What has no place in a format is left out and counted.

mod csv;
mod list;
mod stix;

use std::io::{self, Write};

use crate::store::Hit;

/// How documents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// The documents as they are stored, one JSON object a line
    Ndjson,
    /// A table for spreadsheets, with formulas made harmless
    Csv,
    /// A STIX 2.1 bundle
    Stix,
    /// The values alone, one a line, each once: for firewalls and resolvers
    List,
}

/// Writes documents in a format.
pub(crate) struct Export<W: Write> {
    form: Form<W>,
    written: u64,
    left_out: u64,
}

enum Form<W: Write> {
    Ndjson(W),
    Csv(csv::Table<W>),
    Stix(stix::Bundle<W>),
    List(list::List<W>),
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Exported {
    /// Documents, or values of a list.
    pub(crate) written: u64,
    /// Documents without a place in the format.
    pub(crate) left_out: u64,
}

impl<W: Write> Export<W> {
    /// Begins an export.
    ///
    /// # Errors
    /// [`io::Error`] of the writer.
    pub(crate) fn begin(format: Format, out: W) -> io::Result<Self> {
        let form = match format {
            Format::Ndjson => Form::Ndjson(out),
            Format::Csv => Form::Csv(csv::Table::begin(out)?),
            Format::Stix => Form::Stix(stix::Bundle::begin(out)?),
            Format::List => Form::List(list::List::begin(out)),
        };
        Ok(Self { form, written: 0, left_out: 0 })
    }

    /// Adds a document.
    ///
    /// # Errors
    /// [`io::Error`] of the writer.
    pub(crate) fn add(&mut self, hit: &Hit) -> io::Result<()> {
        let document = || serde_json::from_str(&hit.json).unwrap_or_default();
        let has_place = match &mut self.form {
            Form::Ndjson(out) => {
                out.write_all(crate::text::json(&hit.json).as_bytes())?;
                out.write_all(b"\n")?;
                true
            }
            Form::Csv(table) => table.add(&hit.id, &document())?,
            Form::Stix(bundle) => bundle.add(&hit.id, &document())?,
            Form::List(list) => list.add(&document())?,
        };
        *if has_place { &mut self.written } else { &mut self.left_out } += 1;
        Ok(())
    }

    /// Ends the export.
    ///
    /// # Errors
    /// [`io::Error`] of the writer.
    pub(crate) fn finish(self) -> io::Result<Exported> {
        let Self { form, written, left_out } = self;
        match form {
            Form::Ndjson(mut out) => out.flush()?,
            Form::Csv(table) => table.finish()?,
            Form::Stix(bundle) => bundle.finish()?,
            Form::List(list) => list.finish()?,
        }
        Ok(Exported { written, left_out })
    }
}
