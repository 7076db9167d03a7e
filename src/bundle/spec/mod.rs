//! A complete model of runtime-spec 1.3.0 for Linux.
//!
//! Names are those of the spec in Rust's case (`type` is `kind`). An absent scalar is `None`, as is the empty string of
//! an optional property. An absent or `null` array or map is empty. A flag is a `bool` if its absence means `false`.
//! Enumerations are strings, which are interpreted by the module that uses them. Properties of other platforms are
//! ignored, as the spec requires for unknown properties.
//!
//! Every structure has a reader ([`Spec::from_json`], [`Process::from_json`] …) and implements
//! [`serde::Serialize`], which omits absent values.
//!
//! Layers: `process`, `resources`, `seccomp`; then `linux`; then `template`; then `top`.

mod linux;
mod process;
mod resources;
mod seccomp;
mod template;
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
