//! Runs a guest component: engine, limits, one typed call at a time. Nothing here knows about threat intelligence.
//!
//! A guest is a component without imports, so it can reach nothing: no network, files, clock or randomness. What is
//! left to bound is time, memory and output, and how much depends on whose guest it is:
//!
//! * [`Profile::Trusted`] is for the guest this program was built with. One instance is kept and used again; nothing
//!   counts its steps, which makes it 1.5 times as fast.
//! * [`Profile::Sandboxed`] is for any other guest. Each call gets a fresh instance, fuel, and a smaller memory.
//!
//! A guest that traps gives [`SandboxError`], never a panic, and its instance is thrown away: the caller holds the
//! state, so nothing is lost.

mod bindings;
mod limits;

use std::fmt;
use std::path::Path;
use std::sync::Mutex;

use sha2::{Digest, Sha256};
use thiserror::Error;
use wasmtime::component::{Component, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine, Store, Trap};

pub use bindings::{Batch, Event, Failure, Next, Note, Request, Response, Skip, Step, Wait};
pub use limits::{CallLimits, Exceeded};

use bindings::{Input, InputPre};
use limits::Meter;

/// The component this program was built with.
pub const BUILT_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.component.wasm"));

/// The same as a core module, for hosts that know no components.
pub const BUILT_IN_CORE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.core.wasm"));

/// The contract both are built to.
pub const WIT: &str = include_str!("../../../wit/input.wit");

/// How far a guest is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The built-in guest: an instance is kept between calls and steps are not counted.
    Trusted,
    /// Any other guest: a fresh instance, fuel and memory for each call.
    Sandboxed(CallLimits),
}

/// Why a guest gave no answer. A guest's own [`Failure`] is an answer.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The bytes are no component, or of another contract.
    #[error(
        "The guest cannot be loaded: {0}. It must be a component that exports tipline:input/mapper@0.1.0 and tipline:input/pager@0.1.0."
    )]
    Load(String),
    /// The component asks for something from its host.
    #[error(
        "The guest imports {0}; a guest must be pure, so it is not run. Build it for wasm32-unknown-unknown without WASI."
    )]
    Imports(String),
    /// A limit of [`CallLimits`] was passed.
    #[error("The guest was stopped: {0}.")]
    Exceeded(Exceeded),
    /// The guest trapped: a panic, an overflow of its stack, an invalid access.
    #[error("The guest trapped: {0}. Its page was not delivered and its state not stored.")]
    Trapped(String),
}

/// A compiled guest, ready to be called from any thread.
pub struct Guest {
    engine: Engine,
    pre: InputPre<Meter>,
    profile: Profile,
    sha256: String,
    /// The kept instance of the trusted profile.
    live: Mutex<Option<Live>>,
}

struct Live {
    store: Store<Meter>,
    input: Input,
}

/// What a call cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Units of wasmtime's fuel; 0 in the trusted profile, which does not count.
    pub fuel: u64,
    /// The largest linear memory, in bytes.
    pub peak_memory: u64,
}

impl Guest {
    /// Compiles the component this program was built with, with a compile cache in `cache` if given.
    ///
    /// # Errors
    /// [`SandboxError::Load`], which would be a fault of the build.
    pub fn built_in(profile: Profile, cache: Option<&Path>) -> Result<Self, SandboxError> {
        Self::new(BUILT_IN, profile, cache)
    }

    /// Compiles a component.
    ///
    /// # Errors
    /// [`SandboxError::Load`] and [`SandboxError::Imports`].
    pub fn new(component: &[u8], profile: Profile, cache: Option<&Path>) -> Result<Self, SandboxError> {
        let load = |error: wasmtime::Error| SandboxError::Load(format!("{error:#}"));
        let engine = engine(profile, cache).map_err(load)?;
        let compiled = Component::new(&engine, component).map_err(load)?;
        let imports: Vec<_> = compiled.component_type().imports(&engine).map(|(name, _)| name.to_owned()).collect();
        if !imports.is_empty() {
            return Err(SandboxError::Imports(imports.join(", ")));
        }
        let pre = Linker::new(&engine).instantiate_pre(&compiled).and_then(InputPre::new).map_err(load)?;
        Ok(Self { engine, pre, profile, sha256: hex::encode(Sha256::digest(component)), live: Mutex::new(None) })
    }

    /// The SHA-256 of the component, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// One step of a poll; see `pager.advance` in the contract.
    ///
    /// # Errors
    /// The outer error is the sandbox's, the inner one the guest's answer.
    pub fn advance(
        &self,
        config: &str,
        state: &str,
        now: u64,
        event: &Event,
    ) -> Result<Result<Step, Failure>, SandboxError> {
        self.call(|input, store| input.tipline_input_pager().call_advance(store, config, state, now, event))
            .map(|(r, _)| r)
    }

    /// Maps records; see `mapper.map-records` in the contract.
    ///
    /// # Errors
    /// The outer error is the sandbox's, the inner one the guest's answer.
    pub fn map_records(
        &self,
        config: &str,
        observed: u64,
        records: &str,
    ) -> Result<Result<Batch, Failure>, SandboxError> {
        self.map_records_metered(config, observed, records).map(|(r, _)| r)
    }

