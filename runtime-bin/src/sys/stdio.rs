//! Descriptors that were passed to the program, the standard ones among them.

use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// Opens `/dev/null` for each of the descriptors 0, 1 and 2 which the caller has left closed, so
/// that no file opened later is taken for one of them.
pub(crate) fn fill_stdio() -> Result<(), Errno> {
    let mut set = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: an array of three pollfd that lives through the call.
    while let Err(errno) = Errno::result(unsafe { libc::poll(set.as_mut_ptr(), 3, 0) }) {
        if errno != Errno::EINTR {
            return Err(errno);
        }
    }
    for _ in set.iter().filter(|p| p.revents & libc::POLLNVAL != 0) {
        // The lowest free number is the one that is missing.
        // SAFETY: a constant path; the descriptor is meant to stay open for good.
        Errno::result(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) })?;
    }
    Ok(())
}

/// Whether `fd` was passed to this program: it is open, and not closed on execve(2) as all are
/// which a Rust program opens itself.
pub(crate) fn is_inherited(fd: i32) -> bool {
    // SAFETY: F_GETFD takes no pointer.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// Takes a descriptor above 2 that was passed to this program ([`is_inherited`]), once: from then on
/// it is closed on execve(2).
pub(crate) fn take_inherited(fd: i32) -> Option<OwnedFd> {
    if fd < 3 || !is_inherited(fd) {
        return None;
    }
    // SAFETY: F_SETFD takes no pointer. What was passed to the program belongs to nobody in it yet,
    // as it is marked from here on.
    unsafe { (libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) == 0).then(|| OwnedFd::from_raw_fd(fd)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn own_descriptors_are_not_inherited() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!is_inherited(file.as_raw_fd()));
        assert!(!is_inherited(1 << 20) && !is_inherited(-1));
        assert!(is_inherited(0));
        fill_stdio().unwrap();
    }

    #[test]
    fn what_was_passed_is_taken_once() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(take_inherited(file.as_raw_fd()).is_none() && take_inherited(0).is_none());
        // As if it had been there from the beginning.
        // SAFETY: a new descriptor, without a pointer.
        let passed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 100) };
        let taken = take_inherited(passed).unwrap();
        assert_eq!(taken.as_raw_fd(), passed);
        assert!(take_inherited(passed).is_none());
    }
}
