//! How a value was read: its forms, one decoding step after another, for people who want to know.

use crate::decode;
use crate::value::LAYERS_MAX;

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
    fn tells_each_step() {
        let forms = forms(b"1%2527+or", true);
        let told: Vec<_> = forms.iter().map(|it| (it.step, String::from_utf8_lossy(&it.text).into_owned())).collect();
        let expected = [("as sent", "1%2527+or"), ("percent-decoded", "1%27 or"), ("percent-decoded", "1' or")];
        assert_eq!(told, expected.map(|it| (it.0, it.1.to_owned())));
    }
}
