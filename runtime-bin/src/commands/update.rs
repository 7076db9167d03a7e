//! `update`

use super::{input, open};
use crate::args::UpdateArgs;
use crate::failure::{Failure, Outcome};
use crate::log::Log;
use orlop::bundle::spec::Resources;
use std::path::Path;

pub(super) fn update(args: &UpdateArgs, log: &Log) -> Outcome {
    let container = open::container(&args.container, log)?;
    let mut resources = match &args.resources {
        Some(file) => Resources::from_json(&input::read_input("resources", file)?)
            .map_err(|e| e.in_document("resources", "").on(location(file)))?,
        None => Resources::default(),
    };
    args.limits.apply_to(&mut resources);
    let schemata = [("l3-cache-schema", &args.l3_cache_schema), ("mem-bw-schema", &args.mem_bw_schema)];
    for (flag, schema) in schemata {
        if let Some(schema) = schema {
            let rejected = |e| Failure::new(format!("--{flag}: {e}"));
            container.update_schemata(&[schema.as_str()]).map_err(rejected)?;
        }
    }
    container.update(&resources)?;
    Ok(0)
}

/// Where the limits were read, for errors about them.
fn location(file: &Path) -> String {
    if file == Path::new("-") { "on standard input".to_owned() } else { format!("in {}", file.display()) }
}
