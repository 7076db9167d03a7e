//! Looks for processes of others in this pid namespace, and takes of them whatever can be had.

use crate::{json, sys};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

/// How far ahead of the last process it looks.
const AHEAD: i32 = 4;
/// Idle rounds until it asks the kernel for the last process.
const IDLE: u32 = 400;
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// Up to the host's root, from wherever.
const UP: &str = "../../../../../../../../../../../../../../..";

/// Prints a line for each thing had of each process, for ever. The canary is a directory of the host's: in it the
/// file `bird` says that its finder is outside. `confined`: a process that asks for a procfs on Linux before 6.18 has a
/// capability that it can use for nothing else (`stepping::run_in_a_pid_namespace_of_an_older_kernel`).
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

/// The last field of loadavg is the number that this pid namespace gave last.
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
    /// Until it is gone.
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

    /// The capabilities of the process which this one has not.
    fn extra(&self) -> u64 {
        let extra = capabilities(&self.pid.to_string()) & !self.own;
        if extra == CAP_SYS_ADMIN && self.confined && self.is_confined() { 0 } else { extra }
    }

    /// Whether the process is under a filter, in an empty root.
    fn is_confined(&self) -> bool {
        let path = format!("/proc/{}", self.pid);
        let status = fs::read_to_string(format!("{path}/status")).unwrap_or_default();
        let mut root = fs::read_dir(format!("{path}/root")).into_iter().flatten();
        status.contains("\nSeccomp:\t2\n") && root.next().is_none()
    }

    fn root(&mut self) {
        let outside = format!("/proc/{}/root{}", self.pid, self.canary);
        if sings(&format!("{outside}/bird")) {
            self.won("read", "a file of the host's through /proc/N/root");
            if File::create(format!("{outside}/written-by-{}", self.pid)).is_ok() {
                self.won("write", "a file of the host's through /proc/N/root");
            }
        }
    }

    /// From a directory of the host's everything can be reached.
    fn directory(&mut self, what: &'static str) -> bool {
        let found = sings(&format!("/proc/{}/{what}/{UP}{}/bird", self.pid, self.canary));
        if found {
            self.won(if what == "cwd" { "cwd" } else { "fd" }, "a directory of the host's");
        }
        found
    }

    fn descriptors(&mut self) {
        for number in 0..24 {
            let path = format!("/proc/{}/fd/{number}", self.pid);
            let Ok(kind) = fs::metadata(&path) else { continue };
            if kind.is_dir() && sings(&format!("{path}/{UP}{}/bird", self.canary)) {
                self.won("fd", "a descriptor of a directory of the host's");
            }
            if kind.file_type().is_socket() || kind.is_dir() {
                self.take(number);
            }
        }
    }

    /// pidfd_getfd(2): sockets too, which cannot be opened again by a name.
    fn take(&mut self, number: i64) {
        let call = |number, args| sys::syscall(number, args).map(|fd| sys::own(fd as i32));
        let Ok(process) = call(libc::SYS_pidfd_open, [self.pid.into(), 0, 0, 0, 0, 0]) else { return };
        let raw = std::os::fd::AsRawFd::as_raw_fd(&process);
        let Ok(taken) = call(libc::SYS_pidfd_getfd, [raw.into(), number, 0, 0, 0, 0]) else { return };
        let Ok(kind) = fstat(&taken) else { return };
        let kind = SFlag::from_bits_truncate(kind.st_mode & SFlag::S_IFMT.bits());
        if kind == SFlag::S_IFDIR && self.climbs(&taken) {
            self.won("getfd", "a directory of the host's by pidfd_getfd(2)");
        }
        if kind == SFlag::S_IFSOCK && self.extra() != 0 {
            self.won("socket", "a socket of a process with more capabilities by pidfd_getfd(2)");
        }
    }

    fn climbs(&self, directory: &OwnedFd) -> bool {
        let path = format!("{UP}{}/bird", self.canary);
        nix::fcntl::openat(directory, path.as_str(), OFlag::O_RDONLY, Mode::empty()).is_ok_and(is_bird)
    }

    /// Something that can be written, and will be executed again.
    fn executable(&mut self) {
        let path = format!("/proc/{}/exe", self.pid);
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let Ok(file) = open(path.as_str(), flags, Mode::empty()) else { return };
        let seals = fcntl(file.as_fd(), FcntlArg::F_GET_SEALS).unwrap_or(0);
        if !SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_WRITE) {
            self.won("exe", "its executable file can be written");
        }
    }

    /// Whoever can write a process's memory can do what that process can.
    fn memory(&mut self) {
        let path = format!("/proc/{}/mem", self.pid);
        let open = open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
        let extra = self.extra();
        // Looked at after the open: what was opened is the memory of then.
        if open.is_ok() && extra != 0 {
            self.won("mem", &format!("the memory of a process with the capabilities {extra:#x} more"));
        }
    }
}

fn sings(path: &str) -> bool {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).is_ok_and(is_bird)
}

fn is_bird(file: OwnedFd) -> bool {
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).is_ok() && text == "sings"
}
