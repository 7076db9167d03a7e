//! I/O priority; ioprio_set(2).

use crate::Problem;
use crate::bundle::spec::IoPriority;

/// Classes, by name.
pub const CLASSES: [(&str, u32); 3] =
    [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];

/// The value for ioprio_set(2): class and priority in one word.
///
/// # Errors
/// If the class is unknown, or the priority is not from 0 to 7.
pub fn parse(io_priority: &IoPriority, at: &str) -> Result<u32, Problem> {
    const SECTION: &str = "config.md#linux-process";
    let name = &io_priority.class;
    let Some((_, class)) = CLASSES.iter().find(|(n, _)| n == name) else {
        return Err(Problem::new(
            format!("{at}/ioPriority/class"),
            format!("unknown I/O priority class {name:?}"),
            SECTION,
        ));
    };
    match io_priority.priority {
        level @ 0..=7 => Ok(class << 13 | level as u32),
        other => Err(Problem::new(
            format!("{at}/ioPriority/priority"),
            format!("{other} is not in the range 0 to 7"),
            SECTION,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_and_priority_make_one_word() {
        let of = |class: &str, priority| parse(&IoPriority { class: class.into(), priority }, "/process");
        assert_eq!(of("IOPRIO_CLASS_BE", 4), Ok(2 << 13 | 4));
        assert_eq!(of("IOPRIO_CLASS_IDLE", 0), Ok(3 << 13));
        assert_eq!(of("IOPRIO_CLASS_X", 0).unwrap_err().pointer, "/process/ioPriority/class");
        assert_eq!(of("IOPRIO_CLASS_RT", 8).unwrap_err().pointer, "/process/ioPriority/priority");
    }
}
