//! The launcher and the init stub.
