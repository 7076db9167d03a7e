//! Cases that are known not to be clean: how they show, and which code has to be fixed.
//!
//! A case here does not fail the test; the full form names those entries which no case needs any more.

/// One cause.
pub(crate) struct Known {
    /// How the name of the case begins: the call, and as much of its path as it takes.
    pub(crate) call: &'static str,
    /// What every finding of the case has one of.
    pub(crate) words: &'static [&'static str],
    /// What has to be fixed.
    pub(crate) place: &'static str,
}

/// All of them.
pub(crate) static KNOWN: &[Known] = &[];

/// The entry of a case with these findings.
pub(crate) fn find(case: &str, wrong: &[String]) -> Option<usize> {
    let fits = |known: &Known| {
        case.starts_with(known.call)
            && wrong.iter().all(|text| known.words.iter().any(|words| text.contains(words)))
    };
    KNOWN.iter().position(fits)
}
