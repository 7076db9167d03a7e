//! Log records: one line each, to the file of `--log` or to stderr.
//!
//! Managers read this file. They take the last object whose `level` is `error`, and some expect no other object, so a
//! failure is exactly one such line, and only a failure has that level.

use crate::failure::Failure;
use nix::libc;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// How severe a record is, most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    /// The command fails.
    Error,
    /// The user should know, but the command continues.
    Warning,
    /// The default threshold; nothing is logged at this level.
    Info,
    /// Details for debugging.
    Debug,
}

impl LogLevel {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// `time="…" level=error msg="…"`
    #[default]
    Text,
    /// `{"level":"error","msg":"…","time":"…"}`
    Json,
}

/// Where records go.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    file: Option<Arc<File>>,
    format: LogFormat,
    threshold: LogLevel,
}

impl Log {
    /// A log to the file, which is appended to and created with mode 0644, or to stderr.
    ///
    /// # Errors
    /// The file cannot be opened, is a symbolic link (which is never followed), or is a FIFO without a reader.
    pub(crate) fn open(path: Option<&Path>, format: LogFormat, threshold: LogLevel) -> std::io::Result<Self> {
        let file = match path.and_then(Path::to_str) {
            // Both are links, possibly to a socket, which cannot be opened by name.
            Some("/dev/stderr") => None,
            Some("/dev/stdout") => Some(std::io::stdout().as_fd().try_clone_to_owned()?.into()),
            _ => path.map(append).transpose()?,
        };
        Ok(Self { file: file.map(Arc::new), format, threshold })
    }

    /// A log to stderr.
    pub(crate) fn stderr(format: LogFormat) -> Self {
        Self { file: None, format, threshold: LogLevel::Error }
    }

    /// The one record of a failure. If there is a log file, the bare text goes to stderr as well.
    pub(crate) fn error(&self, message: &str) {
        self.record(LogLevel::Error, message);
        if self.file.is_some() {
            let _ = std::io::stderr().write_all(format!("{message}\n").as_bytes());
        }
    }

    /// The record of a command's failure, or its bare line on stderr.
    pub(crate) fn failure(&self, failure: &Failure) {
        match &failure.bare {
            Some(line) if self.file.is_none() => {
                self.debug(|| failure.message.clone());
                let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
            }
            _ => self.error(&failure.message),
        }
    }

    /// A record of something that is not a failure.
    pub(crate) fn warning(&self, message: &str) {
        self.record(LogLevel::Warning, message);
    }

    /// A record for debugging. The text is formatted only if it is logged.
    pub(crate) fn debug(&self, message: impl FnOnce() -> String) {
        if self.threshold >= LogLevel::Debug {
            self.record(LogLevel::Debug, &message());
        }
    }

    fn record(&self, level: LogLevel, message: &str) {
        if level > self.threshold {
            return;
        }
        let line = line(self.format, level, message, now());
        // A log that cannot be written cannot be reported anywhere.
        let _ = match &self.file {
            Some(file) => (&**file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

/// Opens a file for appending. A symbolic link as the last component is rejected, because it may have been planted.
/// Neither opening nor writing blocks on a FIFO.
fn append(path: &Path) -> std::io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(flags).open(path);
    opened.map_err(|e| {
        let why = match e.raw_os_error() {
            Some(libc::ELOOP) => "it is a symbolic link, which is not followed",
            Some(libc::ENXIO) => "it is a socket, or a FIFO without a reader",
            _ => return e,
        };
        std::io::Error::new(e.kind(), why)
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// A record with its newline. It is written at once, so that records of several processes do not mix.
fn line(format: LogFormat, level: LogLevel, message: &str, seconds: u64) -> String {
    let (time, level) = (rfc3339(seconds), level.name());
    let mut out = String::with_capacity(message.len() + 80);
    match format {
        LogFormat::Text => {
            let _ = write!(out, "time=\"{time}\" level={level} msg=\"");
            escape(&mut out, message);
            out.push_str("\"\n");
        }
        LogFormat::Json => {
            let _ = write!(out, "{{\"level\":\"{level}\",\"msg\":\"");
            escape(&mut out, message);
            let _ = writeln!(out, "\",\"time\":\"{time}\"}}");
        }
    }
    out
}

/// The escapes that a JSON string and a quoted log text share.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || c == '\x7f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// A time as `2026-11-21T16:34:21Z` (RFC 3339, UTC).
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Eras of 400 years from 0000-03-01: a leap day is then the last day of its year.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + carry;
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_as_rfc3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_795_278_861, "2026-11-21T16:34:21Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn a_json_record_is_one_compact_line() {
        let text = line(LogFormat::Json, LogLevel::Error, "exec: \"x\": a\nb\\c\u{1}", 0);
        assert_eq!(
            text,
            "{\"level\":\"error\",\"msg\":\"exec: \\\"x\\\": a\\nb\\\\c\\u0001\",\"time\":\"1970-01-01T00:00:00Z\"}\n"
        );
    }

    #[test]
    fn a_text_record_is_quoted() {
        let text = line(LogFormat::Text, LogLevel::Warning, "say \"hi\"", 0);
        assert_eq!(text, "time=\"1970-01-01T00:00:00Z\" level=warning msg=\"say \\\"hi\\\"\"\n");
    }

    #[test]
    fn records_are_appended_and_filtered_by_level() {
        let path = std::env::temp_dir().join(format!("orlop-log-{}", std::process::id()));
        for _ in 0..2 {
            let log = Log::open(Some(&path), LogFormat::Json, LogLevel::Info).unwrap();
            log.warning("w");
            log.debug(|| panic!("not logged at this level"));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|l| l.starts_with("{\"level\":\"warning\",\"msg\":\"w\",\"time\":\"")));
    }
}
