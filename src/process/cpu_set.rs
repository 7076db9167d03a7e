//! Lists of processors or memory nodes (`0-3,7`) as masks of any length.

/// The highest number which a list may name: beyond anything that the kernel can be built for.
pub const MAX_INDEX: u32 = 65_535;

/// A list that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no list such as 0-3,7")]
pub struct ListError(String);

/// A set of numbers as a bit mask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet {
    words: Vec<u64>,
}

impl CpuSet {
    /// Reads a list: numbers and ranges between commas, white space around them allowed; an empty list
    /// is the empty set.
    pub fn parse(list: &str) -> Result<Self, ListError> {
        let mut set = Self::default();
        for part in list.split(',').map(str::trim) {
            if part.is_empty() && list.trim().is_empty() {
                break;
            }
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            match (number(from.trim()), number(to.trim())) {
                (Some(from), Some(to)) if from <= to => (from..=to).for_each(|n| set.insert(n)),
                _ => return Err(ListError(list.to_owned())),
            }
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

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    /// The numbers, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let bits = |(i, w): (usize, &u64)| {
            let w = *w;
            (0..64u32).filter(move |b| w >> b & 1 == 1).map(move |b| i as u32 * 64 + b)
        };
        self.words.iter().enumerate().flat_map(bits)
    }

    /// The mask as the kernel reads it (an array of `unsigned long`), for sched_setaffinity(2) and
    /// set_mempolicy(2); a whole number of 8-byte words.
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

fn number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|n| *n <= MAX_INDEX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let of = |list: &str| CpuSet::parse(list).unwrap().iter().collect::<Vec<_>>();
        assert_eq!(of("0-3,7"), [0, 1, 2, 3, 7]);
        assert_eq!(of("0, 2"), [0, 2]);
        assert_eq!(of("1\n"), [1]);
        assert_eq!(of("64,1023"), [64, 1023]);
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
