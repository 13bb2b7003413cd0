//! The levels that a test runs at, and the switch that keeps a skipped level from passing for a tested one.

use softreg::Level;

/// Comma-separated names of the levels that must run, such as `avx512,avx2,portable`.
const REQUIRED: &str = "SOFTREG_REQUIRE_LEVEL";

/// Every level of this CPU and build.
///
/// # Panics
///
/// If `SOFTREG_REQUIRE_LEVEL` names one that is not among them.
pub(crate) fn levels() -> Vec<Level> {
    let available = Level::available();
    let required = std::env::var(REQUIRED).unwrap_or_default();
    let names: Vec<&str> = available.iter().map(|level| level.name()).collect();
    let missing = missing(&required, &names);
    assert!(missing.is_empty(), "{REQUIRED}={required}: {missing:?} cannot run here, only {names:?} can");
    available
}

/// The names in the comma-separated list `required` that are not in `available`.
pub(crate) fn missing<'a>(required: &'a str, available: &[&str]) -> Vec<&'a str> {
    let names = required.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.filter(|name| !available.contains(name)).collect()
}

/// Whether an emulator runs the tests, some twenty times slower than a machine.
pub(crate) fn is_emulated() -> bool {
    std::env::var_os("SOFTREG_TEST_RUNNER").is_some()
}
