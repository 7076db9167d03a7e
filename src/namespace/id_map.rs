//! Writing the id maps of a new user namespace; user_namespaces(7).

use super::IdMap;
use crate::sys::userns::map_text;
use crate::sys::{fs, retry};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What the kernel takes at most, in ranges (since Linux 4.15).
const MAX_RANGES: usize = 340;

/// The id maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// User ids.
    pub uids: Vec<IdMap>,
    /// Group ids.
    pub gids: Vec<IdMap>,
}

impl IdMaps {
    /// Whether both map every id alike, however the ranges are cut and ordered.
    pub fn same_as(&self, other: &Self) -> bool {
        normal(&self.uids) == normal(&other.uids) && normal(&self.gids) == normal(&other.gids)
    }
}

/// Sorted, neighbours joined.
fn normal(maps: &[IdMap]) -> Vec<IdMap> {
    let mut sorted: Vec<IdMap> = maps.iter().copied().filter(|m| m.size > 0).collect();
    sorted.sort_by_key(|m| m.container);
    let mut result: Vec<IdMap> = Vec::with_capacity(sorted.len());
    for m in sorted {
        match result.last_mut() {
            Some(before)
                if before.container.checked_add(before.size) == Some(m.container)
                    && before.host.checked_add(before.size) == Some(m.host) =>
            {
                before.size = before.size.saturating_add(m.size);
            }
            _ => result.push(m),
        }
    }
    result
}

/// Reads the id maps of the user namespace of the process whose `/proc/<pid>` directory is `process`, as
/// the caller's user namespace sees them.
pub fn read_id_maps(process: impl AsFd) -> Result<IdMaps> {
    let read = |which: Which| -> Result<Vec<IdMap>> {
        let failed = |e| Error::sys(Phase::Namespace, "read", e).on(which.file().to_string_lossy());
        let text = fs::read_at(&process, which.file()).map_err(failed)?;
        let line = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            match (numbers.next(), numbers.next(), numbers.next()) {
                (Some(Ok(container)), Some(Ok(host)), Some(Ok(size))) => Ok(IdMap { container, host, size }),
                _ => Err(failed(Errno::EINVAL)),
            }
        };
        String::from_utf8_lossy(&text).lines().map(line).collect()
    };
    Ok(IdMaps { uids: read(Which::Uid)?, gids: read(Which::Gid)? })
}

/// What the kernel will refuse in a map, with the index of the range.
pub(super) fn check(maps: &[IdMap]) -> Option<(usize, String)> {
    if maps.len() > MAX_RANGES {
        return Some((MAX_RANGES, format!("{} ranges; the kernel takes {MAX_RANGES}", maps.len())));
    }
    let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
    let overlap =
        |a: u32, b: u32, m: &IdMap, n: &IdMap| u64::from(a) < end(b, n.size) && u64::from(b) < end(a, m.size);
    for (i, m) in maps.iter().enumerate() {
        if m.size == 0 {
            return Some((i, "an empty range".into()));
        }
        if end(m.container, m.size).max(end(m.host, m.size)) > u64::from(u32::MAX) {
            return Some((i, "the range goes beyond the last id".into()));
        }
        let before = maps[..i]
            .iter()
            .position(|n| overlap(m.container, n.container, m, n) || overlap(m.host, n.host, m, n));
        if let Some(other) = before {
            return Some((i, format!("the range overlaps with range {other}")));
        }
    }
    None
}

/// Which of the two maps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Uid,
    Gid,
}

impl Which {
    const fn file(self) -> &'static std::ffi::CStr {
        match self {
            Self::Uid => c"uid_map",
            Self::Gid => c"gid_map",
        }
    }
    const fn helper(self) -> &'static str {
        match self {
            Self::Uid => "newuidmap",
            Self::Gid => "newgidmap",
        }
    }
    const fn ranges(self) -> &'static str {
        match self {
            Self::Uid => "/etc/subuid",
            Self::Gid => "/etc/subgid",
        }
    }
}

/// Opens the directory of a process in `/proc`. The caller must know that the process still has its
/// number: it is its own child and has not been waited for.
pub fn open_process_dir(pid: i32) -> Result<OwnedFd> {
    let name = format!("/proc/{pid}");
    fs::cstring(&name)
        .and_then(|path| fs::openat(fs::cwd(), &path, libc::O_PATH | libc::O_DIRECTORY, 0))
        .map_err(|e| Error::sys(Phase::Namespace, "open", e).on(name))
}

/// Writes the id maps of the new user namespace of process `pid`, a child that has not been waited for.
///
/// See [`write_id_maps_at`].
pub fn write_id_maps(pid: i32, maps: &IdMaps) -> Result<()> {
    write_id_maps_at(&open_process_dir(pid)?, pid, maps)
}

