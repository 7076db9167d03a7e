//! What the tests know about system calls: names, which argument is a path, and possible errnos.

use nix::errno::Errno;

/// Returns a new descriptor: EMFILE.
const OPENS: u8 = 1;
/// A signal may interrupt it: EINTR.
const WAITS: u8 = 2;
/// Memory of this process: it fails only if there is no memory.
const MEMORY: u8 = 4;
/// Cannot fail, or a program could do nothing about the failure.
const NEVER: u8 = 8;

/// The number, the name, which argument is a path, and how the call can fail.
struct CallEntry(i64, &'static str, Option<usize>, u8);

const fn call(number: i64, name: &'static str, traits: u8) -> CallEntry {
    CallEntry(number, name, None, traits)
}

const fn on_path(number: i64, name: &'static str, argument: usize, traits: u8) -> CallEntry {
    CallEntry(number, name, Some(argument), traits)
}

static CALLS: &[CallEntry] = &[
    on_path(libc::SYS_openat, "openat", 1, OPENS | WAITS),
    on_path(libc::SYS_openat2, "openat2", 1, OPENS | WAITS),
    on_path(libc::SYS_open_tree, "open_tree", 1, OPENS),
    on_path(libc::SYS_newfstatat, "newfstatat", 1, 0),
    on_path(libc::SYS_statx, "statx", 1, 0),
    on_path(libc::SYS_statfs, "statfs", 0, WAITS),
    on_path(libc::SYS_faccessat, "faccessat", 1, 0),
    on_path(libc::SYS_faccessat2, "faccessat2", 1, 0),
    on_path(libc::SYS_readlinkat, "readlinkat", 1, 0),
    on_path(libc::SYS_mkdirat, "mkdirat", 1, 0),
    on_path(libc::SYS_unlinkat, "unlinkat", 1, 0),
    on_path(libc::SYS_renameat2, "renameat2", 1, 0),
    on_path(libc::SYS_fchmodat, "fchmodat", 1, 0),
    on_path(libc::SYS_fchownat, "fchownat", 1, 0),
    on_path(libc::SYS_chdir, "chdir", 0, 0),
    on_path(libc::SYS_mount, "mount", 0, 0),
    on_path(libc::SYS_umount2, "umount2", 0, 0),
    on_path(libc::SYS_mount_setattr, "mount_setattr", 1, 0),
    on_path(libc::SYS_move_mount, "move_mount", 1, 0),
    on_path(libc::SYS_execve, "execve", 0, 0),
    call(libc::SYS_execveat, "execveat", 0),
    call(libc::SYS_fstat, "fstat", 0),
    call(libc::SYS_fstatfs, "fstatfs", WAITS),
    call(libc::SYS_read, "read", WAITS),
    call(libc::SYS_pread64, "pread64", WAITS),
    call(libc::SYS_readv, "readv", WAITS),
    call(libc::SYS_write, "write", WAITS),
    call(libc::SYS_pwrite64, "pwrite64", WAITS),
    call(libc::SYS_writev, "writev", WAITS),
    call(libc::SYS_lseek, "lseek", 0),
    call(libc::SYS_ftruncate, "ftruncate", WAITS),
    call(libc::SYS_fchmod, "fchmod", 0),
    call(libc::SYS_fchown, "fchown", 0),
    call(libc::SYS_flock, "flock", WAITS),
    // For options that are kept on a best-effort basis.
    call(libc::SYS_fgetxattr, "fgetxattr", NEVER),
    call(libc::SYS_fsetxattr, "fsetxattr", NEVER),
    call(libc::SYS_getdents64, "getdents64", 0),
    call(libc::SYS_ioctl, "ioctl", WAITS),
    call(libc::SYS_fcntl, "fcntl", 0),
    call(libc::SYS_dup, "dup", OPENS),
    call(libc::SYS_dup3, "dup3", OPENS | WAITS),
    call(libc::SYS_pipe2, "pipe2", OPENS),
    call(libc::SYS_socket, "socket", OPENS),
    call(libc::SYS_socketpair, "socketpair", OPENS),
    call(libc::SYS_bind, "bind", 0),
    call(libc::SYS_listen, "listen", 0),
    call(libc::SYS_connect, "connect", WAITS),
    call(libc::SYS_accept4, "accept4", OPENS | WAITS),
    call(libc::SYS_setsockopt, "setsockopt", 0),
    call(libc::SYS_getsockopt, "getsockopt", 0),
    call(libc::SYS_sendto, "sendto", WAITS),
    call(libc::SYS_sendmsg, "sendmsg", WAITS),
    call(libc::SYS_recvfrom, "recvfrom", WAITS),
    call(libc::SYS_recvmsg, "recvmsg", WAITS),
    call(libc::SYS_ppoll, "ppoll", WAITS),
    call(libc::SYS_epoll_create1, "epoll_create1", OPENS),
    call(libc::SYS_epoll_ctl, "epoll_ctl", 0),
    call(libc::SYS_epoll_pwait, "epoll_pwait", WAITS),
    call(libc::SYS_eventfd2, "eventfd2", OPENS),
    call(libc::SYS_signalfd4, "signalfd4", OPENS),
    call(libc::SYS_timerfd_create, "timerfd_create", OPENS),
    call(libc::SYS_inotify_init1, "inotify_init1", OPENS),
    call(libc::SYS_memfd_create, "memfd_create", OPENS),
    call(libc::SYS_bpf, "bpf", OPENS),
    call(libc::SYS_fsopen, "fsopen", OPENS),
    call(libc::SYS_fsconfig, "fsconfig", 0),
    call(libc::SYS_fsmount, "fsmount", OPENS),
    call(libc::SYS_clone, "clone", 0),
    call(libc::SYS_clone3, "clone3", OPENS),
    call(libc::SYS_pidfd_open, "pidfd_open", OPENS),
    call(libc::SYS_pidfd_send_signal, "pidfd_send_signal", 0),
    call(libc::SYS_kill, "kill", 0),
    call(libc::SYS_waitid, "waitid", WAITS),
    call(libc::SYS_wait4, "wait4", WAITS),
    call(libc::SYS_nanosleep, "nanosleep", WAITS),
    call(libc::SYS_clock_nanosleep, "clock_nanosleep", WAITS),
    call(libc::SYS_prctl, "prctl", 0),
    call(libc::SYS_prlimit64, "prlimit64", 0),
    call(libc::SYS_seccomp, "seccomp", 0),
    call(libc::SYS_capget, "capget", 0),
    call(libc::SYS_getcwd, "getcwd", 0),
    call(libc::SYS_uname, "uname", 0),
    call(libc::SYS_getrandom, "getrandom", WAITS),
    call(libc::SYS_sched_getaffinity, "sched_getaffinity", 0),
    // It does not fail with an errno: it returns the old break. mmap(2) covers a lack of memory.
    call(libc::SYS_brk, "brk", NEVER),
    call(libc::SYS_mmap, "mmap", MEMORY),
    call(libc::SYS_mremap, "mremap", MEMORY),
    call(libc::SYS_mprotect, "mprotect", MEMORY),
    call(libc::SYS_madvise, "madvise", MEMORY),
    call(libc::SYS_munmap, "munmap", NEVER),
    call(libc::SYS_close, "close", NEVER),
    call(libc::SYS_exit, "exit", NEVER),
    call(libc::SYS_exit_group, "exit_group", NEVER),
    call(libc::SYS_futex, "futex", NEVER),
    call(libc::SYS_gettid, "gettid", NEVER),
    call(libc::SYS_getpid, "getpid", NEVER),
    call(libc::SYS_getppid, "getppid", NEVER),
    call(libc::SYS_getuid, "getuid", NEVER),
    call(libc::SYS_geteuid, "geteuid", NEVER),
    call(libc::SYS_getgid, "getgid", NEVER),
    call(libc::SYS_getegid, "getegid", NEVER),
    call(libc::SYS_sched_yield, "sched_yield", NEVER),
    call(libc::SYS_set_robust_list, "set_robust_list", NEVER),
    call(libc::SYS_rseq, "rseq", NEVER),
    call(libc::SYS_rt_sigreturn, "rt_sigreturn", NEVER),
    // With a set of this process's signals only EFAULT and EINVAL are possible.
    call(libc::SYS_rt_sigprocmask, "rt_sigprocmask", NEVER),
    call(libc::SYS_rt_sigaction, "rt_sigaction", NEVER),
    call(libc::SYS_sigaltstack, "sigaltstack", NEVER),
];

/// Calls that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
static OLD: &[CallEntry] = &[
    on_path(libc::SYS_open, "open", 0, OPENS | WAITS),
    on_path(libc::SYS_stat, "stat", 0, 0),
    on_path(libc::SYS_lstat, "lstat", 0, 0),
    on_path(libc::SYS_access, "access", 0, 0),
    on_path(libc::SYS_readlink, "readlink", 0, 0),
    on_path(libc::SYS_mkdir, "mkdir", 0, 0),
    on_path(libc::SYS_rmdir, "rmdir", 0, 0),
    on_path(libc::SYS_unlink, "unlink", 0, 0),
    on_path(libc::SYS_rename, "rename", 0, 0),
    on_path(libc::SYS_chown, "chown", 0, 0),
    on_path(libc::SYS_chmod, "chmod", 0, 0),
    call(libc::SYS_pipe, "pipe", OPENS),
    call(libc::SYS_poll, "poll", WAITS),
    call(libc::SYS_select, "select", WAITS),
    call(libc::SYS_epoll_wait, "epoll_wait", WAITS),
    call(libc::SYS_fork, "fork", 0),
    call(libc::SYS_vfork, "vfork", 0),
    call(libc::SYS_arch_prctl, "arch_prctl", NEVER),
    call(libc::SYS_time, "time", NEVER),
];
#[cfg(not(target_arch = "x86_64"))]
static OLD: &[CallEntry] = &[];

fn kind(number: i64) -> Option<&'static CallEntry> {
    CALLS.iter().chain(OLD).find(|kind| kind.0 == number)
}

