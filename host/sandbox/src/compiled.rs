//! A guest's machine code, and how soon it is there.
//!
//! Cranelift's code is twice as fast as Winch's and takes seven times as long to make: half a second for the built-in
//! guest. Where the cache holds none yet, the built-in guest therefore starts with Winch's code, so that the first
//! request leaves at once, and a thread makes Cranelift's meanwhile, which takes its place as soon as it is there. Both
//! give the same answers, which a test compares. Where Winch knows the processor or an instruction not, Cranelift's code
//! is waited for.
//!
//! Any other guest is compiled by Cranelift only: its steps are counted, and its NaNs made the same everywhere. That is
//! done in a process of its own ([`super::compiling`]).
//!
//! Code looks at its engine's epoch, so that a call can be ended from outside: when the program stops, and, where time is
//! limited, when the time is over. Cranelift's of the built-in guest does not, as that takes a tenth to a sixth of its time:
//! it is known to end, a page of 64 MiB takes it about a second, and a stop meets it where its memory grows and at its end.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::SandboxError;
use super::bindings::InputPre;
use super::bounds;
use super::cache::Cache;
use super::compiling;
use super::engine::{Compiler, engine};
use super::limits::{CompileLimits, Meter};
use super::stop::Interrupt;

/// A component, checked and compiled.
pub(super) struct Compiled {
    pub(super) engine: Engine,
    pub(super) pre: InputPre<Meter>,
}

impl Compiled {
    /// The code of what this program was built with: out of the cache, else made anew, here, and kept there.
    pub(super) fn own(component: &[u8], compiler: Compiler, cache: Option<&Path>) -> Result<Self, SandboxError> {
        let cache = cache.and_then(Cache::open);
        let engine = engine(compiler, true).map_err(load)?;
        match cache.as_ref().and_then(|cache| cache.load(&engine, component)) {
            Some(code) => Self::of(engine, &code),
            None => Self::made(engine, component, cache.as_ref()),
        }
    }

    /// The code of any other file: out of the cache, else made anew, in a process of its own, and kept there.
    pub(super) fn foreign(
        file: &[u8],
        limits: CompileLimits,
        cache: Option<&Path>,
        stop: &Interrupt,
    ) -> Result<Self, SandboxError> {
        let cache = cache.and_then(Cache::open);
        let engine = engine(Compiler::Cranelift { fuel: true }, true).map_err(load)?;
        if let Some(code) = cache.as_ref().and_then(|cache| cache.load(&engine, file)) {
            return Self::of(engine, &code);
        }
        let bytes = compiling::foreign(file, limits, stop)?;
        // SAFETY: the code must be what a compiler of this version of wasmtime gave, with the same settings. It comes
        // from this same program, through a pipe that nobody else holds.
        let code = unsafe { Component::deserialize(&engine, &bytes) }.map_err(load)?;
        if let Some(cache) = cache {
            cache.keep(&engine, file, &bytes);
        }
        Self::of(engine, &code)
    }

    fn made(engine: Engine, component: &[u8], cache: Option<&Cache>) -> Result<Self, SandboxError> {
        let code = Component::new(&engine, component).map_err(load)?;
        if let Some(cache) = cache {
            match code.serialize() {
                Ok(bytes) => cache.keep(&engine, component, &bytes),
                Err(reason) => tracing::debug!(error.message = %reason, "The code cannot be kept"),
            }
        }
        Self::of(engine, &code)
    }

    fn of(engine: Engine, code: &Component) -> Result<Self, SandboxError> {
        let imports: Vec<_> = code.component_type().imports(&engine).map(|(name, _)| name.to_owned()).collect();
        if !imports.is_empty() {
            return Err(SandboxError::Imports(bounds::told(imports.join(", "))));
        }
        let pre = Linker::new(&engine).instantiate_pre(code).and_then(InputPre::new).map_err(load)?;
        Ok(Self { engine, pre })
    }
}

fn load(error: wasmtime::Error) -> SandboxError {
    SandboxError::Load(bounds::told(format!("{error:#}")))
}

/// How often the epoch of an engine goes on by itself: a limit of seconds need not be met more exactly.
const TICK: Duration = Duration::from_millis(10);

/// Lets the engine's epoch go on for as long as there is the engine, so that calls look at the clock.
pub(super) fn tick(engine: &Engine) -> Result<(), SandboxError> {
    let engine = engine.weak();
    let run = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    let started = thread::Builder::new().name("guest-clock".to_owned()).spawn(run);
    started
        .map(|_| ())
        .map_err(|error| SandboxError::Load(format!("the thread of its clock cannot be started: {error}")))
}

/// The code in use, which a better one may replace.
pub(super) struct Code {
    now: Arc<Mutex<Arc<Compiled>>>,
    /// Of all code that is or may yet be in use.
    engines: Vec<Engine>,
    /// Makes the better one. Waited for at the end, so that even a short run leaves it in the cache.
    maker: Option<JoinHandle<()>>,
}

impl Code {
    /// Code that stays.
    pub(super) fn of(compiled: Compiled) -> Self {
        let engines = vec![compiled.engine.clone()];
        Self { now: Arc::new(Mutex::new(Arc::new(compiled))), engines, maker: None }
    }

    /// Cranelift's code where the cache has it, else Winch's until it has.
    pub(super) fn soon(component: &'static [u8], cache: &Path) -> Result<Self, SandboxError> {
        let slow = Compiler::Cranelift { fuel: false };
        let engine = engine(slow, true).map_err(load)?;
        let cache = Cache::open(cache);
        if let Some(code) = cache.as_ref().and_then(|cache| cache.load(&engine, component)) {
            return Compiled::of(engine, &code).map(Self::of);
        }
        let Ok(quick) = Compiled::own(component, Compiler::Winch, None) else {
            return Compiled::made(engine, component, cache.as_ref()).map(Self::of);
        };
        let mut code = Self::of(quick);
        code.engines.push(engine.clone());
        let now = code.now.clone();
        let make = move || match Compiled::made(engine, component, cache.as_ref()) {
            Ok(better) => *now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(better),
            Err(error) => {
                tracing::warn!(error.message = %error, "The guest could not be compiled anew; slower code stays");
            }
        };
        // Without a thread the quick code has to do.
        code.maker = thread::Builder::new().name("compiler".to_owned()).spawn(make).ok();
        Ok(code)
    }

    /// Lets every call under way look up from its work.
    pub(super) fn nudge(&self) {
        self.engines.iter().for_each(Engine::increment_epoch);
    }

    pub(super) fn now(&self) -> Arc<Compiled> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        if let Some(maker) = self.maker.take() {
            // It panicked, then; the quick code did the work.
            let _ = maker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BUILT_IN;

    #[test]
    fn the_cache_is_filled_when_the_first_code_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Code::soon(BUILT_IN, folder.path()).unwrap();
        assert!(first.maker.is_some(), "the first code is made in one pass");
        drop(first);
        let second = Code::soon(BUILT_IN, folder.path()).unwrap();
        assert!(second.maker.is_none(), "the second one comes out of the cache");
    }

    #[test]
    fn the_better_code_takes_the_place_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut code = Code::soon(BUILT_IN, folder.path()).unwrap();
        let first = code.now();
        code.maker.take().unwrap().join().unwrap();
        assert!(!Arc::ptr_eq(&first, &code.now()));
    }
}
