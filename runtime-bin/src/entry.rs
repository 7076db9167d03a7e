//! The program's entry.
//!
//! Rust's own entry reads `/proc/self/maps`, installs a handler for stack overflows and a stack for
//! it: 40 µs of each command, a tenth of it. With the GNU C library, which tells Rust the arguments
//! anyway, the program's `main` is C's; elsewhere it is Rust's.

use std::process::ExitCode;

/// What this program needs of the process before anything else.
fn prepare() {
    // Not fatal: without /dev/null a command can still kill or delete.
    let _ = orlop::sys::stdio::fill_stdio();
    // Rust's entry ignores it, and so may the caller: `list | head` and containers want neither.
    let _ = orlop::sys::signal::default_disposition(nix::sys::signal::Signal::SIGPIPE);
}

#[cfg(all(not(test), target_env = "gnu"))]
#[allow(unsafe_code, reason = "an exported symbol; no other item of this program is called main")]
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    prepare();
    std::ffi::c_int::from(crate::run(std::env::args_os()))
}

/// The entry where the C library keeps the arguments to itself.
#[allow(dead_code, reason = "one of the two entries is in use")]
pub(crate) fn rust_main() -> ExitCode {
    prepare();
    ExitCode::from(crate::run(std::env::args_os()))
}
