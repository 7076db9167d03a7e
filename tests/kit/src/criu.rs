//! A simulated criu that dumps and restores nothing: it records its requests, and replies as criu does. A
//! "restored" process is the probe, a child of criu's own parent as a real one would be.

use crate::{Runtime, Test, bundle, sys};
use nix::sys::socket::{ControlMessage, MsgFlags, recv, send, sendmsg};
use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The variable with the directory in which requests are recorded and replies are found.
const DIRECTORY: &str = "ORLOP_TEST_CRIU";

/// A simulated criu in a directory of the test.
pub struct Criu {
    dir: PathBuf,
}

impl Criu {
    /// Installs it.
    pub fn new(test: &Test) -> Self {
        let dir = test.dir().join("criu");
        fs::create_dir_all(dir.join("bin")).unwrap();
        for program in ["bin/criu", "bin/probe"].map(|name| dir.join(name)) {
            if !program.exists() {
                fs::hard_link(bundle::probe(), program).unwrap();
            }
        }
        Self { dir }
    }

    /// Makes it visible to a call of the runtime.
    pub fn found_by<'t>(&self, call: Runtime<'t>) -> Runtime<'t> {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.dir.join("bin").display());
        call.env("PATH", &path).env(DIRECTORY, self.dir.to_str().unwrap())
    }

    /// The program, and the environment that it needs.
    pub fn program(&self) -> (PathBuf, Vec<(String, String)>) {
        let env = vec![(DIRECTORY.to_owned(), self.dir.to_string_lossy().into_owned())];
        (self.dir.join("bin/criu"), env)
    }

    /// Sets an option of its behaviour, see [`main`].
    pub fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.dir.join(name), text).unwrap();
        self
    }

    /// A request that it received: `dump`, `restore` or `pre-dump`.
    pub fn request(&self, kind: &str) -> Message {
        Message(fs::read(self.dir.join(kind)).unwrap_or_else(|error| panic!("no {kind}: {error}")))
    }
}

/// Skips if the real criu(8) does not work here. One test at a time may use it: it inspects the whole machine, and
/// is slow on an emulated one.
pub fn real() -> MutexGuard<'static, ()> {
    static WORKS: OnceLock<Result<(), String>> = OnceLock::new();
    let works = WORKS.get_or_init(|| {
        let said = |output: &[u8]| String::from_utf8_lossy(output).lines().last().unwrap_or("").to_owned();
        match Command::new("criu").arg("check").output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("criu check fails: {}", said(&output.stderr))),
            Err(error) => Err(format!("no criu: {error}")),
        }
    });
    if let Err(why) = works {
        crate::skip(why.clone());
    }
    // criu blocks network traffic by rules, also in a namespace without devices.
    if Command::new("iptables-restore").arg("--version").output().is_err() {
        crate::skip("no iptables-restore for criu");
    }
    turn()
}

/// A running criu changes the options of the host's cgroup2 file system for a moment.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message of criu's protocol.
pub struct Message(Vec<u8>);

impl Message {
    /// Every value of a field, raw: the bytes of a string or message, those of a number little-endian.
    pub fn all(&self, field: u64) -> Vec<Vec<u8>> {
        let mut rest = &self.0[..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let key = number(&mut rest);
            let value = number(&mut rest);
            let bytes = match key & 7 {
                0 => value.to_le_bytes().to_vec(),
                _ => rest.split_off(..value as usize).unwrap().to_vec(),
            };
            if key >> 3 == field {
                found.push(bytes);
            }
        }
        found
    }

    /// A number; `None` if the field is missing.
    pub fn number(&self, field: u64) -> Option<u64> {
        self.all(field).pop().map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
    }

