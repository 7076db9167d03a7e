//! The text of a plan, as `orlop plan` prints it. The text of a step is in the file of its family.

use super::compiled::Plan;
use super::step::{LineOrigin, StepSide};
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines.iter().enumerate() {
            let side = match line.step.side() {
                StepSide::Host => "host",
                StepSide::Stub => "stub",
            };
            let text = line.step.to_string();
            let origin = match &line.origin {
                LineOrigin::Pointer(pointer) => pointer.as_str(),
                LineOrigin::Standard => "standard",
            };
            writeln!(f, "{number:>3}  {side}  {text:<72}  {origin}")?;
        }
        Ok(())
    }
}
