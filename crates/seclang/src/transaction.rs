//! The variables that rules set and read while they look at one request: the collection `TX`.

use std::collections::HashMap;

/// The most variables with names that are made while rules run, such as one for each argument. Beyond this they are not
/// kept, and the outcome says that it is not whole.
const MADE_MAX: usize = 2_048;

/// The names of variables that rules write out; each has a place. The first ten are the groups of a pattern.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    places: HashMap<Box<[u8]>, u32>,
    names: Vec<Box<[u8]>>,
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self { places: HashMap::new(), names: Vec::new() };
        for digit in 0..10 {
            names.place_of(&digit.to_string());
        }
        names
    }
}

impl Names {
    /// The place of a name, in any case; a new one if it has none.
    pub(crate) fn place_of(&mut self, name: &str) -> u32 {
        let name: Box<[u8]> = name.to_ascii_lowercase().into_bytes().into();
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        *self.places.entry(name.clone()).or_insert_with(|| {
            self.names.push(name);
            next
        })
    }

    /// The place of a name in lower case, if it has one.
    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        self.places.get(name).copied()
    }

    /// The name of a place.
    pub(crate) fn name(&self, place: u32) -> &[u8] {
        self.names.get(place as usize).map_or(&[], |it| it)
    }

    /// How many places there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}

/// A value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Value {
    /// Not set.
    #[default]
    Unset,
    /// A number.
    Number(i64),
    /// A text, in the arena of the request.
    Text(crate::arena::Span),
}

/// The variables of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transaction {
    values: Vec<Value>,
    made: Vec<(Box<[u8]>, Value)>,
    made_places: HashMap<Box<[u8]>, usize>,
    /// Whether a variable found no room.
    pub(crate) is_full: bool,
}

impl Transaction {
    /// Forgets the former request; `count` is that of [`Names::len`].
    pub(crate) fn clear(&mut self, count: usize) {
        self.values.clear();
        self.values.resize(count, Value::Unset);
        self.made.clear();
        self.made_places.clear();
        self.is_full = false;
    }

    /// The value at a place.
    pub(crate) fn get(&self, place: u32) -> &Value {
        self.values.get(place as usize).unwrap_or(&Value::Unset)
    }

    /// Sets the value at a place.
    pub(crate) fn set(&mut self, place: u32, value: Value) {
        if let Some(slot) = self.values.get_mut(place as usize) {
            *slot = value;
        }
    }

    /// The value of a name that no rule writes out, in lower case.
    pub(crate) fn get_made(&self, name: &[u8]) -> &Value {
        self.made_places.get(name).and_then(|at| self.made.get(*at)).map_or(&Value::Unset, |it| &it.1)
    }

    /// Sets the value of a name that no rule writes out, in lower case.
    pub(crate) fn set_made(&mut self, name: &[u8], value: Value) {
        if let Some(at) = self.made_places.get(name) {
            self.made[*at].1 = value;
        } else if self.made.len() < MADE_MAX {
            self.made_places.insert(name.into(), self.made.len());
            self.made.push((name.into(), value));
        } else {
            self.is_full = true;
        }
    }

    /// The names that rules made, with their values, in the order in which they were made.
    pub(crate) fn made(&self) -> &[(Box<[u8]>, Value)] {
        &self.made
    }
}
