//! What one call of a guest may cost, and the meter that enforces it.

use std::fmt;
use std::time::{Duration, Instant};

use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::budget::Share;
use super::stop::Interrupt;
use tipline_model::text;

/// The trusted guest's memory: a page of 64 MiB (the body limit) was measured to need 665 MiB where its 134,000 records are
/// all different. Fixed, as the longest `max_body` is: it has to be enough for every page that comes through.
const TRUSTED_MEMORY: u64 = 768 * 1024 * 1024;

/// An instance whose memory grew beyond this is not kept: a page of 1,000 records needs about 8 MiB. Fixed:
/// it costs a new instance, and keeps no call from its answer.
pub(super) const KEPT_MEMORY: u64 = 32 * 1024 * 1024;

/// A page of 10,000 records needs about 60 MiB.
const SANDBOXED_MEMORY: u64 = 128 * 1024 * 1024;

/// Ten thousand records of a guest that is compiled for no speed, ten times over, in about ten seconds; `docs/write-a-guest.md` has
/// what was measured.
const SANDBOXED_FUEL: u64 = 12_000_000_000;

/// What a call may give back, in bytes that wasmtime reads out of the guest: the documents of 10,000 records are 15 MiB.
const SANDBOXED_OUTPUT: usize = 64 * 1024 * 1024;

/// A page of 64 MiB gives documents of up to three times that. Fixed, as [`TRUSTED_MEMORY`] is.
const TRUSTED_OUTPUT: usize = 256 * 1024 * 1024;

/// Tables hold a guest's function pointers; ours has about 200. Fixed: a table is no work space.
const TABLE_ELEMENTS: usize = 20_000;

/// Core instances, memories and tables of a component, each: one made by a compiler has one of each, a composed one some
/// more. Fixed: what is limited for each must not be had a thousand times.
const MAX_PARTS: usize = 32;

/// How long a call may take on the clock. Fuel ends most of them before, and in the same place on every machine; but what a
/// unit of it takes differs from instruction to instruction. Six times what all of [`SANDBOXED_FUEL`] takes as a rule.
const SANDBOXED_TIME: Duration = Duration::from_secs(60);

/// What compiling may take: the built-in guest, of two megabytes, needs a third of it.
const COMPILE_MEMORY: u64 = 384 * 1024 * 1024;

/// How long compiling may take: the built-in guest needs two seconds, one of thirty megabytes half a minute.
const COMPILE_TIME: Duration = Duration::from_secs(60);

/// What compiling a foreign guest may cost, in the process that does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Time on the clock.
    pub time: Duration,
}

impl CompileLimits {
    /// What holds where nothing is configured.
    pub const DEFAULT: Self = Self { memory_bytes: COMPILE_MEMORY, time: COMPILE_TIME };
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A limit that was passed before a guest could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Costly {
    /// Memory of the compiler.
    Memory {
        /// Bytes allowed.
        limit: u64,
    },
    /// Time of the compiler.
    Time {
        /// The time allowed.
        limit: Duration,
    },
    /// Length of the code.
    Code {
        /// Bytes allowed.
        limit: u64,
    },
}

impl fmt::Display for Costly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { limit } => {
                let limit = text::bytes(*limit);
                write!(f, "compiling it took more than {limit} (`sandbox.compile_memory`, eval `--compile-memory`)")
            }
            Self::Time { limit } => {
                let limit = text::duration(*limit);
                write!(f, "compiling it took longer than {limit} (`sandbox.compile_time`, eval `--compile-time`)")
            }
            Self::Code { limit } => {
                write!(f, "its machine code is longer than {}; no guest needs so much", text::bytes(*limit))
            }
        }
    }
}

/// What one call may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Units of wasmtime's fuel; `None` for no limit.
    pub fuel: Option<u64>,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Bytes of the answer.
    pub output_bytes: usize,
    /// Time on the clock; `None` for no limit.
    pub time: Option<Duration>,
}

impl CallLimits {
    /// For the built-in guest: memory and output are bounded, time is not.
    pub const TRUSTED: Self =
        Self { fuel: None, memory_bytes: TRUSTED_MEMORY, output_bytes: TRUSTED_OUTPUT, time: None };
    /// For any other guest.
    pub const SANDBOXED: Self = Self {
        fuel: Some(SANDBOXED_FUEL),
        memory_bytes: SANDBOXED_MEMORY,
        output_bytes: SANDBOXED_OUTPUT,
        time: Some(SANDBOXED_TIME),
    };
}

impl Default for CallLimits {
    fn default() -> Self {
        Self::SANDBOXED
    }
}

/// A limit that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Steps.
    Fuel {
        /// Units allowed.
        limit: u64,
    },
    /// Linear memory.
    Memory {
        /// Bytes allowed.
        limit: u64,
        /// Bytes asked for.
        asked: u64,
    },
    /// The answer.
    Output {
        /// Bytes allowed.
        limit: u64,
    },
    /// A list of its answer.
    Count {
        /// Items of what.
        what: &'static str,
        /// Items allowed.
        limit: usize,
    },
    /// The clock.
    Time {
        /// The time allowed.
        limit: Duration,
    },
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fuel { limit } => write!(f, "it used up its {limit} units of fuel without an answer"),
            Self::Memory { limit, asked } => write!(f, "it asked for {asked} bytes of memory, {limit} are allowed"),
            Self::Output { limit } => write!(f, "its answer is longer than the {limit} bytes allowed"),
            Self::Count { what, limit } => write!(f, "its answer has more than the {limit} {what} allowed"),
            Self::Time { limit } => write!(f, "it gave no answer within {}", text::duration(*limit)),
        }
    }
}

