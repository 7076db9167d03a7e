//! The functions of a C library that the compiler calls to copy and fill bytes. The accesses are volatile: otherwise the
//! compiler could replace a function's loop by a call of that function.

/// memcpy(3).
///
/// # Safety
/// As memcpy(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let mut i = 0;
    while i < length {
        // SAFETY: the caller vouches for `length` bytes at both addresses.
        unsafe { to.add(i).write_volatile(*from.add(i)) };
        i += 1;
    }
    to
}

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
        // SAFETY: the caller vouches for `length` bytes at both addresses.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
        moved += 1;
    }
    to
}

/// memset(3).
///
/// # Safety
/// As memset(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    let mut i = 0;
    while i < length {
        // SAFETY: the caller vouches for `length` bytes.
        unsafe { to.add(i).write_volatile(byte as u8) };
        i += 1;
    }
    to
}