/// Writes the id maps of the new user namespace of the process whose `/proc/<pid>` directory is
/// `process`.
///
/// Who may write them does so; who may not (an ordinary user) writes a map of just its own id, with
/// setgroups(2) forbidden as the kernel demands, and has anything else written by newuidmap(1) and
/// newgidmap(1), which check it against `/etc/subuid` and `/etc/subgid`.
///
/// # Errors
/// With a hint what is missing: the helpers, the ranges, or a setting of the kernel.
pub fn write_id_maps_at(process: impl AsFd, pid: i32, maps: &IdMaps) -> Result<()> {
    write_one(&process, pid, Which::Uid, &maps.uids)?;
    write_one(&process, pid, Which::Gid, &maps.gids)
}

fn write_one(process: impl AsFd, pid: i32, which: Which, maps: &[IdMap]) -> Result<()> {
    if maps.is_empty() {
        return Ok(());
    }
    let text = map_text(maps);
    let failed = |e: Errno| {
        Error::sys(Phase::Namespace, "write", e)
            .on(format!("/proc/{pid}/{}", which.file().to_string_lossy()))
            .with_detail(text.trim_end().replace('\n', ", "))
    };
    match write(&process, which.file(), text.as_bytes()) {
        // Who lacks the privilege gets EPERM and has changed nothing yet.
        Err(Errno::EPERM) => {}
        other => return other.map_err(failed),
    }
    if which == Which::Gid && own_id_only(which, maps) {
        write(&process, c"setgroups", b"deny")
            .map_err(|e| Error::sys(Phase::Namespace, "write", e).on(format!("/proc/{pid}/setgroups")))?;
        return write(&process, which.file(), text.as_bytes()).map_err(failed);
    }
    if own_id_only(which, maps) {
        return Err(refused(failed(Errno::EPERM), Errno::EPERM));
    }
    if nix::unistd::geteuid().is_root() {
        return Err(failed(Errno::EPERM).with_hint(
            "all host ids must be mapped in the caller's own user namespace, and the caller needs CAP_SETUID and \
             CAP_SETGID (CAP_SETFCAP too where id 0 of the host is mapped)",
        ));
    }
    run_helper(pid, which, maps)
}

/// Whether the map has nothing but the caller's own id. A caller which is in the new namespace already
/// has no id in it yet, which shows as the overflow id; then any single id may be its own.
fn own_id_only(which: Which, maps: &[IdMap]) -> bool {
    const OVERFLOW: u32 = 65534;
    let own = match which {
        Which::Uid => nix::unistd::geteuid().as_raw(),
        Which::Gid => nix::unistd::getegid().as_raw(),
    };
    matches!(maps, [IdMap { host, size: 1, .. }] if *host == own || own == OVERFLOW)
}

fn write(process: impl AsFd, name: &std::ffi::CStr, text: &[u8]) -> Result<(), Errno> {
    retry(|| fs::write_at(&process, name, text))
}

/// Where a set-user-id helper may be: never a directory which an ordinary user's PATH could add.
fn find_helper(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/run/wrappers/bin"]
        .iter()
        .map(|directory| PathBuf::from(directory).join(name))
        .find(|path| path.is_file())
}

fn run_helper(pid: i32, which: Which, maps: &[IdMap]) -> Result<()> {
    let name = which.helper();
    let helper = find_helper(name).ok_or_else(|| {
        Error::sys(Phase::Namespace, "find", Errno::ENOENT)
            .on(name)
            .with_detail("an unprivileged user needs it for more than its own id")
            .with_hint("install the package uidmap (Debian) or shadow-utils")
    })?;
    let mut command = Command::new(&helper);
    command.env_clear().stdin(Stdio::null()).arg(pid.to_string());
    for m in maps {
        command.args([m.container, m.host, m.size].map(|n| n.to_string()));
    }
    let output = command.output().map_err(|e| {
        let errno = Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
        Error::sys(Phase::Namespace, "execute", errno).on(helper.display().to_string())
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let user = nix::unistd::getuid();
    Err(Error::sys(Phase::Namespace, "write id maps with", Errno::EPERM)
        .on(helper.display().to_string())
        .with_detail(if said.is_empty() { output.status.to_string() } else { said })
        .with_hint(format!(
            "user {user} needs ranges in {} which cover the map (usermod --add-subuids, --add-subgids), and {name} \
             must be set-user-id root or have file capabilities",
            which.ranges()
        )))
}

/// Says why the kernel may have refused a user namespace (clone(2), unshare(2)) with this errno, where
/// a setting of this machine explains it.
pub fn explain_refusal(errno: Errno) -> Option<&'static str> {
    let setting = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    match errno {
        Errno::EPERM | Errno::EACCES => {
            if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
                Some(
                    "unprivileged user namespaces are switched off: sysctl kernel.unprivileged_userns_clone=1",
                )
            } else if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref()
                == Some("1")
            {
                Some(
                    "AppArmor restricts unprivileged user namespaces: give the program a profile with `userns`, or \
                     sysctl kernel.apparmor_restrict_unprivileged_userns=0",
                )
            } else {
                None
            }
        }
        Errno::ENOSPC | Errno::EUSERS => {
            Some("the limit of user namespaces is reached: sysctl user.max_user_namespaces")
        }
        Errno::EINVAL => Some("the kernel has no user namespaces (CONFIG_USER_NS)"),
        _ => None,
    }
}

