//! A walk over a cgroup and its descendants, of any number and depth.
//!
//! A container that can write to its cgroup controls everything below it: names are arbitrary bytes, paths can exceed
//! PATH_MAX, and on v1 cgroups can be renamed during the walk. The walk therefore goes from descriptor to descriptor,
//! holds only two of them at any depth, and keeps its position on the heap.
//!
//! **Going up** opens `..` and compares the id of that directory with the one that the walk came from. On other
//! file systems the owner of a tree decides where `..` leads. A cgroup, however, never gets another parent: v2 has no
//! rename(2), v1 rejects a rename into another directory, and mounting over it in the caller's mount namespace requires
//! the caller's own privileges. If `..` is another directory nevertheless, the walk fails with ESTALE.
//!
//! **Renames.** If a listed name no longer exists, the directory is listed again and the child is found by its inode
//! number, or known to be removed. After [`MAX_RENAME_ROUNDS`] attempts the walk fails.

use super::dir::{DirRef, DirectoryId, Subdirectory, failed};
use super::file::is_gone_errno;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time limit of a walk, in case the tree grows faster than it is walked.
pub(super) const WALK_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of a walk that kills or removes a container, which may have created very many cgroups.
pub(super) const REMOVAL_TIMEOUT: Duration = Duration::from_secs(600);
/// How often one directory is listed again because of renames.
const MAX_RENAME_ROUNDS: u32 = 2000;
/// How often one directory is listed again because the list is shorter than the link count. A cgroup that is being
/// created is counted before it is listed, so the list of a busy directory may always be too short.
const MAX_SHORT_LISTS: u32 = 8;

/// What a visitor has found out about a listed child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildState {
    /// It exists and is to be visited.
    Present,
    /// It needs no (further) visit.
    Done,
    /// The name no longer exists.
    Gone,
}

/// What is done during a walk.
pub(super) trait Visitor {
    /// Called before a child of `parent` is entered.
    fn before(&mut self, _parent: DirRef<'_>, _name: &CStr) -> Result<ChildState> {
        Ok(ChildState::Present)
    }

    /// Called in each cgroup, which may have been removed in the meantime.
    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()>;

    /// Called after everything below a child of `parent` has been visited.
    fn after(&mut self, _parent: DirRef<'_>, _name: &CStr) -> Result<ChildState> {
        Ok(ChildState::Done)
    }
}

/// A closure is called in each cgroup.
impl<F: FnMut(DirRef<'_>) -> Result<()>> Visitor for F {
    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()> {
        self(cgroup)
    }
}

/// Visits a cgroup and everything below it, parents first; [`Visitor::after`] is called for children first.
pub(super) fn walk(root: DirRef<'_>, limit: Duration, visitor: &mut dyn Visitor) -> Result<()> {
    let started = Instant::now();
    let mut walk = TreeWalk { root, current: None, path: root.path().to_owned(), levels: Vec::new() };
    visitor.at(root)?;
    walk.enter(None)?;
    while !walk.levels.is_empty() {
        if started.elapsed() > limit {
            return Err(Error::new(ErrorKind::TimedOut, Phase::Cgroup, "walk the cgroups below")
                .on(root.path().display().to_string())
                .with_detail(format!("not finished after {} s", limit.as_secs())));
        }
        walk.step(visitor)?;
    }
    Ok(())
}

/// A directory on the way from the root to the current one.
struct Level {
    id: DirectoryId,
    /// Its name in its parent; `None` for the root.
    name: Option<CString>,
    /// Children that are still to be visited.
    children: Vec<Subdirectory>,
    /// The inode numbers of visited children.
    seen: BTreeSet<u64>,
    /// The inode numbers of children whose listed name no longer existed.
    missed: BTreeSet<u64>,
    /// Whether the list had fewer entries than the link count.
    short: bool,
    short_lists: u32,
    rename_rounds: u32,
}

struct TreeWalk<'r> {
    root: DirRef<'r>,
    /// The current directory, unless it is the root.
    current: Option<OwnedFd>,
    path: PathBuf,
    levels: Vec<Level>,
}

