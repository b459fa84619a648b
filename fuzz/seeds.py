#!/usr/bin/env python3
"""Makes what fuzzing begins with of the repository's own cases: fuzz/corpus/{pattern,plain,map,taxii,kql}/."""

import hashlib
import json
import pathlib

here = pathlib.Path(__file__).resolve().parent
cases = sorted((here.parent / "guest/tests/cases").iterdir())


def keep(target, content):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)


ANSWERS = [
    {"title": "A server", "api_roots": ["/api/"], "default": "/api/"},
    {"collections": [{"id": "one", "title": "One", "can_read": True, "media_types": ["application/stix+json;version=2.1"]}]},
    {"more": True, "next": "a", "objects": []},
    {"error": {"code": "x", "message": "y"}, "http_status": "400", "title": "z"},
]

for case in cases:
    page = (case / "page.json").read_bytes()
    settings = b"c" if (case / "config.json").exists() else b"p"
    keep("plain", page)
    keep("map", b"-" + page)
    keep("map", settings + page)
    try:
        objects = json.loads(page)["objects"]
    except (ValueError, KeyError, TypeError):
        continue
    for thing in objects:
        if isinstance(thing, dict) and isinstance(thing.get("pattern"), str):
            keep("pattern", thing["pattern"].encode())
    for place in range(6):
        keep("taxii", bytes([place, 0, 2]) + page)
for answer in ANSWERS:
    for place in range(6):
        for status in (0, 3, 7, 8, 10):
            keep("taxii", bytes([place, status, place]) + json.dumps(answer).encode())
whole = {key: value for answer in ANSWERS[:3] for key, value in answer.items()}
keep("taxii", bytes([1, 0, 2]) + json.dumps(whole).encode())
for table in ["cases.txt", "errors.txt"]:
    for line in (here.parent / "host/kql/tests" / table).read_text().splitlines():
        if line.startswith("query "):
            keep("kql", line[6:].strip().replace("▸", "").encode())
