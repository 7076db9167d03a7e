//! The environment and the working directory, which the library does not read.

use crate::failure::{Failure, reason};
use orlop::container::{Runtime, SystemdBus};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The state root: `--root`, or the default.
pub(crate) fn state_root(flag: Option<&Path>) -> Result<PathBuf, Failure> {
    match flag {
        Some(path) => absolute(path),
        None => Ok(Runtime::default_root(std::env::var_os("XDG_RUNTIME_DIR").as_deref())?),
    }
}

/// A path relative to the caller's working directory, without `.` components and trailing slashes.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    match std::path::absolute(path) {
        Ok(path) => Ok(path.components().collect()),
        Err(e) => Err(Failure::new(format!("make {} absolute: {}", path.display(), reason(&e)))),
    }
}

/// [`absolute`] for a flag that may be absent.
pub(crate) fn absolute_option(path: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    path.map(absolute).transpose()
}

/// The number of descriptors, from 3 on, passed by socket activation (sd_listen_fds(3)).
///
/// `LISTEN_PID` names the process they are for; it is absent if they were passed through a shell.
pub(crate) fn listen_fds() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<u32>().ok());
    match (std::env::var_os("LISTEN_PID"), number("LISTEN_PID")) {
        (None, _) => {}
        (Some(_), Some(pid)) if pid == std::process::id() => {}
        _ => return 0,
    }
    number("LISTEN_FDS").unwrap_or(0)
}

/// The systemd instance that creates cgroups: the system's for real root, otherwise the user's.
pub(crate) fn systemd(rootless: Option<bool>) -> Result<SystemdBus, Failure> {
    if !rootless.map_or_else(Runtime::is_rootless, Ok)? {
        return Ok(SystemdBus::system());
    }
    let session = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    Ok(SystemdBus::user(session.as_deref(), runtime.as_deref().map(Path::new)))
}

/// The service manager's socket. An empty variable counts as unset.
pub(crate) fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute(Path::new("a/./b/")).unwrap(), here.join("a/b"));
        assert_eq!(absolute(Path::new(".")).unwrap(), here);
        assert_eq!(absolute(Path::new("/x/../y/")).unwrap(), Path::new("/x/../y"));
    }
}
