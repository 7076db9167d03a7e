//! Which variables of a message are forwarded. Merged messages keep the last value of each, so they stay short.

/// Assignments that are forwarded exactly as they are.
const ASSIGNMENTS: [&[u8]; 5] = [READY, RELOADING, STOPPING, b"WATCHDOG=1", b"WATCHDOG=trigger"];
pub(super) const READY: &[u8] = b"READY=1";
const RELOADING: &[u8] = b"RELOADING=1";
const STOPPING: &[u8] = b"STOPPING=1";
/// Variables that are forwarded with a checked value. Not `MAINPID=`, which is a pid of another pid namespace, nor
/// those that store descriptors in the manager or change which processes it accepts messages from.
const VALUES: [(&[u8], ValueFormat); 8] = [
    (b"STATUS=", ValueFormat::Text(1024)),
    (b"BUSERROR=", ValueFormat::Text(255)),
    (b"VARLINKERROR=", ValueFormat::Text(255)),
    (b"ERRNO=", ValueFormat::Number),
    (b"EXIT_STATUS=", ValueFormat::Number),
    (b"MONOTONIC_USEC=", ValueFormat::Number),
    (b"WATCHDOG_USEC=", ValueFormat::Number),
    (b"EXTEND_TIMEOUT_USEC=", ValueFormat::Number),
];
/// The longest message that the manager itself accepts.
pub(super) const LONGEST: usize = 4096;

#[derive(Clone, Copy)]
enum ValueFormat {
    /// UTF-8, cut to this many bytes.
    Text(usize),
    /// Up to 20 decimal digits.
    Number,
}

impl ValueFormat {
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

/// What a line is about. Of merged messages, only the last line of each subject remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineSubject {
    Assignment(usize),
    Value(usize),
    /// `MAINPID=`, which only the runtime sets.
    MainPid,
}

/// The message to be sent, merged from those received since the last one.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    lines: Vec<(LineSubject, Vec<u8>)>,
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
            if let Some(at) = ASSIGNMENTS.iter().position(|word| *word == line) {
                if line == RELOADING {
                    // An earlier READY=1 is superseded; a later one says that the reload is complete.
                    self.lines.retain(|(_, other)| other != READY);
                }
                self.put(LineSubject::Assignment(at), line.to_vec());
                continue;
            }
            let found = VALUES.iter().enumerate().find_map(|(at, (name, value))| {
                let checked = value.check(line.strip_prefix(*name)?)?;
                Some((at, [name, checked].concat()))
            });
            if let Some((at, line)) = found {
                self.put(LineSubject::Value(at), line);
            }
        }
        ready
    }

    /// Tells the manager which process to watch.
    pub(super) fn add_main(&mut self, pid: i32) {
        self.put(LineSubject::MainPid, format!("MAINPID={pid}").into_bytes());
    }

    fn put(&mut self, subject: LineSubject, line: Vec<u8>) {
        match self.lines.iter_mut().find(|(other, _)| *other == subject) {
            Some((_, old)) => *old = line,
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
    fn variables_about_other_processes_or_the_manager_are_removed() {
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
    fn invalid_values_are_removed_and_long_ones_are_cut() {
        assert_eq!(passed(&[b"ERRNO=2\nEXIT_STATUS=x\nWATCHDOG_USEC=\nMONOTONIC_USEC=-1"]), "ERRNO=2");
        assert_eq!(passed(&[b"WATCHDOG_USEC=123456789012345678901"]), "");
        assert_eq!(passed(&[b"STATUS=\xff"]), "");
        let long = format!("STATUS={}\u{e9}", "x".repeat(1023));
        assert_eq!(
            passed(&[long.as_bytes()]),
            &long[..long.len() - 2],
            "not cut in the middle of a character"
        );
    }

    #[test]
    fn merged_messages_have_the_last_value_of_each_variable() {
        assert_eq!(passed(&[b"STATUS=a", b"READY=1\nSTATUS=b", b"STATUS=c"]), "STATUS=c\nREADY=1");
        assert_eq!(passed(&[b"WATCHDOG=trigger", b"WATCHDOG=1"]), "WATCHDOG=trigger\nWATCHDOG=1");
        assert_eq!(passed(&[b"RELOADING=1", b"READY=1"]), "RELOADING=1\nREADY=1", "it has reloaded");
        assert_eq!(passed(&[b"READY=1", b"RELOADING=1\nMONOTONIC_USEC=5"]), "RELOADING=1\nMONOTONIC_USEC=5");
    }

    #[test]
    fn the_length_of_a_merged_message_is_bounded() {
        let mut outgoing = Outgoing::default();
        let mut seed = 1u64;
        for round in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = "9".repeat((seed >> 40) as usize % 3000);
            let name = VALUES[round % VALUES.len()].0;
            outgoing.add(&[name, value.as_bytes(), b"\n", ASSIGNMENTS[round % ASSIGNMENTS.len()]].concat());
        }
        outgoing.add_main(i32::MAX);
        assert!(outgoing.text().len() < LONGEST, "{}", outgoing.text().len());
    }
}
