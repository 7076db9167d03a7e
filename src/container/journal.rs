//! `state.json`: records one after the other, of which the last complete one counts.
//!
//! An entry is a record's JSON on a line of its own; or `#config N`, a line's end, the N bytes of the
//! configuration and a line's end; or the same with `#policy` for what `exec` needs of it; or `#limits`, a
//! blank, and the JSON of the limits that an update has made of the configuration's, to the line's end. Each
//! is appended by one write(2), so that whoever reads sees it
//! whole or not at all, and nothing is ever taken back. (Renaming a new file over the old one says the
//! same, but makes disk file systems start writing at once: it costs several times as much.)

/// How the entry of the configuration begins.
const CONFIG: &[u8] = b"#config ";
/// How the entry of updated limits begins.
const LIMITS: &[u8] = b"#limits ";
/// How the entry of the policy begins.
const POLICY: &[u8] = b"#policy ";

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
    let mut journal = Journal::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if rest.starts_with(CONFIG) {
            let Some((config, behind)) = sized(&rest[CONFIG.len()..]) else { break };
            journal.config = Some(config);
            rest = behind;
        } else if rest.starts_with(POLICY) {
            let Some((policy, behind)) = sized(&rest[POLICY.len()..]) else { break };
            journal.policy = Some(policy);
            rest = behind;
        } else if let Some(end) = rest.iter().position(|b| *b == b'\n') {
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
    journal
}

/// `N`, line's end, N bytes, line's end; and what follows.
fn sized(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = text.iter().position(|b| *b == b'\n')?;
    let length: usize = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    let body = &text[digits + 1..];
    (body.len() > length).then(|| (&body[..length], &body[length + 1..]))
}

/// The entry of a record.
pub(super) fn record_entry(mut json: Vec<u8>) -> Vec<u8> {
    json.push(b'\n');
    json
}

/// The entries of the configuration and, unless it is empty, of the policy: in this order, as whoever finds
/// the second may need the first.
pub(super) fn config_entries(config: &[u8], policy: &[u8]) -> Vec<u8> {
    let mut entries = Vec::with_capacity(config.len() + policy.len() + 48);
    for (head, body) in [(CONFIG, config), (POLICY, policy)] {
        if head == POLICY && body.is_empty() {
            break;
        }
        entries.extend_from_slice(head);
        entries.extend_from_slice(body.len().to_string().as_bytes());
        entries.push(b'\n');
        entries.extend_from_slice(body);
        entries.push(b'\n');
    }
    entries
}

/// The entry of updated limits.
pub(super) fn limits_entry(json: &[u8]) -> Vec<u8> {
    [LIMITS, json, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complete_entry_counts() {
        let config = b"{\n}\n#config 3\n{}\n";
        let mut whole = record_entry(b"{\"n\":1}".to_vec());
        let first = whole.len();
        whole.extend(config_entries(config, b""));
        let second = whole.len();
        whole.extend_from_slice(&config_entries(b"", b"{\n")[b"#config 0\n\n".len()..]);
        let third = whole.len();
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
            assert_eq!(journal.config, (length >= second).then_some(&config[..]), "{length}");
            assert_eq!(journal.policy, (length >= third).then_some(&b"{\n"[..]), "{length}");
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
        for bytes in [&b"#config 9\n{}\n{}\n"[..], b"#config x\n{}\n", b"#config "] {
            assert_eq!(read(bytes), Journal::default());
        }
    }
}
