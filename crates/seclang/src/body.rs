//! The body of a request: which form it has, and its parts.

mod json;
mod multipart;
mod xml;

use crate::head;
use crate::rule_set::RuleSet;
use crate::target::Collection;
use crate::values::Values;

/// How much of a body is read, in bytes. What comes after is not looked at, and the outcome says so.
///
/// It is what `ModSecurity` reads of a body without files by default. Patterns cost up to a tenth of a microsecond a byte
/// of ordinary text, so this bounds what one request can cost.
pub const BODY_BYTES_MAX: usize = 128 * 1024;

/// The form of a body, that is: what reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    UrlEncoded,
    Multipart,
    Xml,
    Json,
}

impl Form {
    const NAMES: [(&'static str, Self); 4] =
        [("URLENCODED", Self::UrlEncoded), ("MULTIPART", Self::Multipart), ("XML", Self::Xml), ("JSON", Self::Json)];

    /// The form by the name that rules use, in upper case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|it| it.0 == name).map(|it| it.1)
    }

    /// The name that rules use.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|it| it.1 == self).map_or("", |it| it.0)
    }

    /// The form that a content type promises.
    pub(crate) fn of_content_type(content_type: &[u8]) -> Option<Self> {
        let essence = head::split_once(content_type, b';').0.trim_ascii().to_ascii_lowercase();
        let essence = head::split_once(&essence, b' ').0;
        let is_one_of = |names: &[&[u8]]| names.contains(&essence);
        if is_one_of(&[b"application/x-www-form-urlencoded"]) {
            Some(Self::UrlEncoded)
        } else if essence.starts_with(b"multipart/form-data") {
            Some(Self::Multipart)
        } else if is_one_of(&[b"application/xml", b"text/xml"]) || essence.ends_with(b"+xml") {
            Some(Self::Xml)
        } else if is_one_of(&[b"application/json"]) || essence.ends_with(b"+json") {
            Some(Self::Json)
        } else {
            None
        }
    }
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// It is not of the form it should have.
    pub(crate) is_broken: bool,
    /// Its parts are delimited in a way that readers understand differently.
    pub(crate) is_ambiguous: bool,
}

/// Adds the parts of a body. It is `REQUEST_BODY` as a form, as JSON, and with `is_whole_too` always.
pub(crate) fn collect(
    form: Option<Form>,
    is_whole_too: bool,
    content_type: &[u8],
    body: &[u8],
    set: &RuleSet,
    values: &mut Values,
) -> Faults {
    if is_whole_too || matches!(form, Some(Form::UrlEncoded | Form::Json)) {
        values.push(set, Collection::RequestBody, b"", body);
    }
    match form {
        None => Faults::default(),
        Some(Form::UrlEncoded) => {
            head::arguments(body, [Collection::ArgsPost, Collection::ArgsPostNames], set, values);
            Faults::default()
        }
        Some(Form::Multipart) => multipart::collect(content_type, body, set, values),
        Some(Form::Xml) => Faults { is_broken: !xml::collect(body, set, values), is_ambiguous: false },
        Some(Form::Json) => Faults { is_broken: !json::collect(body, set, values), is_ambiguous: false },
    }
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn knows_the_form_by_the_content_type() {
        let check = |text: &str, form: Option<Form>| assert_eq!(Form::of_content_type(text.as_bytes()), form, "{text}");
        check("Application/X-WWW-Form-Urlencoded; charset=utf-8", Some(Form::UrlEncoded));
        check("multipart/form-data; boundary=x", Some(Form::Multipart));
        check("application/soap+xml", Some(Form::Xml));
        check("application/reports+json", Some(Form::Json));
        check("text/plain", None);
        check("", None);
        assert_eq!(Form::from_name("JSON").map(Form::name), Some("JSON"));
    }
}
