//! The parts of a container that belong to its host. At the dump criu gets a key for each of them, and at the restore what
//! to use for the key.
//!
//! Mounts are taken from the container's [`Plan`], which is the same at both times if the configuration is the same. A
//! mount's key in the image is its destination in `config.json`. Its mount point is read from the kernel at the dump, and
//! never looked up at the restore, because the root file system may have any content by then. criu writes a mount as
//! `mnt[PATH]:KEY` and finds it by its prefix, so a path with `]` could be mistaken for another one: it is refused.

use super::error::unsupported;
use super::message::Pair;
use crate::mount::in_root;
use crate::namespace::{self, NamespaceKind};
use crate::plan::{Plan, RootfsStep, Step};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// The key of masked files, and what is mounted over them.
const NULL: &str = "/dev/null";

/// A mount that comes from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ExternalMount {
    /// Its destination in `config.json`.
    destination: String,
    /// Its key in the image.
    key: String,
    /// Its source, a path of the host.
    source: String,
    /// The mounts below the source are included.
    recursive: bool,
    /// It masks a path: external only if that is a file.
    mask: bool,
}

#[deny(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]
fn mounts(plan: &Plan) -> Vec<ExternalMount> {
    let mut found: Vec<ExternalMount> = Vec::new();
    for line in plan.lines() {
        let Step::Rootfs(step) = &line.step else { continue };
        match step {
            RootfsStep::Mount(mount) => {
                let recursive = mount.options.bind.is_some_and(|bind| bind.recursive);
                let source = mount.source_outside();
                found.extend(source.map(|source| ExternalMount::new(&mount.destination, source, recursive)));
            }
            RootfsStep::CgroupMount { destination, views, .. } => {
                found.extend(views.iter().map(|view| {
                    ExternalMount::new(&format!("{destination}/{}", view.name.as_str()), &view.path, false)
                }));
            }
            RootfsStep::MakeNode(node) if node.bind || node.slot.is_some() => {
                let path = node.path();
                found.push(ExternalMount::new(&path, &path, false));
            }
            RootfsStep::Mask { path, .. } => {
                let mount = ExternalMount::new(path, NULL, false);
                found.push(ExternalMount { key: NULL.to_owned(), mask: true, ..mount });
            }
            RootfsStep::MakeNode(_)
            | RootfsStep::OpenUmask
            | RootfsStep::HostPropagation(_)
            | RootfsStep::Root { .. }
            | RootfsStep::AttachTree { .. }
            | RootfsStep::MountPoint { .. }
            | RootfsStep::HostRoot
            | RootfsStep::ChangeRoot { .. }
            | RootfsStep::EmptyRoot
            | RootfsStep::HideKernelMounts { .. }
            | RootfsStep::DetachedRoot { .. }
            | RootfsStep::StayInRoot
            | RootfsStep::JoinRoot { .. }
            | RootfsStep::SealType { .. }
            | RootfsStep::SendContext
            | RootfsStep::SendFileSystem { .. }
            | RootfsStep::DevLinks { .. }
            | RootfsStep::ReadonlyPath { .. }
            | RootfsStep::ReadonlyMount { .. }
            | RootfsStep::Pivot { .. }
            | RootfsStep::ReadonlyRoot
            | RootfsStep::CreateDirectory { .. }
            | RootfsStep::RootPropagation(_)
            | RootfsStep::Unmount { .. } => {}
        }
    }
    found
}

impl ExternalMount {
    fn new(destination: &str, source: &str, recursive: bool) -> Self {
        let destination = clean(destination);
        // A source such as `.` is below the bundle; criu compares paths without such components.
        let source = Some(clean(source)).filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
        Self { key: destination.clone(), destination, source, recursive, mask: false }
    }
}

/// A path without empty and `.` components and without a trailing slash; `..` remains.
fn clean(path: &str) -> String {
    let names = path.split('/').filter(|name| !name.is_empty() && *name != ".");
    names.fold(String::new(), |path, name| path + "/" + name)
}

