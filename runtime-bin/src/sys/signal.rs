//! Signal dispositions of the program.

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Gives `signal` its default action.
///
/// A Rust program starts with SIGPIPE ignored, which its children would inherit across execve(2).
pub(crate) fn default_disposition(signal: Signal) -> Result<(), Errno> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of this program.
    unsafe { sigaction(signal, &action) }.map(drop)
}
