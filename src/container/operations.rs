//! The public operations on a state root and on a container. Each is a call of the function in the file of its name.

use super::container::Container;
use super::create::{Goal, create};
use super::criu::checkpoint::checkpoint;
use super::criu::options::{CheckpointOptions, RestoreOptions};
use super::criu::restore::restore;
use super::delete::delete;
use super::events::{self, Events};
use super::exec::exec;
use super::exec_process::ExecProcess;
use super::kill::kill;
use super::list::list;
use super::notify::relay::Notifications;
use super::options::{CreateOptions, ExecOptions};
use super::pause::{pause, resume};
use super::runtime::Runtime;
use super::signal::Signal;
use super::start::start;
use super::state::State;
use super::status::not_running;
use super::store::{StateDirectory, config};
use super::update::{update, update_schemata};
use super::{mounts, notifications, processes, wait};
use crate::Result;
use crate::bundle::Bundle;
use crate::bundle::spec::{Mount, Process, Resources, Spec};
use crate::cgroup::Stats;
use crate::sys::process::Exit;

#[cfg(doc)]
use crate::ErrorKind;

impl Runtime {
    /// Creates a container: everything is set up, and its program waits for [`start`](Container::start). If this fails,
    /// nothing is left behind.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], [`ErrorKind::InvalidArgument`] for an invalid id or option,
    /// [`ErrorKind::InvalidConfig`], [`ErrorKind::Unsupported`], [`ErrorKind::Hook`], and system errors, each with a
    /// pointer to the setting in `config.json` that is responsible.
    pub fn create(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Container> {
        create(self, id, bundle, options, Goal::Created)
    }

    /// Creates a container and lets its program run, as [`create`](Self::create) and [`start`](Container::start), but
    /// faster, because no process has to wait for `start`. Returns after the program has been executed and the poststart
    /// hooks have run. If this fails, nothing is left behind.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`start`](Container::start).
    pub fn run(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Container> {
        create(self, id, bundle, options, Goal::Running)
    }

    /// Creates a container whose processes are restored by criu(8) from the images of [`Container::checkpoint`]; returns
    /// after they have been resumed.
    ///
    /// The bundle says what criu does not know: which directories of the host are mounted, which namespaces are joined,
    /// the cgroup and its limits. Its `prestart` and `createRuntime` hooks run when the namespaces exist, and its
    /// `poststop` hooks at the end; other hooks do not run again. The init process is a child of the calling process, as
    /// after [`create`](Self::create), and so is criu during the restore. If this fails, nothing is left behind.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); [`ErrorKind::Unsupported`] if criu is missing or too old;
    /// [`ErrorKind::System`] with criu's error messages.
    pub fn restore(&self, id: &str, bundle: &Bundle, options: &RestoreOptions) -> Result<Container> {
        restore(self, id, bundle, options)
    }

    /// Finds a container.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidArgument`] for an invalid id.
    pub fn load(&self, id: &str) -> Result<Container> {
        Ok(Container::new(self.clone(), StateDirectory::open(self.state_root(), id)?))
    }

    /// The state of every container, sorted by id. A container that is deleted in the meantime is left out.
    pub fn list(&self) -> Result<Vec<State>> {
        list(self)
    }

    /// Deletes a container: [`load`](Self::load), then [`Container::delete`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], even with `force`; [`ErrorKind::WrongState`] without it.
    pub fn delete(&self, id: &str, force: bool) -> Result<()> {
        self.load(id)?.delete(force)
    }
}

impl Container {
    /// Lets the program of a created container run; returns after its execve(2) has succeeded and the poststart hooks
    /// have run.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`]; [`ErrorKind::Exec`] with the program's name and the errno; [`ErrorKind::Hook`], after
    /// which the container is stopped.
    pub fn start(&self) -> Result<()> {
        start(self)
    }

    /// Runs one more process in the container; returns after its execve(2) has succeeded.
    ///
    /// The process joins all of the container's namespaces, and its cgroup or one below it. Whatever `process` says, it has
    /// the container's seccomp filter, personality and memory policy, and `noNewPrivileges` if the container's first
    /// process has it. Settings that `process` does not mention are those of the first process: capabilities, resource
    /// limits, the AppArmor or SELinux label, `oomScoreAdj`, umask, scheduler, I/O priority, `execCPUAffinity`. Program,
    /// environment, working directory, user and terminal are those of `process` alone; [`spec`](Self::spec) has the first
    /// process's, as a starting point. The process may use every processor of its cgroup, whatever the caller's CPU
    /// affinity is.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] if the container is stopped or paused; [`ErrorKind::Exec`] with the program's name and
    /// the errno; [`ErrorKind::InvalidConfig`].
    pub fn exec(&self, process: &Process, options: &ExecOptions) -> Result<ExecProcess> {
        exec(self, process, options)
    }

    /// The configuration as it was when the container was created, even if the bundle has changed since, with the limits
    /// that [`update`](Container::update) has set. [`exec`](Container::exec) takes the defaults of a process from it.
    ///
    /// # Errors
    /// A system error if it cannot be read.
    pub fn spec(&self) -> Result<Spec> {
        config::read_spec(&self.directory)
    }

    /// Sends `signal` to the init process, or with `all` to every process of the container.
    ///
    /// If the container has no pid namespace of its own, `SIGKILL` also goes to every process, because they would survive
    /// the init process.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if the container is stopped (never with `all`).
    pub fn kill(&self, signal: Signal, all: bool) -> Result<()> {
        kill(self, signal, all)
    }

    /// Waits until the init process has exited, and reaps it.
    ///
    /// # Errors
    /// `ECHILD` if the container was not created by this process, or its init process has been reaped before.
    pub fn wait(&self) -> Result<Exit> {
        wait::exit_of_init(self, true)?.ok_or_else(not_running)
    }

    /// The exit status of the init process if it has exited, in which case it is reaped. For callers that poll its pidfd
    /// ([`init_pidfd`](Self::init_pidfd)).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        wait::exit_of_init(self, false)
    }

    /// Removes a container that is stopped or waits for `start`, and runs its poststop hooks; with `force` also a running
    /// container, which is killed. What a crash has left of a `create` or of a `delete` is removed the same way.
    ///
    /// With `force` an operation that is under way on the container is ended: see
    /// [`Runtime::dedicated_process`].
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] for a running container without `force`; [`ErrorKind::Corrupt`] for a state that cannot
    /// be read, without `force`.
    pub fn delete(&self, force: bool) -> Result<()> {
        delete(self, force)
    }

