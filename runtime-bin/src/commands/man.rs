//! `man`

use super::{Failure, Outcome};
use crate::args::generate::page;
use crate::args::{Args, COMMANDS, Command, find};
use crate::output;
use nix::libc;
use orlop::container::replace_file;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn man(program: &str, args: &Args) -> Outcome {
    let command = args.words.first().map(|word| find(word).map_err(|usage| Failure::new(usage.0, 1)));
    let command = command.transpose()?;
    match &args.man_directory {
        None => output::print(&page(program, VERSION, command)),
        Some(_) if command.is_some() => {
            Err(Failure::new("man takes a command or --directory, which is all of them", 1))
        }
        Some(directory) => {
            let opened = open(directory, program)?;
            write(&opened, directory, program, None)?;
            for command in COMMANDS {
                write(&opened, directory, program, Some(command))?;
            }
            Ok(0)
        }
    }
}

fn open(directory: &Path, program: &str) -> Result<OwnedFd, Failure> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(directory);
    let first = directory.join(format!("{program}.8"));
    opened.map(OwnedFd::from).map_err(|e| Failure::io("write", &first, &e))
}

/// Writes a page into the opened directory; what had its name, a link too, is replaced and not followed.
fn write(
    opened: &OwnedFd,
    directory: &Path,
    program: &str,
    command: Option<&Command>,
) -> Result<(), Failure> {
    let file = match command {
        Some(command) => format!("{program}-{}.8", command.word),
        None => format!("{program}.8"),
    };
    let text = page(program, VERSION, command);
    replace_file(opened, &file, text.as_bytes(), 0o644).map_err(|e| {
        let path = directory.join(&file);
        match e.errno() {
            Some(errno) => Failure::system(&format!("write {}", path.display()), errno),
            None => Failure::from(e),
        }
    })
}
