//! A program run by the init stub, without a container; in the manner of [`std::process::Command`].

mod child;
#[cfg(test)]
mod tests;

pub use child::Child;

use super::launch::{HostSide, Launch, LaunchOutcome, Launched, Stub, lost, open_presets, serve};
use super::presets::{DescriptorSources, StandardStreams};
use crate::Result;
use crate::cgroup::Join;
use crate::mount::Rootfs;
use crate::namespace::{self, Namespaces};
use crate::plan::{CommandInput, CommandRoot, Host, HostTurn, Plan, compile_command};
use crate::process::capability::CapabilitySets;
use crate::seccomp::SeccompProgram;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A program to run: its namespaces, cgroup and root, its identity, and what it is given.
///
/// Any thread of any program may spawn: no memory of the caller is copied, and nothing of its state changes. The program
/// inherits nothing by accident: it gets the arguments and the environment that are given here, the descriptors 0 to 2 and
/// those [preserved](Self::preserve_fds), default signal dispositions, no blocked signals, and by default umask 022 and the
/// working directory `/`.
///
/// Strings are UTF-8; one with a NUL byte makes [`spawn`](Self::spawn) fail.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    input: CommandInput<'a>,
    stdio: [Option<BorrowedFd<'a>>; 3],
    /// The mount that becomes the root, if `input` says that there is one.
    root: Option<&'a Rootfs>,
}

