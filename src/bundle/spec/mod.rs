//! An own, total model of runtime-spec 1.3.0 for Linux.
//!
//! Names are the spec's, in Rust's case (`type` is `kind`). An absent scalar is `None`, and so is an
//! empty string where the property is optional; an absent or `null` array or map is empty; a flag is
//! a plain `bool` where its absence means the same as `false`. Enumerations which the spec leaves
//! open to runtimes stay strings and are interpreted by the room that uses them. Properties of other
//! platforms are unknown here and ignored, as the spec demands for unknown properties.
//!
//! Every structure reads itself ([`Spec::from_json`], [`Process::from_json`] …) and implements
//! [`serde::Serialize`], leaving out what is absent.

mod linux;
mod process;
mod resources;
mod seccomp;
mod top;

pub use linux::{
    Device, IdMapping, IntelRdt, Linux, MemoryPolicy, Namespace, NetDevice, Personality, TimeOffset,
};
pub use process::{Capabilities, ConsoleSize, ExecCpuAffinity, IoPriority, Process, Rlimit, Scheduler, User};
pub use resources::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory, Network, Pids, Rdma, Resources,
    ThrottleDevice, WeightDevice,
};
pub use seccomp::{Seccomp, SeccompArg, Syscall};
pub use top::{Hook, Hooks, Mount, Mounts, Root, Spec};
