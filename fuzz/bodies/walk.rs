//! The walk of `src/mount/walk.rs` in a simulated file system that changes between any two calls: nothing outside
//! of the root is created or opened, no name is `..`, no descriptor is left open, and the walk terminates. In a
//! file system that does not change it finds and creates what a second implementation does.

#[path = "walk/expected.rs"]
mod expected;
#[path = "walk/model.rs"]
mod model;
#[allow(
    dead_code,
    clippy::all,
    clippy::pedantic,
    reason = "it is compiled and linted as a part of the library"
)]
#[path = "../../src/mount/walk.rs"]
mod walk;

use model::{Adversary, Model};
use std::collections::BTreeMap;
use walk::{Buffers, CallFailure, Last, Tree};

/// 41 rounds over as many components as a path can have, with two calls each.
const MOST: usize = 41 * (2 * 2048 + 8);

/// One run of the target `walk`: flags, changes that build the file system, a path, and changes during the walk.
pub fn run(data: &[u8]) {
    let Some((&[flags, setup], rest)) = data.split_first_chunk() else { return };
    let (setup, rest) = rest.split_at((usize::from(setup) * Adversary::CHANGE).min(rest.len()));
    let Some((&length, rest)) = rest.split_first() else { return };
    let (tokens, changes) = rest.split_at(usize::from(length).min(rest.len()));
    let mut model = Model::new();
    let mut builder = Adversary::new(setup, false);
    while builder.act(&mut model) {}
    let last = [Last::Directory, Last::File, Last::Nothing, Last::Directory][usize::from(flags % 4)];
    let path = model::path(tokens, flags & 4 != 0);
    let before = model.clone();
    let mut tree = Tester {
        model,
        adversary: Adversary::new(changes, flags & 8 != 0),
        looks_twice: flags & 16 != 0,
        open: BTreeMap::new(),
        next: 0,
        calls: 0,
    };
    // The bytes after the zero byte do not belong to the path.
    let text = [&path[..], b"\0/../etc\0"].concat();
    let found = walk::make(&mut tree, &text, last, &mut Box::new(Buffers::new()));
    tree.check(found.as_ref().ok().map(|found| found.fd));
    assert!(found.err().is_none_or(|failure| failure.errno != model::EEXIST), "an existing name is found");
    if changes.is_empty() {
        let found = found.map(|found| (tree.open[&found.fd], found.made)).map_err(|failure| failure.errno);
        expected::compare(before, &path, last, found, &tree.model);
    }
}

/// The file system as the walk sees it.
struct Tester {
    model: Model,
    adversary: Adversary,
    /// Whether a created node is compared with the opened one, as on the host side.
    looks_twice: bool,
    /// Open descriptors, with their nodes.
    open: BTreeMap<i64, usize>,
    next: i64,
    calls: usize,
}

fn failure(errno: u32) -> CallFailure {
    CallFailure { call: 0, errno }
}

/// The bytes before the zero byte.
fn text(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.expect("a name ends with a zero byte")]
}

fn component(bytes: &[u8]) -> &[u8] {
    let name = text(bytes);
    let plain = !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/');
    assert!(plain, "{:?} is not a name", String::from_utf8_lossy(name));
    name
}

impl Tester {
    fn called(&mut self) {
        self.calls += 1;
        assert!(self.calls <= MOST, "the walk does not terminate");
        self.adversary.act(&mut self.model);
    }

    fn opened(&mut self, node: usize) -> i64 {
        assert!(self.model.is_inside(node), "something outside of the root is opened");
        self.next += 1;
        self.open.insert(self.next, node);
        self.next
    }

    fn node(&self, fd: i64) -> usize {
        *self.open.get(&fd).expect("a descriptor that is not open")
    }

    fn check(&self, found: Option<i64>) {
        let open: Vec<i64> = self.open.keys().copied().collect();
        assert_eq!(open, Vec::from_iter(found), "descriptors are left open");
        assert!(self.model.host_is_untouched());
    }
}

impl Tree for Tester {
    fn find(&mut self, path: &[u8]) -> Result<i64, CallFailure> {
        self.called();
        let node = self.model.resolve(text(path)).map_err(failure)?;
        Ok(self.opened(node))
    }

    fn make(&mut self, directory: i64, name: &[u8], file: bool, last: bool) -> Result<i64, CallFailure> {
        self.called();
        assert!(last || !file, "a file is created in place of a directory");
        let (directory, name) = (self.node(directory), component(name));
        assert!(self.model.is_inside(directory));
        let made = self.model.make(directory, name, file).map_err(failure)?;
        self.adversary.act(&mut self.model);
        let node = self.model.open_beneath(directory, name).map_err(failure)?;
        if self.looks_twice && node != made {
            return Err(failure(model::EEXIST));
        }
        Ok(self.opened(node))
    }

    fn link(&mut self, directory: i64, name: &[u8], target: &mut [u8]) -> Option<usize> {
        self.called();
        let link = self.model.link(self.node(directory), component(name))?;
        let room = target.len() - usize::from(!self.looks_twice);
        let length = link.len().min(room);
        target[..length].copy_from_slice(&link[..length]);
        Some(length)
    }

    fn close(&mut self, fd: i64) {
        self.called();
        assert!(self.open.remove(&fd).is_some(), "a descriptor is closed that is not open");
    }
}
