//! Between a container, its annotations and the service manager.

use crate::play::Caller;
use kit::criu::Criu;
use kit::{Case, Score, Test, json, within};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        manager_that_does_not_read,
        descriptors_for_the_manager,
        flooded_manager,
        systemd_properties,
        criu_configuration
    ]
}

/// How long a command may wait for a manager.
const LIMIT: Duration = Duration::from_secs(8);
/// How many messages a program sends at once.
const SENT: u64 = 20_000;

/// A manager that never reads, and a program that never stops sending.
fn manager_that_does_not_read(t: &Test) {
    t.only_orlop("others forward other messages");
    let mut score = Score::new(t, "the manager's NOTIFY_SOCKET stays full: run and start do not return");
    let path = t.dir().join("manager");
    let _manager = UnixDatagram::bind(&path).unwrap();
    for verb in ["run", "start"] {
        let bundle = t.bundle().probe(if verb == "run" { "flood 400 , exit 0" } else { "flood 400 , sleep" });
        bundle.write();
        t.adopt(bundle.id());
        let dir = bundle.dir().display().to_string();
        let caller = Caller::new(t).env("NOTIFY_SOCKET", &path.to_string_lossy());
        let pid_file = t.dir().join("pid");
        let mut child = if verb == "run" {
            caller.begin(&["run", "--bundle", &dir, bundle.id()])
        } else {
            let pid = pid_file.to_string_lossy().into_owned();
            caller.call(&["create", "--pid-file", &pid, "--bundle", &dir, bundle.id()]);
            caller.begin(&["start", bundle.id()])
        };
        let begun = Instant::now();
        // `start` waits for READY=1 or the container's exit: the container is killed for it.
        let mut killed = false;
        while child.try_wait().unwrap().is_none() && begun.elapsed() < within(LIMIT) {
            if verb == "start" && begun.elapsed() > within(LIMIT) / 4 && !killed {
                Caller::new(t).call(&["kill", bundle.id(), "KILL"]);
                killed = true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let hangs = child.try_wait().unwrap().is_none();
        let _ = child.kill();
        let _ = child.wait();
        score.attempt(hangs.then(|| format!("{verb} hangs after {} s", within(LIMIT).as_secs())));
        Caller::new(t).call(&["delete", "--force", bundle.id()]);
        reap_orphan(&pid_file);
    }
    score.end();
}

/// A container whose `run` was killed, or that was created, is a child of this process.
fn reap_orphan(pid_file: &std::path::Path) {
    let pid = fs::read_to_string(pid_file).ok().and_then(|text| text.parse().ok());
    if let Some(pid) = pid {
        kit::sys::reap(pid, Duration::from_secs(2));
    }
    let _ = fs::remove_file(pid_file);
}

/// What a manager receives until it is dropped: the number of messages, and the descriptors that came with them.
struct Manager {
    path: String,
    heard: Arc<Mutex<(u64, Vec<String>)>>,
}

impl Manager {
    fn new(t: &Test) -> Self {
        let path = t.dir().join("manager").to_string_lossy().into_owned();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let heard = Arc::new(Mutex::new((0, Vec::new())));
        let theirs = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut text = [0; 9000];
            loop {
                let mut parts = [IoSliceMut::new(&mut text)];
                let mut space = nix::cmsg_space!([std::os::fd::RawFd; 8]);
                let flags = MsgFlags::MSG_CMSG_CLOEXEC;
                let Ok(message) = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)
                else {
                    return;
                };
                let mut links = Vec::new();
                for part in message.cmsgs().into_iter().flatten() {
                    let ControlMessageOwned::ScmRights(fds) = part else { continue };
                    for fd in fds.into_iter().map(kit::sys::own) {
                        let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
                        links.push(link.unwrap_or_default().to_string_lossy().into_owned());
                    }
                }
                let end = message.bytes == 4 && links.is_empty();
                let mut heard = theirs.lock().unwrap();
                heard.0 += 1;
                heard.1.extend(links);
                drop(heard);
                if end && text.starts_with(b"STOP") {
                    return;
                }
            }
        });
        Self { path, heard }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"STOP", &self.path));
    }
}

