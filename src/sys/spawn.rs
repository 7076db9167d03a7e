//! Spawning the stub: clone3(2) which shares memory with the calling thread.
