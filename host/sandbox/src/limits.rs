//! What one call of a guest may cost, and the meter that enforces it.

use std::fmt;
use std::time::Duration;

use wasmtime::ResourceLimiter;

/// The trusted guest's memory: a page of 64 MiB (the body limit) was measured to need 665 MiB where its 134,000 records are
/// all different. Fixed, as the longest `max_body` is: it has to be enough for every page that comes through.
const TRUSTED_MEMORY: u64 = 768 * 1024 * 1024;

/// An instance whose memory grew beyond this is not kept: a page of 1,000 records needs about 8 MiB. Fixed:
/// it costs a new instance, and keeps no call from its answer.
pub(super) const KEPT_MEMORY: u64 = 32 * 1024 * 1024;

/// A page of 10,000 records needs about 60 MiB.
const SANDBOXED_MEMORY: u64 = 128 * 1024 * 1024;

/// Mapping costs about 40,000 units a record: ten thousand records, thirty times over, in about ten seconds.
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

/// What one call may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Units of wasmtime's fuel; `None` for no limit.
    pub fuel: Option<u64>,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Bytes of the answer.
    pub output_bytes: usize,
    /// Time on the clock; `None` does not look at it. A limit makes the guest about a tenth slower.
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
        // Fuel bounds it, in the same place on every machine.
        time: None,
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
            Self::Time { limit } => write!(f, "it gave no answer within {}", tipline_model::text::duration(*limit)),
        }
    }
}

/// Lives in the store: refuses growth beyond the limit and remembers the peak.
#[derive(Debug)]
pub(super) struct Meter {
    limit: u64,
    /// Of all memories together.
    held: u64,
    peak: u64,
    refused: Option<Exceeded>,
}

impl Meter {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, held: 0, peak: 0, refused: None }
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    pub(super) fn refused(&self) -> Option<Exceeded> {
        self.refused
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // A component may have several memories; the limit is for all of them.
        let asked = self.held.saturating_add(desired.saturating_sub(current) as u64);
        if asked > self.limit {
            let exceeded = Exceeded::Memory { limit: self.limit, asked };
            self.refused = Some(exceeded);
            // An error traps at once with this reason; a plain refusal would surface as an abort without one.
            return Err(wasmtime::Error::msg(exceeded.to_string()));
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

    #[test]
    fn a_table_grows_to_its_limit_and_no_further() {
        let mut meter = Meter::new(0);
        for (elements, fits) in [(TABLE_ELEMENTS, true), (TABLE_ELEMENTS + 1, false)] {
            assert_eq!(meter.table_growing(0, elements, None).unwrap(), fits, "{elements}");
        }
    }

    #[test]
    fn a_component_has_so_many_parts() {
        let engine = wasmtime::Engine::default();
        // The smallest module there is.
        let module = wasmtime::Module::new(&engine, b"\0asm\x01\0\0\0").unwrap();
        let mut store = wasmtime::Store::new(&engine, Meter::new(0));
        store.limiter(|meter| meter);
        for number in 1..=MAX_PARTS + 1 {
            let instance = wasmtime::Instance::new(&mut store, &module, &[]);
            assert_eq!(instance.is_ok(), number <= MAX_PARTS, "{number}");
        }
    }

    #[test]
    fn memory_grows_to_its_limit_and_no_further() {
        let mut meter = Meter::new(65_536);
        assert!(meter.memory_growing(0, 65_536, None).unwrap());
        assert_eq!((meter.peak(), meter.refused()), (65_536, None));
        assert!(meter.memory_growing(65_536, 131_072, None).is_err());
        assert_eq!(meter.refused(), Some(Exceeded::Memory { limit: 65_536, asked: 131_072 }));
        let mut two = Meter::new(65_536);
        assert!(two.memory_growing(0, 40_000, None).unwrap());
        assert!(two.memory_growing(0, 40_000, None).is_err(), "a second memory counts, too");
    }
}
