//! What two clocks say of one moment, and what a clock that is set does to a time.

use serde_json::Value;

use crate::members::{Members, number};
use tipline_ecs::key;
use tipline_ecs::time::Millis;
use tipline_ecs::{Json, Key};

/// What two clocks said at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    pub(super) feed: Millis,
    pub(super) ours: Millis,
}

impl Clocks {
    /// What the feed's clock should say at `now`, if both went on as they were. Time has not gone back, whatever ours says:
    /// where both were set back, the feed's shows it.
    pub(super) fn expected(self, now: Millis) -> Millis {
        self.feed.saturating_add(now.saturating_sub(self.ours))
    }

    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let mut from = Members::of(value)?;
        let clocks = Self { feed: number(from.needed("feed")?)?, ours: number(from.needed("ours")?)? };
        from.finish()?;
        Ok(clocks)
    }

    pub(super) fn write(self, key: Key, out: &mut Json) {
        let object = out.open(key);
        out.number(key!("feed"), self.feed);
        out.number(key!("ours"), self.ours);
        out.close(object);
    }
}

/// A time on a clock that was set from one time to another.
pub(super) fn shifted(time: Millis, from: Millis, to: Millis) -> Millis {
    time.saturating_add(to).saturating_sub(from)
}
