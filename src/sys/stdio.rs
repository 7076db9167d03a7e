//! The standard descriptors of a whole program. Only a program may call this, never the library.

use super::retry;
use nix::errno::Errno;

/// Opens `/dev/null` for each of the descriptors 0, 1 and 2 which the caller has left closed, so
/// that no file opened later is taken for one of them.
pub fn fill_stdio() -> Result<(), Errno> {
    let mut set = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    retry(|| {
        // SAFETY: an array of three pollfd that lives through the call.
        Errno::result(unsafe { libc::poll(set.as_mut_ptr(), 3, 0) })
    })?;
    for _ in set.iter().filter(|p| p.revents & libc::POLLNVAL != 0) {
        // The lowest free number is the one that is missing.
        // SAFETY: a constant path; the descriptor is meant to stay open for good.
        Errno::result(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) })?;
    }
    Ok(())
}
