//! One error type for the whole library: phase, operation, object, JSON pointer, errno and hint.

use nix::errno::Errno;
use std::borrow::Cow;
use std::fmt;

/// What every fallible function of this library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which part of the work failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading and validating `config.json`, or an argument.
    Config,
    /// Compiling the bundle into a plan.
    Plan,
    /// The state directory: ids, locks, journals.
    State,
    /// Control groups.
    Cgroup,
    /// Namespaces and id maps.
    Namespace,
    /// Mounts and the root file system.
    Mount,
    /// Identity, capabilities, limits, labels, terminal of the process.
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

/// What a caller may want to tell apart without reading words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration breaks a rule of the runtime-spec; see [`Error::problems`].
    InvalidConfig,
    /// Valid, but this build, kernel or host cannot do it; the message names the field.
    Unsupported,
    /// An argument (an id, a flag, a path) is not acceptable.
    InvalidArgument,
    /// No such container.
    NotFound,
    /// The id is taken.
    AlreadyExists,
    /// The container is in another state than the operation needs.
    WrongState,
    /// The container's process is gone.
    NotRunning,
    /// Another operation on the same container is under way.
    Busy,
    /// A hook failed.
    Hook,
    /// The container's program could not be executed.
    Exec,
    /// A system call failed; see [`Error::errno`].
    System,
    /// A file of the runtime's own is not readable as what it should be.
    Corrupt,
    /// A directory whose content would be believed is another user's, or others may write into it.
    Untrusted,
    /// A deadline passed.
    TimedOut,
}

/// One finding of the validator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}{}", in_brackets(section))]
pub struct Problem {
    /// JSON pointer (RFC 6901) of the value in `config.json`.
    pub pointer: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
    /// The section of the runtime-spec that says so, as `file.md#anchor`; empty where it is ours.
    pub section: &'static str,
}

fn in_brackets(section: &str) -> String {
    if section.is_empty() { String::new() } else { format!(" ({section})") }
}

/// A failure: which phase, which operation on which object, where `config.json` asked for it, what
/// the kernel said, and what may help.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    phase: Phase,
    operation: Cow<'static, str>,
    object: Option<String>,
    detail: Option<String>,
    pointer: Option<String>,
    /// What the pointer points into.
    document: &'static str,
    errno: Option<Errno>,
    /// The errno's text is part of the sentence already.
    plain: bool,
    hint: Option<Cow<'static, str>>,
    problems: Vec<Problem>,
}

impl Error {
    /// A failure of `operation` (a system call or a short verb phrase, or a whole sentence).
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
            plain: false,
            hint: None,
            problems: Vec::new(),
        }))
    }

    /// A failed system call.
    pub fn sys(phase: Phase, operation: impl Into<Cow<'static, str>>, errno: Errno) -> Self {
        Self::new(ErrorKind::System, phase, operation).with_errno(errno)
    }

    /// A configuration with these problems.
    pub fn invalid(problems: Vec<Problem>) -> Self {
        let mut e = Self::new(ErrorKind::InvalidConfig, Phase::Config, "invalid config.json");
        e.0.pointer = problems.first().map(|p| p.pointer.clone());
        e.0.problems = problems;
        e
    }

    /// A valid field which cannot be enforced here: refused, never dropped.
    pub fn unsupported(phase: Phase, pointer: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, phase, "not supported").with_pointer(pointer).with_detail(why)
    }

    /// Names the thing operated on: a path, an id.
    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.0.object = Some(object.into());
        self
    }

    /// Says more than the errno does.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Names the place in `config.json` that asked for it.
    #[must_use]
    pub fn with_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.0.pointer = Some(pointer.into());
        self
    }

    /// Says that the pointers point into another text than `config.json`, where the text stands for the
    /// value at `base`: that is taken off them.
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

    /// Adds what the kernel said.
    #[must_use]
    pub fn with_errno(mut self, errno: Errno) -> Self {
        self.0.errno = Some(errno);
        self
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Records what the kernel said without saying it again: the sentence has it already.
    #[must_use]
    pub(crate) fn with_plain_errno(mut self, errno: Errno) -> Self {
        self.0.errno = Some(errno);
        self.0.plain = true;
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Which part of the work failed.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// The operation that failed.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The object of the operation: a path, an id.
    pub fn object(&self) -> Option<&str> {
        self.0.object.as_deref()
    }

    /// The place in `config.json` that asked for the operation (RFC 6901).
    pub fn pointer(&self) -> Option<&str> {
        self.0.pointer.as_deref()
    }

    /// The kernel's answer.
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The validator's findings, all of them.
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }
}

/// The errno's text in the lower-case form that callers of OCI runtimes match on.
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
            // These operations are sentences that callers look for, and end there.
            let sentence = matches!(e.kind, ErrorKind::NotFound | ErrorKind::AlreadyExists);
            write!(f, "{} {object}", if sentence { ":" } else { "" })?;
        }
        if let Some(detail) = &e.detail {
            write!(f, ": {detail}")?;
        }
        match (e.errno.filter(|_| !e.plain), &e.pointer) {
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
