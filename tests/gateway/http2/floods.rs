//! Floods: HTTP/2 frames, connections, slow readers. Each is ended within a number of frames, takes no memory to speak
//! of, and keeps nobody else from being served.

use std::time::Duration;

use crate::harness::h2_frames::{
    CONTINUATION, Caller, DATA, END_HEADERS, End, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE,
    block, frame, get, head, integer, literal,
};
use crate::harness::*;

/// GOAWAY and RST_STREAM codes (RFC 9113 section 7).
const FLOW_CONTROL: u32 = 0x3;
const REFUSED: u32 = 0x7;
const CANCEL: u32 = 0x8;
const CALM: u32 = 0xb;

/// How much memory a flood may cost.
const MEMORY: f64 = 5e6;

/// A caller that is served, and how much memory the gateway had then.
struct Bystander {
    connection: Connection,
    memory: f64,
}

impl Bystander {
    fn new(gateway: &Gateway) -> Self {
        let mut connection = gateway.connect();
        for _ in 0..3 {
            gateway.get("/public/x").send_on(&mut connection).ok();
            let mut caller = Caller::open(gateway.address);
            caller.get(1, "/public/x");
            assert_eq!(caller.end_of(1), End::Answer(200));
        }
        Self { connection, memory: gateway.memory() }
    }

    #[track_caller]
    fn is_served(&mut self, gateway: &Gateway) {
        gateway.get("/public/x").send_on(&mut self.connection).ok();
        let more = gateway.memory() - self.memory;
        assert!(more < MEMORY, "the flood took {more} bytes");
    }
}

fn closed(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric("wicketgate_connections_closed_total", &[("reason", reason)])
}

/// One connection has been closed for this reason.
#[track_caller]
fn is_closed(gateway: &Gateway, reason: &str) {
    gateway.expect_metric("wicketgate_connections_closed_total", &[("reason", reason)], 1.0);
}

/// Sends at most so many frames, as fast as they go: the connection ends, somebody else is served before and after.
#[track_caller]
fn is_ended(most: usize, begin: impl Fn(&mut Caller), next: impl Fn(usize) -> Vec<u8>) -> End {
    let (_backend, gateway) = world();
    let mut bystander = Bystander::new(&gateway);
    let mut caller = Caller::open(gateway.address);
    begin(&mut caller);
    for from in (0..most).step_by(100) {
        let frames: Vec<u8> = (from..from + 100).flat_map(&next).collect();
        caller.connection.send(&frames);
        if from == most / 2 / 100 * 100 {
            bystander.is_served(&gateway);
        }
    }
    let end = caller.ends();
    bystander.is_served(&gateway);
    gateway.expect_metric("wicketgate_requests_in_flight", &[], 0.0);
    end
}

/// As above, of frames that mean the same each time.
#[track_caller]
fn frames_are_a_flood(flood: &[u8]) {
    let end = is_ended(5_000, |_| {}, |_| flood.to_vec());
    assert!(matches!(end, End::GoAway(CALM) | End::Closed), "{end:?}");
}

fn stream(number: usize) -> u32 {
    u32::try_from(2 * number + 1).unwrap()
}

#[test]
fn a_flood_of_pings_is_ended() {
    frames_are_a_flood(&frame(PING, 0, 0, b"floodfld"));
}

#[test]
fn a_flood_of_settings_is_ended() {
    frames_are_a_flood(&frame(SETTINGS, 0, 0, b""));
}

#[test]
fn a_flood_of_priorities_is_ended() {
    frames_are_a_flood(&frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 7]));
}

