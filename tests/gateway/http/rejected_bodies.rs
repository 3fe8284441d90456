//! Request bodies of refused requests: the response arrives, and so does that of the next request.

use std::time::{Duration, Instant};

use crate::harness::h2_frames::{
    Caller, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, block, head,
};
use crate::harness::*;

/// Requests with a body that are refused for as many reasons, with status and code.
fn refused(gateway: &Gateway) -> Vec<(Request, u16)> {
    vec![
        (gateway.post("/account/getprofile"), 401),
        (gateway.post("/nowhere"), 404),
        (gateway.request("DELETE", "/account/getprofile"), 405),
        (gateway.profile().api_key("twice"), 400),
        (gateway.profile().replace("api-key", "unknown"), 403),
        (gateway.post("/auth/customer_authenticate").header("Content-Type", "application/xml"), 415),
        (gateway.request("PUT", "/oauth/access_token"), 405),
        (gateway.get("/.well-known/jwks.json"), 200),
    ]
}

#[test]
fn http_1_1_the_rest_of_a_small_body_is_read_and_the_connection_goes_on() {
    let (_backend, gateway) = world();
    for (request, status) in refused(&gateway) {
        for length in [2, 1_000, 20_000, 64 * 1024] {
            let mut connection = gateway.connect();
            connection.send(&request.clone().header("Content-Length", &length.to_string()).bytes());
            let answer = connection.receive("POST").unwrap().expect(status, "");
            assert!(!answer.close, "{status}: {length}");
            connection.send(&vec![b'x'; length]);
            gateway.get("/public/x").send_on(&mut connection).ok();
            gateway.get("/public/x").send_on(&mut connection).ok();
        }
    }
}

#[test]
fn http_1_1_the_rest_of_a_small_body_may_come_slowly() {
    let (_backend, gateway) = world();
    let mut connection = gateway.connect();
    connection.send(&gateway.post("/nowhere").header("Content-Length", "50000").bytes());
    assert!(!connection.receive("POST").unwrap().expect(404, "404-01").close);
    for _ in 0..5 {
        // As on a slow network.
        std::thread::sleep(Duration::from_millis(500));
        connection.send(&[b'x'; 10_000]);
    }
    gateway.get("/public/x").send_on(&mut connection).ok();
}

#[test]
fn http_1_1_the_answer_says_so_where_the_connection_ends_because_of_a_large_body() {
    let (_backend, gateway) = world();
    for (request, status) in refused(&gateway) {
        for length in [64 * 1024 + 1, 300_000, 2_000_000] {
            let mut connection = gateway.connect();
            connection.send(&request.clone().header("Content-Length", &length.to_string()).bytes());
            let answer = connection.receive("POST").unwrap().expect_one_of(&[status, 413]);
            assert!(answer.close, "{status}: {length}");
            // What is still sent is no reason to cut the answer off: the connection ends in good order.
            connection.send(&vec![b'x'; length.min(500_000)]);
            assert!(connection.closes(), "{status}: {length}");
        }
    }
}

#[test]
fn http_1_1_a_body_that_came_as_a_whole_costs_no_connection_however_it_is_framed() {
    let (_backend, gateway) = world();
    let mut connection = gateway.connect();
    for (request, status) in refused(&gateway) {
        let chunked = request.clone().header("Transfer-Encoding", "chunked").bytes();
        let whole = [&chunked[..], b"1000\r\n", &[b'x'; 0x1000], b"\r\n5\r\nhello\r\n0\r\n\r\n"].concat();
        connection.send(&whole);
        let answer = connection.receive("POST").unwrap().expect(status, "");
        // Where the rest of the chunks was late, nobody could know how much is missing.
        if answer.close {
            connection = gateway.connect();
        }
        request.body("x".repeat(20_000)).send_on(&mut connection).expect(status, "");
        gateway.get("/public/x").send_on(&mut connection).ok();
    }
}

#[test]
fn http_1_1_a_caller_that_waits_to_be_asked_for_its_body_is_told_that_the_connection_ends() {
    let (_backend, gateway) = world();
    let mut connection = gateway.connect();
    let request = gateway.post("/account/getprofile").header("Expect", "100-continue");
    connection.send(&request.header("Content-Length", "1000").bytes());
    let answer = connection.receive("POST").unwrap().expect(401, "401-10");
    assert!(answer.close && answer.interim.is_empty());
    assert!(connection.closes());
}

