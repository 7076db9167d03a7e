//! The file `journal`: a sequence of entries, of which the last complete one of each type counts.
//!
//! There are three types of entries:
//!
//! - the JSON of a record, and a newline;
//! - `#config N M`, a newline, the N bytes of the configuration, a newline, the M bytes of the encoded
//!   [`Policy`](crate::plan::Policy) that `exec` needs, and a newline;
//! - `#limits`, a blank, the JSON of the limits that an update has set in place of the configuration's, and a newline.
//!
//! Each entry is appended by one write(2), so a reader sees all of it or nothing, and entries are never changed. (Renaming
//! a new file over the old one would be atomic too, but it makes disk file systems start writing at once, which takes
//! several times as long.)

use crate::sys;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// The file's name.
pub(crate) const FILE: &CStr = c"journal";
/// How many bytes are read at once if only the record is needed.
const READ_SIZE: usize = 8192;
/// How the entry of the configuration begins.
const CONFIG: &[u8] = b"#config ";
/// How an entry of updated limits begins.
const LIMITS: &[u8] = b"#limits ";

/// The entries of a journal that count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Journal<'a> {
    /// The last complete record, or an incomplete one if there is no other.
    pub(crate) record: Option<&'a [u8]>,
    /// The configuration.
    pub(crate) config: Option<&'a [u8]>,
    /// The limits that replace those of the configuration.
    pub(crate) limits: Option<&'a [u8]>,
    /// The encoded policy.
    pub(crate) policy: Option<&'a [u8]>,
}

/// Parses a journal up to the first incomplete entry.
pub(crate) fn parse(bytes: &[u8]) -> Journal<'_> {
    parse_complete(bytes).0
}

/// The length of a journal without an incomplete entry at its end, which the next entry must not be appended to.
pub(crate) fn complete_length(bytes: &[u8]) -> usize {
    parse_complete(bytes).1
}

fn parse_complete(bytes: &[u8]) -> (Journal<'_>, usize) {
    let mut journal = Journal::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(head) = rest.strip_prefix(CONFIG) {
            let Some((config, policy, following)) = config(head) else { break };
            journal.config = Some(config);
            journal.policy = Some(policy).filter(|policy| !policy.is_empty());
            rest = following;
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

/// Parses `N M`, a newline, N bytes, a newline, M bytes and a newline; the third part is what follows.
fn config(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (start, config_length, policy_length) = sizes(text)?;
    let body = &text[start..];
    let end = config_length.checked_add(policy_length)?.checked_add(2)?;
    (body.len() >= end).then(|| (&body[..config_length], &body[config_length + 1..end - 1], &body[end..]))
}

/// The length of the line of sizes, and both sizes.
fn sizes(text: &[u8]) -> Option<(usize, usize, usize)> {
    let end = line_end(text)?;
    let (config_length, policy_length) = std::str::from_utf8(&text[..end]).ok()?.split_once(' ')?;
    Some((end + 1, config_length.parse().ok()?, policy_length.parse().ok()?))
}

/// Finds in the beginning of a journal where the entries after the configuration start. The second part is what precedes
/// the configuration. `None` if the configuration does not start in this beginning.
pub(crate) fn after_config(beginning: &[u8]) -> Option<(usize, &[u8])> {
    let mut at = 0;
    loop {
        let rest = &beginning[at..];
        if let Some(head) = rest.strip_prefix(CONFIG) {
            let (start, config_length, policy_length) = sizes(head)?;
            let length = config_length.checked_add(policy_length)?.checked_add(2)?;
            return Some(((at + CONFIG.len() + start).checked_add(length)?, &beginning[..at]));
        }
        at += line_end(rest)? + 1;
    }
}

/// The last complete record among the entries after the configuration, if any.
pub(crate) fn last_record(entries: &[u8]) -> Option<&[u8]> {
    let complete = sys::memory::rfind(entries, b'\n')?;
    parse(&entries[..=complete]).record
}

/// Reads the record that counts, without the configuration if that is long. The result borrows from `buffer`, whose
/// previous content is discarded.
pub(crate) fn read_record(file: OwnedFd, buffer: &mut Vec<u8>) -> Result<Option<&[u8]>, Errno> {
    buffer.clear();
    sys::fs::append_from(&file, 0, READ_SIZE, buffer)?;
    if buffer.len() < READ_SIZE {
        return Ok(parse(buffer).record);
    }
    // A length beyond anything that fits in memory means an incomplete entry, and no file has such an offset.
    let possible = |(offset, _): &(usize, _)| *offset <= isize::MAX as usize - READ_SIZE;
    if let Some((offset, before)) = after_config(buffer).filter(possible) {
        let before = before.len();
        sys::fs::append_from(&file, offset as u64, READ_SIZE, buffer)?;
        if buffer.len() < 2 * READ_SIZE {
            return Ok(last_record(&buffer[READ_SIZE..]).or_else(|| parse(&buffer[..before]).record));
        }
    }
    *buffer = sys::fs::read_regular(file)?;
    Ok(parse(buffer).record)
}

/// The entry of a record.
pub(crate) fn record_entry(mut json: Vec<u8>) -> Vec<u8> {
    json.push(b'\n');
    json
}

/// The entry of the configuration and of the policy, which may be empty.
pub(crate) fn config_entry(config: &[u8], policy: &[u8]) -> Vec<u8> {
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
pub(crate) fn limits_entry(json: &[u8]) -> Vec<u8> {
    [LIMITS, json, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record as [`read_record`] finds it in a long journal, by two reads.
    fn record_by_two_reads(bytes: &[u8], first: usize) -> Option<&[u8]> {
        let beginning = &bytes[..first.min(bytes.len())];
        let (offset, before) = after_config(beginning)?;
        bytes.get(offset..).and_then(last_record).or_else(|| parse(before).record)
    }

    #[test]
    fn the_last_complete_record_counts() {
        let config = b"{\n}\n#config 3 0\n{}\n";
        for policy in [&b""[..], b"{\n\n"] {
            let mut whole = record_entry(b"{\"n\":1}".to_vec());
            let first = whole.len();
            whole.extend(config_entry(config, policy));
            let second = whole.len();
            whole.extend(record_entry(b"{\"n\":2}".to_vec()));
            for length in 0..=whole.len() {
                let journal = parse(&whole[..length]);
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
                    if let Some(found) = record_by_two_reads(&whole[..length], reading) {
                        assert_eq!(Some(found), expected, "{length} {reading}");
                    } else {
                        assert!(after_config(&whole[..reading]).is_none(), "{length} {reading}");
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
            let journal = parse(&whole[..length]);
            let expected: Option<&[u8]> = match length {
                _ if length < first => None,
                _ if length < whole.len() => Some(b"1"),
                _ => Some(b"2"),
            };
            assert_eq!((journal.limits, journal.record), (expected, Some(&b"{}"[..])), "{length}");
        }
    }

    #[test]
    fn a_wrong_length_ends_the_journal() {
        for bytes in [
            &b"#config 9 0\n{}\n{}\n"[..],
            b"#config 2 9\n{}\n{}\n",
            b"#config x 0\n{}\n",
            b"#config 2\n{}\n",
            b"#config ",
        ] {
            assert_eq!(parse(bytes), Journal::default());
        }
    }
}
