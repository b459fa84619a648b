//! Runs a guest component: engine, limits, one typed call at a time. Nothing here knows about threat intelligence.
//!
//! A guest is a component without imports, so it can reach nothing: no network, files, clock or randomness. What is
//! left to bound is time, memory and output, and how much depends on whose guest it is:
//!
//! * [`Profile::Trusted`] is for the guest this program was built with. One instance is kept and used again; nothing
//!   counts its steps, which makes it 1.6 times as fast.
//! * [`Profile::Sandboxed`] is for any other guest. Each call gets a fresh instance, fuel, and a smaller memory.
//!
//! Either can be ended from outside ([`Guest::interrupt`]), the built-in one where its memory grows, and all calls of a
//! process share a budget of memory ([`budget`]). What this program was not built with is compiled in a process of its own
//! ([`compiling`]).
//!
//! A guest that traps gives [`SandboxError`], never a panic, and its instance is thrown away: the caller holds the
//! state, so nothing is lost.

mod bindings;
mod bounds;
mod budget;
mod cache;
mod compiled;
mod compiling;
mod engine;
mod limits;
mod module;
mod stop;
mod wrap;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use thiserror::Error;
use tipline_model::said::Said;
use wasmtime::{Store, Trap};

pub use bindings::{Batch, Event, Failure, Head, Next, Note, Reject, Request, Response, Row, Skip, Step, Wait};
pub use bounds::{
    MAX_DESCRIPTION_BYTES, MAX_DOCUMENTS, MAX_NOTES, MAX_REASONS, MAX_REJECTS, MAX_ROWS, MAX_TEXT_BYTES, MAX_WORD_BYTES,
};
pub use budget::Hold;
pub use compiling::{SUBCOMMAND as COMPILE_SUBCOMMAND, answer as compile_on_standard_input, compile_with};
pub use limits::{CallLimits, CompileLimits, Costly, Exceeded};
pub use stop::Interrupt;

use bindings::Input;
use budget::Share;
use compiled::{Code, Compiled};
use engine::Compiler;
use limits::{Meter, Refused};

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
    /// Compiling it passed a limit of [`CompileLimits`].
    #[error("The guest was not run: {0}. Raise the limit only for a file that you trust.")]
    Costly(Costly),
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
    /// The program is ending; see [`Guest::interrupt`].
    #[error("The guest was interrupted, as the program is ending. Its page is asked for again by the next run.")]
    Interrupted,
}

