//! The socket that receives a container's messages.
//!
//! A message may carry descriptors, and closing the last copy of a descriptor may block for as long as the container
//! likes (a TCP socket with `SO_LINGER`). So no descriptor is ever received into this process, and a message that carries
//! descriptors is removed from the queue by a helper thread, which may block.

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
    /// The thread that removes a message with descriptors from the queue.
    helper: Option<JoinHandle<()>>,
}

/// The head of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueHead {
    /// The queue is empty.
    Empty,
    /// A message; its bytes are in the buffer.
    Message(PeekedDatagram),
    /// The helper thread is still removing the previous message.
    Removing,
}

impl Inbox {
    pub(in crate::container) fn new(socket: OwnedFd) -> Self {
        Self { socket: Some(Arc::new(socket)), helper: None }
    }

    /// Reads the next message and leaves it in the queue.
    pub(super) fn peek(&mut self, buffer: &mut [u8]) -> Result<QueueHead, Errno> {
        if let Some(helper) = self.helper.take_if(|helper| helper.is_finished()) {
            // The thread has no result.
            let _ = helper.join();
        }
        if self.helper.is_some() {
            return Ok(QueueHead::Removing);
        }
        match unix::peek_datagram(self, buffer) {
            Ok(peeked) => Ok(QueueHead::Message(peeked)),
            Err(Errno::EAGAIN) => Ok(QueueHead::Empty),
            Err(e) => Err(e),
        }
    }

    /// Removes the message that was peeked from the queue.
    pub(super) fn remove(&mut self, peeked: PeekedDatagram) -> Result<(), Errno> {
        match &self.socket {
            Some(socket) if peeked.descriptors => {
                let socket = Arc::clone(socket);
                self.helper = Some(spawn_helper(move || {
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
            // The socket is taken only when this value is dropped.
            None => crate::sys::fs::cwd(),
        }
    }
}

impl Drop for Inbox {
    /// Closing the socket also closes the descriptors in its queue, which may block.
    fn drop(&mut self) {
        // From now on no message is added to the queue.
        let _ = shutdown(self.as_fd().as_raw_fd(), Shutdown::Read);
        let empty = unix::peek_datagram(&*self, &mut []) == Err(Errno::EAGAIN);
        if let Some(socket) = self.socket.take().filter(|_| !empty) {
            // If no thread can be started, the socket is closed by this thread.
            let _ = spawn_helper(move || drop(socket));
        }
    }
}

/// Starts a thread with all signals blocked, so that signals are delivered to the caller's threads only.
fn spawn_helper(work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Errno> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let started = std::thread::Builder::new().name("orlop-notify".to_owned()).spawn(work);
    before.thread_set_mask()?;
    started.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EAGAIN)))
}
