//! The lowering of a whole plan.

use super::super::blob::Blob;
use super::super::step::{Line, Slots, Step};
use super::lowering::{Kernel, Lowering};
use super::{control, namespace, process, rootfs};

/// Lowers and encodes the stub's column.
///
/// # Errors
/// The number of the line that needs more registers than the stub has.
pub(crate) fn lower(lines: &[Line], slots: &Slots, kernel: Kernel) -> Result<Blob, u16> {
    let mut code = Lowering::new(lines, slots, kernel);
    for (number, line) in lines.iter().enumerate() {
        code.asm.begin(number as u16);
        step(&mut code, &line.step);
        if code.last_to_proc == Some(number)
            && let Some(proc) = code.proc.take()
        {
            code.asm.close(proc);
        }
    }
    code.asm.encode()
}

fn step(code: &mut Lowering, step: &Step) {
    match step {
        // The host side's column.
        Step::Host(_) => {}
        Step::Namespace(step) => namespace::namespace(code, step),
        Step::Rootfs(step) => rootfs::rootfs(code, step),
        Step::Process(step) => process::process(code, step),
        Step::Control(step) => control::control(code, step),
    }
}
