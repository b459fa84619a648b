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
mod bounds;
mod cache;
mod compiled;
mod limits;
mod module;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use thiserror::Error;
use wasmtime::{Store, Trap};

pub use bindings::{Batch, Event, Failure, Head, Next, Note, Reject, Request, Response, Row, Skip, Step, Wait};
pub use bounds::{MAX_DOCUMENTS, MAX_NOTES, MAX_REASONS, MAX_REJECTS, MAX_ROWS, MAX_TEXT_BYTES, MAX_WORD_BYTES};
pub use limits::{CallLimits, Exceeded};

use bindings::Input;
use compiled::{Code, Compiled, Compiler};
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
        "The guest cannot be loaded: {0}. It must be a component that exports tipline:input/mapper@0.2.0 and tipline:input/pager@0.2.0, or the core module that wit-bindgen leaves of one."
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
    /// Its counts do not add up, so nobody could account for its records.
    #[error("The guest's counts do not add up: {0}. Its page was not delivered and its state not stored.")]
    Counts(String),
}

/// A compiled guest, ready to be called from any thread.
pub struct Guest {
    code: Code,
    profile: Profile,
    sha256: String,
    /// The kept instance of the trusted profile.
    live: Mutex<Option<Live>>,
}

struct Live {
    /// Whose instance it is.
    compiled: Arc<Compiled>,
    store: Store<Meter>,
    input: Input,
}

/// A guest's sum: SHA-256 of the file it was made of, in hex.
pub fn sha256(file: &[u8]) -> String {
    hex::encode(Sha256::digest(file))
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
    /// Compiles the component this program was built with, with a compile cache in `cache` if given. A trusted one whose
    /// code the cache does not hold yet starts with code made in one pass, and gets the better one while it runs.
    ///
    /// # Errors
    /// [`SandboxError::Load`], which would be a fault of the build.
    pub fn built_in(profile: Profile, cache: Option<&Path>) -> Result<Self, SandboxError> {
        match (profile, cache) {
            (Profile::Trusted, Some(cache)) => {
                let code = Code::soon(BUILT_IN, cache)?;
                Ok(Self::of(code, profile, sha256(BUILT_IN)))
            }
            _ => Self::new(BUILT_IN, profile, cache),
        }
    }

    /// The component this program was built with, compiled in one pass and left so: half as fast, and ready in a tenth
    /// of a second.
    ///
    /// # Errors
    /// [`SandboxError::Load`] where that is not possible on this processor.
    pub fn built_in_one_pass() -> Result<Self, SandboxError> {
        let code = Code::of(Compiled::new(BUILT_IN, Compiler::Winch, None)?);
        Ok(Self::of(code, Profile::Trusted, sha256(BUILT_IN)))
    }

    /// Compiles a component, or the core module that wit-bindgen and a compiler for wasm32-unknown-unknown leave.
    ///
    /// # Errors
    /// [`SandboxError::Load`] and [`SandboxError::Imports`].
    pub fn new(file: &[u8], profile: Profile, cache: Option<&Path>) -> Result<Self, SandboxError> {
        let compiler = match profile {
            Profile::Trusted => Compiler::Cranelift { fuel: false, clock: false },
            // Fuel is counted even where nothing is to be limited: it tells the cost.
            Profile::Sandboxed(limits) => Compiler::Cranelift { fuel: true, clock: limits.time.is_some() },
        };
        let code = Code::of(Compiled::new(&module::component(file)?, compiler, cache)?);
        Ok(Self::of(code, profile, sha256(file)))
    }

    fn of(code: Code, profile: Profile, sha256: String) -> Self {
        Self { code, profile, sha256, live: Mutex::new(None) }
    }

    /// The SHA-256 of what it was made of, component or core module, in hex.
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
        let (mut answer, _) =
            self.call(|input, store| input.tipline_input_pager().call_advance(store, config, state, now, event))?;
        match &mut answer {
            Ok(step) => bounds::step(step)?,
            Err(failure) => bounds::failure(failure),
        }
        Ok(answer)
    }

    /// Maps records; see `mapper.map-records` in the contract.
    ///
    /// # Errors
    /// The outer error is the sandbox's, the inner one the guest's answer.
    pub fn map_records(
        &self,
        config: &str,
        observed: u64,
        records: &[u8],
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
        records: &[u8],
    ) -> Result<(Result<Batch, Failure>, Cost), SandboxError> {
        let answer =
            self.call(|input, store| input.tipline_input_mapper().call_map_records(store, config, observed, records));
        bounded(answer)
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
        let compiled = self.code.now();
        let mut live = match kept {
            Some(live) if Arc::ptr_eq(&live.compiled, &compiled) => live,
            _ => self.instantiate(compiled)?,
        };
        let (answer, cost) = self.call_in(&mut live, run)?;
        // Linear memory never shrinks, so an instance that once met a huge page is not kept.
        if self.profile == Profile::Trusted && cost.peak_memory <= limits::KEPT_MEMORY {
            *self.live.lock().unwrap_or_else(|p| p.into_inner()) = Some(live);
        }
        Ok((answer, cost))
    }

    /// A call in this instance, which must not be used again after an error.
    fn call_in<R>(
        &self,
        live: &mut Live,
        run: impl FnOnce(&Input, &mut Store<Meter>) -> wasmtime::Result<R>,
    ) -> Result<(R, Cost), SandboxError> {
        let limits = self.limits();
        live.store.set_hostcall_fuel(limits.output_bytes);
        let fuel = self.fuel();
        if let Some(fuel) = fuel {
            live.store.set_fuel(fuel).map_err(|e| SandboxError::Trapped(e.to_string()))?;
        }
        if let Some(time) = limits.time {
            live.store.set_epoch_deadline(ticks(time));
        }
        let result = run(&live.input, &mut live.store);
        let spent = fuel.and_then(|given| Some(given - live.store.get_fuel().ok()?)).unwrap_or(0);
        let cost = Cost { fuel: spent, peak_memory: live.store.data().peak() };
        result.map(|answer| (answer, cost)).map_err(|error| explain(&error, live.store.data(), &limits))
    }

    fn limits(&self) -> CallLimits {
        match self.profile {
            Profile::Trusted => CallLimits::TRUSTED,
            Profile::Sandboxed(limits) => limits,
        }
    }

    /// What a call is given, where it is counted.
    fn fuel(&self) -> Option<u64> {
        match self.profile {
            Profile::Trusted => None,
            Profile::Sandboxed(limits) => Some(limits.fuel.unwrap_or(u64::MAX)),
        }
    }

    fn instantiate(&self, compiled: Arc<Compiled>) -> Result<Live, SandboxError> {
        let limits = self.limits();
        let mut store = Store::new(&compiled.engine, Meter::new(limits.memory_bytes));
        store.limiter(|meter| meter);
        if let Some(fuel) = self.fuel() {
            store.set_fuel(fuel).map_err(|e| SandboxError::Load(e.to_string()))?;
        }
        if let Some(time) = limits.time {
            store.set_epoch_deadline(ticks(time));
        }
        let input = compiled.pre.instantiate(&mut store).map_err(|e| explain(&e, store.data(), &limits))?;
        Ok(Live { compiled, store, input })
    }
}

