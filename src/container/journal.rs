//! `state.json`: records one after the other, of which the last complete one counts.
//!
//! An entry is a record's JSON on a line of its own; or `#config N M`, a line's end, the N bytes of the
//! configuration, a line's end, the M bytes of what `exec` needs of it (see [`Policy`](crate::plan::Policy)) and a
//! line's end; or `#limits`, a blank, and the JSON of the limits that an update has made of the
//! configuration's, to the line's end. Each
//! is appended by one write(2), so that whoever reads sees it
//! whole or not at all, and nothing is ever taken back. (Renaming a new file over the old one says the
//! same, but makes disk file systems start writing at once: it costs several times as much.)

use crate::sys;
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// How much is read at once, in bytes, where only the record is wanted.
const READING: usize = 8192;
/// How the entry of the configuration begins.
const CONFIG: &[u8] = b"#config ";
/// How the entry of updated limits begins.
const LIMITS: &[u8] = b"#limits ";

/// What a journal holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Journal<'a> {
    /// The last complete record; the only, cut one where there is no other.
    pub(super) record: Option<&'a [u8]>,
    /// The configuration.
    pub(super) config: Option<&'a [u8]>,
    /// The limits which count instead of the configuration's.
    pub(super) limits: Option<&'a [u8]>,
    /// What of it binds every process, compiled.
    pub(super) policy: Option<&'a [u8]>,
}

/// Takes a journal apart; an entry that was cut short ends it.
pub(super) fn read(bytes: &[u8]) -> Journal<'_> {
    read_complete(bytes).0
}

/// How long a journal is without an entry that was cut short: the next one must not be joined to that.
pub(super) fn complete(bytes: &[u8]) -> usize {
    read_complete(bytes).1
}

fn read_complete(bytes: &[u8]) -> (Journal<'_>, usize) {
    let mut journal = Journal::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(head) = rest.strip_prefix(CONFIG) {
            let Some((config, policy, behind)) = config(head) else { break };
            journal.config = Some(config);
            journal.policy = Some(policy).filter(|policy| !policy.is_empty());
            rest = behind;
        } else if let Some(end) = line_end(rest) {
            match rest[..end].strip_prefix(LIMITS) {
                Some(limits) => journal.limits = Some(limits),
                None => journal.record = Some(&rest[..end]),
            }
            rest = &rest[end + 1..];
        } else if rest[0] == b'#' {
            break;
        } else {
            journal.record = journal.record.or(Some(rest));
            break;
        }
    }
    (journal, bytes.len() - rest.len())
}

fn line_end(text: &[u8]) -> Option<usize> {
    sys::memory::find(text, b'\n')
}

/// `N M`, line's end, N bytes, line's end, M bytes, line's end; and what follows.
fn config(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (start, length, more) = sizes(text)?;
    let body = &text[start..];
    let whole = length.checked_add(more)?.checked_add(2)?;
    (body.len() >= whole).then(|| (&body[..length], &body[length + 1..whole - 1], &body[whole..]))
}

/// How long the line of sizes is, and both sizes.
fn sizes(text: &[u8]) -> Option<(usize, usize, usize)> {
    let end = line_end(text)?;
    let (length, more) = std::str::from_utf8(&text[..end]).ok()?.split_once(' ')?;
    Some((end + 1, length.parse().ok()?, more.parse().ok()?))
}

/// Where the entries after the configuration begin, by the journal's beginning; what comes before it is
/// the second half of the answer. `None` where the configuration does not begin here.
pub(super) fn behind_config(beginning: &[u8]) -> Option<(usize, &[u8])> {
    let mut at = 0;
    loop {
        let rest = &beginning[at..];
        if let Some(head) = rest.strip_prefix(CONFIG) {
            let (start, length, more) = sizes(head)?;
            let whole = length.checked_add(more)?.checked_add(2)?;
            return Some(((at + CONFIG.len() + start).checked_add(whole)?, &beginning[..at]));
        }
        at += line_end(rest)? + 1;
    }
}

/// The last complete record among the entries behind the configuration, if there is one.
pub(super) fn last_record(entries: &[u8]) -> Option<&[u8]> {
    let complete = sys::memory::rfind(entries, b'\n')?;
    read(&entries[..=complete]).record
}

