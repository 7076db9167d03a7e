//! A walk over the cgroups below a cgroup, of any number and depth.
//!
//! A container that can write to its cgroup chooses what is below it: names of arbitrary bytes, paths longer than
//! PATH_MAX, and on v1 it can rename cgroups during the walk. The walk therefore goes from descriptor to descriptor,
//! holds two of them whatever the depth, and keeps its position on the heap.
//!
//! **Going up** uses `..`, and compares the identity of the directory with the one from which the walk came down.
//! In general `..` leads wherever the owner of a tree wants, but not here: a cgroup keeps its parent for life (v2 has
//! no rename(2); v1 rejects a rename into another directory), and mounting below it in the caller's mount namespace
//! requires the caller's own privileges. If `..` nevertheless leads elsewhere, the walk fails with ESTALE.
//!
//! **Renames.** If a name from the list no longer exists, the list is read again and the directory is looked up by
//! its inode number, until it is found or known to be removed. After [`ROUNDS`] attempts the walk fails.

use super::dir::{Child, DirRef, Identity, gone};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time limit of a walk: a tree that grows faster than it is walked has no end.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// Time limit of a walk that ends a container, which may have created a great many cgroups.
pub(super) const PATIENT: Duration = Duration::from_secs(600);
/// How often the list of one directory is read again because of renames.
const ROUNDS: u32 = 2000;
/// How often it is read again because it was shorter than the directory's link count. A cgroup that is being created
/// is counted before it is listed, so a busy directory may always look short.
const SHORTS: u32 = 8;

/// The outcome for one cgroup from a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It exists and is to be visited.
    There,
    /// Nothing more is to be done.
    Done,
    /// The name no longer exists.
    Gone,
}

/// The actions of a walk.
pub(super) trait Visit {
    /// Called before a child of `parent` is entered.
    fn before(&mut self, _parent: DirRef<'_>, _name: &CStr) -> Result<Found> {
        Ok(Found::There)
    }

    /// Called in each cgroup, which may have been removed meanwhile.
    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()>;

    /// Called after everything below a child of `parent` has been visited.
    fn after(&mut self, _parent: DirRef<'_>, _name: &CStr) -> Result<Found> {
        Ok(Found::Done)
    }
}

/// A closure is called in each cgroup.
impl<F: FnMut(DirRef<'_>) -> Result<()>> Visit for F {
    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()> {
        self(cgroup)
    }
}

/// Visits a cgroup and everything below it, parents first; [`Visit::after`] is called for children first.
pub(super) fn walk(root: DirRef<'_>, limit: Duration, visit: &mut dyn Visit) -> Result<()> {
    let begun = Instant::now();
    let mut walk = Walk { root, here: None, path: root.path().to_owned(), levels: Vec::new() };
    visit.at(root)?;
    walk.enter(None)?;
    while !walk.levels.is_empty() {
        if begun.elapsed() > limit {
            return Err(Error::new(ErrorKind::TimedOut, Phase::Cgroup, "walk the cgroups below")
                .on(root.path().display().to_string())
                .with_detail(format!("not finished after {} s", limit.as_secs())));
        }
        walk.step(visit)?;
    }
    Ok(())
}

/// A directory between the root and the current one.
struct Level {
    identity: Identity,
    /// Its name in its parent; `None` for the root.
    name: Option<CString>,
    /// Children that are still to be visited.
    children: Vec<Child>,
    /// Inode numbers of visited children.
    seen: BTreeSet<u64>,
    /// Inode numbers of children that no longer had the listed name.
    lost: BTreeSet<u64>,
    /// The list had fewer entries than the link count says.
    short: bool,
    shorts: u32,
    rounds: u32,
}

struct Walk<'r> {
    root: DirRef<'r>,
    /// The current directory, unless it is the root.
    here: Option<OwnedFd>,
    path: PathBuf,
    levels: Vec<Level>,
}

