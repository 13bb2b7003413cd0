//! The geometry of packed weights: panels, lines, and which way the lanes run. See `parameters` for what is
//! stored in it, `kernel/plan.rs` for which shape goes which way.

/// Features in a panel: one vector of the widest instruction set, one cache line of f32.
pub(crate) const PANEL: usize = 16;

/// Sixteen weights of one panel. Aligned to a cache line, so that no load crosses one.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; PANEL]);

impl Line {
    pub(crate) const ZERO: Self = Self([0.0; PANEL]);
}

/// What the 16 lanes of a line are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lanes {
    /// 16 features of one class: a panel is a line a class.
    Features,
    /// 16 classes of one feature: a panel is, for each 16 classes, a line a feature.
    Classes,
}

impl Lanes {
    /// Lines of a panel of 16 features.
    pub(crate) const fn panel_lines(self, classes: usize) -> usize {
        match self {
            Self::Features => classes,
            Self::Classes => classes.div_ceil(PANEL).saturating_mul(PANEL),
        }
    }
}
