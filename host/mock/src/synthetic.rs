//! Any number of different records, each made from its number when it is asked for.
//!
//! A million records take no memory and cost well under a microsecond each, so that a measurement measures its client.
//! Values are valid and unique up to [`MOST`]; techniques are left out, as there are too few of them. Names, mail
//! addresses and IPv6 addresses are from the ranges kept for documentation; IPv4 has none that is large enough, so
//! they are from 11.0.0.0/8, which is not routed publicly.

use tipline_model::clock::Millis;

/// The most synthetic records: beyond this IPv4 addresses would repeat.
pub const MOST: u64 = 1 << 24;

/// Types by a record's number modulo their count, roughly as often as a feed has them.
const KINDS: [&str; 20] = [
    "ipv4", "domain", "sha256", "url", "ipv4", "domain", "md5", "sha256", "ipv4", "url", "domain", "sha1", "ipv4",
    "email", "sha256", "url", "domain", "ipv6", "cve", "sha512",
];
const CATEGORIES: [&str; 3] = ["community", "commercial", "government"];
const CONFIDENCES: [&str; 3] = ["high", "medium", "low"];
/// Records without a date are spread over this time, so that a first poll that looks back a day sees all of them.
pub const SPREAD_HOURS: u64 = 20;

const SPREAD: u64 = SPREAD_HOURS * 3_600_000;

/// Records by number; number 0 is the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Synthetic {
    count: u64,
    seed: u64,
    newest: Millis,
}

impl Synthetic {
    pub(super) fn new(count: u64, seed: u64) -> Self {
        Self { count: count.min(MOST), seed, newest: 0 }
    }

    pub(super) fn placed(self, newest: Millis) -> Self {
        Self { newest, ..self }
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }

    pub(super) fn updated(&self, number: u64) -> Millis {
        // 2^24 records times 72,000,000 ms fits in 64 bits.
        self.newest.saturating_sub(number.saturating_mul(SPREAD) / self.count.max(1))
    }

    pub(super) fn kind(number: u64) -> &'static str {
        pick(&KINDS, number)
    }

    pub(super) fn category(number: u64) -> &'static str {
        pick(&CATEGORIES, number / 7)
    }

    pub(super) fn confidence(number: u64) -> &'static str {
        pick(&CONFIDENCES, number / 3)
    }

    /// How many sources there are.
    pub(super) const SOURCES: u64 = 12;

    /// The source of a record, by the number of either.
    pub(super) fn source(number: u64) -> String {
        format!("Synthetic source {}", number % Self::SOURCES)
    }

    /// The parts of a record that are text, as [`Synthetic::push`] writes them.
    pub(super) fn parts(&self, number: u64) -> Parts {
        let (a, b) = (mix(self.seed ^ number), mix(self.seed.wrapping_add(1) ^ number));
        let (mut id, mut value) = (String::with_capacity(36), String::with_capacity(128));
        push_uuid(&mut id, u128::from(a) << 64 | u128::from(b));
        push_value(&mut value, Self::kind(number), number, a, b);
        let campaign = (number % 5_000).to_string();
        Parts {
            id,
            value,
            first_seen: self.updated(number).saturating_sub(a % 30 * 86_400_000),
            article_url: format!("https://feed.example.org/item/a{campaign}"),
            context: format!("Seen with campaign {campaign} by a sensor"),
            tag: format!("campaign-{campaign}"),
        }
    }

    /// Writes a record as JSON.
    pub(super) fn push(&self, out: &mut String, number: u64) {
        let (a, b) = (mix(self.seed ^ number), mix(self.seed.wrapping_add(1) ^ number));
        let kind = Self::kind(number);
        out.push_str("{\"id\":\"");
        push_uuid(out, u128::from(a) << 64 | u128::from(b));
        out.push_str("\",\"type\":\"");
        out.push_str(kind);
        out.push_str("\",\"value\":\"");
        push_value(out, kind, number, a, b);
        out.push_str("\",\"confidence\":\"");
        out.push_str(Self::confidence(number));
        let last = self.updated(number);
        out.push_str("\",\"first_seen\":\"");
        push_iso(out, last.saturating_sub(a % 30 * 86_400_000));
        out.push_str("\",\"last_seen\":\"");
        push_iso(out, last);
        out.push_str("\",\"source\":{\"article_id\":\"a");
        push_number(out, number % 5_000);
        out.push_str("\",\"article_title\":\"Infrastructure of campaign ");
        push_number(out, number % 5_000);
        out.push_str("\",\"article_url\":\"https://feed.example.org/item/a");
        push_number(out, number % 5_000);
        out.push_str("\",\"reference_url\":null,\"feed_name\":\"Synthetic source ");
        push_number(out, number % Self::SOURCES);
        out.push_str("\",\"category\":\"");
        out.push_str(Self::category(number));
        out.push_str("\",\"origin\":\"feed\"},\"context\":\"Seen with campaign ");
        push_number(out, number % 5_000);
        out.push_str(" by a sensor\",\"tags\":[\"synthetic\",\"campaign-");
        push_number(out, number % 5_000);
        out.push_str("\"],\"mitre_techniques\":[\"T1071\",\"T1059.001\"]}");
    }
}

