//! What a process is given: identity, capabilities, limits, labels, terminal.
