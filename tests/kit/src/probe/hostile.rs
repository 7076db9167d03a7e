//! What the probe does to be in the way.

use crate::{Value, json, sys};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::{Duration, Instant};

/// Does one of these actions; `None` if it is none of them.
pub(super) fn act(name: &str, args: &[&str]) -> Option<Value> {
    let arg = |n: usize| args.get(n).copied().unwrap_or("");
    Some(match name {
        "pid" => {
            // Whole or not at all.
            let path = arg(0);
            fs::write(format!("{path}.new"), std::process::id().to_string()).unwrap();
            json!({"pid": fs::rename(format!("{path}.new"), path).is_ok()})
        }
        "stop_others" => stop_others(Duration::from_millis(arg(0).parse().unwrap_or(3_600_000))),
        "bomb" => bomb(),
        "stuck" => json!({"stuck": sys::wait_in_the_kernel().to_string()}),
        _ => return None,
    })
}

/// Stops every process that it may signal, again and again.
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
        // What has died is not to count.
        while sys::reap_one() {}
    }
}
