//! Answers at `start.sock` in place of the init stub, from a process that has got hold of the socket.

use crate::play::{Caller, Said};
use kit::{Case, Container, Score, Test};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::fs::{self, File};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![control_page_of_another_file, control_page_from_another_process, no_answer]
}

/// No such answer may delay `start` longer than this.
const LIMIT: Duration = Duration::from_millis(1500);

/// Starts a container whose socket is answered by `answer`, which returns what it keeps open.
fn started(t: &Test, container: &Container<'_>, answer: impl FnOnce(&UnixStream) -> Option<OwnedFd>) -> Said {
    t.only_orlop("it does not have this socket");
    let place = t.root().join(container.id()).join("start.sock");
    fs::rename(&place, place.with_extension("true")).unwrap();
    let listener = UnixListener::bind(&place).unwrap();
    let caller = Caller::new(t);
    let child = caller.begin(&["start", container.id()]);
    let (stream, _) = listener.accept().unwrap();
    let kept = answer(&stream);
    let said = caller.end(child);
    drop((stream, kept));
    fs::rename(place.with_extension("true"), &place).unwrap();
    said
}

fn send(stream: &UnixStream, file: impl AsFd) {
    let fds = [file.as_fd().as_raw_fd()];
    let control = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(b"s")], &control, MsgFlags::empty(), None).unwrap();
}

/// `start` must refuse the answer at once, and it must still be possible to start the container.
fn refused(t: &Test, what: &str, answer: impl FnOnce(&Container<'_>, &UnixStream) -> Option<OwnedFd>) {
    let mut score = Score::new(t, what);
    let container = t.bundle().probe("exit 7").create();
    let said = started(t, &container, |stream| answer(&container, stream));
    let refused = said.code == 1 && said.stderr.contains("is not the init stub") && said.took < LIMIT;
    score.attempt(
        (!refused).then(|| {
            format!("exit {} after {} ms: {}", said.code, said.took.as_millis(), said.stderr.trim())
        }),
    );
    if container.status() == "created" {
        container.start();
        assert_eq!(container.wait(), 7);
        container.delete();
    } else {
        Caller::new(t).call(&["delete", "--force", container.id()]);
        container.wait();
    }
    score.end();
}

fn control_page_of_another_file(t: &Test) {
    refused(t, "start.sock is answered with another memfd", |_, stream| {
        let path = t.dir().join("page");
        fs::write(&path, [0; 4096]).unwrap();
        let memory = nix::sys::memfd::memfd_create(c"page", nix::sys::memfd::MFdFlags::empty()).unwrap();
        nix::unistd::ftruncate(&memory, 4096).unwrap();
        send(stream, &memory);
        Some(memory)
    });
}

fn control_page_from_another_process(t: &Test) {
    refused(
        t,
        "start.sock is answered with the real control page, by a process that is not the init stub",
        |c, stream| {
            let entries = fs::read_dir(format!("/proc/{}/fd", c.pid())).unwrap().flatten();
            let page = entries
                .map(|entry| entry.path())
                .find(|path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("orlop-plan")))
                .expect("the init stub keeps its control page");
            send(stream, File::open(page).unwrap());
            None
        },
    );
}

fn no_answer(t: &Test) {
    let mut score = Score::new(t, "start.sock is never answered: start times out");
    let container = t.bundle().probe("exit 0").create();
    let said = started(t, &container, |_| None);
    let ended = said.code == 1 && said.stderr.contains("does not answer");
    score.attempt((!ended).then(|| format!("exit {} after {} ms", said.code, said.took.as_millis())));
    Caller::new(t).call(&["delete", "--force", container.id()]);
    container.wait();
    score.end();
}
