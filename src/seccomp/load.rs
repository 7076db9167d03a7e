//! Loading a program, and what the kernel can do.

use super::{Action, Flag, Program};
use crate::sys::seccomp::{self as sys, Refused};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// What this kernel's seccomp(2) knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompSupport {
    /// Flags it accepts.
    pub flags: Vec<Flag>,
    /// Actions it accepts, by their names in `config.json`.
    pub actions: Vec<&'static str>,
}

impl SeccompSupport {
    /// Asks the kernel. Changes nothing.
    pub fn probe() -> Self {
        let known = |flag: &Flag| {
            let bits = match flag {
                // Means something only for a filter with a listener.
                Flag::WaitKillableRecv => flag.bit() | sys::NEW_LISTENER,
                _ => flag.bit(),
            };
            sys::flags_available(bits)
        };
        let actions = [
            Action::Allow,
            Action::Errno(0),
            Action::KillProcess,
            Action::KillThread,
            Action::Log,
            Action::Notify,
            Action::Trace(0),
            Action::Trap,
        ];
        Self {
            flags: Flag::ALL.into_iter().filter(known).collect(),
            actions: actions
                .into_iter()
                .filter(|a| sys::action_available(a.value()))
                .map(Action::name)
                .collect(),
        }
    }

    /// The flag word for a program on this kernel, without `NEW_LISTENER`. A flag which the
    /// profile asks for and the kernel lacks is an error; where the profile leaves them to us it
    /// is `SPEC_ALLOW` if there is such a flag. `WAIT_KILLABLE_RECV` means notifications, and is left out
    /// where there are none.
    pub fn flag_word(&self, program: &Program) -> Result<u32> {
        let Some(flags) = program.flags() else {
            let default = self.flags.contains(&Flag::SpecAllow);
            return Ok(if default { Flag::SpecAllow.bit() } else { 0 });
        };
        let mut word = 0;
        for (i, flag) in flags.iter().enumerate() {
            if !self.flags.contains(flag) {
                let why = format!("this kernel does not know the seccomp flag {}", flag.name());
                return Err(Error::unsupported(Phase::Seccomp, format!("/linux/seccomp/flags/{i}"), why));
            }
            if *flag != Flag::WaitKillableRecv || program.notifies {
                word |= flag.bit();
            }
        }
        Ok(word)
    }

    /// The same with `NEW_LISTENER`, for a process of one thread: `TSYNC` says nothing to it.
    pub(crate) fn flag_word_with_listener(&self, program: &Program) -> Result<u32> {
        Ok((self.flag_word(program)? & !Flag::Tsync.bit()) | sys::NEW_LISTENER)
    }

    /// An error naming the first action of the program that this kernel lacks.
    pub fn check_actions(&self, program: &Program) -> Result<()> {
        match program.actions().into_iter().find(|a| !self.actions.contains(&a.name())) {
            None => Ok(()),
            Some(action) => Err(Error::unsupported(
                Phase::Seccomp,
                "/linux/seccomp",
                format!("this kernel does not know the seccomp action {}", action.name()),
            )),
        }
    }
}

/// How to load a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Set no_new_privs first (for good, for this thread and what it starts). Without it loading takes
    /// `CAP_SYS_ADMIN` in the thread's user namespace.
    pub no_new_privs: bool,
}

impl Program {
    /// Loads the program into the calling thread, for good. Other threads are not touched unless
    /// the profile has [`Flag::Tsync`]. A program that notifies is refused: see
    /// [`load_with_listener`](Self::load_with_listener).
    pub fn load(&self, options: LoadOptions) -> Result<()> {
        if self.notifies {
            let why = "the profile notifies: its program must be loaded with a listener";
            return Err(Error::unsupported(Phase::Seccomp, "/linux/seccomp/syscalls", why));
        }
        self.install(options, 0).map(drop)
    }

    /// Loads the program into the calling thread, for good, and returns the listener through
    /// which its notifications come (seccomp_unotify(2)).
    pub fn load_with_listener(&self, options: LoadOptions) -> Result<OwnedFd> {
        let listener = self.install(options, sys::NEW_LISTENER)?;
        listener.ok_or_else(|| Error::sys(Phase::Seccomp, "seccomp", Errno::EBADF))
    }

    fn install(&self, options: LoadOptions, extra: u32) -> Result<Option<OwnedFd>> {
        let support = SeccompSupport::probe();
        support.check_actions(self)?;
        let mut word = support.flag_word(self)? | extra;
        if extra != 0 && word & Flag::Tsync.bit() != 0 {
            // A listener and a thread's id cannot both be the answer.
            word |= sys::TSYNC_ESRCH;
        }
        if options.no_new_privs {
            sys::set_no_new_privs()
                .map_err(|e| Error::sys(Phase::Seccomp, "prctl(PR_SET_NO_NEW_PRIVS)", e))?;
        }
        sys::set_mode_filter(word, &self.code).map_err(|refused| match refused {
            Refused::Errno(Errno::EACCES) => {
                Error::sys(Phase::Seccomp, "load the seccomp filter", Errno::EACCES)
                    .with_hint("loading takes CAP_SYS_ADMIN or no_new_privs")
            }
            Refused::Errno(errno) => Error::sys(Phase::Seccomp, "load the seccomp filter", errno),
            Refused::Thread(thread) => Error::sys(Phase::Seccomp, "load the seccomp filter", Errno::ESRCH)
                .with_detail(format!("thread {thread} has a filter that the calling thread has not")),
        })
    }
}