/// The mount points in the container and their keys, for a dump of the process with this pid.
pub(super) fn dumped_mounts(plan: &Plan, pid: i32) -> Result<Vec<Pair<String>>> {
    let failed = |e| Error::sys(Phase::Mount, "read", e).on(format!("/proc/{pid}/mountinfo"));
    let root = sys::fs::cstring(format!("/proc/{pid}/root"))
        .and_then(|path| sys::fs::openat(sys::fs::cwd(), &path, libc::O_PATH | libc::O_DIRECTORY, 0))
        .map_err(|e| Error::sys(Phase::Mount, "open", e).on(format!("/proc/{pid}/root")))?;
    let table = mount_table(&format!("/proc/{pid}/mountinfo")).map_err(failed)?;
    let mut pairs = Vec::new();
    let mut named = BTreeSet::new();
    let mut trees = Vec::new();
    for mount in mounts(plan) {
        let Some(point) = mount_point(&root, &mount, &table)? else { continue };
        if named.insert(point.clone()) {
            pairs.push((point.clone(), mount.key.clone()));
            if mount.recursive {
                trees.push((point, mount.key));
            }
        }
    }
    // Mounts that are included in a recursive bind mount.
    for (_, point) in &table {
        let tree =
            trees.iter().filter(|tree| below(point, &tree.0).is_some()).max_by_key(|tree| tree.0.len());
        if let Some((at, key)) = tree
            && let Some(rest) = below(point, at)
            && named.insert(point.clone())
        {
            pairs.push((point.clone(), format!("{key}{rest}")));
        }
    }
    refuse_brackets(pairs, |(point, key)| [point, key])
}

/// The keys of mounts, and the sources to mount for them, for a restore.
pub(super) fn restored_mounts(plan: &Plan) -> Result<Vec<Pair<String>>> {
    let table = mount_table("/proc/self/mountinfo")
        .map_err(|e| Error::sys(Phase::Mount, "read", e).on("/proc/self/mountinfo"))?;
    let mut pairs: Vec<Pair<String>> = Vec::new();
    let mounts = mounts(plan);
    for mount in &mounts {
        if !pairs.iter().any(|(key, _)| *key == mount.key) {
            pairs.push((mount.key.clone(), mount.source.clone()));
        }
    }
    for mount in mounts.iter().filter(|mount| mount.recursive) {
        let source = match std::fs::canonicalize(&mount.source) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => mount.source.clone().into(),
            found => found.map_err(|e| {
                let errno = Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
                Error::sys(Phase::Mount, "resolve", errno).on(mount.source.as_str())
            })?,
        };
        for (_, point) in &table {
            let Some(rest) = source.to_str().and_then(|source| below(point, source)) else { continue };
            let key = format!("{}{rest}", mount.key);
            if !pairs.iter().any(|(other, _)| *other == key) {
                pairs.push((key, point.clone()));
            }
        }
    }
    // The source is the last part, and may contain any character.
    refuse_brackets(pairs, |(key, _)| [key, ""])
}

/// The first part is written in brackets both times. At the dump the second part is the key, which is written in brackets
/// at the restore.
fn refuse_brackets(
    pairs: Vec<Pair<String>>,
    names: fn(&Pair<String>) -> [&str; 2],
) -> Result<Vec<Pair<String>>> {
    let bad = pairs.iter().flat_map(names).find(|name| name.contains(']')).map(str::to_owned);
    match bad {
        Some(name) => Err(unsupported("criu cannot distinguish mounts with a ] in their paths")
            .on(name)
            .with_detail("it names them as mnt[PATH]:KEY")),
        None => Ok(pairs),
    }
}

/// The rest of a path after a path above it, starting with a slash.
fn below<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    path.strip_prefix(above.trim_end_matches('/')).filter(|rest| rest.starts_with('/') && rest.len() > 1)
}

