//! Every framing, whole and byte by byte.

use proptest::prelude::*;

use super::*;

/// The records with their offsets; a refusal shows as its code.
fn frames(framing: Framing, bytes: &[u8], step: usize) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut sink = |offset: u64, record: Result<&[u8], Unframed<'_>>| {
        let shown =
            record.map(|it| String::from_utf8_lossy(it).into_owned()).unwrap_or_else(|it| it.refusal.code.to_string());
        found.push((offset, shown));
    };
    let mut framer = Framer::new(framing, 0);
    for chunk in bytes.chunks(step) {
        framer.push(chunk, &mut sink);
    }
    framer.finish(&mut sink);
    assert_eq!(framer.position(), bytes.len() as u64, "everything is read");
    found
}

#[track_caller]
fn check(framing: Framing, bytes: impl AsRef<[u8]>, expected: &[(u64, &str)]) {
    let bytes = bytes.as_ref();
    for step in [1, 2, 7, bytes.len().max(1)] {
        let actual = frames(framing, bytes, step);
        let actual: Vec<_> = actual.iter().map(|(offset, record)| (*offset, record.as_str())).collect();
        assert_eq!(actual, expected, "in steps of {step}");
    }
}

#[test]
fn lines_end_with_either_line_end_or_the_file() {
    check(Framing::Lines, "a\r\nb\n\nc", &[(0, "a"), (3, "b"), (5, ""), (6, "c")]);
    check(Framing::Lines, "", &[]);
}

#[test]
fn half_a_line_waits() {
    let mut framer = Framer::new(Framing::Lines, 100);
    let mut found = Vec::new();
    let mut sink = |offset: u64, record: Result<&[u8], Unframed<'_>>| found.push((offset, record.unwrap().to_vec()));
    framer.push(b"one\ntw", &mut sink);
    assert_eq!(framer.position(), 104);
    framer.push(b"o\n", &mut sink);
    assert_eq!(framer.position(), 108);
    assert_eq!(found, [(100, b"one".to_vec()), (104, b"two".to_vec())]);
}

#[test]
fn takes_the_longest_line_and_skips_the_next_to_its_end() {
    let longest = "a".repeat(EVENT_BYTES_MAX);
    for step in [1000, 1 << 20] {
        let bytes = format!("{longest}\r\n{longest}b\nc\n{longest}bb");
        let found = frames(Framing::Lines, bytes.as_bytes(), step);
        let shown: Vec<_> = found.iter().map(|(_, it)| &it[..it.len().min(9)]).collect();
        assert_eq!(shown, ["aaaaaaaaa", "too_large", "c", "too_large"]);
        assert_eq!(found[2].0, 2 * EVENT_BYTES_MAX as u64 + 4);
    }
}

