//! The control page, as the host side reads it.

use crate::plan::machine::{ControlWord, NO_CALL, SUCCESSOR, state};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

/// The file that holds a plan in memory. Its first page is the control page.
#[derive(Debug)]
pub(crate) struct ControlPage {
    file: OwnedFd,
}

/// Identifies the file of a launch, so that no other file is accepted in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControlPageId {
    device: u64,
    inode: u64,
}

impl ControlPageId {
    fn of(file: &OwnedFd) -> Result<Self> {
        let failed = |e| Error::sys(Phase::Launch, "statx", e).on("the control page");
        let (device, inode) = sys::fs::identity(file).map_err(failed)?;
        Ok(Self { device, inode })
    }
}

/// What the control page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StubState {
    /// Everything is done that comes before `start`.
    Created,
    /// The program was executed.
    Executed,
    /// A step failed.
    Failed(FailedStep),
    /// The stub was killed in this step.
    Died(u16),
}

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailedStep {
    /// The index of the plan's line.
    pub(crate) step: u16,
    /// The number of the system call that failed; `None` if a check of the stub did.
    pub(crate) call: Option<u32>,
    /// The errno.
    pub(crate) errno: Errno,
}

impl ControlPage {
    /// The control page of a launch that has just made this file.
    pub(super) fn new(file: OwnedFd) -> Self {
        Self { file }
    }

    /// Accepts a file that a process has sent; `None` if it is not the one with this identity.
    pub(crate) fn adopt(file: OwnedFd, id: ControlPageId) -> Result<Option<Self>> {
        Ok((ControlPageId::of(&file)? == id).then_some(Self { file }))
    }

    /// The file's identity.
    pub(super) fn id(&self) -> Result<ControlPageId> {
        ControlPageId::of(&self.file)
    }

    /// The pid of the second process, which the first one writes; 0 if it has not been cloned yet.
    pub(super) fn successor(&self) -> Result<i32> {
        let failed = |e| Error::sys(Phase::Launch, "read the second process's number", e).on("the init stub");
        let mut bytes = Vec::new();
        sys::fs::append_from(&self.file, SUCCESSOR as u64, 4, &mut bytes).map_err(failed)?;
        bytes.try_into().map(i32::from_ne_bytes).map_err(|_| failed(Errno::EIO))
    }

    /// The control page's words. Reading a few bytes is faster than mapping the page.
    fn words(&self) -> Result<[u32; ControlWord::COUNT]> {
        let failed = |e| Error::sys(Phase::Launch, "read the control page", e).on("the init stub");
        let (mut bytes, mut words) = (Vec::new(), [0; ControlWord::COUNT]);
        sys::fs::append_from(&self.file, 0, 4 * ControlWord::COUNT, &mut bytes).map_err(failed)?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(words)
    }

    /// How far the stub has come. It is final once the stub has closed its end of the socket.
    pub(crate) fn state(&self) -> Result<StubState> {
        let words = self.words()?;
        let word = |word: ControlWord| words[word as usize];
        Ok(match word(ControlWord::State) {
            state::CREATED => StubState::Created,
            state::EXECUTING => StubState::Executed,
            state::FAILED => StubState::Failed(FailedStep {
                step: word(ControlWord::Step) as u16,
                call: Some(word(ControlWord::Call)).filter(|call| *call != NO_CALL),
                errno: Errno::from_raw(word(ControlWord::Errno) as i32),
            }),
            _ => StubState::Died(word(ControlWord::Step) as u16),
        })
    }
}