/// What differs from record to record.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) id: String,
    pub(super) value: String,
    pub(super) first_seen: Millis,
    pub(super) article_url: String,
    pub(super) context: String,
    pub(super) tag: String,
}

fn push_value(out: &mut String, kind: &str, number: u64, a: u64, b: u64) {
    match kind {
        "ipv4" => {
            // An odd factor permutes the numbers below 2^24.
            let host = number.wrapping_mul(0x9e_3779) & 0xff_ffff;
            out.push_str("11.");
            push_number(out, host >> 16);
            out.push('.');
            push_number(out, host >> 8 & 0xff);
            out.push('.');
            push_number(out, host & 0xff);
        }
        "ipv6" => {
            out.push_str("2001:db8:");
            // Leading ones keep every group at four digits, which is how addresses are compared by eye.
            push_hex(out, number >> 12 | 0x1000, 4);
            out.push_str("::");
            push_hex(out, number & 0xfff | 0x1000, 4);
        }
        "domain" => {
            push_hex(out, a, 8);
            out.push('-');
            push_number(out, number);
            out.push_str(".c2.example.com");
        }
        "url" => {
            out.push_str("http://");
            push_hex(out, a, 8);
            out.push_str(".example.net/");
            push_number(out, number);
            out.push_str("/payload.bin?k=");
            push_hex(out, b, 12);
        }
        "email" => {
            out.push_str("sender");
            push_number(out, number);
            out.push_str("@mail.example.org");
        }
        "cve" => {
            out.push_str("CVE-2099-");
            push_number(out, 100_000 + number);
        }
        hash => {
            let digits = match hash {
                "md5" => 32,
                "sha1" => 40,
                "sha512" => 128,
                _ => 64,
            };
            // The number itself first, so that no two are equal.
            push_hex(out, number, 8);
            let (mut left, mut word) = (digits - 8, a);
            while left > 0 {
                push_hex(out, word, left.min(16));
                left -= left.min(16);
                word = mix(word ^ b);
            }
        }
    }
}

/// A UUID of version 8 (the maker's own way) and the standard's variant.
pub(super) fn push_uuid(out: &mut String, bits: u128) {
    push_uuid_of(out, bits, 8);
}

/// A UUID of this version and the standard's variant.
pub(super) fn push_uuid_of(out: &mut String, bits: u128, version: u64) {
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    let (high, low) = (high & !0xf000 | version << 12, low << 2 >> 2 | 1 << 63);
    for (number, digits) in [(high >> 32, 8), (high >> 16, 4), (high, 4), (low >> 48, 4)] {
        push_hex(out, number, digits);
        out.push('-');
    }
    push_hex(out, low, 12);
}

/// The last `digits` hexadecimal digits of a number, at most 16.
fn push_hex(out: &mut String, number: u64, digits: usize) {
    push_digits::<16>(out, number, digits);
}

fn push_number(out: &mut String, number: u64) {
    let digits = number.checked_ilog10().map_or(1, |log| log as usize + 1);
    push_digits::<10>(out, number, digits);
}

/// The last `digits` digits of a number, filled with zeros. The formatter of the standard library would take half the
/// time of a record.
fn push_digits<const BASE: u64>(out: &mut String, mut number: u64, digits: usize) {
    let mut text = [b'0'; 20];
    for place in text.iter_mut().rev().take(digits) {
        *place = b"0123456789abcdef".get((number % BASE) as usize).copied().unwrap_or(b'0');
        number /= BASE;
    }
    let from = text.len().saturating_sub(digits);
    out.push_str(text.get(from..).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default());
}

/// `2024-12-09T10:30:00Z`; a formatter for any format costs more than the rest of a record.
pub(super) fn push_iso(out: &mut String, at: Millis) {
    push_second(out, at);
    out.push('Z');
}

/// The same with so many digits of a second, at least three.
pub(super) fn push_iso_fraction(out: &mut String, at: Millis, digits: usize) {
    push_second(out, at);
    out.push('.');
    push_digits::<10>(out, at % 1_000, 3);
    for _ in 3..digits {
        out.push('0');
    }
    out.push('Z');
}

fn push_second(out: &mut String, at: Millis) {
    let seconds = at / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01 into years of 400, 100, 4 and 1; March first puts the leap day last.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    push_digits::<10>(out, era * 400 + year + u64::from(month <= 2), 4);
    for (mark, part) in [
        ('-', month),
        ('-', day - (153 * march + 2) / 5 + 1),
        ('T', second / 3_600),
        (':', second / 60 % 60),
        (':', second % 60),
    ] {
        out.push(mark);
        push_digits::<10>(out, part, 2);
    }
}

fn pick<const N: usize>(from: &'static [&'static str; N], number: u64) -> &'static str {
    from.get((number % N as u64) as usize).copied().unwrap_or_default()
}

/// Mixes the bits of a number (splitmix64).
fn mix(number: u64) -> u64 {
    let n = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}
