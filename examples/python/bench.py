"""Prints how many records a second one core maps: the demo's records in pages of a thousand, the median of five rounds."""

import statistics
import time
from pathlib import Path

from tipline_guest import Guest

RECORDS = Path(__file__).parents[2] / "tests" / "corpus" / "demo.jsonl"
PAGE, ROUND, ROUNDS = 1_000, 0.7, 5


def main():
    records = RECORDS.read_text("utf-8").splitlines()
    pages = [",".join(records[at : at + PAGE]) for at in range(0, len(records) - PAGE + 1, PAGE)]
    pages = [f'{{"data":[{page}]}}'.encode() for page in pages]
    began = time.perf_counter()
    guest = Guest()
    loaded = time.perf_counter() - began
    speeds = []
    for _ in range(ROUNDS):
        began, mapped = time.perf_counter(), 0
        while time.perf_counter() - began < ROUND:
            for page in pages:
                mapped += guest.map_records('{"allow_private":true}', 1_750_000_000_000, page).read
        speeds.append(mapped / (time.perf_counter() - began))
    print(f"python {statistics.median(speeds):,.0f} records/s; the module compiles in {loaded * 1000:,.0f} ms")


if __name__ == "__main__":
    main()
