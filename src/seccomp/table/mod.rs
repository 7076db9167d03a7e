//! System call names to numbers, for every architecture that the runtime-spec names.
//!
//! There is one sorted list of names, and one column of 16-bit *compact numbers* for each architecture. A name is
//! looked up once for a whole profile; after that each architecture is an array access. A compact number is the number
//! less the architecture's base. From `PRIVATE` on, compact numbers stand for the numbers from `PRIVATE_BASE` on (Arm's
//! private calls).
//!
//! Layers: `compact_number`, `names`; then `numbers` and `index`. `Arch::column` selects the column of an architecture.

mod compact_number;
mod index;
mod names;
pub(super) mod numbers;

pub(super) use compact_number::{LIMIT, NONE, PRIVATE, PRIVATE_BASE};
pub(super) use index::{name, row};
pub(super) use numbers::Column;
