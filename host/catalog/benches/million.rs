//! A million claims in memory: how long it takes to fill, how much it holds, and how long questions take.
//!
//! `cargo bench -p tipline-catalog --bench million -- [CLAIMS]`. The claims are made up as feeds are: skewed providers, tags
//! and descriptions, five claims for four values.

use std::fmt::Write as _;
use std::time::Instant;

use fastrand::Rng;
use tipline_catalog::{
    Bits, Columns, Direction, Grouping, Order, Over, SortKey, TIMES, WORDS, time_column, word_column,
};
use tipline_kql::{Fields, parse, resolve};

/// What the page counts.
const FACETS: [&str; 8] = [
    "threat.indicator.type",
    "threat.feed.name",
    "threat.indicator.provider",
    "threat.indicator.confidence",
    "threat.indicator.marking.tlp",
    "tags",
    "threat.software.name",
    "threat.group.name",
];

const TAGS: usize = 300;
const PROVIDERS: usize = 40;
const ROUNDS: usize = 7;

/// One of so many, the first far more often than the last.
fn skewed(random: &mut Rng, of: usize) -> usize {
    let x = random.f64();
    ((x * x * x) * of as f64) as usize
}

fn date(random: &mut Rng) -> String {
    let (month, day) = (random.u32(1..=11), random.u32(1..=28));
    format!("2026-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", random.u32(0..24), random.u32(0..60), random.u32(0..60))
}

fn document(random: &mut Rng, number: usize, values: usize) -> (String, String) {
    let value = if number < values { number } else { random.usize(0..values) };
    let mut own = Rng::with_seed(value as u64);
    let mut fields = String::new();
    let (kind, name) = match own.u32(0..10) {
        0..3 => {
            let name = std::net::Ipv4Addr::from_bits(own.u32(..)).to_string();
            let _ = write!(fields, "\"ip\":\"{name}\",");
            ("ipv4-addr", name)
        }
        3..6 => {
            let name = format!("{:x}.{}.example", own.u64(..), ["bad", "cdn", "mail", "login"][own.usize(0..4)]);
            let _ = write!(
                fields,
                "\"url\":{{\"domain\":\"{name}\",\"registered_domain\":\"{name}\",\"top_level_domain\":\"example\"}},"
            );
            ("domain-name", name)
        }
        6..8 => {
            let (host, path) = (format!("{:x}.example", own.u64(..)), format!("/{:x}/gate.php", own.u32(..)));
            let name = format!("https://{host}{path}");
            let _ = write!(
                fields,
                "\"url\":{{\"full\":\"{name}\",\"original\":\"{name}\",\"scheme\":\"https\",\"domain\":\"{host}\",\"path\":\"{path}\",\"registered_domain\":\"{host}\",\"top_level_domain\":\"example\",\"extension\":\"php\"}},"
            );
            ("url", name)
        }
        _ => {
            let name: String = (0..4).map(|_| format!("{:016x}", own.u64(..))).collect();
            let _ = write!(fields, "\"file\":{{\"hash\":{{\"sha256\":\"{name}\"}}}},");
            ("file", name)
        }
    };
    let campaign = skewed(random, 5_000);
    let tags: Vec<String> = (0..random.usize(1..5)).map(|_| format!("\"tag-{}\"", skewed(random, TAGS))).collect();
    let id = format!("{:016x}{:016x}{:08x}", random.u64(..), random.u64(..), random.u32(..));
    let json = format!(
        "{{\"@timestamp\":\"{observed}\",\"event\":{{\"kind\":\"enrichment\",\"category\":[\"threat\"],\"type\":[\"indicator\"],\"id\":\"{id}\"}},\
         \"threat\":{{\"feed\":{{\"name\":\"SOC Defenders\"}},\"software\":{{\"name\":\"Malware {campaign}\"}},\"indicator\":{{\"type\":\"{kind}\",\"name\":\"{name}\",{fields}\
         \"provider\":\"Provider {provider}\",\"confidence\":\"{confidence}\",\"marking\":{{\"tlp\":\"{tlp}\"}},\
         \"description\":\"Seen in campaign {campaign} against {sector} by {actor}, delivered as {lure} on {day}.\",\
         \"first_seen\":\"{first}\",\"last_seen\":\"{last}\"}}}},\"tags\":[{tags}],\
         \"tipline\":{{\"key\":\"{value:040x}\",\"observed_at\":\"{observed}\",\"expires_at\":\"{ends}\",\"input\":\"socdefenders\"}}}}",
        observed = format_args!("2026-11-{:02}T10:00:00Z", skewed(random, 27) + 1),
        provider = skewed(random, PROVIDERS),
        confidence = ["High", "Medium", "Low", "Not Specified"][skewed(random, 4)],
        tlp = ["GREEN", "CLEAR", "AMBER", "RED"][skewed(random, 4)],
        sector = ["banks", "hospitals", "universities", "energy suppliers"][random.usize(0..4)],
        actor = format_args!("group {}", campaign % 97),
        lure = ["an invoice", "a fax", "an update", "a voice message"][random.usize(0..4)],
        day = campaign % 28 + 1,
        first = date(random),
        last = date(random),
        ends = format_args!("2027-{:02}-{:02}T00:00:00Z", random.u32(1..=12), random.u32(1..=28)),
        tags = tags.join(","),
    );
    (id, json)
}

