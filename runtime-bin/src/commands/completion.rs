//! `completion`

use super::{Failure, Outcome};
use crate::args::Args;
use crate::args::generate::{Shell, completion as script};
use crate::output;

pub(super) fn completion(program: &str, args: &Args) -> Outcome {
    let name = super::text(args.words.first(), "shell")?;
    match Shell::named(name) {
        Some(shell) => output::print(&script(shell, program)),
        None => Err(Failure::new(format!("no completion for \"{name}\": give bash, zsh or fish"), 1)),
    }
}
