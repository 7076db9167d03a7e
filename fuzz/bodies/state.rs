//! A journal of any bytes: reading it gives the last complete entries, an incomplete entry changes nothing, and what is
//! written is read back.
//!
//! Its parent module has `journal` and `StateRecord`: it is `container` in the library's own tests, and a module with the
//! same files in the fuzz target.

use super::{StateRecord, journal};
use crate::sys;
use std::fs::File;
use std::io::{Seek, Write};

/// One run of the target `state`: the bytes as a journal, and as a recipe for one.
pub(crate) fn run(data: &[u8]) {
    check(data);
    check(&recipe(data));
}

/// An entry, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry<'a> {
    Record(&'a [u8]),
    Config(&'a [u8], &'a [u8]),
    Limits(&'a [u8]),
}

/// The content of a journal after a number of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said<'a> {
    record: Option<&'a [u8]>,
    config: Option<&'a [u8]>,
    policy: Option<&'a [u8]>,
    limits: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    fn then(mut self, entry: Entry<'a>) -> Self {
        match entry {
            Entry::Record(json) => self.record = Some(json),
            Entry::Config(config, policy) => {
                self.config = Some(config);
                self.policy = Some(policy).filter(|policy| !policy.is_empty());
            }
            Entry::Limits(json) => self.limits = Some(json),
        }
        self
    }

    fn of(bytes: &'a [u8]) -> Self {
        let journal::Journal { record, config, policy, limits } = journal::parse(bytes);
        Self { record, config, policy, limits }
    }
}

/// The first entry, and what follows it; `None` if it is not complete.
fn entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
    if let Some(sizes) = line.strip_prefix(b"#config ") {
        let mut sizes = std::str::from_utf8(sizes).ok()?.splitn(2, ' ').map(str::parse::<usize>);
        let (config, policy) = (sizes.next()?.ok()?, sizes.next()?.ok()?);
        let end = config.checked_add(1)?.checked_add(policy)?;
        let behind = rest.get(end.checked_add(1)?..)?;
        return Some((Entry::Config(&rest[..config], &rest[config + 1..end]), behind));
    }
    let entry = line.strip_prefix(b"#limits ").map_or(Entry::Record(line), Entry::Limits);
    Some((entry, rest))
}

fn check(bytes: &[u8]) {
    // The content after each entry, and the entry's end.
    let mut steps = vec![(0, Said::default())];
    let mut rest = bytes;
    while let Some((entry, behind)) = entry(rest) {
        rest = behind;
        let said = steps.last().map_or_else(Said::default, |(_, said)| *said);
        steps.push((bytes.len() - rest.len(), said.then(entry)));
    }
    for cut in cuts(bytes.len()) {
        let (end, said) = *steps.iter().rfind(|(end, _)| *end <= cut).unwrap_or(&steps[0]);
        let left = &bytes[end..cut];
        // The only record may be truncated, and is still checked: it may be empty, but it is not another entry.
        let first = said.record.is_none() && !left.is_empty() && left[0] != b'#' && !left.contains(&b'\n');
        let expected = if first { Said { record: Some(left), ..said } } else { said };
        assert_eq!(Said::of(&bytes[..cut]), expected, "cut to {cut} bytes");
    }
    in_parts(bytes, steps.last().and_then(|(_, said)| said.record));
    if let Some(record) = journal::parse(bytes).record {
        comes_back(record);
    }
}

/// All lengths of a short text, some of a long one.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let step = (length / 64).max(1);
    (0..length).step_by(step).chain(length.saturating_sub(3)..=length)
}

/// The record is the same if only the bytes that it needs are read from the file.
fn in_parts(bytes: &[u8], complete: Option<&[u8]>) {
    let memory = sys::memfd::memfd_create(c"journal", 0).unwrap_or_else(|e| panic!("memfd_create: {e}"));
    let mut file = File::from(memory);
    file.write_all(bytes).and_then(|()| file.rewind()).unwrap_or_else(|e| panic!("write: {e}"));
    let mut buffer = Vec::new();
    let found = journal::read_record(file.into(), &mut buffer).unwrap_or_else(|e| panic!("read: {e}"));
    if complete.is_some() {
        assert_eq!(found, complete);
    } else {
        assert!(found.is_none_or(|found| Some(found) == journal::parse(bytes).record));
    }
}

/// A record that can be read is written as an entry that can be read.
fn comes_back(json: &[u8]) {
    let Ok(record) = serde_json::from_slice::<StateRecord>(json) else { return };
    let written = serde_json::to_vec(&record).unwrap_or_else(|e| panic!("{record:?}: {e}"));
    let entry = journal::record_entry(written);
    let read = journal::parse(&entry).record.map(serde_json::from_slice::<StateRecord>);
    let Some(Ok(again)) = read else { panic!("{record:?} cannot be read") };
    // A variant with a value that is not its default would differ.
    assert_eq!(again, record);
}

/// A journal of the entries that the bytes name, complete or truncated. The last complete entries must be read.
fn recipe(data: &[u8]) -> Vec<u8> {
    let mut journal = Vec::new();
    let mut said: [Vec<u8>; 4] = Default::default();
    let mut bytes = data.iter().copied();
    while let (Some(what), Some(size)) = (bytes.next(), bytes.next()) {
        let fill = [b'{', b'#', b' ', b'"'][usize::from(what / 4 % 4)];
        // Also around the size of one read.
        let length = if what & 0x40 == 0 { usize::from(size) } else { usize::from(size) * 70 };
        let text = [&[fill][..], &vec![b'x'; length], b"}"].concat();
        match what % 4 {
            0 => {
                let lines =
                    text.iter().map(|byte| if *byte == b'x' && what & 0x80 != 0 { b'\n' } else { *byte });
                let config: Vec<u8> = lines.collect();
                let policy = if what & 0x20 == 0 { Vec::new() } else { b"#config 1 1\n".to_vec() };
                journal.extend(journal::config_entry(&config, &policy));
                (said[1], said[2]) = (config, policy);
            }
            1 => {
                journal.extend(journal::limits_entry(&text));
                said[3] = text;
            }
            _ if fill == b'#' => {}
            _ => {
                journal.extend(journal::record_entry(text.clone()));
                said[0] = text;
            }
        }
        if journal.len() > 3 << 13 {
            break;
        }
    }
    let last = Said::of(&journal);
    let all = [last.record, last.config, last.policy, last.limits];
    for (found, written) in all.iter().zip(&said) {
        assert_eq!(found.unwrap_or_default(), written.as_slice());
    }
    if data.len() % 2 == 1 {
        journal.truncate(journal.len().saturating_sub(usize::from(data[0])));
    }
    journal
}
