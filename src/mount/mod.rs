//! Mount options, root file systems, overlay and pivot_root.
