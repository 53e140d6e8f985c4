//! JSON over many lines.
//!
//! A list at the top, or under `Records` of an object at the top, has a record for each element. Any other
//! object at the top is a record itself, so NDJSON and pretty-printed objects will do too. What is no JSON at
//! the top is a record up to its line end, for its reader to refuse.

use model::limits::EVENT_BYTES_MAX;

use super::{Sink, beginning_of, cut_off, too_large};
use crate::batch::Walk;

/// How much is kept of the end of an object that is over the limit: enough to find `"Records":` there.
const TAIL_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Between documents.
    Top,
    /// In an object at the top, which is a record unless it turns out to have the list.
    Root,
    /// In the list, whose elements are this deep.
    List { depth: usize },
    /// Behind the list, in the object that has it.
    Tail,
    /// In a line that is no JSON.
    Line,
}

/// The documents of one file.
#[derive(Debug)]
pub(super) struct Document {
    /// The offset of the next byte.
    offset: u64,
    /// Where the document begins, when inside one.
    root: Option<u64>,
    mode: Mode,
    walk: Walk,
    /// Where the record begins, when inside one.
    start: Option<u64>,
    /// The bytes of the record; only its end when it is over the limit.
    record: Vec<u8>,
    /// How the record begins, once it is over the limit.
    beginning: Vec<u8>,
    is_over: bool,
}

impl Document {
    pub(super) fn new(offset: u64) -> Self {
        Self {
            offset,
            root: None,
            mode: Mode::Top,
            walk: Walk::default(),
            start: None,
            record: Vec::new(),
            beginning: Vec::new(),
            is_over: false,
        }
    }

    pub(super) const fn position(&self) -> u64 {
        match self.root {
            Some(root) => root,
            None => self.offset,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut Sink<'_>) {
        for byte in bytes {
            self.step(*byte, sink);
            self.offset += 1;
        }
    }

    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        match self.mode {
            Mode::Line => self.end_record(sink),
            Mode::Top => {}
            _ => sink(self.start.unwrap_or(self.offset), Err(cut_off(self.beginning(), "a document"))),
        }
        *self = Self::new(self.offset);
    }

    fn step(&mut self, byte: u8, sink: &mut Sink<'_>) {
        match self.mode {
            Mode::Top => self.step_top(byte),
            Mode::Root => self.step_root(byte, sink),
            Mode::List { depth } => self.step_list(byte, depth, sink),
            Mode::Tail => {
                self.walk.step(byte);
                self.close_if_ended();
            }
            Mode::Line if byte == b'\n' => {
                self.end_record(sink);
                self.close();
            }
            Mode::Line => self.keep(byte),
        }
    }

    fn step_top(&mut self, byte: u8) {
        // A byte order mark is no line of its own.
        let is_mark = self.offset < 3 && matches!(byte, 0xef | 0xbb | 0xbf);
        if byte.is_ascii_whitespace() || is_mark {
            return;
        }
        self.root = Some(self.offset);
        match byte {
            b'[' => {
                self.walk.step(byte);
                self.mode = Mode::List { depth: 1 };
            }
            b'{' => {
                self.walk.step(byte);
                self.keep(byte);
                self.mode = Mode::Root;
            }
            _ => {
                self.keep(byte);
                self.mode = Mode::Line;
            }
        }
    }

    fn step_root(&mut self, byte: u8, sink: &mut Sink<'_>) {
        let is_list = byte == b'[' && self.walk.depth == 1 && !self.walk.in_text && names_list(&self.record);
        self.walk.step(byte);
        if is_list {
            self.forget_record();
            self.mode = Mode::List { depth: 2 };
            return;
        }
        self.keep(byte);
        if self.walk.depth == 0 {
            self.end_record(sink);
            self.close();
        }
    }

    fn step_list(&mut self, byte: u8, depth: usize, sink: &mut Sink<'_>) {
        if self.walk.depth == depth && !self.walk.in_text {
            match byte {
                b',' => return self.end_record(sink),
                b']' | b'}' => {
                    self.end_record(sink);
                    self.walk.step(byte);
                    self.mode = Mode::Tail;
                    return self.close_if_ended();
                }
                _ if self.start.is_none() && byte.is_ascii_whitespace() => return,
                _ => {}
            }
        }
        self.walk.step(byte);
        self.keep(byte);
    }

    fn close_if_ended(&mut self) {
        if self.walk.depth == 0 {
            self.close();
        }
    }

    fn close(&mut self) {
        self.walk = Walk::default();
        self.mode = Mode::Top;
        self.root = None;
    }

    fn keep(&mut self, byte: u8) {
        self.start.get_or_insert(self.offset);
        if EVENT_BYTES_MAX <= self.record.len() {
            self.is_over = true;
            self.beginning = beginning_of(&self.record).to_vec();
            self.record.drain(..self.record.len() - TAIL_BYTES);
        } else if self.is_over && 2 * TAIL_BYTES <= self.record.len() {
            self.record.drain(..TAIL_BYTES);
        }
        self.record.push(byte);
    }

    fn end_record(&mut self, sink: &mut Sink<'_>) {
        if let Some(start) = self.start {
            match self.is_over {
                true => sink(start, Err(too_large(&self.beginning, self.offset - start))),
                false => sink(start, Ok(self.record.trim_ascii_end())),
            }
        }
        self.forget_record();
    }

    fn beginning(&self) -> &[u8] {
        if self.is_over { &self.beginning } else { &self.record }
    }

    fn forget_record(&mut self) {
        self.start = None;
        self.record.clear();
        self.beginning = Vec::new();
        self.is_over = false;
    }
}

/// Whether what stands before a bracket is the name of the list.
fn names_list(before: &[u8]) -> bool {
    let name = before.trim_ascii_end().strip_suffix(b":").map(<[u8]>::trim_ascii_end);
    let before = name.and_then(|it| it.strip_suffix(b"\"Records\"")).map(<[u8]>::trim_ascii_end);
    before.is_some_and(|it| matches!(it.last(), Some(b'{' | b',')))
}
