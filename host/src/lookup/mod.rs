//! Looking up values: which of those in a text are stored, have ended, lie in a stored range, are harmless, or unknown.
//!
//! A value is asked for by its key (`tipline.key`), which is made here as the guest makes it; documents of guests that have
//! keys of their own are found by their name. An address is also held against all stored ranges. Nothing but the catalog is
//! asked.

mod read;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value as Json;
use tipline_catalog::{Direction, Grouping, NAME, Order, SortKey, time_column};
use tipline_kql::{Fields, Predicate, Test, Type, network};
use tipline_observable::{Observable, harmless};

use crate::clock::Millis;
use crate::document::{self, text_at, texts_at};
use crate::store::{Among, Catalog, CatalogError, Condition, Hit, Question};

pub(crate) use read::{MAX_LOOKED_BYTES, Value, read};

/// Values asked for at once: Elasticsearch takes 65,536 terms, and has each in its request twice.
const ASKED_TOGETHER: usize = 25_000;

const KEY: &str = "tipline.key";

/// The text of these bytes, whatever a program for Windows has written; `name` says what they are in messages.
///
/// # Errors
/// What to do with what is no text.
pub(crate) fn decoded(name: &str, bytes: &[u8]) -> Result<String, String> {
    for (beginning, kind) in
        [(&b"%PDF"[..], "a PDF"), (b"PK\x03\x04", "a ZIP archive, as office files are"), (b"\x1f\x8b", "a gzip file")]
    {
        if bytes.starts_with(beginning) {
            return Err(format!("{name} is {kind} and no text. Convert or unpack it first."));
        }
    }
    let utf16 = |bytes: &[u8], of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    Ok(match bytes {
        [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes),
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    })
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// A live claim is about it.
    Known,
    /// It lies in a range that a live claim is about.
    Covered,
    /// A mailbox: a live claim is about its domain.
    OfDomain,
    /// A host: a live claim is about a URL there.
    OfUrl,
    /// All claims about it have ended.
    Ended,
    /// Nobody should look for it, for this reason.
    Harmless(&'static str),
    /// No claim is about it.
    Unknown,
}

impl Verdict {
    /// The words of all, the most telling first.
    pub(crate) const WORDS: [&str; 7] =
        ["known", "in range", "its domain is known", "host of a known URL", "ended", "harmless", "unknown"];

    /// Of these, what is known only of something near.
    pub(crate) const NEAR: [&str; 2] = ["its domain is known", "host of a known URL"];

    /// What people read.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Covered => "in range",
            Self::OfDomain => "its domain is known",
            Self::OfUrl => "host of a known URL",
            Self::Ended => "ended",
            Self::Harmless(_) => "harmless",
            Self::Unknown => "unknown",
        }
    }
}

/// A value with what is known of it.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) value: Value,
    pub(crate) verdict: Verdict,
    /// The claims that say so: of it, of the ranges that hold it, of its domain, or of a URL there.
    pub(crate) claims: Vec<Arc<Claim>>,
}

impl Looked {
    /// Why it is harmless, which range or URL it belongs to, or what its first claim links it with: software, actor, or its
    /// tags.
    pub(crate) fn about(&self) -> String {
        if let Verdict::Harmless(reason) = self.verdict {
            return reason.to_owned();
        }
        let Some(claim) = self.claims.first() else { return String::new() };
        if matches!(self.verdict, Verdict::Covered | Verdict::OfUrl) {
            return document::name(&claim.document).to_owned();
        }
        let texts = ["threat.software.name", "threat.group.name", "tags"].map(|path| texts_at(&claim.document, path));
        texts.into_iter().find(|texts| !texts.is_empty()).unwrap_or_default().join(", ")
    }

