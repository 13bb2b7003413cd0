//! What the test files share. `reference`, `compare` and `expect` depend on nothing else here, and are included by the
//! fuzz targets as they stand; `reference` by the benches too.
#![allow(dead_code, reason = "each test file needs some of it")]

pub(crate) mod cases;
pub(crate) mod compare;
pub(crate) mod data;
pub(crate) mod descent;
pub(crate) mod expect;
pub(crate) mod failures;
pub(crate) mod guarded;
pub(crate) mod levels;
pub(crate) mod npy;
pub(crate) mod random;
pub(crate) mod reference;
pub(crate) mod targets;
