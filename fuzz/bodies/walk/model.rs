//! A file system in memory, as the kernel shows it to `openat2(RESOLVE_IN_ROOT)`, and a process that changes it.

use std::collections::BTreeMap;

pub(super) const ENOENT: u32 = 2;
pub(super) const EEXIST: u32 = 17;
pub(super) const ENOTDIR: u32 = 20;
pub(super) const ENAMETOOLONG: u32 = 36;
pub(super) const ELOOP: u32 = 40;

const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;
/// How many links one lookup follows.
const MOST_LINKS: u32 = 40;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Directory(BTreeMap<Vec<u8>, usize>),
    File,
    Link(Vec<u8>),
}

/// Nodes by number. The host's `/` contains the root, and beside it files of the host.
#[derive(Clone, Debug)]
pub(super) struct Model {
    nodes: Vec<(Node, Option<usize>)>,
}

const HOST: usize = 0;
const ETC: usize = 1;
const CANARY: usize = 2;
/// The root of the walk.
pub(super) const ROOT: usize = 3;
/// The host's own files, which must not change.
const HOSTS: [(&[u8], usize); 3] = [(b"etc", ETC), (b"canary", CANARY), (b"root", ROOT)];

impl Model {
    pub(super) fn new() -> Self {
        let entries = HOSTS.iter().map(|(name, node)| (name.to_vec(), *node)).collect();
        let mut nodes = vec![(Node::Directory(entries), None)];
        nodes.extend(HOSTS.iter().map(|_| (Node::Directory(BTreeMap::new()), Some(HOST))));
        Self { nodes }
    }

    pub(super) fn host_is_untouched(&self) -> bool {
        let Node::Directory(host) = &self.nodes[HOST].0 else { return false };
        let empty = |node: usize| self.nodes[node].0 == Node::Directory(BTreeMap::new());
        host.len() == HOSTS.len() && empty(ETC) && empty(CANARY)
    }

    /// Whether a node is below the root, or was there and has been removed.
    pub(super) fn is_inside(&self, mut node: usize) -> bool {
        while node != ROOT {
            match self.nodes[node].1 {
                Some(parent) => node = parent,
                None => return node != HOST,
            }
        }
        true
    }

    fn is_removed(&self, mut node: usize) -> bool {
        while let Some(parent) = self.nodes[node].1 {
            node = parent;
        }
        node != HOST
    }

    pub(super) fn is_directory(&self, node: usize) -> bool {
        matches!(self.nodes[node].0, Node::Directory(_))
    }

    pub(super) fn entry(&self, directory: usize, name: &[u8]) -> Result<Option<usize>, u32> {
        match &self.nodes[directory].0 {
            Node::Directory(_) if name.len() > NAME_MAX => Err(ENAMETOOLONG),
            Node::Directory(entries) => Ok(entries.get(name).copied()),
            _ => Err(ENOTDIR),
        }
    }

    pub(super) fn target(&self, node: usize) -> Option<&[u8]> {
        match &self.nodes[node].0 {
            Node::Link(target) => Some(target),
            _ => None,
        }
    }

    /// `..` of a directory, which does not lead out of the root.
    pub(super) fn above(&self, node: usize) -> usize {
        if node == ROOT { ROOT } else { self.nodes[node].1.unwrap_or(node) }
    }

    /// A lookup inside the root that follows all links.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<usize, u32> {
        match path.len() {
            0 => Err(ENOENT),
            PATH_MAX.. => Err(ENAMETOOLONG),
            _ => self.resolve_from(ROOT, path),
        }
    }

    pub(super) fn resolve_from(&self, directory: usize, path: &[u8]) -> Result<usize, u32> {
        let mut at = if path.starts_with(b"/") { ROOT } else { directory };
        let mut rest = components(path);
        rest.reverse();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            let found = match (name, self.is_directory(at)) {
                (_, false) => return Err(ENOTDIR),
                (b".", _) => continue,
                (b"..", _) => self.above(at),
                (name, _) => self.entry(at, name)?.ok_or(ENOENT)?,
            };
            let Some(target) = self.target(found) else {
                at = found;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(ELOOP);
            }
            if target.starts_with(b"/") {
                at = ROOT;
            }
            rest.extend(components(target).into_iter().rev());
        }
        Ok(at)
    }

    fn add(&mut self, directory: usize, name: &[u8], node: Node) -> Result<usize, u32> {
        if self.entry(directory, name)?.is_some() {
            return Err(EEXIST);
        }
        if self.is_removed(directory) {
            return Err(ENOENT);
        }
        let number = self.nodes.len();
        self.nodes.push((node, Some(directory)));
        self.entries(directory).insert(name.to_vec(), number);
        Ok(number)
    }

    fn entries(&mut self, directory: usize) -> &mut BTreeMap<Vec<u8>, usize> {
        match &mut self.nodes[directory].0 {
            Node::Directory(entries) => entries,
            other => panic!("{other:?} is not a directory"),
        }
    }

    /// mkdirat(2) or openat(2) with `O_CREAT | O_EXCL`.
    pub(super) fn make(&mut self, directory: usize, name: &[u8], file: bool) -> Result<usize, u32> {
        self.add(directory, name, if file { Node::File } else { Node::Directory(BTreeMap::new()) })
    }

    /// `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` of one component.
    pub(super) fn open_beneath(&self, directory: usize, name: &[u8]) -> Result<usize, u32> {
        let found = self.entry(directory, name)?.ok_or(ENOENT)?;
        if self.target(found).is_some() { Err(ELOOP) } else { Ok(found) }
    }

    /// readlinkat(2).
    pub(super) fn link(&self, directory: usize, name: &[u8]) -> Option<&[u8]> {
        self.target(self.entry(directory, name).ok()??)
    }

    /// All nodes below a node, with their paths.
    pub(super) fn listing(&self, node: usize) -> Vec<(Vec<u8>, String)> {
        let mut all = Vec::new();
        let mut left = vec![(Vec::new(), node)];
        while let Some((path, node)) = left.pop() {
            match &self.nodes[node].0 {
                Node::Directory(entries) => {
                    all.push((path.clone(), "directory".into()));
                    left.extend(entries.iter().map(|(name, node)| ([&path[..], b"/", name].concat(), *node)));
                }
                other => all.push((path, format!("{other:?}"))),
            }
        }
        all
    }

    /// The names from the root down to a node.
    pub(super) fn place(&self, mut node: usize) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        while let (true, Some(parent)) = (node != ROOT, self.nodes[node].1) {
            let Node::Directory(entries) = &self.nodes[parent].0 else { break };
            names.extend(entries.iter().find(|(_, child)| **child == node).map(|(name, _)| name.clone()));
            node = parent;
        }
        names.reverse();
        names
    }
}

