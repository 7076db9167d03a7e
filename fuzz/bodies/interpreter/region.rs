//! The memory of a control page and a blob, between inaccessible pages.

use std::ops::Range;

pub(super) const PAGE: usize = 4096;
/// The longest blob.
pub(super) const LONGEST: usize = 64 * PAGE;
/// Pages before, between and after them.
const GUARD: usize = 16 * PAGE;
const LENGTH: usize = GUARD + PAGE + GUARD + LONGEST + GUARD;
/// The content of the blob's pages outside of the blob.
const MARGIN: u8 = 0xa5;

/// One region for each thread, used repeatedly.
#[derive(Clone, Copy)]
pub(super) struct Region {
    base: *mut u8,
    /// The start of the blob.
    blob: *mut u8,
}

thread_local! {
    static REGION: std::cell::Cell<Option<Region>> = const { std::cell::Cell::new(None) };
}

impl Region {
    pub(super) fn get() -> Self {
        REGION.get().unwrap_or_else(|| {
            let region = Self::new();
            REGION.set(Some(region));
            region
        })
    }

    fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, parts of which are made accessible.
        unsafe {
            let base = libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_NONE, flags, -1, 0).cast::<u8>();
            assert!(base.addr() != usize::MAX, "mmap");
            for (at, length) in [(GUARD, PAGE), (GUARD + PAGE + GUARD, LONGEST)] {
                let both = libc::PROT_READ | libc::PROT_WRITE;
                assert_eq!(libc::mprotect(base.add(at).cast(), length, both), 0);
            }
            Self { base, blob: base }
        }
    }

    /// The whole mapping.
    pub(super) fn range(&self) -> Range<usize> {
        self.base.addr()..self.base.addr() + LENGTH
    }

    fn pages(&self) -> *mut u8 {
        self.base.wrapping_add(GUARD + PAGE + GUARD)
    }

    fn page(&self) -> *mut u8 {
        self.base.wrapping_add(GUARD)
    }

    /// Copies a blob to the start or the end of its pages; returns its address, and that of the control page.
    pub(super) fn fill(&mut self, blob: &[u8], at_the_end: bool) -> (*mut u8, *mut u8) {
        let room = blob.len().next_multiple_of(PAGE);
        let first = if at_the_end { self.pages().wrapping_add(LONGEST - room) } else { self.pages() };
        self.blob = if at_the_end { first.wrapping_add(room - blob.len()) } else { first };
        // SAFETY: these pages are accessible, and nothing else uses them.
        unsafe {
            first.write_bytes(MARGIN, room);
            self.blob.copy_from_nonoverlapping(blob.as_ptr(), blob.len());
            self.page().write_bytes(0, PAGE);
        }
        (self.blob, self.page())
    }

    pub(super) fn control(&self) -> &[u8] {
        // SAFETY: one page, which the interpreter no longer uses.
        unsafe { std::slice::from_raw_parts(self.page(), PAGE) }
    }

    pub(super) fn blob(&self, length: usize) -> &[u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.blob, length) }
    }

    /// Whether the rest of the blob's pages is unchanged.
    pub(super) fn margins_are_clean(&self, length: usize) -> bool {
        let before = self.blob.addr() % PAGE;
        let after = (length + before).next_multiple_of(PAGE) - length - before;
        // SAFETY: as above.
        let (before, after) = unsafe {
            let end = self.blob.add(length);
            let first = self.blob.sub(before);
            (std::slice::from_raw_parts(first, before), std::slice::from_raw_parts(end, after))
        };
        before.iter().chain(after).all(|byte| *byte == MARGIN)
    }
}