/// A compiled guest, ready to be called from any thread.
pub struct Guest {
    code: Code,
    profile: Profile,
    sha256: String,
    /// The kept instance of the trusted profile.
    live: Mutex<Option<Live>>,
    stop: Interrupt,
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
                Self::of(code, profile, sha256(BUILT_IN), Interrupt::default())
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
        let code = Code::of(Compiled::own(BUILT_IN, Compiler::Winch, None)?);
        Self::of(code, Profile::Trusted, sha256(BUILT_IN), Interrupt::default())
    }

    /// Compiles a component, or the core module that wit-bindgen and a compiler for wasm32-unknown-unknown leave.
    ///
    /// # Errors
    /// [`SandboxError::Load`], [`SandboxError::Imports`] and [`SandboxError::Costly`].
    pub fn new(file: &[u8], profile: Profile, cache: Option<&Path>) -> Result<Self, SandboxError> {
        Self::compiled_within(file, profile, CompileLimits::DEFAULT, cache)
    }

    /// As [`Guest::new`], with other limits for compiling. What this program was built with needs none and has none.
    ///
    /// # Errors
    /// As [`Guest::new`].
    pub fn compiled_within(
        file: &[u8],
        profile: Profile,
        limits: CompileLimits,
        cache: Option<&Path>,
    ) -> Result<Self, SandboxError> {
        Self::compiled_until(file, profile, limits, cache, Interrupt::default())
    }

    /// As [`Guest::compiled_within`], until it is interrupted; so are its calls, by the same.
    ///
    /// # Errors
    /// As [`Guest::new`], and [`SandboxError::Interrupted`].
    pub fn compiled_until(
        file: &[u8],
        profile: Profile,
        limits: CompileLimits,
        cache: Option<&Path>,
        stop: Interrupt,
    ) -> Result<Self, SandboxError> {
        // Fuel is counted even where nothing is to be limited: it tells the cost.
        let fuel = matches!(profile, Profile::Sandboxed(_));
        let compiled = match file == BUILT_IN || file == BUILT_IN_CORE {
            true => Compiled::own(&module::component(file)?, Compiler::Cranelift { fuel }, cache)?,
            false => Compiled::foreign(file, limits, cache, &stop)?,
        };
        Self::of(Code::of(compiled), profile, sha256(file), stop)
    }

    fn of(code: Code, profile: Profile, sha256: String, stop: Interrupt) -> Result<Self, SandboxError> {
        let guest = Self { code, profile, sha256, live: Mutex::new(None), stop };
        if guest.limits().time.is_some() {
            compiled::tick(&guest.code.now().engine)?;
        }
        Ok(guest)
    }

    /// Ends the calls under way, and all further ones at once, with [`SandboxError::Interrupted`]: the program is to stop.
    pub fn interrupt(&self) {
        self.stop.set();
        self.code.nudge();
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
        self.advance_holding(config, state, now, event).map(|(answer, _)| answer)
    }

    /// As [`Guest::advance`], with what the answer takes of the memory of all calls together, for whoever keeps it.
    ///
    /// # Errors
    /// As [`Guest::advance`].
    pub fn advance_holding(
        &self,
        config: &str,
        state: &str,
        now: u64,
        event: &Event,
    ) -> Result<(Result<Step, Failure>, Hold), SandboxError> {
        let given = match event {
            Event::Response(response) | Event::Recalled((_, response)) => response.body.len(),
            Event::Start | Event::Failed(_) | Event::Wake => 0,
        };
        let (mut answer, _, hold) = self.call_holding(given, None, |input, store| {
            input.tipline_input_pager().call_advance(store, config, state, now, event)
        })?;
        match &mut answer {
            Ok(step) => bounds::step(step)?,
            Err(failure) => bounds::failure(failure),
        }
        Ok((answer, hold))
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
        let answer = self.call(records.len(), None, |input, store| {
            input.tipline_input_mapper().call_map_records(store, config, observed, records)
        });
        bounded(answer)
    }

    /// The guest's description of itself, as JSON.
    ///
    /// # Errors
    /// The sandbox's.
    pub fn describe(&self) -> Result<String, SandboxError> {
        let most = Some(MAX_DESCRIPTION_BYTES);
        self.call(0, most, |input, store| input.tipline_input_mapper().call_describe(store)).map(|(r, _)| r)
    }

    fn call<R>(
        &self,
        given: usize,
        output: Option<usize>,
        run: impl Fn(&Input, &mut Store<Meter>) -> wasmtime::Result<R>,
    ) -> Result<(R, Cost), SandboxError> {
        self.call_holding(given, output, run).map(|(answer, cost, _)| (answer, cost))
    }

    /// A call that is given so many bytes, beside others where there is room for it, else alone.
    fn call_holding<R>(
        &self,
        given: usize,
        output: Option<usize>,
        run: impl Fn(&Input, &mut Store<Meter>) -> wasmtime::Result<R>,
    ) -> Result<(R, Cost, Hold), SandboxError> {
        let mut limits = self.limits();
        limits.output_bytes = output.unwrap_or(limits.output_bytes);
        if given <= budget::SHARED_INPUT {
            match self.call_among_others(limits, &run) {
                Err(NoAnswer::Crowded) => {}
                Err(NoAnswer::Because(error)) => return Err(error),
                Ok(answered) => return Ok(answered),
            }
        }
        let alone = budget::alone(&self.stop).ok_or(SandboxError::Interrupted)?;
        let mut live = self.instantiate(self.code.now(), Share::alone()).map_err(NoAnswer::error)?;
        let (answer, cost) = self.call_in(&mut live, limits, run).map_err(NoAnswer::error)?;
        if live.store.data_mut().join_others() {
            self.keep(live, &cost);
        }
        Ok((answer, cost, Hold::all(alone)))
    }

    fn call_among_others<R>(
        &self,
        limits: CallLimits,
        run: impl Fn(&Input, &mut Store<Meter>) -> wasmtime::Result<R>,
    ) -> Result<(R, Cost, Hold), NoAnswer> {
        let mut room = Share::among_others();
        if !room.grow(budget::SHARED_OUTPUT as u64) {
            return Err(NoAnswer::Crowded);
        }
        let kept = match self.profile {
            // A poisoned lock means that a thread panicked in a call; its instance went with it.
            Profile::Trusted => self.live.lock().unwrap_or_else(|p| p.into_inner()).take(),
            Profile::Sandboxed(_) => None,
        };
        let compiled = self.code.now();
        let mut live = match kept {
            Some(live) if Arc::ptr_eq(&live.compiled, &compiled) => live,
            _ => self.instantiate(compiled, Share::among_others())?,
        };
        let (answer, cost) = self.call_in(&mut live, shared(limits), run).map_err(|e| e.among_others(&limits))?;
        self.keep(live, &cost);
        Ok((answer, cost, Hold::of(room)))
    }

    /// Keeps an instance for the next call, where that is wanted. Linear memory never shrinks, so one that once met a huge
    /// page is let go.
    fn keep(&self, live: Live, cost: &Cost) {
        if self.profile == Profile::Trusted && cost.peak_memory <= limits::KEPT_MEMORY {
            *self.live.lock().unwrap_or_else(|p| p.into_inner()) = Some(live);
        }
    }

    /// A call in this instance, which must not be used again after an error.
    fn call_in<R>(
        &self,
        live: &mut Live,
        limits: CallLimits,
        run: impl Fn(&Input, &mut Store<Meter>) -> wasmtime::Result<R>,
    ) -> Result<(R, Cost), NoAnswer> {
        live.store.set_hostcall_fuel(limits.output_bytes);
        let fuel = self.fuel();
        if let Some(fuel) = fuel {
            live.store.set_fuel(fuel).map_err(|e| SandboxError::Trapped(e.to_string()))?;
        }
        self.begin(&mut live.store, &limits)?;
        let result = run(&live.input, &mut live.store);
        let spent = fuel.and_then(|given| Some(given - live.store.get_fuel().ok()?)).unwrap_or(0);
        let cost = Cost { fuel: spent, peak_memory: live.store.data().peak() };
        let answer = result.map_err(|error| explain(&error, live.store.data(), &limits))?;
        // Not every call is ended by a stop, and what comes after one is not taken.
        if self.stop.is_set() { Err(SandboxError::Interrupted.into()) } else { Ok((answer, cost)) }
    }

    /// Time runs from here on, and an interrupt ends what comes next: the deadline is set before the stop is looked at, so
    /// that one which comes in between is met by the deadline, and an earlier one by the look.
    fn begin(&self, store: &mut Store<Meter>, limits: &CallLimits) -> Result<(), SandboxError> {
        store.data_mut().begin(limits.time);
        store.set_epoch_deadline(1);
        if self.stop.is_set() { Err(SandboxError::Interrupted) } else { Ok(()) }
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

    fn instantiate(&self, compiled: Arc<Compiled>, share: Share) -> Result<Live, NoAnswer> {
        let limits = self.limits();
        let mut store = Store::new(&compiled.engine, Meter::new(limits.memory_bytes, self.stop.clone(), share));
        store.limiter(|meter| meter);
        store.epoch_deadline_callback(|mut store| store.data_mut().look_up());
        if let Some(fuel) = self.fuel() {
            store.set_fuel(fuel).map_err(|e| SandboxError::Load(e.to_string()))?;
        }
        self.begin(&mut store, &limits)?;
        let input = compiled.pre.instantiate(&mut store).map_err(|e| explain(&e, store.data(), &limits))?;
        Ok(Live { compiled, store, input })
    }
}

