//! The bodies of bulk requests, built from the documents' own text without parsing it.
//!
//! One buffer holds the operations of a whole page; requests are slices of it, so a page that goes out in four
//! requests is copied once. Documents come here in their stored form, with what the host sets in them (`tipline.input`, and
//! in events mode what [`super::events`] adds); only `event.ingested` is written here. Ids are written by a JSON serializer: no
//! value can add an action line.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::form;

/// Operations in their order, as the lines of a bulk body.
#[derive(Debug, Clone, Default)]
pub(super) struct Operations {
    text: BytesMut,
    /// Where each operation ends.
    ends: Vec<usize>,
    /// What each operation is of.
    ids: Vec<String>,
}

impl Operations {
    pub(super) fn with_capacity(count: usize, bytes: usize) -> Self {
        let (ends, ids) = (Vec::with_capacity(count), Vec::with_capacity(count));
        Self { text: BytesMut::with_capacity(bytes), ends, ids }
    }

    /// Writes the document unless the store holds a newer version.
    pub(super) fn index(&mut self, id: &str, version: u64, document: &str, ingested: Option<&str>) {
        self.action("index", id, Some(version));
        match ingested {
            Some(ingested) => self.spliced(document, ingested),
            None => self.text.put_slice(document.as_bytes()),
        }
        self.end();
    }

    /// Writes the document unless there is one of this id.
    pub(super) fn create(&mut self, id: &str, document: &str) {
        self.action("create", id, None);
        self.text.put_slice(document.as_bytes());
        self.end();
    }

    /// Deletes the document unless the store holds a newer version.
    pub(super) fn delete(&mut self, id: &str, version: u64) {
        self.action("delete", id, Some(version));
        // The action line is all there is.
        self.ends.push(self.text.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The whole as one piece, to be cut into requests.
    pub(super) fn into_piece(self) -> Piece {
        let numbers = (0..self.ends.len()).collect();
        let mut start = 0;
        let spans = self.ends.into_iter().map(|end| std::mem::replace(&mut start, end)..end).collect();
        Piece { text: self.text.freeze(), ids: self.ids.into(), spans, numbers }
    }

    fn action(&mut self, name: &str, id: &str, version: Option<u64>) {
        self.ids.push(id.to_owned());
        self.text.put_slice(b"{\"");
        self.text.put_slice(name.as_bytes());
        self.text.put_slice(b"\":{\"_id\":");
        // Writing a string into memory cannot fail.
        let _ = serde_json::to_writer((&mut self.text).writer(), id);
        if let Some(version) = version {
            self.text.put_slice(b",\"version\":");
            self.text.put_slice(version.to_string().as_bytes());
            self.text.put_slice(b",\"version_type\":\"external_gte\"");
        }
        self.text.put_slice(b"}}\n");
    }

    fn spliced(&mut self, document: &str, ingested: &str) {
        let (at, key, end) = match event_object(document) {
            Some(at) => (at, "\"ingested\":\"", "\","),
            // No `event` object to put it into: as a dotted key it is the same field.
            None => (1, "\"event.ingested\":\"", "\","),
        };
        let (before, after) = document.split_at_checked(at).unwrap_or((document, ""));
        self.text.put_slice(before.as_bytes());
        self.text.put_slice(key.as_bytes());
        self.text.put_slice(ingested.as_bytes());
        self.text.put_slice(end.as_bytes());
        self.text.put_slice(after.as_bytes());
    }

    fn end(&mut self) {
        self.text.put_u8(b'\n');
        self.ends.push(self.text.len());
    }
}

/// Some operations of a page.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    text: Bytes,
    /// Those of the whole page.
    ids: Arc<[String]>,
    /// Each operation's bytes in `text`.
    spans: Vec<std::ops::Range<usize>>,
    /// Each operation's place in the page.
    pub(super) numbers: Vec<usize>,
}

impl Piece {
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// What each operation is of, in their order.
    pub(super) fn ids(&self) -> Vec<&str> {
        self.numbers.iter().map(|number| self.ids.get(*number).map_or("", String::as_str)).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.spans.iter().map(ExactSizeIterator::len).sum()
    }

    /// The request body: a slice of the page's buffer where the operations lie side by side in it.
    pub(super) fn body(&self) -> Bytes {
        let (Some(first), Some(last)) = (self.spans.first(), self.spans.last()) else { return Bytes::new() };
        if last.end - first.start == self.bytes() {
            return self.text.slice(first.start..last.end);
        }
        let mut body = BytesMut::with_capacity(self.bytes());
        for span in &self.spans {
            body.put_slice(&self.text[span.clone()]);
        }
        body.freeze()
    }

    /// Only the operations at these positions of the piece.
    pub(super) fn only(&self, positions: &[usize]) -> Self {
        let spans = positions.iter().filter_map(|at| self.spans.get(*at).cloned()).collect();
        let numbers = positions.iter().filter_map(|at| self.numbers.get(*at).copied()).collect();
        Self { text: self.text.clone(), ids: self.ids.clone(), spans, numbers }
    }