/// One instance for many calls, under the limits of its guest: what it keeps from one call shows in the next.
pub struct Session<'g> {
    guest: &'g Guest,
    /// None before the first call and after one that ended it.
    live: Option<Live>,
}

impl<'g> Session<'g> {
    /// A session that has seen nothing.
    pub fn new(guest: &'g Guest) -> Self {
        Self { guest, live: None }
    }

    /// Whether the next call begins with a new instance.
    pub fn is_fresh(&self) -> bool {
        self.live.is_none()
    }

    /// [`Guest::map_records_metered`] in this session's instance; `peak_memory` is that of all its calls.
    ///
    /// # Errors
    /// As [`Guest::map_records`]; the next call begins with a new instance.
    pub fn map_records_metered(
        &mut self,
        config: &str,
        observed: u64,
        records: &[u8],
    ) -> Result<(Result<Batch, Failure>, Cost), SandboxError> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.guest.instantiate(self.guest.code.now())?,
        };
        let answer = self.guest.call_in(&mut live, |input, store| {
            input.tipline_input_mapper().call_map_records(store, config, observed, records)
        })?;
        self.live = Some(live);
        bounded(Ok(answer))
    }
}

/// What `map-records` answered, with its lists and texts held to their bounds.
fn bounded(answer: Result<(Mapped, Cost), SandboxError>) -> Result<(Mapped, Cost), SandboxError> {
    let (mut answer, cost) = answer?;
    match &mut answer {
        Ok(batch) => bounds::batch(batch)?,
        Err(failure) => bounds::failure(failure),
    }
    Ok((answer, cost))
}

/// What `map-records` answers.
type Mapped = Result<Batch, Failure>;

/// A time as ticks of the engine's clock; one more, as the first may come at once.
fn ticks(time: Duration) -> u64 {
    let ticks = time.as_millis() / compiled::TICK.as_millis() + 1;
    u64::try_from(ticks).unwrap_or(u64::MAX / 2)
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("profile", &self.profile).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

fn explain(error: &wasmtime::Error, meter: &Meter, limits: &CallLimits) -> SandboxError {
    if let Some(exceeded) = meter.refused() {
        return SandboxError::Exceeded(exceeded);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => SandboxError::Exceeded(Exceeded::Time { limit: limits.time.unwrap_or_default() }),
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
            let (batch, cost) = guest.map_records_metered("", 0, page(bytes).as_bytes()).unwrap();
            assert_eq!(batch.unwrap().mapped, 1);
            assert_eq!(cost.peak_memory <= limits::KEPT_MEMORY, is_kept, "{cost:?}");
            assert_eq!(guest.live.lock().unwrap().is_some(), is_kept, "{bytes}");
        }
    }
}
