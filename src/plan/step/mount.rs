//! Mounts and device nodes of the root file system, in the compiler's terms.

use super::slot::{Idmap, SlotId};
use crate::mount::options::{FSCONFIG_STRING_MAX, MountOptions};
use crate::sys::mount::MountAttrFlags;
use nix::errno::Errno;
use std::borrow::Cow;
use std::fmt;

/// What is mounted: the source of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A new file system.
    New {
        /// Its type.
        kind: String,
        /// Its `source` string; empty for none.
        source: String,
    },
    /// A new file system that the host side has created.
    CreatedByHost {
        /// Its type.
        kind: String,
        /// Its `source` string.
        source: String,
        /// Whether the owners of its files are mapped.
        idmapped: bool,
        /// The detached mount.
        slot: SlotId,
    },
    /// The mount tree at a path of the host, as the stub's mount namespace has it.
    HostPath(String),
    /// The mount tree at a path in the container, which an earlier mount may have put there.
    ContainerPath {
        /// The path.
        path: String,
        /// How the host side maps the owners of its files: it is copied by the stub, after the earlier mounts.
        idmap: Option<Box<Idmap>>,
    },
    /// A mount tree that the host side has opened.
    OpenedByHost {
        /// Its path on the host.
        path: String,
        /// The detached copy.
        slot: SlotId,
    },
    /// What is mounted at the destination already: its options change.
    Mounted {
        /// The type that the configuration names.
        kind: Option<String>,
    },
}

/// A mount of `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct MountStep {
    /// Path in the container.
    pub destination: String,
    /// What is mounted there.
    pub source: MountSource,
    /// Its options, parsed.
    pub options: MountOptions,
    /// Whether symbolic links in the destination are refused, as for procfs and sysfs.
    pub no_symlinks: bool,
    /// The SELinux context of its root directory, if the file system has no option for that.
    pub label: Option<String>,
}

impl MountStep {
    /// A bind mount, or a remount.
    pub(crate) fn bind(destination: String, source: MountSource, options: MountOptions) -> Self {
        Self { destination, source, options, no_symlinks: false, label: None }
    }

    /// The slot that it takes its mount from.
    pub(crate) fn slot(&self) -> Option<SlotId> {
        match &self.source {
            MountSource::CreatedByHost { slot, .. } | MountSource::OpenedByHost { slot, .. } => Some(*slot),
            MountSource::New { .. }
            | MountSource::HostPath(_)
            | MountSource::ContainerPath { .. }
            | MountSource::Mounted { .. } => None,
        }
    }

    /// Whether it is a procfs or a sysfs.
    pub(crate) fn shows_the_kernel(&self) -> bool {
        match &self.source {
            MountSource::New { kind, .. } | MountSource::CreatedByHost { kind, .. } => {
                matches!(kind.as_str(), "proc" | "sysfs")
            }
            MountSource::HostPath(_)
            | MountSource::ContainerPath { .. }
            | MountSource::OpenedByHost { .. }
            | MountSource::Mounted { .. } => false,
        }
    }

    /// Whether it changes a mount instead of creating one.
    pub(crate) fn is_remount(&self) -> bool {
        matches!(self.source, MountSource::Mounted { .. })
    }

    /// The path of a mount tree that exists on the host.
    pub(crate) fn source_outside(&self) -> Option<&str> {
        match &self.source {
            MountSource::HostPath(path) | MountSource::OpenedByHost { path, .. } => Some(path),
            MountSource::CreatedByHost { .. }
            | MountSource::New { .. }
            | MountSource::ContainerPath { .. }
            | MountSource::Mounted { .. } => None,
        }
    }

    /// The map of a tree that the host side maps once the stub has copied it.
    pub(crate) fn idmap_of_copy(&self) -> Option<&Idmap> {
        match &self.source {
            MountSource::ContainerPath { idmap, .. } => idmap.as_deref(),
            MountSource::CreatedByHost { .. }
            | MountSource::New { .. }
            | MountSource::HostPath(_)
            | MountSource::OpenedByHost { .. }
            | MountSource::Mounted { .. } => None,
        }
    }