    /// Pieces that end as soon as they have `enough` bytes, and have at most `most`; an operation that is larger stands
    /// alone.
    pub(super) fn cut(self, enough: usize, most: usize) -> Vec<Self> {
        let mut pieces = Vec::new();
        let (mut start, mut size) = (0, 0);
        for (at, span) in self.spans.iter().enumerate() {
            if at > start && (size >= enough || size + span.len() > most) {
                pieces.push(self.range(start, at));
                (start, size) = (at, 0);
            }
            size += span.len();
        }
        pieces.push(self.range(start, self.spans.len()));
        pieces
    }

    fn range(&self, from: usize, to: usize) -> Self {
        let (spans, numbers) = (self.spans[from..to].to_vec(), self.numbers[from..to].to_vec());
        Self { text: self.text.clone(), ids: self.ids.clone(), spans, numbers }
    }
}

/// Just after the brace of the root's `event` object, where that has members.
fn event_object(json: &str) -> Option<usize> {
    match form::root_object(json, "\"event\":{") {
        Some(at) => json[at..].starts_with('"').then_some(at),
        None => walked_to_event(json),
    }
}

/// The same where the last `event` of the text is none of the root's: the text is walked from its beginning.
fn walked_to_event(json: &str) -> Option<usize> {
    const KEY: &[u8] = b"\"event\":{\"";
    let bytes = json.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' if depth == 1 && bytes[at..].starts_with(KEY) => return Some(at + KEY.len() - 1),
            b'"' => {
                at += 1;
                // To the closing quote; what is escaped is stepped over.
                while let Some(&inner) = bytes.get(at) {
                    match inner {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn lines(piece: &Piece) -> Vec<Value> {
        let body = piece.body();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn ingested_goes_into_the_roots_event_object() {
        for (document, at_root) in [
            (r#"{"@timestamp":"t","event":{"id":"1"}}"#, false),
            (r#"{"a":{"event":{"x":1}},"event":{"id":"1"}}"#, false),
            (r#"{"a":"\"event\":{\"","b":[{"event":{"y":2}}],"event":{"id":"1"}}"#, false),
            (r#"{"a":"\\","event":{"id":"1"}}"#, false),
            (r#"{"event":{"id":"1"},"a":{"event":{"x":1}}}"#, false),
            (r#"{"event":{"id":"1"},"a":"\"event\":{\"x\"}"}"#, false),
            (r#"{"event":{"id":"1"},"tipline":{"input":"a"}}"#, false),
            (r#"{"event.id":"1","b":{"event":{"id":"2"}}}"#, true),
            (r#"{"x":"event","event":{},"event.id":"1"}"#, true),
        ] {
            let mut operations = Operations::default();
            operations.index("1", 7, document, Some("now"));
            let lines = lines(&operations.into_piece());
            assert_eq!(lines[0]["index"]["version"], 7);
            let pointer = if at_root { "/event.ingested" } else { "/event/ingested" };
            assert_eq!(lines[1].pointer(pointer).unwrap(), "now", "{document}");
            let mut rest = lines[1].clone();
            match at_root {
                true => rest.as_object_mut().unwrap().remove("event.ingested"),
                false => rest["event"].as_object_mut().unwrap().remove("ingested"),
            };
            assert_eq!(rest, serde_json::from_str::<Value>(document).unwrap());
        }
    }

    #[test]
    fn an_id_can_not_add_a_line() {
        let mut operations = Operations::default();
        operations.create("a\"}}\n{\"delete\":{\"_id\":\"b", "{}");
        operations.delete("\n", 3);
        let lines = lines(&operations.into_piece());
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["create"]["_id"], "a\"}}\n{\"delete\":{\"_id\":\"b");
        assert_eq!(lines[2]["delete"]["_id"], "\n");
    }

    #[test]
    fn pieces_keep_order_and_cap_and_nothing_is_lost() {
        let mut operations = Operations::default();
        for number in 0..100_u64 {
            let size = if number == 40 { 5_000 } else { 10 + number as usize };
            operations.create(&number.to_string(), &format!("\"{}\"", "x".repeat(size)));
        }
        let pieces = operations.into_piece().cut(1_000, 1_000);
        let numbers: Vec<_> = pieces.iter().flat_map(|piece| piece.numbers.clone()).collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        for piece in &pieces {
            assert!(piece.bytes() <= 1_000 || piece.len() == 1, "{} bytes in {}", piece.bytes(), piece.len());
            assert_eq!(piece.body().len(), piece.bytes());
        }
        assert!(pieces.iter().any(|piece| piece.numbers == [40] && piece.ids() == ["40"]));
        let some = pieces[0].only(&[1, 3]);
        assert_eq!(some.ids(), ["1", "3"]);
        assert_eq!(lines(&some)[0]["create"]["_id"], "1");
        assert_eq!(lines(&some)[2]["create"]["_id"], "3");
        assert_eq!(some.body().len(), some.bytes());
    }
}
