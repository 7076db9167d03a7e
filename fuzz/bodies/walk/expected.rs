//! The expected result of a walk if nothing changes meanwhile: the kernel's lookup in a chroot, and then `mkdir
//! -p`.

use super::model::{ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, Model, ROOT, components};
use super::walk::{LENGTH, Last};

/// A node, and whether it was created; or an errno.
type Outcome = Result<(usize, bool), u32>;

/// Compares the result of a walk, and the file system after it, with the expected ones.
pub(super) fn compare(before: Model, path: &[u8], last: Last, found: Outcome, after: &Model) {
    let mut walk = Walk { model: before, last, turns: 0, written: path.len() };
    let expected = walk.run(path);
    // The walk expands links, and a path has a maximal length.
    if found == Err(ENAMETOOLONG) && walk.written + 64 >= LENGTH {
        return;
    }
    let place = |model: &Model, outcome: Outcome| outcome.map(|(node, made)| (model.place(node), made));
    let text = String::from_utf8_lossy(path);
    assert_eq!(place(after, found), place(&walk.model, expected), "{text:?} as {last:?}");
    assert_eq!(after.listing(ROOT), walk.model.listing(ROOT), "{text:?} as {last:?}");
}

fn owned(path: &[u8]) -> Vec<Vec<u8>> {
    components(path).into_iter().map(<[u8]>::to_vec).collect()
}

struct Walk {
    model: Model,
    last: Last,
    /// How often a component was missing.
    turns: u32,
    /// Bytes of the path, and of all links that lead to the missing component.
    written: usize,
}

impl Walk {
    fn run(&mut self, path: &[u8]) -> Outcome {
        match self.model.resolve(path) {
            Ok(node) => return Ok((node, false)),
            Err(errno) if errno != ENOENT || self.last == Last::Nothing => return Err(errno),
            Err(_) => {}
        }
        let mut at = ROOT;
        let mut rest = owned(path);
        rest.reverse();
        while let Some(name) = rest.pop() {
            if !self.model.is_directory(at) {
                return Err(ENOTDIR);
            }
            match name.as_slice() {
                b"." => continue,
                b".." => {
                    at = self.model.above(at);
                    continue;
                }
                _ => {}
            }
            match self.model.resolve_from(at, &name) {
                Ok(node) => {
                    at = node;
                    continue;
                }
                Err(ENOENT) => self.turns += 1,
                Err(errno) => return Err(errno),
            }
            if self.turns > 40 {
                return Err(ELOOP);
            }
            // A component is missing: this one, or the target of the link.
            let Some(target) = self.model.link(at, &name).map(<[u8]>::to_vec) else {
                rest.push(name);
                rest.reverse();
                return self.make(at, &rest);
            };
            self.written += target.len();
            if target.starts_with(b"/") {
                at = ROOT;
            }
            rest.extend(owned(&target).into_iter().rev());
        }
        Ok((at, false))
    }

    /// Creates all of these, each in the one before.
    fn make(&mut self, mut at: usize, names: &[Vec<u8>]) -> Outcome {
        if names.iter().any(|name| name == b"..") {
            return Err(ENOENT);
        }
        let names: Vec<&Vec<u8>> = names.iter().filter(|name| *name != b".").collect();
        for (i, name) in names.iter().enumerate() {
            at = self.model.make(at, name, self.last == Last::File && i + 1 == names.len())?;
        }
        Ok((at, true))
    }
}
