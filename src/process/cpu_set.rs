//! Lists of CPUs or memory nodes (`0-3,7`) as bit masks.

use crate::bundle::parse_id_list;

/// A list that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list such as 0-3,7")]
pub struct ListError(String);

/// A set of numbers as a bit mask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet {
    words: Vec<u64>,
}

impl CpuSet {
    /// Reads a list such as `0-3,7`; see [`parse_id_list`]. An empty list is the empty set.
    ///
    /// # Errors
    /// If it is not such a list.
    pub fn parse(list: &str) -> Result<Self, ListError> {
        let mut set = Self::default();
        if !list.trim().is_empty() {
            let ranges = parse_id_list(list).map_err(|_| ListError(list.to_owned()))?;
            ranges.into_iter().flatten().for_each(|number| set.insert(number));
        }
        Ok(set)
    }

    /// Adds one number.
    pub fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (number % 64);
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    /// The numbers, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let bits = |(i, w): (usize, &u64)| {
            let w = *w;
            (0..64u32).filter(move |b| w >> b & 1 == 1).map(move |b| i as u32 * 64 + b)
        };
        self.words.iter().enumerate().flat_map(bits)
    }

    /// The mask as sched_setaffinity(2) and set_mempolicy(2) read it: an array of `unsigned long`, whose size is a
    /// multiple of 8 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        if cfg!(target_pointer_width = "64") || cfg!(target_endian = "little") {
            self.words.iter().flat_map(|w| w.to_ne_bytes()).collect()
        } else {
            self.words
                .iter()
                .flat_map(|w| [*w as u32, (*w >> 32) as u32])
                .flat_map(u32::to_ne_bytes)
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_masks() {
        let numbers = |list: &str| CpuSet::parse(list).unwrap().iter().collect::<Vec<_>>();
        assert_eq!(numbers("0-3,7"), [0, 1, 2, 3, 7]);
        assert_eq!(numbers("0, 2"), [0, 2]);
        assert_eq!(numbers("1\n"), [1]);
        assert_eq!(numbers("64,1023"), [64, 1023]);
        assert!(CpuSet::parse("").unwrap().is_empty());
        assert_eq!(
            CpuSet::parse("65,0").unwrap().to_bytes(),
            [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
        );
        for bad in ["a", "1-", "-1", "3-1", "1,,2", "+1", "1,", "99999999999", "65536", "0x1", ","] {
            assert!(CpuSet::parse(bad).is_err(), "{bad:?}");
        }
    }
}