#[test]
fn http_1_1_a_body_that_never_comes_ends_the_connection_soon() {
    let (_backend, gateway) = world();
    let mut connection = gateway.connect();
    connection.send(&gateway.post("/nowhere").header("Content-Length", "10").bytes());
    connection.receive("POST").unwrap().expect(404, "404-01");
    assert!(connection.closes());
}

/// The head of a POST for this path that is followed by a body.
fn post(caller: &mut Caller, stream: u32, path: &str) {
    caller.send(HEADERS, END_HEADERS, stream, &block(&head("POST", path)));
}

/// The windows that a caller has (RFC 9113 section 6.9).
struct Windows {
    connection: i64,
    stream: i64,
}

impl Windows {
    /// As the gateway says in its SETTINGS.
    fn new() -> Self {
        Self { connection: 65_535, stream: 256 * 1024 }
    }

    /// Sends so many bytes on a stream, as the windows allow, and ends it. Returns whether the stream was reset.
    fn upload(&mut self, caller: &mut Caller, stream: u32, length: usize) -> bool {
        let mut left = length;
        self.stream = Self::new().stream;
        while left > 0 {
            let room = usize::try_from(self.connection.min(self.stream)).unwrap_or(0).min(left).min(16_384);
            if room > 0 {
                left -= room;
                self.connection -= room as i64;
                self.stream -= room as i64;
                caller.send(DATA, if left == 0 { END_STREAM } else { 0 }, stream, &vec![b'x'; room]);
                continue;
            }
            let frame = caller.next().expect("the connection ended");
            match frame.kind {
                WINDOW_UPDATE if frame.stream == 0 => self.connection += i64::from(number(&frame.payload)),
                WINDOW_UPDATE if frame.stream == stream => self.stream += i64::from(number(&frame.payload)),
                RST_STREAM if frame.stream == stream => return true,
                GOAWAY => panic!("{frame:?}"),
                _ => {}
            }
        }
        false
    }

    /// Whether the stream is reset before the gateway answers a PING.
    fn is_reset(&mut self, caller: &mut Caller, stream: u32) -> bool {
        caller.send(PING, 0, 0, b"order-it");
        loop {
            let frame = caller.next().expect("the connection ended");
            match frame.kind {
                RST_STREAM if frame.stream == stream => return true,
                WINDOW_UPDATE if frame.stream == 0 => self.connection += i64::from(number(&frame.payload)),
                PING if frame.payload == b"order-it" => return false,
                _ => {}
            }
        }
    }
}

fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

#[test]
fn http_2_a_refused_body_is_taken_to_its_end_and_nothing_is_reset() {
    let (_backend, gateway) = world();
    let mut caller = Caller::open(gateway.address);
    let (mut windows, mut stream) = (Windows::new(), 1);
    for path in ["/account/getprofile", "/nowhere", "/oauth/access_token?client_secret=x"] {
        for length in [2, 1_000, 20_000, 300_000, 2_000_000] {
            post(&mut caller, stream, path);
            assert!(!windows.upload(&mut caller, stream, length), "{path}: reset before {length} bytes were taken");
            assert!(!windows.is_reset(&mut caller, stream), "{path}: {length}");
            stream += 2;
        }
    }
    caller.get(stream, "/public/x");
    assert_eq!(caller.end_of(stream), h2_frames::End::Answer(200));
}

#[test]
fn http_2_the_answer_comes_before_the_body_does_and_nothing_is_reset_behind_it() {
    let (_backend, gateway) = world();
    for _ in 0..3 {
        let (mut caller, mut windows) = (Caller::open(gateway.address), Windows::new());
        post(&mut caller, 1, "/account/getprofile");
        assert_eq!(caller.end_of(1), h2_frames::End::Answer(401));
        assert!(!windows.is_reset(&mut caller, 1));
        caller.send(DATA, END_STREAM, 1, b"late");
        assert!(!windows.is_reset(&mut caller, 1));
    }
}

#[test]
fn http_2_a_body_without_end_is_reset_after_a_while_without_an_error() {
    let (_backend, gateway) = world();
    let mut caller = Caller::open(gateway.address);
    post(&mut caller, 1, "/nowhere");
    assert_eq!(caller.end_of(1), h2_frames::End::Answer(404));
    let begun = Instant::now();
    assert_eq!(caller.end_of(1), h2_frames::End::Reset(0));
    assert!(begun.elapsed() > Duration::from_millis(300), "{:?}", begun.elapsed());
    // What is more than the bounds is not taken: the window ends.
    post(&mut caller, 3, "/nowhere");
    assert!(Windows::new().upload(&mut caller, 3, 64 * 1024 * 1024));
    caller.lives();
}
