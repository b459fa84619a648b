"""Polls a feed once: `poll.py URL STATE_FILE > documents.ndjson`, with the key in TIPLINE_KEY.

Shows the order that loses nothing: a page's documents are out before its state is stored. Run it again to go on from there.
"""

import json
import os
import sys
from pathlib import Path

from tipline_guest import Failure, Guest, Trap, poll


def main(url, state_file):
    key, file = os.environ.get("TIPLINE_KEY"), Path(state_file)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    state = file.read_text() if file.exists() else ""
    try:
        for batch, state in poll(Guest(), json.dumps({"url": url}), state, headers):
            if batch:
                sys.stdout.write(batch.documents)
                sys.stdout.flush()
                print(f"read {batch.read}, mapped {batch.mapped}, rejected {batch.rejected}, skipped {batch.skipped}", file=sys.stderr)
                for note in batch.notes:
                    print(f"  {note.code}: {note.text}", file=sys.stderr)
            new = file.with_name(file.name + ".new")
            new.write_text(state)
            new.replace(file)
    except (Failure, Trap) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
