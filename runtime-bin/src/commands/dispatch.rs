//! From a command with its arguments to its function.

use super::{
    checkpoint, completion, create, delete, events, exec, features, kill, list, man, mounts, plan, ps,
    restore, run, spec, start, state, suspend, update,
};
use crate::args::Invocation;
use crate::failure::Outcome;
use crate::log::Log;

/// Runs the command. `program` is the name that this program was called by.
pub(crate) fn dispatch(invocation: &Invocation, program: &str, log: &Log) -> Outcome {
    match invocation {
        Invocation::Checkpoint(args) => checkpoint::checkpoint(program, args, log),
        Invocation::Completion(args) => completion::completion(program, args),
        Invocation::Create(args) => create::create(args, log),
        Invocation::Delete(args) => delete::delete(args, log),
        Invocation::Events(args) => events::events(args, log),
        Invocation::Exec(args) => exec::exec(args, log),
        Invocation::Features => features::features(),
        Invocation::Kill(args) => kill::kill(args, log),
        Invocation::List(args) => list::list(args, log),
        Invocation::Man(pages) => man::man(program, pages),
        Invocation::Mounts(args) => mounts::mounts(args, log),
        Invocation::Pause(args) => suspend::pause(args, log),
        Invocation::Plan(args) => plan::plan(args, log),
        Invocation::Ps(args) => ps::ps(args, log),
        Invocation::Restore(args) => restore::restore(program, args, log),
        Invocation::Resume(args) => suspend::resume(args, log),
        Invocation::Run(args) => run::run(args, log),
        Invocation::Spec(args) => spec::spec(args),
        Invocation::Start(args) => start::start(args, log),
        Invocation::State(args) => state::state(args, log),
        Invocation::Update(args) => update::update(args, log),
    }
}
