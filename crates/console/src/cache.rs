//! Answers that hold as long as no alert changes: the lists that pages ask for again and again.
//!
//! An answer is kept with the generation of the store that was current before it was read, and is served while that
//! is still the current one. Nothing here goes by time, so a confirmed alert is never missing from a kept answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use web::answer::Answer;

/// How many answers are kept; one more empties the cache, and the lists that are in use come back at once.
const ANSWERS_MAX: usize = 256;
/// How many bytes are kept, keys included; the same happens there. A quarter of the memory of an idle process.
const BYTES_MAX: usize = 16 << 20;

#[derive(Default)]
struct Kept {
    generation: u64,
    answers: HashMap<String, Answer>,
    bytes: usize,
}

/// The kept answers, by path and query.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Kept>);

impl Cache {
    /// Returns the answer for `key`, if it was read at `generation`.
    pub(crate) fn get(&self, key: &str, generation: u64) -> Option<Answer> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.generation == generation { kept.answers.get(key).cloned() } else { None }
    }

    /// Keeps an answer for `key` that was read when `generation` was current, or earlier than what followed it.
    pub(crate) fn put(&self, key: String, generation: u64, answer: &Answer) {
        let bytes = key.len() + answer.body.len();
        if BYTES_MAX < bytes {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = ANSWERS_MAX <= kept.answers.len() || BYTES_MAX < kept.bytes + bytes;
        if kept.generation != generation || is_full {
            *kept = Kept { generation, ..Kept::default() };
        }
        if let Some(replaced) = kept.answers.insert(key.clone(), answer.clone()) {
            kept.bytes -= key.len() + replaced.body.len();
        }
        kept.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(cache: &Cache) -> (usize, usize) {
        let kept = cache.0.lock().unwrap();
        (kept.answers.len(), kept.bytes)
    }

    #[test]
    fn an_answer_is_served_at_its_own_generation_only() {
        let cache = Cache::default();
        cache.put("a".into(), 5, &Answer::text("five"));
        assert_eq!(cache.get("a", 5).unwrap().body, "five");
        assert!(cache.get("a", 6).is_none() && cache.get("b", 5).is_none());
        cache.put("b".into(), 6, &Answer::text("six"));
        assert!(cache.get("a", 6).is_none());
        // One who was slow brings an older answer: it is not served to those who know of the newer generation.
        cache.put("a".into(), 5, &Answer::text("five"));
        assert!(cache.get("a", 6).is_none());
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let cache = Cache::default();
        for number in 0..=ANSWERS_MAX {
            cache.put(number.to_string(), 1, &Answer::text("x"));
        }
        assert_eq!(held(&cache).0, 1);
        let large = Answer::text(vec![0; BYTES_MAX / 2]);
        for number in 0..3 {
            cache.put(format!("large-{number}"), 1, &large);
            assert!(held(&cache).1 <= BYTES_MAX);
        }
        cache.put("too large".into(), 1, &Answer::text(vec![0; BYTES_MAX]));
        assert!(cache.get("too large", 1).is_none());
    }

    #[test]
    fn a_replaced_answer_is_counted_once() {
        let cache = Cache::default();
        cache.put("k".into(), 1, &Answer::text("one"));
        cache.put("k".into(), 1, &Answer::text("three"));
        assert_eq!(held(&cache), (1, 6));
    }
}
