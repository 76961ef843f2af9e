//! The policyc library and command: the passes in order, and what users type.