/// The record that counts in a journal, of which no more is read than it takes: the configuration may be
/// long, and stands before it. It lies in `buffer`, whose content does not matter.
pub(super) fn record_of(file: OwnedFd, buffer: &mut Vec<u8>) -> Result<Option<&[u8]>, Errno> {
    buffer.clear();
    sys::fs::append_from(&file, 0, READING, buffer)?;
    if buffer.len() < READING {
        return Ok(read(buffer).record);
    }
    // What is longer than anything in memory is not complete, and no file has such a place.
    let possible = |(behind, _): &(usize, _)| *behind <= isize::MAX as usize - READING;
    if let Some((behind, before)) = behind_config(buffer).filter(possible) {
        let before = before.len();
        sys::fs::append_from(&file, behind as u64, READING, buffer)?;
        if buffer.len() < 2 * READING {
            return Ok(last_record(&buffer[READING..]).or_else(|| read(&buffer[..before]).record));
        }
    }
    *buffer = sys::fs::read_regular(file)?;
    Ok(read(buffer).record)
}

/// The entry of a record.
pub(super) fn record_entry(mut json: Vec<u8>) -> Vec<u8> {
    json.push(b'\n');
    json
}

/// The entry of the configuration and, unless that is empty, of the policy.
pub(super) fn config_entry(config: &[u8], policy: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(config.len() + policy.len() + 48);
    entry.extend_from_slice(CONFIG);
    entry.extend_from_slice(format!("{} {}\n", config.len(), policy.len()).as_bytes());
    for part in [config, policy] {
        entry.extend_from_slice(part);
        entry.push(b'\n');
    }
    entry
}

/// The entry of updated limits.
pub(super) fn limits_entry(json: &[u8]) -> Vec<u8> {
    [LIMITS, json, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`read`] finds of the record, by the two readings of a long journal.
    fn in_two(bytes: &[u8], first: usize) -> Option<&[u8]> {
        let beginning = &bytes[..first.min(bytes.len())];
        let (behind, before) = behind_config(beginning)?;
        bytes.get(behind..).and_then(last_record).or_else(|| read(before).record)
    }

    #[test]
    fn the_last_complete_entry_counts() {
        let config = b"{\n}\n#config 3 0\n{}\n";
        for policy in [&b""[..], b"{\n\n"] {
            let mut whole = record_entry(b"{\"n\":1}".to_vec());
            let first = whole.len();
            whole.extend(config_entry(config, policy));
            let second = whole.len();
            whole.extend(record_entry(b"{\"n\":2}".to_vec()));
            for length in 0..=whole.len() {
                let journal = read(&whole[..length]);
                let expected: Option<&[u8]> = match length {
                    0 => None,
                    _ if length < first => Some(&whole[..length]),
                    _ if length < whole.len() => Some(b"{\"n\":1}"),
                    _ => Some(b"{\"n\":2}"),
                };
                assert_eq!(journal.record, expected, "{length}");
                let there = length >= second;
                assert_eq!(journal.config, there.then_some(&config[..]), "{length}");
                assert_eq!(journal.policy, Some(policy).filter(|p| there && !p.is_empty()), "{length}");
                for reading in 0..=length {
                    if let Some(found) = in_two(&whole[..length], reading) {
                        assert_eq!(Some(found), expected, "{length} {reading}");
                    } else {
                        assert!(behind_config(&whole[..reading]).is_none(), "{length} {reading}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_last_complete_limits_count() {
        let mut whole = record_entry(b"{}".to_vec());
        whole.extend(limits_entry(b"1"));
        let first = whole.len();
        whole.extend(limits_entry(b"2"));
        for length in first - 1..=whole.len() {
            let journal = read(&whole[..length]);
            let expected: Option<&[u8]> = match length {
                _ if length < first => None,
                _ if length < whole.len() => Some(b"1"),
                _ => Some(b"2"),
            };
            assert_eq!((journal.limits, journal.record), (expected, Some(&b"{}"[..])), "{length}");
        }
    }

    #[test]
    fn a_length_that_lies_ends_the_journal() {
        for bytes in [
            &b"#config 9 0\n{}\n{}\n"[..],
            b"#config 2 9\n{}\n{}\n",
            b"#config x 0\n{}\n",
            b"#config 2\n{}\n",
            b"#config ",
        ] {
            assert_eq!(read(bytes), Journal::default());
        }
    }
}
