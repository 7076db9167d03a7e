//! Files that commands read.

use crate::environment;
use crate::failure::Failure;
use std::io::Read;
use std::path::Path;

/// The contents of a file, or of standard input if its name is `-`.
pub(super) fn read_input(what: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let done = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).map(drop)
    } else {
        std::fs::read(environment::absolute(file)?).map(|read| text = read)
    };
    match done {
        Ok(()) => Ok(text),
        Err(e) => Err(Failure::io(&format!("read {what} file"), file, &e)),
    }
}
