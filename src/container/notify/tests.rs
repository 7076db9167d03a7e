use super::inbox::Inbox;
use super::relay::Notifications;
use crate::ErrorKind;
use crate::sys::{self, unix};
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg, setsockopt, sockopt};
use nix::sys::time::TimeValLike;
use std::ffi::OsStr;
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A manager, a container's program, and the relay between them.
struct Scene {
    directory: PathBuf,
    manager: UnixDatagram,
    program: UnixDatagram,
    ours: Notifications,
}

impl Scene {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("orlop-notify-{name}-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let manager = UnixDatagram::bind(directory.join("manager")).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let fd = sys::fs::openat(sys::fs::cwd(), &sys::fs::cstring(&directory).unwrap(), libc::O_RDONLY, 0);
        let fd = fd.unwrap();
        let ours =
            Notifications::new(Inbox::new(unix::bind_datagram_at(&fd, &fd, c"ours").unwrap())).unwrap();
        let program = UnixDatagram::unbound().unwrap();
        program.connect(directory.join("ours")).unwrap();
        Self { directory, manager, program, ours }
    }

    fn to(&self) -> PathBuf {
        self.directory.join("manager")
    }

    fn send(&self, text: &str) {
        self.program.send(text.as_bytes()).unwrap();
    }

    /// Sends a message with a descriptor.
    fn send_with_descriptor(&self, text: &str, fd: RawFd) {
        let (data, fds) = ([IoSlice::new(text.as_bytes())], [fd]);
        let control = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(self.program.as_raw_fd(), &data, &control, MsgFlags::empty(), None).unwrap();
    }

    fn receive(&self) -> String {
        let mut buffer = [0; 8192];
        let n = self.manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }

    fn has_received_all(&self) -> bool {
        !sys::process::poll_in(&self.manager, 0).unwrap()
    }

    /// Forwards until there is nothing to do for a while. The main process is 7.
    fn forward(&mut self) {
        let to = self.to();
        while sys::process::poll_in(&self.ours, 200).unwrap() {
            self.ours.forward(to.as_os_str(), Some(7)).unwrap();
        }
    }

    /// Fills the manager's queue.
    fn fill(&self) -> u32 {
        let address = UnixAddr::new(self.to().as_path()).unwrap();
        let mut all = 0;
        loop {
            // One sender may have as much under way as it can before the queue is full (`net.unix.max_dgram_qlen`).
            let sock = unix::connect_datagram(&address).unwrap();
            let full = |_: &u32| unix::send_now(&sock, b"X=fill", None) == Err(Errno::EAGAIN);
            match (0..100_000).find(full).unwrap() {
                0 => return all,
                sent => all += sent,
            }
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap()
}

/// Processes that other tests are starting may have a copy for a moment.
fn hangs_up(end: &OwnedFd, within: i32) -> bool {
    sys::process::poll_in(end, within).unwrap()
}

#[test]
fn messages_arrive_at_the_manager() {
    let mut scene = Scene::new("arrive");
    scene.forward();
    assert!(!scene.ours.is_ready() && scene.has_received_all());
    scene.send("STATUS=begins");
    scene.forward();
    assert_eq!(scene.receive(), "STATUS=begins");
    scene.send("READY=1\nMAINPID=1");
    scene.forward();
    assert!(scene.ours.is_ready());
    assert_eq!(scene.receive(), "READY=1\nMAINPID=7");
    // The descriptor is closed after the barrier was read.
    let to = scene.to();
    std::thread::scope(|scope| {
        let manager = scene.manager.try_clone().unwrap();
        let reader = scope.spawn(move || {
            let mut buffer = [0; 100];
            let n = manager.recv(&mut buffer).unwrap();
            buffer[..n].to_vec()
        });
        scene.ours.settle(to.as_os_str()).unwrap();
        assert_eq!(reader.join().unwrap(), b"BARRIER=1");
    });
    scene.send("READY=1");
    let e = scene.ours.forward(OsStr::new("relative"), None).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
}

#[test]
fn messages_are_read_even_if_the_manager_is_gone() {
    let mut scene = Scene::new("gone");
    let missing = scene.directory.join("missing");
    scene.send("READY=1");
    let e = scene.ours.forward(missing.as_os_str(), None).unwrap_err();
    assert!(e.to_string().contains("missing"), "{e}");
    assert!(scene.ours.is_ready(), "even though the manager was not notified");
    let e = scene.ours.settle(missing.as_os_str()).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::ENOENT));
    scene.ours.finish(missing.as_os_str(), None).unwrap();
}

