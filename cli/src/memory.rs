//! What can be done about a lack of memory that is nobody's in particular. What a user's data or options decide is
//! reserved where it is used, and its lack is an error there. The small rest is the runtime's, which says so on standard
//! error and aborts.

use crate::report::Failure;

/// More than what is taken unasked, all in all, by a phase of the work.
const SPARE: usize = 2 << 20;
/// More of the stack than any command uses.
#[cfg(unix)]
const STACK: usize = 1 << 20;

/// Prepares for a lack of memory later: the stack is had now, where it grows as it is used and a system that has
/// nothing left for it ends the program without a word; and an abort becomes the exit code of work that failed.
pub(crate) fn prepare() -> Result<(), Failure> {
    // Elsewhere the stack is no larger, and does not grow.
    #[cfg(unix)]
    std::hint::black_box([0_u8; STACK]);
    exit_instead_of_abort();
    check("start")
}

/// An error where there is not memory enough for what a phase of the work takes unasked.
pub(crate) fn check(phase: &str) -> Result<(), Failure> {
    let mut spare = Vec::<u8>::new();
    spare
        .try_reserve_exact(SPARE)
        .map_err(|_| Failure::Failed(format!("out of memory: too little left to {phase}")))?;
    // The compiler may leave out memory that nobody looks at.
    std::hint::black_box(&spare);
    Ok(())
}

#[cfg(unix)]
fn exit_instead_of_abort() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    let always = Arc::new(AtomicBool::new(true));
    // Without it the program works as well.
    let _ = signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGABRT, 1, always);
}

#[cfg(not(unix))]
fn exit_instead_of_abort() {}
