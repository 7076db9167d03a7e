//! `completion`

use crate::args::CompletionArgs;
use crate::args::generate::completion as script;
use crate::failure::Outcome;
use crate::output;

pub(super) fn completion(program: &str, args: &CompletionArgs) -> Outcome {
    output::print(&script(args.shell, program))
}