    /// Who speaks of it, each once.
    pub(crate) fn providers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for claim in &self.claims {
            let name = text_at(&claim.document, "threat.indicator.provider");
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// A stored claim.
#[derive(Debug)]
pub(crate) struct Claim {
    /// `event.id`.
    pub(crate) id: String,
    pub(crate) document: Json,
    pub(crate) is_live: bool,
}

impl Claim {
    fn of(hit: Hit, now: Millis) -> Self {
        let document: Json = serde_json::from_str(&hit.json).unwrap_or_default();
        let is_live = document::is_live(&document, now);
        Self { id: hit.id, document, is_live }
    }
}

/// Looks all of them up.
///
/// # Errors
/// [`CatalogError`] where the catalog cannot be asked.
pub(crate) async fn look_up(
    catalog: &dyn Catalog,
    fields: &Arc<Fields>,
    values: Vec<Value>,
    now: Millis,
) -> Result<Vec<Looked>, CatalogError> {
    let mut known: HashMap<String, Vec<Arc<Claim>>> = HashMap::new();
    for values in values.chunks(ASKED_TOGETHER) {
        let domains = || values.iter().filter_map(|value| value.domain.as_ref());
        let keys = values.iter().map(|value| &value.key).chain(domains().map(|(key, _)| key)).cloned().collect();
        let names: HashSet<String> =
            values.iter().map(|value| &value.name).chain(domains().map(|(_, name)| name)).cloned().collect();
        let either = Predicate::any([
            Predicate::Test(KEY.to_owned(), Test::OneOf(keys)),
            Predicate::Test(NAME.to_owned(), Test::OneOf(names)),
        ]);
        for claim in claims(catalog, fields, either, Among::All, now).await? {
            let claim = Arc::new(claim);
            let (key, name) = (text_at(&claim.document, KEY), document::name(&claim.document));
            // By its key where it has one of ours; the name alone may be another kind's.
            for found in HashSet::from([key.to_owned(), format!("={name}")]) {
                known.entry(found).or_default().push(claim.clone());
            }
        }
    }
    let has_address = values.iter().any(|value| is_within(&value.observable));
    let ranges = if has_address { Ranges::of(catalog, fields, now).await? } else { Ranges::default() };
    let mut looked: Vec<Looked> = values.into_iter().map(|value| judge(value, &known, &ranges)).collect();
    let hosts: HashSet<String> =
        looked.iter().filter(|one| may_be_host(one)).map(|one| one.value.name.clone()).collect();
    let at = if hosts.is_empty() { Vec::new() } else { catalog.urls_at(&hosts, now).await? };
    let at: HashMap<String, Arc<Claim>> =
        at.into_iter().map(|(host, hit)| (host, Arc::new(Claim::of(hit, now)))).collect();
    for one in looked.iter_mut().filter(|one| may_be_host(one)) {
        if let Some(claim) = at.get(&one.value.name) {
            (one.verdict, one.claims) = (Verdict::OfUrl, vec![claim.clone()]);
        }
    }
    Ok(looked)
}

/// Whether a URL there would say more of it than what is known.
fn may_be_host(one: &Looked) -> bool {
    matches!(one.value.observable, Observable::Domain(_) | Observable::Ip(_)) && one.verdict > Verdict::OfUrl
}

fn judge(value: Value, known: &HashMap<String, Vec<Arc<Claim>>>, ranges: &Ranges) -> Looked {
    let by_key = known.get(&value.key);
    let kind = value.observable.shown_type();
    let of_kind = |claim: &&Arc<Claim>| document::kind(&claim.document) == kind;
    let claims: Vec<Arc<Claim>> = match by_key {
        Some(claims) => claims.clone(),
        None => known.get(&format!("={}", value.name)).into_iter().flatten().filter(of_kind).cloned().collect(),
    };
    let (verdict, claims) = if claims.iter().any(|claim| claim.is_live) {
        (Verdict::Known, claims)
    } else {
        let addresses = Some(&value.name).filter(|_| is_within(&value.observable)).and_then(|name| network(name));
        let around = addresses.map(|addresses| ranges.around(addresses)).unwrap_or_default();
        let of_domain = of_domain(&value, known);
        match (around.is_empty(), claims.is_empty(), harmless(&value.observable)) {
            (false, _, _) => (Verdict::Covered, around),
            _ if !of_domain.is_empty() => (Verdict::OfDomain, of_domain),
            (true, false, _) => (Verdict::Ended, claims),
            (true, true, Some(reason)) => (Verdict::Harmless(reason), claims),
            (true, true, None) => (Verdict::Unknown, claims),
        }
    };
    Looked { value, verdict, claims }
}

/// The live claims of a mailbox' domain.
fn of_domain(value: &Value, known: &HashMap<String, Vec<Arc<Claim>>>) -> Vec<Arc<Claim>> {
    let Some((key, name)) = &value.domain else { return Vec::new() };
    let claims = match known.get(key) {
        Some(claims) => claims.clone(),
        None => {
            let of_name = known.get(&format!("={name}")).into_iter().flatten();
            of_name.filter(|claim| document::kind(&claim.document) == "domain-name").cloned().collect()
        }
    };
    claims.into_iter().filter(|claim| claim.is_live).collect()
}

/// The claims that a query finds, what was seen last first.
async fn claims(
    catalog: &dyn Catalog,
    fields: &Arc<Fields>,
    predicate: Predicate,
    among: Among,
    now: Millis,
) -> Result<Vec<Claim>, CatalogError> {
    let last_seen = time_column("threat.indicator.last_seen").unwrap_or_default();
    let question = Question {
        condition: Condition { predicate, fields: fields.clone() },
        among,
        now,
        grouping: Grouping::Claims,
        order: Order { key: SortKey::Time(last_seen), direction: Direction::Descending },
        behind: 0,
        limit: usize::MAX,
        facets: Vec::new(),
        trend: None,
    };
    let mut claims = Vec::new();
    let add = &mut |hit| claims.push(Claim::of(hit, now));
    catalog.stream(&question, add).await?;
    Ok(claims)
}

/// Stored ranges of addresses.
#[derive(Debug, Default)]
struct Ranges {
    /// By where they begin.
    ranges: Vec<Range>,
}

#[derive(Debug)]
struct Range {
    from: u128,
    to: u128,
    /// Where the longest that begins here or before ends.
    reach: u128,
    claim: Arc<Claim>,
}

impl Ranges {
    async fn of(catalog: &dyn Catalog, fields: &Arc<Fields>, now: Millis) -> Result<Self, CatalogError> {
        let columns: Vec<&str> =
            fields.iter().filter(|(_, kind)| *kind == Type::IpRange).map(|(column, _)| column).collect();
        let exists = columns.iter().map(|column| Predicate::Test((*column).to_owned(), Test::Exists));
        let mut ranges = Vec::new();
        for claim in claims(catalog, fields, Predicate::any(exists), Among::Live, now).await? {
            let claim = Arc::new(claim);
            for text in columns.iter().flat_map(|column| texts_at(&claim.document, column)) {
                if let Some((from, to)) = network(text) {
                    ranges.push(Range { from, to, reach: to, claim: claim.clone() });
                }
            }
        }
        Ok(Self::new(ranges))
    }

    /// These, in their order.
    fn new(mut ranges: Vec<Range>) -> Self {
        ranges.sort_by_key(|range| range.from);
        let mut reach = 0;
        for range in &mut ranges {
            reach = range.to.max(reach);
            range.reach = reach;
        }
        Self { ranges }
    }

    /// The claims of the ranges that hold all of these addresses, the narrowest first.
    fn around(&self, (first, last): (u128, u128)) -> Vec<Arc<Claim>> {
        let begun = self.ranges.partition_point(|range| range.from <= first);
        let before = self.ranges.get(..begun).unwrap_or_default().iter().rev();
        let mut around: Vec<&Range> =
            before.take_while(|range| range.reach >= last).filter(|range| range.to >= last).collect();
        around.sort_by_key(|range| range.to - range.from);
        around.into_iter().map(|range| range.claim.clone()).collect()
    }
}

/// Whether ranges may hold it: an address, or a range itself.
fn is_within(observable: &Observable) -> bool {
    matches!(observable, Observable::Ip(_) | Observable::Cidr(_))
}

#[cfg(test)]
mod tests;
