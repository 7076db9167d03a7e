//! What a runtime must know of a file system type before it mounts one.

/// The namespace (clone(2) flag name) whose content or ownership a new superblock takes from the
/// thread that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceBinding {
    /// Shows the maker's pid namespace.
    Pid,
    /// Shows the maker's network namespace.
    Network,
    /// Shows the maker's IPC namespace.
    Ipc,
    /// Shows the tree from the root of the maker's cgroup namespace.
    Cgroup,
    /// Its files belong to the maker's user namespace.
    User,
}

/// Facts about a file system type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesystemType {
    /// The name in /proc/filesystems.
    pub name: &'static str,
    /// The namespace it belongs to.
    pub binding: NamespaceBinding,
    /// May be mounted by root of a user namespace that is not the first.
    pub in_user_namespace: bool,
    /// One superblock for the whole namespace: `ro` and data of a later mount say nothing to it.
    pub shared_superblock: bool,
}

const fn filesystem(
    name: &'static str,
    binding: NamespaceBinding,
    in_user_namespace: bool,
    shared_superblock: bool,
) -> FilesystemType {
    FilesystemType { name, binding, in_user_namespace, shared_superblock }
}

/// Sorted by name.
const TABLE: &[FilesystemType] = &[
    filesystem("binfmt_misc", NamespaceBinding::User, true, true),
    filesystem("bpf", NamespaceBinding::User, true, false),
    filesystem("cgroup", NamespaceBinding::Cgroup, true, true),
    filesystem("cgroup2", NamespaceBinding::Cgroup, true, true),
    filesystem("devpts", NamespaceBinding::User, true, false),
    filesystem("fuse", NamespaceBinding::User, true, false),
    filesystem("mqueue", NamespaceBinding::Ipc, true, true),
    filesystem("nfs", NamespaceBinding::Network, false, false),
    filesystem("nfs4", NamespaceBinding::Network, false, false),
    filesystem("overlay", NamespaceBinding::User, true, false),
    filesystem("proc", NamespaceBinding::Pid, true, false),
    filesystem("ramfs", NamespaceBinding::User, true, false),
    filesystem("sysfs", NamespaceBinding::Network, true, true),
    filesystem("tmpfs", NamespaceBinding::User, true, false),
];

/// What is known of the type; `None` where it is bound to no namespace (block devices, debugfs, …).
pub fn lookup(name: &str) -> Option<&'static FilesystemType> {
    TABLE.iter().find(|k| k.name == name)
}

/// Whether such a file system must be made by a thread in the container's namespaces: always where it
/// shows one of them, and where the container has a user namespace of its own also for what that one
/// owns (tmpfs, devpts, overlay, …).
pub fn made_inside(name: &str, own_user_namespace: bool) -> bool {
    lookup(name).is_some_and(|k| k.binding != NamespaceBinding::User || own_user_namespace)
}

/// Whether no option of such a file system, and no source, is a path that the kernel looks up.
pub fn needs_no_path(name: &str) -> bool {
    matches!(name, "cgroup" | "cgroup2" | "devpts" | "mqueue" | "proc" | "ramfs" | "sysfs" | "tmpfs")
}

/// Whether a mount entry is a bind mount: its type is `bind`, or it has the option `bind` or `rbind` (the
/// type is then a dummy, such as `none`).
pub fn is_bind(name: Option<&str>, bind_option: bool) -> bool {
    name == Some("bind") || bind_option
}

/// Whether `tmpcopyup` makes sense on it.
pub fn is_tmpfs(name: &str) -> bool {
    name == "tmpfs"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_what() {
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
