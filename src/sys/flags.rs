//! Sets of kernel flags as types, so that a flag of one call cannot be given to another.

/// Declares a set of flags.
macro_rules! flag_set {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident: $bits:ty {
            $($(#[$flag_meta:meta])* const $flag:ident = $value:expr;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        $vis struct $name($bits);

        #[allow(dead_code, reason = "not every set needs every function")]
        impl $name {
            $($(#[$flag_meta])* $vis const $flag: Self = Self($value);)*

            /// No flags.
            $vis const fn empty() -> Self {
                Self(0)
            }

            /// The set of these flags.
            pub(crate) const fn from_bits(bits: $bits) -> Self {
                Self(bits)
            }

            /// The flags as the kernel has them.
            $vis const fn bits(self) -> $bits {
                self.0
            }

            /// Whether there are none.
            $vis const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether all of these are in the set.
            $vis const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether one of these is in the set.
            $vis const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl std::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }

        impl std::ops::BitAnd for $name {
            type Output = Self;
            fn bitand(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
        }

        impl std::ops::Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl std::ops::SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                self.0 &= !other.0;
            }
        }
    };
}
pub(crate) use flag_set;

#[cfg(test)]
mod tests {
    flag_set! {
        /// Three flags.
        struct Flags: u32 {
            const ONE = 1;
            const TWO = 2;
            const BOTH = 3;
        }
    }

    #[test]
    fn sets_are_combined() {
        assert_eq!(Flags::ONE | Flags::TWO, Flags::BOTH);
        assert_eq!(Flags::BOTH - Flags::ONE, Flags::TWO);
        assert_eq!(Flags::BOTH & Flags::ONE, Flags::ONE);
        let mut set = Flags::empty();
        set |= Flags::ONE;
        assert!(set.intersects(Flags::BOTH) && !set.contains(Flags::BOTH) && !set.is_empty());
        set -= Flags::BOTH;
        assert_eq!(set.bits(), 0);
    }
}
