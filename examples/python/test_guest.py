"""The guest under wasmtime-py gives the bytes it gives natively, and polls against feeds on loopback behave."""

import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import poll as program
import tipline_guest
from cases import all_cases, arguments, expected, lines, outcome
from tipline_guest import Failed, Failure, Guest, Request, Response, Trap, poll

GUEST = Guest()
NOW = 1_750_000_000  # 2025-06-15T15:06:40Z
DATE = "Sun, 15 Jun 2025 15:06:40 GMT"
PAGES = [[f"198.51.100.{i}" for i in range(1, 4)], ["192.0.2.7", "not an address"]]


class Mapping(unittest.TestCase):
    def test_every_case_gives_the_bytes_written_beside_it(self):
        # Twice with one instance: what it mapped before must not show.
        for case in 2 * all_cases():
            with self.subTest(case.name):
                self.assertEqual(outcome(GUEST.map_records(*arguments(case))), expected(case))

    def test_a_failure_has_its_kind_and_keeps_the_instance(self):
        guest = Guest()
        guest.describe()
        store = guest.store
        for config, observed, records, kind in [
            ('{"surprise":1}', 0, b"", "config"),
            ("", 0, b"<html>", "protocol"),
        ]:
            with self.assertRaises(Failure) as raised:
                guest.map_records(config, observed, records)
            self.assertEqual(raised.exception.kind, kind)
            self.assertIn(raised.exception.text, str(raised.exception))
        self.assertIs(guest.store, store)

    def test_memory_is_bounded_and_a_trap_costs_the_instance_only(self):
        large = json.dumps({"data": [{"type": "ipv4", "value": "198.51.100.1"}] * 20_000}).encode()
        small = b'{"type":"ipv4","value":"198.51.100.1"}'
        self.assertEqual(Guest(max_memory=64 << 20).map_records("", 0, large).read, 20_000)
        guest = Guest(max_memory=2 << 20)
        with self.assertRaises(Trap):
            guest.map_records("", 0, large)
        self.assertEqual(guest.map_records("", 0, small).mapped, 1)

    def test_one_damaged_byte_is_the_guests_to_judge(self):
        batch = GUEST.map_records("", 0, b'{"type":"domain","value":"a.example"}\n{"type":"domain","value":"b\xff.example"}\n')
        self.assertEqual((batch.mapped, [reject.raw for reject in batch.rejects]), (1, [b'{"type":"domain","value":"b\xff.example"}']))

    def test_it_describes_itself(self):
        self.assertEqual(GUEST.describe()["name"], "socdefenders")

    def test_a_missing_export_names_the_command_that_makes_it(self):
        with self.assertRaisesRegex(FileNotFoundError, "cargo run --release -- guest export examples/export"):
            Guest("nowhere.wasm")


