//! The addresses of claims. Looking through a million takes a millisecond, so they are in no order.

use std::net::IpAddr;

use hashbrown::HashMap;

use crate::bits::Bits;

/// The column of `threat.indicator.ip`.
#[derive(Debug, Default)]
pub(crate) struct AddressColumn {
    /// The only address of a claim, where that is of IPv4.
    four: Vec<u32>,
    has_four: Bits,
    /// What any other claim has that has one.
    others: HashMap<u32, Box<[u128]>>,
}

/// An address as a number; IPv4 and its form mapped into IPv6 are one, as in Elasticsearch.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().to_bits(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// Where IPv4 lies in IPv6.
const MAPPED: u128 = 0xffff << 32;

impl AddressColumn {
    /// Gives a claim its addresses, by [`number`].
    pub(crate) fn put(&mut self, slot: usize, addresses: &[u128]) {
        let key = u32::try_from(slot).unwrap_or(u32::MAX);
        if slot >= self.four.len() {
            self.four.resize(slot + 1, 0);
            self.has_four.grow(slot + 1);
        }
        let only_four = match addresses {
            [only] if only & !0xffff_ffff == MAPPED => Some((only & 0xffff_ffff) as u32),
            _ => None,
        };
        self.has_four.set(slot, only_four.is_some());
        self.four[slot] = only_four.unwrap_or(0);
        match addresses {
            several @ [_, ..] if only_four.is_none() => {
                self.others.insert(key, several.into());
            }
            _ => {
                self.others.remove(&key);
            }
        }
    }

    /// The claims of so many with an address from the first to the last.
    pub(crate) fn between(&self, slots: usize, first: u128, last: u128) -> Bits {
        let mut found = Bits::none(slots);
        if first <= MAPPED + u128::from(u32::MAX) && last >= MAPPED {
            // Clamped to IPv4's own range, the differences fit.
            let from = u32::try_from(first.saturating_sub(MAPPED)).unwrap_or(u32::MAX);
            let to = u32::try_from(last - MAPPED).unwrap_or(u32::MAX);
            found = Bits::of(slots, |slot| self.four.get(slot).is_some_and(|four| (from..=to).contains(four)))
                .and(&padded(&self.has_four, slots));
        }
        for (slot, addresses) in &self.others {
            if addresses.iter().any(|address| (first..=last).contains(address)) {
                found.set(*slot as usize, true);
            }
        }
        found
    }

    /// The claims of so many with any address.
    pub(crate) fn any(&self, slots: usize) -> Bits {
        let mut found = padded(&self.has_four, slots);
        self.others.keys().for_each(|slot| found.set(*slot as usize, true));
        found
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.four.capacity() * 4 + self.others.capacity() * 48
    }
}

fn padded(bits: &Bits, length: usize) -> Bits {
    let mut bits = bits.clone();
    bits.grow(length);
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_by_number_whatever_their_form() {
        let mut column = AddressColumn::default();
        let claims: [&[&str]; 6] = [
            &["198.51.100.7"],
            &[],
            &["2001:db8::1"],
            &["198.51.100.9", "2001:db8::2"],
            &["::ffff:198.51.100.7"],
            &["::1"],
        ];
        let numbers = |texts: &[&str]| texts.iter().map(|text| number(text.parse().unwrap())).collect::<Vec<_>>();
        for (slot, texts) in claims.iter().enumerate() {
            column.put(slot, &numbers(&["203.0.113.1", "203.0.113.2"]));
            column.put(slot, &numbers(texts));
        }
        for (first, last, wanted) in [
            ("198.51.100.7", "198.51.100.7", vec![0, 4]),
            ("198.51.100.0", "198.51.100.255", vec![0, 3, 4]),
            ("2001:db8::", "2001:db8::ffff", vec![2, 3]),
            ("::", "::ffff:ffff:ffff:ffff", vec![0, 3, 4, 5]),
            ("::", "::2", vec![5]),
            ("203.0.113.0", "203.0.113.255", vec![]),
        ] {
            let (first, last) = (number(first.parse().unwrap()), number(last.parse().unwrap()));
            assert_eq!(column.between(6, first, last).iter().collect::<Vec<_>>(), wanted);
        }
        assert_eq!(column.any(6).iter().collect::<Vec<_>>(), [0, 2, 3, 4, 5]);
    }
}
