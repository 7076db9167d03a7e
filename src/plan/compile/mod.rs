//! The compiler: a bundle, or a command, and facts about the host become a [`Plan`](super::Plan).
//!
//! The compiler makes no system call, needs no privilege and changes nothing: the same bundle, host and options give the
//! same plan on any machine. A setting that cannot be enforced is refused, with its JSON pointer. Each kind of plan has a
//! file, which calls the files below it:
//!
//! | layer | files |
//! | --- | --- |
//! | a plan | `container` `exec` `hook` `command` `service` `proc` `mount_changes` |
//! | its parts, in order | `isolation`; `filesystem` with `mounts` `devices` `terminal`; `program` with `birth` |
//! | their pieces | `namespaces` `idmap` `mount_options` `labels` `credentials` `filter` `scheduler` |
//! | used by all of them | `draft` (the plan while it is written), `input`, `policy` |

mod birth;
mod command;
mod container;
mod credentials;
mod devices;
mod draft;
mod exec;
mod filesystem;
mod filter;
mod hook;
mod host_mounts;
mod idmap;
mod input;
mod isolation;
mod labels;
mod mount_changes;
mod mount_options;
mod mounts;
mod namespaces;
mod policy;
mod proc;
mod program;
mod scheduler;
mod service;
mod terminal;

pub(crate) use command::{CommandInput, CommandRoot, compile_command};
pub use container::compile;
pub(crate) use container::compile_with_cgroup;
pub(crate) use credentials::CAPABILITIES;
pub(crate) use exec::{JoinedContainer, compile_exec};
pub(crate) use hook::{ContainerRoot, HookPlace, compile_hook};
pub(crate) use input::BundlePaths;
pub(crate) use mount_changes::{compile_mounts, compile_unmounts};
pub(crate) use policy::{Bound, Filter, Policy};
pub(crate) use proc::compile_proc;
pub(crate) use service::{
    Service, compile_loopback, compile_mount_points, compile_readonly_root, compile_service,
};
