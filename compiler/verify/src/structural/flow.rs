//! One walk over a program, in slot order, with what is known before each
//! instruction.
//!
//! Guarantees: every path is covered. A path ends at its first failure, so that
//! one mistake is reported once; other paths go on.
//! Does not know: what instructions do or need.

use std::collections::BTreeMap;

use super::code::Code;
use super::holds::holds;
use super::isa::{Decoded, Op};
use super::learn::learn;
use super::obligation::Obligation;
use super::require::obligations;
use super::state::State;
use super::transfer::step;
use super::{Env, Fault};

/// Checks every instruction on every path.
pub(crate) fn walk(env: &Env<'_>, code: &Code) -> Vec<Fault> {
    let mut faults = Vec::new();
    // What arrives at instructions that are still ahead. Jumps only lead
    // forward, so all has arrived when the walk does.
    let mut arriving = BTreeMap::from([(0, State::entry())]);
    for (slot, decoded) in code.iter() {
        let Some(state) = arriving.remove(&slot) else { continue };
        match check(&state, env, &decoded.op) {
            Ok(()) => follow(state, env, code, slot, decoded, &mut arriving, &mut faults),
            Err((obligation, explanation)) => faults.push(Fault::at(slot, obligation, explanation)),
        }
    }
    faults
}

fn check(state: &State, env: &Env<'_>, op: &Op) -> Result<(), (Obligation, String)> {
    for obligation in obligations(op) {
        if let Err(explanation) = holds(&obligation, state, env, op) {
            return Err((obligation, explanation));
        }
    }
    Ok(())
}

/// Sends the state after an instruction to where control goes.
fn follow(
    mut state: State,
    env: &Env<'_>,
    code: &Code,
    slot: usize,
    decoded: &Decoded,
    arriving: &mut BTreeMap<usize, State>,
    faults: &mut Vec<Fault>,
) {
    let successors = code.successors(slot, decoded);
    if let Op::Branch { wide, compare, dst, src, .. } = decoded.op {
        let mut taken = state.clone();
        learn(&mut taken, wide, compare, dst, src, true);
        learn(&mut state, wide, compare, dst, src, false);
        if let Some(target) = successors.target {
            arrive(taken, target, arriving, faults);
        }
    } else {
        step(&mut state, env, slot, decoded.op);
        if let Some(target) = successors.target {
            arrive(state, target, arriving, faults);
            return;
        }
    }
    if let Some(next) = successors.next {
        arrive(state, next, arriving, faults);
    }
}

fn arrive(
    state: State,
    slot: usize,
    arriving: &mut BTreeMap<usize, State>,
    faults: &mut Vec<Fault>,
) {
    let joined = match arriving.get(&slot) {
        None => state,
        Some(known) => {
            if known.reserved != state.reserved {
                let explanation =
                    "memory is still reserved on one of the paths that meet here, not on all";
                faults.push(Fault::at(slot, Obligation::Released, explanation.to_owned()));
            }
            known.join(&state, slot)
        }
    };
    arriving.insert(slot, joined);
}
