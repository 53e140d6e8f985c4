//! The bytes of one request and of what is made of it, one after the other.

/// A piece of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    from: u32,
    to: u32,
}

impl Span {
    /// Its length in bytes.
    pub(crate) fn len(self) -> usize {
        (self.to - self.from) as usize
    }

    /// The part of it from `from` to `to`, counted from its beginning.
    pub(crate) fn part(self, from: usize, to: usize) -> Self {
        let at = |it: usize| self.from.saturating_add(u32::try_from(it).unwrap_or(u32::MAX)).min(self.to);
        Self { from: at(from), to: at(to) }
    }
}

/// The bytes of one request and of what is made of it. Kept between requests for its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arena(Vec<u8>);

impl Arena {
    /// The most bytes that it takes. The limits of bodies, values and transformations stay well below.
    const BYTES_MAX: usize = 1 << 30;

    /// Forgets the former request.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds `bytes`. A piece that finds no room is empty.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Span {
        if Self::BYTES_MAX < self.0.len() + bytes.len() {
            return Span::default();
        }
        let from = self.end();
        self.0.extend_from_slice(bytes);
        Span { from, to: self.end() }
    }

    /// The bytes of a piece.
    pub(crate) fn get(&self, span: Span) -> &[u8] {
        self.0.get(span.from as usize..span.to as usize).unwrap_or(&[])
    }

    fn end(&self) -> u32 {
        // It is kept below `BYTES_MAX`.
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}
