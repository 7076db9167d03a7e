//! Unread output of the runtime does not block a command, no matter if a manager, an agent, a reader or the
//! container fails to read it.

use kit::{Bundle, Case, Pty, Test, json};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, listen,
    sendmsg, socket,
};
use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_full_manager_does_not_block_run,
        a_full_manager_does_not_block_start,
        a_missing_manager_does_not_block_start,
        a_flood_of_messages_is_limited,
        a_listener_that_never_accepts_is_timed_out,
        an_agent_that_reads_too_slowly_is_timed_out,
        an_unanswered_start_is_timed_out,
        a_start_answered_by_another_process_is_refused,
        a_full_status_descriptor_is_timed_out,
        an_unread_terminal_does_not_stop_signals,
        an_unread_pipe_does_not_stop_signals,
        all_output_reaches_a_slow_reader,
    ]
}

/// A manager whose queue is full and that does not read.
fn full_manager(t: &Test) -> (UnixDatagram, PathBuf) {
    let path = t.dir().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    // One sender may have only so much in flight: systemd sets `net.unix.max_dgram_qlen` to 512, so several senders
    // fill the queue.
    loop {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        if sender.send_to(b"X=full", &path).is_err() {
            return (manager, path);
        }
        while sender.send_to(b"X=full", &path).is_ok() {}
    }
}

fn create(bundle: &Bundle<'_>, t: &Test, manager: &Path) -> i32 {
    let pid_file = t.dir().join("pid");
    let call = bundle.command("create", &["--pid-file", pid_file.to_str().unwrap()]);
    call.env("NOTIFY_SOCKET", manager.to_str().unwrap()).output().success();
    fs::read_to_string(pid_file).unwrap().parse().unwrap()
}

fn end(t: &Test, bundle: &Bundle<'_>, pid: i32) {
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, Duration::from_secs(5));
}

fn a_full_manager_does_not_block_run(t: &Test) {
    t.only_orlop("others forward READY=1 alone, or nothing");
    let (manager, path) = full_manager(t);
    let bundle = t.bundle().probe("notify STATUS=a , notify READY=1 , say up , signals");
    let running = bundle.command("run", &[]).env("NOTIFY_SOCKET", path.to_str().unwrap()).spawn();
    running.wait_for("up");
    running.wait_for("ready");
    // Signals are still forwarded, and `run` exits with the container.
    running.signal(libc::SIGUSR1);
    running.wait_for(&format!("\"signal\":{}", libc::SIGUSR1));
    let begun = Instant::now();
    running.signal(libc::SIGUSR2);
    let output = running.wait().success();
    assert!(begun.elapsed() < kit::within(Duration::from_secs(5)), "{:?}", begun.elapsed());
    assert!(output.stderr.contains("does not read"), "{output}");
    drop(manager);
}

fn a_full_manager_does_not_block_start(t: &Test) {
    t.only_orlop("others forward READY=1 alone, or nothing");
    let (_manager, path) = full_manager(t);
    let bundle = t.bundle().probe("notify READY=1 , sleep");
    let pid = create(&bundle, t, &path);
    let output =
        t.runtime(["start", bundle.id()]).env("NOTIFY_SOCKET", path.to_str().unwrap()).output().success();
    assert!(
        output.took < kit::within(Duration::from_secs(15)) && output.stderr.contains("does not read"),
        "{output}"
    );
    end(t, &bundle, pid);
}

fn a_missing_manager_does_not_block_start(t: &Test) {
    t.only_orlop("others fail");
    let nowhere = t.dir().join("nowhere");
    let bundle = t.bundle().probe("notify READY=1 , sleep");
    let pid = create(&bundle, t, &nowhere);
    let output = t.runtime(["start", bundle.id()]).env("NOTIFY_SOCKET", nowhere.to_str().unwrap()).output();
    let output = output.success();
    assert_eq!(output.stderr.matches("notify the service manager").count(), 1, "{output}");
    end(t, &bundle, pid);
}

