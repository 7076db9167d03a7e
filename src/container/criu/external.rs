//! What of a container belongs to its host: criu is told its name when it dumps, and what to put
//! there when it restores.
//!
//! Mounts are taken from the container's [`Plan`], which is the same on both sides as far as the
//! configuration is. A mount's name in the image is its destination as `config.json` has it; where it
//! lies is asked of the kernel at the dump, and never looked for at the restore, when the root file
//! system may hold anything. criu writes a name as `mnt[PATH]:KEY`, and looks for it by its beginning:
//! a path with `]` could pass for another one, and is refused.

use super::message::Pair;
use super::unsupported;
use crate::mount::in_root;
use crate::namespace::{self, Kind};
use crate::plan::{Plan, RootfsStep, Step};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// The name of masked files, and what lies over them.
const NULL: &str = "/dev/null";

/// A mount that comes from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// Where `config.json` puts it.
    destination: String,
    /// Its name in the image.
    key: String,
    /// What it shows, as the host's path.
    source: String,
    /// With the mounts below it.
    recursive: bool,
    /// Only a file is masked by something of the host's.
    mask: bool,
}

#[deny(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]
fn mounts(plan: &Plan) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for line in plan.lines() {
        let Step::Rootfs(step) = &line.step else { continue };
        match step {
            RootfsStep::Mount(mount) => {
                let recursive = mount.options.bind.is_some_and(|bind| bind.recursive);
                let source = mount.source_outside();
                found.extend(source.map(|source| Mount::new(&mount.destination, source, recursive)));
            }
            RootfsStep::CgroupMount { destination, views, .. } => {
                found.extend(views.iter().map(|view| {
                    Mount::new(&format!("{destination}/{}", view.name.as_str()), &view.path, false)
                }));
            }
            RootfsStep::MakeNode(node) if node.bind => {
                let path = node.path();
                found.push(Mount::new(&path, &path, false));
            }
            RootfsStep::Mask { path, .. } => {
                let mount = Mount::new(path, NULL, false);
                found.push(Mount { key: NULL.to_owned(), mask: true, ..mount });
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
            | RootfsStep::SealType { .. }
            | RootfsStep::SendContext
            | RootfsStep::SendFileSystem { .. }
            | RootfsStep::DevLinks { .. }
            | RootfsStep::ReadonlyPath { .. }
            | RootfsStep::ReadonlyMount { .. }
            | RootfsStep::Pivot { .. }
            | RootfsStep::ReadonlyRoot
            | RootfsStep::RootPropagation(_)
            | RootfsStep::Unmount { .. } => {}
        }
    }
    found
}

impl Mount {
    fn new(destination: &str, source: &str, recursive: bool) -> Self {
        let destination = clean(destination);
        Self { key: destination.clone(), destination, source: source.to_owned(), recursive, mask: false }
    }
}

/// A path without double, closing and dotted slashes; `..` stays as it is.
fn clean(path: &str) -> String {
    let names = path.split('/').filter(|name| !name.is_empty() && *name != ".");
    names.fold(String::new(), |path, name| path + "/" + name)
}

/// Mount points in the container, and their names, for a dump of the process with this number.
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
    // Mounts which a recursive bind has brought along.
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

/// Names of mounts, and what is to be mounted under them, for a restore.
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
    // What is mounted is the last part, and may be called as it likes.
    refuse_brackets(pairs, |(key, _)| [key, ""])
}

/// On both sides the first part stands in brackets; at the dump the second part is the name that the
/// image will have, which stands in brackets at the restore.
fn refuse_brackets(
    pairs: Vec<Pair<String>>,
    names: fn(&Pair<String>) -> [&str; 2],
) -> Result<Vec<Pair<String>>> {
    let bad = pairs.iter().flat_map(names).find(|name| name.contains(']')).map(str::to_owned);
    match bad {
        Some(name) => Err(unsupported("criu cannot tell apart mounts with a ] in their paths")
            .on(name)
            .with_detail("it names them as mnt[PATH]:KEY")),
        None => Ok(pairs),
    }
}

