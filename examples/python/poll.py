"""Polls a feed once: `poll.py URL FILE > documents.ndjson`, with the key in TIPLINE_KEY.

FILE is an SQLite database with the state and the rows that the guest remembers. Shows the order that loses nothing: a page's
documents are out before its state and rows are stored, together. Run it again to go on from there.
"""

import json
import os
import sqlite3
import sys

from tipline_guest import Failure, Guest, Row, Trap, poll


class Memory:
    """What is kept between polls."""

    def __init__(self, file):
        self.database = sqlite3.connect(file)
        self.database.executescript("""
            CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS row (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires INTEGER) WITHOUT ROWID;
        """)

    def state(self):
        found = self.database.execute("SELECT state FROM state").fetchone()
        return found[0] if found else ""

    def recall(self, keys):
        found = (self.database.execute("SELECT key, value, expires FROM row WHERE key = ?", [key]).fetchone() for key in keys)
        return [Row(*row) for row in found if row]

    def store(self, state, rows):
        with self.database:  # One transaction.
            for row in rows:
                if row.value:
                    self.database.execute("INSERT OR REPLACE INTO row VALUES (?, ?, ?)", row)
                else:
                    self.database.execute("DELETE FROM row WHERE key = ?", [row.key])
            self.database.execute("INSERT OR REPLACE INTO state VALUES (1, ?)", [state])


def main(url, file):
    key, memory = os.environ.get("TIPLINE_KEY"), Memory(file)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        for step in poll(Guest(), json.dumps({"url": url}), memory.state(), headers, memory.recall):
            batch = step.batch
            if batch:
                sys.stdout.write(batch.documents)
                sys.stdout.flush()
                print(f"read {batch.read}, mapped {batch.mapped}, rejected {batch.rejected}, skipped {batch.skipped}", file=sys.stderr)
                for note in batch.notes:
                    print(f"  {note.code}: {note.text}", file=sys.stderr)
            memory.store(step.state, step.remember)
    except (Failure, Trap) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
