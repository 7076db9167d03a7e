use super::*;
use crate::init::presets::no_procfs;
use crate::plan::{ControlStep, Line, LineOrigin};
use crate::sys::{self, memfd};

/// A plan with these turns, a stub that has the other end of the returned socket, and that end.
fn launched(turns: &[HostTurn]) -> (Plan, Stub, OwnedFd) {
    let steps = turns.iter().map(|turn| ControlStep::AwaitHost(*turn).into());
    let lines = steps.map(|step| Line { origin: LineOrigin::Standard, step }).collect();
    let plan = Plan::of_lines(lines);
    let (socket, theirs) = channel::pair().unwrap();
    let file = || memfd::data(c"test").unwrap();
    let (pidfd, page) = (file(), ControlPage::new(file()));
    let (stage, open_procfs) = (StubStage::Only, no_procfs);
    (plan, Stub { pid: 0, pidfd, socket, page, stage, batches: 0, line: 0, open_procfs }, theirs)
}

/// Sends the turn's code; the turn, if the host side accepts it.
fn accepted(plan: &Plan, stub: &mut Stub, theirs: &OwnedFd, sent: HostTurn) -> Option<HostTurn> {
    sys::fs::write_all(theirs, &[sent.code()]).unwrap();
    match stub.next_event(plan) {
        Ok(StubEvent::Turn(turn, _)) => Some(turn),
        Ok(StubEvent::Ended(outcome)) => panic!("{outcome:?}"),
        Ok(StubEvent::HandedOver) => panic!("handed over"),
        Err(failure) => {
            assert_eq!(failure.error.to_string(), lost().to_string());
            None
        }
    }
}

#[test]
fn each_turn_is_accepted_once_and_in_order() {
    let turns = [HostTurn::IdMaps, HostTurn::RuntimeHooks, HostTurn::ContainerHooks];
    let (plan, mut stub, theirs) = launched(&turns);
    for sent in turns {
        assert_eq!(accepted(&plan, &mut stub, &theirs, sent), Some(sent));
    }
    assert_eq!(accepted(&plan, &mut stub, &theirs, HostTurn::ContainerHooks), None, "after the last one");
    for sent in [HostTurn::RuntimeHooks, HostTurn::Created] {
        let (plan, mut stub, theirs) = launched(&turns);
        assert_eq!(accepted(&plan, &mut stub, &theirs, sent), None, "too early");
    }
    let (plan, mut stub, theirs) = launched(&turns);
    assert_eq!(accepted(&plan, &mut stub, &theirs, HostTurn::IdMaps), Some(HostTurn::IdMaps));
    assert_eq!(accepted(&plan, &mut stub, &theirs, HostTurn::IdMaps), None, "twice");
}
