//! The dispatch: which instruction sets this CPU has, and how a kernel is run on one of them. The operations, and the
//! features that each set is detected by, are in `simd`; what to compute is in `kernel`.

use crate::error::{Error, Result};
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Kernel, Portable, Simd};
use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// An instruction set that this CPU has: a value is the proof, since only detection makes one.
///
/// ```
/// use softreg::Level;
///
/// let level = Level::best();
/// assert!(Level::available().contains(&level));
/// assert_eq!(Level::from_name("portable")?.name(), "portable");
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Level(Token);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

/// Every level's name, best first.
const NAMES: [&str; 4] = ["avx512", "avx2", "neon", "portable"];

impl Level {
    /// The fastest level that this CPU has.
    #[must_use]
    pub fn best() -> Self {
        Self::detected().into_iter().flatten().next().unwrap_or(Self(Token::Portable(Portable)))
    }

    /// All levels that this CPU has, best first; the last is always `portable`.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::detected().into_iter().flatten().collect()
    }

    /// The level called `"avx512"`, `"avx2"`, `"neon"` or `"portable"`.
    ///
    /// # Errors
    /// [`Error::UnknownLevel`] for any other name, [`Error::UnavailableLevel`] where this CPU, or this
    /// build, does not have it.
    pub fn from_name(name: &str) -> Result<Self> {
        let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
            return Err(Error::UnknownLevel { name: name.to_owned() });
        };
        Self::detected()
            .into_iter()
            .flatten()
            .find(|level| level.name() == name)
            .ok_or(Error::UnavailableLevel { name })
    }

    /// The level's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => NAMES[0],
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => NAMES[1],
            #[cfg(target_arch = "aarch64")]
            Token::Neon(_) => NAMES[2],
            Token::Portable(_) => NAMES[3],
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn detected() -> [Option<Self>; 3] {
        [
            Avx512::detect().map(|token| Self(Token::Avx512(token))),
            Avx2::detect().map(|token| Self(Token::Avx2(token))),
            Some(Self(Token::Portable(Portable))),
        ]
    }

    #[cfg(target_arch = "aarch64")]
    fn detected() -> [Option<Self>; 2] {
        [Neon::detect().map(|token| Self(Token::Neon(token))), Some(Self(Token::Portable(Portable)))]
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn detected() -> [Option<Self>; 1] {
        [Some(Self(Token::Portable(Portable)))]
    }

    /// Runs a kernel with this level's instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(token) => token.call(kernel),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(token) => token.call(kernel),
            #[cfg(target_arch = "aarch64")]
            Token::Neon(token) => token.call(kernel),
            Token::Portable(token) => token.call(kernel),
        }
    }
}

impl Default for Level {
    /// The best.
    fn default() -> Self {
        Self::best()
    }
}

/// As [`Level::from_name`].
impl FromStr for Level {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::from_name(name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Level({})", self.name())
    }
}