impl Walk<'_> {
    fn here(&self) -> DirRef<'_> {
        match &self.here {
            Some(fd) => self.root.reached(fd.as_fd(), &self.path),
            None => self.root,
        }
    }

    /// Starts on the current directory.
    fn enter(&mut self, name: Option<CString>) -> Result<()> {
        let here = self.here();
        let about = here.about().map_err(|e| here.failed("fstat", "", e))?;
        let mut level = Level {
            identity: about.identity,
            name,
            children: Vec::new(),
            seen: BTreeSet::new(),
            lost: BTreeSet::new(),
            short: false,
            shorts: 0,
            rounds: 0,
        };
        // The link count tells whether there are subdirectories.
        if about.below != Some(0) {
            level.list(here, about.below)?;
        }
        self.levels.push(level);
        Ok(())
    }

    /// Visits the next child, or leaves the directory.
    fn step(&mut self, visit: &mut dyn Visit) -> Result<()> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let Some(child) = level.children.pop() else {
            let here = match &self.here {
                Some(fd) => self.root.reached(fd.as_fd(), &self.path),
                None => self.root,
            };
            return if level.again(here)? { Ok(()) } else { self.leave(visit) };
        };
        if level.seen.contains(&child.inode) {
            return Ok(());
        }
        let found = visit.before(self.here(), &child.name)?;
        if found == Found::There {
            return self.down(&child, visit);
        }
        if let Some(level) = self.levels.last_mut() {
            let set = if found == Found::Done { &mut level.seen } else { &mut level.lost };
            set.insert(child.inode);
        }
        Ok(())
    }

    /// Enters a child.
    fn down(&mut self, child: &Child, visit: &mut dyn Visit) -> Result<()> {
        let here = self.here();
        let below = match here.down(&child.name) {
            Ok(fd) => Some(fd),
            Err(e) if gone(e) => None,
            Err(e) => return Err(super::dir::failed("open", &joined(here.path(), &child.name), "", e)),
        };
        let about = |fd: &OwnedFd| here.reached(fd.as_fd(), here.path()).about();
        let found = below.as_ref().map(about).transpose().map_err(|e| here.failed("fstat", "", e))?;
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let inode = found.map(|about| about.identity.inode);
        if inode != Some(child.inode) {
            // The name now belongs to another cgroup, or to none.
            level.lost.insert(child.inode);
        }
        match inode {
            Some(inode) if level.seen.insert(inode) => {}
            _ => return Ok(()),
        }
        self.here = below;
        self.path.push(OsStr::from_bytes(child.name.to_bytes()));
        visit.at(self.here())?;
        self.enter(Some(child.name.clone()))
    }

    /// Returns to the parent of a finished directory.
    fn leave(&mut self, visit: &mut dyn Visit) -> Result<()> {
        let Some(Level { identity, name: Some(name), .. }) = self.levels.pop() else { return Ok(()) };
        let Some(parent) = self.levels.last() else { return Ok(()) };
        let above = if self.levels.len() == 1 { None } else { Some(self.up(parent.identity)?) };
        self.here = above;
        self.path.pop();
        let found = visit.after(self.here(), &name)?;
        if let (Found::Gone, Some(parent)) = (found, self.levels.last_mut()) {
            parent.seen.remove(&identity.inode);
            parent.lost.insert(identity.inode);
        }
        Ok(())
    }

    fn up(&self, expected: Identity) -> Result<OwnedFd> {
        let here = self.here();
        let failed = |e| here.failed("open", "..", e);
        let above = here.up().map_err(failed)?;
        let about = here.reached(above.as_fd(), here.path()).about().map_err(failed)?;
        if about.identity == expected { Ok(above) } else { Err(failed(Errno::ESTALE)) }
    }
}

impl Level {
    /// Reads the list.
    fn list(&mut self, here: DirRef<'_>, below: Option<u64>) -> Result<()> {
        match here.directories() {
            Ok(children) => self.children = children,
            Err(e) if gone(e) => return Ok(()),
            Err(e) => return Err(here.failed("read", "", e)),
        }
        // A rename during the reading can move a name from the unread part of the list to the read part.
        let unique: BTreeSet<u64> = self.children.iter().map(|child| child.inode).collect();
        self.short = here.renames() && below.is_some_and(|below| (unique.len() as u64) < below);
        Ok(())
    }

    /// Reads the list again if children were missed; whether there are more to visit.
    fn again(&mut self, here: DirRef<'_>) -> Result<bool> {
        let lost = std::mem::take(&mut self.lost);
        let short = self.short && self.shorts < SHORTS;
        // Without rename(2), a missing child has been removed.
        if !here.renames() || (lost.is_empty() && !short) {
            return Ok(false);
        }
        let about = here.about().map_err(|e| here.failed("fstat", "", e))?;
        self.list(here, about.below)?;
        let renamed = self.children.iter().any(|child| lost.contains(&child.inode));
        self.shorts += u32::from(short);
        self.rounds += u32::from(renamed);
        if self.rounds > ROUNDS {
            return Err(Error::new(ErrorKind::TimedOut, Phase::Cgroup, "walk the cgroups below")
                .on(here.path().display().to_string())
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

    impl Visit for Names {
        fn before(&mut self, _parent: DirRef<'_>, name: &CStr) -> Result<Found> {
            Ok(if name == c"left-out" { Found::Done } else { Found::There })
        }

        fn at(&mut self, cgroup: DirRef<'_>) -> Result<()> {
            self.at.push(cgroup.path().file_name().unwrap().to_string_lossy().into_owned());
            Ok(())
        }

        fn after(&mut self, _parent: DirRef<'_>, name: &CStr) -> Result<Found> {
            self.after.push(name.to_string_lossy().into_owned());
            Ok(Found::Done)
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
    fn every_directory_is_visited_once_in_order() {
        let (_dir, top) = tree("walk", &[b"a/b/c", b"a/\xff\xfe", b"left-out/not", b"d"]);
        let mut names = Names::default();
        walk(top.at(), LIMIT, &mut names).unwrap();
        let place = |name: &str| names.at.iter().position(|n| n == name).unwrap();
        assert_eq!(names.at.len(), 6);
        assert!(place("a") < place("b") && place("b") < place("c") && place("a") < place("\u{fffd}\u{fffd}"));
        assert_eq!(names.after.len(), 5, "the root is not left");
        let end = |name: &str| names.after.iter().position(|n| n == name).unwrap();
        assert!(end("c") < end("b") && end("b") < end("a"));
    }

    /// Everything in the list is renamed as soon as the first child is visited.
    #[test]
    fn renamed_directories_are_visited() {
        let (dir, top) = tree("renamed", &[b"a/below", b"b/below", b"c/below"]);
        let mut visited = BTreeSet::new();
        let mut renamed = false;
        walk(top.at(), LIMIT, &mut |cgroup: DirRef<'_>| {
            let inode = cgroup.about().unwrap().identity.inode;
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
        let e = walk(top.at(), LIMIT, &mut |cgroup: DirRef<'_>| {
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
        walk(top.at(), LIMIT, &mut |cgroup: DirRef<'_>| {
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