/// What a path has behind another one, from its slash on.
fn below<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    path.strip_prefix(above.trim_end_matches('/')).filter(|rest| rest.starts_with('/') && rest.len() > 1)
}

/// Where a mount lies, if it lies there still.
fn mount_point(root: &OwnedFd, mount: &Mount, table: &[(u64, String)]) -> Result<Option<String>> {
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

/// The mount that an open file lies on.
fn mount_id(fdinfo: &str) -> Result<u64, Errno> {
    let text = sys::fs::read_at(sys::fs::cwd(), &sys::fs::cstring(fdinfo)?)?;
    let text = String::from_utf8_lossy(&text);
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok()).ok_or(Errno::EPROTO)
}

/// Numbers of mounts and their mount points.
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

/// Undoes `\040` and its like.
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

/// Namespaces which the container has joined and criu leaves as they are: `KIND[INODE]:KEY`.
pub(super) fn dumped_namespaces(plan: &Plan) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (kind, path) in joined_by_path(plan) {
        if let Some(key) = namespace_key(kind) {
            let stat = nix::sys::stat::stat(path)
                .map_err(|e| Error::sys(Phase::Namespace, "stat", e).on(path.display().to_string()))?;
            names.push(format!("{}[{}]:{key}", short(kind), stat.st_ino));
        }
    }
    Ok(names)
}

/// The namespaces that restored processes join.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// Files which criu inherits, with their keys.
    pub(super) files: Vec<(&'static str, OwnedFd)>,
    /// Kinds, and paths that criu opens.
    pub(super) paths: Vec<Pair<String>>,
}

/// As [`dumped_namespaces`], with all others that `config.json` names a path for.
pub(super) fn restored_namespaces(plan: &Plan) -> Result<Joined> {
    let mut joined = Joined::default();
    for (kind, path) in joined_by_path(plan) {
        let name = path.display().to_string();
        match (namespace_key(kind), kind) {
            (Some(key), _) => {
                let file = sys::fs::cstring(path)
                    .and_then(|path| sys::fs::openat(sys::fs::cwd(), &path, libc::O_RDONLY, 0))
                    .map_err(|e| Error::sys(Phase::Namespace, "open", e).on(name))?;
                joined.files.push((key, file));
            }
            (None, Kind::Cgroup) => {
                return Err(unsupported("criu cannot restore into a cgroup namespace that is there").on(name));
            }
            (None, kind) => joined.paths.push((short(kind).to_owned(), name)),
        }
    }
    Ok(joined)
}

fn joined_by_path(plan: &Plan) -> impl Iterator<Item = (Kind, &Path)> {
    plan.namespaces.joined().filter_map(|(kind, source)| match source {
        namespace::Source::Path(path) => Some((kind, path.as_path())),
        _ => None,
    })
}

/// The name of a namespace that stays outside the image.
fn namespace_key(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Network => Some("extRootNetNS"),
        Kind::Pid => Some("extRootPidNS"),
        _ => None,
    }
}

/// The kernel's name.
fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::Network => "net",
        Kind::Mount => "mnt",
        other => other.name(),
    }
}

/// The standard descriptors of a process, as an image names them; what is none of `pipe:[…]` and
/// `file[…]` is only said.
pub(super) fn descriptors(pid: i32) -> Result<Vec<String>> {
    let table = mount_table(&format!("/proc/{pid}/mountinfo"))
        .map_err(|e| Error::sys(Phase::Process, "read", e).on(format!("/proc/{pid}/mountinfo")))?;
    let failed = |e| Error::sys(Phase::Process, "look at the standard descriptors of", e).on(pid.to_string());
    (0..3).map(|number| descriptor(pid, number, &table).map_err(failed)).collect()
}

/// A file that lies on no mount of the container's is external to it: the host's /dev/null. The name of a device
/// follows the key. Empty if the descriptor is closed.
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

