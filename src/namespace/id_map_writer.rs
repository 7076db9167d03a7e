//! Writing the ID maps of a new user namespace; user_namespaces(7).

use super::id_map::{IdMaps, open_process_dir, read_file};
use crate::sys::userns::{IdMap, map_text};
use crate::sys::{fs, retry};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One of the two maps of a user namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IdMapFile {
    Uid,
    Gid,
}

impl IdMapFile {
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
    const fn noun(self) -> &'static str {
        match self {
            Self::Uid => "user ID",
            Self::Gid => "group ID",
        }
    }
    const fn delegation_file(self) -> &'static str {
        match self {
            Self::Uid => "/etc/subuid",
            Self::Gid => "/etc/subgid",
        }
    }
}

/// Writes the ID maps of the new user namespace of process `pid`, a child that has not been waited for.
/// See [`write_id_maps_at`].
pub fn write_id_maps(pid: i32, maps: &IdMaps) -> Result<()> {
    write_id_maps_at(&open_process_dir(pid)?, pid, maps)
}

/// Writes the ID maps of the new user namespace of the process whose `/proc/<pid>` directory is
/// `process`.
///
/// A caller without the privilege to write them may still map its own ID; the kernel then requires that setgroups(2) is
/// denied. All other maps are written by newuidmap(1) and newgidmap(1), which check them against `/etc/subuid`
/// and `/etc/subgid`.
///
/// # Errors
/// If a map cannot be written; the hint says what is missing: a helper, the ranges, or a setting of the kernel.
pub fn write_id_maps_at(process: impl AsFd, pid: i32, maps: &IdMaps) -> Result<()> {
    write_one(&process, pid, IdMapFile::Uid, &maps.uids)?;
    write_one(&process, pid, IdMapFile::Gid, &maps.gids)
}

fn write_one(process: impl AsFd, pid: i32, which: IdMapFile, maps: &[IdMap]) -> Result<()> {
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
        // The privilege is missing, and nothing has been changed.
        Err(Errno::EPERM) => {}
        other => return other.map_err(failed),
    }
    if which == IdMapFile::Gid && own_id_only(which, maps) {
        write(&process, c"setgroups", b"deny")
            .map_err(|e| Error::sys(Phase::Namespace, "write", e).on(format!("/proc/{pid}/setgroups")))?;
        return write(&process, which.file(), text.as_bytes()).map_err(failed);
    }
    if own_id_only(which, maps) {
        let error = failed(Errno::EPERM);
        return Err(match explain_user_namespace_error(Errno::EPERM) {
            Some(hint) => error.with_hint(hint),
            None => error,
        });
    }
    if nix::unistd::geteuid().is_root() {
        return Err(failed(Errno::EPERM).with_hint(missing_privilege(which, maps)));
    }
    run_helper(pid, which, maps)
}

/// Whether the map consists of the caller's own ID. A caller that is already in the new namespace does not have
/// an ID there yet and sees the overflow ID, so any single ID may be its own.
fn own_id_only(which: IdMapFile, maps: &[IdMap]) -> bool {
    const OVERFLOW: u32 = 65534;
    let own = match which {
        IdMapFile::Uid => nix::unistd::geteuid().as_raw(),
        IdMapFile::Gid => nix::unistd::getegid().as_raw(),
    };
    matches!(maps, [IdMap { host, size: 1, .. }] if *host == own || own == OVERFLOW)
}

fn write(process: impl AsFd, name: &std::ffi::CStr, text: &[u8]) -> Result<(), Errno> {
    retry(|| fs::write_at(&process, name, text))
}

/// Finds a set-user-ID helper in the system's directories. `PATH` is not used, because an unprivileged user controls it.
fn find_helper(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/run/wrappers/bin"]
        .iter()
        .map(|directory| PathBuf::from(directory).join(name))
        .find(|path| path.is_file())
}

