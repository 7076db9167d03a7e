//! What the compiler makes of loops over bytes, and a program without a C library has to bring itself.
//! Volatile accesses keep this function from becoming a call of itself.

/// memmove(3).
///
/// # Safety
/// As memmove(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let up = (to as usize).wrapping_sub(from as usize) < length;
    let mut moved = 0;
    while moved < length {
        let i = if up { length - 1 - moved } else { moved };
        // SAFETY: below the length that the caller vouches for.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
        moved += 1;
    }
    to
}
