//! Arguments that repeat: some servers join the values of one name, so an attack may come in pieces.
//!
//! Only names of one query, or of one form. What an application joins by itself is its own business.

/// How many arguments are looked at.
const ARGUMENTS_MAX: usize = 64;
/// Longer queries and forms are not looked at: a piece of an attack is short.
const BYTES_MAX: usize = 8 << 10;

/// Calls `found` for each name that stands there more than once, with its values joined: by a comma, as ASP does, and by
/// nothing.
pub(crate) fn for_each<'a>(arguments: &'a [u8], found: &mut dyn FnMut(&'a [u8], &[u8])) {
    if BYTES_MAX < arguments.len() || memchr::memchr(b'&', arguments).is_none() {
        return;
    }
    let pairs = || arguments.split(|it| *it == b'&').take(ARGUMENTS_MAX).filter_map(pair);
    let mut seen = [&b""[..]; ARGUMENTS_MAX];
    let mut told = [&b""[..]; ARGUMENTS_MAX];
    let (mut seen_count, mut told_count) = (0, 0);
    for (name, _) in pairs() {
        let is_seen = seen[..seen_count].iter().any(|it| it.eq_ignore_ascii_case(name));
        if !is_seen {
            seen[seen_count] = name;
            seen_count += 1;
        } else if !told[..told_count].iter().any(|it| it.eq_ignore_ascii_case(name)) {
            told[told_count] = name;
            told_count += 1;
            let values = || pairs().filter(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1);
            join(name, values, found);
        }
    }
}

fn join<'a, I: Iterator<Item = &'a [u8]>>(
    name: &'a [u8],
    values: impl Fn() -> I,
    found: &mut dyn FnMut(&'a [u8], &[u8]),
) {
    // Lists of numbers and words are what most of them are.
    if values().all(crate::inspector::is_plain) {
        return;
    }
    for separator in [&b","[..], b""] {
        found(name, &values().collect::<Vec<_>>().join(separator));
    }
}

/// An argument with a name.
fn pair(argument: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr::memchr(b'=', argument).filter(|it| 0 < *it)?;
    Some((&argument[..equals], &argument[equals + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &str, expected: &[(&str, &str)]) {
        let mut actual = Vec::new();
        let text = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
        for_each(arguments.as_bytes(), &mut |name, joined| actual.push((text(name), text(joined))));
        let expected: Vec<_> = expected.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
        assert_eq!(actual, expected, "{arguments}");
    }

    #[test]
    fn joins_the_values_of_a_name_that_repeats() {
        check("", &[]);
        check("a=1/*&b=*/2", &[]);
        check("a=1/*&A=*/2", &[("A", "1/*,*/2"), ("A", "1/**/2")]);
        check("a=1&b=x&a=(2)&a=3", &[("a", "1,(2),3"), ("a", "1(2)3")]);
        check("a=1&a=2&a=3", &[]);
        check("=1'&=2'&x&x", &[]);
        check(&"a='&".repeat(3), &[("a", "',','"), ("a", "'''")]);
    }

    #[test]
    fn what_is_long_is_left_out() {
        check(&format!("a='&a='&b={}", "x".repeat(BYTES_MAX)), &[]);
        let many: String = (0..ARGUMENTS_MAX).map(|it| format!("n{it}=1&")).collect();
        check(&format!("{many}n0='"), &[]);
    }
}
