//! config.md: the whole document, root, mounts, hooks.

use super::linux::{IdMapping, Linux};
use super::process::Process;
use crate::bundle::annotations::Annotations;
use crate::bundle::model::model;

model! {
    /// A whole `config.json`.
    pub struct Spec ["config.md#specification-version"] {
        /// `ociVersion`: the version of the runtime-spec that the document follows (SemVer 2.0.0).
        pub version: String = "ociVersion" required,
        /// The container's process; without one, the container can be created but not started.
        pub process: Option<Process> = "process",
        /// The root file system. REQUIRED on Linux.
        pub root: Option<Root> = "root",
        /// Host name inside the container.
        pub hostname: Option<String> = "hostname",
        /// NIS domain name inside the container.
        pub domainname: Option<String> = "domainname",
        /// Mounts in addition to the root, in the order in which they are mounted.
        pub mounts: Vec<Mount> = "mounts",
        /// Programs to run at certain points of the container's life cycle.
        pub hooks: Option<Hooks> = "hooks",
        /// Arbitrary metadata.
        pub annotations: Annotations = "annotations",
        /// Linux-specific configuration.
        pub linux: Option<Linux> = "linux",
    }

    /// The root file system.
    pub struct Root ["config.md#root"] {
        /// Path of the root directory: absolute, or relative to the bundle.
        pub path: String = "path" required,
        /// Whether it is read-only inside the container.
        pub readonly: bool = "readonly",
    }

    /// A mount.
    pub struct Mount ["config.md#mounts"] {
        /// The mount point: an absolute path inside the container.
        pub destination: String = "destination" required,
        /// `type`: the file system type.
        pub kind: Option<String> = "type",
        /// A device, a directory or an arbitrary name; for a bind mount a path, absolute or relative to the bundle.
        pub source: Option<String> = "source",
        /// Mount options of the kernel, of the spec, and of the file system.
        pub options: Vec<String> = "options",
        /// User ID mappings of an idmapped mount.
        pub uid_mappings: Vec<IdMapping> = "uidMappings",
        /// Group ID mappings of an idmapped mount.
        pub gid_mappings: Vec<IdMapping> = "gidMappings",
    }

    /// An object with `mounts` alone.
    pub struct Mounts ["config.md#mounts"] {
        /// The mounts, in the order in which they are mounted.
        pub mounts: Vec<Mount> = "mounts" required,
    }

    /// Programs to run at certain points of the container's life cycle, in the order of the lists.
    pub struct Hooks ["config.md#posix-platform-hooks"] {
        /// Deprecated: like `createRuntime`, and run before it.
        pub prestart: Vec<Hook> = "prestart",
        /// During create, after the namespaces were created and before pivot_root, in the runtime's namespaces.
        pub create_runtime: Vec<Hook> = "createRuntime",
        /// During create, before pivot_root, in the container's namespaces.
        pub create_container: Vec<Hook> = "createContainer",
        /// Before the process is started, inside the container.
        pub start_container: Vec<Hook> = "startContainer",
        /// After the process was started, in the runtime's namespaces.
        pub poststart: Vec<Hook> = "poststart",
        /// After the container was deleted, in the runtime's namespaces.
        pub poststop: Vec<Hook> = "poststop",
    }

    /// A hook.
    pub struct Hook ["config.md#posix-platform-hooks"] {
        /// Absolute path of the program.
        pub path: String = "path" required,
        /// Its arguments; the first one is its name.
        pub args: Vec<String> = "args",
        /// Its environment, `NAME=value`.
        pub env: Vec<String> = "env",
        /// Timeout in seconds, greater than zero.
        pub timeout: Option<i64> = "timeout",
    }
}
