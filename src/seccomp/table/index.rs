//! From the name of a system call to its row in the table.

use super::compact_number::NONE;
use super::names::NAMES;

const BUCKETS: usize = 2048;

/// An open-addressed hash table of the names, built at compile time.
static INDEX: [u16; BUCKETS] = index();

const fn hash(name: &[u8]) -> usize {
    let mut h: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < name.len() {
        h = (h ^ name[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    (h ^ (h >> 15)) as usize % BUCKETS
}

const fn index() -> [u16; BUCKETS] {
    let mut table = [NONE; BUCKETS];
    let mut i = 0;
    while i < NAMES.len() {
        let mut at = hash(NAMES[i].as_bytes());
        while table[at] != NONE {
            at = (at + 1) % BUCKETS;
        }
        table[at] = i as u16;
        i += 1;
    }
    table
}

/// The row of a name; `None` if no architecture has such a call.
pub(in crate::seccomp) fn row(name: &str) -> Option<u16> {
    let mut at = hash(name.as_bytes());
    loop {
        match INDEX[at] {
            NONE => return None,
            row if NAMES[row as usize] == name => return Some(row),
            _ => at = (at + 1) % BUCKETS,
        }
    }
}

/// The name in a row.
pub(in crate::seccomp) fn name(row: u16) -> &'static str {
    NAMES[row as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_its_row() {
        for (i, name) in NAMES.iter().enumerate() {
            assert_eq!(row(name), Some(i as u16), "{name}");
        }
        assert_eq!(row("no_such_call"), None);
        assert_eq!(row(""), None);
        assert!(NAMES.is_sorted());
    }
}
