//! Any bytes as a blob in the init stub's machine: it executes them or refuses them, and accesses only the blob's
//! data, the control page and its own memory.
//!
//! The machine's source files are compiled as a part of an ordinary program; their system calls go to a simulated
//! kernel (`interpreter/kernel.rs`). Blob and control page are between inaccessible pages.

use orlop::plan::Listing;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

#[path = "interpreter/kernel.rs"]
mod kernel;
#[path = "interpreter/recipe.rs"]
mod recipe;
#[path = "interpreter/region.rs"]
mod region;
#[allow(
    dead_code,
    clippy::all,
    clippy::pedantic,
    reason = "build.rs compiles the stub with this configuration"
)]
#[path = "interpreter/stub.rs"]
mod stub;

use kernel::{End, KERNEL, Kernel};
use region::Region;
use stub::interpreter::{Machine, SharedPages};
use stub::machine::{ControlWord, Header, Insn, NO_CALL, op, state};
use stub::walk::Buffers;

/// How many instructions are executed.
const FUEL: u32 = 1 << 12;
const EFAULT: u32 = 14;

/// One run of the target `interpreter`: a mode, the length of the kernel's results, these results, and a blob.
pub fn run(data: &[u8]) {
    let Some((&[how, length], rest)) = data.split_first_chunk() else { return };
    let (answers, rest) = rest.split_at(usize::from(length).min(rest.len()));
    let blob = match how % 4 {
        0 | 1 => rest.to_vec(),
        2 => recipe::headed(rest),
        _ => recipe::blob(rest),
    };
    // The end of the last word is the end of the accessible memory.
    let blob = &blob[..blob.len() / 8 * 8];
    if blob.len() >= size_of::<Header>() && blob.len() <= region::LONGEST {
        execute(blob, answers, how & 4 != 0, false);
    }
}

/// Executes the blob of a plan, in which all addresses are valid.
#[allow(dead_code, reason = "fuzzers have no plans")]
pub fn run_plan(blob: &[u8], answers: &[u8]) {
    assert!(Listing::decode(blob).is_ok() && blob.len() <= region::LONGEST);
    execute(blob, answers, false, true);
}

/// Place of the second process's number: the region has one page for both pages.
const SUCCESSOR: usize = region::PAGE - 4;

fn execute(blob: &[u8], answers: &[u8], at_the_end: bool, is_plan: bool) {
    let mut region = Region::get();
    let (base, page) = region.fill(blob, at_the_end);
    let mut kernel = Kernel::new(answers);
    kernel.is_plan = is_plan;
    kernel.mapping = region.range();
    kernel.blob = base.addr()..base.addr() + blob.len();
    kernel.control = page.addr()..page.addr() + region::PAGE;
    KERNEL.set(kernel);
    let mut buffers = Box::new(Buffers::new());
    // SAFETY: both are mapped for good, and nothing else writes to them meanwhile.
    let machine = unsafe {
        let shared = SharedPages::new(page, page.add(SUCCESSOR) as u64);
        Machine::new(base, blob.len(), shared, &mut buffers)
    };
    let Some(mut machine) = machine else { return };
    let code = code(blob);
    let last = std::cell::Cell::new(None);
    let end = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..FUEL {
            let insn = insn(&code, machine.at);
            KERNEL.with_borrow_mut(|kernel| kernel.begin(insn.map_or(0, |insn| insn.op)));
            last.set(insn);
            if !machine.advance() {
                return End::Exit(0);
            }
            KERNEL.with_borrow(|kernel| insn.inspect(|insn| kernel.end(insn.op)));
        }
        End::OutOfFuel
    }));
    let end = end.unwrap_or_else(|payload| match payload.downcast::<End>() {
        Ok(end) => *end,
        Err(panic) => resume_unwind(panic),
    });
    check(&region, blob, end, last.get());
}

/// The bytes of a blob's instructions.
fn code(blob: &[u8]) -> Vec<u8> {
    let count = u32::from_ne_bytes(std::array::from_fn(|i| blob[std::mem::offset_of!(Header, count) + i]));
    blob[size_of::<Header>()..][..count as usize * size_of::<Insn>()].to_vec()
}

fn insn(code: &[u8], at: usize) -> Option<Insn> {
    let bytes = code.chunks_exact(size_of::<Insn>()).nth(at)?;
    // SAFETY: any bytes are an instruction.
    Some(unsafe { bytes.as_ptr().cast::<Insn>().read_unaligned() })
}

/// What must hold after any blob.
fn check(region: &Region, blob: &[u8], end: End, last: Option<Insn>) {
    let page = region.control();
    let word = |word: ControlWord| u32::from_ne_bytes(std::array::from_fn(|i| page[4 * word as usize + i]));
    assert!(
        page[ControlWord::COUNT * 4..SUCCESSOR].iter().all(|byte| *byte == 0),
        "the control page has unexpected words"
    );
    let front = size_of::<Header>() + code(blob).len();
    assert!(region.blob(blob.len())[..front] == blob[..front], "the instructions have changed");
    assert!(region.margins_are_clean(blob.len()), "something was written outside of the blob");
    let Some(last) = last else { return assert_eq!(end, End::Exit(0)) };
    assert_eq!(word(ControlWord::Step), u32::from(last.step));
    let ends = last.op == op::INIT || last.op == op::CALL && u64::from(last.nr) == stub::arch::nr::EXIT_GROUP;
    if end == End::Exit(1) && !ends {
        assert_eq!(word(ControlWord::State), state::FAILED);
        let refused = word(ControlWord::Call) == NO_CALL && word(ControlWord::Errno) == EFAULT;
        let simple = [op::CALL, op::MOVE, op::ADD, op::JUMP, op::LOAD, op::STORE].contains(&last.op);
        let sound = Listing::decode(blob).is_ok();
        assert!(!(refused && simple && sound), "a valid instruction is refused: {last:?}");
    }
}
