//! Descriptors that were passed to the program, including the standard ones.

use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// Opens `/dev/null` for each of the descriptors 0, 1 and 2 that the caller left closed, so that no file opened later
/// gets one of these numbers.
pub(crate) fn fill_stdio() -> Result<(), Errno> {
    let mut set = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: an array of three pollfd that outlives the call.
    while let Err(errno) = Errno::result(unsafe { libc::poll(set.as_mut_ptr(), 3, 0) }) {
        if errno != Errno::EINTR {
            return Err(errno);
        }
    }
    for _ in set.iter().filter(|p| p.revents & libc::POLLNVAL != 0) {
        // The lowest free number is the one that is missing.
        // SAFETY: a constant path; the descriptor is meant to stay open.
        Errno::result(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) })?;
    }
    Ok(())
}

/// Whether `fd` was passed to this program: it is open and not close-on-exec, unlike all descriptors that a Rust
/// program opens itself.
pub(crate) fn is_inherited(fd: i32) -> bool {
    // SAFETY: F_GETFD takes no pointer.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// Takes a descriptor above 2 that was passed to this program ([`is_inherited`]). It can be taken once, because it is
/// close-on-exec from then on.
pub(crate) fn take_inherited(fd: i32) -> Option<OwnedFd> {
    if fd < 3 || !is_inherited(fd) {
        return None;
    }
    // SAFETY: F_SETFD takes no pointer. Nothing in the program owns the descriptor yet: an owned one is close-on-exec.
    unsafe { (libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) == 0).then(|| OwnedFd::from_raw_fd(fd)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_descriptor_opened_here_is_not_inherited() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!is_inherited(file.as_raw_fd()));
        assert!(!is_inherited(1 << 20) && !is_inherited(-1));
        assert!(is_inherited(0));
        fill_stdio().unwrap();
    }

    #[test]
    fn an_inherited_descriptor_is_taken_once() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(take_inherited(file.as_raw_fd()).is_none() && take_inherited(0).is_none());
        // As if it had been passed to the program.
        // SAFETY: F_DUPFD takes no pointer.
        let passed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, 100) };
        let taken = take_inherited(passed).unwrap();
        assert_eq!(taken.as_raw_fd(), passed);
        assert!(take_inherited(passed).is_none());
    }
}
