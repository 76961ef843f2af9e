//! Every system call and every line of unsafe code, with a fake beside the real kernel.
