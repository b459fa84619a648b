//! The values as people write them, and their order.

/// The column of `threat.indicator.name`: one text a claim, the first it has.
#[derive(Debug, Default)]
pub(crate) struct NameColumn {
    text: String,
    places: Vec<(u32, u32)>,
    /// Bytes of the text that nobody refers to any more.
    lost: usize,
}

/// The names take more than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The indicators' names take more than 4 GiB; so many are not held in memory.")]
pub struct TooLong;

impl NameColumn {
    /// Gives a claim its name; true if it is another one than before.
    ///
    /// # Errors
    /// [`TooLong`].
    pub(crate) fn put(&mut self, slot: usize, name: &str) -> Result<bool, TooLong> {
        if self.places.get(slot).is_some_and(|_| self.of(slot) == name) {
            return Ok(false);
        }
        if self.lost > self.text.len() / 2 + (1 << 20) {
            self.compact();
        }
        let start = u32::try_from(self.text.len()).map_err(|_| TooLong)?;
        let length = u32::try_from(name.len()).map_err(|_| TooLong)?;
        start.checked_add(length).ok_or(TooLong)?;
        if slot >= self.places.len() {
            self.places.resize(slot + 1, (0, 0));
        }
        self.lost += self.places[slot].1 as usize;
        self.places[slot] = (start, length);
        self.text.push_str(name);
        Ok(true)
    }

    fn compact(&mut self) {
        let mut text = String::with_capacity(self.text.len() - self.lost);
        for place in &mut self.places {
            let (start, length) = (place.0 as usize, place.1 as usize);
            place.0 = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push_str(&self.text[start..start + length]);
        }
        (self.text, self.lost) = (text, 0);
    }

    /// A claim's name; empty where it has none.
    pub(crate) fn of(&self, slot: usize) -> &str {
        let (start, length) = self.places.get(slot).copied().unwrap_or((0, 0));
        self.text.get(start as usize..start as usize + length as usize).unwrap_or_default()
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.places.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_and_what_nobody_has_goes() {
        let mut names = NameColumn::default();
        let name = |slot: usize, round: usize| format!("{}{}", "x".repeat(2_000), slot * 7 + round);
        for round in 0..5 {
            for slot in 0..500 {
                assert!(names.put(slot, &name(slot, round)).unwrap());
                assert!(!names.put(slot, &name(slot, round)).unwrap());
            }
        }
        assert!((0..500).all(|slot| names.of(slot) == name(slot, 4)));
        assert!(names.text.len() < 4_000_000, "{}", names.text.len());
        assert_eq!(names.of(500), "");
    }
}