#[test]
fn documents_have_their_records() {
    check(Framing::Document, r#"{"Records":[{"a":",]"},{"b":[1]}]}"#, &[(12, r#"{"a":",]"}"#), (23, r#"{"b":[1]}"#)]);
    check(
        Framing::Document,
        "{\n \"x\": 1,\n \"Records\" : [\n  {\"a\":1} ,\n  17\n ]\n}\n",
        &[(28, "{\"a\":1}"), (40, "17")],
    );
    check(Framing::Document, "[{\"a\":1},{\"b\":2}]\n", &[(1, "{\"a\":1}"), (9, "{\"b\":2}")]);
    check(Framing::Document, "{\"Records\":[]}{\"Records\":[{}]}", &[(26, "{}")]);
    check(Framing::Document, "\u{feff}{\"Records\":[{}]}", &[(15, "{}")]);
}

#[test]
fn objects_at_the_top_are_records() {
    check(Framing::Document, "{\"a\":[{}]}\n{\"b\":\n2}", &[(0, "{\"a\":[{}]}"), (11, "{\"b\":\n2}")]);
    check(Framing::Document, "{\"a\":{\"Records\":[1]}}", &[(0, "{\"a\":{\"Records\":[1]}}")]);
    check(Framing::Document, "{\"a\":1}\nnonsense\n{\"b\":2}", &[(0, "{\"a\":1}"), (8, "nonsense"), (17, "{\"b\":2}")]);
}

#[test]
fn a_document_that_is_cut_off_says_so() {
    check(Framing::Document, "{\"Records\":[{\"a\":1},{\"b\"", &[(12, "{\"a\":1}"), (20, "bad_line")]);
    check(Framing::Document, "{\"Records\":[{\"a\":1},", &[(12, "{\"a\":1}"), (20, "bad_line")]);
    check(Framing::Document, "{\"a\":1", &[(0, "bad_line")]);
}

#[test]
fn a_record_that_is_too_large_does_not_hide_the_next() {
    let long = "a".repeat(EVENT_BYTES_MAX);
    let found =
        frames(Framing::Document, format!("{{\"p\":\"{long}\",\"Records\":[\"{long}\",{{}}]}}").as_bytes(), 4096);
    assert_eq!(found.iter().map(|it| it.1.as_str()).collect::<Vec<_>>(), ["too_large", "{}"]);
}

#[test]
fn within_a_document_the_position_is_its_beginning() {
    let mut framer = Framer::new(Framing::Document, 10);
    framer.push(b"\n{\"Records\":[{},", &mut |_, _| {});
    assert_eq!(framer.position(), 11);
    framer.push(b"{}]}\n", &mut |_, _| {});
    assert_eq!(framer.position(), 31);
}

#[test]
fn blocks_end_with_an_empty_line_that_is_in_no_field() {
    check(Framing::Blocks, "A=1\nB=2\n\nC=3\n\n\nD=4", &[(0, "A=1\nB=2\n"), (9, "C=3\n"), (15, "D=4")]);
    let field = [b"M\n", &[4, 0, 0, 0, 0, 0, 0, 0][..], b"\n\nx=\nB=2\n\nC=3\n\n"].concat();
    check(Framing::Blocks, field, &[(0, "M\n\u{4}\0\0\0\0\0\0\0\n\nx=\nB=2\n"), (20, "C=3\n")]);
}

#[test]
fn a_block_that_is_too_large_does_not_hide_the_next() {
    let long = "a".repeat(EVENT_BYTES_MAX);
    let length = (long.len() as u64).to_le_bytes();
    let binary = [b"M\n", &length[..], long.as_bytes(), b"\n"].concat();
    let texts = format!("A={long}\n").into_bytes();
    let many = "A=1\n".repeat(EVENT_BYTES_MAX / 4 + 1).into_bytes();
    for long in [binary, texts, many] {
        for step in [4096, 1 << 20] {
            let bytes = [b"X=1\n\n", &long[..], b"\nC=3\n\n"].concat();
            let found = frames(Framing::Blocks, &bytes, step);
            let expected = [(0, "X=1\n"), (5, "too_large"), (6 + long.len() as u64, "C=3\n")];
            assert_eq!(found, expected.map(|(offset, it)| (offset, it.to_owned())));
        }
    }
}

#[test]
fn a_block_that_is_cut_off_in_a_field_says_so() {
    check(Framing::Blocks, "A=1\nM\n\u{5}\0\0\0\0\0\0\0ab", &[(0, "bad_line")]);
    check(Framing::Blocks, "A=1\nM\n\u{5}\0", &[(0, "bad_line")]);
}

#[test]
fn the_framing_is_found_out() {
    for (head, expected) in [
        ("{\"Records\":[", Framing::Document),
        ("\u{feff}{\n  \"Records\": [", Framing::Document),
        ("[\n {\"a\":1}", Framing::Document),
        ("[{\"a\":1}]", Framing::Document),
        ("__CURSOR=x\n", Framing::Blocks),
        ("__REALTIME_TIMESTAMP=1\n", Framing::Blocks),
        ("{\"a\":1}\n{\"b\":2}", Framing::Lines),
        ("{broken json\n", Framing::Lines),
        ("[::1] - - x", Framing::Lines),
        ("192.0.2.1 - -", Framing::Lines),
        ("", Framing::Lines),
    ] {
        assert_eq!(Framing::of_head(head.as_bytes()), expected, "{head}");
    }
}

proptest! {
    #[test]
    fn steps_do_not_matter_and_nothing_is_a_panic(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            r#"[\{\}\[\]",:a=\n\x00\x01 ]{0,60}"#.prop_map(String::into_bytes),
        ],
        step in 1_usize..10,
    ) {
        for framing in [Framing::Lines, Framing::Document, Framing::Blocks] {
            prop_assert_eq!(frames(framing, &bytes, step), frames(framing, &bytes, bytes.len().max(1)));
        }
    }
}
