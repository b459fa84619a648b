#!/usr/bin/env python3
"""Counts the objects of a TAXII 2.1 collection with taxii2-client, a reader that others wrote.

    count.py ROOT LOGIN PASSWORD TITLE    prints {"objects": {TYPE: COUNT}, "identities": DISTINCT}
"""
import collections
import json
import sys

from taxii2client.v21 import ApiRoot, as_pages

root, login, password, title = sys.argv[1:]
found = [c for c in ApiRoot(root, user=login, password=password).collections if c.title == title]
if len(found) != 1:
    sys.exit(f"{root} has {len(found)} collections with the title {title}")
held = [held for page in as_pages(found[0].get_objects, per_request=100) for held in page.get("objects", [])]
types = collections.Counter(held_object["type"] for held_object in held)
print(json.dumps({"objects": types, "identities": len({held_object["id"] for held_object in held})}))