fn cpu_of(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn memory_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The length of the flood, in messages.
const FLOOD: u32 = 100_000;

fn a_flood_of_messages_is_limited(t: &Test) {
    t.only_orlop("others forward READY=1 alone, or nothing");
    let path = t.dir().join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
    let words = format!("flood {FLOOD} , notify READY=1 , signals");
    let bundle = t.bundle().probe(&words);
    let running = bundle.command("run", &[]).env("NOTIFY_SOCKET", path.to_str().unwrap()).spawn();
    let (begun, mut heard, mut buffer) = (Instant::now(), 0, [0; 8192]);
    let (mut last, mut before) = (String::new(), None);
    loop {
        let n =
            manager.recv(&mut buffer).unwrap_or_else(|e| panic!("not ready: {e}, {heard} messages, {last}"));
        assert!(n < 4096, "{n} bytes");
        last = String::from_utf8_lossy(&buffer[..n]).into_owned();
        before.get_or_insert_with(|| memory_of(running.pid()));
        heard += 1;
        if last.contains("READY=1") {
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert!(last.contains(&format!("MAINPID={}", running.pid())), "{last}");
    assert!(f64::from(heard) < 40.0 + 20.0 * (seconds + 1.0), "{heard} messages in {seconds} s");
    let (cpu, memory) = (cpu_of(running.pid()), memory_of(running.pid()));
    // On an emulated processor the system call is what is slow.
    let share = if kit::slowness() > 1 { 0.8 } else { 0.4 };
    assert!(cpu < 0.2 + share * seconds, "{cpu} s of {seconds} s");
    let before = before.unwrap();
    assert!(memory <= before + 2048, "from {before} kB to {memory} kB");
    running.wait_for("ready");
    running.signal(libc::SIGUSR2);
    running.wait().success();
}

/// A listening socket whose queue stays full.
fn listener_with_full_backlog(path: &Path) -> (OwnedFd, Vec<OwnedFd>) {
    let stream = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    let listener = stream(SockFlag::SOCK_CLOEXEC);
    let address = UnixAddr::new(path).unwrap();
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let mut queue = Vec::new();
    loop {
        let one = stream(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        if connect(one.as_raw_fd(), &address).is_err() {
            return (listener, queue);
        }
        queue.push(one);
    }
}

fn a_listener_that_never_accepts_is_timed_out(t: &Test) {
    t.only_orlop("others wait");
    let path = t.dir().join("deaf");
    let _deaf = listener_with_full_backlog(&path);
    let path = path.to_str().unwrap();
    let terminal = t.bundle().set("/process/terminal", true).probe("sleep");
    let plain = t.bundle().probe("sleep");
    let asked = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    });
    let notifying = t.bundle().set("/linux/seccomp", asked).probe("exit 0");
    let running = [
        (terminal.command("create", &["--console-socket", path]).spawn(), "console socket"),
        (plain.command("create", &["--pidfd-socket", path]).spawn(), "pidfd socket"),
        (notifying.command("run", &[]).spawn(), "seccomp agent"),
    ];
    for (running, what) in running {
        let output = running.wait().refused(&[what, path, "timed out"]);
        assert!(output.took < kit::within(Duration::from_secs(20)), "{output}");
    }
    for bundle in [terminal, plain, notifying] {
        assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
    }
}

/// The agent reads just enough for each single write to make progress.
fn an_agent_that_reads_too_slowly_is_timed_out(t: &Test) {
    t.only_orlop("it may have been built without support");
    let path = t.dir().join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).is_ok_and(|n| n > 0) {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let asked = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    });
    let bundle =
        t.bundle().set("/linux/seccomp", asked).set("/annotations", json!({"long": "x".repeat(8 << 20)}));
    let output = bundle.probe("exit 0").try_run().refused(&["seccomp agent", "timed out"]);
    assert!(output.took < kit::within(Duration::from_secs(20)), "{output}");
}

/// Replaces the socket on which the container waits for `start`.
fn usurp(t: &Test, id: &str) -> UnixListener {
    let path = t.root().join(id).join("start.sock");
    fs::remove_file(&path).unwrap();
    UnixListener::bind(path).unwrap()
}

fn an_unanswered_start_is_timed_out(t: &Test) {
    t.only_orlop("others have other files");
    let container = t.bundle().probe("exit 0").create();
    let _deaf = usurp(t, container.id());
    let output = container.command("start", &[]).output().refused(&["does not answer", container.id()]);
    assert!(output.took < kit::within(Duration::from_secs(20)), "{output}");
    container.command("delete", &["--force"]).output().success();
}

