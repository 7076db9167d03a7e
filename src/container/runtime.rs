//! The runtime: a state root, and how its operations behave.

use super::store::StateRoot;
use crate::bundle::annotations::AllowedAnnotations;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Problem, Result};
use nix::errno::Errno;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A state root and the containers in it.
///
/// It has no open descriptor and does not change the state of the calling process. Any number of threads and processes may
/// use the same root at once.
#[derive(Clone)]
pub struct Runtime {
    root: Arc<StateRoot>,
    warnings: Option<Arc<WarningSink>>,
    fault: Option<u16>,
    permissions: AllowedAnnotations,
}

type WarningSink = dyn Fn(&Error) + Send + Sync;

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("root", &self.root.path).finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime that stores the state of its containers below `root`, an absolute path. The directory is created with the
    /// first container, for its owner alone.
    ///
    /// Its content is trusted. So every operation refuses a directory that is owned by a user other than the caller and
    /// root, or that other users can write to ([`ErrorKind::Untrusted`]). With the sticky bit they may write to it, and
    /// each container's own directory is checked instead.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a relative path.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self {
            root: Arc::new(StateRoot::new(root.into())?),
            warnings: None,
            fault: None,
            permissions: AllowedAnnotations::default(),
        })
    }

    /// Passes errors that do not make an operation fail (such as that of a poststop hook) to `sink`. By default they are
    /// discarded.
    #[must_use]
    pub fn with_warnings(mut self, sink: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.warnings = Some(Arc::new(sink));
        self
    }

    /// Permits an annotation that has effects outside the container: `org.criu.config`, or `org.systemd.property.` for
    /// properties that concern more than the scope. Without permission, the operation that would read the annotation
    /// refuses the container. [`ALL`](crate::bundle::annotations::ALL) has the table of annotations.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a name that is not in the table, or needs no permission.
    pub fn with_allowed_annotation(mut self, name: &str) -> Result<Self> {
        self.permissions.allow(name)?;
        Ok(self)
    }

    pub(crate) fn permissions(&self) -> &AllowedAnnotations {
        &self.permissions
    }

    /// Declares that the calling process performs one operation at a time and does nothing else, as a command does: it may
    /// be killed to end an operation.
    ///
    /// [`delete`](super::Container::delete) with `force` ends an operation that is under way on the container and does not
    /// return, whatever it waits for: a hook, criu(8), a process of the library that the container has stopped. It
    /// kills these helpers, so that the operation fails and is undone. If that is not enough (the process itself is
    /// stopped, or blocked in the kernel), a process that has made this declaration is killed, and what it leaves is
    /// removed as after any crash. Without the declaration no caller of the library is ever killed: `delete` waits for it
    /// for ten seconds, as every operation does, and then fails with [`ErrorKind::Busy`].
    #[must_use]
    pub fn dedicated_process(mut self) -> Self {
        self.root = Arc::new(StateRoot { path: self.root.path.clone(), dedicated: true });
        self
    }

    /// Makes one step of the init stub fail with `EIO`, to test how failures are handled: the line with this number, from
    /// 0, of the container's [`Plan`](crate::plan::Plan).
    #[must_use]
    pub fn with_fault(mut self, line: u16) -> Self {
        self.fault = Some(line);
        self
    }

    pub(crate) fn fault(&self) -> Option<u16> {
        self.fault
    }

    pub(crate) fn warn(&self, warning: &Error) {
        if let Some(sink) = &self.warnings {
            sink(warning);
        }
    }

    /// Reports problems that the runtime-spec wants to be logged as warnings.
    pub(crate) fn warn_of(&self, problems: &[Problem]) {
        for problem in problems {
            self.warn(&Error::new(ErrorKind::InvalidConfig, Phase::Config, problem.to_string()));
        }
    }

    /// The default state root: `/run/orlop` for the host's root; for other users, and for root in a user namespace,
    /// `$XDG_RUNTIME_DIR/orlop` if that variable is set and not empty.
    ///
    /// The library does not read the environment: pass the variable's value.
    ///
    /// # Errors
    /// If the id mapping of the caller's user namespace cannot be read.
    pub fn default_root(xdg_runtime_dir: Option<&OsStr>) -> Result<PathBuf> {
        let system = PathBuf::from("/run/orlop");
        match xdg_runtime_dir.map(Path::new).filter(|dir| dir.is_absolute()) {
            Some(dir) if !is_host_root()? => Ok(dir.join("orlop")),
            _ => Ok(system),
        }
    }

    /// Whether the caller is not the host's root: another user, or root of a user namespace.
    ///
    /// # Errors
    /// As [`default_root`](Self::default_root).
    pub fn is_rootless() -> Result<bool> {
        is_host_root().map(|root| !root)
    }

    /// The state root.
    pub fn root(&self) -> &Path {
        &self.root.path
    }

    pub(crate) fn state_root(&self) -> &StateRoot {
        &self.root
    }
}

/// Whether the caller is root in the initial user namespace.
fn is_host_root() -> Result<bool> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(false);
    }
    match sys::fs::read_at(sys::fs::cwd(), c"/proc/self/uid_map") {
        Ok(map) => Ok(is_initial_uid_map(&map)),
        // Without /proc nothing else works either.
        Err(Errno::ENOENT) => Ok(false),
        Err(e) => Err(Error::sys(Phase::State, "read", e).on("/proc/self/uid_map")),
    }
}

/// Whether a uid_map is that of the initial user namespace.
fn is_initial_uid_map(map: &[u8]) -> bool {
    let text = String::from_utf8_lossy(map);
    text.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_relative_variable_counts_as_unset() {
        for value in [None, Some(""), Some("run")] {
            assert_eq!(Runtime::default_root(value.map(OsStr::new)).unwrap(), Path::new("/run/orlop"));
        }
        let mine = Runtime::default_root(Some(OsStr::new("/run/user/7"))).unwrap();
        let expected = if is_host_root().unwrap() { "/run/orlop" } else { "/run/user/7/orlop" };
        assert_eq!(mine, Path::new(expected));
    }

    #[test]
    fn the_initial_user_namespace_is_recognised_by_its_uid_map() {
        assert!(is_initial_uid_map(b"         0          0 4294967295\n"));
        assert!(!is_initial_uid_map(b"         0     100000      65536\n"));
        assert!(!is_initial_uid_map(b""));
    }

    #[test]
    fn a_relative_root_is_refused() {
        assert_eq!(Runtime::new("run").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
