//! `kill`

use super::{matching, open};
use crate::args::{KillArgs, KillTarget};
use crate::failure::Outcome;
use crate::log::Log;

pub(super) fn kill(args: &KillArgs, log: &Log) -> Outcome {
    let runtime = open::runtime(&args.runtime, log)?;
    let signal = args.signal;
    match &args.target {
        KillTarget::Init(id) => runtime.load(id)?.kill(signal, false)?,
        KillTarget::AllProcesses(id) => runtime.load(id)?.kill(signal, true)?,
        KillTarget::Matching(pattern) => {
            return matching::for_each(&runtime, pattern, "kill", log, |container| {
                container.kill(signal, false)
            });
        }
    }
    Ok(0)
}
