"""The vendor's recipe as people write it, for comparison: requests for the feed, helpers.bulk for Elasticsearch, the published
mapping. It pages, which the recipe does not, so that both read the same records.

    peer.py FEED_URL ELASTICSEARCH_URL LIMIT      (packages: requests, elasticsearch)

Prints the documents sent and the seconds it took.
"""

import sys
import time
from datetime import datetime, timezone

import requests
from elasticsearch import Elasticsearch, helpers

HASHES = {"md5", "sha1", "sha256", "sha512"}


def records(feed, limit):
    offset = 0
    while True:
        page = requests.get(f"{feed}/api/v1/iocs", params={"limit": limit, "offset": offset}, timeout=60).json()
        yield from page["data"]
        offset += len(page["data"])
        if not page["data"] or offset >= page["meta"]["total"]:
            return


def action(record, index):
    indicator = {
        "type": record["type"],
        "confidence": record.get("confidence"),
        "provider": (record.get("source") or {}).get("feed_name"),
    }
    if record["type"] in ("ipv4", "ipv6"):
        indicator["ip"] = record["value"]
    elif record["type"] == "domain":
        indicator["url"] = {"domain": record["value"]}
    elif record["type"] in HASHES:
        indicator["file"] = {"hash": {record["type"]: record["value"]}}
    elif record["type"] == "url":
        indicator["url"] = {"full": record["value"]}
    else:
        indicator["name"] = record["value"]
    document = {
        "@timestamp": datetime.now(timezone.utc).isoformat(),
        "event": {"kind": "enrichment", "category": ["threat"], "type": ["indicator"]},
        "threat": {"indicator": indicator, "feed": {"name": "SOC Defenders"}},
        "tags": record.get("tags", []),
    }
    return {"_index": index, "_source": document}


def main():
    feed, elasticsearch, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
    client = Elasticsearch(elasticsearch, request_timeout=60)
    began = time.monotonic()
    sent, _ = helpers.bulk(client, (action(r, "logs-ti.socdefenders-default") for r in records(feed, limit)), stats_only=True)
    print(sent, time.monotonic() - began)


if __name__ == "__main__":
    main()
