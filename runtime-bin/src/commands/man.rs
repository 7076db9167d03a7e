//! `man`

use super::{Failure, Outcome};
use crate::args::generate::page;
use crate::args::{Args, COMMANDS, Command, find};
use crate::output;
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
            write(directory, program, None)?;
            for command in COMMANDS {
                write(directory, program, Some(command))?;
            }
            Ok(0)
        }
    }
}

fn write(directory: &Path, program: &str, command: Option<&Command>) -> Result<(), Failure> {
    let file = match command {
        Some(command) => format!("{program}-{}.8", command.word),
        None => format!("{program}.8"),
    };
    let path = directory.join(file);
    std::fs::write(&path, page(program, VERSION, command)).map_err(|e| Failure::io("write", &path, &e))
}
