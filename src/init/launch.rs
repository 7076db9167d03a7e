//! The host side of a launch: puts the plan into memory, spawns the stub, takes its answers.

use super::program::program;
use crate::plan::machine::{BLOB, NO_CALL, control, state};
use crate::sys::memfd::memfd_create;
use crate::sys::process;
use crate::sys::spawn::{self, Request};
use crate::sys::unix;
use crate::sys::{self, channel};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// What to launch.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// An encoded plan ([`Plan::encode`](crate::plan::Plan::encode)).
    pub(crate) blob: Vec<u8>,
    /// Descriptors for the registers from 2 on; -1 where a register has none.
    pub(crate) presets: &'a [RawFd],
    /// `CLONE_NEW*` for the stub's birth.
    pub(crate) namespaces: u64,
    /// The cgroup2 directory of its birth.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// Its standard descriptors.
    pub(crate) stdio: [Option<BorrowedFd<'a>>; 3],
    /// Descriptors from 3 on that its program keeps.
    pub(crate) preserve: u32,
    /// The stub that is spawned clones the final one ([`Step::HandOver`](crate::plan::Step)).
    pub(crate) two_stages: bool,
    /// Makes a step fail, for tests.
    pub(crate) fault: Option<u16>,
}

/// A stub at work.
#[derive(Debug)]
pub(crate) struct Stub {
    /// The process, as the host counts.
    pub(crate) pid: i32,
    /// The process.
    pub(crate) pidfd: OwnedFd,
    control: OwnedFd,
    memory: Memory,
    /// It is the first of two processes still.
    first: bool,
}

/// The file behind a launch; its first page is the control page.
#[derive(Debug)]
pub(crate) struct Memory {
    file: OwnedFd,
}

/// What the stub says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It waits for the host side to do its part.
    Turn,
    /// It is done up to where `start` takes over.
    Created,
    /// It has executed the program.
    Executed,
    /// A step failed.
    Failed(StubFailure),
    /// It died at a step.
    Died(u16),
}

/// Which step failed, at which system call (none: a check), with what errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StubFailure {
    /// Index of the plan's line.
    pub(crate) step: u16,
    /// Number of the system call.
    pub(crate) call: Option<u32>,
    /// The kernel's answer.
    pub(crate) errno: Errno,
    /// Which of several.
    pub(crate) detail: u32,
}

impl Memory {
    /// The file that a stub has handed over.
    pub(crate) fn adopt(file: OwnedFd) -> Self {
        Self { file }
    }

    /// The control page's words, as they are now; zeros where they cannot be read. A few bytes of a file in
    /// memory are read faster than a page is mapped.
    fn words(&self) -> [u32; control::WORDS] {
        let (mut bytes, mut words) = (Vec::new(), [0; control::WORDS]);
        let _ = sys::fs::append_from(&self.file, 0, 4 * control::WORDS, &mut bytes);
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        words
    }

    /// What the control page says once the stub has closed its end.
    pub(crate) fn verdict(&self) -> Answer {
        let words = self.words();
        let word = |offset: usize| words[offset / 4];
        match word(control::STATE) {
            state::CREATED => Answer::Created,
            state::EXECUTING => Answer::Executed,
            state::FAILED => Answer::Failed(StubFailure {
                step: word(control::STEP) as u16,
                call: Some(word(control::CALL)).filter(|call| *call != NO_CALL),
                errno: Errno::from_raw(word(control::ERRNO) as i32),
                detail: word(control::DETAIL),
            }),
            _ => Answer::Died(word(control::STEP) as u16),
        }
    }
}

