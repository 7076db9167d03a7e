//! Facts about file system types that a runtime needs before it mounts one.

/// The namespace that a new superblock is bound to: the one of the thread that creates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceBinding {
    /// It shows the pid namespace.
    Pid,
    /// It shows the network namespace.
    Network,
    /// It shows the IPC namespace.
    Ipc,
    /// It shows the cgroups below the root of the cgroup namespace.
    Cgroup,
    /// Its files belong to the user namespace.
    User,
}

/// Facts about a file system type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesystemType {
    /// The name in /proc/filesystems.
    pub name: &'static str,
    /// The namespace that it is bound to.
    pub binding: NamespaceBinding,
    /// The namespace has one superblock, on which `ro` and the options of a later mount have no effect.
    pub shared_superblock: bool,
}

const fn filesystem(
    name: &'static str,
    binding: NamespaceBinding,
    shared_superblock: bool,
) -> FilesystemType {
    FilesystemType { name, binding, shared_superblock }
}

/// Sorted by name.
const TABLE: &[FilesystemType] = &[
    filesystem("binfmt_misc", NamespaceBinding::User, true),
    filesystem("bpf", NamespaceBinding::User, false),
    filesystem("cgroup", NamespaceBinding::Cgroup, true),
    filesystem("cgroup2", NamespaceBinding::Cgroup, true),
    filesystem("devpts", NamespaceBinding::User, false),
    filesystem("fuse", NamespaceBinding::User, false),
    filesystem("mqueue", NamespaceBinding::Ipc, true),
    filesystem("nfs", NamespaceBinding::Network, false),
    filesystem("nfs4", NamespaceBinding::Network, false),
    filesystem("overlay", NamespaceBinding::User, false),
    filesystem("proc", NamespaceBinding::Pid, false),
    filesystem("ramfs", NamespaceBinding::User, false),
    filesystem("sysfs", NamespaceBinding::Network, true),
    filesystem("tmpfs", NamespaceBinding::User, false),
];

/// The facts about a type; `None` if it is bound to no namespace (block devices, debugfs, …).
pub fn lookup(name: &str) -> Option<&'static FilesystemType> {
    TABLE.iter().find(|k| k.name == name)
}

/// Whether a file system of this type must be created in the container's namespaces: always if it shows one of them, and if
/// the container has a user namespace of its own, also if its files belong to that (tmpfs, devpts, overlay, …).
pub fn made_inside(name: &str, own_user_namespace: bool) -> bool {
    lookup(name).is_some_and(|k| k.binding != NamespaceBinding::User || own_user_namespace)
}

/// Whether neither the source nor an option of this type is a path that the kernel resolves.
pub fn needs_no_path(name: &str) -> bool {
    matches!(name, "cgroup" | "cgroup2" | "devpts" | "mqueue" | "proc" | "ramfs" | "sysfs" | "tmpfs")
}

/// Whether a mount entry is a bind mount: its type is `bind`, or it has the option `bind` or `rbind` (then its type is a
/// placeholder, such as `none`).
pub fn is_bind(name: Option<&str>, bind_option: bool) -> bool {
    name == Some("bind") || bind_option
}

/// Whether `tmpcopyup` applies to it.
pub fn is_tmpfs(name: &str) -> bool {
    name == "tmpfs"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_created_in_the_right_namespaces() {
        assert!(TABLE.is_sorted_by_key(|k| k.name));
        for name in ["proc", "sysfs", "mqueue", "cgroup", "cgroup2"] {
            assert!(made_inside(name, false), "{name}");
        }
        for name in ["tmpfs", "devpts", "overlay"] {
            assert!(!made_inside(name, false) && made_inside(name, true), "{name}");
        }
        assert!(!made_inside("ext4", true));
        assert!(is_bind(Some("bind"), false) && is_bind(None, true) && is_bind(Some("none"), true));
        assert!(!is_bind(Some("tmpfs"), false) && !is_bind(None, false));
    }
}
