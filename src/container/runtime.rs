//! The entry: a state root and the containers in it.

use super::create::{Until, create};
use super::criu::{RestoreOptions, restore};
use super::store::{Directory, Opened, Record, Root, Stage};
use super::{Container, CreateOptions, State, Status};
use crate::bundle::Bundle;
use crate::bundle::annotations::AllowedAnnotations;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Problem, Result};
use nix::errno::Errno;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A state root and the containers in it.
///
/// Holds no descriptor and changes nothing of the calling process; any number of threads and
/// processes may use the same root at once.
#[derive(Clone)]
pub struct Runtime {
    root: Arc<Root>,
    warnings: Option<Arc<Sink>>,
    fault: Option<u16>,
    permissions: AllowedAnnotations,
}

type Sink = dyn Fn(&Error) + Send + Sync;

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("root", &self.root.path).finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime whose containers' state is kept below `root`, an absolute path; the directory is
    /// made with the first container, for its owner alone.
    ///
    /// What is in it is believed. So every operation refuses one that is owned by another user than the caller and
    /// root, or into which others may write ([`ErrorKind::Untrusted`]); with the sticky bit they may, and then each
    /// container's own directory is looked at.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a relative path.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self {
            root: Arc::new(Root::new(root.into())?),
            warnings: None,
            fault: None,
            permissions: AllowedAnnotations::default(),
        })
    }

    /// Sends what goes wrong without making an operation fail (a poststop hook) to `sink`; it is
    /// dropped otherwise.
    #[must_use]
    pub fn with_warnings(mut self, sink: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.warnings = Some(Arc::new(sink));
        self
    }

    /// Lets an annotation take effect that reaches beyond the container: `org.criu.config`, or
    /// `org.systemd.property.` for more properties than those which concern the scope alone. Without this, a
    /// container that has one is refused by the operation which would read it. [`ALL`](crate::bundle::annotations::ALL) has the table.
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

    /// Declares that the calling process does one operation at a time and nothing else, as a command does: it may be
    /// killed to end an operation.
    ///
    /// [`delete`](Container::delete) with `force` ends an operation that is under way on the container and does not
    /// end by itself, whatever it waits for: a hook, criu(8), a process of the library's that the container has
    /// stopped. It kills these helpers, whereupon the operation fails and is undone. Where that is not enough (the
    /// process itself was stopped, or waits in the kernel), a process that has made this declaration is killed; what it
    /// has left is removed as after any crash. Without the declaration no caller of the library is ever killed: `delete`
    /// waits for it as every operation does, for ten seconds, and fails with [`ErrorKind::Busy`] then.
    #[must_use]
    pub fn dedicated_process(mut self) -> Self {
        self.root = Arc::new(Root { path: self.root.path.clone(), dedicated: true });
        self
    }

    /// Makes one step of the init stub fail with `EIO`, for tests of what is done about it: the line
    /// of this number, from 0, of the container's [`Plan`](crate::plan::Plan).
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

    /// Passes on what the spec wants to be logged as a warning.
    pub(crate) fn warn_of(&self, problems: &[Problem]) {
        for problem in problems {
            self.warn(&Error::new(ErrorKind::InvalidConfig, Phase::Config, problem.to_string()));
        }
    }

    /// The usual state root: `/run/orlop` for the host's root; for other users, and for root in a
    /// user namespace, `$XDG_RUNTIME_DIR/orlop` where that variable is set and not empty.
    ///
    /// The library reads no environment: pass the variable's value.
    ///
    /// # Errors
    /// That the kernel does not say which user namespace this is.
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

    /// Where the state is kept.
    pub fn root(&self) -> &Path {
        &self.root.path
    }

    /// Creates a container: everything is made, and its program waits for
    /// [`start`](Container::start). Where it fails, nothing is left behind.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], [`ErrorKind::InvalidArgument`] for an impossible id or option,
    /// [`ErrorKind::InvalidConfig`], [`ErrorKind::Unsupported`], [`ErrorKind::Hook`], and those of
    /// the system, each with the place in `config.json` that asked for what failed.
    pub fn create(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Container> {
        create(self, id, bundle, options, Until::Created)
    }

    /// Creates a container and lets its program run, in one go: as [`create`](Self::create) and
    /// [`start`](Container::start), but faster, since nobody has to call a waiting process. Returns
    /// once the program has been executed and the poststart hooks have run. Where it fails, nothing
    /// is left behind.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`start`](Container::start).
    pub fn run(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Container> {
        create(self, id, bundle, options, Until::Running)
    }

    /// Makes a container whose processes come from the images of
    /// [`Container::checkpoint`], by criu(8); returns once they go on.
    ///
    /// The bundle says what criu does not know: which directories of the host are mounted, which
    /// namespaces are joined, the cgroup and its limits. Its `prestart` and `createRuntime` hooks run once
    /// there are namespaces; other hooks but `poststop` have had their time. The init process is a child
    /// of the calling process, as after [`create`](Self::create); criu is one meanwhile. Where it fails,
    /// nothing is left behind.
    ///
    /// # Errors
    /// Those of [`create`](Self::create); [`ErrorKind::Unsupported`] where there is no criu, or one that
    /// is too old; [`ErrorKind::System`] with what criu has said.
    pub fn restore(&self, id: &str, bundle: &Bundle, options: &RestoreOptions) -> Result<Container> {
        restore(self, id, bundle, options)
    }

    /// Finds a container.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidArgument`] for an impossible id.
    pub fn load(&self, id: &str) -> Result<Container> {
        Ok(Container::new(self.clone(), Directory::open(&self.root, id)?))
    }

    /// The state of every container, sorted by id. One that is deleted meanwhile is left out.
    pub fn list(&self) -> Result<Vec<State>> {
        let Some((root, ids)) = self.root.scan()? else { return Ok(Vec::new()) };
        let (mut states, mut buffer) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            if let Some(state) = glance(&root, &id, &mut buffer) {
                states.push(state);
                continue;
            }
            let directory = match Root::directory(&root, &id) {
                Ok(Some(directory)) => directory,
                Ok(None) => continue,
                // In a shared root, any user may have made it.
                Err(e) if e.kind() == ErrorKind::Untrusted => {
                    self.warn(&e);
                    continue;
                }
                Err(e) => return Err(e),
            };
            let container = Container::new(self.clone(), directory);
            match container.state() {
                Ok(state) => states.push(state),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    // One that cannot be read hides none of the others; delete --force removes it.
                    self.warn(&e);
                    states.push(container.describe(Record::new(container.id()), Status::Stopped));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(states)
    }

    /// Deletes a container: [`Container::delete`] of [`load`](Self::load).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], also with `force`; [`ErrorKind::WrongState`] without it.
    pub fn delete(&self, id: &str, force: bool) -> Result<()> {
        self.load(id)?.delete(force)
    }

    pub(crate) fn state_root(&self) -> &Root {
        &self.root
    }
}

/// The state of a container about which nothing is peculiar.
fn glance(root: &Opened, id: &str, buffer: &mut Vec<u8>) -> Option<State> {
    let record = Root::glance(root, id, buffer)?;
    let status = match record.look().ok()? {
        Some(letter) => super::alive_status_by(&record, letter).ok()?,
        None if record.stage > Stage::Creating => Status::Stopped,
        None => return None,
    };
    Some(super::describe(id, record, status))
}

/// Whether the caller is root, and of no user namespace but the first.
fn is_host_root() -> Result<bool> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(false);
    }
    match sys::fs::read_at(sys::fs::cwd(), c"/proc/self/uid_map") {
        Ok(map) => Ok(maps_everything(&map)),
        // Without /proc nothing else will work.
        Err(Errno::ENOENT) => Ok(false),
        Err(e) => Err(Error::sys(Phase::State, "read", e).on("/proc/self/uid_map")),
    }
}

/// Whether a uid_map is the first user namespace's.
fn maps_everything(map: &[u8]) -> bool {
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
    fn only_the_first_user_namespace_maps_everything() {
        assert!(maps_everything(b"         0          0 4294967295\n"));
        assert!(!maps_everything(b"         0     100000      65536\n"));
        assert!(!maps_everything(b""));
    }

    #[test]
    fn a_relative_root_is_refused() {
        assert_eq!(Runtime::new("run").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
