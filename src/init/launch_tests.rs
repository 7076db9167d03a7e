use super::*;
use crate::plan::{ControlStep, Line, Origin};

/// A plan with these turns, and a stub that says what it likes.
fn launched(turns: &[Turn]) -> (Plan, Stub, OwnedFd) {
    let steps = turns.iter().map(|turn| ControlStep::AwaitHost(*turn).into());
    let lines = steps.map(|step| Line { origin: Origin::Standard, step }).collect();
    let plan = Plan::of_lines(lines);
    let (control, theirs) = channel::pair().unwrap();
    let file = || memfd::data(c"test").unwrap();
    let (pidfd, memory) = (file(), Memory { file: file() });
    (plan, Stub { pid: 0, pidfd, control, memory, stage: Stage::Only, batches: 0, line: 0 }, theirs)
}

fn turn(plan: &Plan, stub: &mut Stub, theirs: &OwnedFd, said: Turn) -> Option<Turn> {
    sys::fs::write_all(theirs, &[said.code()]).unwrap();
    match stub.next(plan) {
        Ok(Event::Turn(turn, _)) => Some(turn),
        Ok(Event::End(end)) => panic!("{end:?}"),
        Ok(Event::Born) => panic!("born"),
        Err(stopped) => {
            assert_eq!(stopped.error.to_string(), lost().to_string());
            None
        }
    }
}

#[test]
fn turns_come_once_and_in_their_order() {
    let turns = [Turn::IdMaps, Turn::RuntimeHooks, Turn::ContainerHooks];
    let (plan, mut stub, theirs) = launched(&turns);
    for said in turns {
        assert_eq!(turn(&plan, &mut stub, &theirs, said), Some(said));
    }
    assert_eq!(turn(&plan, &mut stub, &theirs, Turn::ContainerHooks), None, "once more");
    for said in [Turn::RuntimeHooks, Turn::Created] {
        let (plan, mut stub, theirs) = launched(&turns);
        assert_eq!(turn(&plan, &mut stub, &theirs, said), None, "before its time");
    }
    let (plan, mut stub, theirs) = launched(&turns);
    assert_eq!(turn(&plan, &mut stub, &theirs, Turn::IdMaps), Some(Turn::IdMaps));
    assert_eq!(turn(&plan, &mut stub, &theirs, Turn::IdMaps), None, "twice");
}
