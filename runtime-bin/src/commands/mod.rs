//! The commands: from [`Args`] to a call of the library, and its answer to an exit code.

mod delete;
mod kill;
mod list;
mod start;
mod state;

use crate::args::{Args, Name};
use crate::environment;
use crate::log::Log;
use orlop::container::{Container, Runtime};
use std::ffi::OsString;

/// The exit code, or why there is none of the command's own.
pub(crate) type Outcome = Result<u8, Failure>;

/// Why a command failed, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One line for the log and for stderr.
    pub(crate) message: String,
    /// What the program ends with.
    pub(crate) code: u8,
}

impl Failure {
    /// A failure with this message and exit code.
    pub(crate) fn new(message: impl Into<String>, code: u8) -> Self {
        Self { message: message.into(), code }
    }

    /// The same failure with another exit code.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

impl From<orlop::Error> for Failure {
    fn from(e: orlop::Error) -> Self {
        Self::new(e.to_string(), 1)
    }
}

/// Does the command.
pub(crate) fn dispatch(name: Name, args: &Args, log: &Log) -> Outcome {
    match name {
        Name::Start => start::start(args),
        Name::State => state::state(args),
        Name::Kill => kill::kill(args),
        Name::Delete => delete::delete(args),
        Name::List => list::list(args),
        _ => Err(Failure::new("this command is not part of this build", 1)),
    }
}

/// The runtime of the state root that the flags and the environment name.
fn runtime(args: &Args) -> Result<Runtime, Failure> {
    Ok(Runtime::new(environment::state_root(args.root.as_deref())?)?)
}

/// The container that the first word names.
fn container(args: &Args) -> Result<Container, Failure> {
    Ok(runtime(args)?.load(id(args)?)?)
}

/// The first word: a container's id.
fn id(args: &Args) -> Result<&str, Failure> {
    text(args.words.first(), "container id")
}

/// A word that must be text.
fn text<'a>(word: Option<&'a OsString>, what: &str) -> Result<&'a str, Failure> {
    let word = word.map(OsString::as_os_str).unwrap_or_default();
    word.to_str().ok_or_else(|| Failure::new(format!("{what} {} is not UTF-8", word.display()), 1))
}
