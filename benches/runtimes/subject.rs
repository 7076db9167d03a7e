//! The programs that are measured, and their command lines.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layout::Layout;

/// The form of the command line.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// As `benches/floor/floor.c`: it does not read a config, so the command line has all details.
    Floor,
    /// As runc.
    Runtime,
}

/// A program that creates containers.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) version: String,
}

/// A container to be created, with everything about it.
#[derive(Clone)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) cgroup: String,
    /// The values of the config, for a program that does not read it.
    pub(crate) arguments: Vec<String>,
    /// A compiled filter, for the same program.
    pub(crate) filter: Option<PathBuf>,
    pub(crate) pid_file: PathBuf,
}

impl Subject {
    pub(crate) fn new(name: &str, path: &Path, kind: Kind) -> Self {
        Self { name: name.into(), path: path.into(), kind, version: String::new() }
    }

    /// Asks the program for its version, if it has one.
    pub(crate) fn ask_version(&mut self) {
        self.version = match self.kind {
            Kind::Floor => "the kernel's work and nothing else".into(),
            Kind::Runtime => match Command::new(&self.path).arg("--version").output() {
                Ok(output) => {
                    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("unknown").into()
                }
                Err(error) => error.to_string(),
            },
        };
    }

    fn command(&self, layout: &Layout, container: &Container, words: &[&str]) -> Vec<String> {
        let mut command =
            vec![self.path.display().to_string(), "--root".into(), container.root.display().to_string()];
        if self.kind == Kind::Floor {
            command.extend(["--cgroup".into(), container.cgroup.clone()]);
            if let Layout::V1(hierarchies) = layout {
                command.extend(["--v1".into(), hierarchies.join(",")]);
            }
        }
        command.extend(words.iter().map(|word| (*word).to_owned()));
        command
    }

    fn make(&self, layout: &Layout, container: &Container, words: &[&str]) -> Vec<String> {
        let mut command = self.command(layout, container, words);
        command.extend(["--bundle".into(), container.bundle.display().to_string()]);
        if self.kind == Kind::Runtime {
            command.push(container.id.clone());
            return command;
        }
        if let Some(filter) = &container.filter {
            command.extend(["--bpf".into(), filter.display().to_string()]);
        }
        command.push(container.id.clone());
        command.extend(container.arguments.iter().cloned());
        command
    }

    pub(crate) fn run(&self, layout: &Layout, container: &Container) -> Vec<String> {
        self.make(layout, container, &["run"])
    }

    pub(crate) fn create(&self, layout: &Layout, container: &Container) -> Vec<String> {
        self.make(layout, container, &["create", "--pid-file", &container.pid_file.display().to_string()])
    }

    /// `start`, `state`, `delete`.
    pub(crate) fn simple(&self, layout: &Layout, container: &Container, command: &str) -> Vec<String> {
        self.command(layout, container, &[command, &container.id])
    }

    pub(crate) fn kill(&self, layout: &Layout, container: &Container) -> Vec<String> {
        self.command(layout, container, &["kill", &container.id, "KILL"])
    }

    pub(crate) fn exec(
        &self,
        layout: &Layout,
        container: &Container,
        process: &Path,
        arguments: &[String],
    ) -> Vec<String> {
        let file = process.display().to_string();
        let mut command = self.command(layout, container, &["exec", "--process", &file, &container.id]);
        if self.kind == Kind::Floor {
            command.extend(arguments.iter().cloned());
        }
        command
    }

    pub(crate) fn ps(&self, layout: &Layout, container: &Container) -> Vec<String> {
        self.command(layout, container, &["ps", "--format", "json", &container.id])
    }

    pub(crate) fn list(&self, layout: &Layout, container: &Container) -> Vec<String> {
        self.command(layout, container, &["list"])
    }
}
