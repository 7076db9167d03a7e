//! Compiled filters: what they are, whether a kernel takes them, and loading them.

use super::arch::Arch;
use super::opcode::RETURN;
use super::rule::{Action, Flag};
use super::simulate::decide;
use crate::sys::seccomp::{self as sys, Instruction, Refused};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// A filter as seccomp(2) takes it. It is displayed as a disassembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompProgram {
    pub(super) code: Vec<Instruction>,
    pub(super) sections: Vec<ArchSection>,
    pub(super) flags: Option<Vec<Flag>>,
    pub(super) notifies: bool,
    pub(super) unknown_names: Vec<String>,
}

/// The instructions of one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArchSection {
    pub(super) arch: Arch,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl SeccompProgram {
    /// The instructions, `struct sock_filter`.
    pub fn instructions(&self) -> &[Instruction] {
        &self.code
    }

    /// The instructions as the kernel reads them: 8 bytes each, in this machine's byte order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.code.len() * 8);
        for i in &self.code {
            bytes.extend_from_slice(&i.code.to_ne_bytes());
            bytes.extend_from_slice(&[i.jt, i.jf]);
            bytes.extend_from_slice(&i.k.to_ne_bytes());
        }
        bytes
    }

    /// The profile's flags; `None` if it leaves them to this library.
    pub fn flags(&self) -> Option<&[Flag]> {
        self.flags.as_deref()
    }

    /// Whether loading it creates a listener whose notifications a supervisor must answer.
    pub fn notifies(&self) -> bool {
        self.notifies
    }

    /// Names in the profile that no architecture has. They are skipped.
    pub fn unknown_names(&self) -> &[String] {
        &self.unknown_names
    }

    /// Every action that the program can return, each once.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for action in self.code.iter().filter(|i| i.code == RETURN).map(|i| Action::from_value(i.k)) {
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
        actions
    }

    /// What the kernel would do with a call. `number` is that of the architecture, with x32's bit.
    pub fn evaluate(&self, arch: Arch, number: u32, arguments: [u64; 6]) -> Action {
        // The kernel accepts no program that runs past its end, and this compiler writes none.
        let decided = decide(&self.code, arch, number, arguments.map(Some));
        decided.map_or(Action::KillProcess, |(action, _)| action)
    }

    /// Loads the program into the calling thread, permanently. Other threads are unaffected unless the profile has
    /// [`Flag::Tsync`].
    ///
    /// # Errors
    /// If the program notifies (see [`load_with_listener`](Self::load_with_listener)), or the kernel refuses it.
    pub fn load(&self, options: LoadOptions) -> Result<()> {
        if self.notifies {
            let why = "the profile has SCMP_ACT_NOTIFY: its program must be loaded with a listener";
            return Err(Error::unsupported(Phase::Seccomp, "/linux/seccomp/syscalls", why));
        }
        self.install(options, 0).map(drop)
    }

    /// Loads the program into the calling thread, permanently, and returns the listener that receives its
    /// notifications; seccomp_unotify(2).
    ///
    /// # Errors
    /// If the kernel refuses the program.
    pub fn load_with_listener(&self, options: LoadOptions) -> Result<OwnedFd> {
        let listener = self.install(options, sys::NEW_LISTENER)?;
        listener.ok_or_else(|| Error::sys(Phase::Seccomp, "seccomp", Errno::EBADF))
    }

    fn install(&self, options: LoadOptions, extra: u32) -> Result<Option<OwnedFd>> {
        let support = SeccompSupport::probe();
        support.check_actions(self)?;
        let mut word = support.flag_word(self)? | extra;
        if extra != 0 && word & Flag::Tsync.bit() != 0 {
            // The return value cannot be both a listener and a thread's ID.
            word |= sys::TSYNC_ESRCH;
        }
        if options.no_new_privs {
            sys::set_no_new_privs()
                .map_err(|e| Error::sys(Phase::Seccomp, "prctl(PR_SET_NO_NEW_PRIVS)", e))?;
        }
        sys::set_mode_filter(word, &self.code).map_err(|refused| match refused {
            Refused::Errno(Errno::EACCES) => {
                Error::sys(Phase::Seccomp, "load the seccomp filter", Errno::EACCES)
                    .with_hint("loading requires CAP_SYS_ADMIN or no_new_privs")
            }
            Refused::Errno(errno) => Error::sys(Phase::Seccomp, "load the seccomp filter", errno),
            Refused::Thread(thread) => Error::sys(Phase::Seccomp, "load the seccomp filter", Errno::ESRCH)
                .with_detail(format!("thread {thread} has a filter that the calling thread does not have")),
        })
    }
}

/// What seccomp(2) of this kernel supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompSupport {
    /// The flags that it accepts.
    pub flags: Vec<Flag>,
    /// The actions that it accepts, by their names in `config.json`.
    pub actions: Vec<&'static str>,
}

impl SeccompSupport {
    /// Asks the kernel. Changes nothing.
    pub fn probe() -> Self {
        let known = |flag: &Flag| {
            let bits = match flag {
                // The kernel accepts it only together with a listener.
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

    /// The flags for a program on this kernel, without `NEW_LISTENER`. If the profile does not set any, they are
    /// `SPEC_ALLOW` if the kernel has that flag. `WAIT_KILLABLE_RECV` concerns notifications, and is left out if the
    /// program makes none.
    ///
    /// # Errors
    /// If the kernel does not support a flag of the profile.
    pub fn flag_word(&self, program: &SeccompProgram) -> Result<u32> {
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

    /// The same with `NEW_LISTENER`, for a process of one thread. `TSYNC` has no effect there, and the kernel refuses
    /// the two together.
    pub(crate) fn flag_word_with_listener(&self, program: &SeccompProgram) -> Result<u32> {
        Ok((self.flag_word(program)? & !Flag::Tsync.bit()) | sys::NEW_LISTENER)
    }

    /// Checks that the kernel supports all actions of the program.
    ///
    /// # Errors
    /// Names the first action that it does not support.
    pub fn check_actions(&self, program: &SeccompProgram) -> Result<()> {
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
    /// Set no_new_privs first, which cannot be undone and is inherited. Without it, loading requires
    /// `CAP_SYS_ADMIN` in the thread's user namespace.
    pub no_new_privs: bool,
}
