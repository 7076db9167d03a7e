//! Finds foreign processes in this pid namespace, and takes from them everything that it can get.

use crate::{json, sys};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

/// How many pids ahead of the last process it checks.
const AHEAD: i32 = 4;
/// The number of idle rounds after which it asks the kernel for the last pid.
const IDLE: u32 = 400;
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// Leads to the host's root from any directory.
const UP: &str = "../../../../../../../../../../../../../../..";

/// Prints a line for each thing that it gets from a process, for ever. The canary is a directory of the host: its
/// file `bird` shows that the finder is outside. `confined`: a process that requests a procfs on Linux before 6.18
/// has a capability that it cannot use otherwise (`stepping::run_in_a_pid_namespace_of_an_older_kernel`).
pub(super) fn prowl(canary: &str, confined: bool) {
    let own = capabilities("self");
    println!("{}", json!({"ready": true}));
    let (mut next, mut idle) = (last_process() + 1, 0);
    loop {
        idle += 1;
        if let Some(pid) = (next..next + AHEAD).find(|pid| exists(*pid)) {
            Quarry { pid, canary, own, confined, had: BTreeSet::new() }.follow();
            (next, idle) = (pid + 1, 0);
        }
        if idle > IDLE {
            (next, idle) = (last_process() + 1, 0);
        }
    }
}

/// The last field of loadavg is the pid that this namespace allocated last.
fn last_process() -> i32 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().last().and_then(|number| number.parse().ok()).unwrap_or(1)
}

fn exists(pid: i32) -> bool {
    nix::unistd::access(format!("/proc/{pid}").as_str(), nix::unistd::AccessFlags::F_OK).is_ok()
}

fn capabilities(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap_or("0");
    u64::from_str_radix(line.trim(), 16).unwrap_or(0)
}

struct Quarry<'a> {
    pid: i32,
    canary: &'a str,
    own: u64,
    confined: bool,
    had: BTreeSet<&'static str>,
}

impl Quarry<'_> {
    /// Follows the process until it has exited.
    fn follow(&mut self) {
        while exists(self.pid) {
            self.root();
            self.directory("cwd");
            self.descriptors();
            self.executable();
            self.memory();
        }
    }

    fn won(&mut self, kind: &'static str, what: &str) {
        if self.had.insert(kind) {
            println!("{}", json!({"won": kind, "pid": self.pid, "what": what}));
        }
    }

    /// The capabilities of the process that this one does not have.
    fn extra(&self) -> u64 {
        let extra = capabilities(&self.pid.to_string()) & !self.own;
        if extra == CAP_SYS_ADMIN && self.confined && self.is_confined() { 0 } else { extra }
    }

    /// Whether the process is under a filter and in an empty root.
    fn is_confined(&self) -> bool {
        let path = format!("/proc/{}", self.pid);
        let status = fs::read_to_string(format!("{path}/status")).unwrap_or_default();
        let mut root = fs::read_dir(format!("{path}/root")).into_iter().flatten();
        status.contains("\nSeccomp:\t2\n") && root.next().is_none()
    }

    fn root(&mut self) {
        let outside = format!("/proc/{}/root{}", self.pid, self.canary);
        if has_bird(&format!("{outside}/bird")) {
            self.won("read", "a file of the host through /proc/N/root");
            if File::create(format!("{outside}/written-by-{}", self.pid)).is_ok() {
                self.won("write", "a file of the host through /proc/N/root");
            }
        }
    }

    /// Everything can be reached from a directory of the host.
    fn directory(&mut self, what: &'static str) -> bool {
        let found = has_bird(&format!("/proc/{}/{what}/{UP}{}/bird", self.pid, self.canary));
        if found {
            self.won(if what == "cwd" { "cwd" } else { "fd" }, "a directory of the host");
        }
        found
    }

    fn descriptors(&mut self) {
        for number in 0..24 {
            let path = format!("/proc/{}/fd/{number}", self.pid);
            let Ok(kind) = fs::metadata(&path) else { continue };
            if kind.is_dir() && has_bird(&format!("{path}/{UP}{}/bird", self.canary)) {
                self.won("fd", "a descriptor of a directory of the host");
            }
            if kind.file_type().is_socket() || kind.is_dir() {
                self.take(number);
            }
        }
    }

    /// pidfd_getfd(2): also for sockets, which cannot be opened again by name.
    fn take(&mut self, number: i64) {
        let call = |number, args| sys::syscall(number, args).map(|fd| sys::own(fd as i32));
        let Ok(process) = call(libc::SYS_pidfd_open, [self.pid.into(), 0, 0, 0, 0, 0]) else { return };
        let raw = std::os::fd::AsRawFd::as_raw_fd(&process);
        let Ok(taken) = call(libc::SYS_pidfd_getfd, [raw.into(), number, 0, 0, 0, 0]) else { return };
        let Ok(kind) = fstat(&taken) else { return };
        let kind = SFlag::from_bits_truncate(kind.st_mode & SFlag::S_IFMT.bits());
        if kind == SFlag::S_IFDIR && self.climbs(&taken) {
            self.won("getfd", "a directory of the host by pidfd_getfd(2)");
        }
        if kind == SFlag::S_IFSOCK && self.extra() != 0 {
            self.won("socket", "a socket of a process with more capabilities by pidfd_getfd(2)");
        }
    }

    fn climbs(&self, directory: &OwnedFd) -> bool {
        let path = format!("{UP}{}/bird", self.canary);
        nix::fcntl::openat(directory, path.as_str(), OFlag::O_RDONLY, Mode::empty()).is_ok_and(is_bird)
    }

    /// A file that can be written to, and will be executed again.
    fn executable(&mut self) {
        let path = format!("/proc/{}/exe", self.pid);
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let Ok(file) = open(path.as_str(), flags, Mode::empty()) else { return };
        let seals = fcntl(file.as_fd(), FcntlArg::F_GET_SEALS).unwrap_or(0);
        if !SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_WRITE) {
            self.won("exe", "its executable file can be written to");
        }
    }

    /// A process that can write to another one's memory can do what that one can.
    fn memory(&mut self) {
        let path = format!("/proc/{}/mem", self.pid);
        let open = open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
        let extra = self.extra();
        // Checked after the open: the descriptor stays with the memory of that moment.
        if open.is_ok() && extra != 0 {
            self.won("mem", &format!("the memory of a process with the additional capabilities {extra:#x}"));
        }
    }
}

fn has_bird(path: &str) -> bool {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).is_ok_and(is_bird)
}

fn is_bird(file: OwnedFd) -> bool {
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).is_ok() && text == "sings"
}