/// The mount point of a mount, if it is still mounted there.
fn mount_point(root: &OwnedFd, mount: &ExternalMount, table: &[(u64, String)]) -> Result<Option<String>> {
    let failed = |e| Error::sys(Phase::Mount, "look at", e).on(mount.destination.as_str());
    let found = match in_root::open(root, &mount.destination, OFlag::O_PATH) {
        Err(e) if matches!(e.errno(), Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)) => {
            return Ok(None);
        }
        found => found?,
    };
    if mount.mask {
        let kind = nix::sys::stat::fstat(&found).map_err(failed)?.st_mode & libc::S_IFMT;
        if kind == libc::S_IFDIR {
            return Ok(None);
        }
    }
    let number = found.as_raw_fd();
    let id = mount_id(&format!("/proc/self/fdinfo/{number}")).map_err(failed)?;
    let Some((_, point)) = table.iter().find(|entry| entry.0 == id) else { return Ok(None) };
    let here = nix::fcntl::readlink(format!("/proc/self/fd/{number}").as_str()).map_err(failed)?;
    Ok((here.to_str() == Some(point.as_str())).then(|| point.clone()))
}

/// The id of the mount that an open file is on.
fn mount_id(fdinfo: &str) -> Result<u64, Errno> {
    let text = sys::fs::read_at(sys::fs::cwd(), &sys::fs::cstring(fdinfo)?)?;
    let text = String::from_utf8_lossy(&text);
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok()).ok_or(Errno::EPROTO)
}

/// The ids of mounts and their mount points.
fn mount_table(path: &str) -> Result<Vec<(u64, String)>, Errno> {
    let text = sys::fs::read_at(sys::fs::cwd(), &sys::fs::cstring(path)?)?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(mount_entry).collect())
}

/// `ID PARENT MAJOR:MINOR ROOT POINT ...` (proc_pid_mountinfo(5)).
fn mount_entry(line: &str) -> Option<(u64, String)> {
    let mut fields = line.split(' ');
    let id = fields.next()?.parse().ok()?;
    Some((id, unescape(fields.nth(3)?)))
}

/// Decodes octal escapes such as `\040`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            digits
                .iter()
                .try_fold(0u32, |n, d| (b'0'..=b'7').contains(d).then(|| n * 8 + u32::from(d - b'0')))
        });
        match octal {
            Some(byte) => {
                bytes.push(byte as u8);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The joined namespaces that criu does not dump: `KIND[INODE]:KEY`.
pub(super) fn dumped_namespaces(plan: &Plan) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (kind, path) in joined_by_path(plan) {
        if let Some(key) = namespace_key(kind) {
            let stat = nix::sys::stat::stat(path)
                .map_err(|e| Error::sys(Phase::Namespace, "stat", e).on(path.display().to_string()))?;
            names.push(format!("{}[{}]:{key}", kernel_name(kind), stat.st_ino));
        }
    }
    Ok(names)
}

/// The namespaces that restored processes join.
#[derive(Debug, Default)]
pub(super) struct JoinedNamespaces {
    /// The files that criu inherits, with their keys.
    pub(super) files: Vec<(&'static str, OwnedFd)>,
    /// The types, and the paths that criu opens.
    pub(super) paths: Vec<Pair<String>>,
}

/// As [`dumped_namespaces`], and all others for which `config.json` has a path.
pub(super) fn restored_namespaces(plan: &Plan) -> Result<JoinedNamespaces> {
    let mut joined = JoinedNamespaces::default();
    for (kind, path) in joined_by_path(plan) {
        let name = path.display().to_string();
        match (namespace_key(kind), kind) {
            (Some(key), _) => {
                let file = sys::fs::cstring(path)
                    .and_then(|path| sys::fs::openat(sys::fs::cwd(), &path, libc::O_RDONLY, 0))
                    .map_err(|e| Error::sys(Phase::Namespace, "open", e).on(name))?;
                joined.files.push((key, file));
            }
            (None, NamespaceKind::Cgroup) => {
                return Err(unsupported("criu cannot restore into an existing cgroup namespace").on(name));
            }
            (None, kind) => joined.paths.push((kernel_name(kind).to_owned(), name)),
        }
    }
    Ok(joined)
}

fn joined_by_path(plan: &Plan) -> impl Iterator<Item = (NamespaceKind, &Path)> {
    plan.namespaces.joined().filter_map(|(kind, source)| match source {
        namespace::NamespaceSource::Path(path) => Some((kind, path.as_path())),
        _ => None,
    })
}

/// The key of a namespace that is external.
fn namespace_key(kind: NamespaceKind) -> Option<&'static str> {
    match kind {
        NamespaceKind::Network => Some("extRootNetNS"),
        NamespaceKind::Pid => Some("extRootPidNS"),
        _ => None,
    }
}

/// The name in `/proc/PID/ns`.
fn kernel_name(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Network => "net",
        NamespaceKind::Mount => "mnt",
        other => other.name(),
    }
}

