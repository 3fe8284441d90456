#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod grammar;
mod same_reading;
mod serde_reader;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// The value of the member, where members in other letter case may stand beside it.
fn read(body: &[u8], at: &Pointer) -> Result<Option<String>, JsonFault> {
    Ok(Document::find(body, at, Spellings::Any)?.value().map(Cow::into_owned))
}

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn names(at: &Pointer) -> Vec<String> {
    at.0.iter().map(|step| step.name.clone()).collect()
}

fn place(body: &[u8], at: &Pointer, value: &str) -> Result<Vec<u8>, JsonFault> {
    Document::parse(body, at).map(|document| document.with(value))
}

fn placed(body: &str, at: &str) -> Result<String, JsonFault> {
    place(body.as_bytes(), &pointer(at), "ID").map(|bytes| String::from_utf8(bytes).unwrap())
}

fn value_at(body: &str, at: &str) -> Result<Option<String>, JsonFault> {
    read(body.as_bytes(), &pointer(at))
}

#[test]
fn only_the_member_changes() {
    let cases = [
        (r#"{"id":"x"}"#, "/id", r#"{"id":"ID"}"#),
        (r#"{"id" : null , "a":1}"#, "/id", r#"{"id" : "ID" , "a":1}"#),
        (r#"{"a":1, "id":[1,{"id":2}] }"#, "/id", r#"{"a":1, "id":"ID" }"#),
        (r#"{"id":{"x":{}}}"#, "/id", r#"{"id":"ID"}"#),
        (r#"{}"#, "/id", r#"{"id":"ID"}"#),
        ("{ }", "/id", r#"{"id":"ID" }"#),
        (" \r\n\t{\n}\n", "/id", " \r\n\t{\"id\":\"ID\"\n}\n"),
        (r#"{"a":1e2}"#, "/id", r#"{"id":"ID","a":1e2}"#),
        (r#"{ "a":1 }"#, "/c/id", r#"{"c":{"id":"ID"}, "a":1 }"#),
        (r#"{"c":{}}"#, "/c/id", r#"{"c":{"id":"ID"}}"#),
        (r#"{"c":{ "b":1.50}}"#, "/c/id", r#"{"c":{"id":"ID", "b":1.50}}"#),
        (r#"{"c":{"d":{"id":7}},"id":1}"#, "/c/d/id", r#"{"c":{"d":{"id":"ID"}},"id":1}"#),
        (r#"{"c":{"e":0}}"#, "/c/d/id", r#"{"c":{"d":{"id":"ID"},"e":0}}"#),
        (r#"{"0":{"1":2}}"#, "/0/1", r#"{"0":{"1":"ID"}}"#),
        (r#"{"a/b~":1}"#, "/a~1b~0", r#"{"a/b~":"ID"}"#),
        (r#"{"":1}"#, "/", r#"{"":"ID"}"#),
        (r#"{"x":"}","y":"{\"id\":1}"}"#, "/id", r#"{"id":"ID","x":"}","y":"{\"id\":1}"}"#),
    ];
    for (body, at, expected) in cases {
        assert_eq!(placed(body, at).as_deref(), Ok(expected), "{body} {at}");
        assert_eq!(value_at(expected, at), Ok(Some("ID".into())), "{body} {at}");
    }
}

#[test]
fn an_empty_body_becomes_the_object() {
    for body in ["", " ", "\r\n\t "] {
        assert_eq!(placed(body, "/id").as_deref(), Ok(r#"{"id":"ID"}"#));
        assert_eq!(placed(body, "/a/b").as_deref(), Ok(r#"{"a":{"b":"ID"}}"#));
        assert_eq!(value_at(body, "/id"), Ok(None));
    }
}

#[test]
fn an_escaped_spelling_of_the_name_is_the_name() {
    let body = r#"{"customer\u005fid":"theirs","c\/d":1}"#;
    assert_eq!(value_at(body, "/customer_id"), Ok(Some("theirs".into())));
    assert_eq!(placed(body, "/customer_id").as_deref(), Ok(r#"{"customer\u005fid":"ID","c\/d":1}"#));
    assert_eq!(value_at(body, "/c~1d"), Ok(Some("1".into())));
    let twice = r#"{"customer_id":"theirs","customer\u005Fid":"x"}"#;
    assert_eq!(value_at(twice, "/customer_id"), Err(JsonFault::Repeated));
    assert_eq!(placed(twice, "/customer_id"), Err(JsonFault::Repeated));
    // Another name that only looks like it.
    assert_eq!(value_at(r#"{"Customer_id":1,"customer_id ":2}"#, "/customer_id"), Ok(None));
}

#[test]
fn a_member_that_is_no_string_is_read_as_its_json() {
    let body = r#"{"n":12.50,"t":true,"z":null,"a":[1, 2],"o":{"p": 1},"s":"a\"\u00e9\ud83d\ude00"}"#;
    for (at, value) in
        [("/n", "12.50"), ("/t", "true"), ("/z", "null"), ("/a", "[1, 2]"), ("/o/p", "1"), ("/s", "a\"é😀")]
    {
        assert_eq!(value_at(body, at), Ok(Some(value.into())));
    }
    for at in ["/x", "/o/q", "/x/y/z"] {
        assert_eq!(value_at(body, at), Ok(None));
    }
}

#[test]
fn a_member_twice_is_refused_wherever_it_stands() {
    for body in [
        r#"{"id":1,"id":1}"#,
        r#"{"id":1,"\u0069d":1}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        r#"{"a":[{"b":1},{"c":[{"d":1,"d":1}]}]}"#,
        r#"{"a":{},"a":{}}"#,
    ] {
        assert_eq!(placed(body, "/id"), Err(JsonFault::Repeated), "{body}");
        assert_eq!(value_at(body, "/id"), Err(JsonFault::Repeated), "{body}");
    }
    assert!(placed(r#"{"a":{"b":1},"c":{"b":1},"b":[{"b":1},{"b":1}]}"#, "/id").is_ok());
}

#[test]
fn what_is_no_object_is_not_entered() {
    for (body, at) in [
        ("[]", "/id"),
        ("[{\"id\":1}]", "/0/id"),
        ("\"id\"", "/id"),
        ("1", "/id"),
        ("null", "/id"),
        (r#"{"a":[1]}"#, "/a/0"),
        (r#"{"a":null}"#, "/a/id"),
        (r#"{"a":"x"}"#, "/a/id"),
        (r#"{"a":{"b":7}}"#, "/a/b/id"),
    ] {
        assert_eq!(placed(body, at), Err(JsonFault::NotObject), "{body}");
        assert_eq!(value_at(body, at), Err(JsonFault::NotObject), "{body}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let bodies: &[&[u8]] = &[
        b"{",
        b"{}}",
        b"{} {}",
        b"{}\0",
        b"{\"a\":1,}",
        b"{,}",
        b"{'a':1}",
        b"{a:1}",
        b"{\"a\":01}",
        b"{\"a\":+1}",
        b"{\"a\":.5}",
        b"{\"a\":NaN}",
        b"{\"a\":1e400}",
        b"{\"a\":1e999999}",
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"\\udc00\":1}",
        b"{\"a\":tru}",
        b"{/**/}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xc0\xaf\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"a=1&b=2",
        b"\x0b{}",
        "\u{a0}{}".as_bytes(),
    ];
    for body in bodies {
        assert_eq!(place(body, &pointer("/id"), "ID"), Err(JsonFault::NotJson), "{:?}", body.escape_ascii());
        assert_eq!(read(body, &pointer("/id")), Err(JsonFault::NotJson), "{:?}", body.escape_ascii());
    }
}

#[test]
fn deep_documents_are_refused_at_once() {
    let nest = |open: &str, middle: &str, close: &str, depth: usize| {
        format!("{{\"x\":{}{middle}{}}}", open.repeat(depth), close.repeat(depth))
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert!(placed(&nest(open, "1", close, 99), "/id").is_ok());
        for depth in [100, 127, 128, 129, 100_000] {
            assert_eq!(placed(&nest(open, "1", close, depth), "/id"), Err(JsonFault::TooDeep));
            assert_eq!(placed(&nest(open, "1", "", depth), "/id"), Err(JsonFault::TooDeep), "never closed");
        }
    }
    assert_eq!(placed(&"[".repeat(100_000), "/id"), Err(JsonFault::TooDeep));
}

#[test]
fn a_million_members_are_read_once() {
    let mut body = String::from("{");
    for number in 0..1_000_000 {
        body.push_str(&format!("\"{number}\":0,"));
    }
    body.push_str("\"id\":1}");
    assert_eq!(value_at(&body, "/id"), Ok(Some("1".into())));
    body.replace_range(body.len() - 1.., ",\"id\":2}");
    assert_eq!(value_at(&body, "/id"), Err(JsonFault::Repeated));
}

#[test]
fn a_value_is_escaped() {
    let value = "a\"b\\c\r\n\0\u{7f}é😀</script>";
    let body = place(b"{\"a\":1}", &pointer("/id"), value).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"a": 1, "id": value}));
    assert_eq!(read(&body, &pointer("/id")), Ok(Some(value.to_owned())));
}

#[test]
fn a_text_that_is_no_pointer_says_why() {
    for (text, part) in [
        ("", "starts with /"),
        ("customer", "starts with /"),
        ("#/customer", "starts with /"),
        ("$.customer", "starts with /"),
        ("/a~", "~0"),
        ("/a~2b", "~0"),
        ("/~é", "~0"),
    ] {
        let fault = Pointer::parse(text).unwrap_err();
        assert!(fault.contains(part), "{fault}");
    }
    assert!(Pointer::parse(&"/a".repeat(16)).is_ok());
    assert!(Pointer::parse(&"/a".repeat(17)).unwrap_err().contains("16"));
    assert_eq!(names(&pointer("/a~01/~1~0/")), ["a~1", "/~", ""]);
}

/// Any document, as a value.
fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c\"\\\\{}:,é\\n]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-d]{1,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Expected result of `place`, worked out on the parsed document.
fn expected(document: &mut Value, at: &[String], value: &str) -> bool {
    let Some((name, rest)) = at.split_first() else {
        *document = Value::from(value);
        return true;
    };
    let Value::Object(members) = document else {
        return false;
    };
    let inner = members.entry(name.clone()).or_insert_with(|| json!({}));
    expected(inner, rest, value)
}

proptest! {
    #[test]
    fn place_sets_the_member_and_nothing_else(
        document in documents(),
        at in "(/[a-d]){1,3}",
        value in any::<String>(),
        pretty in any::<bool>(),
    ) {
        let at = pointer(&at);
        let text = if pretty { serde_json::to_string_pretty(&document).unwrap() } else { document.to_string() };
        let mut want = document.clone();
        let possible = expected(&mut want, &names(&at), &value);
        match place(text.as_bytes(), &at, &value) {
            Err(fault) => {
                prop_assert_eq!(fault, JsonFault::NotObject);
                prop_assert!(!possible);
            }
            Ok(bytes) => {
                prop_assert!(possible);
                prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), want);
                prop_assert_eq!(read(&bytes, &at).unwrap(), Some(value.clone()));
                // The bytes before and behind our member are the old ones.
                let same = text.bytes().zip(&bytes).take_while(|(old, new)| old == *new).count();
                let tail = text.bytes().rev().zip(bytes.iter().rev()).take_while(|(old, new)| old == *new).count();
                let was = read(text.as_bytes(), &at).unwrap();
                if was.is_none() {
                    prop_assert!(same + tail >= text.len(), "an insertion removes nothing");
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = place(&body, &pointer("/a/b"), "x");
        let _ = read(&body, &pointer("/a/b"));
    }

    #[test]
    fn no_text_of_json_characters_makes_it_panic(body in "[\\[\\]{}\",:\\\\u0-9a-b \\n]{0,40}") {
        if let Ok(placed) = place(body.as_bytes(), &pointer("/a/b"), "x") {
            prop_assert!(serde_json::from_slice::<Value>(&placed).is_ok());
        }
    }
}

#[test]
fn another_spelling_on_the_level_of_a_step_is_refused_and_elsewhere_it_stays() {
    for body in [
        r#"{"C":{"id":"x"}}"#,
        r#"{"c":{"id":"x"},"C":1}"#,
        r#"{"C":1,"c":{"id":"x"}}"#,
        r#"{"c":{"ID":"x"}}"#,
        r#"{"c":{"id":"x","\u0049d":"y"}}"#,
        r#"{"\u0043":{}}"#,
        "{\"c\":{\"\u{ff49}d\":1}}",
    ] {
        assert_eq!(placed(body, "/c/id"), Err(JsonFault::OtherSpelling), "{body}");
    }
    let elsewhere = r#"{"a":{"C":1,"c":2},"ID":3,"c":{"C":4,"x":{"Id":5},"id":"y"}}"#;
    assert_eq!(placed(elsewhere, "/c/id").unwrap(), elsewhere.replace(r#""y""#, r#""ID""#));
    // The company's own servers may have it as they like.
    assert_eq!(value_at(r#"{"c":{"ID":"x","id":"y"}}"#, "/c/id"), Ok(Some("y".to_owned())));
}
