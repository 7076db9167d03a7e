//! A corpus as an ordinary test.

use std::fs;
use std::path::Path;

/// Runs `body` over every file of a target's corpus, in a thread with a stack as large as that of a main thread.
pub(crate) fn replay(target: &str, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&directory).into_iter().flatten().flatten().collect();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    for file in files {
        let path = file.path();
        println!("{}", path.display());
        let data = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        on_a_large_stack(move || body(&data));
    }
}

/// Deep recursion is a part of what is tested; an unoptimised build needs more stack.
pub(crate) fn on_a_large_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(run);
    let ended = thread.unwrap_or_else(|error| panic!("a thread: {error}")).join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
