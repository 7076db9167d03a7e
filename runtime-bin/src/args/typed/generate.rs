//! Arguments of `completion` and `man`.

use super::super::generate::Shell;
use super::super::low::LowArgs;
use super::super::parse::find_command;
use super::super::table::Command;
use super::shared::text;
use crate::failure::Failure;
use std::path::PathBuf;

/// `completion`
#[derive(Debug, PartialEq)]
pub(crate) struct CompletionArgs {
    pub(crate) shell: Shell,
}

impl CompletionArgs {
    pub(super) fn take(low: &LowArgs) -> Result<Self, Failure> {
        let name = text(low.operands.first(), "shell")?;
        let shell = Shell::named(&name)
            .ok_or_else(|| Failure::new(format!("no completion for \"{name}\": give bash, zsh or fish")))?;
        Ok(Self { shell })
    }
}

/// The pages that `man` writes.
#[derive(Debug, PartialEq)]
pub(crate) enum ManPages {
    /// The program's page, or a command's, on standard output.
    One(Option<&'static Command>),
    /// All pages, as files in this directory. `--directory`
    All(PathBuf),
}

impl ManPages {
    pub(super) fn take(low: LowArgs) -> Result<Self, Failure> {
        let command = low.operands.first().map(|name| find_command(name)).transpose()?;
        match low.man_directory {
            None => Ok(Self::One(command)),
            Some(_) if command.is_some() => {
                Err(Failure::new("man takes a command or --directory, which is all of them"))
            }
            Some(directory) => Ok(Self::All(directory)),
        }
    }
}
