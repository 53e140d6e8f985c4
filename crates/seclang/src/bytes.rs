//! Sets of byte values.

/// A set of byte values, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ByteSet([u64; 4]);

impl ByteSet {
    /// No byte.
    pub(crate) const EMPTY: Self = Self([0; 4]);
    /// Every byte.
    pub(crate) const FULL: Self = Self([u64::MAX; 4]);

    /// White space: space and `\t` to `\r`.
    pub(crate) const WHITE: Self = Self([0b1_1111 << 9 | 1 << 32, 0, 0, 0]);

    /// The bytes that occur in `text`.
    pub(crate) fn of(text: &[u8]) -> Self {
        /// From this length on a table pays: its entries do not wait for each other.
        const LONG: usize = 256;
        let mut set = Self::EMPTY;
        if LONG <= text.len() {
            let mut has = [false; 256];
            text.iter().for_each(|it| has[usize::from(*it)] = true);
            (0..=255).filter(|it| has[usize::from(*it)]).for_each(|it| set.insert(it));
            return set;
        }
        for byte in text {
            set.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        set
    }

    /// The bytes from `first` to `last`, both included.
    pub(crate) fn range(first: u8, last: u8) -> Self {
        let mut set = Self::EMPTY;
        for byte in first..=last {
            set.insert(byte);
        }
        set
    }

    /// Adds `byte`.
    pub(crate) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// Whether `byte` is one of them.
    pub(crate) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    /// Whether any byte is in both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let [a, b, c, d] = self.0;
        (a & other.0[0]) | (b & other.0[1]) | (c & other.0[2]) | (d & other.0[3]) != 0
    }

    /// Whether every byte of `other` is here too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(ours, theirs)| theirs & !ours == 0)
    }

    /// The bytes that are in either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut set = *self;
        for (ours, theirs) in set.0.iter_mut().zip(other.0) {
            *ours |= theirs;
        }
        set
    }

    /// The bytes in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|it| self.contains(*it))
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSet;

    #[test]
    fn holds_what_a_text_has_and_nothing_else() {
        let set = ByteSet::of(b"a\xff\0");
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, b'a', 0xff]);
        assert!(set.meets(&ByteSet::range(b'a', b'z')) && !set.meets(&ByteSet::range(b'b', b'z')));
        let long: Vec<u8> = b"a\xff\0".repeat(100);
        assert_eq!(ByteSet::of(&long), set);
        assert!(set.covers(&ByteSet::of(b"a")) && !set.covers(&ByteSet::of(b"ab")));
        assert!(ByteSet::FULL.covers(&set) && set.covers(&ByteSet::EMPTY));
        assert_eq!(ByteSet::WHITE, ByteSet::of(b" \t\n\x0b\x0c\r"));
        assert_eq!(set.union(&ByteSet::of(b"b")), ByteSet::of(b"b\xffa\0"));
    }
}
