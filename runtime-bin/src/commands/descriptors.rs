//! Descriptors that are passed on to a process.

use crate::failure::Failure;
use crate::sys::stdio::is_inherited;

/// Checks that the descriptors to be passed on were passed to this program: a process must not get one of this
/// program's own that happens to have the same number.
pub(super) fn check_inherited(listen_fds: u32, preserve_fds: u32) -> Result<(), Failure> {
    for n in 0..listen_fds.saturating_add(preserve_fds) {
        let fd = i32::try_from(n).unwrap_or(i32::MAX).saturating_add(3);
        if !is_inherited(fd) {
            let setting = if n < listen_fds {
                format!("LISTEN_FDS={listen_fds}")
            } else {
                format!("--preserve-fds {preserve_fds}")
            };
            return Err(Failure::new(format!("{setting}: descriptor {fd} was not passed to this program")));
        }
    }
    Ok(())
}
