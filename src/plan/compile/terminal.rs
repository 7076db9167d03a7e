//! The terminal of the process.

use super::super::step::{ProcessStep, Slot, TerminalPlace};
use super::draft::Draft;
use super::input::Input;
use crate::{Error, ErrorKind, Phase, Result};

/// Opens the terminal, and sends its master over the console socket.
pub(super) fn terminal(input: &Input<'_>, draft: &mut Draft, place: TerminalPlace) -> Result<()> {
    let Some(process) = input.spec.process.as_ref().filter(|p| p.terminal) else {
        return if input.options.console {
            Err(Error::new(
                ErrorKind::InvalidArgument,
                Phase::Process,
                "cannot use a console socket if process.terminal is false",
            ))
        } else {
            Ok(())
        };
    };
    if !input.options.console {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            Phase::Process,
            "cannot allocate tty if runc will detach without setting console socket",
        )
        .with_pointer("/process/terminal")
        .with_hint("give --console-socket, or run in the foreground"));
    }
    let clamp = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    let size = process.console_size.as_ref().map(|s| (clamp(s.height), clamp(s.width)));
    let uid = process.user.uid;
    let slot = draft.slot("/process/terminal", Slot::Console)?;
    draft.configured(
        "/process/terminal",
        ProcessStep::Terminal { slot, size, uid, place, relayed: input.options.keep_console },
    );
    if !input.is_born_late() {
        draft.configured("/process/terminal", ProcessStep::ControllingTerminal);
    }
    Ok(())
}
