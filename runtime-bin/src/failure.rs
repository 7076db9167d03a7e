//! Why a command failed, and the exit code that says so.

use nix::errno::Errno;
use orlop::ErrorKind;
use std::path::Path;

/// A command's exit code, or the failure that takes its place.
pub(crate) type Outcome = Result<u8, Failure>;

/// A failed command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// One line for the log and for stderr.
    pub(crate) message: String,
    /// The program's exit code.
    pub(crate) code: u8,
    /// The line for stderr, without a log file, if it is not a record of the log: the execve(2) of a container's program has
    /// failed, and callers compare what the container has written.
    pub(crate) bare: Option<String>,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1, bare: None }
    }

    /// A failed system call of this program.
    pub(crate) fn system(what: &str, errno: Errno) -> Self {
        Self::new(format!("{what}: {}", lower_case(errno.desc())))
    }

    /// A file that could not be used.
    pub(crate) fn io(what: &str, path: &Path, e: &std::io::Error) -> Self {
        Self::new(format!("{what} {}: {}", path.display(), reason(e)))
    }

    /// The same failure with another exit code.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

impl From<orlop::Error> for Failure {
    fn from(e: orlop::Error) -> Self {
        // A program that is not found begins with `exec: `, and is a record.
        let is_bare =
            e.kind() == ErrorKind::Exec && e.errno().is_some() && e.operation().starts_with("exec ");
        Self { bare: is_bare.then(|| e.operation().to_owned()), ..Self::new(e.to_string()) }
    }
}

/// Why a file could not be used.
pub(crate) fn reason(e: &std::io::Error) -> String {
    e.raw_os_error().map_or_else(|| e.to_string(), |n| lower_case(Errno::from_raw(n).desc()))
}

/// The errno's text in lower case, as Go prints it: callers match on that.
fn lower_case(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}
