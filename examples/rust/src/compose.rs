//! Inside another component: `stage/` imports the mapper and is plugged together with it, so that any host of components
//! runs both as one, without knowing of Tipline.

#![allow(missing_docs, reason = "the stage's own texts stand in stage/wit/stage.wit")]

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Error, Store};

wasmtime::component::bindgen!({
    inline: "package example:composed;
        world composed {
            export documents: func(config: string, observed: u64, records: list<u8>) -> result<string, string>;
            export addresses: func(config: string, observed: u64, records: list<u8>) -> result<list<string>, string>;
        }",
});

/// Plugs the mapper into the stage; `stage` is what cargo leaves, a core module.
///
/// # Errors
/// What does not fit.
pub fn compose(stage: &[u8], mapper: &[u8]) -> anyhow::Result<Vec<u8>> {
    let stage = wit_component::ComponentEncoder::default().module(stage)?.encode()?;
    let mut graph = CompositionGraph::new();
    let mapper = Package::from_bytes("tipline:socdefenders", None, mapper.to_vec(), graph.types_mut())?;
    let stage = Package::from_bytes("example:stage", None, stage, graph.types_mut())?;
    let (mapper, stage) = (graph.register_package(mapper)?, graph.register_package(stage)?);
    plug(&mut graph, vec![mapper], stage)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

/// Runs the composed component in a plain wasmtime: its documents, and the addresses that it picks out of them.
///
/// # Errors
/// A trap, or what the stage says.
pub fn run(composed: &[u8], config: &str, observed: u64, records: &[u8]) -> wasmtime::Result<(String, Vec<String>)> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let stage = Composed::instantiate(&mut store, &Component::new(&engine, composed)?, &Linker::new(&engine))?;
    let documents = stage.call_documents(&mut store, config, observed, records)?.map_err(Error::msg)?;
    let addresses = stage.call_addresses(&mut store, config, observed, records)?.map_err(Error::msg)?;
    Ok((documents, addresses))
}
