//! The component in your own wasmtime. It imports nothing, so an empty linker is enough.

#![allow(missing_docs, reason = "the contract's own texts stand in wit/input.wit")]

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Error, Result, Store};

wasmtime::component::bindgen!({ world: "input", path: "../../wit" });

pub use exports::tipline::input::mapper::Batch;

/// Fuel for one call: mapping a record costs some 40,000 units.
const FUEL: u64 = 10_000_000_000;

/// The component, with one instance of it.
pub struct Guest {
    store: Store<()>,
    input: Input,
}

impl Guest {
    /// Compiles and starts it.
    ///
    /// # Errors
    /// wasmtime's, where the bytes are no component of this contract.
    pub fn new(component: &[u8]) -> Result<Self> {
        let engine = Engine::new(Config::new().consume_fuel(true))?;
        let mut store = Store::new(&engine, ());
        store.set_fuel(FUEL)?;
        let input = Input::instantiate(&mut store, &Component::new(&engine, component)?, &Linker::new(&engine))?;
        Ok(Self { store, input })
    }

    /// Maps a page, as its feed sent it. After a trap the instance is of no use any more: make a new one.
    ///
    /// # Errors
    /// A trap, or the guest's own words.
    pub fn map(&mut self, config: &str, observed: u64, records: &[u8]) -> Result<Batch> {
        self.store.set_fuel(FUEL)?;
        let mapper = self.input.tipline_input_mapper();
        mapper
            .call_map_records(&mut self.store, config, observed, records)?
            .map_err(|failure| Error::msg(format!("{failure:?}")))
    }
}
