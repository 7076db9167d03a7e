//! The life cycle of a container: create, start, pause, update, exec, kill, delete.
//!
//! A [`Runtime`] is a state root; a [`Container`] is one directory in it together with the init process that it
//! describes. Both may be used from any thread, and any number of processes may use the same root: operations on one
//! container are serialized, and queries never block.
//!
//! # Layers
//!
//! Each layer uses only those before it. All public operations are in `operations`, which calls one file for each of
//! them.
//!
//! 1. Values and single system calls: `clock`, `id`, `signal`, `state`, `options`, `rootfs`, `trusted_directory`,
//!    `features`; then `files`, `unix_socket`.
//! 2. `process`: processes as procfs shows them.
//! 3. `store`: the state root, the state directory of a container, its lock and its journal.
//! 4. Parts of operations, for which a record is enough: `console`, `freezer`, `home`, `hooks`, `namespaces`,
//!    `new_cgroup`, `new_record`, `notify`, `plan_options`, `processes`, `scope`, `seccomp_agent`, `status`.
//! 5. The types of callers: `runtime`, `container`; then `wait`, `exec_process`.
//! 6. Operations: `recompiled_plan`, `exec`; `lifecycle_hooks`, `teardown`, `forced_lock`, `notifications`; `create`,
//!    `criu`, `delete`, `events`, `kill`, `list`, `mounts`, `pause`, `start`, `update`.
//! 7. `operations`: the public methods.

mod clock;
mod console;
#[expect(clippy::module_inception, reason = "the type Container is only one part of the life cycle")]
mod container;
#[cfg(test)]
mod corpora;
mod create;
mod criu;
mod delete;
mod events;
mod exec;
mod exec_process;
mod features;
mod files;
mod forced_lock;
mod freezer;
mod home;
mod hooks;
mod id;
mod kill;
mod lifecycle_hooks;
mod list;
mod mounts;
mod namespaces;
mod new_cgroup;
mod new_record;
mod notifications;
mod notify;
mod operations;
mod options;
mod pause;
mod plan_options;
mod process;
mod processes;
mod recompiled_plan;
mod rootfs;
mod runtime;
mod scope;
mod seccomp_agent;
mod signal;
mod start;
mod state;
mod status;
mod store;
mod teardown;
mod trusted_directory;
mod unix_socket;
mod update;
mod wait;

pub use container::Container;
pub use criu::options::{CgroupsMode, CheckpointOptions, Criu, NetworkLock, PageServer, RestoreOptions};
pub use events::{Event, Events};
pub use exec_process::ExecProcess;
pub use features::{
    CgroupFeatures, Enabled, Features, IntelRdtFeatures, LinuxFeatures, MemoryPolicyFeatures,
    MountExtensions, SeccompFeatures, features,
};
pub use files::replace_file;
pub use notify::relay::Notifications;
pub use options::{Console, CreateOptions, ExecOptions, Stdio};
pub use runtime::Runtime;
pub use signal::Signal;
pub use state::{OCI_VERSION, State, Status};

pub use crate::cgroup::CgroupManager;
pub use crate::cgroup::systemd::SystemdBus;
pub use crate::sys::process::Exit;
