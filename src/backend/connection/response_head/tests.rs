use proptest::prelude::*;

use super::*;

const ALL: [ResponseFault; 3] = [ResponseFault::FoldedField, ResponseFault::InvalidField, ResponseFault::OddStatusLine];

fn options(tolerated: &[ResponseFault]) -> HttpOptions {
    HttpOptions { tolerated: tolerated.to_vec(), ..HttpOptions::default() }
}

fn mended(head: &str, tolerated: &[ResponseFault]) -> String {
    String::from_utf8_lossy(&ResponseHead::mend(head.as_bytes(), &options(tolerated)).bytes).into_owned()
}

#[test]
fn each_fault_is_mended_where_it_is_tolerated_and_only_there() {
    let cases = [
        (0, "HTTP/1.1 200 OK\r\nA: b\r\n  c\r\n\td\r\nE: f\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b c d\r\nE: f\r\n\r\n"),
        (0, "HTTP/1.1 200 OK\nA:\n \n b\n\n", "HTTP/1.1 200 OK\nA: b\r\n\n"),
        (
            0,
            "HTTP/1.1 200 OK\r\nVary: a,\r\n Content-Length\r\n\r\n",
            "HTTP/1.1 200 OK\r\nVary: a, Content-Length\r\n\r\n",
        ),
        (1, "HTTP/1.1 200 OK\r\nno field\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"),
        (1, "HTTP/1.1 200 OK\r\n: b\r\nX Y: b\r\nZ: \x01\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"),
        (1, "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"),
        (2, "http/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
        (2, "HTTP/1.0  \t200   OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"),
        (2, "HTTP/1.1 200OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
        (2, "\r\nHTTP/1.1 404 Not\x07Found\r\n\r\n", "HTTP/1.1 404 \r\n\r\n"),
    ];
    for (fault, head, expected) in cases {
        assert_eq!(mended(head, &[ALL[fault]]), expected, "{head:?}");
        let others: Vec<ResponseFault> = ALL.into_iter().filter(|other| *other != ALL[fault]).collect();
        let same = ResponseHead::mend(head.as_bytes(), &options(&others));
        assert!(same.faults.is_empty(), "{head:?} {same:?}");
        assert_eq!(mended(head, &others), head.trim_start_matches("\r\n"));
    }
}

#[test]
fn nothing_that_could_be_about_the_length_of_the_body_is_mended() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n\tTransfer-Encoding : chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\x01\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-\r\n Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTrans\x00fer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n Content-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: first\r\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\rContent-Length: 5\r\nA: b\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
    ] {
        let same = ResponseHead::mend(head.as_bytes(), &options(&ALL));
        assert!(same.faults.is_empty(), "{head:?} {same:?}");
        assert_eq!(mended(head, &ALL), head);
    }
}

#[test]
fn what_a_head_says_of_its_body_is_known() {
    let told = |head: &str| {
        let head = ResponseHead::mend(head.as_bytes(), &options(&ALL));
        (head.status, head.has_no_framing)
    };
    assert_eq!(told("http/1.0 200\r\nServer: x\r\n\r\n"), (200, true));
    assert_eq!(told("HTTP/1.1 100 Continue\r\n\r\n"), (100, true));
    assert_eq!(told("HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\n"), (200, false));
    assert_eq!(told("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), (200, false));
    assert_eq!(told("nonsense\r\n\r\n"), (0, true));
}

proptest! {
    #[test]
    fn the_end_of_a_head_is_found_however_it_is_cut(
        breaks in proptest::collection::vec("\r?\n", 4),
        rest in "[a-z\r\n]{0,20}",
        cuts in proptest::collection::vec(0_usize..90, 0..8),
    ) {
        let head = format!("{}HTTP/1.1 200 OK{}A: b{}{}", breaks[0], breaks[1], breaks[2], breaks[3]);
        let all = format!("{head}{rest}");
        let mut end = HeadEnd::default();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(all.len())).chain([all.len()]).collect();
        cuts.sort_unstable();
        let found = cuts.into_iter().find_map(|cut| end.find(&all.as_bytes()[..cut]));
        prop_assert_eq!(found, Some(head.len()));
    }

    #[test]
    fn whatever_comes_a_mended_head_is_one_and_has_no_more_lines(
        fields in proptest::collection::vec("[ \t]{0,2}[a-zA-Z :\r\u{1}-]{0,12}(Content-Length: 5)?", 0..6),
    ) {
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", fields.join("\r\n"));
        let mut end = HeadEnd::default();
        let Some(length) = end.find(head.as_bytes()) else { return Ok(()) };
        let head = &head[..length];
        let better = ResponseHead::mend(head.as_bytes(), &options(&ALL));
        let count = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count();
        prop_assert!(count(&better.bytes) <= count(head.as_bytes()));
        prop_assert_eq!(HeadEnd::default().find(&better.bytes), Some(better.bytes.len()));
        // No field about the length of the body comes, and none goes.
        let framing = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').filter(|line| looks_like_framing(line)).count();
        prop_assert_eq!(framing(&better.bytes), framing(head.as_bytes()));
    }
}
