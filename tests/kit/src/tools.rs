//! Third-party programs that a test needs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Makes sure that a program exists: if it is missing, Debian's package is installed, if this is root on a Debian
/// machine with a network. Otherwise the test is skipped.
pub fn needs(program: &str, package: &str) {
    static TURN: Mutex<()> = Mutex::new(());
    if is_there(program) {
        return;
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_there(program) {
        install(package);
    }
    drop(turn);
    if !is_there(program) {
        crate::skip(format!("{program} is not installed"));
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn install(package: &str) {
    // The machine of tests/vm has no network.
    if !nix::unistd::geteuid().is_root() || Path::new("/guest/ctl").exists() {
        return;
    }
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.arg("-qq").args(words).env("DEBIAN_FRONTEND", "noninteractive");
        apt.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let words = ["install", "-y", "--no-install-recommends", package];
    if !apt(&words).is_ok_and(|status| status.success()) && apt(&["update"]).is_ok() {
        let _ = apt(&words);
    }
}
