//! System call names to numbers, for every architecture that the runtime-spec names.
//!
//! There is one sorted list of names, and one column of 16-bit *slots* for each architecture. A name is looked
//! up once for a whole profile; after that each architecture is an array access. A slot is the number less
//! the architecture's base. Slots from `PRIVATE` on stand for the numbers from `PRIVATE_BASE` on (Arm's private
//! calls).
//!
//! Layers: `slot`, `names`; then `numbers` and `index`. `Arch::column` selects the column of an architecture.

mod index;
mod names;
pub(super) mod numbers;
mod slot;

pub(super) use index::{name, row};
pub(super) use numbers::Column;
pub(super) use slot::{NONE, PRIVATE, PRIVATE_BASE, SLOTS};
