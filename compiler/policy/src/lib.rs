//! From YAML to policies that cannot be wrong, the inventory, and the oracle.