fn fields() -> Fields {
    let keywords = WORDS.iter().map(|path| (*path, "keyword"));
    let dates = TIMES.iter().map(|path| (*path, "date"));
    let others = [
        ("threat.indicator.name", "keyword"),
        ("threat.indicator.ip", "ip"),
        ("threat.indicator.description", "keyword"),
        ("threat.indicator.url.domain", "keyword"),
        ("threat.indicator.url.path", "wildcard"),
        ("threat.indicator.file.hash.sha256", "keyword"),
        ("socdefenders.ioc.cidr", "ip_range"),
        ("tipline.search", "wildcard"),
    ];
    Fields::new(keywords.chain(dates).chain(others))
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// The median and the longest of some rounds, in milliseconds.
fn timed<T>(name: &str, mut work: impl FnMut() -> T) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            std::hint::black_box(work());
            begin.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<60} {:>8.1} ms  (longest {:.1})", rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
}

fn main() {
    let claims = std::env::args().filter_map(|argument| argument.parse().ok()).next_back().unwrap_or(1_000_000);
    let fields = fields();
    let mut columns = Columns::new(&fields);
    let mut random = Rng::with_seed(1);
    let before = resident();
    let mut filling = std::time::Duration::ZERO;
    for number in 0..claims {
        let (id, json) = document(&mut random, number, claims / 5 * 4);
        let begin = Instant::now();
        columns.put(u32::try_from(number).unwrap_or(u32::MAX), &id, &json).expect("a document");
        filling += begin.elapsed();
    }
    let begin = Instant::now();
    columns.settle();
    println!(
        "{claims} claims filled in {:.2} s, names sorted in {:.2} s",
        filling.as_secs_f64(),
        begin.elapsed().as_secs_f64()
    );
    println!(
        "{} MB by its own account, {} MB resident",
        columns.bytes() / 1_000_000,
        (resident() - before) / 1_000_000
    );
    let now = 1_795_000_000_000;
    let scope = columns.stored().clone();
    let find = |text: &str, grouping| {
        let query = resolve(&parse(text).expect(text), &fields, now).expect(text);
        columns.find(&query, &fields, &scope, grouping)
    };
    for grouping in [Grouping::Claims, Grouping::Values] {
        println!("-- {grouping:?}");
        for text in [
            "",
            "type: url",
            "provider: \"Provider 3\" and not tag: tag-7",
            "value: 198.51.100.7",
            "value: *.bad.example",
            "threat.indicator.ip: 198.51.0.0/16",
            "last_seen > now-7d and confidence >= medium",
            "campaign 77",
            "\"against banks\" or hxxps",
            "threat.indicator.url.domain: deadbeef.example",
        ] {
            let found = find(text, grouping);
            timed(&format!("{text:?}: {} of {} undecided", found.yes.count(), found.undecided().count()), || {
                find(text, grouping)
            });
        }
        let all = find("", grouping).yes;
        for key in (0..WORDS.len())
            .map(SortKey::Word)
            .chain((0..TIMES.len()).map(SortKey::Time))
            .chain([SortKey::Name, SortKey::Claims])
        {
            let order = Order { key, direction: Direction::Descending };
            timed(&format!("first page by {:?}", key.field()), || columns.page(&all, &scope, grouping, order, 0, 50));
            timed(&format!("behind half by {:?}", key.field()), || {
                columns.page(&all, &scope, grouping, order, claims / 2, 50)
            });
        }
        let columns_of = |paths: &[&str]| paths.iter().map(|path| word_column(path).expect(path)).collect::<Vec<_>>();
        for path in ["tags", "threat.software.name", "threat.indicator.provider"] {
            let counted = columns_of(&[path]);
            timed(&format!("facet of {path}"), || columns.facets(&all, &scope, grouping, &counted));
        }
        let counted = columns_of(&FACETS);
        timed("the page's facets", || columns.facets(&all, &scope, grouping, &counted));
    }
    let (time, column) =
        (time_column("threat.indicator.last_seen").expect("a time"), word_column("tags").expect("a column"));
    let over = Over { time, from: 1_767_225_600_000, to: 1_798_761_600_000, interval: 31_536_000_000 / 60 };
    let all: Bits = scope.clone();
    timed("trend of tags over a year", || columns.trend(&all, &over, column, 10));
}
