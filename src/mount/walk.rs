//! Opens a path below a root that is not trusted, and creates what is missing of it. The init stub and the host side use this
//! one implementation, which needs nothing but `core`.
//!
//! An existing path is always looked up as a whole, inside the root ([`Tree::find`]), so no symbolic link and no `..` leads
//! out of it, whatever is renamed meanwhile. A missing component is created below a descriptor, one at a time, and opened
//! without following a link ([`Tree::make`]). A `..` is never looked up from a descriptor, and never follows a component that
//! would have to be created: such a path does not exist.

/// `PATH_MAX`, with the zero byte at the end.
pub(crate) const LENGTH: usize = 4096;
/// How many symbolic links (or concurrent changes) one walk follows; the same limit as in the kernel.
const MAX_TURNS: u32 = 40;

const ENOENT: u32 = 2;
const EEXIST: u32 = 17;
const ENAMETOOLONG: u32 = 36;
const ELOOP: u32 = 40;

/// The call of a failure that no system call reported.
pub(crate) const NO_CALL: u32 = u32::MAX;

/// A system call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallFailure {
    /// Its number, or [`NO_CALL`].
    pub(crate) call: u32,
    /// Its errno, as a positive number.
    pub(crate) errno: u32,
}

/// What is created in place of a missing last component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// A directory.
    Directory,
    /// An empty regular file.
    File,
    /// Nothing; the walk fails with `ENOENT`.
    Nothing,
}

/// What a walk has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// An `O_PATH` descriptor, the caller's to close.
    pub(crate) fd: i64,
    /// Whether this walk created the last component.
    pub(crate) made: bool,
}

/// The file system calls of a walk. All names end with a zero byte. The name of one component has no slash, and is neither `.`
/// nor `..`.
pub(crate) trait Tree {
    /// Opens a path of any length inside the root (`RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`).
    fn find(&mut self, path: &[u8]) -> Result<i64, CallFailure>;
    /// Creates one component below a descriptor, which must not exist (`EEXIST`), and opens it without following a link
    /// (`RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`). `last`: it is the path's last component.
    fn make(&mut self, directory: i64, name: &[u8], file: bool, last: bool) -> Result<i64, CallFailure>;
    /// Reads a symbolic link into `target`; the target's length, or `None` if there is no link of that name.
    fn link(&mut self, directory: i64, name: &[u8], target: &mut [u8]) -> Option<usize>;
    /// Closes a descriptor.
    fn close(&mut self, fd: i64);
}

/// A path in a buffer, with a zero byte at its end.
struct Text([u8; LENGTH]);

/// The memory of a walk, which is too large for a small stack.
pub(crate) struct Buffers {
    /// The part of the path that is left.
    rest: Text,
    /// The path that was looked up last.
    prefix: Text,
    /// A link's target, or one component.
    link: Text,
}

impl Buffers {
    /// Empty buffers.
    pub(crate) const fn new() -> Self {
        Self { rest: Text([0; LENGTH]), prefix: Text([0; LENGTH]), link: Text([0; LENGTH]) }
    }
}

const TOO_LONG: CallFailure = CallFailure { call: NO_CALL, errno: ENAMETOOLONG };

impl Text {
    fn at(&self, i: usize) -> u8 {
        self.0.get(i).copied().unwrap_or(0)
    }

    fn set(&mut self, i: usize, byte: u8) -> Result<(), CallFailure> {
        *self.0.get_mut(i).ok_or(TOO_LONG)? = byte;
        Ok(())
    }

    /// `self[to..] = other[from..end] + "\0"`.
    fn copy(&mut self, to: usize, other: &Self, from: usize, end: usize) -> Result<(), CallFailure> {
        let mut i = from;
        while i < end {
            self.set(to + i - from, other.at(i))?;
            i += 1;
        }
        self.set(to + end - from, 0)
    }

    /// The end of the component that begins at `at`.
    fn end(&self, mut at: usize) -> usize {
        while self.at(at) != b'/' && self.at(at) != 0 {
            at += 1;
        }
        at
    }

    /// The start of the next component at or after `at`; components `.` are skipped.
    fn next(&self, mut at: usize) -> usize {
        loop {
            while self.at(at) == b'/' {
                at += 1;
            }
            if self.at(at) != b'.' || self.end(at) != at + 1 {
                return at;
            }
            at += 1;
        }
    }

    /// Whether the component between these two is `..`.
    fn climbs(&self, at: usize, end: usize) -> bool {
        end == at + 2 && self.at(at) == b'.' && self.at(at + 1) == b'.'
    }

    /// Whether one of the components from `at` on is `..`.
    fn climbs_anywhere(&self, mut at: usize) -> bool {
        loop {
            at = self.next(at);
            if self.at(at) == 0 {
                return false;
            }
            let end = self.end(at);
            if self.climbs(at, end) {
                return true;
            }
            at = end;
        }
    }

