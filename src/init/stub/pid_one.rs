//! The operation `INIT`: PID 1 forwards signals to the container's process, reaps orphans, and exits with the process's
//! status.

use super::abi::{SIGCHLD, WNOHANG};
use super::arch::{nr, syscall};

/// Waits for signals (all are blocked) until the process `child` exits; the status to exit with.
pub fn stay(child: i32) -> i32 {
    let all = [!0u64];
    loop {
        if let Some(status) = reap(child) {
            return status;
        }
        let size = size_of_val(&all) as u64;
        let signal = syscall(nr::RT_SIGTIMEDWAIT, [all.as_ptr() as u64, 0, 0, size, 0, 0]);
        if signal > 0 && signal != SIGCHLD {
            syscall(nr::KILL, [child as u64, signal as u64, 0, 0, 0, 0]);
        }
    }
}

/// Reaps every process that has exited; the shell's status of `child` if it is among them.
fn reap(child: i32) -> Option<i32> {
    let mut exited = None;
    loop {
        let mut status = 0i32;
        let pid = syscall(nr::WAIT4, [!0, (&raw mut status) as u64, WNOHANG, 0, 0, 0]);
        if pid <= 0 {
            return exited;
        }
        if pid == i64::from(child) {
            exited = Some(if status & 0x7f == 0 { status >> 8 & 0xff } else { 128 + (status & 0x7f) });
        }
    }
}
