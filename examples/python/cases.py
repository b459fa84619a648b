"""The guest's own table of cases, as its tests have it: a page, its settings, and the bytes that must come out."""

import base64
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tipline_guest import Head, Reject

FOLDER = Path(__file__).parents[2] / "guest" / "tests" / "cases"
OBSERVED = "2024-12-09T10:30:00Z"  # Of a case without a file of this name.
COUNTS = ["read", "mapped", "rejected", "skipped"]


def all_cases():
    cases = sorted(folder for folder in FOLDER.iterdir() if folder.is_dir())
    if not cases:
        raise FileNotFoundError(f"{FOLDER} holds no case. Run this inside a whole clone of the repository.")
    return cases


def text(case, name, absent=""):
    """A file as it is: no line ending is changed."""
    path = case / name
    return path.read_bytes().decode() if path.exists() else absent


def lines(text):
    """Lines end by a line feed and nothing else."""
    return text.split("\n")[:-1]


def millis(instant):
    since = datetime.fromisoformat(instant.replace("Z", "+00:00")) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return since // timedelta(milliseconds=1)


def arguments(case):
    return text(case, "config.json"), millis(text(case, "observed", OBSERVED).strip()), (case / "page.json").read_bytes()


def head(line):
    """What the head beside a document must say."""
    document = json.loads(line)
    expires = document["tipline"].get("expires_at")
    return Head(document["event"]["id"], document["event"]["sequence"], expires and millis(expires), len(line.encode()))


def reject(line):
    said = json.loads(line)
    raw = base64.b64decode(said["raw_base64"]) if "raw_base64" in said else said["raw"].encode()
    return Reject(said["code"], said["detail"], raw)


def expected(case):
    documents = text(case, "expected.ndjson")
    rejects = [reject(line) for line in lines(text(case, "expected-rejects.ndjson"))]
    return documents, [head(line) for line in lines(documents)], rejects, text(case, "expected-counts.txt")


def outcome(batch):
    counts = "".join(f"{name} {getattr(batch, name)}\n" for name in COUNTS) + f"documents {len(batch.heads)}\n"
    counts += "".join(f"skipped for: {skip.reason} {skip.count}\n" for skip in batch.skips)
    counts += "".join(f"note: {note.code} {note.text}\n" for note in batch.notes)
    return batch.documents, batch.heads, batch.rejects, counts
