//! What a hostile process does in a container.

use super::prowl;
use crate::{json, sys};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::time::{Duration, Instant};

/// Does one action, mostly for ever; `false` for a word of others.
pub(super) fn act(name: &str, args: &[&str]) -> bool {
    let arg = |n: usize| args.get(n).copied().unwrap_or("");
    match name {
        "swing" => swing(arg(0), arg(1), arg(2) == "exchange"),
        "prowl" => prowl::prowl(arg(0), u64::from_str_radix(arg(1), 16).unwrap_or(0)),
        "stop" => stop_all(),
        "fan" => fan(arg(0), arg(1).parse().unwrap_or(1)),
        _ => return false,
    }
    true
}

/// Renames `a` to `b` and back, or exchanges the two, for ever. How long each state lasts differs, so that
/// whatever another process does meets every moment of it.
fn swing(a: &str, b: &str, exchange: bool) {
    let flags = if exchange { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::empty() };
    println!("{}", json!({"ready": true}));
    let mut dice = 0x2545_f491u64 ^ u64::from(std::process::id());
    loop {
        for (from, to) in [(a, b), (b, a)] {
            // What the victim has made in the meantime is in the way once: it is empty.
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

/// Stops every other process that it can see, again and again.
fn stop_all() {
    println!("{}", json!({"ready": true}));
    loop {
        sys::kill(-1, libc::SIGSTOP);
    }
}

/// Directories in each other, `depth` deep.
fn fan(dir: &str, depth: usize) {
    let mut path = std::path::PathBuf::from(dir);
    let mut errno = 0;
    for _ in 0..depth {
        path.push("d");
        if let Err(error) = std::fs::create_dir(&path) {
            errno = error.raw_os_error().unwrap_or(0);
            break;
        }
    }
    println!("{}", json!({"made": errno == 0, "errno": errno}));
}
