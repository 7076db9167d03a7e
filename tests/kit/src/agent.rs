//! An agent of `SCMP_ACT_NOTIFY`: receives listeners over a socket, and decides in place of the kernel.

use crate::{Test, Value, json, sys};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::io::{IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The agent's reply to a system call, by number.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The kernel executes the call.
    Continue,
    /// The call fails.
    Errno(Errno),
}

/// A running agent, until it is dropped.
pub struct Agent {
    path: PathBuf,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    states: Vec<Value>,
    calls: Vec<(u32, i32)>,
    stop: bool,
}

impl Agent {
    /// Listens in the test's directory; `answer` decides about each call.
    pub fn new(test: &Test, answer: fn(i32) -> Answer) -> Self {
        let path = test.dir().join("agent.sock");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let theirs = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if theirs.lock().unwrap().stop {
                    return;
                }
                let heard = Arc::clone(&theirs);
                std::thread::spawn(move || serve(stream, &heard, answer));
            }
        });
        Self { path, heard }
    }

    /// The value of `listenerPath`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The container process states received, in order.
    pub fn states(&self) -> Vec<Value> {
        self.heard.lock().unwrap().states.clone()
    }

    /// The numbers of the calls that were notified, each with the pid of its process.
    pub fn calls(&self) -> Vec<(u32, i32)> {
        self.heard.lock().unwrap().calls.clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(mut heard) = self.heard.lock() {
            heard.stop = true;
        }
        let _ = UnixStream::connect(&self.path);
    }
}

/// One connection: one state with one descriptor, then the notifications of that descriptor.
fn serve(mut stream: UnixStream, heard: &Mutex<Heard>, answer: fn(i32) -> Answer) {
    let (mut text, fds) = first(&stream);
    let _ = stream.read_to_end(&mut text);
    let state = serde_json::from_slice(&text).unwrap_or_else(|e| json!({"error": e.to_string()}));
    heard.lock().unwrap().states.push(state);
    let [listener] = &fds[..] else { return };
    loop {
        let mut wait = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut wait, PollTimeout::NONE).is_err() {
            continue;
        }
        if !wait[0].revents().is_some_and(|found| found.contains(PollFlags::POLLIN)) {
            return;
        }
        let Ok((id, pid, number)) = sys::notification(listener) else { continue };
        heard.lock().unwrap().calls.push((pid, number));
        let errno = match answer(number) {
            Answer::Continue => None,
            Answer::Errno(errno) => Some(errno),
        };
        sys::answer_notification(listener, id, errno);
    }
}

fn first(stream: &UnixStream) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut text = vec![0; 4096];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 4]);
    let mut parts = [IoSliceMut::new(&mut text)];
    let Ok(message) =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
    else {
        return Default::default();
    };
    let mut fds = Vec::new();
    for part in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(received) = part {
            fds.extend(received.into_iter().map(sys::own));
        }
    }
    let length = message.bytes;
    text.truncate(length);
    (text, fds)
}