    /// The file system's type, if the configuration names it.
    fn kind(&self) -> Option<&str> {
        match &self.source {
            MountSource::New { kind, .. } | MountSource::CreatedByHost { kind, .. } => Some(kind),
            MountSource::Mounted { kind } => kind.as_deref(),
            MountSource::HostPath(_)
            | MountSource::ContainerPath { .. }
            | MountSource::OpenedByHost { .. } => None,
        }
    }

    /// The first hint whose condition holds.
    pub(super) fn hint(&self, call: Option<u32>, errno: Errno) -> Option<&'static str> {
        let bind = self.options.bind.is_some();
        let too_long = self
            .options
            .data
            .iter()
            .any(|option| option.value.as_ref().is_some_and(|value| value.len() > FSCONFIG_STRING_MAX));
        let hints = [
            (
                errno == Errno::ELOOP && self.no_symlinks,
                "proc and sysfs must be mounted on ordinary directory, not through a symbolic link",
            ),
            (
                errno == Errno::ENOTDIR && bind,
                "are you trying to mount a directory onto a file (or vice-versa)? check if the specified host \
                 path exists and is the expected type",
            ),
            // move_mount(2) reports the same mistake this way.
            (
                errno == Errno::EINVAL && bind && call == Some(libc::SYS_move_mount as u32),
                "not a directory: are you trying to mount a directory onto a file (or vice-versa)? check if the \
                 specified host path exists and is the expected type",
            ),
            (
                errno == Errno::EROFS,
                "its mount point does not exist, and cannot be created on a read-only mount: create it in the source of \
                 that mount",
            ),
            (errno == Errno::ENODEV, "the kernel does not know this file system type"),
            (
                errno == Errno::EPERM && matches!(self.kind(), Some("proc" | "sysfs")),
                "in a user namespace the host's own /proc or /sys must be wholly visible",
            ),
            (
                errno == Errno::EINVAL && too_long,
                "fsconfig(2) takes options of 255 bytes at most; the layers of an overlay may be longer since \
                 Linux 6.7",
            ),
            (
                errno == Errno::EINVAL && self.kind().is_some(),
                "an option that this file system does not know?",
            ),
        ];
        hints.into_iter().find_map(|(holds, hint)| holds.then_some(hint))
    }
}

impl fmt::Display for MountStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (destination, options) = (&self.destination, option_words(&self.options));
        let bind = if self.options.bind.is_some_and(|b| b.recursive) { "rbind" } else { "bind" };
        match &self.source {
            MountSource::Mounted { .. } => write!(f, "remount {destination}{options}"),
            MountSource::CreatedByHost { kind, idmapped, .. } => {
                let idmapped = if *idmapped { ", idmapped" } else { "" };
                write!(f, "mount {kind} on {destination}{options}{idmapped}, created by the host")
            }
            MountSource::New { kind, .. } => {
                write!(f, "mount {kind} on {destination}{options}")?;
                self.label.as_ref().map_or(Ok(()), |label| write!(f, ", labelled {label}"))
            }
            MountSource::HostPath(path) => write!(f, "{bind} {path} on {destination}{options}"),
            MountSource::ContainerPath { path, idmap } => {
                let idmapped = if idmap.is_some() { ", idmapped by the host" } else { "" };
                write!(f, "{bind} the container's {path} on {destination}{options}{idmapped}")
            }
            MountSource::OpenedByHost { path, .. } => {
                write!(f, "{bind} {path} on {destination}{options}, opened by the host")
            }
        }
    }
}

/// One cgroup v1 hierarchy to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupView {
    /// Directory name below the mount point (`cpu,cpuacct`).
    pub name: Component,
    /// Names of symbolic links to it (`cpu`, `cpuacct`).
    pub links: Vec<Component>,
    /// The container's own cgroup, as a host path.
    pub path: String,
    /// Whether it may be missing: an unprivileged caller creates only the cgroups that it is permitted to create.
    pub optional: bool,
}

/// A path with one slash before each component and none at its end, `/` for the root; `None` if a component is `..`. Most
/// paths have this form already, and are not copied.
pub(crate) fn plain(path: &str) -> Option<Cow<'_, str>> {
    let parts = || path.as_bytes().split(|byte| *byte == b'/');
    if parts().any(|part| part == b"..") {
        return None;
    }
    let is_plain = path == "/" || parts().skip(1).all(|part| !matches!(part, b"" | b"."));
    if is_plain && path.starts_with('/') {
        return Some(Cow::Borrowed(path));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    Some(Cow::Owned(format!("/{}", parts.join("/"))))
}

