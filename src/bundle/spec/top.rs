//! config.md: the document itself, root, mounts, hooks.

use super::{IdMapping, Linux, Process};
use crate::bundle::annotations::Annotations;
use crate::bundle::model::model;

model! {
    /// A whole `config.json`.
    pub struct Spec ["config.md#specification-version"] {
        /// `ociVersion`: the version of the runtime-spec which the document follows (SemVer 2.0.0).
        pub version: String = "ociVersion" required,
        /// The container's process; without it a container can be created but not started.
        pub process: Option<Process> = "process",
        /// The root file system. REQUIRED on Linux.
        pub root: Option<Root> = "root",
        /// Host name, as seen by processes in the container.
        pub hostname: Option<String> = "hostname",
        /// NIS domain name, as seen by processes in the container.
        pub domainname: Option<String> = "domainname",
        /// Mounts beyond the root, in the order in which they are made.
        pub mounts: Vec<Mount> = "mounts",
        /// Programs to run at points of the container's life.
        pub hooks: Option<Hooks> = "hooks",
        /// Arbitrary metadata.
        pub annotations: Annotations = "annotations",
        /// What is particular to Linux.
        pub linux: Option<Linux> = "linux",
    }

    /// The root file system.
    pub struct Root ["config.md#root"] {
        /// Path of the root directory: absolute, or relative to the bundle.
        pub path: String = "path" required,
        /// Whether it is read-only inside the container.
        pub readonly: bool = "readonly",
    }

    /// One mount.
    pub struct Mount ["config.md#mounts"] {
        /// Where, as a path inside the container; absolute.
        pub destination: String = "destination" required,
        /// `type`: the file system type.
        pub kind: Option<String> = "type",
        /// A device name, a directory or a dummy; of a bind mount absolute or relative to the bundle.
        pub source: Option<String> = "source",
        /// Mount options, of the kernel, of the spec's table and of the file system.
        pub options: Vec<String> = "options",
        /// User id mappings of an idmapped mount.
        pub uid_mappings: Vec<IdMapping> = "uidMappings",
        /// Group id mappings of an idmapped mount.
        pub gid_mappings: Vec<IdMapping> = "gidMappings",
    }

    /// Mounts alone, under their name.
    pub struct Mounts ["config.md#mounts"] {
        /// In the order in which they are made.
        pub mounts: Vec<Mount> = "mounts" required,
    }

    /// Programs to run at points of the container's life, in the order listed.
    pub struct Hooks ["config.md#posix-platform-hooks"] {
        /// Deprecated: as `createRuntime`, called before it.
        pub prestart: Vec<Hook> = "prestart",
        /// During create, when the namespaces exist and before pivot_root, outside of them.
        pub create_runtime: Vec<Hook> = "createRuntime",
        /// During create, before pivot_root, in the container's namespaces.
        pub create_container: Vec<Hook> = "createContainer",
        /// Before the process is started, inside the container.
        pub start_container: Vec<Hook> = "startContainer",
        /// After the process was started, outside.
        pub poststart: Vec<Hook> = "poststart",
        /// After the container was deleted, outside.
        pub poststop: Vec<Hook> = "poststop",
    }

    /// One hook.
    pub struct Hook ["config.md#posix-platform-hooks"] {
        /// Absolute path of the program.
        pub path: String = "path" required,
        /// Its arguments, the first being its name.
        pub args: Vec<String> = "args",
        /// Its environment, `NAME=value`.
        pub env: Vec<String> = "env",
        /// Seconds after which it is aborted; above zero.
        pub timeout: Option<i64> = "timeout",
    }
}
