//! The cgroups below one, however many there are and however deep they lie.
//!
//! A container that may write to its cgroup decides what is below it: names of any bytes, paths longer than a path
//! can be, and on v1 other names from one moment to the next. So the walk goes from descriptor to descriptor, holds
//! two of them whatever the depth, and keeps its place on the heap.
//!
//! **Up again.** It goes up by `..`, and looks whether that is the directory from which it came down. Elsewhere `..`
//! leads where the owner of the tree wants. Here it cannot: a cgroup has one parent for as long as it exists (v2 has
//! no rename(2), v1 refuses one to another directory), nobody mounts anything below it in the caller's mount
//! namespace without the caller's own rights, and a way up that does lead elsewhere ends the walk with ESTALE.
//!
//! **Other names.** A directory whose name has changed since the list was read is looked for again by its inode's
//! number until it is found, or found to be gone. That ends: after [`ROUNDS`] vain rounds, with an error.

use super::dir::{Child, DirRef, Identity, gone};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest that a walk may take: a tree that grows faster than it is walked has no end.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// The longest that a walk may take which ends a container, however much it has made.
pub(super) const PATIENT: Duration = Duration::from_secs(600);
/// How often the list of a directory is read again because of a name that has changed.
const ROUNDS: u32 = 2000;
/// How often that is done because it was shorter than the directory. One that is just being made is counted and not
/// listed, so that this may go on for ever without any harm.
const SHORTS: u32 = 8;

/// What became of a cgroup that a list has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is there, and the walk goes through it.
    There,
    /// It needs no more.
    Done,
    /// There is none of this name any more.
    Gone,
}

/// What is done on a walk.
pub(super) trait Visit {
    /// Before a cgroup in `parent` is entered.
    fn before(&mut self, _parent: DirRef<'_>, _name: &CStr) -> Result<Found> {
        Ok(Found::There)
    }

    /// In a cgroup. It may be gone already.
    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()>;

    /// After all below a cgroup in `parent` has been visited.
    fn after(&mut self, _parent: DirRef<'_>, _name: &CStr) -> Result<Found> {
        Ok(Found::Done)
    }
}

/// A visit that does one thing in each cgroup.
impl<F: FnMut(DirRef<'_>) -> Result<()>> Visit for F {
    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()> {
        self(cgroup)
    }
}

/// Visits a cgroup and all below it: each after its parent, whose [`Visit::after`] comes after its own.
pub(super) fn walk(root: DirRef<'_>, limit: Duration, visit: &mut dyn Visit) -> Result<()> {
    let begun = Instant::now();
    let mut walk = Walk { root, here: None, path: root.path().to_owned(), levels: Vec::new() };
    visit.at(root)?;
    walk.enter(None)?;
    while !walk.levels.is_empty() {
        if begun.elapsed() > limit {
            return Err(Error::new(ErrorKind::TimedOut, Phase::Cgroup, "walk through the cgroups below")
                .on(root.path().display().to_string())
                .with_detail(format!("there was no end of them within {} s", limit.as_secs())));
        }
        walk.step(visit)?;
    }
    Ok(())
}

/// A directory on the way from the root to where the walk is.
struct Level {
    identity: Identity,
    /// Its name in the one above; the root has none.
    name: Option<CString>,
    /// What is left to visit.
    children: Vec<Child>,
    /// The inodes of what has been visited.
    seen: BTreeSet<u64>,
    /// The inodes of what was not there any more under the name that the list had.
    lost: BTreeSet<u64>,
    /// The list had fewer entries than the directory.
    short: bool,
    shorts: u32,
    rounds: u32,
}

struct Walk<'r> {
    root: DirRef<'r>,
    /// The directory where the walk is, if that is not the root.
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

    /// Begins with the directory where the walk has arrived.
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
        // The links of a directory tell whether there is any other in it.
        if about.below != Some(0) {
            level.list(here, about.below)?;
        }
        self.levels.push(level);
        Ok(())
    }

    /// One child, or the end of a directory.
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
            // Under this name there is another by now, or none.
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

    /// Goes up from a directory that has had its turn.
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
        // A rename while the list is read may take a name from the part that is to come to the part that was.
        let unique: BTreeSet<u64> = self.children.iter().map(|child| child.inode).collect();
        self.short = here.renames() && below.is_some_and(|below| (unique.len() as u64) < below);
        Ok(())
    }

    /// Whether there is more to visit, under names that the last list did not have.
    fn again(&mut self, here: DirRef<'_>) -> Result<bool> {
        let lost = std::mem::take(&mut self.lost);
        let short = self.short && self.shorts < SHORTS;
        // Where there is no rename(2), what is not there any more has been removed.
        if !here.renames() || (lost.is_empty() && !short) {
            return Ok(false);
        }
        let about = here.about().map_err(|e| here.failed("fstat", "", e))?;
        self.list(here, about.below)?;
        let renamed = self.children.iter().any(|child| lost.contains(&child.inode));
        self.shorts += u32::from(short);
        self.rounds += u32::from(renamed);
        if self.rounds > ROUNDS {
            return Err(Error::new(ErrorKind::TimedOut, Phase::Cgroup, "walk through the cgroups below")
                .on(here.path().display().to_string())
                .with_detail("they are renamed all the time"));
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

    /// The names of the directories, in the order of the visit.
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
    fn each_comes_once_after_its_parent_and_before_its_end() {
        let (_dir, top) = tree("walk", &[b"a/b/c", b"a/\xff\xfe", b"left-out/not", b"d"]);
        let mut names = Names::default();
        walk(top.at(), LIMIT, &mut names).unwrap();
        let place = |name: &str| names.at.iter().position(|n| n == name).unwrap();
        assert_eq!(names.at.len(), 6);
        assert!(place("a") < place("b") && place("b") < place("c") && place("a") < place("\u{fffd}\u{fffd}"));
        assert_eq!(names.after.len(), 5, "the top has no end");
        let end = |name: &str| names.after.iter().position(|n| n == name).unwrap();
        assert!(end("c") < end("b") && end("b") < end("a"));
    }

    /// Visits, and renames what the list has named as soon as the first is visited.
    #[test]
    fn what_has_another_name_by_now_is_visited() {
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
    fn a_way_up_that_leads_elsewhere_ends_the_walk() {
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
    fn what_is_removed_meanwhile_is_left_out() {
        let (dir, top) = tree("removed", &[b"a/b/c", b"d/e", b"f"]);
        let mut count = 0;
        walk(top.at(), LIMIT, &mut |cgroup: DirRef<'_>| {
            count += 1;
            if cgroup.path() != dir.path() {
                // Others, and the one where the walk is.
                let _ = (fs::remove_dir(dir.path().join("d/e")), fs::remove_dir_all(dir.path().join("a")));
            }
            Ok(())
        })
        .unwrap();
        assert!((3..=6).contains(&count), "{count}");
    }

    #[test]
    fn a_tree_without_an_end_ends_the_walk() {
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