fn a_start_answered_by_another_process_is_refused(t: &Test) {
    t.only_orlop("others have other files");
    let container = t.bundle().probe("exit 0").create();
    let listener = usurp(t, container.id());
    // A file on a disk, or a FIFO that keeps its reader waiting, which claims success.
    let file = t.dir().join("page");
    let mut page = File::create_new(&file).unwrap();
    page.write_all(&[1; 4096]).unwrap();
    let fifo = t.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fs::OpenOptions::new().read(true).write(true).open(fifo).unwrap();
    let in_memory =
        nix::sys::statfs::fstatfs(&page).unwrap().filesystem_type() == nix::sys::statfs::TMPFS_MAGIC;
    let files: Vec<File> = if in_memory { vec![fifo] } else { vec![page, fifo] };
    for file in files {
        let start = container.command("start", &[]).spawn();
        let (stream, _) = listener.accept().unwrap();
        let (data, fds) = ([IoSlice::new(b"x")], [file.as_raw_fd()]);
        let control = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(stream.as_raw_fd(), &data, &control, MsgFlags::MSG_NOSIGNAL, None).unwrap();
        start.wait().refused(&["is not the init stub", container.id()]);
    }
    container.command("delete", &["--force"]).output().success();
}

/// The byte for lazy pages is written to a pipe that is full.
fn a_full_status_descriptor_is_timed_out(t: &Test) {
    t.only_orlop("it looks for criu in another way");
    let criu = kit::criu::Criu::new(t);
    let path = t.dir().join("status");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&fifo, flags).unwrap();
    while (&fifo).write(&[0; 512]).is_ok() {}
    let container = t.bundle().probe("sleep").start();
    let call = container.command("checkpoint", &["--lazy-pages", "--leave-running", "--status-fd", "3"]);
    let output = criu.found_by(call).wrap(&format!("wfd={}", path.display())).output();
    let output = output.refused(&["status fd", "timed out"]);
    assert!(output.took < kit::within(Duration::from_secs(20)), "{output}");
    assert_eq!(container.status(), "running");
}

/// The master of the caller's terminal is not read: output piles up, and signals are still forwarded.
fn an_unread_terminal_does_not_stop_signals(t: &Test) {
    let (mut master, slave) = Pty::open();
    // The first process of a pid namespace would ignore the signal.
    let bundle = t.bundle().without_namespace("pid").set("/process/terminal", true);
    let bundle = bundle.probe("say begins , pour 4096 , exit 3");
    let copy = || slave.try_clone().unwrap();
    let mut running = bundle.command("run", &[]).wrap("terminal").stdio(copy(), copy(), copy()).spawn();
    master.read_until("begins");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!running.has_ended(), "its output has not been read");
    let begun = Instant::now();
    running.signal(libc::SIGTERM);
    running.wait().exits(143);
    assert!(begun.elapsed() < kit::within(Duration::from_secs(5)), "{:?}", begun.elapsed());
    drop(master);
}

/// The container has exited, and its output waits for room in a pipe: a signal terminates the command.
fn an_unread_pipe_does_not_stop_signals(t: &Test) {
    t.only_orlop("others handle signals in other ways");
    let (reader, writer) = std::io::pipe().unwrap();
    let size = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETPIPE_SZ).unwrap() as usize;
    (&writer).write_all(&vec![b'x'; size]).unwrap();
    let bundle = t.bundle().set("/process/terminal", true).probe("say rest , exit 7");
    let (_master, slave) = Pty::open();
    let copy = || slave.try_clone().unwrap();
    let run = bundle.command("run", &["--pid-file", "pid"]).wrap("terminal").stdio(copy(), writer, copy());
    let mut running = run.spawn();
    t.wait_for("the container to exit", || {
        let status = t.runtime(["state", bundle.id()]).output();
        status.code() == 0 && status.document()["status"] == "stopped"
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!running.has_ended(), "the pipe has not been read");
    running.signal(libc::SIGTERM);
    running.wait().exits(7);
    drop(reader);
}

/// With a slow reader no output is lost.
fn all_output_reaches_a_slow_reader(t: &Test) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let bundle = t.bundle().set("/process/terminal", true).probe("pour 600 , say last , exit 5");
    let (_master, slave) = Pty::open();
    let copy = || slave.try_clone().unwrap();
    let running = bundle.command("run", &[]).wrap("terminal").stdio(copy(), writer, copy()).spawn();
    std::thread::sleep(Duration::from_millis(300));
    let (mut all, mut part) = (Vec::new(), [0; 7000]);
    loop {
        match reader.read(&mut part).unwrap() {
            0 => break,
            n => all.extend_from_slice(&part[..n]),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    running.wait().exits(5);
    let text = String::from_utf8_lossy(&all);
    assert_eq!(text.matches('~').count(), 600 << 10);
    assert!(text.contains("last"));
}