#[test]
fn forwarding_does_not_wait_for_a_full_queue() {
    let mut scene = Scene::new("full");
    let filled = scene.fill();
    let begun = Instant::now();
    scene.send("STATUS=one");
    scene.forward();
    scene.send("READY=1");
    scene.send("STATUS=two");
    scene.forward();
    assert!(scene.ours.is_ready() && begun.elapsed() < Duration::from_secs(3));
    for _ in 0..filled {
        assert_eq!(scene.receive(), "X=fill");
    }
    assert!(scene.has_received_all());
    // The relay notices that there is room without another message.
    scene.forward();
    assert_eq!(scene.receive(), "STATUS=two\nREADY=1\nMAINPID=7", "merged");
    assert!(scene.has_received_all());
}

#[test]
fn waiting_for_a_manager_that_never_reads_is_bounded() {
    let mut scene = Scene::new("never");
    scene.fill();
    let to = scene.to();
    for settle in [false, true] {
        scene.send("READY=1");
        let begun = Instant::now();
        scene.ours.forward(to.as_os_str(), Some(7)).unwrap();
        let done = if settle {
            scene.ours.settle(to.as_os_str())
        } else {
            scene.ours.finish(to.as_os_str(), Some(7))
        };
        assert_eq!(done.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    }
}

/// Reads the manager's messages until it is told to stop.
fn reading(manager: UnixDatagram) -> (Sender<()>, JoinHandle<Vec<String>>) {
    let (stop, stopped) = std::sync::mpsc::channel();
    manager.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let reader = std::thread::spawn(move || {
        let (mut buffer, mut received) = ([0; 8192], Vec::new());
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            if let Ok(n) = manager.recv(&mut buffer) {
                received.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
            }
        }
        received
    });
    (stop, reader)
}

/// The processor time of this thread.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let micro = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micro.unsigned_abs())
}

#[test]
fn a_flood_is_limited_and_ready_is_forwarded() {
    const FLOOD: u32 = 20_000;
    let mut scene = Scene::new("flood");
    let (stop, reader) = reading(scene.manager.try_clone().unwrap());
    let program = scene.program.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        for n in 0..FLOOD {
            program.send(format!("STATUS={n}\nWATCHDOG=1").as_bytes()).unwrap();
        }
        program.send(b"READY=1").unwrap();
    });
    let (begun, mut turns, before, to) = (Instant::now(), 0, used(), scene.to());
    while !scene.ours.is_ready() {
        assert!(sys::process::poll_in(&scene.ours, 10_000).unwrap());
        scene.ours.forward(to.as_os_str(), Some(7)).unwrap();
        turns += 1;
    }
    let (took, used) = (begun.elapsed(), used().saturating_sub(before));
    scene.forward();
    flood.join().unwrap();
    stop.send(()).unwrap();
    let received = reader.join().unwrap();
    let last = received.last().unwrap();
    assert!(received.iter().any(|text| text.contains("READY=1\nMAINPID=7")), "{last:?}");
    assert!(received.iter().any(|text| text.contains(&format!("STATUS={}", FLOOD - 1))), "{last:?}");
    // The burst, then one per 50 ms; messages are read once per millisecond. Both bounds have some tolerance.
    let millis = took.as_millis();
    assert!(received.len() as u128 <= 44 + millis / 50, "{} in {millis} ms", received.len());
    assert!(turns <= 50 + millis * 11 / 10, "{turns} turns in {millis} ms");
    assert!(used <= took / 2, "{used:?} of {took:?}");
}

#[test]
fn a_barrier_is_answered_after_earlier_messages_are_forwarded() {
    let mut scene = Scene::new("barrier");
    let (ours, theirs) = pipe();
    scene.send_with_descriptor("BARRIER=1", theirs.as_raw_fd());
    drop(theirs);
    assert!(!hangs_up(&ours, 50), "the message has a copy of it");
    scene.forward();
    assert!(hangs_up(&ours, 5000) && scene.has_received_all(), "the barrier is not forwarded");

    let filled = scene.fill();
    let (ours, theirs) = pipe();
    scene.send("STATUS=before");
    scene.send_with_descriptor("BARRIER=1", theirs.as_raw_fd());
    drop(theirs);
    scene.forward();
    assert!(!hangs_up(&ours, 50), "the manager has not received the earlier message");
    for _ in 0..filled {
        scene.receive();
    }
    scene.forward();
    assert_eq!(scene.receive(), "STATUS=before");
    assert!(hangs_up(&ours, 5000));

    // If the manager never reads, the barrier is answered after a few seconds.
    scene.fill();
    let (ours, theirs) = pipe();
    scene.send("STATUS=before");
    scene.send_with_descriptor("BARRIER=1", theirs.as_raw_fd());
    scene.send("READY=1");
    drop(theirs);
    let (begun, to) = (Instant::now(), scene.to());
    while !scene.ours.is_ready() {
        assert!(sys::process::poll_in(&scene.ours, 10_000).unwrap());
        scene.ours.forward(to.as_os_str(), Some(7)).unwrap();
    }
    assert!(hangs_up(&ours, 5000) && begun.elapsed() < Duration::from_secs(9));
}

