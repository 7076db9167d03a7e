//! From system call number to fate: ranges, and a balanced search over them.

use super::assembler::{Assembler, EQUAL, GREATER_EQUAL, Label};

/// What happens to a call: index into the fates of a section.
pub(super) type Fate = u16;

/// Numbers from `start` to the next range's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) fate: Fate,
}

/// All 2^32 numbers as ranges, in ascending order.
#[derive(Debug, Default)]
pub(super) struct Ranges(pub(super) Vec<Range>);

impl Ranges {
    /// Numbers from `start` on (not below what was said before) have this fate.
    pub(super) fn from(&mut self, start: u32, fate: Fate) {
        match self.0.last_mut() {
            Some(last) if last.fate == fate => {}
            Some(last) if last.start == start => {
                last.fate = fate;
                // The range before may have the same fate now.
                if let [.., before, _] = self.0[..]
                    && before.fate == fate
                {
                    self.0.pop();
                }
            }
            _ => self.0.push(Range { start, fate }),
        }
    }
}

/// Lone exceptions in a group cost a comparison each, one after the other.
const EXCEPTIONS: usize = 4;

/// Neighbouring numbers which share a fate, but for some exceptions.
struct Group {
    start: u32,
    fate: Fate,
    exceptions: std::ops::Range<usize>,
}

/// A group under construction; its fate is that of its first range longer than one number.
struct Open {
    start: u32,
    fate: Option<Fate>,
    first: usize,
}

/// Cuts ranges into groups. An exception `b` inside a range `A` is one comparison for equality, where
/// the two borders `A|b|A` would be two.
fn group(ranges: &[Range]) -> (Vec<Group>, Vec<(u32, Fate)>) {
    let mut groups = Vec::with_capacity(ranges.len() / 2 + 1);
    let mut exceptions: Vec<(u32, Fate)> = Vec::with_capacity(ranges.len() / 2 + 1);
    let mut open = Open { start: 0, fate: None, first: 0 };
    for (i, range) in ranges.iter().enumerate() {
        let single = ranges.get(i + 1).is_some_and(|next| next.start - range.start == 1);
        if open.fate == Some(range.fate) {
            continue;
        }
        if single && exceptions.len() - open.first < EXCEPTIONS {
            exceptions.push((range.start, range.fate));
        } else if open.fate.is_none() && !single {
            open.fate = Some(range.fate);
        } else {
            groups.push(close(&open, &mut exceptions));
            open = Open { start: range.start, fate: None, first: exceptions.len() };
            if single {
                exceptions.push((range.start, range.fate));
            } else {
                open.fate = Some(range.fate);
            }
        }
    }
    groups.push(close(&open, &mut exceptions));
    (groups, exceptions)
}

fn close(open: &Open, exceptions: &mut Vec<(u32, Fate)>) -> Group {
    // Lone numbers only: the last of them needs no comparison.
    let fate = open.fate.or_else(|| exceptions.pop().map(|(_, fate)| fate)).unwrap_or_default();
    Group { start: open.start, fate, exceptions: open.first..exceptions.len() }
}

/// The search over `ranges`, which cover all numbers; `fate` writes or finds a fate's code.
pub(super) fn assemble(
    asm: &mut Assembler,
    ranges: &Ranges,
    fate: &mut dyn FnMut(&mut Assembler, Fate) -> Label,
) -> Label {
    let (groups, exceptions) = group(&ranges.0);
    Search { exceptions: &exceptions, fate }.assemble(asm, &groups)
}

struct Search<'a> {
    exceptions: &'a [(u32, Fate)],
    fate: &'a mut dyn FnMut(&mut Assembler, Fate) -> Label,
}

impl Search<'_> {
    fn assemble(&mut self, asm: &mut Assembler, groups: &[Group]) -> Label {
        if let [group] = groups {
            let mut next = (self.fate)(asm, group.fate);
            for &(number, fate) in self.exceptions[group.exceptions.clone()].iter().rev() {
                let yes = (self.fate)(asm, fate);
                next = asm.test(EQUAL, number, yes, next);
            }
            return next;
        }
        let (left, right) = groups.split_at(groups.len() / 2);
        let border = right[0].start;
        let right = self.assemble(asm, right);
        let left = self.assemble(asm, left);
        asm.test(GREATER_EQUAL, border, right, left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge() {
        let mut ranges = Ranges::default();
        for (start, fate) in [(0, 1), (1, 1), (2, 0), (3, 1), (3, 0), (9, 2)] {
            ranges.from(start, fate);
        }
        let r = |start, fate| Range { start, fate };
        assert_eq!(ranges.0, [r(0, 1), r(2, 0), r(9, 2)]);
        ranges.from(9, 0);
        assert_eq!(ranges.0, [r(0, 1), r(2, 0)]);
    }

    #[test]
    fn a_lone_exception_is_one_comparison() {
        let ranges = Ranges(
            [(0, 1), (10, 0), (11, 1), (20, 2), (21, 1), (30, 0)]
                .map(|(start, fate)| Range { start, fate })
                .to_vec(),
        );
        let mut asm = Assembler::new();
        assemble(&mut asm, &ranges, &mut |asm, fate| asm.ret(fate.into()));
        // Three `ret`s, two exceptions, one border.
        assert_eq!(asm.len(), 6);
    }
}
