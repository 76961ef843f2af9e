//! From decision graphs and the standard library to BIR, registers and bytecode.