impl Launch<'_> {
    /// Spawns the stub; the final one, where there are two.
    pub(crate) fn spawn(self) -> Result<Stub> {
        let mut stub = self.begin()?;
        stub.follow()?;
        Ok(stub)
    }

    /// Spawns the stub. Where there are two, the caller is to [`follow`](Stub::follow) to the final one, once he
    /// has heard of it: nobody needs to wake up before.
    pub(crate) fn begin(mut self) -> Result<Stub> {
        let error = |call: &'static str, errno| Error::sys(Phase::Launch, call, errno);
        let (ours, theirs) = channel::pair().map_err(|e| error("socketpair", e))?;
        let file = memfd_create(c"orlop-plan", 0).map_err(|e| error("memfd_create", e))?;
        self.preset(theirs.as_raw_fd(), file.as_raw_fd());
        channel::fill(&file, BLOB, &self.blob).map_err(|e| error("write the plan", e))?;
        let memory = Memory::adopt(file);
        let number = |n: usize| CString::new(n.to_string()).unwrap_or_default();
        let (fd, length) = (number(memory.file.as_raw_fd() as usize), number(self.blob.len()));
        let mut keep: Vec<RawFd> = self.presets.iter().copied().filter(|fd| *fd > 2).collect();
        keep.extend([theirs.as_raw_fd(), memory.file.as_raw_fd()]);
        let program = program()?;
        let spawned = spawn::spawn(&Request {
            namespaces: self.namespaces,
            cgroup: self.cgroup,
            program: program.as_fd(),
            args: &[c"orlop-init", &fd, &length],
            stdio: self.stdio,
            keep: &keep,
            preserve: self.preserve,
        })
        .map_err(|failure| spawn_error(failure, self.namespaces))?;
        drop(theirs);
        let first = self.two_stages;
        Ok(Stub { pid: spawned.pid, pidfd: spawned.pidfd, control: ours, memory, first })
    }

    /// Writes the descriptors' numbers and the fault into the blob's header.
    fn preset(&mut self, control: RawFd, memory: RawFd) {
        if let Some(step) = self.fault {
            self.blob[12..16].copy_from_slice(&u32::from(step).to_ne_bytes());
        }
        let all = [control, memory].into_iter().chain(self.presets.iter().copied());
        for (place, fd) in self.blob[16..].chunks_exact_mut(4).zip(all) {
            place.copy_from_slice(&fd.to_ne_bytes());
        }
    }
}

fn spawn_error(failure: spawn::Failure, namespaces: u64) -> Error {
    let error = Error::sys(Phase::Launch, failure.call, failure.errno);
    match failure.errno {
        Errno::ECANCELED if failure.call == "clone3" => error.with_detail("killed before it ran").with_hint(
            "the caller's own cgroup was killed once, and then the kernel lets no child be born in another: \
             join it by its files",
        ),
        Errno::EPERM if failure.call == "clone3" && namespaces & libc::CLONE_NEWUSER as u64 == 0 => error
            .with_hint(
                "new namespaces need root, or a user namespace of their own (/linux/namespaces, type user)",
            ),
        Errno::EPERM | Errno::EUSERS | Errno::ENOSPC if failure.call == "clone3" => error.with_hint(
            "user namespaces may be switched off or used up: see /proc/sys/user/max_*_namespaces and \
             kernel.unprivileged_userns_clone",
        ),
        _ => error,
    }
}

impl Stub {
    /// Goes on with the process which the spawned one has cloned, if there are two.
    pub(crate) fn follow(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.first) {
            return Ok(());
        }
        process::wait(&self.pidfd, true).map_err(|e| Error::sys(Phase::Launch, "waitid", e))?;
        let pid = self.memory.words()[control::PID / 4] as i32;
        if pid == 0 {
            // The caller asks `answer`, which says at which step.
            return Ok(());
        }
        // A child of ours (CLONE_PARENT) that we have not waited for: its number cannot be another's.
        self.pidfd = process::pidfd_open(pid).map_err(|e| Error::sys(Phase::Launch, "pidfd_open", e))?;
        self.pid = pid;
        Ok(())
    }

    /// Waits until the stub has something to say.
    pub(crate) fn answer(&self) -> Result<Answer> {
        match channel::receive(&self.control) {
            Ok(true) => Ok(Answer::Turn),
            Ok(false) => Ok(self.memory.verdict()),
            Err(errno) => Err(Error::sys(Phase::Launch, "read from the init stub", errno)),
        }
    }

    /// The same, with the descriptor that comes with a turn.
    pub(crate) fn answer_with_descriptor(&self) -> Result<(Answer, Option<OwnedFd>)> {
        match unix::receive(&self.control) {
            Ok((0, _)) | Err(Errno::ECONNRESET) => Ok((self.memory.verdict(), None)),
            Ok((_, fd)) => Ok((Answer::Turn, fd)),
            Err(errno) => Err(Error::sys(Phase::Launch, "read from the init stub", errno)),
        }
    }

    /// Lets it go on after its [`Answer::Turn`].
    pub(crate) fn go(&self) -> Result<()> {
        channel::send(&self.control)
            .map_err(|errno| Error::sys(Phase::Launch, "write to the init stub", errno))
    }

    /// [`destroy`](Self::destroy) where nobody may have followed yet.
    pub(crate) fn abandon(&mut self) {
        if self.first {
            let _ = process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
            let _ = self.follow();
        }
        self.destroy();
    }

    /// Ends it and takes its status; for the way back from a failure.
    pub(crate) fn destroy(&self) {
        let _ = process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
        let _ = process::wait(&self.pidfd, true);
    }
}
