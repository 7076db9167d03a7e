//! From system call number to outcome: ranges of numbers, and a balanced search over them.

use super::assembler::{BpfAssembler, JumpTarget};
use super::opcode::{EQUAL, GREATER_EQUAL};

/// What happens to a call: an index into the outcomes of a section.
pub(super) type Outcome = u16;

/// The numbers from `start` up to the start of the next range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NumberRange {
    pub(super) start: u32,
    pub(super) outcome: Outcome,
}

/// All 2^32 numbers as ranges, in ascending order.
#[derive(Debug, Default)]
pub(super) struct NumberRanges(pub(super) Vec<NumberRange>);

impl NumberRanges {
    /// Gives this outcome to the numbers from `start` on. `start` never decreases from call to call.
    pub(super) fn push(&mut self, start: u32, outcome: Outcome) {
        match self.0.last_mut() {
            Some(last) if last.outcome == outcome => {}
            Some(last) if last.start == start => {
                last.outcome = outcome;
                // The range before it may now have the same outcome.
                if let [.., before, _] = self.0[..]
                    && before.outcome == outcome
                {
                    self.0.pop();
                }
            }
            _ => self.0.push(NumberRange { start, outcome }),
        }
    }
}

/// The most exceptions of a group: each costs a comparison, one after the other.
const EXCEPTIONS: usize = 4;

/// Neighbouring numbers that share an outcome, except for some single numbers.
struct RangeGroup {
    start: u32,
    outcome: Outcome,
    exceptions: std::ops::Range<usize>,
}

/// A group under construction. Its outcome is that of its first range of more than one number.
struct OpenGroup {
    start: u32,
    outcome: Option<Outcome>,
    first: usize,
}

/// Divides ranges into groups. A single number `b` inside a range `A` takes one comparison for equality;
/// the two borders of `A|b|A` would take two.
fn group(ranges: &[NumberRange]) -> (Vec<RangeGroup>, Vec<(u32, Outcome)>) {
    let mut groups = Vec::with_capacity(ranges.len() / 2 + 1);
    let mut exceptions: Vec<(u32, Outcome)> = Vec::with_capacity(ranges.len() / 2 + 1);
    let mut open = OpenGroup { start: 0, outcome: None, first: 0 };
    for (i, range) in ranges.iter().enumerate() {
        let single = ranges.get(i + 1).is_some_and(|next| next.start - range.start == 1);
        if open.outcome == Some(range.outcome) {
            continue;
        }
        if single && exceptions.len() - open.first < EXCEPTIONS {
            exceptions.push((range.start, range.outcome));
        } else if open.outcome.is_none() && !single {
            open.outcome = Some(range.outcome);
        } else {
            groups.push(close(&open, &mut exceptions));
            open = OpenGroup { start: range.start, outcome: None, first: exceptions.len() };
            if single {
                exceptions.push((range.start, range.outcome));
            } else {
                open.outcome = Some(range.outcome);
            }
        }
    }
    groups.push(close(&open, &mut exceptions));
    (groups, exceptions)
}

fn close(open: &OpenGroup, exceptions: &mut Vec<(u32, Outcome)>) -> RangeGroup {
    // If there are only single numbers, the last of them needs no comparison.
    let outcome = open.outcome.or_else(|| exceptions.pop().map(|(_, outcome)| outcome)).unwrap_or_default();
    RangeGroup { start: open.start, outcome, exceptions: open.first..exceptions.len() }
}

/// The search over `ranges`, which cover all numbers; `outcome` writes or finds the code of an outcome.
pub(super) fn assemble(
    asm: &mut BpfAssembler,
    ranges: &NumberRanges,
    outcome: &mut dyn FnMut(&mut BpfAssembler, Outcome) -> JumpTarget,
) -> JumpTarget {
    let (groups, exceptions) = group(&ranges.0);
    BinarySearch { exceptions: &exceptions, outcome }.assemble(asm, &groups)
}

struct BinarySearch<'a> {
    exceptions: &'a [(u32, Outcome)],
    outcome: &'a mut dyn FnMut(&mut BpfAssembler, Outcome) -> JumpTarget,
}

impl BinarySearch<'_> {
    fn assemble(&mut self, asm: &mut BpfAssembler, groups: &[RangeGroup]) -> JumpTarget {
        if let [group] = groups {
            let mut next = (self.outcome)(asm, group.outcome);
            for &(number, outcome) in self.exceptions[group.exceptions.clone()].iter().rev() {
                let yes = (self.outcome)(asm, outcome);
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
    fn neighbouring_ranges_of_one_outcome_merge() {
        let mut ranges = NumberRanges::default();
        for (start, outcome) in [(0, 1), (1, 1), (2, 0), (3, 1), (3, 0), (9, 2)] {
            ranges.push(start, outcome);
        }
        let r = |start, outcome| NumberRange { start, outcome };
        assert_eq!(ranges.0, [r(0, 1), r(2, 0), r(9, 2)]);
        ranges.push(9, 0);
        assert_eq!(ranges.0, [r(0, 1), r(2, 0)]);
    }

    #[test]
    fn a_single_exception_takes_one_comparison() {
        let ranges = NumberRanges(
            [(0, 1), (10, 0), (11, 1), (20, 2), (21, 1), (30, 0)]
                .map(|(start, outcome)| NumberRange { start, outcome })
                .to_vec(),
        );
        let mut asm = BpfAssembler::new();
        assemble(&mut asm, &ranges, &mut |asm, outcome| asm.ret(outcome.into()));
        // Three `ret`s, two exceptions, one border.
        assert_eq!(asm.len(), 6);
    }
}
