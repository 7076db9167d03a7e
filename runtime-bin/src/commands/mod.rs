//! The commands: from [`Args`] to a call of the library, and its answer to an exit code.

mod completion;
mod criu;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod man;
mod mounts;
mod new;
mod pattern;
mod pause;
mod plan;
mod ps;
mod spec;
mod start;
mod state;
mod update;

use crate::args::{Args, Name};
use crate::environment;
use crate::log::Log;
use nix::errno::Errno;
use orlop::container::{Container, Runtime};
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

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

    /// A system call of this program that failed.
    pub(crate) fn system(what: &str, errno: Errno) -> Self {
        Self::new(format!("{what}: {}", lower(errno.desc())), 1)
    }

    /// A file that could not be used.
    pub(crate) fn io(what: &str, path: &Path, e: &std::io::Error) -> Self {
        Self::new(format!("{what} {}: {}", path.display(), reason(e)), 1)
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

/// Why a file could not be used.
pub(crate) fn reason(e: &std::io::Error) -> String {
    e.raw_os_error().map_or_else(|| e.to_string(), |n| lower(Errno::from_raw(n).desc()))
}

/// The errno's text as callers match on it: they know Go's, which is lower-case.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// Does the command; `program` is what this one was called as.
pub(crate) fn dispatch(name: Name, program: &str, args: &Args, log: &Log) -> Outcome {
    match name {
        Name::Completion => completion::completion(program, args),
        Name::Checkpoint => criu::checkpoint(program, args, log),
        Name::Restore => criu::restore(program, args, log),
        Name::Create => new::create(args, log),
        Name::Delete => delete::delete(args, log),
        Name::Events => events::events(args, log),
        Name::Exec => exec::exec(args, log),
        Name::Features => features::features(),
        Name::Kill => kill::kill(args, log),
        Name::List => list::list(args, log),
        Name::Man => man::man(program, args),
        Name::Pause => pause::pause(args, log),
        Name::Plan => plan::plan(args, log),
        Name::Mounts => mounts::mounts(args, log),
        Name::Ps => ps::ps(args, log),
        Name::Resume => pause::resume(args, log),
        Name::Run => new::run(args, log),
        Name::Spec => spec::spec(args),
        Name::Start => start::start(args, log),
        Name::State => state::state(args, log),
        Name::Update => update::update(args, log),
    }
}

/// The runtime of the state root that the flags and the environment name.
fn runtime(args: &Args, log: &Log) -> Result<Runtime, Failure> {
    let log = log.clone();
    let mut runtime = Runtime::new(environment::state_root(args.root.as_deref())?)?;
    for name in &args.allowed_annotations {
        runtime = runtime.with_allowed_annotation(name)?;
    }
    Ok(runtime.dedicated_process().with_warnings(move |warning| log.warning(&warning.to_string())))
}

/// The container that the first word names.
fn container(args: &Args, log: &Log) -> Result<Container, Failure> {
    Ok(runtime(args, log)?.load(id(args)?)?)
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

/// What a file holds, or what comes from stdin where its name is `-`.
fn read_input(what: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let done = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).map(drop)
    } else {
        std::fs::read(environment::absolute(file)?).map(|read| text = read)
    };
    match done {
        Ok(()) => Ok(text),
        Err(e) => Err(Failure::io(&format!("read {what} file"), file, &e)),
    }
}
