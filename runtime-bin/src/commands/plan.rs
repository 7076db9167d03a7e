//! `plan`

use super::bundle;
use crate::args::PlanArgs;
use crate::failure::Outcome;
use crate::log::Log;
use crate::output;
use orlop::plan::{Host, Options, compile};

pub(super) fn plan(args: &PlanArgs, log: &Log) -> Outcome {
    let bundle = bundle::load(&args.bundle)?;
    let options = Options {
        id: "ID".to_owned(),
        wait_for_start: true,
        // As `create` does it. The plan is the same wherever the terminal goes.
        console: bundle::wants_terminal(&bundle),
        cgroup_manager: args.cgroup_manager,
        ..Options::default()
    };
    let mut host = Host::detect_for(&bundle, &options)?;
    // Without a user namespace only root can run the bundle, so the plan is the one that root gets.
    let user_namespace = bundle.spec.linux.iter().flat_map(|l| &l.namespaces).any(|ns| ns.kind == "user");
    if !user_namespace && !host.makes_namespaces {
        host.privileged = true;
        host.makes_namespaces = true;
    }
    let plan = compile(&bundle, &host, &options)?;
    for warning in plan.warnings() {
        log.warning(&format!("config.json: {warning}"));
    }
    output::print(&plan.to_string())
}
