#!/usr/bin/env python3
"""Prints what medallion's memory backend serves: indicators of documentation ranges, so that its tests need no data of
others.

    indicators.py [COUNT]    300 of them if left out

They are the same each time but for their dates, which end ten minutes ago: five are added at one instant, five more
twenty minutes later. Between them stand objects that are no indicators.
"""
import datetime
import hashlib
import json
import sys
import uuid

TOGETHER = 5
APART = datetime.timedelta(minutes=20)
NAMESPACE = uuid.UUID("5b1e0c8f-3d62-5b3f-9a07-6c1de2947a10")
MEDIA = "application/stix+json;version=2.1"


def identity(kind, name):
    return f"{kind}--{uuid.uuid5(NAMESPACE, kind + name)}"


def instant(at, digits=3):
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[: 20 + digits] + "Z"


def pattern(number):
    block = ("192.0.2", "198.51.100", "203.0.113")[number // 8 % 3]
    address = f"{block}.{number // 24 % 256}"
    name = f"n{number}.example"
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return (
        f"[ipv4-addr:value = '{address}']",
        f"[domain-name:value = '{name}']",
        f"[url:value = 'http://{name}/a?b=c']",
        f"[file:hashes.'SHA-256' = '{digest}' AND file:name = 'a{number}.bin']",
        f"[ipv6-addr:value = '2001:db8::{number:x}'] OR [domain-name:value = 'six.{name}']",
        f"[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '{address}'"
        f" AND network-traffic:dst_port = {1024 + number}]",
        f"[email-addr:value = 'a{number}@mail.example']",
        f"[vulnerability:name = 'CVE-2024-{10000 + number}']",
    )[number % 8]


def objects(count):
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    first = now - datetime.timedelta(minutes=10) - APART * ((count - 1) // TOGETHER)
    for number in range(count):
        added = first + APART * (number // TOGETHER)
        author = identity("identity", f"author {number % 3}")
        if number % 50 == 0:
            name = f"Author {number}"
            yield added, {
                "type": "identity",
                "spec_version": "2.1",
                "id": identity("identity", name),
                "created": instant(added),
                "modified": instant(added),
                "name": name,
                "identity_class": "organization",
            }
        yield added, {
            "type": "indicator",
            "spec_version": "2.1",
            "id": identity("indicator", str(number)),
            "created_by_ref": author,
            "created": instant(added - datetime.timedelta(days=1)),
            "modified": instant(added - datetime.timedelta(milliseconds=number)),
            "name": f"Indicator {number}",
            "pattern": pattern(number),
            "pattern_type": "stix",
            "valid_from": instant(added - datetime.timedelta(days=1)),
            "confidence": number % 101,
            "labels": [f"label-{number % 7}"],
        }


def collection(name, title, held, readable=True):
    return {
        "id": str(uuid.uuid5(NAMESPACE, name)),
        "title": title,
        "can_read": readable,
        "can_write": readable,
        "media_types": [MEDIA],
        "objects": [held_object for _, held_object in held],
        "manifest": [
            {"date_added": instant(at, 6), "id": held_object["id"], "version": held_object["modified"], "media_type": MEDIA}
            for at, held_object in held
        ],
    }


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    root = "http://127.0.0.1:5000/feed/"
    print(
        json.dumps(
            {
                "/discovery": {"title": "Documentation ranges", "default": root, "api_roots": [root]},
                "feed": {
                    "information": {
                        "title": "feed",
                        "versions": ["application/taxii+json;version=2.1"],
                        "max_content_length": 104857600,
                    },
                    "status": [],
                    "collections": [
                        collection("indicators", "indicators", list(objects(count))),
                        collection("empty", "empty", []),
                        collection("secret", "secret", [], readable=False),
                    ],
                },
            }
        )
    )


main()
