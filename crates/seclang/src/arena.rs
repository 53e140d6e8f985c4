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

    /// Adds a number, written out.
    pub(crate) fn push_number(&mut self, number: i64) -> Span {
        // Twenty bytes hold the longest, with its sign.
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10).to_le_bytes()[0];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            digits[at] = b'-';
        }
        self.push(&digits[at..])
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

#[cfg(test)]
mod tests {
    use super::Arena;

    #[test]
    fn writes_numbers_and_gives_pieces_back() {
        let mut arena = Arena::default();
        for number in [0, 7, -12, i64::MAX, i64::MIN] {
            let span = arena.push_number(number);
            assert_eq!(arena.get(span), number.to_string().as_bytes());
            assert_eq!(arena.get(span.part(0, 1)), &number.to_string().as_bytes()[..1]);
            assert_eq!(arena.get(span.part(5, 99)).len(), span.len().saturating_sub(5));
        }
    }
}