fn run_helper(pid: i32, which: IdMapFile, maps: &[IdMap]) -> Result<()> {
    let name = which.helper();
    let helper = find_helper(name).ok_or_else(|| {
        Error::sys(Phase::Namespace, "find", Errno::ENOENT)
            .on(name)
            .with_detail("an unprivileged user needs it to map more than its own ID")
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
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let user = nix::unistd::getuid();
    Err(Error::sys(Phase::Namespace, "write id maps with", Errno::EPERM)
        .on(helper.display().to_string())
        .with_detail(if message.is_empty() { output.status.to_string() } else { message })
        .with_hint(format!(
            "user {user} needs ranges in {} that cover the map (usermod --add-subuids, --add-subgids), and {name} \
             must be set-user-ID root or have file capabilities",
            which.delegation_file()
        )))
}

/// Explains why the kernel refused to create a user namespace (clone(2), unshare(2)) with this errno, if a setting of
/// this machine explains it.
pub fn explain_user_namespace_error(errno: Errno) -> Option<&'static str> {
    let setting = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    match errno {
        Errno::EPERM | Errno::EACCES => {
            if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
                Some("unprivileged user namespaces are disabled: sysctl kernel.unprivileged_userns_clone=1")
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
            if setting("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
                Some("user namespaces are disabled: user.max_user_namespaces is 0")
            } else {
                Some("too many user namespaces (sysctl user.max_user_namespaces), or nested too deeply (32)")
            }
        }
        Errno::EINVAL if !Path::new("/proc/self/ns/user").exists() => {
            Some("the kernel has no user namespaces (CONFIG_USER_NS)")
        }
        _ => None,
    }
}

/// What a caller with effective user ID 0 lacks to write the map: an ID that its own user namespace maps, or a
/// capability.
fn missing_privilege(which: IdMapFile, maps: &[IdMap]) -> String {
    let own = open_self().and_then(|own| read_file(own, which.file()));
    if let Some(id) = own.ok().and_then(|own| first_unmapped(&own, maps)) {
        return format!("{} {id} is not mapped in the caller's own user namespace", which.noun());
    }
    match which {
        IdMapFile::Uid if maps.iter().any(|m| m.host == 0) => {
            "the caller needs CAP_SETUID and CAP_SETFCAP".into()
        }
        IdMapFile::Uid => "the caller needs CAP_SETUID".into(),
        IdMapFile::Gid => "the caller needs CAP_SETGID".into(),
    }
}

fn open_self() -> Result<OwnedFd> {
    fs::openat(fs::cwd(), c"/proc/self", libc::O_PATH | libc::O_DIRECTORY, 0)
        .map_err(|e| Error::sys(Phase::Namespace, "open", e).on("/proc/self"))
}

/// The first host ID of `maps` that `own`, the map of the caller's user namespace, does not have.
fn first_unmapped(own: &[IdMap], maps: &[IdMap]) -> Option<u32> {
    let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
    let unmapped = |m: &IdMap| {
        let mut id = u64::from(m.host);
        while id < end(m.host, m.size) {
            let range = own.iter().find(|o| (u64::from(o.container)..end(o.container, o.size)).contains(&id));
            match range {
                Some(range) => id = end(range.container, range.size),
                None => return u32::try_from(id).ok(),
            }
        }
        None
    };
    maps.iter().find_map(unmapped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::id_map::read_id_maps;

    const fn map(container: u32, host: u32, size: u32) -> IdMap {
        IdMap { container, host, size }
    }

    #[test]
    fn the_first_unmapped_host_id_is_found() {
        let own = [map(0, 1000, 1), map(1, 100_000, 10)];
        assert_eq!(first_unmapped(&own, &[map(0, 0, 11)]), None);
        assert_eq!(first_unmapped(&own, &[map(0, 0, 1), map(1, 5, 7)]), Some(11));
        assert_eq!(first_unmapped(&own, &[map(0, 100_000, 1)]), Some(100_000));
        assert_eq!(first_unmapped(&[map(0, 0, u32::MAX)], &[map(0, 7, u32::MAX - 7)]), None);
    }

    #[test]
    fn only_the_callers_own_id_is_its_own_id() {
        let own = nix::unistd::geteuid().as_raw();
        assert!(own_id_only(IdMapFile::Uid, &[map(0, own, 1)]));
        assert!(!own_id_only(IdMapFile::Uid, &[map(0, own, 2)]));
        assert!(!own_id_only(IdMapFile::Uid, &[map(0, own + 1, 1)]));
        assert!(!own_id_only(IdMapFile::Uid, &[map(0, own, 1), map(1, own + 1, 1)]));
    }

    /// Root writes the maps itself, another user with newuidmap(1) if that is set up.
    #[test]
    fn several_ranges_are_written_for_a_child() {
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
            println!(
                "skipped: cannot create a user namespace: {:?}",
                explain_user_namespace_error(Errno::EPERM)
            );
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
    fn an_error_names_the_process() {
        let e = write_id_maps(i32::MAX, &IdMaps::default()).unwrap_err();
        assert_eq!((e.errno(), e.object()), (Some(Errno::ENOENT), Some("/proc/2147483647")));
        assert!(explain_user_namespace_error(Errno::ENOSPC).unwrap().contains("max_user_namespaces"));
    }
}
