//! The life of a container: create, start, pause, update, kill, delete, exec.
//!
//! A [`Runtime`] is a state root; a [`Container`] is one directory in it together with the process
//! that it describes. Both may be used from any thread, and any number of processes may work on the
//! same root: operations on one container take turns, and questions never wait.

mod clock;
mod config;
#[cfg(test)]
mod corpora;
mod create;
mod criu;
mod end;
mod events;
mod exec;
mod features;
mod handoff;
mod helpers;
mod holder;
mod home;
mod hooks;
mod id;
mod journal;
mod listener;
mod liveness;
mod lock;
mod members;
mod mounts;
mod notify;
mod options;
mod population;
mod runtime;
mod scope;
mod seize;
mod signal;
mod start;
mod state;
mod store;
mod trust;
mod turns;
mod update;

pub use criu::{CgroupsMode, CheckpointOptions, Criu, NetworkLock, PageServer, RestoreOptions};
pub use events::{Event, Events};
pub use features::{
    CgroupFeatures, Enabled, Features, IntelRdtFeatures, LinuxFeatures, MemoryPolicyFeatures,
    MountExtensions, SeccompFeatures, features,
};
pub use handoff::replace_file;
pub use notify::Notifications;
pub use options::{Console, CreateOptions, ExecOptions, Stdio};
pub use runtime::Runtime;
pub use signal::Signal;
pub use state::{OCI_VERSION, State, Status};

pub use crate::cgroup::CgroupManager;
pub use crate::cgroup::systemd::SystemdBus;
pub use crate::sys::process::Exit;

use crate::{Error, ErrorKind, Phase, Result};
use liveness::Presence;
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock};
use store::{Directory, Record, Stage};

/// A container: its state directory, and its init process.
#[derive(Debug)]
pub struct Container {
    runtime: Runtime,
    id: String,
    directory: Directory,
    console: Mutex<Option<OwnedFd>>,
    /// Where the program's messages to the service manager arrive, where this value has created it.
    notify: Mutex<Option<notify::Inbox>>,
    /// The init process, where this value has created it.
    init: OnceLock<OwnedFd>,
}

/// A process run in a container by [`Container::exec`].
#[derive(Debug)]
pub struct ExecProcess {
    pid: i32,
    pidfd: OwnedFd,
    console: Option<OwnedFd>,
}

impl ExecProcess {
    /// Its pid as the caller's pid namespace numbers it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its pidfd, readable for poll(2) once it has ended.
    pub fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// The master of its terminal, once, where [`Console::Keep`] was asked for.
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// Waits until it has ended, and reaps it.
    pub fn wait(&self) -> Result<Exit> {
        end::wait(&self.pidfd, true)?.ok_or_else(not_running)
    }

    /// How it has ended, if it has; then it is reaped.
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        end::wait(&self.pidfd, false)
    }
}

impl Container {
    pub(crate) fn new(runtime: Runtime, directory: Directory) -> Self {
        Self {
            runtime,
            id: directory.id().to_owned(),
            directory,
            console: Mutex::new(None),
            notify: Mutex::new(None),
            init: OnceLock::new(),
        }
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The runtime in whose state root it is.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The container's state now. Never waits for another operation.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] once it has been deleted.
    pub fn state(&self) -> Result<State> {
        let record = self.directory.read()?;
        let status = self.status(record.as_ref())?;
        Ok(self.describe(record.unwrap_or_else(|| Record::new(&self.id)), status))
    }

    /// The init process's pid as the caller's pid namespace numbers it; 0 where it has ended.
    pub fn pid(&self) -> Result<i32> {
        Ok(self.state()?.pid)
    }

    /// A pidfd of the init process, readable for poll(2) once it has ended.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`].
    pub fn pidfd(&self) -> Result<OwnedFd> {
        presence(self.directory.read()?.as_ref())?.alive().ok_or_else(not_running)
    }

    /// The pidfd of an init process that this value has created, also once it has ended.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] where another process has created it.
    pub fn init_pidfd(&self) -> Result<std::os::fd::BorrowedFd<'_>> {
        self.init.get().map(std::os::fd::AsFd::as_fd).ok_or_else(not_running)
    }

    /// The master of the container's terminal, once, where [`Console::Keep`] was asked for.
    pub fn take_console(&self) -> Option<OwnedFd> {
        self.console.lock().ok()?.take()
    }

    /// Where a container with this record is in its life.
    fn status(&self, record: Option<&Record>) -> Result<Status> {
        if let Some(record) = record {
            match record.look()? {
                Some(letter) => return alive_status_by(record, letter),
                None if record.stage > Stage::Creating => return Ok(Status::Stopped),
                None => {}
            }
        }
        if self.directory.is_locked()? { Ok(Status::Creating) } else { Ok(Status::Stopped) }
    }

    fn describe(&self, record: Record, status: Status) -> State {
        describe(&self.id, record, status)
    }
}

/// What others see of a container.
fn describe(id: &str, record: Record, status: Status) -> State {
    State {
        oci_version: OCI_VERSION.to_owned(),
        id: id.to_owned(),
        pid: if status.is_alive() { record.init.pid } else { 0 },
        status,
        bundle: record.bundle,
        rootfs: record.rootfs,
        created: record.created,
        annotations: record.annotations.into(),
        owner: user_name(record.owner),
    }
}

/// What became of a container's init process.
fn presence(record: Option<&Record>) -> Result<Presence> {
    record.map_or(Ok(Presence::Gone), Record::presence)
}

/// The status of a container whose init process lives.
fn alive_status(record: &Record) -> Result<Status> {
    status_of(record, members::is_frozen)
}

/// The same where the letter of the init process's state is known, which may say that it is not frozen.
fn alive_status_by(record: &Record, letter: u8) -> Result<Status> {
    status_of(record, |record| Ok(members::may_be_frozen(record, letter) && members::is_frozen(record)?))
}

fn status_of(record: &Record, is_frozen: impl FnOnce(&Record) -> Result<bool>) -> Result<Status> {
    Ok(match record.stage {
        Stage::Creating => Status::Creating,
        _ if is_frozen(record)? => Status::Paused,
        // `start` may have been cut short after it had let the program go.
        Stage::Created if record.options.init || is_waiting(record.init.pid)? => Status::Created,
        Stage::Created | Stage::Started | Stage::Deleting => Status::Running,
    })
}

/// Whether a process executes the init stub still, which is a file without a name. Where this user may not
/// look, or the process is just ending, the record is believed.
fn is_waiting(pid: i32) -> Result<bool> {
    let path = format!("/proc/{pid}/exe");
    match nix::fcntl::readlink(path.as_str()) {
        Ok(name) => Ok(name.as_encoded_bytes().ends_with(b" (deleted)")),
        Err(Errno::EACCES | Errno::EPERM | Errno::ENOENT | Errno::ESRCH) => Ok(true),
        Err(e) => Err(Error::sys(Phase::State, "readlink", e).on(path)),
    }
}

/// The text which callers match on.
fn not_running() -> Error {
    Error::new(ErrorKind::NotRunning, Phase::Lifecycle, "container not running")
}

/// A user's name, or the number of one without a name. The number says the same, so no query fails because the file with
/// the names is missing, or has not all of them.
fn user_name(uid: u32) -> String {
    if uid == 0 {
        return "root".to_owned();
    }
    let text = crate::sys::fs::read_at(crate::sys::fs::cwd(), c"/etc/passwd").unwrap_or_default();
    crate::process::passwd::name(&text, uid).map_or_else(|| uid.to_string(), str::to_owned)
}