/// Lives in the store: refuses growth beyond the limits, ends what takes too long, and remembers the peak.
#[derive(Debug)]
pub(super) struct Meter {
    limit: u64,
    /// Of all memories together.
    held: u64,
    peak: u64,
    refused: Option<Refused>,
    stop: Interrupt,
    deadline: Option<(Instant, Duration)>,
    share: Share,
}

/// Why a call was not let go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It passed a limit of its own.
    Exceeded(Exceeded),
    /// All calls together hold too much; alone it may go on.
    Crowded,
    /// The program is ending.
    Stopped,
}

impl Meter {
    pub(super) fn new(limit: u64, stop: Interrupt, share: Share) -> Self {
        Self { limit, held: 0, peak: 0, refused: None, stop, deadline: None, share }
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    pub(super) fn share(&mut self) -> &mut Share {
        &mut self.share
    }

    /// Whether all it holds has room beside the others, of which it is one from now on.
    pub(super) fn join_others(&mut self) -> bool {
        self.share.join(self.held)
    }

    /// The time of a call begins.
    pub(super) fn begin(&mut self, time: Option<Duration>) {
        self.deadline = time.and_then(|time| Some((Instant::now().checked_add(time)?, time)));
    }

    /// Asked whenever the epoch has gone on: whether the call goes on as well.
    pub(super) fn look_up(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let late = self.deadline.filter(|(deadline, _)| Instant::now() >= *deadline);
        let refused = match late {
            _ if self.stop.is_set() => Refused::Stopped,
            Some((_, limit)) => Refused::Exceeded(Exceeded::Time { limit }),
            None => return Ok(UpdateDeadline::Continue(1)),
        };
        self.refused = Some(refused);
        Err(wasmtime::Error::msg("ended from outside"))
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if self.stop.is_set() {
            self.refused = Some(Refused::Stopped);
            return Err(wasmtime::Error::msg("ended from outside"));
        }
        // A component may have several memories; the limit is for all of them.
        let asked = self.held.saturating_add(desired.saturating_sub(current) as u64);
        if asked > self.limit {
            let exceeded = Exceeded::Memory { limit: self.limit, asked };
            self.refused = Some(Refused::Exceeded(exceeded));
            // An error traps at once with this reason; a plain refusal would surface as an abort without one.
            return Err(wasmtime::Error::msg(exceeded.to_string()));
        }
        if !self.share.grow(asked - self.held) {
            self.refused = Some(Refused::Crowded);
            return Err(wasmtime::Error::msg("all calls together hold too much memory"));
        }
        self.held = asked;
        self.peak = self.peak.max(asked);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(limit: u64) -> Meter {
        Meter::new(limit, Interrupt::default(), Share::alone())
    }

    #[test]
    fn a_table_grows_to_its_limit_and_no_further() {
        let mut meter = metered(0);
        for (elements, fits) in [(TABLE_ELEMENTS, true), (TABLE_ELEMENTS + 1, false)] {
            assert_eq!(meter.table_growing(0, elements, None).unwrap(), fits, "{elements}");
        }
    }

    #[test]
    fn a_component_has_so_many_parts() {
        let engine = wasmtime::Engine::default();
        // The smallest module there is.
        let module = wasmtime::Module::new(&engine, b"\0asm\x01\0\0\0").unwrap();
        let mut store = wasmtime::Store::new(&engine, metered(0));
        store.limiter(|meter| meter);
        for number in 1..=MAX_PARTS + 1 {
            let instance = wasmtime::Instance::new(&mut store, &module, &[]);
            assert_eq!(instance.is_ok(), number <= MAX_PARTS, "{number}");
        }
    }

    #[test]
    fn memory_grows_no_further_once_the_program_is_to_stop() {
        let stop = Interrupt::default();
        let mut meter = Meter::new(1 << 20, stop.clone(), Share::alone());
        assert!(meter.memory_growing(0, 65_536, None).unwrap());
        stop.set();
        assert!(meter.memory_growing(65_536, 131_072, None).is_err());
        assert_eq!(meter.refused(), Some(Refused::Stopped));
    }

    #[test]
    fn memory_grows_to_its_limit_and_no_further() {
        let mut meter = metered(65_536);
        assert!(meter.memory_growing(0, 65_536, None).unwrap());
        assert_eq!((meter.peak(), meter.refused()), (65_536, None));
        assert!(meter.memory_growing(65_536, 131_072, None).is_err());
        assert_eq!(meter.refused(), Some(Refused::Exceeded(Exceeded::Memory { limit: 65_536, asked: 131_072 })));
        let mut two = metered(65_536);
        assert!(two.memory_growing(0, 40_000, None).unwrap());
        assert!(two.memory_growing(0, 40_000, None).is_err(), "a second memory counts, too");
    }
}
