//! The error type of the library: phase, operation, object, JSON pointer, errno and hint.

use nix::errno::Errno;
use std::borrow::Cow;
use std::fmt;

/// The result of fallible functions of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which part of the work failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading and validating `config.json` or an argument.
    Config,
    /// Compiling the bundle into a plan.
    Plan,
    /// The state directory: IDs, locks, journals.
    State,
    /// Control groups.
    Cgroup,
    /// Namespaces and ID maps.
    Namespace,
    /// Mounts and the root file system.
    Mount,
    /// Identity, capabilities, limits, labels and terminal of the process.
    Process,
    /// Seccomp.
    Seccomp,
    /// Hooks.
    Hook,
    /// Starting the init stub.
    Launch,
    /// The final `execve` of the container's program.
    Exec,
    /// An operation on an existing container.
    Lifecycle,
}

impl Phase {
    /// The phase's name in messages and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Plan => "plan",
            Self::State => "state",
            Self::Cgroup => "cgroup",
            Self::Namespace => "namespace",
            Self::Mount => "mount",
            Self::Process => "process",
            Self::Seccomp => "seccomp",
            Self::Hook => "hook",
            Self::Launch => "launch",
            Self::Exec => "exec",
            Self::Lifecycle => "lifecycle",
        }
    }
}

/// What kind of failure it is, for callers that handle some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration violates the runtime-spec; see [`Error::problems`].
    InvalidConfig,
    /// The setting is valid, but this build, kernel or host does not support it; the message names the setting.
    Unsupported,
    /// An argument (an ID, a flag, a path) is invalid.
    InvalidArgument,
    /// The container does not exist.
    NotFound,
    /// The ID is in use.
    AlreadyExists,
    /// The container is not in the state that the operation requires.
    WrongState,
    /// The container's process has exited.
    NotRunning,
    /// Another operation on the same container is in progress.
    Busy,
    /// A hook failed.
    Hook,
    /// The container's program could not be executed.
    Exec,
    /// A system call failed; see [`Error::errno`].
    System,
    /// A file of the runtime does not have the expected format.
    Corrupt,
    /// A directory that must be trusted belongs to another user, or is writable by others.
    Untrusted,
    /// A deadline has passed.
    TimedOut,
}

/// A problem that the validator has found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}{}", in_brackets(section))]
pub struct Problem {
    /// The JSON pointer (RFC 6901) of the value in `config.json`.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The section of the runtime-spec with the rule, as `file.md#anchor`; empty if the rule is this library's.
    pub section: &'static str,
}

impl Problem {
    pub(crate) fn new(pointer: String, message: impl Into<String>, section: &'static str) -> Self {
        Self { pointer, message: message.into(), section }
    }
}

fn in_brackets(section: &str) -> String {
    if section.is_empty() { String::new() } else { format!(" ({section})") }
}

/// A failure: the phase, the operation and its object, the setting of `config.json` that required it, the errno,
/// and a hint.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    phase: Phase,
    operation: Cow<'static, str>,
    object: Option<String>,
    detail: Option<String>,
    pointer: Option<String>,
    /// The document that the pointers refer to.
    document: &'static str,
    errno: Option<Errno>,
    /// The message has the errno's text already.
    errno_is_in_message: bool,
    hint: Option<Cow<'static, str>>,
    problems: Vec<Problem>,
}

