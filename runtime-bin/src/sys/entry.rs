//! The program's entry point, which replaces Rust's if the C library is glibc.
//!
//! Rust's entry point reads `/proc/self/maps` and installs a handler, with a stack, for stack overflows. That takes 40 to
//! 55 µs of each command, a sixth of its start. With glibc, which passes the arguments to Rust anyway, a program may have
//! C's `main` instead. The crate is `no_main` under the same condition.

/// Defines the entry point: it calls a function of the arguments, which returns the exit code.
macro_rules! entry_point {
    ($run:path) => {
        // SAFETY: no other symbol of the program is called main, and C's start code calls it with this ABI.
        #[cfg(all(not(test), target_env = "gnu"))]
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> std::ffi::c_int {
            $run(std::env::args_os()).into()
        }

        #[cfg(not(all(not(test), target_env = "gnu")))]
        fn main() -> std::process::ExitCode {
            std::process::ExitCode::from($run(std::env::args_os()))
        }
    };
}

pub(crate) use entry_point;
