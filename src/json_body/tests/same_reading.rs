//! The scanner reads every text as serde_json does, under the same rules.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::serde_reader::read_both;
use crate::json_body::{Pointer, Spellings};

fn strings() -> impl Strategy<Value = String> {
    let right = select(
        &[
            "a",
            "b",
            "name",
            "xxxxxxxxxxxxxxxx",
            " ",
            "\u{e9}",
            "\u{1f600}",
            "\\n",
            "\\\"",
            "\\u0061",
            "\\ud83d\\ude00",
            "\\u0000",
        ][..],
    );
    let wrong = select(&["\\ud800", "\\x", "\n", "\"", "\\", "\0"][..]);
    let piece = prop_oneof![20 => right, 1 => wrong];
    vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn names() -> impl Strategy<Value = String> {
    let short = select(
        &[
            "\"a\"",
            "\"b\"",
            "\"c\"",
            "\"d\"",
            "\"\\u0061\"",
            "\"B\"",
            "\"\u{ff42}\"",
            "\"b\\u0000\"",
            "\"\"",
            "\"id\"",
            "\"ID\"",
        ][..],
    );
    prop_oneof![8 => short.prop_map(str::to_owned), 2 => "\"[a-z]{1,20}\"", 1 => strings()]
}

fn blanks() -> impl Strategy<Value = &'static str> {
    prop_oneof![30 => Just(""), 10 => select(&[" ", "\n", "\r\n", "\t ", "                    "][..]), 1 => select(&["\u{b}", "\u{a0}", "/**/"][..])]
}

/// Texts that are JSON, or nearly so.
fn texts() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        20 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,2})?",
        3 => "-?[0-9]{1,4}\\.?[0-9]{0,320}[eE][-+]?([0-9]{3}|[0-9]{1,12})",
        3 => "-?(0|[1-9][0-9]{280,320})(\\.[0-9]{1,2})?",
        1 => select(&["-", "01", "1.", ".5", "1e", "+1", "NaN", "-0x1"][..]).prop_map(str::to_owned),
    ];
    let word =
        prop_oneof![20 => select(&["true", "false", "null", "{}", "[]"][..]), 1 => select(&["nul", "True", ""][..])];
    let leaf = prop_oneof![number, strings(), word.prop_map(str::to_owned)];
    let value = leaf.prop_recursive(4, 32, 4, |inner| {
        let comma = prop_oneof![60 => Just(","), 1 => select(&["", ",,", ";"][..])];
        let element = (blanks(), inner.clone(), blanks())
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"))
            .boxed();
        let member =
            (names(), blanks(), element.clone()).prop_map(|(name, blank, value)| format!("{name}{blank}:{value}"));
        let list = |item: BoxedStrategy<String>| {
            vec((item, comma.clone()), 0..5).prop_map(|items| {
                let last = items.len().saturating_sub(1);
                items
                    .iter()
                    .enumerate()
                    .map(|(index, (item, comma))| format!("{item}{}", if index < last { comma } else { "" }))
                    .collect::<String>()
            })
        };
        prop_oneof![
            1 => list(element).prop_map(|items| format!("[{items}]")),
            2 => list(member.boxed()).prop_map(|items| format!("{{{items}}}")),
        ]
    });
    (blanks(), value, blanks()).prop_map(|(before, value, after)| format!("{before}{value}{after}"))
}

fn pointers() -> impl Strategy<Value = Pointer> {
    "(/(a|b|id|)){1,3}".prop_map(|text| Pointer::parse(&text).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn every_text_is_read_as_serde_json_reads_it(text in texts(), at in pointers(), any in any::<bool>()) {
        let _ = read_both(text.as_bytes(), &at, if any { Spellings::Any } else { Spellings::One });
    }

    #[test]
    fn so_is_every_text_with_other_bytes_in_it(
        text in texts(),
        at in pointers(),
        edits in vec((any::<prop::sample::Index>(), 0..3_usize, prop_oneof![any::<u8>(), select(&b"\"\\{}[]:,0-e. \n\x1f\x80"[..])]), 1..4),
    ) {
        let mut text = text.into_bytes();
        for (index, length, byte) in edits {
            let start = index.index(text.len() + 1);
            let end = text.len().min(start + length);
            text.splice(start..end, [byte]);
        }
        let _ = read_both(&text, &at, Spellings::One);
    }

    #[test]
    fn no_text_that_breaks_off_is_read(text in texts(), at in pointers(), end in any::<prop::sample::Index>()) {
        let _ = read_both(&text.as_bytes()[..end.index(text.len() + 1)], &at, Spellings::One);
    }
}