impl Error {
    /// A failure of `operation`: a system call, a short verb phrase or a sentence.
    pub fn new(kind: ErrorKind, phase: Phase, operation: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            phase,
            operation: operation.into(),
            object: None,
            detail: None,
            pointer: None,
            document: "config.json",
            errno: None,
            errno_is_in_message: false,
            hint: None,
            problems: Vec::new(),
        }))
    }

    /// A failed system call.
    pub fn sys(phase: Phase, operation: impl Into<Cow<'static, str>>, errno: Errno) -> Self {
        Self::new(ErrorKind::System, phase, operation).with_errno(errno)
    }

    /// An invalid configuration with these problems.
    pub fn invalid(problems: Vec<Problem>) -> Self {
        let mut e = Self::new(ErrorKind::InvalidConfig, Phase::Config, "invalid config.json");
        e.0.pointer = problems.first().map(|p| p.pointer.clone());
        e.0.problems = problems;
        e
    }

    /// A valid setting that cannot be enforced here, and is therefore refused.
    pub fn unsupported(phase: Phase, pointer: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, phase, "not supported").with_pointer(pointer).with_detail(why)
    }

    /// Sets the object of the operation: a path, an ID.
    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.0.object = Some(object.into());
        self
    }

    /// Adds details to the message.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Sets the JSON pointer of the setting in `config.json` that required the operation.
    #[must_use]
    pub fn with_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.0.pointer = Some(pointer.into());
        self
    }

    /// Says that the pointers refer to another document than `config.json`. That document is the value at `base`, which is
    /// removed from the pointers.
    #[must_use]
    pub fn in_document(mut self, name: &'static str, base: &str) -> Self {
        self.0.document = name;
        if self.0.kind == ErrorKind::InvalidConfig && !self.0.problems.is_empty() {
            self.0.operation = format!("invalid {name}").into();
        }
        let shorten = |pointer: &mut String| {
            if let Some(rest) = pointer.strip_prefix(base) {
                *pointer = rest.to_owned();
            }
        };
        self.0.pointer.iter_mut().for_each(shorten);
        self.0.problems.iter_mut().map(|problem| &mut problem.pointer).for_each(shorten);
        self
    }

    /// Sets the errno.
    #[must_use]
    pub fn with_errno(mut self, errno: Errno) -> Self {
        self.0.errno = Some(errno);
        self
    }

    /// Adds what the user can do. A hint must follow from more than the errno.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets the errno without displaying it, because the message has its text already.
    #[must_use]
    pub(crate) fn with_plain_errno(mut self, errno: Errno) -> Self {
        self.0.errno = Some(errno);
        self.0.errno_is_in_message = true;
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The phase that failed.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// The operation that failed.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The object of the operation: a path, an ID.
    pub fn object(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// The JSON pointer of the setting in `config.json` that required the operation (RFC 6901).
    pub fn pointer(&self) -> Option<&str> {
        self.0.pointer.as_deref()
    }

    /// The errno of the failed system call.
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// All problems that the validator has found.
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }
}

/// The errno's text in lower case, as callers of OCI runtimes expect it.
pub(crate) fn errno_text(errno: Errno) -> String {
    match errno {
        Errno::EIO => "input/output error".into(),
        Errno::EINVAL => "invalid argument".into(),
        Errno::EBUSY => "device or resource busy".into(),
        other => {
            let text = other.desc();
            let mut chars = text.chars();
            chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        f.write_str(&e.operation)?;
        if let Some(object) = &e.object {
            // These operations are sentences that callers match on, so a colon follows.
            let sentence = matches!(e.kind, ErrorKind::NotFound | ErrorKind::AlreadyExists);
            write!(f, "{} {object}", if sentence { ":" } else { "" })?;
        }
        if let Some(detail) = &e.detail {
            write!(f, ": {detail}")?;
        }
        match (e.errno.filter(|_| !e.errno_is_in_message), &e.pointer) {
            (Some(n), Some(p)) => write!(f, ": {} ({n:?}, {} {p})", errno_text(n), e.document)?,
            (Some(n), None) => write!(f, ": {} ({n:?})", errno_text(n))?,
            (None, Some(p)) if e.problems.is_empty() => write!(f, " ({} {p})", e.document)?,
            _ => {}
        }
        for (i, problem) in e.problems.iter().enumerate() {
            write!(f, "{} {problem}", if i == 0 { ":" } else { ";" })?;
        }
        e.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; hint: {hint}"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(e: Error) -> Self {
        match e.errno() {
            Some(n) => Self::new(Self::from(n).kind(), e),
            None => Self::other(e),
        }
    }
}
