//! The socket at which a container's messages arrive.
//!
//! A container's message may carry descriptors, and closing the last copy of one may block for as long as the container
//! likes (a TCP socket with `SO_LINGER`). So no descriptor is ever received into this process, and a message that carries
//! some is taken off the queue by a helper thread, which may block.

use crate::sys::unix::{self, PeekedDatagram};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A bound datagram socket.
#[derive(Debug)]
pub(in crate::container) struct Inbox {
    socket: Option<Arc<OwnedFd>>,
    /// The thread that takes a message with descriptors off the queue.
    helper: Option<JoinHandle<()>>,
}

/// The head of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The queue is empty.
    Nothing,
    /// A message; its bytes are in the buffer.
    Message(PeekedDatagram),
    /// The helper thread is still taking the last message off the queue.
    Wait,
}

impl Inbox {
    pub(in crate::container) fn new(socket: OwnedFd) -> Self {
        Self { socket: Some(Arc::new(socket)), helper: None }
    }

    /// Looks at the next message and leaves it in the queue.
    pub(super) fn peek(&mut self, buffer: &mut [u8]) -> Result<Next, Errno> {
        if let Some(helper) = self.helper.take_if(|helper| helper.is_finished()) {
            // It returns nothing.
            let _ = helper.join();
        }
        if self.helper.is_some() {
            return Ok(Next::Wait);
        }
        match unix::peek_datagram(self, buffer) {
            Ok(peeked) => Ok(Next::Message(peeked)),
            Err(Errno::EAGAIN) => Ok(Next::Nothing),
            Err(e) => Err(e),
        }
    }

    /// Takes the message that was seen off the queue.
    pub(super) fn take(&mut self, seen: PeekedDatagram) -> Result<(), Errno> {
        match &self.socket {
            Some(socket) if seen.descriptors => {
                let socket = Arc::clone(socket);
                self.helper = Some(in_a_thread(move || {
                    let _ = unix::drop_datagram(&*socket);
                })?);
                Ok(())
            }
            _ => unix::drop_datagram(self),
        }
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Some(socket) => socket.as_fd(),
            // Only while the value is dropped.
            None => crate::sys::fs::cwd(),
        }
    }
}

impl Drop for Inbox {
    /// Closing the socket closes the descriptors in its queue as well.
    fn drop(&mut self) {
        // Nothing is added to the queue after this.
        let _ = shutdown(self.as_fd().as_raw_fd(), Shutdown::Read);
        let empty = unix::peek_datagram(&*self, &mut []) == Err(Errno::EAGAIN);
        if let Some(socket) = self.socket.take().filter(|_| !empty) {
            // If no thread can be started, it is closed here.
            let _ = in_a_thread(move || drop(socket));
        }
    }
}

/// Starts a thread that has all signals blocked, so that it takes none from the caller's threads.
fn in_a_thread(work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Errno> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let started = std::thread::Builder::new().name("orlop-notify".to_owned()).spawn(work);
    before.thread_set_mask()?;
    started.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EAGAIN)))
}
