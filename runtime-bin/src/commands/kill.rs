//! `kill`

use super::Outcome;
use crate::args::Args;
use orlop::container::Signal;

pub(super) fn kill(args: &Args) -> Outcome {
    let signal = match args.words.get(1) {
        Some(word) => super::text(Some(word), "signal")?.parse()?,
        None => Signal::TERM,
    };
    super::container(args)?.kill(signal, args.all)?;
    Ok(0)
}
