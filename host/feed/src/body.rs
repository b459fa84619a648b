//! Reading an answer without trusting its size.
//!
//! Bytes are counted as they leave the decoder, chunk by chunk, so a few compressed bytes that unfold into gigabytes
//! stop at the cap. What is read stays as it is: only a guest knows what a byte means that is no text.

use reqwest::Response;

/// Memory asked for before the first byte has come, whatever the server declares: a page of a thousand records.
const FIRST_RESERVE: u64 = 1024 * 1024;

/// Why a body ended early.
#[derive(Debug)]
pub(super) enum Cut {
    /// It is longer than the cap.
    Cap,
    /// The connection or the decoder failed.
    Failed(reqwest::Error),
}

/// Reads up to `cap` bytes. Where the body is cut, what came before is handed back too; but nothing is read of one that
/// says it is longer, where only the whole is wanted.
pub(super) async fn read(response: &mut Response, cap: u64, is_whole_wanted: bool) -> (Vec<u8>, Option<Cut>) {
    let declared = response.content_length().unwrap_or(0);
    if declared > cap && is_whole_wanted {
        return (Vec::new(), Some(Cut::Cap));
    }
    let mut body = Vec::with_capacity(usize::try_from(declared.min(cap).min(FIRST_RESERVE)).unwrap_or(0));
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = usize::try_from(cap).unwrap_or(usize::MAX).saturating_sub(body.len());
                let taken = chunk.get(..room);
                body.extend_from_slice(taken.unwrap_or(&chunk));
                if taken.is_some_and(|taken| taken.len() < chunk.len()) {
                    return (body, Some(Cut::Cap));
                }
            }
            Ok(None) => return (body, None),
            Err(error) => return (body, Some(Cut::Failed(error))),
        }
    }
}