impl TreeWalk<'_> {
    fn current(&self) -> DirRef<'_> {
        match &self.current {
            Some(fd) => self.root.on_same_mount(fd.as_fd(), &self.path),
            None => self.root,
        }
    }

    /// Begins with the current directory.
    fn enter(&mut self, name: Option<CString>) -> Result<()> {
        let current = self.current();
        let stat = current.stat().map_err(|e| current.failed("fstat", "", e))?;
        let mut level = Level {
            id: stat.id,
            name,
            children: Vec::new(),
            seen: BTreeSet::new(),
            missed: BTreeSet::new(),
            short: false,
            short_lists: 0,
            rename_rounds: 0,
        };
        // The link count says if there are subdirectories.
        if stat.subdirectories != Some(0) {
            level.list(current, stat.subdirectories)?;
        }
        self.levels.push(level);
        Ok(())
    }

    /// Visits the next child, or leaves the directory.
    fn step(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let Some(child) = level.children.pop() else {
            let current = match &self.current {
                Some(fd) => self.root.on_same_mount(fd.as_fd(), &self.path),
                None => self.root,
            };
            return if level.list_again(current)? { Ok(()) } else { self.return_to_parent(visitor) };
        };
        if level.seen.contains(&child.inode) {
            return Ok(());
        }
        let found = visitor.before(self.current(), &child.name)?;
        if found == ChildState::Present {
            return self.enter_child(&child, visitor);
        }
        if let Some(level) = self.levels.last_mut() {
            let set = if found == ChildState::Done { &mut level.seen } else { &mut level.missed };
            set.insert(child.inode);
        }
        Ok(())
    }

    /// Enters a child.
    fn enter_child(&mut self, child: &Subdirectory, visitor: &mut dyn Visitor) -> Result<()> {
        let current = self.current();
        let below = match current.open_child(&child.name) {
            Ok(fd) => Some(fd),
            Err(e) if is_gone_errno(e) => None,
            Err(e) => return Err(failed("open", &joined(current.path(), &child.name), "", e)),
        };
        let stat = |fd: &OwnedFd| current.on_same_mount(fd.as_fd(), current.path()).stat();
        let found = below.as_ref().map(stat).transpose().map_err(|e| current.failed("fstat", "", e))?;
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let inode = found.map(|stat| stat.id.inode);
        if inode != Some(child.inode) {
            // The name now belongs to another cgroup, or to none.
            level.missed.insert(child.inode);
        }
        match inode {
            Some(inode) if level.seen.insert(inode) => {}
            _ => return Ok(()),
        }
        self.current = below;
        self.path.push(OsStr::from_bytes(child.name.to_bytes()));
        visitor.at(self.current())?;
        self.enter(Some(child.name.clone()))
    }

    /// Returns to the parent of a finished directory.
    fn return_to_parent(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        let Some(Level { id, name: Some(name), .. }) = self.levels.pop() else { return Ok(()) };
        let Some(parent) = self.levels.last() else { return Ok(()) };
        let above = if self.levels.len() == 1 { None } else { Some(self.open_parent(parent.id)?) };
        self.current = above;
        self.path.pop();
        let found = visitor.after(self.current(), &name)?;
        if let (ChildState::Gone, Some(parent)) = (found, self.levels.last_mut()) {
            parent.seen.remove(&id.inode);
            parent.missed.insert(id.inode);
        }
        Ok(())
    }

    fn open_parent(&self, expected: DirectoryId) -> Result<OwnedFd> {
        let current = self.current();
        let failed = |e| current.failed("open", "..", e);
        let above = current.open_parent().map_err(failed)?;
        let stat = current.on_same_mount(above.as_fd(), current.path()).stat().map_err(failed)?;
        if stat.id == expected { Ok(above) } else { Err(failed(Errno::ESTALE)) }
    }
}

impl Level {
    /// Lists the directory.
    fn list(&mut self, current: DirRef<'_>, below: Option<u64>) -> Result<()> {
        match current.subdirectories() {
            Ok(children) => self.children = children,
            Err(e) if is_gone_errno(e) => return Ok(()),
            Err(e) => return Err(current.failed("read", "", e)),
        }
        // A rename can move a name from the part of the list that is still unread to the part that has been read.
        let unique: BTreeSet<u64> = self.children.iter().map(|child| child.inode).collect();
        self.short = current.can_rename() && below.is_some_and(|below| (unique.len() as u64) < below);
        Ok(())
    }

    /// Lists the directory again if children were missed. Returns whether there are more to visit.
    fn list_again(&mut self, current: DirRef<'_>) -> Result<bool> {
        let missed = std::mem::take(&mut self.missed);
        let short = self.short && self.short_lists < MAX_SHORT_LISTS;
        // Without rename(2) a missing child has been removed.
        if !current.can_rename() || (missed.is_empty() && !short) {
            return Ok(false);
        }
        let stat = current.stat().map_err(|e| current.failed("fstat", "", e))?;
        self.list(current, stat.subdirectories)?;
        let renamed = self.children.iter().any(|child| missed.contains(&child.inode));
        self.short_lists += u32::from(short);
        self.rename_rounds += u32::from(renamed);
        if self.rename_rounds > MAX_RENAME_ROUNDS {
            return Err(Error::new(ErrorKind::TimedOut, Phase::Cgroup, "walk the cgroups below")
                .on(current.path().display().to_string())
                .with_detail("they are being renamed continuously"));
        }
        if !(renamed || short) {
            self.children.clear();
        }
        Ok(renamed || short)
    }
}

