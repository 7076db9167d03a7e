//! The plan: what a bundle is compiled into.
