//! Header compression (RFC 7541): every form is read, and what is no header block ends the connection.

use super::*;
use crate::harness::h2_frames::{integer, literal};

/// A request whose header block ends with these bytes.
fn ending(caller: &mut Caller, bytes: &[u8]) {
    caller.send(HEADERS, WHOLE, 1, &[&get("/public/x"), bytes].concat());
}

const BROKEN: Must = Fails(UNREADABLE);

#[test]
fn rfc_7541_header_blocks_that_cannot_be_read() {
    all_hold(&[
        ("2.3.3 an index above both tables", |c| ending(c, &[0xc6]), BROKEN),
        ("2.3.3 a name with an index above both tables", |c| ending(c, &[0x7e, 1, b'x']), BROKEN),
        ("4.2 a table size behind a field", |c| ending(c, &[0x20]), BROKEN),
        (
            "5.1 an integer without end",
            |c| ending(c, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            BROKEN,
        ),
        ("5.2 more padding than 7 bits", |c| ending(c, &[0, 1, b'y', 0x82, 0x1f, 0xff]), BROKEN),
        ("5.2 padding with zeros", |c| ending(c, &[0, 1, b'y', 0x81, 0x18]), BROKEN),
        ("5.2 the symbol for the end", |c| ending(c, &[0, 1, b'y', 0x84, 0xff, 0xff, 0xff, 0xff]), BROKEN),
        ("5.2 a string that is cut off", |c| ending(c, &[0, 1, b'y', 9, b'z']), BROKEN),
        ("6.1 index 0", |c| ending(c, &[0x80]), BROKEN),
        (
            "6.3 a table larger than was allowed",
            |c| {
                let mut size = Vec::new();
                integer(&mut size, 0x20, 5, 4_097);
                c.send(HEADERS, WHOLE, 1, &[size, get("/public/x")].concat());
            },
            BROKEN,
        ),
    ]);
}

#[test]
fn rfc_7541_header_blocks_in_every_form() {
    let (backend, gateway) = world();
    let mut caller = Caller::open(gateway.address);
    let path = b"/public/x";
    let forms: [(&str, Vec<u8>); 6] = [
        ("a field of the static table, and a literal that enters the other one", vec![0x40, 1, b'y', 1, b'1']),
        ("that field of the dynamic table", vec![0xbe]),
        ("its name with another value", vec![0x0f, 0x2f, 1, b'2']),
        ("a literal that never enters a table", vec![0x10, 1, b'y', 1, b'3']),
        ("a value in the Huffman code", vec![0x00, 1, b'y', 0x81, 0x6b]),
        ("a name in the Huffman code", vec![0x00, 0x81, 0xf5, 1, b'5']),
    ];
    for (number, (what, field)) in forms.iter().enumerate() {
        let stream = u32::try_from(2 * number + 1).unwrap();
        // :method GET, :scheme https, :path, :authority by their indices in the static table.
        let mut bytes = vec![0x82, 0x87, 0x04, 9];
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(&[0x01, 9]);
        bytes.extend_from_slice(b"localhost");
        bytes.extend_from_slice(field);
        caller.send(HEADERS, WHOLE, stream, &bytes);
        assert!(matches!(caller.end_of(stream), End::Answer(0 | 200)), "{what}");
    }
    let values: Vec<String> =
        backend.requests().iter().map(|seen| seen.header("y").unwrap_or_default().to_owned()).collect();
    assert_eq!(values, ["1", "1", "2", "3", "4", "5"]);
    // A table that is made smaller forgets its fields, and one of the allowed size is taken.
    let mut size = vec![0x20];
    integer(&mut size, 0x20, 5, 4_096);
    caller.send(HEADERS, WHOLE, 21, &[size, get("/public/x"), literal("y", b"6")].concat());
    assert!(matches!(caller.end_of(21), End::Answer(_)));
    caller.send(HEADERS, WHOLE, 23, &[get("/public/x"), vec![0xbe]].concat());
    assert!(matches!(caller.ends(), End::GoAway(_) | End::Closed));
    assert_eq!(backend.requests().len(), 7);
}