#[test]
fn descriptors_of_the_program_are_not_forwarded() {
    let mut scene = Scene::new("descriptors");
    let passes_rights = |scene: &Scene| {
        let mut buffer = [0; 100];
        let seen = unix::peek_datagram(&scene.manager, &mut buffer).unwrap();
        scene.receive();
        seen.descriptors
    };
    let (ours, theirs) = pipe();
    for text in ["FDSTORE=1\nSTATUS=x", "STATUS=y", "READY=1"] {
        scene.send_with_descriptor(text, theirs.as_raw_fd());
        scene.forward();
        assert!(!passes_rights(&scene), "{text}");
    }
    drop(theirs);
    assert!(hangs_up(&ours, 5000), "and none remains here");
}

/// A connection that closes only after its peer has read everything, or after a timeout.
fn lingering() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    while (&ours).write(&[0; 1 << 12]).is_ok() {}
    ours.set_nonblocking(false).unwrap();
    setsockopt(&ours, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 20 }).unwrap();
    (ours, theirs)
}

#[test]
fn a_descriptor_that_takes_long_to_close_does_not_block() {
    let mut scene = Scene::new("linger");
    let (ours, mut theirs) = lingering();
    scene.send_with_descriptor("STATUS=long", ours.as_raw_fd());
    drop(ours);
    let (begun, to) = (Instant::now(), scene.to());
    scene.ours.forward(to.as_os_str(), None).unwrap();
    assert_eq!(scene.receive(), "STATUS=long");
    scene.send("READY=1");
    scene.ours.forward(to.as_os_str(), None).unwrap();
    let (another, mut other) = lingering();
    scene.send_with_descriptor("STATUS=last", another.as_raw_fd());
    drop(another);
    // One is still being closed; the other is in the queue and is closed with the socket.
    let ours = std::mem::replace(&mut scene.ours, Scene::new("linger-2").into_ours());
    drop(ours);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for stream in [&mut theirs, &mut other] {
        stream.set_nonblocking(false).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

impl Scene {
    fn into_ours(mut self) -> Notifications {
        let fd = sys::fs::openat(
            sys::fs::cwd(),
            &sys::fs::cstring(&self.directory).unwrap(),
            libc::O_RDONLY | libc::O_DIRECTORY,
            0,
        )
        .unwrap();
        let inbox = Inbox::new(unix::bind_datagram_at(&fd, &fd, c"other").unwrap());
        std::mem::replace(&mut self.ours, Notifications::new(inbox).unwrap())
    }
}

#[test]
fn all_users_can_write_to_the_socket_and_to_no_other_file() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
    let scene = Scene::new("modes");
    let canary = scene.directory.join("canary");
    std::fs::write(&canary, "").unwrap();
    std::fs::set_permissions(&canary, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::create_dir(scene.directory.join("seen")).unwrap();
    symlink(&canary, scene.directory.join("seen/s")).unwrap();
    let open = |path: PathBuf| sys::fs::openat(sys::fs::cwd(), &sys::fs::cstring(path).unwrap(), 0, 0);
    let private = open(scene.directory.clone()).unwrap();
    let seen = open(scene.directory.join("seen")).unwrap();
    let socket = unix::bind_datagram_at(&private, &seen, c"s").unwrap();
    let there = std::fs::symlink_metadata(scene.directory.join("seen/s")).unwrap();
    assert!(there.file_type().is_socket() && there.mode() & 0o7777 == 0o777);
    assert_eq!(std::fs::metadata(&canary).unwrap().mode() & 0o7777, 0o600);
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"x", scene.directory.join("seen/s")).unwrap();
    assert!(sys::process::poll_in(socket.as_fd(), 0).unwrap());
    let names: Vec<_> =
        std::fs::read_dir(&scene.directory).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(names.len(), 4, "no temporary name remains: {names:?}");
}
