//! The errors in criu's log.

use crate::sys;
use nix::errno::Errno;
use nix::unistd::Whence;
use std::ffi::CStr;
use std::os::fd::AsFd;

/// How many lines are quoted.
const LINES: usize = 4;
/// How many bytes at the end of a log are searched.
const TAIL_SIZE: i64 = 256 << 10;

/// The last errors of a log, without timestamps, joined into one line; `None` if there are none.
pub(super) fn last_errors(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let found: Vec<&str> = text.lines().filter(|line| line.contains("Error (")).map(message).collect();
    let last = &found[found.len().saturating_sub(LINES)..];
    (!last.is_empty()).then(|| last.join("; "))
}

/// `(00.012345) Error (criu/mount.c:1): text` without the timestamp and the pid.
fn message(line: &str) -> &str {
    line.find("Error (").map_or(line, |at| &line[at..]).trim_end()
}

/// The last errors of the log with this name in a directory.
pub(super) fn last_errors_in(directory: impl AsFd, name: &CStr) -> Option<String> {
    let file = sys::fs::open_plain_at(directory, name).ok()?;
    last_errors(&tail(&file).ok()?)
}

/// The last lines of criu's output, which it prints before it opens its log.
pub(super) fn last_lines(file: impl AsFd) -> Option<String> {
    let text = tail(&file).ok()?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    (!last.is_empty()).then(|| last.join("; "))
}

fn tail(file: &impl AsFd) -> Result<Vec<u8>, Errno> {
    let size = nix::sys::stat::fstat(file.as_fd())?.st_size;
    nix::unistd::lseek(file.as_fd(), (size - TAIL_SIZE).max(0), Whence::SeekSet)?;
    sys::fs::read_all(file, 2 * TAIL_SIZE as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_errors_are_quoted() {
        let log = b"(00.000011) Version: 4.1.1\n(00.1) Error (criu/a.c:1): one\n(00.2)    42: Error (criu/b.c:2): two\n\
            (00.3) Warn  (criu/c.c:3): no\n(00.4) Error (criu/d.c:4): three\n(00.5) Error (criu/e.c:5): four\n";
        assert_eq!(
            last_errors(log).unwrap(),
            "Error (criu/a.c:1): one; Error (criu/b.c:2): two; Error (criu/d.c:4): three; Error (criu/e.c:5): four"
        );
        assert_eq!(last_errors(b"(00.1) Dumping finished successfully\n"), None);
    }
}