impl SandboxError {
    /// In words: what a limit stopped is told in ours, with the setting; what else happened, in the guest's.
    pub fn said(&self) -> Said {
        match self {
            Self::Costly(_) | Self::Exceeded(_) | Self::Interrupted => Said::ours(self.to_string()),
            Self::Load(_) | Self::Imports(_) | Self::Trapped(_) | Self::Counts(_) => Said::theirs(self.to_string()),
        }
    }
}

/// Why a call gave no answer.
enum NoAnswer {
    /// All calls together hold too much; alone it may give one.
    Crowded,
    Because(SandboxError),
}

impl NoAnswer {
    /// That of a call which shared the budget: an answer that was too long for that may be short enough by itself.
    fn among_others(self, limits: &CallLimits) -> Self {
        match self {
            Self::Because(SandboxError::Exceeded(Exceeded::Output { .. }))
                if limits.output_bytes > budget::SHARED_OUTPUT =>
            {
                Self::Crowded
            }
            other => other,
        }
    }

    fn error(self) -> SandboxError {
        match self {
            Self::Because(error) => error,
            // It shares nothing, so nobody is in its way.
            Self::Crowded => SandboxError::Trapped("all calls together hold too much memory".to_owned()),
        }
    }
}

impl From<SandboxError> for NoAnswer {
    fn from(error: SandboxError) -> Self {
        Self::Because(error)
    }
}

