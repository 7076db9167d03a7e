//! A plan in words: what `orlop plan` prints. The words of a step are in its family's file.

use super::compiled::Plan;
use super::names::call_name;
use super::step::{Origin, Side};
use crate::namespace::NamespaceKind;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines.iter().enumerate() {
            let side = match line.step.side() {
                Side::Host => "host",
                Side::Stub => "stub",
            };
            let text = line.step.to_string();
            let origin = match &line.origin {
                Origin::Pointer(pointer) => pointer.as_str(),
                Origin::Standard => "standard",
            };
            writeln!(f, "{number:>3}  {side}  {text:<72}  {origin}")?;
        }
        Ok(())
    }
}

/// `CLONE_NEW*` as the spec's names.
pub(super) fn namespaces(flags: u64) -> String {
    let names: Vec<_> = (0..64)
        .map(|bit| flags & (1 << bit))
        .filter_map(NamespaceKind::from_flag)
        .map(NamespaceKind::name)
        .collect();
    if names.is_empty() { "none".into() } else { names.join(" ") }
}

/// The name of a system call that a plan makes.
pub(super) fn operation(call: Option<u32>) -> &'static str {
    call.map_or("check", |call| call_name(call).unwrap_or("system call"))
}
