//! What a plan of SOC Defenders allows a day, told from the limit a minute that its answers carry.

use std::time::Duration;

/// Requests a day by requests a minute: Free; Pro as the OpenAPI text has it; everything above.
const PLANS: [(u64, &str, u64); 3] =
    [(10, "Free", 1_000), (100, "Pro", 50_000), (u64::MAX, "Pro or Enterprise", 1_000_000)];

/// A plan and its requests a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) a_day: u64,
}

impl Plan {
    /// The plan with this limit a minute.
    pub(crate) fn of(per_minute: u64) -> Self {
        let (_, name, a_day) =
            PLANS.into_iter().find(|(limit, ..)| per_minute <= *limit).unwrap_or(PLANS[PLANS.len() - 1]);
        Self { name, a_day }
    }
}

/// Polls a day at this interval, each of so many requests.
pub(crate) fn requests_a_day(interval: Duration, a_poll: u64) -> u64 {
    let polls = 24 * 60 * 60 / interval.as_secs().max(1);
    polls.saturating_mul(a_poll)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_by_their_limit() {
        for (per_minute, name, a_day) in
            [(10, "Free", 1_000), (100, "Pro", 50_000), (1_000, "Pro or Enterprise", 1_000_000)]
        {
            assert_eq!(Plan::of(per_minute), Plan { name, a_day });
        }
        assert_eq!(requests_a_day(Duration::from_secs(900), 3), 288);
        assert_eq!(requests_a_day(Duration::from_secs(30), 1), 2_880);
    }
}
