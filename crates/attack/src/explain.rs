//! How a value was read: its forms, one decoding step after another, for people who want to know.

use crate::decode;
use crate::report::Place;
use crate::value::{LAYERS_MAX, Standing};

/// How many values of a request are shown.
const VALUES_MAX: usize = 256;
/// How much of a value is shown.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// A value as inspection took it out of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Where it stands, as findings say it.
    pub place: Place,
    /// What stands there: of JSON a text without its escapes, of a compressed body what it was undone to.
    pub text: Vec<u8>,
    /// Whether `+` stands for a space in it.
    pub is_form: bool,
}

/// The values of a request, each once.
#[derive(Debug, Default)]
pub(crate) struct Values(Vec<Value>);

impl Values {
    pub(crate) fn add(&mut self, place: impl FnOnce() -> Place, text: &[u8], standing: Standing) {
        // What is put together of others is shown with those.
        if VALUES_MAX <= self.0.len() || standing == Standing::Whole {
            return;
        }
        let is_form = matches!(standing, Standing::Argument | Standing::Form);
        let value = Value { place: place(), text: text[..text.len().min(VALUE_BYTES_MAX)].to_vec(), is_form };
        if !self.0.contains(&value) {
            self.0.push(value);
        }
    }

    pub(crate) fn into_list(self) -> Vec<Value> {
        self.0
    }
}

/// A form of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What was done to come here, such as `percent-decoded`; `as sent` for the first.
    pub step: &'static str,
    /// The value as it is now.
    pub text: Vec<u8>,
}

/// The forms of a value in the order in which inspection sees them. `is_form`: `+` stands for a space.
#[must_use]
pub fn forms(value: &[u8], is_form: bool) -> Vec<Form> {
    let mut forms = vec![Form { step: "as sent", text: value.to_vec() }];
    for round in 0..LAYERS_MAX {
        let last = forms.last().map(|it| it.text.clone()).unwrap_or_default();
        let mut next = Vec::new();
        let is_plus = is_form && round < 3;
        let step = match round % 3 {
            0 if decode::percent(&last, is_plus, &mut next) => "percent-decoded",
            1 if decode::entities(&last, &mut next) => "HTML references resolved",
            2 if decode::escapes(&last, &mut next) => "escapes resolved",
            _ => continue,
        };
        forms.push(Form { step, text: next });
    }
    let mut inner = Vec::new();
    if forms.last().is_some_and(|it| decode::base64(&it.text, &mut inner)) {
        forms.push(Form { step: "base64 decoded", text: inner });
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_each_value_that_is_judged() {
        use crate::inspector::{Inspector, Scratch};
        use crate::report::Report;
        use crate::request::{Header, Request};
        let of = |kind: &str, body: &[u8]| {
            let headers = [
                Header { name: "Cookie", value: b"id=7; b=%27" },
                Header { name: "Content-Type", value: kind.as_bytes() },
            ];
            let request = Request { target: b"/a?q=1+2", headers: &headers, body, ..Request::default() };
            let values = Inspector::new().explain(&request, &mut Scratch::default(), &mut Report::default());
            let told = values.iter().filter(|it| !matches!(it.place, Place::Header(_)));
            told.map(|it| format!("{}: {}", it.place, String::from_utf8_lossy(&it.text))).collect::<Vec<_>>()
        };
        let head = ["path: /a", "query argument `q`: 1+2", "cookie `id`: 7", "cookie `b`: %27"];
        for (kind, body, expected) in [
            ("application/x-www-form-urlencoded", "a=%31&b=2", ["body field `a`: %31", "body field `b`: 2"]),
            ("application/json", r#"{"a":{"b":"\u0031"},"c":["2","2"]}"#, ["body field `a.b`: 1", "body field `c`: 2"]),
        ] {
            assert_eq!(of(kind, body.as_bytes()), [&head[..], &expected].concat());
        }
        let many = format!("a={}&{}", "x".repeat(9000), "b=1&".repeat(9))
            + &(0..900).map(|it| format!("{it}=1&")).collect::<String>();
        let told = of("application/x-www-form-urlencoded", many.as_bytes());
        assert!(told.len() <= VALUES_MAX && told.iter().all(|it| it.len() <= VALUE_BYTES_MAX + 32));
    }

    #[test]
    fn tells_each_step() {
        let forms = forms(b"1%2527+or", true);
        let told: Vec<_> = forms.iter().map(|it| (it.step, String::from_utf8_lossy(&it.text).into_owned())).collect();
        let expected = [("as sent", "1%2527+or"), ("percent-decoded", "1%27 or"), ("percent-decoded", "1' or")];
        assert_eq!(told, expected.map(|it| (it.0, it.1.to_owned())));
    }
}
