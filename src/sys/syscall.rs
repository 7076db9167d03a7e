//! What every file of this module makes its system calls with.

use nix::errno::Errno;

/// One system call: its non-negative answer, or the errno. It needs an `unsafe` block, since to the kernel a number may be
/// an address or a descriptor of another owner.
macro_rules! call {
    ($nr:expr $(, $arg:expr)* $(,)?) => {{
        let answer = libc::syscall($nr $(, $arg)*);
        if answer < 0 { Err(nix::errno::Errno::last()) } else { Ok(answer) }
    }};
}
pub(super) use call;

/// A system call that returns a new descriptor.
macro_rules! open {
    ($($arg:expr),+ $(,)?) => {
        $crate::sys::syscall::call!($($arg),+).map(|fd| std::os::fd::OwnedFd::from_raw_fd(fd as i32))
    };
}
pub(super) use open;

/// Repeats `f` while a signal interrupts it.
pub(crate) fn retry<T>(mut f: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match f() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
