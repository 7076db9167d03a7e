//! Running programs, and saying what went wrong.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a chore was not done.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The repository.
pub(crate) fn top() -> Result<PathBuf, Failure> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(own.parent().ok_or("xtask is not in a repository")?.to_owned())
}

/// A command line, built up and then run.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    words: Vec<String>,
}

pub(crate) fn named(name: &str) -> Program {
    Program { command: Command::new(name), words: vec![name.to_owned()] }
}

/// A script of this repository.
pub(crate) fn script(path: &str) -> Program {
    named(&format!("./{path}"))
}

pub(crate) fn cargo(arguments: &[&str]) -> Program {
    named("cargo").arguments(arguments)
}

impl Program {
    pub(crate) fn arguments(mut self, arguments: &[impl AsRef<str>]) -> Self {
        for argument in arguments {
            self.command.arg(argument.as_ref());
            self.words.push(argument.as_ref().to_owned());
        }
        self
    }

    /// Arguments of the test programs, after `--`; nothing if there are none.
    pub(crate) fn separated(self, words: &[String]) -> Self {
        if words.is_empty() { self } else { self.arguments(&["--"]).arguments(words) }
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self.words.insert(0, format!("{name}={value}"));
        self
    }

    pub(crate) fn inside(mut self, directory: &str) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Ends the program if it takes longer, with everything in its process group.
    pub(crate) fn within(self, seconds: u32) -> Self {
        let mut limited = named("timeout").arguments(&["--kill-after=30", &seconds.to_string()]);
        limited = limited.arguments(&[self.command.get_program().to_string_lossy()]);
        for argument in self.command.get_args() {
            limited = limited.arguments(&[argument.to_string_lossy()]);
        }
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                limited = limited.variable(&name.to_string_lossy(), &value.to_string_lossy());
            }
        }
        if let Some(directory) = self.command.get_current_dir() {
            limited.command.current_dir(directory);
        }
        limited
    }

    /// Runs it on this terminal.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let line = self.words.join(" ");
        eprintln!("$ {line}");
        let status = self.command.status().map_err(|error| format!("{line}: {error}"))?;
        match status.code() {
            Some(0) => Ok(()),
            Some(124) if self.words.iter().any(|word| word == "timeout") => {
                Err(format!("{line}: out of time").into())
            }
            _ => Err(format!("{line}: {status}").into()),
        }
    }

    /// Runs it and returns what it printed, or its last line of errors.
    pub(crate) fn output(mut self) -> Result<String, Failure> {
        let line = self.words.join(" ");
        self.command.stdin(Stdio::null());
        let output = self.command.output().map_err(|error| format!("{line}: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().map(str::trim).rfind(|text| !text.is_empty()).unwrap_or("no message");
        Err(format!("{line}: {last}").into())
    }
}

/// Whether a program of this name is in PATH.
pub(crate) fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}