/// Those which stay outside the image.
pub(super) fn external_files(descriptors: &[String]) -> impl Iterator<Item = String> {
    let files: BTreeSet<&str> =
        descriptors.iter().filter(|name| name.starts_with("file[")).map(|name| key(name)).collect();
    files.into_iter().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// How criu calls a descriptor which stays outside the image.
fn key(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// Whether a descriptor of the image was the host's null device.
pub(super) fn was_null(name: &str) -> bool {
    name.starts_with("file[") && name.ends_with(" /dev/null")
}

/// The descriptors which take the place of those in the image, with the numbers 0, 1 and 2 of criu's.
pub(super) fn inherited(descriptors: &[String]) -> Vec<Pair<i32>> {
    let mut pairs: Vec<Pair<i32>> = Vec::new();
    for (number, name) in descriptors.iter().enumerate().take(3) {
        let outside = name.starts_with("pipe:[") || name.starts_with("file[");
        let name = key(name);
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

/// `4:cpu,cpuacct:/path`: one for each controller.
fn cgroup_entries(line: &str) -> Vec<Pair<String>> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    controllers.split(',').map(|controller| (controller.to_owned(), path.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_by_names() {
        assert_eq!(clean("//a/./b//"), "/a/b");
        assert_eq!(below("/a/b/c", "/a/b"), Some("/c"));
        assert_eq!(below("/a/bc", "/a/b"), None);
        assert_eq!(below("/a/b", "/a/b"), None);
        assert_eq!(below("/a", "/"), Some("/a"));
    }

    #[test]
    fn a_line_of_mountinfo() {
        let line = r"36 35 98:0 /mnt1 /mnt\0402\134 rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount_entry(line), Some((36, r"/mnt 2\".to_owned())));
        assert_eq!(mount_entry("x"), None);
        assert_eq!(unescape(r"a\9\04"), r"a\9\04");
    }

    #[test]
    fn a_bracket_could_pass_for_another_mount() {
        let pair = |path: &str, key: &str| vec![(path.to_owned(), key.to_owned())];
        let both = |pairs| refuse_brackets(pairs, |(point, key)| [point, key]);
        let e = both(pair("/a]:/etc", "/a]:/etc")).unwrap_err();
        assert!(e.to_string().contains("/a]:/etc"), "{e}");
        assert!(both(pair("/link", "/x]")).is_err());
        assert!(both(pair("/a", "/a")).is_ok());
        assert!(refuse_brackets(pair("/a", "/srv/]"), |(key, _)| [key, ""]).is_ok());
    }

    #[test]
    fn descriptors_which_come_from_outside() {
        let names: Vec<String> = ["file[1a:5]", "pipe:[7]", "pipe:[7]"].map(str::to_owned).into();
        let expected = [("file[1a:5]".to_owned(), 0), ("pipe:[7]".to_owned(), 1)];
        assert_eq!(inherited(&names), expected);
        assert_eq!(external_files(&names).collect::<Vec<_>>(), ["file[1a:5]"]);
        assert!(inherited(&["/dev/pts/0".to_owned()]).is_empty());
        let null = ["file[1a:5] /dev/null".to_owned()];
        assert_eq!(inherited(&null), [("file[1a:5]".to_owned(), 0)]);
        assert_eq!(external_files(&null).collect::<Vec<_>>(), ["file[1a:5]"]);
        assert_eq!((was_null(&null[0]), was_null("/dev/null"), was_null(&names[0])), (true, false, false));
    }

    #[test]
    fn cgroups_by_controller() {
        let pair = |controller: &str, path: &str| (controller.to_owned(), path.to_owned());
        assert_eq!(cgroup_entries("4:cpu,cpuacct:/a:b"), [pair("cpu", "/a:b"), pair("cpuacct", "/a:b")]);
        assert_eq!(cgroup_entries("1:name=systemd:/"), [pair("name=systemd", "/")]);
        assert_eq!(cgroup_entries("0::/x"), [pair("", "/x")]);
    }
}
