//! How a token of an instruction set is detected, and entered: both from one list of features, so that what is probed is
//! what is enabled. The lists stand with the operations, in the file that bears the set's name.

/// Whether the CPU (with `std`) or the build (without) has a feature.
macro_rules! has {
    ($probe:ident, $feature:tt) => {{
        #[cfg(feature = "std")]
        let found = std::arch::$probe!($feature);
        #[cfg(not(feature = "std"))]
        let found = cfg!(target_feature = $feature);
        found
    }};
}
pub(super) use has;

/// A token that only detection makes, and the function in which its features are enabled.
macro_rules! token {
    ($(#[$doc:meta])* $token:ident, $probe:ident: $($feature:tt),+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) struct $token(());

        impl $token {
            /// The token, where every feature of the list is found.
            pub(crate) fn detect() -> Option<Self> {
                let found = $(has!($probe, $feature))&&+;
                found.then_some(Self(()))
            }

            /// Runs a kernel with the features enabled.
            #[inline(always)]
            fn enter<K: Kernel>(self, kernel: K) -> K::Output {
                #[inline(never)]
                $(#[target_feature(enable = $feature)])+
                fn enabled<K: Kernel>(token: $token, kernel: K) -> K::Output {
                    kernel.run(token)
                }
                // SAFETY: the token exists only where `detect` found every feature of the list.
                unsafe { enabled(self, kernel) }
            }
        }
    };
}
pub(super) use token;

/// Arithmetic on values: no memory is touched, so having the instructions is all that is needed.
macro_rules! arithmetic {
    ($operation:expr) => {
        // SAFETY: a value of the token exists only where the CPU has the instructions (`detect`).
        unsafe { $operation }
    };
}
pub(super) use arithmetic;
