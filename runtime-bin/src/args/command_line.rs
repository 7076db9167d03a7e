//! Both stages: from the words of the command line to a command with its arguments.

use super::low::LowArgs;
use super::parse::{Request, parse};
use super::typed::{Invocation, LogArgs};
use crate::failure::Failure;
use std::ffi::OsString;

/// A command line that has been read.
pub(crate) struct CommandLine {
    /// Where to log, which is known even if the rest is a mistake.
    pub(crate) log: LogArgs,
    /// What to do.
    pub(crate) request: Result<Request<Invocation>, Failure>,
}

/// Reads the words after the program's name.
pub(crate) fn read(program: &str, words: impl IntoIterator<Item = OsString>) -> CommandLine {
    let mut low = LowArgs::default();
    let parsed = parse(program, words, &mut low);
    let log = LogArgs::take(&mut low);
    let request = parsed.and_then(|request| {
        Ok(match request {
            Request::Help(command) => Request::Help(command),
            Request::Version => Request::Version,
            Request::Run(command) => Request::Run(Invocation::take(command.id, low)?),
        })
    });
    CommandLine { log, request }
}