    /// [`Guest::map_records`] with what it cost.
    ///
    /// # Errors
    /// As [`Guest::map_records`].
    pub fn map_records_metered(
        &self,
        config: &str,
        observed: u64,
        records: &str,
    ) -> Result<(Result<Batch, Failure>, Cost), SandboxError> {
        self.call(|input, store| input.tipline_input_mapper().call_map_records(store, config, observed, records))
    }

    /// The guest's description of itself, as JSON.
    ///
    /// # Errors
    /// The sandbox's.
    pub fn describe(&self) -> Result<String, SandboxError> {
        self.call(|input, store| input.tipline_input_mapper().call_describe(store)).map(|(r, _)| r)
    }

    fn call<R>(
        &self,
        run: impl FnOnce(&Input, &mut Store<Meter>) -> wasmtime::Result<R>,
    ) -> Result<(R, Cost), SandboxError> {
        let kept = match self.profile {
            // A poisoned lock means that a thread panicked in a call; its instance went with it.
            Profile::Trusted => self.live.lock().unwrap_or_else(|p| p.into_inner()).take(),
            Profile::Sandboxed(_) => None,
        };
        let mut live = match kept {
            Some(live) => live,
            None => self.instantiate()?,
        };
        let limits = self.limits();
        live.store.set_hostcall_fuel(limits.output_bytes);
        if let Some(fuel) = limits.fuel {
            live.store.set_fuel(fuel).map_err(|e| SandboxError::Trapped(e.to_string()))?;
        }
        let result = run(&live.input, &mut live.store);
        let spent = limits.fuel.and_then(|given| Some(given - live.store.get_fuel().ok()?)).unwrap_or(0);
        let cost = Cost { fuel: spent, peak_memory: live.store.data().peak() };
        match result {
            Ok(answer) => {
                // Linear memory never shrinks, so an instance that once met a huge page is not kept.
                if self.profile == Profile::Trusted && cost.peak_memory <= limits::KEPT_MEMORY {
                    *self.live.lock().unwrap_or_else(|p| p.into_inner()) = Some(live);
                }
                Ok((answer, cost))
            }
            Err(error) => Err(explain(&error, live.store.data(), &limits)),
        }
    }

    fn limits(&self) -> CallLimits {
        match self.profile {
            Profile::Trusted => CallLimits::TRUSTED,
            Profile::Sandboxed(limits) => limits,
        }
    }

    fn instantiate(&self) -> Result<Live, SandboxError> {
        let limits = self.limits();
        let mut store = Store::new(&self.engine, Meter::new(limits.memory_bytes));
        store.limiter(|meter| meter);
        if let Some(fuel) = limits.fuel {
            store.set_fuel(fuel).map_err(|e| SandboxError::Load(e.to_string()))?;
        }
        let input = self.pre.instantiate(&mut store).map_err(|e| explain(&e, store.data(), &limits))?;
        Ok(Live { store, input })
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("profile", &self.profile).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

/// `memory_reservation` and signal-based traps stay as they are: shrinking or turning them off costs a third to a half
/// of the speed. Memory is capped by the store's limiter instead.
fn engine(profile: Profile, cache: Option<&Path>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model(true);
    // Nothing in a guest may depend on the processor it runs on.
    config.cranelift_nan_canonicalization(true);
    config.wasm_relaxed_simd(false);
    config.consume_fuel(matches!(profile, Profile::Sandboxed(_)));
    if let Some(directory) = cache {
        // A cache that cannot be opened costs a fifth of a second, no more.
        let mut settings = CacheConfig::new();
        settings.with_directory(directory);
        config.cache(Cache::new(settings).ok());
    }
    Engine::new(&config)
}

fn explain(error: &wasmtime::Error, meter: &Meter, limits: &CallLimits) -> SandboxError {
    if let Some(exceeded) = meter.refused() {
        return SandboxError::Exceeded(exceeded);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => SandboxError::Exceeded(Exceeded::Fuel { limit: limits.fuel.unwrap_or(0) }),
        Some(trap) => SandboxError::Trapped(trap.to_string()),
        None => {
            let text = format!("{error:#}");
            // wasmtime has no type for this one.
            if text.contains("fuel allocated for hostcalls") {
                return SandboxError::Exceeded(Exceeded::Output { limit: limits.output_bytes as u64 });
            }
            SandboxError::Trapped(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_kept_unless_it_met_a_huge_page() {
        let guest = Guest::built_in(Profile::Trusted, None).unwrap();
        let page = |bytes: usize| {
            format!(r#"{{"data":[{{"type":"domain","value":"a.example","x":"{}"}}]}}"#, "x".repeat(bytes))
        };
        for (bytes, is_kept) in [(1_000, true), (40 * 1024 * 1024, false), (1_000, true)] {
            let (batch, cost) = guest.map_records_metered("", 0, &page(bytes)).unwrap();
            assert_eq!(batch.unwrap().mapped, 1);
            assert_eq!(cost.peak_memory <= limits::KEPT_MEMORY, is_kept, "{cost:?}");
            assert_eq!(guest.live.lock().unwrap().is_some(), is_kept, "{bytes}");
        }
    }
}
