//! The error of a system call on a mount.

use crate::{Error, Phase};
use nix::errno::Errno;

pub(super) fn failed(operation: &'static str, errno: Errno) -> Error {
    Error::sys(Phase::Mount, operation, errno)
}