class Feed(BaseHTTPRequestHandler):
    """Two pages below /base; what else it answers comes first, one answer a request."""

    before, requests, posts = [], [], []

    def do_POST(self):
        self.posts.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
        self.do_GET()

    def do_GET(self):
        self.requests.append((self.path, self.headers.get("Authorization")))
        offset = int(parse_qs(urlsplit(self.path).query).get("offset", ["0"])[0])
        page = [[value for page in PAGES for value in page][offset:][:3]]
        data = [{"type": "ipv4", "value": value} for value in page[0]]
        body = {"data": data, "meta": {"total": 5, "limit": 3, "offset": offset}}
        status, headers, body = self.before.pop(0) if self.before else (200, {}, json.dumps(body).encode())
        self.send_response_only(status)
        for name, value in {"Date": DATE, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Taxii(BaseHTTPRequestHandler):
    """A TAXII server of one collection, which holds `objects`."""

    objects = []

    def do_GET(self):
        path = self.path.partition("?")[0]
        collection = {"id": "91a7b528-80eb-42ed-a74d-c6fbd5a26116", "title": "All", "can_read": True, "can_write": False}
        body = {
            "/root/": {"title": "Root", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 1_000_000},
            "/root/collections/": {"collections": [collection]},
            f"/root/collections/{collection['id']}/objects/": {"objects": self.objects},
        }.get(path)
        body, status = json.dumps(body or {}).encode(), 200 if body else 404
        self.send_response_only(status)
        for name, value in {"Content-Type": "application/taxii+json;version=2.1", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Polling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ThreadingHTTPServer(("127.0.0.1", 0), Feed)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)
        cls.config = json.dumps({"url": f"http://127.0.0.1:{cls.server.server_port}/base", "feed": {"name": "Example"}, "limit": 3})

    def setUp(self):
        Feed.before, Feed.requests, Feed.posts, self.now, self.slept = [], [], [], NOW, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def poll(self, state="", **settings):
        config = json.dumps({**json.loads(self.config), **settings})
        return poll(GUEST, config, state, {"Authorization": "Bearer secret"}, clock=lambda: self.now, sleep=self.sleep)

    def test_the_batches_are_those_of_map_records(self):
        steps = list(self.poll())
        batches = [step.batch for step in steps if step.batch]
        self.assertEqual([batch.read for batch in batches], [3, 2])
        self.assertEqual([batch.rejected for batch in batches], [0, 1])
        for page, batch in zip(PAGES, batches):
            data = [{"type": "ipv4", "value": value} for value in page]
            alone = GUEST.map_records(self.config, NOW * 1000, json.dumps({"data": data}).encode())
            self.assertEqual((batch.documents, batch.heads), (alone.documents, alone.heads))
        self.assertTrue(all(step.state for step in steps))

    def test_the_credential_goes_to_the_feed_and_not_to_the_guest(self):
        steps = list(self.poll())
        self.assertTrue(Feed.requests)
        for path, authorization in Feed.requests:
            self.assertTrue(path.startswith("/base/api/v1/iocs?"), path)
            self.assertEqual(authorization, "Bearer secret")
        self.assertNotIn("secret", "".join(step.state for step in steps))

    def test_a_poll_that_was_left_goes_on_behind_its_last_state(self):
        step = next(self.poll())
        self.assertEqual(step.batch.read, 3)
        step = next(self.poll(step.state))
        self.assertEqual(step.batch.read, 2)

    def test_a_limit_is_waited_for_and_the_state_is_handed_over_first(self):
        Feed.before = [(429, {"Retry-After": "90"}, b"{}")]
        steps = list(self.poll())
        self.assertIsNone(steps[0].batch)
        self.assertGreaterEqual(sum(self.slept), 90)
        self.assertEqual(sum(step.batch.read for step in steps if step.batch), 5)

    def test_waits_are_bounded(self):
        for seconds, waits in [(tipline_guest.MAX_WAIT - 60, True), (tipline_guest.MAX_WAIT + 60, False)]:
            Feed.before, self.slept = [(429, {"Retry-After": str(seconds)}, b"{}")], []
            steps = list(self.poll(max_rate_wait="7d"))
            self.assertEqual((sum(self.slept) >= seconds, len(steps) > 1), (waits, waits), seconds)

    def test_steps_are_bounded(self):
        for steps, read in [(3, 5), (2, 3)]:
            with mock.patch.object(tipline_guest, "MAX_STEPS", steps):
                self.assertEqual(sum(step.batch.read for step in self.poll() if step.batch), read, steps)

    def test_answers_are_bounded(self):
        length = len(json.dumps({"data": [{"type": "ipv4", "value": v} for v in PAGES[0]]})) + 60
        for limit, reads in [(length, True), (20, False)]:
            with mock.patch.object(tipline_guest, "MAX_BODY", limit):
                batches = [step.batch for step in self.poll(max_retries=0) if step.batch]
            self.assertEqual(sum(batch.read for batch in batches) == 5, reads)
            self.assertEqual(any(note.code == "gave-up" for batch in batches for note in batch.notes), not reads)

    def test_a_redirect_is_not_followed(self):
        Feed.before = [(302, {"Location": f"http://localhost:{self.server.server_port}/base/api/v1/iocs"}, b"")]
        with self.assertRaises(Failure) as raised:
            list(self.poll())
        self.assertEqual((raised.exception.kind, len(Feed.requests)), ("protocol", 1))

    def test_a_refused_key_is_a_failure_of_its_kind(self):
        Feed.before = [(401, {}, b'{"error":{"code":"invalid_api_key"}}')]
        with self.assertRaises(Failure) as raised:
            list(self.poll())
        self.assertEqual(raised.exception.kind, "credential")

    def test_a_request_that_would_leave_the_feed_is_not_sent(self):
        for target in ["//evil.example/", "@evil.example/", "/a/../../b", "/a/%2e%2e/b", "http://evil.example/"]:
            with self.assertRaises(Failure, msg=target):
                tipline_guest.fetch("http://127.0.0.1:9", Request("GET", target, [], None), {})

    def test_a_feed_that_is_not_there_is_told_to_the_guest(self):
        event = tipline_guest.fetch("http://127.0.0.1:1", Request("GET", "/", [], None), {})
        self.assertIsInstance(event, Failed)

    def test_a_post_arrives_with_its_headers_and_its_bytes(self):
        Feed.before = [(200, {"X-Said": "yes"}, b"\xff\x00")]
        base = f"http://127.0.0.1:{self.server.server_port}/base"
        request = Request("POST", "/query?a=1", [("content-type", "application/json"), ("x-own", "1")], b'{"days":1}\xfe')
        event = tipline_guest.fetch(base, request, {"Auth-Key": "secret"})
        self.assertIsInstance(event, Response)
        self.assertEqual((event.status, dict(event.headers)["x-said"], event.body), (200, "yes", b"\xff\x00"))
        (headers, body), = Feed.posts
        self.assertEqual(Feed.requests[0][0], "/base/query?a=1")
        self.assertEqual([headers[n] for n in ("content-type", "x-own", "auth-key")], ["application/json", "1", "secret"])
        self.assertEqual(body, b'{"days":1}\xfe')

    def test_what_is_the_hosts_is_not_the_guests_to_set(self):
        for method, name in [("PUT", ""), ("get", ""), ("GET", "auth-key"), *(("GET", name) for name in tipline_guest.OURS)]:
            headers = [(name, "x")] if name else []
            with self.assertRaises(Failure, msg=(method, name)):
                tipline_guest.fetch("http://127.0.0.1:9", Request(method, "/", headers, None), {"Auth-Key": "secret"})


class Remembering(unittest.TestCase):
    """The second poll shows a later version of an object, which names one value less."""

    VERSIONS = [
        ("2025-06-01T00:00:00Z", "[domain-name:value = 'old.example' OR domain-name:value = 'kept.example']"),
        ("2025-06-10T00:00:00Z", "[domain-name:value = 'kept.example']"),
    ]

    @classmethod
    def setUpClass(cls):
        cls.server = ThreadingHTTPServer(("127.0.0.1", 0), Taxii)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)

    def documents(self, remember):
        """What each poll gives, by value, of a host that remembers rows or does not."""
        config = json.dumps({"url": f"http://127.0.0.1:{self.server.server_port}/root/", "transport": "taxii", "feed": {"name": "Example"}})
        memory, polls = program.Memory(":memory:"), []
        for number, (modified, pattern) in enumerate(self.VERSIONS):
            Taxii.objects = [{"type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
                              "created": "2025-06-01T00:00:00Z", "modified": modified, "valid_from": "2025-06-01T00:00:00Z",
                              "pattern_type": "stix", "pattern": pattern}]
            found = {}
            now = NOW + number * 3_600
            recall = memory.recall if remember else lambda keys: []
            for step in poll(GUEST, config, memory.state(), recall=recall, clock=lambda: now):
                for line in lines(step.batch.documents) if step.batch else []:
                    document = json.loads(line)
                    found[document["threat"]["indicator"]["name"]] = document
                memory.store(step.state, step.remember)
            polls.append(found)
        return polls

    def test_what_a_later_version_no_longer_says_is_ended(self):
        first, second = self.documents(remember=True)
        self.assertEqual((set(first), set(second)), ({"old.example", "kept.example"}, {"old.example", "kept.example"}))
        ended = second["old.example"]
        self.assertEqual((ended["event"]["type"], ended["tipline"]["expiry_reason"]), (["info"], "replaced"))
        self.assertIn("retired_at", ended["tipline"])
        self.assertEqual(ended["event"]["id"], first["old.example"]["event"]["id"])
        self.assertGreater(ended["event"]["sequence"], first["old.example"]["event"]["sequence"])
        self.assertEqual(second["kept.example"]["event"]["type"], ["indicator"])

    def test_without_a_memory_all_is_mapped_and_nothing_corrected(self):
        first, second = self.documents(remember=False)
        self.assertEqual((set(first), set(second)), ({"old.example", "kept.example"}, {"kept.example"}))


if __name__ == "__main__":
    unittest.main()
