//! `mounts`

use super::{input, open};
use crate::args::{MountChange, MountsArgs};
use crate::failure::{Failure, Outcome};
use crate::log::Log;
use orlop::bundle::mounts_from_json;

pub(super) fn mounts(args: &MountsArgs, log: &Log) -> Outcome {
    let container = open::container(&args.container, log)?;
    let mounts = mounts_from_json(&input::read_input("mounts", &args.file)?)
        .map_err(|e| Failure::new(format!("mounts file {}: {e}", args.file.display())))?;
    match args.change {
        MountChange::Add => container.add_mounts(&mounts)?,
        MountChange::Remove => container.remove_mounts(&mounts)?,
    }
    Ok(0)
}
