//! Which variables of a message are forwarded. Merged messages keep the last value of each, so they stay short.

/// Assignments that are forwarded exactly as they are.
const WORDS: [&[u8]; 5] = [READY, RELOADING, STOPPING, b"WATCHDOG=1", b"WATCHDOG=trigger"];
pub(super) const READY: &[u8] = b"READY=1";
const RELOADING: &[u8] = b"RELOADING=1";
const STOPPING: &[u8] = b"STOPPING=1";
/// Variables that are forwarded with a checked value. Not `MAINPID=`, which is a number of another pid namespace, nor
/// those that store descriptors in the manager or change which processes it accepts messages from.
const VALUES: [(&[u8], Value); 8] = [
    (b"STATUS=", Value::Text(1024)),
    (b"BUSERROR=", Value::Text(255)),
    (b"VARLINKERROR=", Value::Text(255)),
    (b"ERRNO=", Value::Number),
    (b"EXIT_STATUS=", Value::Number),
    (b"MONOTONIC_USEC=", Value::Number),
    (b"WATCHDOG_USEC=", Value::Number),
    (b"EXTEND_TIMEOUT_USEC=", Value::Number),
];
/// The longest message that the manager itself accepts.
pub(super) const LONGEST: usize = 4096;

#[derive(Clone, Copy)]
enum Value {
    /// UTF-8, cut to this many bytes.
    Text(usize),
    /// Up to 20 decimal digits.
    Number,
}

impl Value {
    /// The part of the value that is forwarded; `None` if it is invalid.
    fn check(self, value: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Text(most) => {
                let text = std::str::from_utf8(value).ok()?;
                // Not in the middle of a character.
                let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at))?;
                Some(&value[..end])
            }
            Self::Number => {
                let digits = (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
                digits.then_some(value)
            }
        }
    }
}

/// Identifies a line. Of merged messages, the last line of each subject is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Word(usize),
    Value(usize),
    /// `MAINPID=`, which only the runtime sets.
    Main,
}

/// The message to be sent, merged from those received since the last one.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    lines: Vec<(Subject, Vec<u8>)>,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.lines.clear();
    }

    /// Merges the allowed lines of a message; returns whether it contains `READY=1`.
    pub(super) fn add(&mut self, message: &[u8]) -> bool {
        let mut ready = false;
        for line in message.split(|b| *b == b'\n') {
            ready |= line == READY;
            if let Some(at) = WORDS.iter().position(|word| *word == line) {
                if line == RELOADING {
                    // READY=1 before it is superseded; READY=1 after it says that the reload is complete.
                    self.lines.retain(|(_, other)| other != READY);
                }
                self.put(Subject::Word(at), line.to_vec());
                continue;
            }
            let found = VALUES.iter().enumerate().find_map(|(at, (name, value))| {
                let checked = value.check(line.strip_prefix(*name)?)?;
                Some((at, [name, checked].concat()))
            });
            if let Some((at, line)) = found {
                self.put(Subject::Value(at), line);
            }
        }
        ready
    }

    /// Tells the manager which process to watch.
    pub(super) fn add_main(&mut self, pid: i32) {
        self.put(Subject::Main, format!("MAINPID={pid}").into_bytes());
    }

    fn put(&mut self, subject: Subject, line: Vec<u8>) {
        match self.lines.iter_mut().find(|(other, _)| *other == subject) {
            Some((_, held)) => *held = line,
            None => self.lines.push((subject, line)),
        }
    }

    /// The message.
    pub(super) fn text(&self) -> Vec<u8> {
        let lines: Vec<&[u8]> = self.lines.iter().map(|(_, line)| line.as_slice()).collect();
        lines.join(&b'\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(messages: &[&[u8]]) -> String {
        let mut outgoing = Outgoing::default();
        for message in messages {
            outgoing.add(message);
        }
        String::from_utf8(outgoing.text()).unwrap()
    }

    #[test]
    fn a_program_speaks_for_itself_only() {
        let mut outgoing = Outgoing::default();
        assert!(outgoing.add(b"READY=1\nMAINPID=7\nSTATUS=well"));
        outgoing.add_main(42);
        assert_eq!(outgoing.text(), b"READY=1\nSTATUS=well\nMAINPID=42");
        assert_eq!(passed(&[b"MAINPID=1"]), "");
        assert_eq!(passed(&[b"FDSTORE=1\nFDNAME=x\nWATCHDOG=1\nNOTIFYACCESS=all\n"]), "WATCHDOG=1");
        for other in [&b"X_OURS=1"[..], b"READY=0", b"READY=1 ", b"BARRIER=1", b"", b"\n\n", b"STATUS"] {
            assert_eq!(passed(&[other]), "", "{other:?}");
        }
    }

    #[test]
    fn values_are_what_they_should_be_and_short() {
        assert_eq!(passed(&[b"ERRNO=2\nEXIT_STATUS=x\nWATCHDOG_USEC=\nMONOTONIC_USEC=-1"]), "ERRNO=2");
        assert_eq!(passed(&[b"WATCHDOG_USEC=123456789012345678901"]), "");
        assert_eq!(passed(&[b"STATUS=\xff"]), "");
        let long = format!("STATUS={}\u{e9}", "x".repeat(1023));
        assert_eq!(passed(&[long.as_bytes()]), &long[..long.len() - 2], "not in the middle of a character");
    }

    #[test]
    fn added_up_the_last_of_each_counts() {
        assert_eq!(passed(&[b"STATUS=a", b"READY=1\nSTATUS=b", b"STATUS=c"]), "STATUS=c\nREADY=1");
        assert_eq!(passed(&[b"WATCHDOG=trigger", b"WATCHDOG=1"]), "WATCHDOG=trigger\nWATCHDOG=1");
        assert_eq!(passed(&[b"RELOADING=1", b"READY=1"]), "RELOADING=1\nREADY=1", "it has reloaded");
        assert_eq!(passed(&[b"READY=1", b"RELOADING=1\nMONOTONIC_USEC=5"]), "RELOADING=1\nMONOTONIC_USEC=5");
    }

    #[test]
    fn there_is_an_upper_bound() {
        let mut outgoing = Outgoing::default();
        let mut seed = 1u64;
        for round in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = "9".repeat((seed >> 40) as usize % 3000);
            let name = VALUES[round % VALUES.len()].0;
            outgoing.add(&[name, value.as_bytes(), b"\n", WORDS[round % WORDS.len()]].concat());
        }
        outgoing.add_main(i32::MAX);
        assert!(outgoing.text().len() < LONGEST, "{}", outgoing.text().len());
    }
}
