//! The descriptors that the program inherits from the caller: the numbers 3 to 2 + N.

use crate::sys::spawn;
use crate::{Error, ErrorKind, Phase, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The first number after the preserved descriptors.
fn end(count: u32) -> RawFd {
    RawFd::try_from(count.saturating_add(3)).unwrap_or(RawFd::MAX)
}

/// Refuses to preserve a number unless the caller passes that descriptor on to its programs. Any other descriptor
/// belongs to the library or to another thread.
pub(super) fn check(count: u32) -> Result<()> {
    match (3..end(count)).find(|number| !spawn::is_inherited(*number)) {
        None => Ok(()),
        Some(number) => {
            let what = "cannot preserve file descriptor";
            Err(Error::new(ErrorKind::InvalidArgument, Phase::Launch, what)
                .on(number.to_string())
                .with_detail("it is not open, or is closed on exec"))
        }
    }
}

/// The library's own descriptors for a stub, with numbers above the preserved ones.
pub(super) struct DescriptorsAbove<'a> {
    floor: RawFd,
    all: Vec<Moved<'a>>,
}

/// A descriptor, or its duplicate above the range.
enum Moved<'a> {
    Original(BorrowedFd<'a>),
    Duplicate(OwnedFd),
}

impl AsFd for Moved<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Original(fd) => *fd,
            Self::Duplicate(fd) => fd.as_fd(),
        }
    }
}

impl<'a> DescriptorsAbove<'a> {
    /// None yet, for a program that inherits `count` descriptors.
    pub(super) fn new(count: u32) -> Self {
        Self { floor: end(count), all: Vec::new() }
    }

    /// Adds a descriptor; its index.
    pub(super) fn add(&mut self, fd: BorrowedFd<'a>) -> Result<usize> {
        let failed = |e| Error::sys(Phase::Launch, "duplicate a descriptor above the preserved ones", e);
        self.all.push(if fd.as_raw_fd() >= self.floor {
            Moved::Original(fd)
        } else {
            Moved::Duplicate(spawn::duplicate_above(fd, self.floor).map_err(failed)?)
        });
        Ok(self.all.len() - 1)
    }

    /// The descriptors by whose numbers the stub knows them, in the order in which they were added.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.all.iter().map(AsFd::as_fd).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_checked() {
        for count in [u32::MAX, u32::MAX - 2, i32::MAX.cast_unsigned()] {
            assert_eq!(check(count).unwrap_err().kind(), ErrorKind::InvalidArgument, "{count}");
        }
        check(0).unwrap();
    }
}