#[test]
fn a_flood_of_window_updates_is_ended() {
    frames_are_a_flood(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
}

#[test]
fn a_flood_of_unknown_frames_is_ended() {
    frames_are_a_flood(&frame(0xee, 0, 0, b""));
}

#[test]
fn a_flood_of_empty_data_is_ended() {
    let post = |caller: &mut Caller| caller.send(HEADERS, END_HEADERS, 1, &block(&head("POST", "/public/x")));
    let end = is_ended(5_000, post, |_| frame(DATA, 0, 1, b""));
    assert!(matches!(end, End::GoAway(CALM) | End::Closed), "{end:?}");
}

#[test]
fn rapid_reset_is_ended() {
    let pair = |number| [frame(HEADERS, WHOLE, stream(number), &get("/public/x")), reset(stream(number))].concat();
    let end = is_ended(1_000, |_| {}, pair);
    assert!(matches!(end, End::GoAway(CALM) | End::Closed), "{end:?}");
}

#[test]
fn a_library_that_gives_up_many_calls_at_once_keeps_its_connection() {
    let (_backend, gateway) = world();
    let mut caller = Caller::open(gateway.address);
    let pair = |number| [frame(HEADERS, WHOLE, stream(number), &get("/public/x")), reset(stream(number))].concat();
    let calls: Vec<u8> = (0..60).flat_map(pair).collect();
    caller.connection.send(&calls);
    caller.get(stream(60), "/public/x");
    assert_eq!(caller.end_of(stream(60)), End::Answer(200));
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

#[test]
fn made_you_reset_is_ended() {
    let pair = |number| {
        let post = block(&head("POST", "/public/x"));
        let bad = frame(WINDOW_UPDATE, 0, stream(number), &[0; 4]);
        [frame(HEADERS, END_HEADERS, stream(number), &post), bad].concat()
    };
    let end = is_ended(1_000, |_| {}, pair);
    assert!(matches!(end, End::GoAway(CALM) | End::Closed), "{end:?}");
}

#[test]
fn requests_that_are_given_up_once_the_backend_has_them_are_a_flood_too() {
    let (backend, gateway) = world();
    backend.on("/public/slow", Behaviour::Silent);
    let mut bystander = Bystander::new(&gateway);
    let mut caller = Caller::open(gateway.address);
    let mut given_up = 0;
    'flood: while given_up < 500 {
        caller.get(stream(given_up), "/public/slow");
        while backend.requests_for("/public/slow").len() <= given_up {
            if closed(&gateway, "flood") > 0.0 {
                break 'flood;
            }
        }
        caller.connection.send(&reset(stream(given_up)));
        given_up += 1;
    }
    assert!((300..500).contains(&given_up), "{given_up}");
    assert!(matches!(caller.ends(), End::GoAway(CALM) | End::Closed));
    bystander.is_served(&gateway);
    gateway.expect_metric("wicketgate_requests_in_flight", &[], 0.0);
}

#[test]
fn a_flood_of_continuations_is_ended_within_64_kib() {
    let begin = |caller: &mut Caller| caller.send(HEADERS, 0, 1, &get("/public/x"));
    for payload in [literal("x", &[b'x'; 600]), Vec::new()] {
        let end = is_ended(100, begin, |_| frame(CONTINUATION, 0, 1, &payload));
        assert!(matches!(end, End::GoAway(CALM) | End::Closed), "{end:?}");
    }
}

#[test]
fn an_hpack_bomb_is_ended() {
    let (backend, gateway) = world();
    let mut bystander = Bystander::new(&gateway);
    let before = backend.requests().len();
    let mut caller = Caller::open(gateway.address);
    // One field of 3.9 kB enters the table; then it is named 4,000 times by a byte each.
    let mut bomb = get("/public/x");
    bomb.push(0x40);
    integer(&mut bomb, 0, 7, 1);
    bomb.push(b'x');
    integer(&mut bomb, 0, 7, 3_900);
    bomb.extend_from_slice(&[b'x'; 3_900]);
    bomb.extend_from_slice(&[0xbe; 4_000]);
    caller.send(HEADERS, WHOLE, 1, &bomb);
    assert!(matches!(caller.end_of(1), End::GoAway(CALM) | End::Closed));
    bystander.is_served(&gateway);
    assert_eq!(backend.requests().len(), before + 1, "only the bystander's");
}

#[test]
fn ten_thousand_fields_of_a_byte_and_five_thousand_cookie_crumbs_are_431() {
    let (backend, gateway) = world();
    let mut bystander = Bystander::new(&gateway);
    let before = backend.requests().len();
    let cookies: Vec<u8> = (0..1_000).flat_map(|number| literal("cookie", format!("c{number}=1").as_bytes())).collect();
    // Static table: 0x84 is `:path: /`, 0x90 is `accept-encoding: gzip, deflate`.
    let indexed = [get("/public/x"), vec![0x90; 10_000]].concat();
    for (stream, fields) in [(1, [get("/public/x"), cookies].concat()), (3, indexed)] {
        let mut caller = Caller::open(gateway.address);
        let mut pieces = fields.chunks(16_000);
        caller.send(HEADERS, 1, stream, pieces.next().unwrap());
        for piece in pieces {
            caller.send(CONTINUATION, 0, stream, piece);
        }
        caller.send(CONTINUATION, END_HEADERS, stream, b"");
        let end = caller.end_of(stream);
        assert!(matches!(end, End::Answer(431) | End::GoAway(CALM)), "{end:?}");
    }
    bystander.is_served(&gateway);
    assert_eq!(backend.requests().len(), before + 1, "only the bystander's");
    let (backend, gateway) = world_with(|c| c.limit("headers", json!(20)));
    let mut caller = Caller::open(gateway.address);
    for (stream, crumbs, status) in [(1, 10, 200), (3, 30, 431)] {
        let crumbs: Vec<u8> =
            (0..crumbs).flat_map(|number| literal("cookie", format!("c{number}=1").as_bytes())).collect();
        caller.send(HEADERS, WHOLE, stream, &[get("/public/x"), crumbs].concat());
        assert_eq!(caller.end_of(stream), End::Answer(status));
    }
    assert_eq!(backend.only().all("cookie"), ["c0=1; c1=1; c2=1; c3=1; c4=1; c5=1; c6=1; c7=1; c8=1; c9=1"]);
}

#[test]
fn streams_above_the_limit_are_refused() {
    let (backend, gateway) = world_with(|c| c.limit("streams", json!(10)));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let mut caller = Caller::silent(gateway.address);
    caller.connection.send(&[crate::harness::h2_frames::PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
    let said = caller.next().unwrap();
    assert!(said.payload.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 10]), "{said:?}");
    caller.send(SETTINGS, 1, 0, b"");
    for number in 0..30 {
        caller.get(stream(number), "/public/slow");
    }
    for number in 10..30 {
        assert_eq!(caller.end_of(stream(number)), End::Reset(REFUSED));
    }
    backend.wait_for(10);
    gate.open();
    for _ in 0..10 {
        let answer = std::iter::from_fn(|| caller.next()).find(|frame| frame.kind == HEADERS).unwrap();
        assert!(answer.stream < 20);
    }
    assert_eq!(backend.requests().len(), 10);
}

#[test]
fn streams_without_a_window_are_reset_and_the_connection_lives() {
    let (backend, gateway) = world_with(|c| c.limit("body_idle_timeout", json!("400ms")));
    backend.on("/public/large", Behaviour::reply(200, &[], &vec![b'x'; 1_000_000]));
    let mut caller = Caller::with(gateway.address, &[(4, 0)]);
    for number in 0..20 {
        caller.get(stream(number), "/public/large");
    }
    let mut resets = 0;
    while resets < 20 {
        let frame = caller.next().expect("the connection has ended");
        if frame.kind == RST_STREAM {
            assert_eq!(frame.payload, CANCEL.to_be_bytes());
            resets += 1;
        }
    }
    gateway.expect_metric("wicketgate_requests_in_flight", &[], 0.0);
    caller.lives();
    // Who takes its answer is not reset, though it takes longer than that.
    caller.get(101, "/public/large");
    caller.send(WINDOW_UPDATE, 0, 0, &(1_000_000_u32).to_be_bytes());
    let mut taken = 0;
    while taken < 1_000_000 {
        caller.send(WINDOW_UPDATE, 0, 101, &(100_000_u32).to_be_bytes());
        let until = taken + 100_000;
        while taken < until {
            let frame = caller.next().expect("the connection has ended");
            assert_ne!(frame.kind, RST_STREAM, "after {taken} bytes");
            taken += if frame.kind == DATA { frame.payload.len() } else { 0 };
        }
        std::thread::sleep(Duration::from_millis(60));
    }
}

#[test]
fn a_caller_that_takes_all_but_the_end_of_an_answer_is_closed() {
    let (backend, gateway) =
        world_with(|c| c.limit("body_idle_timeout", json!("400ms")).limit("idle_timeout", json!("60s")));
    backend.on("/public/small", Behaviour::reply(200, &[], &[b'x'; 10_000]));
    let mut caller = Caller::with(gateway.address, &[(4, 9_999)]);
    caller.get(1, "/public/small");
    assert_eq!(caller.end_of(1), End::Answer(200));
    assert_eq!(caller.ends(), End::Closed);
    is_closed(&gateway, "write_timeout");
}

#[test]
fn an_http2_exchange_that_takes_too_long_in_all_is_ended_however_busy_it_is() {
    let (backend, gateway) =
        world_with(|c| c.limit("request_timeout", json!("700ms")).limit("body_idle_timeout", json!("20s")));
    backend.on("/public/large", Behaviour::reply(200, &[], &vec![b'x'; 1_000_000]));
    let mut caller = Caller::with(gateway.address, &[(4, 1_000)]);
    caller.get(1, "/public/large");
    assert_eq!(caller.end_of(1), End::Answer(200));
    caller.connection.patience(DEADLINE);
    loop {
        caller.send(WINDOW_UPDATE, 0, 1, &(1_000_u32).to_be_bytes());
        let frame = caller.next().expect("the connection has ended");
        if frame.kind == RST_STREAM {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn uploads_to_a_backend_that_does_not_read_stay_within_their_window() {
    // It takes connections, and nothing that comes on them.
    let stuck = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    stuck.set_recv_buffer_size(4_096).unwrap();
    stuck.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    stuck.listen(8).unwrap();
    let url = format!("http://{}", stuck.local_addr().unwrap().as_socket().unwrap());
    let backend = Backend::start();
    let config = Config::with_server(&backend.url())
        .set("/backends/stuck", json!({"servers": [url]}))
        .route("key", "backend", json!("stuck"))
        .route("key", "limits", json!({"body": "100MiB"}));
    let gateway = Gateway::start(&config);
    let mut bystander = Bystander::new(&gateway);
    let mut caller = Caller::open(gateway.address);
    let mut post = head("POST", "/key/x");
    post.push(("api-key", API_KEY));
    caller.send(HEADERS, END_HEADERS, 1, &block(&post));
    // Nobody reads what says how much more may come, so sooner or later it is too much.
    for _ in 0..1_000 {
        caller.send(DATA, 0, 1, &[b'x'; 16_384]);
    }
    let end = caller.end_of(1);
    assert!(matches!(end, End::Reset(FLOW_CONTROL) | End::GoAway(FLOW_CONTROL) | End::Closed), "{end:?}");
    bystander.is_served(&gateway);
}

#[test]
fn a_request_head_that_does_not_end_is_closed_on_http2_too() {
    let (backend, gateway) = world_with(|c| c.limit("head_timeout", json!("300ms")));
    backend.on("/public/slow", Behaviour::Silent);
    let mut caller = Caller::open(gateway.address);
    caller.get(1, "/public/slow");
    caller.send(HEADERS, 1, 3, &get("/public/x"));
    assert!(matches!(caller.ends(), End::Closed));
    is_closed(&gateway, "head_timeout");
    assert!(backend.requests_for("/public/x").is_empty());
}

#[test]
fn connections_above_the_limit_of_an_address_are_closed_and_others_are_taken() {
    let (_backend, gateway) =
        world_with(|c| c.set("/listen/0/address", json!("0.0.0.0:0")).limit("connections_per_address", json!(3)));
    let mut open: Vec<Connection> = (0..3).map(|_| gateway.connect()).collect();
    assert!(Connection::plain(gateway.address).closes());
    is_closed(&gateway, "too_many_from_address");
    for connection in &mut open {
        gateway.get("/public/x").send_on(connection).ok();
    }
    // The same gateway, asked from another address of this machine.
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&"127.0.0.2:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    other.connect(&std::net::SocketAddr::from(([127, 0, 0, 1], gateway.address.port())).into()).unwrap();
    let mut other = Connection::over(other.into(), client::tls(b"http/1.1", None)).unwrap();
    gateway.get("/public/x").send_on(&mut other).ok();
    open.pop();
    gateway.expect_metric("wicketgate_connections_open", &[], 3.0);
    gateway.get("/public/x").send().ok();
}

#[test]
fn handshakes_above_the_limit_are_closed_and_open_connections_live() {
    let (_backend, gateway) = world_with(|c| c.limit("handshakes", json!(2)).limit("handshake_timeout", json!("60s")));
    let mut open = gateway.connect();
    gateway.get("/public/x").send_on(&mut open).ok();
    let silent: Vec<Connection> = (0..2).map(|_| Connection::plain(gateway.address)).collect();
    gateway.expect_metric("wicketgate_connections_open", &[], 3.0);
    assert!(Connection::plain(gateway.address).closes());
    is_closed(&gateway, "too_many_handshakes");
    gateway.get("/public/x").send_on(&mut open).ok();
    drop(silent);
    gateway.expect_metric("wicketgate_connections_open", &[], 1.0);
    gateway.get("/public/x").send().ok();
}

#[test]
fn one_caller_of_a_proxy_that_gives_up_its_requests_does_not_end_the_connection_for_all() {
    let (backend, gateway) = world_with(|c| c.set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"])));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let mut proxy = Caller::open(gateway.address);
    proxy.get(1, "/public/slow");
    backend.wait_for(1);
    for number in 1..2_000 {
        proxy.get(stream(number), "/public/slow");
        proxy.send(RST_STREAM, 0, stream(number), &8_u32.to_be_bytes());
        if number % 20 == 0 {
            proxy.lives();
        }
    }
    gate.open();
    assert_eq!(proxy.end_of(1), End::Answer(200));
}
