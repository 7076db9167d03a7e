//! What a runtime must know of a file system type before it mounts one.

/// The namespace (clone(2) flag name) whose content or ownership a new superblock takes from the
/// thread that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
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
pub struct Kind {
    /// The name in /proc/filesystems.
    pub name: &'static str,
    /// The namespace it belongs to.
    pub bound: Bound,
    /// May be mounted by root of a user namespace that is not the first.
    pub in_user_namespace: bool,
    /// One superblock for the whole namespace: `ro` and data of a later mount say nothing to it.
    pub shared_superblock: bool,
}

const fn kind(name: &'static str, bound: Bound, in_user_namespace: bool, shared_superblock: bool) -> Kind {
    Kind { name, bound, in_user_namespace, shared_superblock }
}

/// Sorted by name.
const TABLE: &[Kind] = &[
    kind("binfmt_misc", Bound::User, true, true),
    kind("bpf", Bound::User, true, false),
    kind("cgroup", Bound::Cgroup, true, true),
    kind("cgroup2", Bound::Cgroup, true, true),
    kind("devpts", Bound::User, true, false),
    kind("fuse", Bound::User, true, false),
    kind("mqueue", Bound::Ipc, true, true),
    kind("nfs", Bound::Network, false, false),
    kind("nfs4", Bound::Network, false, false),
    kind("overlay", Bound::User, true, false),
    kind("proc", Bound::Pid, true, false),
    kind("ramfs", Bound::User, true, false),
    kind("sysfs", Bound::Network, true, true),
    kind("tmpfs", Bound::User, true, false),
];

/// What is known of the type; `None` where it is bound to no namespace (block devices, debugfs, …).
pub fn lookup(name: &str) -> Option<&'static Kind> {
    TABLE.iter().find(|k| k.name == name)
}

/// Whether such a file system must be made by a thread in the container's namespaces: always where it
/// shows one of them, and where the container has a user namespace of its own also for what that one
/// owns (tmpfs, devpts, overlay, …).
pub fn made_inside(name: &str, own_user_namespace: bool) -> bool {
    lookup(name).is_some_and(|k| k.bound != Bound::User || own_user_namespace)
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

/// Whether the type may only be mounted on a real directory directly below the root file system: a
/// mount of it behind a symbolic link would let an image choose where masks and labels go.
pub fn wants_plain_directory(name: &str) -> bool {
    matches!(name, "proc" | "sysfs")
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