/// The standard descriptors of a process, as the image names them. Only `pipe:[…]` and `file[…]` are external; other names
/// are informative.
pub(super) fn descriptors(pid: i32) -> Result<Vec<String>> {
    let table = mount_table(&format!("/proc/{pid}/mountinfo"))
        .map_err(|e| Error::sys(Phase::Process, "read", e).on(format!("/proc/{pid}/mountinfo")))?;
    let failed = |e| Error::sys(Phase::Process, "look at the standard descriptors of", e).on(pid.to_string());
    (0..3).map(|number| descriptor(pid, number, &table).map_err(failed)).collect()
}

/// The name of a descriptor; empty if it is closed. A file that is on no mount of the container, such as the host's
/// `/dev/null`, is external; if it is a device, its path follows the key.
fn descriptor(pid: i32, number: i32, table: &[(u64, String)]) -> Result<String, Errno> {
    let path = format!("/proc/{pid}/fd/{number}");
    let name = match nix::fcntl::readlink(path.as_str()) {
        Ok(name) => name.to_string_lossy().into_owned(),
        Err(Errno::ENOENT) => return Ok(String::new()),
        Err(e) => return Err(e),
    };
    let stat = nix::sys::stat::stat(path.as_str())?;
    let terminal = stat.st_mode & libc::S_IFMT == libc::S_IFCHR && name.starts_with("/dev/pts/");
    let plain = matches!(stat.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFCHR) && !terminal;
    let mount = mount_id(&format!("/proc/{pid}/fdinfo/{number}"))?;
    if plain && table.iter().all(|entry| entry.0 != mount) {
        let key = format!("file[{mount:x}:{:x}]", stat.st_ino);
        let device = stat.st_mode & libc::S_IFMT == libc::S_IFCHR;
        return Ok(if device { format!("{key} {name}") } else { key });
    }
    Ok(name)
}

