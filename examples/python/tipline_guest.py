"""Tipline's guest in Python: maps records of SOC Defenders, or STIX, to ECS documents, and pages through their feeds.

Only strings cross the boundary: wasmtime-py copies a string at once, but a list of bytes one element at a time. The guest is
pure. A failure is its answer and raises `Failure`; a trap is a fault, costs the instance, and raises `Trap`: the next call
gets a new instance, and nothing is lost, as instances remember nothing. One `Guest` is for one thread.
"""

import json
import time
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path

import wasmtime
from wasmtime.component import Component, Linker, Record, Variant

EXPORTED = Path(__file__).parent.parent / "export" / "socdefenders.component.wasm"
MAX_BODY = 64 << 20  # Bytes of the feed's answer: ten thousand records of 2 KiB fit three times.
MAX_MEMORY = 12 * MAX_BODY  # Of an instance: the longest page, full of distinct records, takes 665 MiB.
MAX_STEPS = 10_000  # Of a poll; the next one goes on from the last state.
MAX_WAIT = 24 * 60 * 60  # Seconds; a longer wait ends the poll, and the next one is given it again.
TIMEOUT = 30  # Seconds without a byte from the feed.


class Failure(Exception):
    """The guest cannot do what was asked: `kind` is config, credential, forbidden, protocol or state."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind, self.text = kind, text


class Trap(Exception):
    """The guest was stopped in the middle of a call."""


class Guest:
    def __init__(self, path=EXPORTED, max_memory=MAX_MEMORY):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} is missing. This makes it, in the repository's root: "
                                    "cargo run --release -- guest export examples/export")
        self.engine, self.max_memory, self.store = wasmtime.Engine(), max_memory, None
        self.component = Component.from_file(self.engine, str(path))

    def map_records(self, config, observed, records):
        """A `batch` of input.wit. `observed`: when the feed showed the records, in milliseconds since 1970."""
        return self.call("mapper", "map-records", config, observed, records)

    def advance(self, config, state, now, event):
        return self.call("pager", "advance", config, state, now, event)

    def describe(self):
        return json.loads(self.call("mapper", "describe"))

    def call(self, interface, name, *arguments):
        if self.store is None:
            self.store = wasmtime.Store(self.engine)
            self.store.set_limits(memory_size=self.max_memory)
            self.instance = Linker(self.engine).instantiate(self.store, self.component)
        index = self.instance.get_export_index
        function = index(self.store, name, index(self.store, f"tipline:input/{interface}@0.1.0"))
        function = self.instance.get_func(self.store, function)
        try:
            answer = function(self.store, *arguments)
        except wasmtime.WasmtimeError as error:
            self.store = None
            raise Trap(f"The guest was stopped in `{name}`: {str(error).splitlines()[-1].strip()}") from error
        if isinstance(answer, Variant):
            raise Failure(answer.tag, answer.payload)
        return answer


def poll(guest, config, state="", headers={}, clock=time.time, sleep=time.sleep):
    """Yields `(batch, state)` to the end of the feed. Store the batch (it may be None), then the state, then go on; begin
    the next poll with the last state stored. `headers` hold the credential, which the guest never sees."""
    settings, event = json.loads(config), Variant("start")
    base = settings.get("url", "https://socdefenders.ai").rstrip("/")
    if settings.get("transport") == "taxii":  # Its targets begin at the origin.
        base = urllib.parse.urljoin(base, "/").rstrip("/")
    for _ in range(MAX_STEPS):
        step = guest.advance(config, state, int(clock() * 1000), event)
        state, kind, what = step.state, step.next.tag, step.next.payload
        if step.batch or kind != "fetch":  # A state without a batch comes with the next one, or when the poll rests.
            yield step.batch, state
        if kind == "fetch":
            event = fetch(base, what, headers)
        elif kind == "wait-until" and what.until / 1000 - clock() <= MAX_WAIT:
            sleep(max(0, what.until / 1000 - clock()))
            event = Variant("wake")
        else:
            return


class EveryStatus(urllib.request.HTTPErrorProcessor):
    """Every status is an answer for the guest. No redirect is followed: it could lead the credential elsewhere."""

    def http_response(self, request, response):
        return response

    https_response = http_response


FEED = urllib.request.build_opener(EveryStatus)


def fetch(base, request, headers):
    """One GET below `base`, as the event it becomes."""
    path = urllib.parse.unquote(request.target.partition("?")[0])
    if not path.startswith("/") or path.startswith("//") or {".", ".."} & set(path.split("/")):
        raise Failure("protocol", f"The request for {request.target!r} was not sent: it may lead outside of {base}.")
    asked = urllib.request.Request(base + request.target, headers={**headers, "Accept": request.accept})
    try:
        with FEED.open(asked, timeout=TIMEOUT) as answer:
            body = answer.read(MAX_BODY + 1)
    except (OSError, HTTPException) as error:
        return Variant("failed", f"{base} gave no answer: {error!r}")
    if len(body) > MAX_BODY:
        return Variant("failed", f"The answer of {base} is longer than {MAX_BODY} bytes. Set a smaller `limit`.")
    response = Record()
    response.status, response.body = answer.status, body.decode("utf-8-sig", "replace")
    response.headers = [(name.lower(), value) for name, value in answer.headers.items() if name.lower() != "set-cookie"]
    return Variant("response", response)
