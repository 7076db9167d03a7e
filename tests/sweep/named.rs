//! Cases that failed once: they are tried each time, in addition to the sample.

use crate::sweep::Attempt;
use nix::errno::Errno;

/// One or a few cases of a subject.
pub(crate) struct Named {
    subject: &'static str,
    /// How the name of the call begins, with its path.
    pub(crate) call: &'static str,
    /// How it ends, if a part of the path varies.
    ends: &'static str,
    errno: Errno,
}

const fn named(subject: &'static str, call: &'static str, ends: &'static str, errno: Errno) -> Named {
    Named { subject, call, ends, errno }
}

impl Named {
    /// Whether this is the case.
    pub(crate) fn is(&self, attempt: &Attempt<'_>) -> bool {
        let name = crate::sweep::name(attempt.call);
        let name = name.rsplit_once('#').map_or(name.as_str(), |(name, _)| name);
        attempt.errno == self.errno && name.starts_with(self.call) && name.ends_with(self.ends)
    }
}

/// The cases of a subject.
pub(crate) fn of(subject: &str) -> Vec<&'static Named> {
    NAMED.iter().filter(|case| case.subject == subject).collect()
}

static NAMED: &[Named] = &[
    // The directory of a container that could not be opened or locked was left.
    named("create", "openat(orlop-test-", ")", Errno::EMFILE),
    // The container had no device filter: its creator was taken for an unprivileged user.
    named("create", "newfstatat(/proc/self/ns/user", ")", Errno::ENOMEM),
    // "no cgroup file system is mounted"
    named("create", "openat(/proc/thread-self/cgroup", ")", Errno::EMFILE),
    named("run", "openat(/proc/thread-self/cgroup", ")", Errno::ENOMEM),
    // The call was not repeated.
    named("create", "ftruncate", "", Errno::EINTR),
    named("create", "sendto", "", Errno::EINTR),
    named("exec_with_a_terminal", "ioctl", "", Errno::EINTR),
    // The exit code was 0, and the container still existed: the error was taken for a concurrent removal.
    named("delete", "newfstatat()", "", Errno::ENOMEM),
    named("delete", "newfstatat()", "", Errno::ENOSPC),
    // "container not paused", and it was paused.
    named("resume", "openat(", "freezer.state)", Errno::ENOMEM),
    // The killed container stayed frozen: `kill` printed nothing, and `delete --force` gave up after ten seconds.
    named("kill_paused", "openat(", "freezer.state)", Errno::EMFILE),
    named("delete_paused", "openat(", "freezer.state)", Errno::EMFILE),
    // The process continued in the container without a record of it.
    named("exec_of_a_long_one", "poll", "", Errno::ENOMEM),
    // A panic in the standard library.
    named("ps_table", "read", "", Errno::EPERM),
    // "executable file not found in $PATH", "file exists"
    named("checkpoint", "statx(", "/bin/criu)", Errno::ENOMEM),
    named("checkpoint", "statx(", "/checkpoint)", Errno::ENOSPC),
    // Its descriptors were recorded as closed ones.
    named("checkpoint", "readlink(/proc/", "/fd/0)", Errno::ENOMEM),
];
