//! The guest's core module driven by hand, as a host without components does it: the canonical ABI in a hundred lines.

use wasmtime::{Engine, Instance, Memory, Module, Store, TypedFunc};

use tipline::sandbox::{BUILT_IN_CORE, Batch, Event, Failure, Next, Note, Request, Skip, Step, Wait};

/// The flat parameters of `advance`: config, state, now, and the event's case with room for its largest payload.
type AdvanceParams = (i32, i32, i32, i32, i64, i32, i32, i32, i32, i32, i32);

pub struct CoreModule {
    store: Store<()>,
    memory: Memory,
    realloc: TypedFunc<(i32, i32, i32, i32), i32>,
    map_records: TypedFunc<(i32, i32, i64, i32, i32), i32>,
    map_records_done: TypedFunc<i32, ()>,
    advance: TypedFunc<AdvanceParams, i32>,
    advance_done: TypedFunc<i32, ()>,
}

impl CoreModule {
    pub fn new() -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, BUILT_IN_CORE).expect("the core module compiles");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("it imports nothing");
        let memory = instance.get_memory(&mut store, "memory").expect("it exports its memory");
        macro_rules! function {
            ($name:expr) => {
                instance.get_typed_func(&mut store, $name).expect($name)
            };
        }
        let realloc = function!("cabi_realloc");
        let map_records = function!("tipline:input/mapper@0.1.0#map-records");
        let map_records_done = function!("cabi_post_tipline:input/mapper@0.1.0#map-records");
        let advance = function!("tipline:input/pager@0.1.0#advance");
        let advance_done = function!("cabi_post_tipline:input/pager@0.1.0#advance");
        Self { store, memory, realloc, map_records, map_records_done, advance, advance_done }
    }

    pub fn map_records(&mut self, config: &str, observed: u64, records: &str) -> Result<Batch, Failure> {
        let (config, config_len) = self.lower(config);
        let (records, records_len) = self.lower(records);
        let answer = self
            .map_records
            .call(&mut self.store, (config, config_len, observed as i64, records, records_len))
            .expect("map-records does not trap") as usize;
        let result = match self.byte(answer) {
            0 => Ok(self.batch(answer + 4)),
            _ => Err(self.failure(answer + 4)),
        };
        self.map_records_done.call(&mut self.store, answer as i32).expect("post-return");
        result
    }

    pub fn advance(&mut self, config: &str, state: &str, now: u64, event: &Event) -> Result<Step, Failure> {
        let (config, config_len) = self.lower(config);
        let (state, state_len) = self.lower(state);
        let (case, payload) = self.event(event);
        let [a, b, c, d, e] = payload;
        let parameters = (config, config_len, state, state_len, now as i64, case, a, b, c, d, e);
        let answer = self.advance.call(&mut self.store, parameters).expect("advance does not trap") as usize;
        // The payload holds a u64 (a wait), so everything is aligned to eight.
        let result = match self.byte(answer) {
            0 => Ok(self.step(answer + 8)),
            _ => Err(self.failure(answer + 8)),
        };
        self.advance_done.call(&mut self.store, answer as i32).expect("post-return");
        result
    }

    fn event(&mut self, event: &Event) -> (i32, [i32; 5]) {
        match event {
            Event::Start => (0, [0; 5]),
            Event::Response(response) => {
                let pairs: Vec<[i32; 4]> = response
                    .headers
                    .iter()
                    .map(|(name, value)| {
                        let (name, name_len) = self.lower(name);
                        let (value, value_len) = self.lower(value);
                        [name, name_len, value, value_len]
                    })
                    .collect();
                let headers = self.allocate(pairs.len() * 16, 4);
                let bytes: Vec<u8> = pairs.iter().flatten().flat_map(|n| n.to_le_bytes()).collect();
                self.memory.write(&mut self.store, headers as usize, &bytes).expect("in bounds");
                let (body, body_len) = self.lower(&response.body);
                (1, [i32::from(response.status), headers, pairs.len() as i32, body, body_len])
            }
            Event::Failed(reason) => {
                let (reason, len) = self.lower(reason);
                (2, [reason, len, 0, 0, 0])
            }
            Event::Wake => (3, [0; 5]),
        }
    }

    fn step(&self, at: usize) -> Step {
        let batch = (self.byte(at) == 1).then(|| self.batch(at + 4));
        let next = at + 64;
        let next = match self.byte(next) {
            0 => Next::Fetch(Request { target: self.string(next + 8), accept: self.string(next + 16) }),
            1 => Next::WaitUntil(Wait { until: self.long(next + 8), reason: self.string(next + 16) }),
            _ => Next::Done,
        };
        Step { batch, next, state: self.string(at + 88) }
    }

    fn batch(&self, at: usize) -> Batch {
        Batch {
            documents: self.string(at),
            rejects: self.string(at + 8),
            read: self.word(at + 16),
            mapped: self.word(at + 20),
            rejected: self.word(at + 24),
            skipped: self.word(at + 28),
            made: self.word(at + 32),
            merged: self.word(at + 36),
            skips: self.list(at + 40, 12, |at| Skip { reason: self.string(at), count: self.word(at + 8) }),
            notes: self.list(at + 48, 16, |at| Note { code: self.string(at), text: self.string(at + 8) }),
        }
    }

    fn failure(&self, at: usize) -> Failure {
        let text = self.string(at + 4);
        match self.byte(at) {
            0 => Failure::Config(text),
            1 => Failure::Credential(text),
            2 => Failure::Forbidden(text),
            3 => Failure::Protocol(text),
            _ => Failure::State(text),
        }
    }

    fn allocate(&mut self, len: usize, align: i32) -> i32 {
        self.realloc.call(&mut self.store, (0, 0, align, len as i32)).expect("the guest allocates")
    }

    fn lower(&mut self, text: &str) -> (i32, i32) {
        let at = self.allocate(text.len(), 1);
        self.memory.write(&mut self.store, at as usize, text.as_bytes()).expect("in bounds");
        (at, text.len() as i32)
    }

    fn list<T>(&self, at: usize, size: usize, read: impl Fn(usize) -> T) -> Vec<T> {
        let (start, len) = (self.word(at) as usize, self.word(at + 4) as usize);
        (0..len).map(|i| read(start + i * size)).collect()
    }

    fn string(&self, at: usize) -> String {
        let (start, len) = (self.word(at) as usize, self.word(at + 4) as usize);
        String::from_utf8(self.bytes(start, len).to_vec()).expect("strings are UTF-8")
    }

    fn bytes(&self, at: usize, len: usize) -> &[u8] {
        &self.memory.data(&self.store)[at..at + len]
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes(at, 1)[0]
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().expect("four bytes"))
    }

    fn long(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().expect("eight bytes"))
    }
}
