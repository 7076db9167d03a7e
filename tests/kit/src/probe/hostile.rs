//! Actions of the probe that obstruct the runtime.

use crate::{Value, json, sys};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate, open};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Pid, ftruncate, truncate};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Performs one of these actions; `None` if the name is not one of them.
pub(super) fn act(name: &str, args: &[&str]) -> Option<Value> {
    let arg = |n: usize| args.get(n).copied().unwrap_or("");
    Some(match name {
        "pid" => {
            // Complete or not at all.
            let path = arg(0);
            fs::write(format!("{path}.new"), std::process::id().to_string()).unwrap();
            json!({"pid": fs::rename(format!("{path}.new"), path).is_ok()})
        }
        "stop_others" => stop_others(Duration::from_millis(arg(0).parse().unwrap_or(3_600_000))),
        "bomb" => bomb(),
        "grip" => grip(arg(0), arg(1)),
        "stuck" => json!({"stuck": sys::wait_in_the_kernel().to_string()}),
        _ => return None,
    })
}

/// Stops every process that it may signal, repeatedly.
fn stop_others(time: Duration) -> Value {
    let begun = Instant::now();
    println!("{}", json!({"stops": true}));
    while begun.elapsed() < time {
        let _ = kill(Pid::from_raw(-1), Signal::SIGSTOP);
    }
    json!({"stopped": true})
}

/// Forks as long as it can, and so does each child: as soon as one dies, there is another.
fn bomb() -> Value {
    println!("{}", json!({"forks": true}));
    loop {
        match sys::fork() {
            Err(Errno::EAGAIN) => std::thread::yield_now(),
            Err(error) => return json!({"errno": error.to_string()}),
            Ok(_) => {}
        }
        // Dead children must not count against the limit.
        while sys::reap_one() {}
    }
}

/// CVE-2019-5736: keeps a program open and tries to change it, now and once more after the file `gate` exists. Each
/// line has the results of the attempts by name: an errno, or nothing for success.
fn grip(program: &str, gate: &str) -> Value {
    let kept = match open(program, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(kept) => kept,
        Err(error) => return json!({"kept": format!("{error:?}")}),
    };
    println!("{}", attempts(&[program], &kept));
    while !Path::new(gate).exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    // The name belongs to another program by now.
    attempts(&[], &kept)
}

fn attempts(names: &[&str], kept: &OwnedFd) -> Value {
    let name =
        |result: Result<(), Errno>| result.map_or_else(|error| format!("{error:?}"), |()| String::new());
    let again = format!("/proc/self/fd/{}", kept.as_raw_fd());
    let mut found = serde_json::Map::new();
    let mut note =
        |what: &str, result: Result<(), Errno>| drop(found.insert(what.to_owned(), name(result).into()));
    let flags =
        [("read", OFlag::O_RDONLY), ("update", OFlag::O_RDWR), ("write", OFlag::O_WRONLY | OFlag::O_TRUNC)];
    for (path, whose) in names.iter().map(|path| (*path, "by name")).chain([(again.as_str(), "kept")]) {
        note(&format!("truncate, {whose}"), truncate(path, 0));
        for (how, flags) in flags {
            match open(path, flags | OFlag::O_CLOEXEC, Mode::empty()) {
                Ok(file) => {
                    let file = file.as_fd();
                    let label = |what: &str| format!("{what}, {whose}, opened to {how}");
                    note(&label("pwrite"), nix::sys::uio::pwrite(file, b"changed", 0).map(drop));
                    note(&label("ftruncate"), ftruncate(file, 7));
                    note(&label("fallocate"), fallocate(file, FallocateFlags::empty(), 0, 1 << 20));
                    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                    note(&label("punch"), fallocate(file, punch, 0, 4096));
                    note(&label("map"), sys::change_by_mapping(file, false));
                    note(&label("map, then protect"), sys::change_by_mapping(file, true));
                }
                // What matters is what the descriptor allows.
                Err(error) => note(&format!("open, {whose}, to {how}"), Err(error)),
            }
        }
        // Removing the execute permission is a change as well.
        let mode = Mode::from_bits_truncate(0o600);
        note(
            &format!("chmod, {whose}"),
            fchmodat(nix::fcntl::AT_FDCWD, path, mode, FchmodatFlags::FollowSymlink),
        );
    }
    Value::Object(found)
}
