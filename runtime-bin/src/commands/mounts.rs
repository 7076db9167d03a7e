//! `mounts`

use super::{Failure, Outcome};
use crate::args::Args;
use crate::log::Log;
use orlop::bundle::mounts_from_json;
use std::path::Path;

pub(super) fn mounts(args: &Args, log: &Log) -> Outcome {
    let [verb, id, file] = args.words.as_slice() else { return Err(Failure::new("mounts: bad words", 1)) };
    let (verb, id, file) =
        (super::text(Some(verb), "verb")?, super::text(Some(id), "container id")?, Path::new(file));
    if !matches!(verb, "add" | "remove") {
        return Err(Failure::new(format!("mounts: unknown verb {verb:?}: it is add or remove"), 1));
    }
    let container = super::runtime(args, log)?.load(id)?;
    let mounts = mounts_from_json(&super::read_input("mounts", file)?)
        .map_err(|e| Failure::new(format!("mounts file {}: {e}", file.display()), 1))?;
    match verb {
        "add" => container.add_mounts(&mounts)?,
        _ => container.remove_mounts(&mounts)?,
    }
    Ok(0)
}
