//! The guest's core module driven by hand, as a host without components does it: the canonical ABI in two hundred lines,
//! as `docs/core-abi.md` has it.

use wasmtime::{Engine, Instance, Memory, Module, Store, TypedFunc};

use tipline::sandbox::{
    BUILT_IN_CORE, Batch, Event, Failure, Head, Next, Note, Reject, Request, Response, Row, Skip, Step, Wait,
};

/// The flat parameters of `advance`: config, state, now, and the event's case with room for its longest payload.
type AdvanceParams = (i32, i32, i32, i32, i64, i32, i32, i32, i32, i32, i32, i32, i32);

/// The flat parameters of the longest event, `recalled`: the rows, and the response's status, headers and body.
type Payload = [i32; 7];

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
        let map_records = function!("tipline:input/mapper@0.2.0#map-records");
        let map_records_done = function!("cabi_post_tipline:input/mapper@0.2.0#map-records");
        let advance = function!("tipline:input/pager@0.2.0#advance");
        let advance_done = function!("cabi_post_tipline:input/pager@0.2.0#advance");
        Self { store, memory, realloc, map_records, map_records_done, advance, advance_done }
    }

    pub fn map_records(&mut self, config: &str, observed: u64, records: &[u8]) -> Result<Batch, Failure> {
        let (config, config_len) = self.lower(config.as_bytes());
        let (records, records_len) = self.lower(records);
        let answer = self
            .map_records
            .call(&mut self.store, (config, config_len, observed as i64, records, records_len))
            .expect("map-records does not trap") as usize;
        // A batch holds 64-bit numbers, so everything is aligned to eight.
        let result = match self.byte(answer) {
            0 => Ok(self.batch(answer + 8)),
            _ => Err(self.failure(answer + 8)),
        };
        self.map_records_done.call(&mut self.store, answer as i32).expect("post-return");
        result
    }

    pub fn advance(&mut self, config: &str, state: &str, now: u64, event: &Event) -> Result<Step, Failure> {
        let (config, config_len) = self.lower(config.as_bytes());
        let (state, state_len) = self.lower(state.as_bytes());
        let (case, payload) = self.event(event);
        let [a, b, c, d, e, f, g] = payload;
        let parameters = (config, config_len, state, state_len, now as i64, case, a, b, c, d, e, f, g);
        let answer = self.advance.call(&mut self.store, parameters).expect("advance does not trap") as usize;
        let result = match self.byte(answer) {
            0 => Ok(self.step(answer + 8)),
            _ => Err(self.failure(answer + 8)),
        };
        self.advance_done.call(&mut self.store, answer as i32).expect("post-return");
        result
    }

    fn event(&mut self, event: &Event) -> (i32, Payload) {
        match event {
            Event::Start => (0, [0; 7]),
            Event::Response(response) => {
                let [status, headers, count, body, body_len] = self.response(response);
                (1, [status, headers, count, body, body_len, 0, 0])
            }
            Event::Recalled((rows, response)) => {
                let list = self.rows(rows);
                let [status, headers, count, body, body_len] = self.response(response);
                (2, [list, rows.len() as i32, status, headers, count, body, body_len])
            }
            Event::Failed(reason) => {
                let (reason, len) = self.lower(reason.as_bytes());
                (3, [reason, len, 0, 0, 0, 0, 0])
            }
            Event::Wake => (4, [0; 7]),
        }
    }

    fn response(&mut self, response: &Response) -> [i32; 5] {
        let mut pairs = Vec::new();
        for (name, value) in &response.headers {
            let (name, name_len) = self.lower(name.as_bytes());
            let (value, value_len) = self.lower(value.as_bytes());
            pairs.extend([name, name_len, value, value_len].map(i32::to_le_bytes).concat());
        }
        let headers = self.write(&pairs, 4);
        let (body, body_len) = self.lower(&response.body);
        [i32::from(response.status), headers, response.headers.len() as i32, body, body_len]
    }

    fn rows(&mut self, rows: &[Row]) -> i32 {
        let mut bytes = Vec::new();
        for row in rows {
            let (key, key_len) = self.lower(row.key.as_bytes());
            let (value, value_len) = self.lower(row.value.as_bytes());
            bytes.extend(
                [key, key_len, value, value_len, i32::from(row.expires.is_some()), 0].map(i32::to_le_bytes).concat(),
            );
            bytes.extend(row.expires.unwrap_or(0).to_le_bytes());
        }
        self.write(&bytes, 8)
    }

    fn step(&self, at: usize) -> Step {
        let batch = (self.byte(at) == 1).then(|| self.batch(at + 8));
        let remember = self.list(at + 72, 32, |at| Row {
            key: self.string(at),
            value: self.string(at + 8),
            expires: self.optional_long(at + 16),
        });
        let next = at + 88;
        let next = match self.byte(at + 80) {
            0 => Next::Fetch(Request {
                method: self.string(next),
                target: self.string(next + 8),
                headers: self.list(next + 16, 16, |at| (self.string(at), self.string(at + 8))),
                body: (self.byte(next + 24) == 1).then(|| self.blob(next + 28)),
            }),
            1 => Next::Recall(self.list(next, 8, |at| self.string(at))),
            2 => Next::WaitUntil(Wait { until: self.long(next), reason: self.string(next + 8) }),
            _ => Next::Done,
        };
        Step { batch, remember, next, state: self.string(at + 128) }
    }

    fn batch(&self, at: usize) -> Batch {
        Batch {
            observed: self.long(at),
            documents: self.string(at + 8),
            heads: self.list(at + 16, 40, |at| Head {
                id: self.string(at),
                version: self.long(at + 8),
                expires: self.optional_long(at + 16),
                length: self.word(at + 32),
            }),
            rejects: self.list(at + 24, 24, |at| Reject {
                code: self.string(at),
                detail: self.string(at + 8),
                raw: self.blob(at + 16),
            }),
            read: self.word(at + 32),
            mapped: self.word(at + 36),
            rejected: self.word(at + 40),
            skipped: self.word(at + 44),
            skips: self.list(at + 48, 12, |at| Skip { reason: self.string(at), count: self.word(at + 8) }),
            notes: self.list(at + 56, 16, |at| Note { code: self.string(at), text: self.string(at + 8) }),
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

    /// Writes bytes into a buffer of the guest's, which it frees.
    fn write(&mut self, bytes: &[u8], align: i32) -> i32 {
        let length = bytes.len() as i32;
        let at = self.realloc.call(&mut self.store, (0, 0, align, length)).expect("the guest allocates");
        self.memory.write(&mut self.store, at as usize, bytes).expect("in bounds");
        at
    }

    /// A string or a list of bytes, as address and length.
    fn lower(&mut self, bytes: &[u8]) -> (i32, i32) {
        (self.write(bytes, 1), bytes.len() as i32)
    }

    fn list<T>(&self, at: usize, size: usize, read: impl Fn(usize) -> T) -> Vec<T> {
        let (start, len) = (self.word(at) as usize, self.word(at + 4) as usize);
        (0..len).map(|i| read(start + i * size)).collect()
    }

    fn string(&self, at: usize) -> String {
        String::from_utf8(self.blob(at)).expect("strings are UTF-8")
    }

    fn blob(&self, at: usize) -> Vec<u8> {
        let (start, len) = (self.word(at) as usize, self.word(at + 4) as usize);
        if len == 0 { Vec::new() } else { self.bytes(start, len).to_vec() }
    }

    fn optional_long(&self, at: usize) -> Option<u64> {
        (self.byte(at) == 1).then(|| self.long(at + 8))
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
