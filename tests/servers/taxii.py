#!/usr/bin/env python3
"""Reads and fills a collection of a TAXII 2.1 server with taxii2-client, which others wrote.

    taxii.py count ROOT LOGIN PASSWORD TITLE              prints {"objects": {TYPE: COUNT}, "identities": DISTINCT}
    taxii.py add ROOT LOGIN PASSWORD TITLE < OBJECTS      adds the objects of a JSON array
"""
import collections
import json
import sys

from taxii2client.v21 import ApiRoot, as_pages

action, root, login, password, title = sys.argv[1:]
found = [c for c in ApiRoot(root, user=login, password=password).collections if c.title == title]
if len(found) != 1:
    sys.exit(f"{root} has {len(found)} collections with the title {title}")
if action == "add":
    objects = json.load(sys.stdin)
    status = found[0].add_objects({"objects": objects})
    if status.status != "complete" or status.success_count != len(objects):
        sys.exit(f"of {len(objects)} objects {status.success_count} were added: {status.failures}")
else:
    objects = [held for page in as_pages(found[0].get_objects, per_request=100) for held in page.get("objects", [])]
    types = collections.Counter(held["type"] for held in objects)
    print(json.dumps({"objects": types, "identities": len({held["id"] for held in objects})}))
