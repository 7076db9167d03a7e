//! Limits that flags of `update` set.

use orlop::bundle::spec::Resources;

/// Limits from flags. They override those of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitOverrides(pub(super) Resources);

impl LimitOverrides {
    /// Replaces the limits in `resources` that a flag has set.
    pub(crate) fn apply_to(&self, resources: &mut Resources) {
        if let Some(flags) = &self.0.memory {
            let memory = resources.memory.get_or_insert_default();
            replace(&mut memory.limit, flags.limit);
            replace(&mut memory.reservation, flags.reservation);
            replace(&mut memory.swap, flags.swap);
            replace(&mut memory.kernel, flags.kernel);
            replace(&mut memory.kernel_tcp, flags.kernel_tcp);
        }
        if let Some(flags) = &self.0.cpu {
            let cpu = resources.cpu.get_or_insert_default();
            replace(&mut cpu.shares, flags.shares);
            replace(&mut cpu.quota, flags.quota);
            replace(&mut cpu.burst, flags.burst);
            replace(&mut cpu.period, flags.period);
            replace(&mut cpu.realtime_runtime, flags.realtime_runtime);
            replace(&mut cpu.realtime_period, flags.realtime_period);
            replace(&mut cpu.cpus, flags.cpus.clone());
            replace(&mut cpu.mems, flags.mems.clone());
            replace(&mut cpu.idle, flags.idle);
        }
        if let Some(flags) = &self.0.pids {
            replace(&mut resources.pids.get_or_insert_default().limit, flags.limit);
        }
        if let Some(flags) = &self.0.block_io {
            replace(&mut resources.block_io.get_or_insert_default().weight, flags.weight);
        }
    }
}

fn replace<T>(current: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *current = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_override_the_file() {
        let mut resources = Resources::from_json(br#"{"memory": {"limit": 1, "swap": 2}}"#).unwrap();
        let mut limits = LimitOverrides::default();
        limits.0.memory.get_or_insert_default().limit = Some(5);
        limits.0.pids.get_or_insert_default().limit = Some(-1);
        limits.apply_to(&mut resources);
        let expected = br#"{"memory": {"limit": 5, "swap": 2}, "pids": {"limit": -1}}"#;
        assert_eq!(resources, Resources::from_json(expected).unwrap());
    }
}