    /// The pids of all processes of the container in the caller's pid namespace, sorted. Empty if the container is stopped
    /// and no process has survived its init process.
    ///
    /// They are the processes of its cgroup or, if it was created without one, of its pid namespace.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the container has neither of its own.
    pub fn processes(&self) -> Result<Vec<i32>> {
        match self.directory.read()? {
            Some(record) => processes::list(&record, &self.id),
            None => Ok(Vec::new()),
        }
    }

    /// Freezes every process of the container, and waits until all of them are frozen.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if it is stopped or being created, [`ErrorKind::WrongState`] if it is paused already.
    pub fn pause(&self) -> Result<()> {
        pause(self)
    }

    /// Resumes a paused container.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] if it is not paused.
    pub fn resume(&self) -> Result<()> {
        resume(self)
    }

    /// Measures what the processes of the container's cgroup use now. Their pids are those of
    /// [`processes`](Self::processes).
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`]; [`ErrorKind::Unsupported`] for a container without a cgroup.
    pub fn stats(&self) -> Result<Stats> {
        events::stats(self)
    }

    /// Subscribes to the events of the container from now on.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`]; a system error if the subscription fails.
    pub fn events(&self) -> Result<Events> {
        events::subscribe(self)
    }

    /// Changes the limits that `resources` names; the others remain. From then on [`spec`](Self::spec) has the new limits.
    ///
    /// Zero means "leave unchanged" unless the runtime-spec gives zero a meaning of its own (memory, shares, quota, period
    /// and weights are sent as zero by callers). `devices` is ignored: access to devices does not change.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if the container is stopped or being created, [`ErrorKind::InvalidConfig`] with a pointer
    /// into `resources`, [`ErrorKind::Unsupported`] for a field that cannot be enforced here and for a container without a
    /// cgroup; errors of the kernel. In each case no limit has changed; see
    /// [`Cgroup::update`](crate::cgroup::Cgroup::update).
    pub fn update(&self, resources: &Resources) -> Result<()> {
        update(self, resources)
    }

    /// Writes other schemata into the container's class of service (`config-linux.md#intelrdt`): lines such as
    /// `L3:0=f` or `MB:0=20`. If other containers share the class, they are affected too.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`], [`ErrorKind::Unsupported`] for a container without `intelRdt`, and the kernel's errors
    /// for a schema.
    pub fn update_schemata(&self, lines: &[&str]) -> Result<()> {
        update_schemata(self, lines)
    }

    /// Creates mounts in a running container, in order, as if its configuration had named them: with the same options,
    /// destinations below the container's root, and missing mount points created there. A relative source is below the
    /// bundle. If one mount fails, those before it are unmounted again.
    ///
    /// The container's configuration does not change: another container created from it does not have the mounts.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`]; [`ErrorKind::InvalidConfig`] and [`ErrorKind::Unsupported`] (a cgroup, a root that was
    /// not pivoted) with a pointer into `/mounts`; system errors.
    pub fn add_mounts(&self, mounts: &[Mount]) -> Result<()> {
        mounts::add(self, mounts)
    }

    /// Unmounts what is mounted at the destinations of `mounts` in a running container, with everything that is mounted
    /// below; all other fields are ignored. Processes that use files of a mount can continue to do so. No symbolic link in
    /// a destination is followed: a destination that now leads elsewhere is refused.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`]; [`ErrorKind::InvalidArgument`] for a destination that is relative or the root;
    /// `EINVAL` if nothing is mounted there.
    pub fn remove_mounts(&self, mounts: &[Mount]) -> Result<()> {
        mounts::remove(self, mounts)
    }

    /// Dumps the container's processes into image files, by criu(8). Afterwards they have exited and the caller should
    /// [`delete`](Self::delete) the container, unless [`leave_running`](CheckpointOptions::leave_running) or
    /// [`pre_dump`](CheckpointOptions::pre_dump) is set. [`Runtime::restore`] recreates it.
    ///
    /// The images do not contain bind mounts, masked files, joined network and pid namespaces, or pipes and host files
    /// that are standard descriptors: `restore` gets them from its bundle and options. A new network namespace is not
    /// dumped either: it is empty after the restore, for hooks to set up.
    ///
    /// criu is a child of the calling process during the checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] for a container that has not been started; [`ErrorKind::NotRunning`];
    /// [`ErrorKind::Unsupported`] if criu is missing, or criu or the kernel does not support an option;
    /// [`ErrorKind::System`] with criu's error messages.
    pub fn checkpoint(&self, options: &CheckpointOptions) -> Result<()> {
        checkpoint(self, options)
    }

    /// Listens for the program's messages to the service manager, in place of an earlier listener; `None` if the
    /// container was created without [`CreateOptions::notify`].
    ///
    /// # Errors
    /// If the socket cannot be created.
    pub fn listen_for_notifications(&self) -> Result<Option<Notifications>> {
        notifications::listen(self)
    }
}

#[cfg(test)]
#[path = "operations_tests.rs"]
mod tests;
