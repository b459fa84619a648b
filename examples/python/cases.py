"""The guest's own table of cases, as its tests have it: a page, its settings, and the bytes that must come out."""

from datetime import datetime
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "guest" / "tests" / "cases"
OBSERVED = "2024-12-09T10:30:00Z"  # Of a case without a file of this name.
COUNTS = ["read", "mapped", "rejected", "skipped", "made", "merged"]


def all_cases():
    cases = sorted(folder for folder in FOLDER.iterdir() if folder.is_dir())
    if not cases:
        raise FileNotFoundError(f"{FOLDER} holds no case. Run this inside a whole clone of the repository.")
    return cases


def text(case, name, absent=""):
    """A file as it is: no line ending is changed."""
    path = case / name
    return path.read_bytes().decode() if path.exists() else absent


def arguments(case):
    observed = datetime.fromisoformat(text(case, "observed", OBSERVED).strip().replace("Z", "+00:00"))
    return text(case, "config.json"), round(observed.timestamp() * 1000), (case / "page.json").read_bytes().decode()


def expected(case):
    return [text(case, f"expected{name}") for name in (".ndjson", "-rejects.ndjson", "-counts.txt")]


def outcome(batch):
    counts = "".join(f"{name} {getattr(batch, name)}\n" for name in COUNTS)
    counts += "".join(f"skipped for: {skip.reason} {skip.count}\n" for skip in batch.skips)
    return [batch.documents, batch.rejects, counts]
