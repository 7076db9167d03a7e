//! The plan: what a bundle is compiled into.
//!
//! A plan is one ordered list with two columns, the host side's and the stub's. Each line remembers
//! the place in `config.json` it comes from. [`Plan`]'s `Display` explains it; it is encoded into a
//! flat blob for the stub.

pub(crate) mod assemble;
mod blob;
mod compile;
mod explain;
mod failure;
mod listing;
mod lower;
pub mod machine;
mod names;
#[cfg(test)]
mod root_tests;
mod step;

pub use blob::Blob;
pub(crate) use compile::{
    Bound, ExecOptions, Filter, HookPlace, Policy, Service, compile_exec, compile_hook, compile_loopback,
    compile_mount_points, compile_mounts, compile_proc, compile_readonly_root, compile_service,
    compile_unmounts, kernel_version, privileged,
};
pub use compile::{Host, Options, Plan, compile};
pub use listing::Listing;
pub(crate) use step::Slots;
pub use step::{
    CgroupView, Component, ControlStep, Groups, HostStep, Idmap, Line, MountStep, NamespaceStep, Node,
    Origin, Owners, ProcessStep, RootfsStep, Sender, Side, Slot, SlotId, Source, Step, Turn, Which,
};
