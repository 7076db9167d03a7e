//! An exchange of two names after every system call of the runtime that looks at a path: a race without chance.
//!
//! The runtime is traced, and the test itself exchanges the names, so that each round has its own moment. What lies
//! between two such calls cannot tell when the exchange happened; a call that meets it half-way is the kernel's.

use crate::play::Caller;
use kit::Score;
use kit::score::moments;
use kit::trace::{At, Next, Tracer};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Two names that an attacker exchanges, or one that it renames to the other.
pub(crate) struct Swing {
    from: PathBuf,
    to: PathBuf,
    flags: RenameFlags,
    away: Cell<bool>,
}

impl Swing {
    /// Exchanges the two.
    pub(crate) fn exchange(from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Rc<Self> {
        Rc::new(Self::new(from.into(), to.into(), RenameFlags::RENAME_EXCHANGE))
    }

    /// Renames the first one to the second one, and back.
    pub(crate) fn rename(from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Rc<Self> {
        Rc::new(Self::new(from.into(), to.into(), RenameFlags::empty()))
    }

    fn new(from: PathBuf, to: PathBuf, flags: RenameFlags) -> Self {
        Self { from, to, flags, away: Cell::new(false) }
    }

    /// Brings them back if another process has left them exchanged.
    pub(crate) fn settle(&self, away: bool) {
        self.away.set(away);
        self.restore();
    }

    fn swing(&self) {
        let (from, to) = if self.away.get() { (&self.to, &self.from) } else { (&self.from, &self.to) };
        if renameat2(AT_FDCWD, from, AT_FDCWD, to, self.flags).is_ok() {
            self.away.set(!self.away.get());
        }
    }

    /// Brings both names to where they were at first.
    fn restore(&self) {
        if self.away.get() {
            if self.flags.is_empty() {
                // What the victim has created under that name meanwhile.
                let _ = fs::remove_dir_all(&self.from);
            }
            self.swing();
            assert!(!self.away.get(), "{} cannot be brought back", self.from.display());
        }
    }
}

/// What the attacker does in one round.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The names are exchanged once, and stay so.
    Once,
    /// They are exchanged back after the next call.
    Pulse,
    /// They are exchanged after every call from then on.
    Flutter,
}

/// One round: the commands that it calls are traced.
pub(crate) struct Moment {
    swing: Rc<Swing>,
    way: Way,
    /// The number of the call after which the exchange happens.
    at: u64,
    seen: Cell<u64>,
    tracer: RefCell<Tracer>,
}

/// System calls that look at a path, or change what a path means.
const PATHS: [i64; 27] = [
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_readlinkat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_fspick,
    libc::SYS_execve,
    libc::SYS_execveat,
];

#[cfg(target_arch = "x86_64")]
const OLD_PATHS: [i64; 4] = [libc::SYS_open, libc::SYS_mkdir, libc::SYS_readlink, libc::SYS_unlink];
#[cfg(not(target_arch = "x86_64"))]
const OLD_PATHS: [i64; 0] = [];

impl Moment {
    /// Traces one command until it exits: its exit code.
    pub(crate) fn follow(
        &self,
        program: &Path,
        words: &[String],
        env: &[(String, String)],
        cwd: &Path,
        files: [&Path; 2],
    ) -> i32 {
        let mut tracer = self.tracer.borrow_mut();
        let command = tracer.start(program, words, env, cwd, files);
        let code = tracer.follow(Some(command), |pid, at| match at {
            At::Execution if pid != command && !is_stub(pid) => Next::Run,
            At::Call(number) => {
                self.made(number);
                Next::Step
            }
            _ => Next::Step,
        });
        code.unwrap_or(-1)
    }

    fn made(&self, number: i64) {
        if !PATHS.contains(&number) && !OLD_PATHS.contains(&number) {
            return;
        }
        let seen = self.seen.get();
        let again = match self.way {
            Way::Once => false,
            Way::Pulse => seen == self.at.saturating_add(1),
            Way::Flutter => seen > self.at,
        };
        if seen == self.at || again {
            self.swing.swing();
        }
        self.seen.set(seen + 1);
    }
}

fn is_stub(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe"))
        .is_ok_and(|path| path.to_string_lossy().starts_with("/memfd:orlop-init"))
}

/// Plays rounds with an exchange after each of its calls in turn: each way, from both states of the names. If there
/// are more moments than [`kit::score::moments`], those that are played are spread evenly.
pub(crate) fn each<'t>(
    score: &mut Score,
    swing: &Rc<Swing>,
    caller: impl Fn() -> Caller<'t>,
    mut round: impl FnMut(&Caller<'t>) -> Option<String>,
) {
    let mut play = |at, way, away: bool| {
        if away {
            swing.swing();
        }
        let tracer = RefCell::new(Tracer::new());
        let moment = Rc::new(Moment { swing: Rc::clone(swing), way, at, seen: Cell::new(0), tracer });
        let won = round(&caller().traced(Rc::clone(&moment)));
        let seen = moment.seen.get();
        drop(moment);
        swing.restore();
        (won, seen)
    };
    let (_, count) = play(u64::MAX, Way::Once, false);
    assert!(count > 20, "only {count} calls were seen");
    let kinds = [Way::Once, Way::Pulse, Way::Flutter].map(|way| [(way, false), (way, true)]).concat();
    let step = (kinds.len() as u64 * count).div_ceil(moments());
    for (number, (way, away)) in (0..).zip(kinds) {
        // Each kind has other calls, so that few rounds meet many.
        let mut at = number * step / 6;
        loop {
            let (won, seen) = play(at, way, away);
            // With this exchange it may make fewer calls, or more.
            if at >= seen {
                break;
            }
            score.attempt(won.map(|how| format!("{how} (call {at} of {seen}, {way:?}, away: {away})")));
            at += step;
        }
    }
}