/// The call's name; empty if the table does not have it.
pub fn name(number: i64) -> &'static str {
    kind(number).map_or("", |kind| kind.1)
}

/// The argument that is a path.
pub fn path_argument(number: i64) -> Option<usize> {
    kind(number).and_then(|kind| kind.2)
}

/// The errnos that the call can return if the machine runs out of a resource, if the call is forbidden, and if a
/// signal interrupts it; nothing for a call that cannot fail.
pub fn refusals(number: i64, args: [u64; 6]) -> Vec<Errno> {
    let traits = kind(number).map_or(0, |kind| kind.3);
    if traits & NEVER != 0 {
        return Vec::new();
    }
    if traits & MEMORY != 0 {
        return vec![Errno::ENOMEM];
    }
    let control = if number == libc::SYS_fcntl { args[1] as i32 } else { -1 };
    if control == libc::F_GETFD {
        return Vec::new(); // It fails only for a descriptor that is not open.
    }
    let opens = traits & OPENS != 0 || [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC].contains(&control);
    if [libc::SYS_nanosleep, libc::SYS_clock_nanosleep].contains(&number) {
        return vec![Errno::EINTR]; // The other errnos concern its arguments.
    }
    let mut all = vec![Errno::ENOMEM, Errno::ENOSPC, Errno::EPERM];
    all.extend(opens.then_some(Errno::EMFILE));
    all.extend((traits & WAITS != 0).then_some(Errno::EINTR));
    all
}

/// Whether the call allocates memory for the process: a program in Rust aborts if that fails.
pub fn gives_memory(number: i64) -> bool {
    kind(number).is_some_and(|kind| kind.3 & MEMORY != 0)
}
