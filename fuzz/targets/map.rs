//! Records: any bytes are a page that adds up, or a failure; the same bytes give the same page.

#![no_main]

use libfuzzer_sys::fuzz_target;
use socdefenders::map_records;

const OBSERVED: u64 = 1_733_740_200_000;

/// The first byte is one of these; any other stands for no settings.
const SETTINGS: [(u8, &str); 3] = [
    (b'p', r#"{"allow_private":true}"#),
    (b'c', r#"{"transport":"taxii","context":true,"allow_private":true}"#),
    (b'e', r#"{"exclude":["192.0.2.0/24","example.com"],"types":["ipv4","url"],"min_confidence":"low"}"#),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, page)) = bytes.split_first() else { return };
    let settings = SETTINGS.iter().find(|(byte, _)| byte == first).map_or("", |(_, settings)| settings);
    let Ok(batch) = map_records(settings, OBSERVED, page) else { return };
    assert_eq!(batch.read, batch.mapped + batch.rejected + batch.skipped);
    assert_eq!(batch.rejects.len(), batch.rejected as usize);
    let lines = batch.documents.split_terminator('\n').map(str::len);
    assert!(lines.eq(batch.heads.iter().map(|head| head.length as usize)));
    assert_eq!(map_records(settings, OBSERVED, page).as_ref(), Ok(&batch));
});