impl<'a> Command<'a> {
    /// A program: a path, or a name that is looked up in the `PATH` of the environment given here
    /// (`/bin:/usr/bin` if it has none), as the program's own user, in its own root.
    pub fn new(program: impl Into<String>) -> Self {
        let program = program.into();
        let input = CommandInput {
            args: vec![program.clone()],
            program,
            env: Vec::new(),
            directory: "/".into(),
            umask: 0o022,
            preserve_fds: 0,
            namespaces: None,
            hostname: None,
            domainname: None,
            cgroup: None,
            root: CommandRoot::Unchanged,
            mounts_proc: false,
            uid: None,
            gid: None,
            groups: None,
            capabilities: None,
            no_new_privs: false,
            seccomp: None,
            new_session: false,
            init: false,
        };
        Self { input, stdio: [None; 3], root: None }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl Into<String>) -> &mut Self {
        self.input.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Self {
        self.input.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// What the program sees as its own name, instead of the name by which it was found.
    pub fn arg0(&mut self, name: impl Into<String>) -> &mut Self {
        self.input.args[0] = name.into();
        self
    }

    /// Sets an environment variable. The caller's own environment is never read.
    pub fn env(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        let name = name.into();
        self.input.env.retain(|(other, _)| *other != name);
        self.input.env.push((name, value.into()));
        self
    }

    /// Sets environment variables; `envs(std::env::vars())` passes on the caller's.
    pub fn envs<N: Into<String>, V: Into<String>>(
        &mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> &mut Self {
        for (name, value) in variables {
            self.env(name, value);
        }
        self
    }

    /// Removes the environment variables set so far.
    pub fn env_clear(&mut self) -> &mut Self {
        self.input.env.clear();
        self
    }

    /// The working directory, an absolute path in the program's root, which must exist. `/` by
    /// default.
    pub fn current_dir(&mut self, path: impl Into<String>) -> &mut Self {
        self.input.directory = path.into();
        self
    }

    /// The umask; 022 by default.
    pub fn umask(&mut self, mask: u32) -> &mut Self {
        self.input.umask = mask & 0o777;
        self
    }

    /// Standard input; the caller's own by default.
    pub fn stdin(&mut self, fd: &'a impl AsFd) -> &mut Self {
        self.stdio[0] = Some(fd.as_fd());
        self
    }

    /// Standard output; the caller's own by default.
    pub fn stdout(&mut self, fd: &'a impl AsFd) -> &mut Self {
        self.stdio[1] = Some(fd.as_fd());
        self
    }

    /// Standard error; the caller's own by default.
    pub fn stderr(&mut self, fd: &'a impl AsFd) -> &mut Self {
        self.stdio[2] = Some(fd.as_fd());
        self
    }

    /// How many of the caller's descriptors, from 3 on, the program keeps, whether or not they are
    /// marked close-on-exec.
    pub fn preserve_fds(&mut self, count: u32) -> &mut Self {
        self.input.preserve_fds = count;
        self
    }

    /// The namespaces to create and to join. They are also set up: id maps are written, and if they map id 0, the program
    /// starts as root of the new user namespace; clocks are shifted; `lo` of a new network namespace is up; later mounts
    /// propagate from the host to a new mount namespace, but not back.
    pub fn namespaces(&mut self, set: &'a Namespaces) -> &mut Self {
        self.input.namespaces = Some(set);
        self
    }

    /// The host name; requires a UTS namespace of the program's own.
    pub fn hostname(&mut self, name: impl Into<String>) -> &mut Self {
        self.input.hostname = Some(name.into());
        self
    }

    /// The NIS domain name; requires a UTS namespace of the program's own.
    pub fn domainname(&mut self, name: impl Into<String>) -> &mut Self {
        self.input.domainname = Some(name.into());
        self
    }

    /// The cgroup that the program starts in.
    pub fn cgroup(&mut self, join: &'a Join) -> &mut Self {
        self.input.cgroup = Some(join);
        self
    }

    /// The root: this mount becomes the root directory, and the host's files are out of reach. Requires a new mount
    /// namespace. A mount can be attached only once, so it is good for one spawn.
    pub fn root(&mut self, root: &'a Rootfs) -> &mut Self {
        self.input.root = CommandRoot::Mount;
        self.root = Some(root);
        self
    }

    /// The root: a directory with everything mounted below it, an absolute path without symbolic
    /// links. Unlike [`root`](Self::root), it works for a caller that may mount only in the new namespaces, and for any number
    /// of spawns.
    pub fn root_directory(&mut self, path: impl Into<String>) -> &mut Self {
        self.input.root = CommandRoot::Directory(path.into());
        self.root = None;
        self
    }

    /// Mounts a procfs of the program's pid namespace on its `/proc`. Requires a new mount namespace.
    pub fn mount_proc(&mut self) -> &mut Self {
        self.input.mounts_proc = true;
        self
    }

    /// The user id in the program's user namespace. If it is not 0, the program has only the capabilities that
    /// [`capabilities`](Self::capabilities) gives it.
    pub fn uid(&mut self, uid: u32) -> &mut Self {
        self.input.uid = Some(uid);
        self
    }

    /// The group id in the program's user namespace.
    pub fn gid(&mut self, gid: u32) -> &mut Self {
        self.input.gid = Some(gid);
        self
    }

    /// The supplementary groups. By default, if a user or a group is given, there are none, unless the user namespace denies
    /// dropping the caller's groups (`/proc/PID/setgroups`).
    pub fn groups(&mut self, groups: impl IntoIterator<Item = u32>) -> &mut Self {
        self.input.groups = Some(groups.into_iter().collect());
        self
    }

    /// Exactly these capabilities; by default those that the user id implies.
    pub fn capabilities(&mut self, sets: CapabilitySets) -> &mut Self {
        self.input.capabilities = Some(sets);
        self
    }

    /// No execve(2) gives privileges any more (`PR_SET_NO_NEW_PRIVS`).
    pub fn no_new_privs(&mut self) -> &mut Self {
        self.input.no_new_privs = true;
        self
    }

    /// A seccomp filter, loaded last. It must allow execve(2). Without [`no_new_privs`](Self::no_new_privs) it requires a
    /// privileged caller, or a new user namespace.
    pub fn seccomp(&mut self, filter: &'a SeccompProgram) -> &mut Self {
        self.input.seccomp = Some(filter);
        self
    }

    /// A new session: the program cannot reach the caller's terminal by job control.
    pub fn new_session(&mut self) -> &mut Self {
        self.input.new_session = true;
        self
    }

    /// The stub stays as the program's parent: it reaps orphans, forwards every signal to the program, and exits with the
    /// program's exit status, or with 128 + the number of the signal that killed it. It is meant for new pid namespaces,
    /// where it is PID 1.
    pub fn reaping_init(&mut self) -> &mut Self {
        self.input.init = true;
        self
    }

    /// What [`spawn`](Self::spawn) would do, step by step: its `Display` explains it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] and [`crate::ErrorKind::Unsupported`] for what cannot be done.
    pub fn plan(&self) -> Result<Plan> {
        compile_command(&self.input, &self.host()?)
    }

    /// Runs the program. Returns when the program has been executed, or a step has failed; in that case no process is left.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] and [`crate::ErrorKind::Unsupported`] for what cannot be done;
    /// [`crate::ErrorKind::Exec`] if the program does not exist or is not executable; any refusal of the
    /// kernel with the step ([`crate::Error::object`]), the system call ([`crate::Error::operation`]) and the errno.
    pub fn spawn(&self) -> Result<Child> {
        self.spawn_with_fault(None)
    }

    /// The facts that the plan depends on.
    fn host(&self) -> Result<Host> {
        Host::for_command(self.input.capabilities.is_some(), self.input.seccomp.is_some())
    }

    fn spawn_with_fault(&self, fault: Option<u16>) -> Result<Child> {
        let plan = self.plan()?;
        let joined = self.input.namespaces.map_or_else(|| Ok(Vec::new()), Namespaces::open)?;
        let root: Vec<BorrowedFd<'_>> = self.root.into_iter().map(Rootfs::as_fd).collect();
        let sources =
            DescriptorSources { joined: Some(&joined), given: &root, ..DescriptorSources::default() };
        let presets = open_presets(&plan, sources)?;
        let standard = StandardStreams::Given(self.stdio);
        let launch =
            Launch { plan: &plan, presets: &presets, join: self.input.cgroup, standard: &standard, fault };
        let namespaces = self.input.namespaces;
        let mut running = Running { stub: launch.spawn()?, plan: &plan, sources, namespaces };
        match serve(&mut running) {
            Ok(LaunchOutcome::Executed) => Ok(Child::new(running.stub.pid, running.stub.pidfd)),
            other => {
                running.stub.destroy();
                other?;
                Err(lost())
            }
        }
    }
}

/// A command that has not reached its execve(2) yet.
struct Running<'a> {
    stub: Stub,
    plan: &'a Plan,
    sources: DescriptorSources<'a>,
    namespaces: Option<&'a Namespaces>,
}

impl HostSide for Running<'_> {
    fn launched(&mut self) -> Result<Launched<'_>> {
        Ok(Launched { stub: &mut self.stub, plan: self.plan, sources: self.sources })
    }

    fn take(&mut self, turn: HostTurn, _: Option<OwnedFd>) -> Result<()> {
        match (turn, self.namespaces) {
            (HostTurn::IdMaps, Some(set)) => namespace::write_id_maps(self.stub.pid, set.id_maps()),
            _ => Err(lost()),
        }
    }

    fn handed_over(&mut self) -> Result<()> {
        Ok(())
    }
}
