//! A program's entry without Rust's own.
//!
//! Rust's entry reads `/proc/self/maps`, installs a handler for stack overflows and a stack for it:
//! 40 to 55 µs of each command of a runtime, a sixth of its start. With the GNU C library, which gives
//! Rust the arguments anyway, a program may have C's `main` instead.

/// Defines `main` as C's entry where the C library is GNU's: `$run` is a function from
/// [`std::env::ArgsOs`] to the exit status. The crate must be `no_main` under the same condition,
/// `all(not(test), target_env = "gnu")`, and have a Rust `main` under the opposite one.
#[doc(hidden)]
#[macro_export]
macro_rules! program_entry {
    ($run:path) => {
        #[cfg(all(not(test), target_env = "gnu"))]
        #[allow(unsafe_code, reason = "an exported symbol; nothing else of the program is called main")]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> std::ffi::c_int {
            let status: u8 = $run(std::env::args_os());
            std::ffi::c_int::from(status)
        }

        #[cfg(not(all(not(test), target_env = "gnu")))]
        fn main() -> std::process::ExitCode {
            std::process::ExitCode::from($run(std::env::args_os()))
        }
    };
}