fn descriptors_for_the_manager(t: &Test) {
    t.only_orlop("others forward other messages");
    let mut score = Score::new(
        t,
        "a container sends a descriptor to the service manager, in a message that may carry one",
    );
    let manager = Manager::new(t);
    let bundle = t.bundle().probe("barrier , barrier , notify READY=1 , barrier , burn 200 , exit 0");
    let call = bundle.command("run", &[]).env("NOTIFY_SOCKET", &manager.path);
    call.output().success();
    let heard = manager.heard.lock().unwrap();
    // The runtime's own barrier is a pipe.
    let foreign = heard.1.iter().find(|link| !link.starts_with("pipe:"));
    score.attempt(foreign.map(|link| format!("the manager got {link} of the container")));
    drop(heard);
    score.end();
}

fn flooded_manager(t: &Test) {
    t.only_orlop("others forward other messages");
    let mut score =
        Score::new(t, "a container sends the service manager 20000 messages at once: all are forwarded");
    let manager = Manager::new(t);
    let bundle = t.bundle().probe(&format!("flood {SENT} , exit 0"));
    bundle.command("run", &[]).env("NOTIFY_SOCKET", &manager.path).output();
    let heard = manager.heard.lock().unwrap().0;
    score.attempt((heard > SENT / 4).then(|| format!("{heard} messages were forwarded")));
    score.end();
}

/// A systemd that refuses every unit, and records each request.
fn systemd(at: &std::path::Path) -> Arc<Mutex<Vec<u8>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let listener = UnixListener::bind(at).unwrap();
    let theirs = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = Arc::clone(&theirs);
            std::thread::spawn(move || converse(stream, &asked));
        }
    });
    asked
}

fn converse(mut stream: UnixStream, asked: &Mutex<Vec<u8>>) {
    let mut line = Vec::new();
    while !line.ends_with(b"BEGIN\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_err() {
            return;
        }
        line.push(byte[0]);
    }
    let _ = stream.write_all(b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n");
    let mut serial = 0u32;
    while let Some(call) = message(&mut stream) {
        serial += 1;
        let has = |word: &[u8]| call.windows(word.len()).any(|bytes| bytes == word);
        let answer = if has(b"StartTransientUnit") {
            asked.lock().unwrap().clone_from(&call);
            reply(serial, &call, Err("org.freedesktop.systemd1.TestRefuses"))
        } else if has(b"Version\0") {
            reply(serial, &call, Ok("252"))
        } else if has(b"ControlGroup\0") {
            reply(serial, &call, Ok("/user.slice"))
        } else {
            reply(serial, &call, Err("org.freedesktop.systemd1.NoSuchUnit"))
        };
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// One message of D-Bus, as bytes.
fn message(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = vec![0; 16];
    stream.read_exact(&mut head).ok()?;
    let length = word(&head, 12).next_multiple_of(8) + word(&head, 4);
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).ok()?;
    head.extend(rest);
    Some(head)
}

/// A reply with a string in a variant, or an error.
fn reply(serial: u32, call: &[u8], answer: Result<&str, &str>) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
        out.push(0);
    };
    let align = |out: &mut Vec<u8>, to: usize| out.resize(out.len().next_multiple_of(to), 0);
    let mut body = Vec::new();
    let (kind, signature) = match answer {
        Ok(value) => {
            body.extend(b"\x01s\0\0");
            text(&mut body, value);
            (2u8, "v")
        }
        Err(_) => {
            text(&mut body, "refused");
            (3, "s")
        }
    };
    let mut fields = Vec::new();
    fields.extend(b"\x05\x01u\0");
    fields.extend(&call[8..12]);
    align(&mut fields, 8);
    if let Err(name) = answer {
        fields.extend(b"\x04\x01s\0");
        text(&mut fields, name);
        align(&mut fields, 8);
    }
    fields.extend(b"\x08\x01g\0\x01");
    fields.extend(signature.as_bytes());
    fields.push(0);
    let mut out = vec![b'l', kind, 1, 1];
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(serial.to_le_bytes());
    out.extend((fields.len() as u32).to_le_bytes());
    out.extend(fields);
    align(&mut out, 8);
    out.extend(body);
    out
}

