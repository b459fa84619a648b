//! Work that must not hold up, or bring down, what awaits it.
//!
//! [`blocking`] is for what computes or waits for a disk: the runtime's threads serve every input. [`task`] is for what
//! belongs to one input: it gets a task of its own, and a panic in it becomes an error of that input, with the others
//! going on. Both end with [`Broken`] where the program is ending meanwhile.

use std::any::Any;
use std::future::Future;

use thiserror::Error;
use tokio::task::{JoinError, JoinHandle};

/// The work gave no result.
#[derive(Debug, Error)]
pub enum Broken {
    /// It panicked, with this message.
    #[error("A fault of Tipline ended it: {0}. The next one begins anew; please report this with the log.")]
    Panicked(String),
    /// The runtime is being shut down.
    #[error("The program is ending, so it was not done; the next run goes on from here.")]
    Ending,
}

/// Runs this on a thread for blocking work. A panic goes on in the caller.
///
/// # Errors
/// [`Broken::Ending`].
pub async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, Broken> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Broken::Ending),
        },
    }
}

/// Runs this as a task, which ends when its caller is dropped.
///
/// # Errors
/// [`Broken`].
pub async fn task<R: Send + 'static>(work: impl Future<Output = R> + Send + 'static) -> Result<R, Broken> {
    let mut owned = Owned(tokio::spawn(work));
    (&mut owned.0).await.map_err(broken)
}

/// Ends with whom it belongs to.
struct Owned<R>(JoinHandle<R>);

impl<R> Drop for Owned<R> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn broken(error: JoinError) -> Broken {
    match error.try_into_panic() {
        Ok(panic) => Broken::Panicked(message(&*panic)),
        Err(_) => Broken::Ending,
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn what_is_begun_while_the_program_ends_is_an_error_and_no_panic() {
        let ended = runtime();
        let handle = ended.handle().clone();
        drop(ended);
        runtime().block_on(async {
            let _entered = handle.enter();
            assert!(matches!(blocking(|| 1).await, Err(Broken::Ending)));
            assert!(matches!(task(async { 1 }).await, Err(Broken::Ending)));
        });
    }

    #[tokio::test]
    async fn a_panic_of_a_task_is_told_with_its_message() {
        for (name, expected) in [(Some("a guest"), "no a guest here"), (None, "nothing")] {
            let broken = task(async move {
                match name {
                    Some(name) => panic!("no {name} here"),
                    None => panic!("nothing"),
                }
            })
            .await;
            let text = broken.map(|()| String::new()).unwrap_err().to_string();
            assert!(text.contains(&format!("ended it: {expected}.")), "{text}");
        }
    }

    #[tokio::test]
    #[should_panic(expected = "of the work")]
    async fn a_panic_of_blocking_work_goes_on_in_its_caller() {
        let _ = blocking(|| panic!("of the work")).await;
    }
}