/// Whether a [`plain`] path is another one, or lies below it.
pub(crate) fn is_at_or_below(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// One component of a path: it has no slash, and is neither `.` nor `..`. Only a component is looked up by name relative
/// to a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component(String);

impl Component {
    /// A component; `None` if no file can have this name.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let wrong = name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']);
        (!wrong).then(|| Self(name.to_owned()))
    }

    /// The directory of an absolute path, with a slash at its end, and the last component.
    pub(crate) fn last_of(path: &str) -> Option<(String, Self)> {
        let (directory, name) = path.trim_end_matches('/').rsplit_once('/')?;
        Some((format!("{directory}/"), Self::new(name)?))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The directory in the container, with a slash at its end.
    pub directory: String,
    /// Its name there.
    pub name: Component,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`, with permissions.
    pub mode: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Owner and group; `None` for root.
    pub owner: Option<(u32, u32)>,
    /// Bind the host's node of the same path instead: mknod(2) is not permitted in a user namespace.
    pub bind: bool,
    /// The node that the host side has made, for a user namespace.
    pub slot: Option<SlotId>,
}

impl Node {
    /// Its path, in the container and on the host.
    pub(crate) fn path(&self) -> String {
        format!("{}{}", self.directory, self.name.as_str())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.bind { "bind" } else { "make" };
        let by = if self.slot.is_some() { ", by the host side" } else { "" };
        let kind = match self.mode & libc::S_IFMT {
            libc::S_IFCHR => 'c',
            libc::S_IFBLK => 'b',
            _ => 'p',
        };
        let mode = self.mode & 0o7777;
        write!(f, "{how} {} {kind} {}:{} {mode:o}{by}", self.path(), self.major, self.minor)
    }
}

const ATTRIBUTES: [(MountAttrFlags, &str); 6] = [
    (MountAttrFlags::RDONLY, "ro"),
    (MountAttrFlags::NOSUID, "nosuid"),
    (MountAttrFlags::NODEV, "nodev"),
    (MountAttrFlags::NOEXEC, "noexec"),
    (MountAttrFlags::NODIRATIME, "nodiratime"),
    (MountAttrFlags::NOSYMFOLLOW, "nosymfollow"),
];

/// Attributes of its source that a bind mount loses if it names any attribute.
pub(crate) const CLEARED_IF_UNNAMED: MountAttrFlags = MountAttrFlags::from_bits(
    MountAttrFlags::RDONLY.bits()
        | MountAttrFlags::NOSUID.bits()
        | MountAttrFlags::NODEV.bits()
        | MountAttrFlags::NOEXEC.bits()
        | MountAttrFlags::NOSYMFOLLOW.bits(),
);

fn attributes(words: &mut Vec<String>, set: MountAttrFlags, clear: MountAttrFlags, prefix: &str) {
    let others = (set | clear).contains(CLEARED_IF_UNNAMED) && !clear.is_empty();
    for (bit, name) in ATTRIBUTES {
        if set.contains(bit) {
            words.push(format!("{prefix}{name}"));
        } else if clear.contains(bit) && !others {
            words.push(format!("{prefix}-{name}"));
        }
    }
    match set & MountAttrFlags::ATIME {
        MountAttrFlags::NOATIME => words.push(format!("{prefix}noatime")),
        MountAttrFlags::STRICTATIME => words.push(format!("{prefix}strictatime")),
        _ if clear.intersects(MountAttrFlags::ATIME) => words.push(format!("{prefix}relatime")),
        _ => {}
    }
    if others {
        words.push(format!("{prefix}no others"));
    }
}

/// Options as text, in parentheses.
pub(super) fn option_words(options: &MountOptions) -> String {
    let mut words = Vec::new();
    attributes(&mut words, options.attr_set, options.attr_clear, "");
    attributes(&mut words, options.rec_set, options.rec_clear, "r:");
    words.extend(options.superblock.iter().map(|flag| format!("sb:{}", flag.key)));
    words.extend(options.propagation.iter().map(ToString::to_string));
    words.extend(options.tmpcopyup.map(|_| "tmpcopyup".to_owned()));
    words.extend(options.data.iter().map(ToString::to_string));
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(",")) }
}
