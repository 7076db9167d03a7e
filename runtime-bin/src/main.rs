//! The `orlop` command: an OCI runtime for managers and people.
//!
//! Arguments, printing and exit codes; the library does everything else.
//!
//! Layers, lowest first; a module uses only layers below its own:
//!
//! 1. `sys` (`unsafe`), `failure` (messages and exit codes), `log`
//! 2. `args` (the command line), `environment`, `foreground` (serving a process), `output`
//! 3. `commands`
//! 4. this file
#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

mod args;
mod commands;
mod environment;
mod failure;
mod foreground;
mod log;
#[cfg(test)]
#[path = "../build/order.rs"]
#[expect(dead_code, reason = "the build script applies it; here its tests are run")]
mod order;
mod output;
mod sys;

use args::{CommandLine, Invocation, Request};
use failure::Failure;
use log::Log;
use std::ffi::OsString;
use std::path::Path;

sys::entry::entry_point!(run);

/// The program: from its arguments to its exit code.
fn run(words: std::env::ArgsOs) -> u8 {
    // Rust ignores it, and so may the caller: `list | head` and containers want neither.
    let _ = sys::signal::default_disposition(nix::sys::signal::Signal::SIGPIPE);
    answer(words)
}

/// Reads the command line, runs the command, and reports its failure.
fn answer(mut words: std::env::ArgsOs) -> u8 {
    let program = program_name(words.next());
    let CommandLine { log, request } = args::read(&program, words);
    // A file that is opened below would be taken for a closed standard stream: a state file for the standard error, say.
    if let Err(errno) = sys::stdio::fill_stdio() {
        let what = "open /dev/null for a standard descriptor that is closed";
        Log::stderr(log.format).error(&format!("{what}: {}", errno.desc()));
        return failure_code(&request);
    }
    let log = match Log::open(log.file.as_deref(), log.format, log.level) {
        Ok(opened) => opened,
        Err(e) => {
            let path = log.file.as_deref().unwrap_or(Path::new("")).display();
            Log::stderr(log.format)
                .error(&format!("open log file {path}: {e}; hint: give --log a file that can be written"));
            return 1;
        }
    };
    let done = request.and_then(|request| match request {
        Request::Help(None) => output::print(&args::help::program(&program, &version_lines())),
        Request::Help(Some(command)) => output::print(&args::help::command(&program, command)),
        Request::Version => output::print(&format!("{program} version {}", version_lines())),
        Request::Run(invocation) => commands::dispatch(&invocation, &program, &log),
    });
    match done {
        Ok(code) => code,
        Err(failure) => {
            log.failure(&failure);
            failure.code
        }
    }
}

/// The exit code of a command that could not begin.
fn failure_code(request: &Result<Request<Invocation>, Failure>) -> u8 {
    match request {
        Ok(Request::Run(Invocation::Exec(_))) => args::EXEC_FAILED,
        Ok(_) => 1,
        Err(failure) => failure.code,
    }
}

/// The base name of the program as it was called.
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
