//! What mapping costs: fuel, which is the same on every machine, and time, which is this machine's.

use std::time::Duration;

use serde::Serialize;

use tipline_sandbox::Cost;

/// One guest's calls.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Calls {
    /// Fuel of all calls.
    pub fuel: u64,
    /// Records of all calls.
    pub records: u64,
    /// Bytes of documents given back.
    pub bytes: u64,
    /// The largest linear memory.
    pub peak_memory: u64,
    /// Time of all calls.
    pub seconds: f64,
    /// The median and the 99th percentile of a page's time, in milliseconds.
    pub page_ms: (f64, f64),
    /// The median and the 99th percentile of a page's fuel.
    pub page_fuel: (u64, u64),
    #[serde(skip)]
    pages: Vec<(u64, Duration)>,
}

/// Both guests'.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Costs {
    /// The base's.
    pub base: Calls,
    /// The candidate's.
    pub candidate: Calls,
}

impl Calls {
    pub(super) fn add(&mut self, cost: Cost, time: Duration, records: u32, bytes: usize) {
        self.fuel += cost.fuel;
        self.records += u64::from(records);
        self.bytes += bytes as u64;
        self.peak_memory = self.peak_memory.max(cost.peak_memory);
        self.pages.push((cost.fuel, time));
    }

    fn merge(&mut self, other: Self) {
        self.fuel += other.fuel;
        self.records += other.records;
        self.bytes += other.bytes;
        self.peak_memory = self.peak_memory.max(other.peak_memory);
        self.pages.extend(other.pages);
    }

    fn settle(&mut self) {
        let (mut fuel, mut times): (Vec<u64>, Vec<Duration>) = self.pages.drain(..).unzip();
        self.seconds = times.iter().sum::<Duration>().as_secs_f64();
        fuel.sort_unstable();
        times.sort_unstable();
        let at = |count: usize, percent: usize| (count * percent).div_ceil(100).saturating_sub(1);
        let ms = |percent| times.get(at(times.len(), percent)).map_or(0.0, |time| time.as_secs_f64() * 1_000.0);
        let units = |percent| fuel.get(at(fuel.len(), percent)).copied().unwrap_or(0);
        self.page_ms = (ms(50), ms(99));
        self.page_fuel = (units(50), units(99));
    }

    /// Fuel a record.
    pub fn fuel_a_record(&self) -> Option<f64> {
        (self.records > 0).then(|| self.fuel as f64 / self.records as f64)
    }
}

impl Costs {
    pub(super) fn merge(&mut self, other: Self) {
        self.base.merge(other.base);
        self.candidate.merge(other.candidate);
    }

    pub(super) fn settle(&mut self) {
        self.base.settle();
        self.candidate.settle();
    }

    /// How many per cent more fuel a record costs with the candidate.
    pub fn growth(&self) -> Option<f64> {
        let base = self.base.fuel_a_record().filter(|fuel| *fuel > 0.0)?;
        Some((self.candidate.fuel_a_record()? / base - 1.0) * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_growth() {
        let mut costs = Costs::default();
        for page in 1..=100 {
            let time = Duration::from_millis(page);
            costs.base.add(Cost { fuel: page, peak_memory: page }, time, 1, 10);
            costs.candidate.add(Cost { fuel: 2 * page, peak_memory: 1 }, time, 1, 10);
        }
        costs.settle();
        assert_eq!(costs.base.page_fuel, (50, 99));
        assert_eq!(costs.base.page_ms, (50.0, 99.0));
        assert_eq!((costs.base.peak_memory, costs.growth()), (100, Some(100.0)));
        assert_eq!(Costs::default().growth(), None);
    }
}
