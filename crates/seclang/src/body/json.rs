//! JSON: each text, number and word is an argument, named by its way from the root.
//!
//! It reads what it can: a body that breaks off or is broken gives what came before, which is what an attacker might
//! rely on not being looked at.

use crate::rule_set::RuleSet;
use crate::target::Collection;
use crate::values::Values;

/// How deep values may lie. What lies deeper ends the reading.
const DEPTH_MAX: usize = 64;
/// The longest name, in bytes: the way from the root. Longer ones are cut.
const NAME_BYTES_MAX: usize = 512;

/// Adds the leaves of a JSON text; returns whether it was read to its end.
pub(super) fn collect(text: &[u8], set: &RuleSet, values: &mut Values) -> bool {
    let mut reader = Reader { text, at: 0, name: b"json".to_vec(), work: Vec::new(), set, values };
    reader.value(0).is_some() && reader.next_sign().is_none()
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    name: Vec<u8>,
    work: Vec<u8>,
    set: &'a RuleSet,
    values: &'a mut Values,
}

impl Reader<'_> {
    /// Reads a value; `None` ends the reading.
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.next_sign()? {
            b'{' | b'[' if DEPTH_MAX <= depth => None,
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => {
                let is_closed = self.string();
                self.leaf();
                is_closed
            }
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.iter().position(|it| matches!(it, b',' | b'}' | b']') || it.is_ascii_whitespace());
                let word = &rest[..end.unwrap_or(rest.len())];
                self.at += word.len();
                self.work.clear();
                self.work.extend_from_slice(word);
                self.leaf();
                (!word.is_empty()).then_some(())
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        if self.next_sign()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            if self.next_sign()? != b'"' {
                return None;
            }
            let is_closed = self.string();
            let key = std::mem::take(&mut self.work);
            let before = self.enter(&key);
            self.work = key;
            let done = is_closed.and_then(|()| self.expect(b':')).and_then(|()| self.value(depth + 1));
            self.name.truncate(before);
            done?;
            if self.ends(b'}')? {
                return Some(());
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        if self.next_sign()? == b']' {
            self.at += 1;
            return Some(());
        }
        for place in 0_usize.. {
            let before = self.enter(place.to_string().as_bytes());
            let done = self.value(depth + 1);
            self.name.truncate(before);
            done?;
            if self.ends(b']')? {
                break;
            }
        }
        Some(())
    }

    /// Makes the name longer by a member; returns how long it was.
    fn enter(&mut self, member: &[u8]) -> usize {
        let before = self.name.len();
        let room = NAME_BYTES_MAX.saturating_sub(before + 1);
        self.name.push(b'.');
        self.name.extend_from_slice(&member[..member.len().min(room)]);
        before
    }

    /// After a member: whether this was the last.
    fn ends(&mut self, closing: u8) -> Option<bool> {
        let sign = self.next_sign()?;
        self.at += 1;
        match sign {
            b',' if !self.values.is_full => Some(false),
            it if it == closing => Some(true),
            _ => None,
        }
    }

    fn expect(&mut self, sign: u8) -> Option<()> {
        (self.next_sign()? == sign).then(|| self.at += 1)
    }

    /// The next byte that is no white space; it is not passed.
    fn next_sign(&mut self) -> Option<u8> {
        while self.text.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// Reads a string without its escapes; returns whether it ends.
    fn string(&mut self) -> Option<()> {
        self.work.clear();
        self.at += 1;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                it => self.work.push(it),
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let letter = *self.text.get(self.at)?;
        self.at += 1;
        let byte = match letter {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(),
            it => it,
        };
        self.work.push(byte);
        Some(())
    }

    fn unicode(&mut self) -> Option<()> {
        let unit = self.unit()?;
        let is_high = (0xd800..0xdc00).contains(&unit);
        let mut code = unit;
        if is_high && self.text[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let low = self.unit()?;
            code = 0x10000 + ((unit - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.work.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Some(())
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let value = digits.iter().try_fold(0, |sum, it| Some(sum * 16 + char::from(*it).to_digit(16)?))?;
        self.at += 4;
        Some(value)
    }

    /// Adds what was read last under the name of the place.
    fn leaf(&mut self) {
        self.values.push(self.set, Collection::ArgsPost, &self.name, &self.work);
        self.values.push(self.set, Collection::ArgsPostNames, &self.name, &self.name);
    }
}
