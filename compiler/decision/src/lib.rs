//! From policies to rule sets, decision graphs and tables.