    /// A string; `None` if the field is missing.
    pub fn text(&self, field: u64) -> Option<String> {
        self.all(field).pop().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// Messages.
    pub fn messages(&self, field: u64) -> Vec<Self> {
        self.all(field).into_iter().map(Self).collect()
    }

    /// Pairs of strings: mounts, cgroups, namespaces.
    pub fn pairs(&self, field: u64) -> Vec<(String, String)> {
        let text = |m: &Self, field| m.text(field).unwrap_or_default();
        self.messages(field).iter().map(|pair| (text(pair, 1), text(pair, 2))).collect()
    }
}

fn number(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().unwrap();
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put(out, field << 3);
    put(out, value);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    put(out, field << 3 | 2);
    put(out, value.len() as u64);
    out.extend_from_slice(value);
}

const DUMP: u64 = 1;
const RESTORE: u64 = 2;
const PRE_DUMP: u64 = 4;
const NOTIFY: u64 = 6;
const FEATURES: u64 = 9;
const VERSION: u64 = 10;

/// `criu swrk FD`. Files of [`Criu::with`]: `version` (three numbers), `missing` (features), `fail` (with this
/// message), `hang` (for ever, after a request), `init` (the probe's words), `terminal` (it is sent), `die` (at the
/// first request), `mounts` (cgroup2 without options, as criu does).
pub fn main(words: &[String]) -> ExitCode {
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
    let said = |name: &str| fs::read_to_string(directory.join(name)).ok();
    let socket: RawFd = words[1].parse().unwrap();
    while let Some(request) = receive(socket) {
        let kind = request.number(1).unwrap();
        let mut answer = Vec::new();
        put_number(&mut answer, 1, kind);
        match kind {
            _ if said("die").is_some() => return ExitCode::FAILURE,
            VERSION => {
                put_number(&mut answer, 2, 1);
                let version = said("version").unwrap_or_else(|| "4 1 1".into());
                let mut inner = Vec::new();
                for (field, word) in [1, 2, 4].into_iter().zip(version.split(' ')) {
                    put_number(&mut inner, field, word.parse().unwrap());
                }
                put_bytes(&mut answer, 10, &inner);
            }
            FEATURES => {
                put_number(&mut answer, 2, 1);
                let mut inner = Vec::new();
                for field in [1, 2] {
                    put_number(&mut inner, field, said("missing").is_none().into());
                }
                put_bytes(&mut answer, 8, &inner);
            }
            _ => {
                let done = work(&directory, socket, kind, &request, &said);
                put_number(&mut answer, 2, done.is_ok().into());
                match done {
                    Ok(Some(pid)) => {
                        let mut inner = Vec::new();
                        put_number(&mut inner, 1, pid);
                        put_bytes(&mut answer, 4, &inner);
                    }
                    Ok(None) => {}
                    Err(text) => put_bytes(&mut answer, 9, text.as_bytes()),
                }
            }
        }
        if send(socket, &answer, MsgFlags::MSG_NOSIGNAL).is_err() {
            return ExitCode::FAILURE; // The caller has exited.
        }
        if kind != VERSION && kind != FEATURES {
            break;
        }
    }
    ExitCode::SUCCESS
}

fn receive(socket: RawFd) -> Option<Message> {
    let mut buffer = vec![0; 1 << 16];
    // A caller that has exited makes no more requests.
    let n = recv(socket, &mut buffer, MsgFlags::empty()).unwrap_or(0);
    buffer.truncate(n);
    (n > 0).then_some(Message(buffer))
}

/// Dumps or restores; returns the restored process, or an error.
fn work(
    directory: &Path,
    socket: RawFd,
    kind: u64,
    request: &Message,
    said: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<u64>, String> {
    let options = request.messages(2).pop().unwrap();
    let name = match kind {
        DUMP => "dump",
        RESTORE => "restore",
        PRE_DUMP => "pre-dump",
        other => return Err(format!("request {other}")),
    };
    fs::write(directory.join(name), &options.0).unwrap();
    if said("mounts").is_some() {
        mount_cgroups(&directory.join("yard"));
    }
    if said("hang").is_some() {
        fs::write(directory.join("pid"), std::process::id().to_string()).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
    if let Some(text) = said("fail").filter(|_| kind != RESTORE) {
        return Err(text);
    }
    let notified = |script: &str, pid: u64, fd: Option<RawFd>| notify(socket, script, pid, fd);
    if kind != RESTORE {
        if options.number(48).is_some() {
            notified("status-ready", 0, None)?;
        }
        if kind == DUMP && options.number(3).is_none() {
            sys::kill(options.number(2).unwrap() as i32, 9);
        }
        return Ok(None);
    }
    restore(directory, socket, said).map(Some)
}

/// Creates the restored process, and notifies the caller of each stage.
fn restore(directory: &Path, socket: RawFd, said: &dyn Fn(&str) -> Option<String>) -> Result<u64, String> {
    let notified = |script: &str, pid: u64, fd: Option<RawFd>| notify(socket, script, pid, fd);
    let words = said("init").unwrap_or_else(|| "sleep".into());
    // A restored process is stopped until the operation is complete.
    // It has its name from the start: a test may end before it executes a program.
    fs::write("/proc/self/comm", "probe").unwrap();
    let (gate, open) = nix::unistd::pipe().unwrap();
    let Some(pid) = sys::clone_sibling() else {
        use std::os::unix::process::CommandExt;
        drop(open);
        let _ = nix::unistd::read(&gate, &mut [0]);
        drop(gate);
        let error = Command::new(directory.join("bin/probe")).args(words.split_whitespace()).exec();
        panic!("{error}");
    };
    let serve = || {
        if let Some(text) = said("fail") {
            return Err(text);
        }
        notified("setup-namespaces", pid, None)?;
        if said("terminal").is_some() {
            let (master, _slave) = sys::open_pty();
            notified("orphan-pts-master", 0, Some(master.as_raw_fd()))?;
        }
        notified("post-restore", pid, None)
    };
    match serve() {
        Ok(()) => Ok(pid),
        Err(text) => {
            sys::kill(pid as i32, 9);
            Err(text)
        }
    }
}

fn mount_cgroups(yard: &Path) {
    use nix::mount::{MsFlags, mount, umount};
    let none = None::<&str>;
    fs::create_dir_all(yard).unwrap();
    mount(Some("none"), yard, Some("cgroup2"), MsFlags::empty(), none).unwrap();
    umount(yard).unwrap();
}

fn notify(socket: RawFd, script: &str, pid: u64, fd: Option<RawFd>) -> Result<(), String> {
    let (mut notice, mut message) = (Vec::new(), Vec::new());
    put_bytes(&mut notice, 1, script.as_bytes());
    if pid != 0 {
        put_number(&mut notice, 2, pid);
    }
    put_number(&mut message, 1, NOTIFY);
    put_number(&mut message, 2, 1);
    put_bytes(&mut message, 5, &notice);
    let fds: Vec<RawFd> = fd.into_iter().collect();
    let control = [ControlMessage::ScmRights(&fds)];
    let control = if fds.is_empty() { &[][..] } else { &control };
    sendmsg::<()>(socket, &[IoSlice::new(&message)], control, MsgFlags::MSG_NOSIGNAL, None)
        .map_err(|_| "the caller has exited")?;
    let answer = receive(socket).ok_or("the caller has exited")?;
    if answer.number(3) == Some(1) { Ok(()) } else { Err(format!("{script} was refused")) }
}
