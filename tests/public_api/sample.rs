//! A crate with everything that the lister must distinguish.

mod hidden {
    /// Has no public path.
    pub struct Leaked;
    /// Has two public paths.
    #[derive(Clone)]
    pub struct Shown(pub u8, u16);
    /// A function that becomes public.
    pub fn shown() {}
    /// Stays private.
    pub fn unseen() -> u8 {
        3
    }
    pub(crate) fn of_the_crate() {}
}

pub mod inner {
    //! A module.
    pub use super::hidden::Shown;
    /// A constant.
    pub const NUMBER: u64 = 1;
    fn private() {}
    /// A function.
    pub unsafe fn dangerous(at: *mut u8, other: *const [u8; 4]) -> ! {
        let _ = (at, other);
        private();
        super::hidden::of_the_crate();
        std::process::exit(super::hidden::unseen().into())
    }
}

pub use hidden::{Shown, shown};

/// A function with a private type in its signature.
pub fn leaks(_: &hidden::Leaked) {}

/// Public, but hidden from the documentation.
#[doc(hidden)]
#[macro_export]
macro_rules! entry {
    () => {};
}

/// Public, but hidden from the documentation.
#[doc(hidden)]
pub fn secret() {}

/// A result.
pub type Outcome<T> = Result<T, std::io::Error>;

/// An enumeration.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Plain.
    Plain,
    /// With a number.
    Number(u8),
    /// With a field.
    Field {
        /// The field.
        name: &'static str,
    },
}

/// A structure.
#[derive(Default)]
pub struct Whole<'a, T: Clone = u8, const N: usize = 3>
where
    T: Copy,
{
    /// A public field.
    pub list: Option<&'a [T]>,
    /// A public field.
    pub pair: (u8, Vec<String>),
    own: u8,
}

impl<'a, T: Clone + Copy> Whole<'a, T, 3> {
    /// An associated constant.
    pub const ZERO: u8 = 0;

    /// Creates a value.
    pub const fn new(list: Option<&'a [T]>) -> Self {
        Self { list, pair: (0, Vec::new()), own: 1 }
    }

    /// Changes it.
    pub fn each<F>(&mut self, work: F, then: impl Into<String>) -> Outcome<impl Iterator<Item = u8> + '_>
    where
        F: for<'b> Fn(&'b T) -> bool + Send + 'static,
    {
        let _ = (work, then.into());
        Ok((0..self.own).map(|n| n))
    }

    /// Consumes it.
    pub fn end(self, with: &dyn Fn(u8) -> u8, or: fn(u8)) -> <Vec<T> as IntoIterator>::IntoIter {
        or(with(self.own));
        Vec::new().into_iter()
    }

    fn private(&self) {
        let _ = self.own;
    }
}

impl From<u8> for Whole<'_> {
    fn from(own: u8) -> Self {
        let whole = Self { list: None, pair: (own, Vec::new()), own };
        whole.private();
        whole
    }
}
