//! The settings of an engine, and which of its two compilers makes the code.

use wasmtime::{Config, Engine, Strategy};

/// Who makes the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compiler {
    /// Slow to make, fast to run.
    Cranelift {
        /// Whether steps are counted.
        fuel: bool,
    },
    /// In one pass, for code that runs soon and not for long.
    Winch,
}

/// `memory_reservation` and signal-based traps stay as they are: shrinking or turning them off costs a third to a half
/// of the speed. Memory is capped by the store's limiter instead.
pub(super) fn engine(compiler: Compiler, parallel: bool) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.parallel_compilation(parallel);
    config.wasm_component_model(true);
    config.wasm_relaxed_simd(false);
    match compiler {
        Compiler::Cranelift { fuel } => {
            // Nothing in a guest may depend on the processor it runs on.
            config.cranelift_nan_canonicalization(true);
            config.consume_fuel(fuel);
            // Code whose steps are not counted is our own and ends by itself; a look at the epoch with each turn of a loop and
            // each call takes a tenth to a sixth of its time.
            config.epoch_interruption(fuel);
        }
        Compiler::Winch => {
            config.strategy(Strategy::Winch);
            config.epoch_interruption(true);
        }
    }
    Engine::new(&config)
}
