//! How a test is listed and run.

use std::future::Future;

use libtest_mimic::{Completion, Failed, Trial};

/// A test without I/O of its own runtime.
#[allow(dead_code)] // Each module takes what it needs.
pub fn plain(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A test on a runtime of its own.
pub fn with_runtime<F>(name: impl Into<String>, test: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()>,
{
    Trial::test(name, move || {
        runtime()?.block_on(test());
        Ok(())
    })
}

/// A test that needs a server, whose URL stands in this environment variable.
pub fn with_server<F>(
    name: impl Into<String>,
    variable: &'static str,
    test: impl FnOnce(String) -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = ()>,
{
    Trial::ignorable_test(name, move || match std::env::var(variable) {
        Ok(url) => {
            runtime()?.block_on(test(url));
            Ok(Completion::Completed)
        }
        Err(_) => missing(&format!("{variable} is not set; tests/servers/ starts a server")),
    })
}

/// What a test does whose outside part is missing.
pub fn missing(reason: &str) -> Result<Completion, Failed> {
    match std::env::var_os("TIPLINE_REQUIRE_SERVERS") {
        Some(value) if value == "1" => Err(format!("{reason}, and TIPLINE_REQUIRE_SERVERS=1 requires it").into()),
        _ => Ok(Completion::ignored_with(reason)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failed::from)
}
