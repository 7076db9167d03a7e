//! The `orlop` command: an OCI runtime for managers and people.
//!
//! Arguments, printing and exit codes; everything else is the library's.
#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

mod args;
mod commands;
mod environment;
mod foreground;
mod log;
#[cfg(test)]
#[path = "../build/order.rs"]
#[expect(dead_code, reason = "the build script applies it; here its tests are run")]
mod order;
mod output;
mod sys;

use args::{Args, Request};
use commands::Failure;
use log::{Level, Log};
use std::ffi::OsString;
use std::path::Path;

/// Rust's entry, where it is not C's (`sys::entry`).
#[cfg(not(all(not(test), target_env = "gnu")))]
fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(run(std::env::args_os()))
}

/// The program: from its words to its exit code.
fn run(words: std::env::ArgsOs) -> u8 {
    // Otherwise a file that is opened later is taken for one of them: a state file for the standard error, say.
    if let Err(errno) = sys::stdio::fill_stdio() {
        let what = "open /dev/null for a standard descriptor that is closed";
        Log::stderr(log::Format::default()).error(&format!("{what}: {}", errno.desc()));
        return 1;
    }
    // Rust ignores it, and so may the caller: `list | head` and containers want neither.
    let _ = sys::signal::default_disposition(nix::sys::signal::Signal::SIGPIPE);
    answer(words)
}

/// Parses, runs, reports.
fn answer(mut words: std::env::ArgsOs) -> u8 {
    let program = program_name(words.next());
    let mut args = Args::default();
    let request = args::parse(&program, words, &mut args);
    let format = args.log_format.unwrap_or_default();
    let log = match Log::open(args.log.as_deref(), format, args.log_level.unwrap_or(Level::Info)) {
        Ok(log) => log,
        Err(e) => {
            let path = args.log.as_deref().unwrap_or(Path::new("")).display();
            Log::stderr(format)
                .error(&format!("open log file {path}: {e}; hint: give --log a file that can be written"));
            return 1;
        }
    };
    let done = match request {
        Err(usage) => Err(Failure::new(usage.0, 1)),
        Ok(Request::Help(None)) => output::print(&args::help::program(&program, &version_lines())),
        Ok(Request::Help(Some(command))) => output::print(&args::help::command(&program, command)),
        Ok(Request::Version) => output::print(&format!("{program} version {}", version_lines())),
        Ok(Request::Command(command)) => commands::dispatch(command.name, &program, &args, &log),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            log.error(&failure.message);
            failure.code
        }
    }
}

/// The base name of what the program was called as.
fn program_name(first: Option<OsString>) -> String {
    let first = first.unwrap_or_default();
    let name = Path::new(&first).file_name().map(|n| n.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "orlop".to_owned())
}

/// What follows `NAME version `.
fn version_lines() -> String {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("ORLOP_COMMIT"));
    format!("{version}\ncommit: {commit}\nspec: {}\n", orlop::container::OCI_VERSION)
}
