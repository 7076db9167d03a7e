//! Which of a program's messages reach the service manager: only the allowed ones, with bounded length.
//!
//! Any bytes: messages separated by zero bytes. The names are listed here once more, and the line that counts is
//! found in another way.

#[allow(
    dead_code,
    clippy::all,
    clippy::pedantic,
    reason = "it is compiled and linted as a part of the library"
)]
#[path = "../../src/container/notify/message.rs"]
mod message;

use message::{LONGEST, Outgoing};

/// Lines that are forwarded unchanged.
const WORDS: [&[u8]; 5] = [b"READY=1", b"RELOADING=1", b"STOPPING=1", b"WATCHDOG=1", b"WATCHDOG=trigger"];
/// Assignments with a number, and assignments with a text of limited length.
const NUMBERS: [&[u8]; 5] =
    [b"ERRNO=", b"EXIT_STATUS=", b"MONOTONIC_USEC=", b"WATCHDOG_USEC=", b"EXTEND_TIMEOUT_USEC="];
const TEXTS: [(&[u8], usize); 3] = [(b"STATUS=", 1024), (b"BUSERROR=", 255), (b"VARLINKERROR=", 255)];

/// One run of the target `notify`.
pub fn run(data: &[u8]) {
    let mut outgoing = Outgoing::default();
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for message in data.split(|byte| *byte == 0) {
        let ready = outgoing.add(message);
        let all: Vec<&[u8]> = message.split(|byte| *byte == b'\n').collect();
        assert_eq!(ready, all.contains(&&b"READY=1"[..]));
        lines.extend(all.iter().filter_map(|line| allowed(line)));
        check(&outgoing, &lines, None);
    }
    if let Some(&pid) = data.first() {
        outgoing.add_main(i32::MAX - i32::from(pid));
        check(&outgoing, &lines, Some(format!("MAINPID={}", i32::MAX - i32::from(pid)).into_bytes()));
    }
    outgoing.clear();
    assert!(outgoing.is_empty() && outgoing.text().is_empty());
}

/// The forwarded form of a line.
fn allowed(line: &[u8]) -> Option<Vec<u8>> {
    let is_numbers = |name: &&[u8]| line.strip_prefix(*name).is_some_and(is_number);
    if WORDS.contains(&line) || NUMBERS.iter().any(is_numbers) {
        return Some(line.to_vec());
    }
    TEXTS.iter().find_map(|(name, most)| {
        let text = std::str::from_utf8(line.strip_prefix(*name)?).ok()?;
        let mut cut = String::new();
        for character in text.chars() {
            if cut.len() + character.len_utf8() > *most {
                break;
            }
            cut.push(character);
        }
        Some([name, cut.as_bytes()].concat())
    })
}

fn is_number(text: &[u8]) -> bool {
    std::str::from_utf8(text)
        .is_ok_and(|text| matches!(text.len(), 1..=20) && text.chars().all(|c| c.is_ascii_digit()))
}

/// The key by which a line replaces an earlier one.
fn subject(line: &[u8]) -> Vec<u8> {
    let end = if WORDS.contains(&line) { None } else { line.iter().position(|byte| *byte == b'=') };
    end.map_or(line, |end| &line[..=end]).to_vec()
}

/// The message is the last line for each key, and nothing else.
fn check(outgoing: &Outgoing, lines: &[Vec<u8>], main: Option<Vec<u8>>) {
    let text = outgoing.text();
    assert!(text.len() < LONGEST && LONGEST <= 4096, "{} bytes", text.len());
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let later = &lines[at + 1..];
        let superseded = later.iter().any(|other| subject(other) == subject(line));
        let forgotten = line == b"READY=1" && later.contains(&b"RELOADING=1".to_vec());
        if !superseded && !forgotten {
            expected.push(line.clone());
        }
    }
    expected.extend(main);
    let mut said: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    said.retain(|line| !line.is_empty());
    assert_eq!(outgoing.is_empty(), said.is_empty());
    // The same line once more changes nothing.
    let mut again = Outgoing::default();
    again.add(&text);
    let without_main: Vec<&[u8]> =
        text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"MAINPID=")).collect();
    assert_eq!(again.text(), without_main.join(&b'\n'));
    said.sort();
    expected.sort();
    assert_eq!(said, expected);
}
