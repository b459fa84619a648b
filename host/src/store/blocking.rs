//! Work that computes for long or waits for a disk, kept off the runtime's threads.

/// Runs it on one of tokio's blocking threads. A panic goes on in the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shut down refuses work, and it polls nobody any more.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_beside_the_runtimes_only_thread_and_its_panic_reaches_the_caller() {
        let here = std::thread::current().id();
        assert_ne!(blocking(move || std::thread::current().id()).await, here);
        let panic = tokio::spawn(blocking(|| panic!("in the work"))).await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the work"));
    }
}
