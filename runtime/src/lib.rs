//! Artifact and bindings to a live generation: load, pin, attach, flip, observe.
