//! The plan: what a bundle is compiled into.
//!
//! A plan is one ordered list with two columns, the host side's and the stub's. Each line knows the setting of
//! `config.json` that it comes from. [`Plan`]'s `Display` prints it; [`Plan::encode`] makes of it a flat blob for the stub.
//!
//! The files form layers. Each uses those above it in this table only:
//!
//! | layer | files |
//! | --- | --- |
//! | the stub's instruction set | `machine` `names` |
//! | steps and slots | `step` |
//! | instructions and their layout | `blob` `assemble` `lower` `listing` |
//! | what a bundle is compiled with | `options` `cgroup` `host` |
//! | a compiled plan | `failure` `compiled` `explain` |
//! | the compiler | `compile` |

pub(crate) mod assemble;
mod blob;
mod cgroup;
mod compile;
#[cfg(test)]
mod compile_tests;
mod compiled;
mod explain;
mod failure;
mod host;
mod listing;
mod lower;
pub mod machine;
#[cfg(test)]
#[path = "../../tests/fixtures/made_up.rs"]
pub(crate) mod made_up;
mod names;
mod options;
#[cfg(test)]
mod root_tests;
mod step;

pub use blob::Blob;
pub(crate) use cgroup::CgroupOutcome;
pub use compile::compile;
pub(crate) use compile::{
    Bound, BundlePaths, CAPABILITIES, CommandInput, CommandRoot, ContainerRoot, Filter, HookPlace,
    JoinedContainer, Policy, Service, compile_command, compile_exec, compile_hook, compile_loopback,
    compile_mount_points, compile_mounts, compile_proc, compile_readonly_root, compile_service,
    compile_unmounts, compile_with_cgroup,
};
pub use compiled::Plan;
pub use host::Host;
pub(crate) use host::{kernel_version, privileged};
pub use listing::Listing;
pub use options::Options;
pub(crate) use step::SCHEDULER_OR_CPUSET;
pub use step::{
    CgroupView, Component, ControlStep, DeviceNode, Groups, HostStep, HostTurn, Idmap, JoinTarget,
    LabelTarget, Line, LineOrigin, MountSource, MountStep, NamespaceStep, Node, Owners, ProcessStep,
    RootfsStep, Sender, Slot, SlotId, Step, StepSide, TerminalPlace,
};