fn joined(directory: &Path, name: &CStr) -> PathBuf {
    directory.join(OsStr::from_bytes(name.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::dir::Dir;
    use crate::cgroup::testing::TempDir;
    use std::fs;

    /// Records the order of the calls.
    #[derive(Default)]
    struct Names {
        at: Vec<String>,
        after: Vec<String>,
    }

    impl Visitor for Names {
        fn before(&mut self, _parent: DirRef<'_>, name: &CStr) -> Result<ChildState> {
            Ok(if name == c"left-out" { ChildState::Done } else { ChildState::Present })
        }

        fn at(&mut self, cgroup: DirRef<'_>) -> Result<()> {
            self.at.push(cgroup.path().file_name().unwrap().to_string_lossy().into_owned());
            Ok(())
        }

        fn after(&mut self, _parent: DirRef<'_>, name: &CStr) -> Result<ChildState> {
            self.after.push(name.to_string_lossy().into_owned());
            Ok(ChildState::Done)
        }
    }

    fn tree(name: &str, paths: &[&[u8]]) -> (TempDir, Dir) {
        let dir = TempDir::new(name);
        for path in paths {
            fs::create_dir_all(dir.path().join(OsStr::from_bytes(path))).unwrap();
        }
        let open = Dir::open(dir.path()).unwrap();
        (dir, open)
    }

    #[test]
    fn every_directory_is_visited_once_and_parents_first() {
        let (_dir, top) = tree("walk", &[b"a/b/c", b"a/\xff\xfe", b"left-out/not", b"d"]);
        let mut names = Names::default();
        walk(top.at(), WALK_TIMEOUT, &mut names).unwrap();
        let visited = |name: &str| names.at.iter().position(|n| n == name).unwrap();
        assert_eq!(names.at.len(), 6);
        assert!(
            visited("a") < visited("b")
                && visited("b") < visited("c")
                && visited("a") < visited("\u{fffd}\u{fffd}")
        );
        assert_eq!(names.after.len(), 5, "the root is not left");
        let left = |name: &str| names.after.iter().position(|n| n == name).unwrap();
        assert!(left("c") < left("b") && left("b") < left("a"));
    }

    /// Everything in the list is renamed as soon as the first child is visited.
    #[test]
    fn renamed_directories_are_visited() {
        let (dir, top) = tree("renamed", &[b"a/below", b"b/below", b"c/below"]);
        let mut visited = BTreeSet::new();
        let mut renamed = false;
        walk(top.at(), WALK_TIMEOUT, &mut |cgroup: DirRef<'_>| {
            let inode = cgroup.stat().unwrap().id.inode;
            assert!(visited.insert(inode), "twice in {}", cgroup.path().display());
            if cgroup.path() != dir.path() && !renamed {
                renamed = true;
                for (from, to) in [("a", "x"), ("b", "a"), ("c", "b"), ("x", "c")] {
                    fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
                }
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(visited.len(), 7);
    }

    #[test]
    fn a_parent_that_is_not_the_expected_one_is_an_error() {
        let (dir, top) = tree("elsewhere", &[b"a/b/c", b"z"]);
        let e = walk(top.at(), WALK_TIMEOUT, &mut |cgroup: DirRef<'_>| {
            if cgroup.path().ends_with("a/b/c") {
                fs::rename(dir.path().join("a/b/c"), dir.path().join("z/c")).unwrap();
            }
            Ok(())
        })
        .unwrap_err();
        assert_eq!(e.errno(), Some(Errno::ESTALE), "{e}");
    }

    #[test]
    fn removed_directories_are_skipped() {
        let (dir, top) = tree("removed", &[b"a/b/c", b"d/e", b"f"]);
        let mut count = 0;
        walk(top.at(), WALK_TIMEOUT, &mut |cgroup: DirRef<'_>| {
            count += 1;
            if cgroup.path() != dir.path() {
                // Other directories, and the current one.
                let _ = (fs::remove_dir(dir.path().join("d/e")), fs::remove_dir_all(dir.path().join("a")));
            }
            Ok(())
        })
        .unwrap();
        assert!((3..=6).contains(&count), "{count}");
    }

    #[test]
    fn an_endless_tree_is_an_error() {
        let (_dir, top) = tree("endless", &[b"0"]);
        let e = walk(top.at(), Duration::from_millis(30), &mut |cgroup: DirRef<'_>| {
            let name = CString::new("0").unwrap();
            crate::sys::fs::mkdirat(cgroup.fd(), &name, 0o755).ok();
            Ok(())
        })
        .unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TimedOut);
    }
}
