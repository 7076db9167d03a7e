//! What the stub answers with numbers becomes an error with words.

use super::compile::Plan;
use super::explain::operation;
use super::step::{Line, Step};
use crate::error::errno_text;
use crate::mount::options::FSCONFIG_STRING_MAX;
use crate::{Error, ErrorKind, Phase};
use nix::errno::Errno;

impl Plan {
    /// The error for a step that failed at system call `call` (none: at a check of the stub's own).
    pub(crate) fn failure(&self, step: u16, call: Option<u32>, errno: Errno) -> Error {
        let Some(line) = self.lines.get(usize::from(step)) else {
            return Error::sys(Phase::Launch, operation(call), errno);
        };
        match &line.step {
            Step::FindProgram { name, .. } => not_found(name, errno),
            Step::Execute { args, .. } if call == Some(libc::SYS_execve as u32) => {
                self.not_executed(args, errno)
            }
            Step::NoProgram => {
                Error::new(ErrorKind::InvalidConfig, Phase::Exec, "there is no process to start")
                    .with_pointer("/process")
            }
            _ => ordinary(line, call, errno),
        }
    }

    /// The error for a stub that was killed at a step.
    pub(crate) fn death(&self, step: u16) -> Error {
        let at = self.lines.get(usize::from(step)).map_or_else(|| "its start".into(), |l| l.step.to_string());
        Error::new(ErrorKind::System, Phase::Launch, "the init process was killed")
            .with_detail(format!("at step {step} ({at})"))
            .with_hint("a memory limit too small for the process, or somebody's SIGKILL")
    }

    fn not_executed(&self, args: &[String], errno: Errno) -> Error {
        let found = self.lines.iter().find_map(|line| match &line.step {
            Step::FindProgram { candidates, .. } if candidates.len() == 1 => candidates.first().cloned(),
            _ => None,
        });
        let name = found.or_else(|| args.first().cloned()).unwrap_or_default();
        let error = Error::new(ErrorKind::Exec, Phase::Exec, format!("exec {name}: {}", errno_text(errno)))
            .with_plain_errno(errno);
        match errno {
            Errno::ENOENT => error.with_hint("the file is there, but its interpreter or loader is not"),
            Errno::ENOEXEC => error.with_hint("a script without #!, or a program for another processor"),
            Errno::EACCES => {
                error.with_hint("is it on a noexec mount, or is its interpreter not executable?")
            }
            _ => error,
        }
    }
}

/// The texts that engines match on to tell exit status 127 from 126.
fn not_found(name: &str, errno: Errno) -> Error {
    let text = match errno {
        Errno::ENOENT if name.contains('/') => {
            format!("exec: {name:?}: stat {name}: no such file or directory")
        }
        Errno::ENOENT => format!("exec: {name:?}: executable file not found in $PATH"),
        _ => format!("exec: {name:?}: {}", errno_text(errno)),
    };
    Error::new(ErrorKind::Exec, Phase::Exec, text).with_plain_errno(errno)
}

