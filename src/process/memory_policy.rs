//! NUMA memory policy; set_mempolicy(2).

use super::cpu_set::CpuSet;
use crate::Problem;
use crate::bundle::spec;

const SECTION: &str = "config-linux.md#memory-policy";

/// Modes, by name.
pub const MODES: [(&str, u32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// Flags, by name.
pub const FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// The arguments of set_mempolicy(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMempolicy {
    /// Mode and flags in one word.
    pub mode: u32,
    /// Mask of nodes; empty if there are none.
    pub nodes: Vec<u8>,
}

impl SetMempolicy {
    /// `maxnode`, which is one more than the number of bits that the kernel reads.
    pub fn max_node(&self) -> u64 {
        if self.nodes.is_empty() { 0 } else { self.nodes.len() as u64 * 8 + 1 }
    }
}

/// Reads a policy.
///
/// # Errors
/// If a name is unknown, the list of nodes is invalid, or the kernel refuses the combination on every machine:
/// required nodes are missing, the mode has no nodes, or the flags exclude each other.
pub fn parse(policy: &spec::MemoryPolicy, at: &str) -> Result<SetMempolicy, Vec<Problem>> {
    let at = format!("{at}/memoryPolicy");
    let mut problems = Vec::new();
    let mut wrong =
        |field: &str, message: String| problems.push(Problem::new(format!("{at}/{field}"), message, SECTION));
    let name = policy.mode.as_str();
    let mode = MODES.iter().find(|(n, _)| *n == name).map(|(_, mode)| *mode);
    if mode.is_none() {
        wrong("mode", format!("unknown memory policy mode {name:?}"));
    }
    let mut flags = 0;
    for (i, flag) in policy.flags.iter().enumerate() {
        match FLAGS.iter().find(|(n, _)| n == flag) {
            Some((_, bit)) => flags |= bit,
            None => wrong(&format!("flags/{i}"), format!("unknown memory policy flag {flag:?}")),
        }
    }
    if flags & (FLAGS[1].1 | FLAGS[2].1) == FLAGS[1].1 | FLAGS[2].1 {
        wrong("flags", "MPOL_F_RELATIVE_NODES and MPOL_F_STATIC_NODES exclude each other".into());
    }
    let nodes = match CpuSet::parse(policy.nodes.as_deref().unwrap_or_default()) {
        Ok(nodes) => nodes,
        Err(e) => {
            wrong("nodes", e.to_string());
            CpuSet::default()
        }
    };
    match name {
        "MPOL_DEFAULT" | "MPOL_LOCAL" if !nodes.is_empty() => {
            wrong("nodes", format!("must be empty for {name}"));
        }
        "MPOL_BIND" | "MPOL_INTERLEAVE" | "MPOL_PREFERRED_MANY" | "MPOL_WEIGHTED_INTERLEAVE"
            if policy.nodes.as_deref().unwrap_or_default().trim().is_empty() =>
        {
            wrong("nodes", format!("must not be empty for {name}"));
        }
        _ => {}
    }
    match mode {
        Some(mode) if problems.is_empty() => Ok(SetMempolicy { mode: mode | flags, nodes: nodes.to_bytes() }),
        _ => Err(problems),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mode: &str, nodes: &str, flags: &[&str]) -> Result<SetMempolicy, Vec<String>> {
        let flags = flags.iter().map(|&f| f.to_owned()).collect();
        let nodes = (!nodes.is_empty()).then(|| nodes.to_owned());
        parse(&spec::MemoryPolicy { mode: mode.into(), nodes, flags }, "/linux")
            .map_err(|p| p.into_iter().map(|p| p.pointer).collect())
    }

    #[test]
    fn policies_are_read_and_checked() {
        let policy = of("MPOL_INTERLEAVE", "0,2", &["MPOL_F_STATIC_NODES"]).unwrap();
        assert_eq!((policy.mode, policy.nodes[0], policy.max_node()), (3 | 1 << 15, 5, 65));
        assert_eq!(of("MPOL_DEFAULT", "", &[]).unwrap().max_node(), 0);
        let at = |field: &str| Err(vec![format!("/linux/memoryPolicy/{field}")]);
        assert_eq!(of("MPOL_X", "", &[]), at("mode"));
        assert_eq!(of("MPOL_LOCAL", "1", &[]), at("nodes"));
        assert_eq!(of("MPOL_BIND", "", &[]), at("nodes"));
        assert_eq!(of("MPOL_BIND", "x", &[]), at("nodes"));
        assert_eq!(of("MPOL_BIND", "0", &["X"]), at("flags/0"));
        assert_eq!(of("MPOL_BIND", "0", &["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]), at("flags"));
    }
}