/// The keys of descriptors that are external files.
pub(super) fn external_files(descriptors: &[String]) -> impl Iterator<Item = String> {
    let files: BTreeSet<&str> = descriptors
        .iter()
        .filter(|name| name.starts_with("file["))
        .map(|name| descriptor_key(name))
        .collect();
    files.into_iter().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// The key of an external descriptor.
fn descriptor_key(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// Whether a descriptor in the image was the host's null device.
pub(super) fn was_null_device(name: &str) -> bool {
    name.starts_with("file[") && name.ends_with(" /dev/null")
}

/// The keys of external descriptors, and which of criu's descriptors 0, 1 and 2 replaces each.
pub(super) fn inherited(descriptors: &[String]) -> Vec<Pair<i32>> {
    let mut pairs: Vec<Pair<i32>> = Vec::new();
    for (number, name) in descriptors.iter().enumerate().take(3) {
        let outside = name.starts_with("pipe:[") || name.starts_with("file[");
        let name = descriptor_key(name);
        if outside && pairs.iter().all(|(key, _)| key != name) {
            pairs.push((name.to_owned(), number as i32));
        }
    }
    pairs
}

/// The cgroups of a process, as `/proc/PID/cgroup` names them: controller, path.
pub(super) fn cgroups(pid: impl std::fmt::Display) -> Result<Vec<Pair<String>>> {
    let path = format!("/proc/{pid}/cgroup");
    let text = sys::fs::cstring(&path)
        .and_then(|path| sys::fs::read_at(sys::fs::cwd(), &path))
        .map_err(|e| Error::sys(Phase::Cgroup, "read", e).on(path))?;
    Ok(String::from_utf8_lossy(&text).lines().flat_map(cgroup_entries).collect())
}

/// Parses `4:cpu,cpuacct:/path`: one entry for each controller.
fn cgroup_entries(line: &str) -> Vec<Pair<String>> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    controllers.split(',').map(|controller| (controller.to_owned(), path.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_by_components() {
        assert_eq!(clean("//a/./b//"), "/a/b");
        assert_eq!(below("/a/b/c", "/a/b"), Some("/c"));
        assert_eq!(below("/a/bc", "/a/b"), None);
        assert_eq!(below("/a/b", "/a/b"), None);
        assert_eq!(below("/a", "/"), Some("/a"));
    }

    #[test]
    fn mountinfo_lines_are_parsed() {
        let line = r"36 35 98:0 /mnt1 /mnt\0402\134 rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount_entry(line), Some((36, r"/mnt 2\".to_owned())));
        assert_eq!(mount_entry("x"), None);
        assert_eq!(unescape(r"a\9\04"), r"a\9\04");
    }

    #[test]
    fn mount_paths_with_brackets_are_refused() {
        let pair = |path: &str, key: &str| vec![(path.to_owned(), key.to_owned())];
        let both = |pairs| refuse_brackets(pairs, |(point, key)| [point, key]);
        let e = both(pair("/a]:/etc", "/a]:/etc")).unwrap_err();
        assert!(e.to_string().contains("/a]:/etc"), "{e}");
        assert!(both(pair("/link", "/x]")).is_err());
        assert!(both(pair("/a", "/a")).is_ok());
        assert!(refuse_brackets(pair("/a", "/srv/]"), |(key, _)| [key, ""]).is_ok());
    }

    #[test]
    fn external_descriptors_are_recognised() {
        let names: Vec<String> = ["file[1a:5]", "pipe:[7]", "pipe:[7]"].map(str::to_owned).into();
        let expected = [("file[1a:5]".to_owned(), 0), ("pipe:[7]".to_owned(), 1)];
        assert_eq!(inherited(&names), expected);
        assert_eq!(external_files(&names).collect::<Vec<_>>(), ["file[1a:5]"]);
        assert!(inherited(&["/dev/pts/0".to_owned()]).is_empty());
        let null = ["file[1a:5] /dev/null".to_owned()];
        assert_eq!(inherited(&null), [("file[1a:5]".to_owned(), 0)]);
        assert_eq!(external_files(&null).collect::<Vec<_>>(), ["file[1a:5]"]);
        assert_eq!(
            (was_null_device(&null[0]), was_null_device("/dev/null"), was_null_device(&names[0])),
            (true, false, false)
        );
    }

    #[test]
    fn cgroup_entries_are_split_by_controller() {
        let pair = |controller: &str, path: &str| (controller.to_owned(), path.to_owned());
        assert_eq!(cgroup_entries("4:cpu,cpuacct:/a:b"), [pair("cpu", "/a:b"), pair("cpuacct", "/a:b")]);
        assert_eq!(cgroup_entries("1:name=systemd:/"), [pair("name=systemd", "/")]);
        assert_eq!(cgroup_entries("0::/x"), [pair("", "/x")]);
    }
}