fn ordinary(line: &Line, call: Option<u32>, errno: Errno) -> Error {
    let mut error = Error::sys(phase(&line.step), operation(call), errno).on(line.step.to_string());
    if let Some(pointer) = line.pointer() {
        error = error.with_pointer(pointer);
    }
    match hint(&line.step, call, errno) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn phase(step: &Step) -> Phase {
    match step {
        Step::MakeCgroup { .. }
        | Step::StartScope { .. }
        | Step::JoinCgroup { .. }
        | Step::MakeResctrl { .. }
        | Step::JoinResctrl { .. } => Phase::Cgroup,
        Step::Spawn { .. } | Step::Undumpable | Step::HandOver { .. } | Step::AwaitHost(_) => Phase::Launch,
        Step::WriteIdMaps
        | Step::MoveNetDevices { .. }
        | Step::JoinNamespace { .. }
        | Step::Unshare { .. }
        | Step::BecomeRoot
        | Step::TimeNamespace { .. }
        | Step::Loopback
        | Step::HostName(_)
        | Step::DomainName(_)
        | Step::Sysctl { .. } => Phase::Namespace,
        Step::HostPropagation { .. }
        | Step::Root { .. }
        | Step::HostRoot
        | Step::Mount { .. }
        | Step::CgroupMount { .. }
        | Step::MakeNode(_)
        | Step::DevLinks { .. }
        | Step::Mask { .. }
        | Step::ReadonlyPath { .. }
        | Step::ReadonlyMount { .. }
        | Step::Pivot { .. }
        | Step::ReadonlyRoot
        | Step::Unmount { .. }
        | Step::RootPropagation { .. } => Phase::Mount,
        Step::Seccomp { .. } => Phase::Seccomp,
        Step::RunHooks { .. } => Phase::Hook,
        Step::FindProgram { .. } | Step::Execute { .. } | Step::NoProgram => Phase::Exec,
        _ => Phase::Process,
    }
}

fn hint(step: &Step, call: Option<u32>, errno: Errno) -> Option<&'static str> {
    Some(match (step, errno) {
        (Step::Mount { mount, .. }, Errno::ELOOP) if mount.no_symlinks => {
            "proc and sysfs must be mounted on ordinary directories, not through symbolic links"
        }
        (Step::Unmount { .. }, Errno::EINVAL) => "nothing is mounted there, or not for this container alone",
        (Step::Unmount { .. }, Errno::ELOOP) => {
            "name the mount point itself, not a symbolic link that leads there"
        }
        (Step::Mount { mount, .. }, Errno::ENOTDIR) if mount.options.bind.is_some() => {
            "are you trying to mount a directory onto a file (or vice-versa)? check if the specified host \
             path exists and is the expected type"
        }
        // What move_mount(2) says of the same: the tree attached is a directory, the mount point is none, or the reverse.
        (Step::Mount { mount, .. }, Errno::EINVAL)
            if mount.options.bind.is_some() && call == Some(libc::SYS_move_mount as u32) =>
        {
            "not a directory: are you trying to mount a directory onto a file (or vice-versa)? check if the \
             specified host path exists and is the expected type"
        }
        (Step::Mount { .. }, Errno::ENODEV) => "the kernel does not know this file system type",
        (Step::Mount { mount, .. }, Errno::EPERM) if mount.kind == "proc" || mount.kind == "sysfs" => {
            "in a user namespace the host's own /proc or /sys must be wholly visible"
        }
        (Step::Mount { mount, .. }, Errno::EINVAL)
            if mount
                .options
                .data
                .iter()
                .any(|o| o.value.as_ref().is_some_and(|v| v.len() > FSCONFIG_STRING_MAX)) =>
        {
            "fsconfig(2) takes options of 255 bytes at most; the layers of an overlay may be longer since Linux 6.7"
        }
        (Step::Mount { mount, .. }, Errno::EINVAL) if !mount.kind.is_empty() => {
            "an option that this file system does not know?"
        }
        (Step::Rlimit { .. }, Errno::EPERM) => "raising a hard limit takes CAP_SYS_RESOURCE",
        (Step::OomScoreAdj(_), Errno::EACCES) => "lowering oom_score_adj takes CAP_SYS_RESOURCE",
        (Step::Keyring { .. }, Errno::EDQUOT) => {
            "the user's key quota is used up; see /proc/key-users, or use --no-new-keyring"
        }
        (Step::Identity { .. } | Step::BecomeRoot, Errno::EINVAL) => {
            "the id is not mapped into the user namespace"
        }
        (Step::MakeNode(_), Errno::EEXIST) => "the image has something else at this path",
        (Step::Pivot { .. }, Errno::EINVAL) => "is the host's root an initramfs? then use --no-pivot",
        (Step::Capabilities { .. }, Errno::EPERM) => "a capability that the caller does not have itself",
        (Step::JoinCgroup { .. }, Errno::ENOSPC) => "the cgroup's cpuset has no cpus or mems",
        (Step::Seccomp { listener: Some(_), .. }, Errno::EAGAIN) => {
            "a thread has to send the listener, as the profile does not allow sendmsg(2): is pids.limit too small?"
        }
        (Step::Seccomp { listener: Some(_), .. }, Errno::EBUSY) => {
            "the caller is itself under a filter with a listener, and a process can only have one"
        }
        (Step::WriteLabel { .. }, Errno::ENOENT) => "is the AppArmor profile loaded?",
        _ => return None,
    })
}