fn refused(error: Error, errno: Errno) -> Error {
    match explain_refusal(errno) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn map(container: u32, host: u32, size: u32) -> IdMap {
        IdMap { container, host, size }
    }

    #[test]
    fn what_the_kernel_refuses() {
        assert_eq!(check(&[map(0, 1000, 1), map(1, 100_000, 65536)]), None);
        assert_eq!(check(&[map(0, 1000, 0)]).unwrap().0, 0);
        assert_eq!(check(&[map(0, 1000, 2), map(1, 5, 1)]).unwrap().0, 1, "inside");
        assert_eq!(check(&[map(0, 1000, 2), map(7, 1001, 1)]).unwrap().0, 1, "outside");
        assert_eq!(check(&[map(0, u32::MAX - 1, 2)]).unwrap().0, 0);
        assert_eq!(check(&[map(0, 0, u32::MAX)]), None);
        let many: Vec<_> = (0..341).map(|i| map(i * 2, i * 2, 1)).collect();
        assert!(check(&many).unwrap().1.contains("340"));
        assert_eq!(check(&many[..340]), None);
    }

    #[test]
    fn equal_maps() {
        let of = |uids: &[IdMap]| IdMaps { uids: uids.to_vec(), gids: Vec::new() };
        let cut = of(&[map(5, 105, 5), map(0, 100, 5), map(20, 7, 1)]);
        assert!(cut.same_as(&of(&[map(0, 100, 10), map(20, 7, 1)])));
        assert!(!cut.same_as(&of(&[map(0, 100, 10)])));
        assert!(!of(&[map(0, 0, 2)]).same_as(&of(&[map(0, 0, 1), map(1, 2, 1)])));
        let own =
            read_id_maps(open_process_dir(i32::try_from(std::process::id()).unwrap()).unwrap()).unwrap();
        assert!(!own.uids.is_empty() && own.same_as(&own));
    }

    #[test]
    fn own_ids() {
        let own = nix::unistd::geteuid().as_raw();
        assert!(own_id_only(Which::Uid, &[map(0, own, 1)]));
        assert!(!own_id_only(Which::Uid, &[map(0, own, 2)]));
        assert!(!own_id_only(Which::Uid, &[map(0, own + 1, 1)]));
        assert!(!own_id_only(Which::Uid, &[map(0, own, 1), map(1, own + 1, 1)]));
    }

    /// As root the maps are written, as an ordinary user by newuidmap(1) where that is set up.
    #[test]
    fn several_ranges_for_a_child() {
        let link = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        let mut command = Command::new("unshare");
        command.args(["--user", "sleep", "10"]).stdin(Stdio::null()).stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else {
            println!("skipped: no unshare(1)");
            return;
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while link(child.id()) == link(std::process::id())
            && child.try_wait().unwrap().is_none()
            && std::time::Instant::now() < deadline
        {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let pid = i32::try_from(child.id()).unwrap();
        let range = |own: u32| vec![map(0, own, 1), map(1, 100_000, 1000)];
        let maps = IdMaps {
            uids: range(nix::unistd::geteuid().as_raw()),
            gids: range(nix::unistd::getegid().as_raw()),
        };
        if child.try_wait().unwrap().is_some() {
            println!("skipped: no user namespace: {:?}", explain_refusal(Errno::EPERM));
            return;
        }
        match write_id_maps(pid, &maps) {
            Ok(()) => {
                let found = read_id_maps(open_process_dir(pid).unwrap()).unwrap();
                assert!(found.same_as(&maps), "{found:?}");
            }
            Err(e) => {
                assert!(e.hint().is_some(), "{e}");
                println!("skipped: {e}");
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn errors_say_where() {
        let e = write_id_maps(i32::MAX, &IdMaps::default()).unwrap_err();
        assert_eq!((e.errno(), e.object()), (Some(Errno::ENOENT), Some("/proc/2147483647")));
        assert!(explain_refusal(Errno::ENOSPC).unwrap().contains("max_user_namespaces"));
    }
}
