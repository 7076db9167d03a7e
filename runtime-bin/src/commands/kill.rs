//! `kill`

use super::Outcome;
use crate::args::Args;
use crate::log::Log;
use orlop::container::Signal;

pub(super) fn kill(args: &Args, log: &Log) -> Outcome {
    let signal = match args.words.get(1) {
        Some(word) => super::text(Some(word), "signal")?.parse()?,
        None => Signal::TERM,
    };
    super::container(args, log)?.kill(signal, args.all)?;
    Ok(0)
}
