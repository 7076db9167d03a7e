//! The compiler compared with the definition of a profile, and with a second compiler.

mod decisions;
mod kernel;
mod naive;
mod oracle;
mod shape;
mod text;

use super::*;
use crate::bundle::spec;

const DOCKER: &str = include_str!("profiles/docker28.json");
const CONTAINERD: &str = include_str!("profiles/containerd24.json");
const PODMAN: &str = include_str!("profiles/podman58.json");
const PODMAN_CAP_DROP: &str = include_str!("profiles/podman58-cap-drop.json");
const RECORDED: [&str; 4] = [DOCKER, CONTAINERD, PODMAN, PODMAN_CAP_DROP];

fn parse(json: &str) -> spec::Seccomp {
    spec::Seccomp::from_json(json.as_bytes()).unwrap()
}

/// Pseudo-random numbers (xorshift64*), so that the tests are repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn value(&mut self) -> u64 {
        match self.below(6) {
            0 => self.pick(&[0, 1, 2, 16, 40, 0xffff_ffff, 0x1_0000_0000, u64::MAX, u64::MAX - 1]),
            1 => self.next(),
            2 => self.next() & 0xffff_ffff,
            3 => 1 << self.below(64),
            _ => self.next() % 5,
        }
    }

    fn arguments(&mut self, hints: &[u64]) -> [u64; 6] {
        std::array::from_fn(|_| {
            if hints.is_empty() || self.below(3) == 0 {
                return self.value();
            }
            let hint = self.pick(hints);
            match self.below(6) {
                0 => hint.wrapping_add(1),
                1 => hint.wrapping_sub(1),
                2 => hint ^ (1 << 32),
                _ => hint,
            }
        })
    }

    fn action(&mut self) -> Action {
        match self.below(9) {
            0 => Action::KillThread,
            1 => Action::KillProcess,
            2 => Action::Trap,
            3 => Action::Trace(7),
            4 => Action::Log,
            5 | 6 => Action::Allow,
            _ => Action::Errno(self.pick(&[1, 13, 38])),
        }
    }

    fn condition(&mut self) -> Condition {
        Condition {
            argument: self.below(6) as u8,
            operator: self.pick(&Operator::ALL),
            value: self.value(),
            value_two: self.value(),
        }
    }

    /// A profile of few names, so that several rules concern the same call.
    fn profile(&mut self, names: &[&'static str]) -> Profile<'static> {
        let mut profile = Profile::new(self.action());
        for _ in 0..self.below(4) {
            profile.architectures.push(self.pick(&Arch::ALL));
        }
        for _ in 0..self.below(20) {
            let names = (0..=self.below(8)).map(|_| self.pick(names).into()).collect();
            let conditions = match self.below(3) {
                0 => Vec::new(),
                _ => (0..self.below(4)).map(|_| self.condition()).collect(),
            };
            profile.rules.push(SyscallRule { names, action: self.action(), conditions });
        }
        profile
    }
}

/// All values that a profile compares with.
fn hints(profile: &Profile<'_>) -> Vec<u64> {
    profile
        .rules
        .iter()
        .flat_map(|r| &r.conditions)
        .flat_map(|c| [c.value, c.value_two])
        .chain(1..=24)
        .collect()
}
