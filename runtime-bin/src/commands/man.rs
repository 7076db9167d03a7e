//! `man`

use crate::args::generate::page;
use crate::args::{COMMANDS, Command, ManPages};
use crate::failure::{Failure, Outcome};
use crate::output;
use nix::libc;
use orlop::container::replace_file;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn man(program: &str, pages: &ManPages) -> Outcome {
    match pages {
        ManPages::One(command) => output::print(&page(program, VERSION, *command)),
        ManPages::All(directory) => {
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

/// Writes a page into the opened directory. An existing file of that name is replaced; a link is not followed.
fn write(
    opened: &OwnedFd,
    directory: &Path,
    program: &str,
    command: Option<&Command>,
) -> Result<(), Failure> {
    let file = match command {
        Some(command) => format!("{program}-{}.8", command.name),
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