    /// `self = head[..n] + "/" + self[at..]`.
    fn splice(&mut self, at: usize, head: &Self, n: usize) -> Result<(), CallFailure> {
        let mut length = 0;
        while self.at(at + length) != 0 {
            length += 1;
        }
        if n + length + 2 > LENGTH {
            return Err(TOO_LONG);
        }
        // The tail is moved first, starting at the end that is not overwritten.
        let up = n + 1 > at;
        let mut moved = 0;
        while moved <= length {
            let i = if up { length - moved } else { moved };
            self.set(n + 1 + i, self.at(at + i))?;
            moved += 1;
        }
        let mut i = 0;
        while i < n {
            self.set(i, head.at(i))?;
            i += 1;
        }
        self.set(n, b'/')
    }

    fn bytes(&self, from: usize) -> &[u8] {
        self.0.get(from..).unwrap_or(&[0])
    }
}

/// Opens `path` (up to its first zero byte) inside the root, and creates what is missing of it.
///
/// # Errors
/// `ENOENT` if a `..` follows a component that does not exist; `ELOOP` for too many links or concurrent changes; any errno of
/// the file system.
pub(crate) fn make<T: Tree>(
    tree: &mut T,
    path: &[u8],
    last: Last,
    memory: &mut Buffers,
) -> Result<Found, CallFailure> {
    match tree.find(path) {
        Ok(fd) => return Ok(Found { fd, made: false }),
        Err(failure) if failure.errno != ENOENT || last == Last::Nothing => return Err(failure),
        Err(_) => {}
    }
    let mut i = 0;
    while let Some(byte) = path.get(i).copied().filter(|byte| *byte != 0) {
        memory.rest.set(i, byte)?;
        i += 1;
    }
    memory.rest.set(i, 0)?;
    PathWalk { tree, memory, last: last == Last::File, parent: -1, turns: 0 }.run()
}

/// A walk in progress. `parent` is the directory that `prefix` leads to; it is closed with the walk.
struct PathWalk<'a, T: Tree> {
    tree: &'a mut T,
    memory: &'a mut Buffers,
    last: bool,
    parent: i64,
    turns: u32,
}

impl<T: Tree> Drop for PathWalk<'_, T> {
    fn drop(&mut self) {
        self.enter(-1);
    }
}

impl<T: Tree> PathWalk<'_, T> {
    /// Continues from another directory.
    fn enter(&mut self, directory: i64) {
        if self.parent >= 0 {
            self.tree.close(self.parent);
        }
        self.parent = directory;
    }

    /// Returns the directory, which the walk then does not close.
    fn take(&mut self) -> i64 {
        core::mem::replace(&mut self.parent, -1)
    }

    /// Looks up `prefix[..length]`.
    fn look_up(&mut self, length: usize) -> Result<(), CallFailure> {
        self.memory.prefix.set(length, 0)?;
        let directory = self.tree.find(self.memory.prefix.bytes(0))?;
        self.enter(directory);
        Ok(())
    }

    fn count_turn(&mut self) -> Result<(), CallFailure> {
        self.turns += 1;
        if self.turns > MAX_TURNS { Err(CallFailure { call: NO_CALL, errno: ELOOP }) } else { Ok(()) }
    }

    fn run(mut self) -> Result<Found, CallFailure> {
        // `prefix[..length]` ends with a slash.
        let (mut at, mut length) = (0, 1);
        self.memory.prefix.set(0, b'/')?;
        self.look_up(length)?;
        loop {
            at = self.memory.rest.next(at);
            if self.memory.rest.at(at) == 0 {
                return Ok(Found { fd: self.take(), made: false });
            }
            let end = self.memory.rest.end(at);
            let Buffers { rest, prefix, .. } = &mut *self.memory;
            prefix.copy(length, rest, at, end)?;
            match self.tree.find(self.memory.prefix.bytes(0)) {
                Ok(next) => {
                    self.enter(next);
                    length += end - at;
                    self.memory.prefix.set(length, b'/')?;
                    length += 1;
                    at = end;
                    continue;
                }
                Err(missing) if missing.errno != ENOENT || self.memory.rest.climbs(at, end) => {
                    return Err(missing);
                }
                Err(_) => self.count_turn()?,
            }
            let Buffers { rest, prefix, link } = &mut *self.memory;
            if let Some(n) = self.tree.link(self.parent, prefix.bytes(length), &mut link.0) {
                // The target replaces the dangling link; an absolute target starts at the root again.
                rest.splice(end, link, n.min(LENGTH - 1))?;
                at = 0;
                length = if link.at(0) == b'/' { 1 } else { length };
            } else {
                match self.create_rest(at) {
                    // Another process has created it meanwhile.
                    Err(failure) if failure.errno == EEXIST => {}
                    other => return other,
                }
            }
            self.look_up(length)?;
        }
    }

    /// Creates all components from `at` on.
    fn create_rest(&mut self, mut at: usize) -> Result<Found, CallFailure> {
        if self.memory.rest.climbs_anywhere(at) {
            return Err(CallFailure { call: NO_CALL, errno: ENOENT });
        }
        loop {
            let end = self.memory.rest.end(at);
            let Buffers { rest, link, .. } = &mut *self.memory;
            link.copy(0, rest, at, end)?;
            at = rest.next(end);
            let last = rest.at(at) == 0;
            let made = self.tree.make(self.parent, link.bytes(0), last && self.last, last)?;
            self.enter(made);
            if last {
                return Ok(Found { fd: self.take(), made: true });
            }
        }
    }
}
