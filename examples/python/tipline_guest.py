"""Tipline's guest in Python: maps records of SOC Defenders, or STIX, to ECS documents, and pages through their feeds.

Drives the core module by docs/core-abi.md. wasmtime-py runs the component as well, but takes and gives lists one element at
a time there, and a feed's pages are lists of bytes: a thousand records would take more than a second. The guest is pure. A
failure is its answer and raises `Failure`; a trap is a fault, costs the instance, and raises `Trap`: the next call gets a
new instance, and nothing is lost, as instances remember nothing. One `Guest` is for one thread.
"""

import json
import struct
import time
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple, Optional

import wasmtime

EXPORTED = Path(__file__).parent.parent / "export" / "socdefenders.core.wasm"
MAX_BODY = 64 << 20  # Bytes of the feed's answer: ten thousand records of 2 KiB fit three times.
MAX_MEMORY = 12 * MAX_BODY  # Of an instance: the longest page, full of distinct records, takes 575 MiB.
MAX_STEPS = 10_000  # Of a poll; the next one goes on from the last state.
MAX_WAIT = 24 * 60 * 60  # Seconds; a longer wait ends the poll, and the next one is given it again.
TIMEOUT = 30  # Seconds without a byte from the feed.

KINDS = ["config", "credential", "forbidden", "protocol", "state"]
# What a guest may not set: who is asked, who asks, and how the message is sent are its host's.
OURS = {"authorization", "host", "cookie", "user-agent", "content-length", "transfer-encoding", "connection", "keep-alive",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade"}


class Failure(Exception):
    """The guest cannot do what was asked: `kind` is config, credential, forbidden, protocol or state."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind, self.text = kind, text


class Trap(Exception):
    """The guest was stopped in the middle of a call, or answered with what cannot be read."""


class Head(NamedTuple):
    """What a line of `Batch.documents` is, without a look into it."""

    id: str
    version: int
    expires: Optional[int]
    length: int


class Reject(NamedTuple):
    code: str
    detail: str
    raw: bytes


class Skip(NamedTuple):
    reason: str
    count: int


class Note(NamedTuple):
    code: str
    text: str


class Batch(NamedTuple):
    observed: int
    documents: str
    heads: list
    rejects: list
    read: int
    mapped: int
    rejected: int
    skipped: int
    skips: list
    notes: list


class Row(NamedTuple):
    """What the guest asks its host to keep; an empty value deletes the row."""

    key: str
    value: str
    expires: Optional[int] = None


class Response(NamedTuple):
    status: int
    headers: list  # Pairs, names in lower case.
    body: bytes


class Request(NamedTuple):
    """Next: send this, and say what came of it by a `Response` or `Failed`."""

    method: str
    target: str
    headers: list
    body: Optional[bytes]


class Recall(NamedTuple):
    """Next: look up these rows, and hand them over by `Recalled`."""

    keys: list


class Wait(NamedTuple):
    """Next: do nothing until then, and say `Wake`."""

    until: int
    reason: str


class Done(NamedTuple):
    """Next: nothing."""


class Start(NamedTuple):
    """Event: a poll begins."""


class Recalled(NamedTuple):
    """Event: the rows asked for, those that exist, and the response they were asked for."""

    rows: list
    response: Response


class Failed(NamedTuple):
    """Event: the request could not be completed."""

    reason: str


class Wake(NamedTuple):
    """Event: the time asked for has come."""


class Step(NamedTuple):
    batch: Optional[Batch]
    remember: list
    next: object
    state: str


class Guest:
    def __init__(self, path=EXPORTED, max_memory=MAX_MEMORY):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} is missing. This makes it, in the repository's root: "
                                    "cargo run --release -- guest export examples/export")
        self.engine, self.max_memory, self.store = wasmtime.Engine(), max_memory, None
        self.module = wasmtime.Module.from_file(self.engine, str(path))

    def map_records(self, config, observed, records):
        """A `Batch`. `observed`: when the feed showed the records, in milliseconds since 1970; `records`: bytes."""
        return self.call("mapper@0.2.0#map-records", lambda call: [
            *call.text(config), observed, *call.bytes(records)], lambda read: read.result(read.batch))

    def advance(self, config, state, now, event):
        """A `Step` of a poll; `event` is a `Start`, `Response`, `Recalled`, `Failed` or `Wake`."""
        return self.call("pager@0.2.0#advance", lambda call: [
            *call.text(config), *call.text(state), now, *call.event(event)], lambda read: read.result(read.step))

    def describe(self):
        return json.loads(self.call("mapper@0.2.0#describe", lambda call: [], lambda read: read.text(read.at)))

    def call(self, name, write, read):
        """Writes the arguments, calls, reads the answer, and has it freed."""
        try:
            if self.store is None:
                self.store = wasmtime.Store(self.engine)
                self.store.set_limits(memory_size=self.max_memory)
                self.exports = wasmtime.Instance(self.store, self.module, []).exports(self.store)
            arguments = write(Writer(self.store, self.exports))
            at = self.exports[f"tipline:input/{name}"](self.store, *arguments) & 0xFFFFFFFF
            memory = memoryview(self.exports["memory"].get_buffer_ptr(self.store)).cast("B")
            try:
                answer = read(Reader(memory, at))
            except Failure as failure:
                answer = failure
            memory.release()
            self.exports[f"cabi_post_tipline:input/{name}"](self.store, at)
        except (wasmtime.Trap, wasmtime.WasmtimeError, IndexError, struct.error, UnicodeDecodeError) as error:
            self.store = None
            raise Trap(f"The guest was stopped in `{name}`: {str(error).splitlines()[-1].strip()}") from error
        if isinstance(answer, Failure):
            raise answer
        return answer


class Writer:
    """Arguments in the guest's memory, which owns them when it is called."""

    def __init__(self, store, exports):
        self.store, self.exports = store, exports

    def bytes(self, value, align=1):
        """Address and length."""
        if not value:
            return 8, 0
        at = self.exports["cabi_realloc"](self.store, 0, 0, align, len(value)) & 0xFFFFFFFF
        self.exports["memory"].write(self.store, value, at)
        return at, len(value)

    def text(self, value):
        return self.bytes(value.encode("utf-8", "replace"))

    def list(self, layout, align, items):
        """Address and number of elements."""
        at, _ = self.bytes(b"".join(struct.pack(layout, *item) for item in items), align)
        return at, len(items)

    def response(self, response):
        pairs = [self.text(name) + self.text(value) for name, value in response.headers]
        return [response.status, *self.list("<4I", 4, pairs), *self.bytes(response.body)]

    def event(self, event):
        case, parameters = [Start, Response, Recalled, Failed, Wake].index(type(event)), []
        if isinstance(event, Response):
            parameters = self.response(event)
        elif isinstance(event, Recalled):
            rows = [(*self.text(row.key), *self.text(row.value), row.expires is not None, row.expires or 0) for row in event.rows]
            parameters = [*self.list("<4IB7xQ", 8, rows), *self.response(event.response)]
        elif isinstance(event, Failed):
            parameters = self.text(event.reason)
        return [case, *parameters, *[0] * (7 - len(parameters))]


class Reader:
    """What a call left at `at`, copied out. An address outside of the memory is an IndexError."""

    def __init__(self, memory, at):
        self.memory, self.at = memory, at

    def span(self, at, length):
        if length and at + length > len(self.memory):
            raise IndexError(f"it answered with {length} bytes at {at}, outside of its memory")
        return self.memory[at : at + length] if length else b""

    def numbers(self, layout, at):
        return struct.unpack(layout, self.span(at, struct.calcsize(layout)))

    def bytes(self, at):
        return bytes(self.span(*self.numbers("<2I", at)))

    def text(self, at):
        return str(self.span(*self.numbers("<2I", at)), "utf-8")

    def list(self, at, layout):
        """The elements, as the numbers that they are made of."""
        start, count = self.numbers("<2I", at)
        return list(struct.iter_unpack(layout, self.span(start, count * struct.calcsize(layout))))

    def slice(self, at, length):
        return str(self.span(at, length), "utf-8")

    def result(self, read):
        if self.memory[self.at] == 0:
            return read(self.at + 8)
        raise Failure(KINDS[self.memory[self.at + 8]], self.text(self.at + 12))

    def batch(self, at):
        text = self.slice
        return Batch(
            *self.numbers("<Q", at),
            self.text(at + 8),
            [Head(text(i, n), version, expires if some else None, length)
             for i, n, version, some, expires, length in self.list(at + 16, "<2IQB7xQI4x")],
            [Reject(text(c, n), text(d, m), bytes(self.span(r, o))) for c, n, d, m, r, o in self.list(at + 24, "<6I")],
            *self.numbers("<4I", at + 32),
            [Skip(text(r, n), count) for r, n, count in self.list(at + 48, "<3I")],
            [Note(text(c, n), text(t, m)) for c, n, t, m in self.list(at + 56, "<4I")],
        )

    def step(self, at):
        batch = self.batch(at + 8) if self.memory[at] else None
        remember = [Row(self.slice(k, n), self.slice(v, m), expires if some else None)
                    for k, n, v, m, some, expires in self.list(at + 72, "<4IB7xQ")]
        kind, what = self.memory[at + 80], at + 88
        if kind == 0:
            headers = [(self.slice(k, n), self.slice(v, m)) for k, n, v, m in self.list(what + 16, "<4I")]
            body = self.bytes(what + 28) if self.memory[what + 24] else None
            following = Request(self.text(what), self.text(what + 8), headers, body)
        elif kind == 1:
            following = Recall([self.slice(k, n) for k, n in self.list(what, "<2I")])
        elif kind == 2:
            following = Wait(*self.numbers("<Q", what), self.text(what + 8))
        else:
            following = Done()
        return Step(batch, remember, following, self.text(at + 128))


def poll(guest, config, state="", headers={}, recall=lambda keys: [], clock=time.time, sleep=time.sleep):
    """Yields each `Step` that is to be stored, to the end of the feed. Store its batch, then `remember` and `state` together,
    then go on; begin the next poll with the last state stored. `recall` gives the stored rows of these keys, those that
    exist, in their order. `headers` hold the credential, which the guest never sees."""
    settings, event = json.loads(config), Start()
    base = settings.get("url", "https://socdefenders.ai").rstrip("/")
    if settings.get("transport") == "taxii":  # Its targets begin at the origin.
        base = urllib.parse.urljoin(base, "/").rstrip("/")
    for _ in range(MAX_STEPS):
        step = guest.advance(config, state, int(clock() * 1000), event)
        state, what = step.state, step.next
        if isinstance(what, Recall):  # The state is no checkpoint; what is to be stored comes with the rows.
            event = Recalled(recall(what.keys), event.response if isinstance(event, Recalled) else event)
            continue
        # A state alone comes with the next batch, or when the poll rests.
        if step.batch or step.remember or not isinstance(what, Request):
            yield step
        if isinstance(what, Request):
            event = fetch(base, what, headers)
        elif isinstance(what, Wait) and what.until / 1000 - clock() <= MAX_WAIT:
            sleep(max(0, what.until / 1000 - clock()))
            event = Wake()
        else:
            return


class EveryStatus(urllib.request.HTTPErrorProcessor):
    """Every status is an answer for the guest. No redirect is followed: it could lead the credential elsewhere."""

    def http_response(self, request, response):
        return response

    https_response = http_response


FEED = urllib.request.build_opener(EveryStatus)


def fetch(base, request, headers):
    """One request below `base`, as the event it becomes."""
    path = urllib.parse.unquote(request.target.partition("?")[0])
    if not path.startswith("/") or path.startswith("//") or {".", ".."} & set(path.split("/")):
        raise Failure("protocol", f"The request for {request.target!r} was not sent: it may lead outside of {base}.")
    theirs = dict(request.headers)
    refused = (OURS | {name.lower() for name in headers}) & {name.lower() for name in theirs}
    if request.method not in ("GET", "POST") or refused:
        what = ", ".join(sorted(refused)) or request.method
        raise Failure("protocol", f"The request for {request.target!r} was not sent: {what} is not the guest's to choose.")
    asked = urllib.request.Request(base + request.target, request.body, {**theirs, **headers}, method=request.method)
    try:
        with FEED.open(asked, timeout=TIMEOUT) as answer:
            body = answer.read(MAX_BODY + 1)
    except (OSError, HTTPException) as error:
        return Failed(f"{base} gave no answer: {error!r}")
    if len(body) > MAX_BODY:
        return Failed(f"The answer of {base} is longer than {MAX_BODY} bytes. Set a smaller `limit`.")
    named = [(name.lower(), value) for name, value in answer.headers.items() if name.lower() != "set-cookie"]
    return Response(answer.status, named, body)
