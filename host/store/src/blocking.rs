//! Work that computes for long or waits for a disk, kept off the runtime's threads.

use tipline_model::apart;

/// [`apart::blocking`] for work whose caller has no error for a runtime that is shut down: such a runtime polls nobody
/// any more.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match apart::blocking(work).await {
        Ok(result) => result,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_beside_the_runtimes_only_thread() {
        let here = std::thread::current().id();
        assert_ne!(blocking(move || std::thread::current().id()).await, here);
    }
}