/// A property that the runtime sets itself, the value in an annotation, and how that value begins on the wire.
const PROPERTIES: [(&str, &str, &[u8]); 6] = [
    ("PIDs", "[uint32 1]", &[4, 0, 0, 0, 1, 0, 0, 0]),
    ("Slice", "'evil.slice'", b"\x0a\0\0\0evil.slice"),
    ("Delegate", "false", &[0, 0, 0, 0]),
    ("TasksMax", "uint64 999999", &999_999u64.to_le_bytes()),
    ("MemoryMax", "uint64 987654321000", &987_654_321_000u64.to_le_bytes()),
    ("DevicePolicy", "'auto'", b"\x04\0\0\0auto"),
];

/// Whether a property in a call has a value with this beginning.
fn has_property(call: &[u8], name: &str, value: &[u8]) -> bool {
    let key = format!("{name}\0");
    let places = call.windows(key.len()).enumerate().filter(|(_, bytes)| *bytes == key.as_bytes());
    places.into_iter().any(|(at, _)| {
        // A variant: its signature, then the value at its own alignment.
        let signature = at + key.len();
        let Some(length) = call.get(signature) else { return false };
        let align = if call.get(signature + 1) == Some(&b't') { 8 } else { 4 };
        let place = (signature + 2 + usize::from(*length)).next_multiple_of(align);
        call.get(place..).is_some_and(|rest| rest.starts_with(value))
    })
}

fn systemd_properties(t: &Test) {
    t.only_orlop("others may read other annotations");
    let what = "org.systemd.property.* replaces what the runtime sets itself (with a simulated systemd)";
    let mut score = Score::new(t, what);
    let home = t.dir().join("home");
    fs::create_dir_all(home.join("systemd")).unwrap();
    let asked = systemd(&home.join("systemd/private"));
    let mut heard = false;
    for (name, value, bytes) in PROPERTIES {
        let bundle = t.bundle().global("--systemd-cgroup").global("--rootless=true").probe("exit 0");
        let bundle = bundle.set("/linux/cgroupsPath", format!("user.slice:test:{}", name.to_lowercase()));
        let bundle = match name {
            "TasksMax" => bundle.set("/linux/resources", json!({"pids": {"limit": 50}})),
            "MemoryMax" => bundle.set("/linux/resources", json!({"memory": {"limit": 100_000_000}})),
            _ => bundle,
        };
        let bundle = bundle.set("/annotations", json!({format!("org.systemd.property.{name}"): value}));
        let call = bundle.command("run", &[]).wrap("cgroup2").env("XDG_RUNTIME_DIR", &home.to_string_lossy());
        let output = call.output();
        assert_ne!(output.code(), 0, "no unit was started");
        if output.stderr.contains("not available on this host") {
            // The limit that the annotation would replace.
            continue;
        }
        let wire = std::mem::take(&mut *asked.lock().unwrap());
        heard |= !wire.is_empty();
        let sent = has_property(&wire, name, bytes);
        score.attempt(sent.then(|| format!("{name} is {value}")));
    }
    // A runtime that refuses all of them makes no request.
    if !heard {
        let bundle = t.bundle().global("--systemd-cgroup").global("--rootless=true").probe("exit 0");
        let bundle = bundle.set("/linux/cgroupsPath", "user.slice:test:plain");
        let call = bundle.command("run", &[]).wrap("cgroup2").env("XDG_RUNTIME_DIR", &home.to_string_lossy());
        let output = call.output();
        assert!(!asked.lock().unwrap().is_empty(), "systemd was never asked: {output}");
    }
    score.end();
}

fn criu_configuration(t: &Test) {
    t.only_orlop("it uses criu in another way");
    let what = "org.criu.config makes criu read a file of the host (with a simulated criu)";
    let mut score = Score::new(t, what);
    let criu = Criu::new(t);
    for path in ["/etc/shadow", "/proc/self/environ", "relative.conf"] {
        for name in ["org.criu.config", "org.criu.config.dump"] {
            let _ = fs::remove_file(t.dir().join("criu/dump"));
            let bundle = t.bundle().set("/annotations", json!({name: path})).probe("sleep");
            let container = bundle.start();
            let words = ["--leave-running", "--empty-ns", "network"];
            let output = criu.found_by(container.command("checkpoint", &words)).output();
            let told = (output.code() == 0).then(|| criu.request("dump").text(51)).flatten();
            score.attempt(told.filter(|told| told == path).map(|told| format!("{name}: criu reads {told}")));
        }
    }
    score.end();
}