/// The components of a path; a trailing slash becomes a `.` at the end.
pub(super) fn components(path: &[u8]) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    if path.ends_with(b"/") {
        names.push(b".");
    }
    names
}

const NAMES: [&[u8]; 8] = [b"a", b"b", b"c", b"x", b"y", b"l", b"m", b"canary"];
const TARGETS: [&[u8]; 20] = [
    b"a",
    b"b",
    b"l",
    b"m",
    b"x/y",
    b"/a",
    b"/a/b/c",
    b"/l",
    b"..",
    b"../..",
    b"../../canary",
    b"a/../../canary/deep",
    b"/../../canary",
    b"x/../..",
    b".",
    b"./l/",
    b"/",
    b"m/a/",
    b"../m/x",
    b"/l/../m",
];

/// A path of tokens.
pub(super) fn path(tokens: &[u8], absolute: bool) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for token in tokens {
        match token % 16 {
            8 | 9 => parts.push(b"..".to_vec()),
            10 => parts.push(b".".to_vec()),
            11 => parts.push(Vec::new()),
            12 => parts.push(b"...".to_vec()),
            13 => parts.push(vec![b'n'; NAME_MAX]),
            14 => parts.push(vec![b'n'; NAME_MAX + 1]),
            15 => parts.extend(parts.clone().into_iter().take(32)),
            name => parts.push(NAMES[usize::from(name) % NAMES.len()].to_vec()),
        }
    }
    // A path that is too long is made of long names: many short ones only cost time.
    parts.truncate(200);
    [if absolute { &b"/"[..] } else { b"" }, &parts.join(&b'/')].concat()
}

/// Changes, three bytes each. All of them are made by a process inside the root.
pub(super) struct Adversary {
    changes: Vec<u8>,
    at: usize,
    again: bool,
}

impl Adversary {
    /// How many bytes a change has.
    pub(super) const CHANGE: usize = 3;

    pub(super) fn new(changes: &[u8], again: bool) -> Self {
        Self { changes: changes.to_vec(), at: 0, again }
    }

    /// Makes the next change; returns whether there was one.
    pub(super) fn act(&mut self, model: &mut Model) -> bool {
        if self.again && self.at >= self.changes.len() {
            self.at = 0;
        }
        let Some(&[what, first, second]) = self.changes.get(self.at..).and_then(<[u8]>::first_chunk) else {
            return false;
        };
        self.at += Self::CHANGE;
        let ((from, name), (to, other)) = (model.pick(first), model.pick(second));
        match what % 8 {
            0 => {}
            1 | 2 => model.rename((from, name), (to, other), what % 8 == 2),
            3 => {
                let target = TARGETS.get(usize::from(second)).map_or_else(
                    || vec![b'n'; PATH_MAX - 1 - usize::from(second % 2) * 100],
                    |target| target.to_vec(),
                );
                model.remove(from, name);
                let _ = model.add(from, name, Node::Link(target));
            }
            4 => model.remove(from, name),
            file => {
                let _ = model.make(from, name, file == 5);
            }
        }
        true
    }
}

impl Model {
    /// A directory in the root, and a name.
    fn pick(&self, byte: u8) -> (usize, &'static [u8]) {
        let inside =
            |node: &usize| self.is_directory(*node) && self.is_inside(*node) && !self.is_removed(*node);
        let first = ROOT + usize::from(byte / 8) % (self.nodes.len() - ROOT);
        let directory = (first..self.nodes.len()).find(inside).unwrap_or(ROOT);
        (directory, NAMES[usize::from(byte) % NAMES.len()])
    }

    fn remove(&mut self, directory: usize, name: &[u8]) {
        if let Some(node) = self.entries(directory).remove(name) {
            self.nodes[node].1 = None;
        }
    }

    /// renameat2(2).
    fn rename(&mut self, (from, name): (usize, &[u8]), (to, other): (usize, &[u8]), exchange: bool) {
        let (Ok(Some(node)), Ok(there)) = (self.entry(from, name), self.entry(to, other)) else { return };
        let is_above = |above: usize, mut below: usize| {
            while below != above {
                match self.nodes[below].1 {
                    Some(parent) => below = parent,
                    None => return false,
                }
            }
            true
        };
        if is_above(node, to)
            || there.is_some_and(|there| is_above(there, from))
            || exchange && there.is_none()
        {
            return;
        }
        self.remove(from, name);
        self.remove(to, other);
        self.entries(to).insert(other.to_vec(), node);
        self.nodes[node].1 = Some(to);
        if let Some(there) = there.filter(|there| exchange && *there != node) {
            self.entries(from).insert(name.to_vec(), there);
            self.nodes[there].1 = Some(from);
        }
    }
}