/// The limits of a call that shares the budget.
fn shared(limits: CallLimits) -> CallLimits {
    CallLimits { output_bytes: limits.output_bytes.min(budget::SHARED_OUTPUT), ..limits }
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
        let limits = self.guest.limits();
        let run = |input: &Input, store: &mut Store<Meter>| {
            input.tipline_input_mapper().call_map_records(store, config, observed, records)
        };
        let beside =
            if records.len() > budget::SHARED_INPUT { Err(NoAnswer::Crowded) } else { self.call_beside(limits, run) };
        let answered = match beside {
            Err(NoAnswer::Crowded) => self.call_alone(limits, run),
            other => other,
        };
        bounded(answered.map_err(NoAnswer::error))
    }

    /// In its instance beside other calls.
    fn call_beside<R>(
        &mut self,
        limits: CallLimits,
        run: impl Fn(&Input, &mut Store<Meter>) -> wasmtime::Result<R>,
    ) -> Result<(R, Cost), NoAnswer> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.guest.instantiate(self.guest.code.now(), Share::among_others())?,
        };
        let answered = self.guest.call_in(&mut live, shared(limits), run).map_err(|e| e.among_others(&limits))?;
        self.live = Some(live);
        Ok(answered)
    }

    /// Alone: in its instance, or, where that went with a call beside others, in a new one that makes the call twice, so
    /// that this answer, too, is of an instance that was used before.
    fn call_alone<R>(
        &mut self,
        limits: CallLimits,
        run: impl Fn(&Input, &mut Store<Meter>) -> wasmtime::Result<R>,
    ) -> Result<(R, Cost), NoAnswer> {
        let _alone = budget::alone(&self.guest.stop).ok_or(SandboxError::Interrupted)?;
        let mut live = match self.live.take() {
            Some(live) => live,
            None => {
                let mut live = self.guest.instantiate(self.guest.code.now(), Share::alone())?;
                self.guest.call_in(&mut live, limits, &run)?;
                live
            }
        };
        live.store.data_mut().share().let_exceed();
        let answered = self.guest.call_in(&mut live, limits, run)?;
        // Without room among the others it is let go, and the next call begins with a new one.
        self.live = live.store.data_mut().join_others().then_some(live);
        Ok(answered)
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

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("profile", &self.profile).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

fn explain(error: &wasmtime::Error, meter: &Meter, limits: &CallLimits) -> NoAnswer {
    NoAnswer::Because(match meter.refused() {
        Some(Refused::Crowded) => return NoAnswer::Crowded,
        Some(Refused::Stopped) => SandboxError::Interrupted,
        Some(Refused::Exceeded(exceeded)) => SandboxError::Exceeded(exceeded),
        None => match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => SandboxError::Exceeded(Exceeded::Fuel { limit: limits.fuel.unwrap_or(0) }),
            Some(trap) => SandboxError::Trapped(trap.to_string()),
            None => {
                // The names in its backtrace are the guest's.
                let text = bounds::told(format!("{error:#}"));
                // wasmtime has no type for this one.
                if text.contains("fuel allocated for hostcalls") {
                    SandboxError::Exceeded(Exceeded::Output { limit: limits.output_bytes as u64 })
                } else {
                    SandboxError::Trapped(text)
                }
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_kept_unless_it_met_a_huge_page() {
        let _budget = BUDGET.lock().unwrap_or_else(|p| p.into_inner());
        let guest = Guest::built_in(Profile::Trusted, None).unwrap();
        let page = |records: usize| {
            let records = vec![r#"{"type":"domain","value":"a.example"}"#; records].join(",");
            format!(r#"{{"data":[{records}],"x":"{}"}}"#, "x".repeat(records.len() * 30))
        };
        let kept = || guest.live.lock().unwrap().as_ref().map(|live| live.store.data().peak());
        for (records, is_kept) in [(1, true), (30_000, false), (1, true)] {
            let (batch, cost) = guest.map_records_metered("", 0, page(records).as_bytes()).unwrap();
            assert_eq!(batch.unwrap().mapped as usize, records);
            assert_eq!(cost.peak_memory <= limits::KEPT_MEMORY, is_kept, "{cost:?}");
            assert!(kept().is_none_or(|peak| peak <= limits::KEPT_MEMORY), "{records}");
            assert!(!is_kept || kept().is_some(), "{records}");
        }
    }

    #[test]
    fn an_interrupt_ends_a_call_that_has_only_begun() {
        let guest = Guest::built_in(Profile::Trusted, None).unwrap();
        let answer = guest.call(0, None, |input, store| {
            guest.interrupt();
            input.tipline_input_mapper().call_describe(store)
        });
        assert!(matches!(answer, Err(SandboxError::Interrupted)), "{:?}", answer.err());
        assert!(matches!(guest.describe(), Err(SandboxError::Interrupted)), "and all further ones");
    }

    /// Tests that look at what is held beside others have the budget for themselves.
    static BUDGET: Mutex<()> = Mutex::new(());

    #[test]
    fn an_instance_that_was_called_alone_is_kept_as_a_part_of_the_budget() {
        let _budget = BUDGET.lock().unwrap_or_else(|p| p.into_inner());
        let guest = Guest::built_in(Profile::Trusted, None).unwrap();
        guest.call(budget::SHARED_INPUT + 1, None, |i, store| i.tipline_input_mapper().call_describe(store)).unwrap();
        let mut live = guest.live.lock().unwrap();
        let meter = live.as_mut().unwrap().store.data_mut();
        let held = meter.peak();
        assert!(held > 0);
        assert_eq!(meter.share().held(), held);
    }

    #[test]
    fn a_session_answers_alone_what_is_too_long_beside_others() {
        let _budget = BUDGET.lock().unwrap_or_else(|p| p.into_inner());
        let guest = Guest::built_in(Profile::Sandboxed(CallLimits::SANDBOXED), None).unwrap();
        let mut session = Session::new(&guest);
        let calls = std::cell::Cell::new(0);
        let counted = |_: &Input, _: &mut Store<Meter>| {
            calls.set(calls.get() + 1);
            Ok(calls.get())
        };
        for expected in [2, 4] {
            session.live = None;
            let answered = session.call_alone(CallLimits::SANDBOXED, counted).map_err(NoAnswer::error);
            assert_eq!(answered.unwrap().0, expected, "a new instance makes its first call twice");
        }
        // Documents of more than 16 MiB out of a page of less than 4.
        let record = r#"{"type":"domain","value":"a.example"}"#;
        let page = format!(r#"{{"data":[{}]}}"#, vec![record; 40_000].join(","));
        assert!(page.len() <= budget::SHARED_INPUT);
        let limits = CallLimits { memory_bytes: 1 << 30, fuel: None, time: None, output_bytes: 1 << 28 };
        let guest = Guest { profile: Profile::Sandboxed(limits), ..guest };
        let (batch, _) = Session::new(&guest).map_records_metered("", 0, page.as_bytes()).unwrap();
        assert!(batch.unwrap().documents.len() > budget::SHARED_OUTPUT);
    }
}
