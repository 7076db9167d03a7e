//! `kill`

use super::{Failure, Outcome, pattern};
use crate::args::Args;
use crate::log::Log;
use orlop::container::Signal;

pub(super) fn kill(args: &Args, log: &Log) -> Outcome {
    let signal = match args.words.get(1) {
        Some(word) => super::text(Some(word), "signal")?.parse()?,
        None => Signal::TERM,
    };
    if args.regex && args.all {
        let why = "kill: --regex and --all exclude each other: signal the containers' init processes, \
                   or every process of one container";
        return Err(Failure::new(why, 1));
    }
    if args.regex {
        let (runtime, regex) = (super::runtime(args, log)?, super::id(args)?);
        return pattern::for_each(&runtime, regex, "kill", log, |container| container.kill(signal, false));
    }
    super::container(args, log)?.kill(signal, args.all)?;
    Ok(0)
}
