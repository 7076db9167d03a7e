//! The root file system of a container.

use crate::sys;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Opens a root directory; `None` if it cannot be opened.
pub(super) fn open(path: &Path) -> Option<OwnedFd> {
    let path = sys::fs::cstring(path).ok()?;
    sys::fs::openat(sys::fs::cwd(), &path, libc::O_PATH | libc::O_DIRECTORY, 0).ok()
}
