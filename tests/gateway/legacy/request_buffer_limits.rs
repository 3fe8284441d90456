//! Temporary files of request bodies: how many, how many of one caller, and how large together.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::harness::h2_frames::{self, Caller, DATA, END_HEADERS, END_STREAM, End, HEADERS, RST_STREAM};
use crate::harness::workspace::Workspace;
use crate::harness::*;

/// Descriptors of the process: 8 for operators and 64 for others leave 184, an eighth of which is for temporary files.
const LIMIT: &str = r#"ulimit -n 256; exec "$@""#;
const FILES: usize = 23;

/// A gateway with few descriptors, and a directory for what is larger than 1 KiB.
fn with_directory(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    let backend = Backend::start();
    let config = Config::new(&backend)
        .set("/backends/legacy/request_buffering", json!(true))
        .set("/backends/legacy/request_buffer", json!("1KiB"))
        .set("/backends/legacy/request_buffer_directory", json!("buffer"));
    let config = change(config);
    let files = Workspace::new(&config);
    fs::create_dir(files.path.join("buffer")).unwrap();
    (backend, Gateway::start_in_shell(Arc::new(files), config.signing_key.clone(), LIMIT))
}

/// The descriptors of temporary files.
fn open_files(gateway: &Gateway) -> Vec<PathBuf> {
    let all = fs::read_dir(format!("/proc/{}/fd", gateway.id())).unwrap().map(|entry| entry.unwrap().path());
    let is_buffer =
        |path: &PathBuf| fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains(".wicketgate-body-"));
    all.filter(is_buffer).collect()
}

#[track_caller]
fn expect_files(gateway: &Gateway, count: usize) {
    eventually(&format!("{count} temporary files"), || open_files(gateway).len() == count);
}

/// The odd numbers of so many streams.
fn streams(from: usize, count: usize) -> impl Iterator<Item = u32> + Clone {
    (from..from + count).map(|number| u32::try_from(2 * number + 1).unwrap())
}

/// Begins an upload whose end does not come.
fn begin(caller: &mut Caller, stream: u32, fields: &[(&str, &str)]) {
    let path = if fields.is_empty() { "/public/x" } else { "/me/x" };
    let head = [&h2_frames::head("POST", path)[..], fields].concat();
    caller.send(HEADERS, END_HEADERS, stream, &h2_frames::block(&head));
    caller.send(DATA, 0, stream, &[b'x'; 2_000]);
}

#[test]
fn one_caller_holds_at_most_its_share_of_the_temporary_files_by_bodies_that_do_not_come() {
    let (backend, gateway) = with_directory(|c| c);
    let mut caller = Caller::open(gateway.address);
    let most = FILES / 2;
    for stream in streams(0, most) {
        begin(&mut caller, stream, &[]);
    }
    expect_files(&gateway, most);
    // Nor by another connection.
    let (mut again, mut more) = (Caller::open(gateway.address), streams(most, 2));
    begin(&mut again, 1, &[]);
    assert_eq!(again.end_of(1), End::Answer(429));
    // Others have what is theirs, and what needs no file is taken.
    let token = format!("JWT {}", gateway.customer_token());
    begin(&mut again, 3, &[("customer-auth", &token)]);
    expect_files(&gateway, most + 1);
    gateway.post("/public/x").body("small").send().ok();
    again.send(DATA, END_STREAM, 3, b"end");
    assert_eq!(again.end_of(3), End::Answer(200));
    assert_eq!(backend.last().body.len(), 2_003);
    // One that is given up makes room for one more.
    caller.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    expect_files(&gateway, most - 1);
    begin(&mut caller, more.next().unwrap(), &[]);
    expect_files(&gateway, most);
    let last = more.next().unwrap();
    begin(&mut caller, last, &[]);
    assert_eq!(caller.end_of(last), End::Answer(429));
    caller.send(DATA, END_STREAM, 3, b"end");
    assert_eq!(caller.end_of(3), End::Answer(200));
    drop(caller);
    expect_files(&gateway, 0);
}

#[test]
fn temporary_files_leave_descriptors_for_connections_and_operators() {
    let (_backend, gateway) = with_directory(|c| c.set("/backends/legacy/upload_share", json!(100)));
    let mut caller = Caller::open(gateway.address);
    for stream in streams(0, FILES) {
        begin(&mut caller, stream, &[]);
    }
    expect_files(&gateway, FILES);
    let token = format!("JWT {}", gateway.customer_token());
    begin(&mut caller, 99, &[("customer-auth", &token)]);
    assert_eq!(caller.end_of(99), End::Answer(503));
    let said = gateway.stderr.wait(|line| line["message"].as_str().is_some_and(|text| text.contains("temporary file")));
    assert!(said.is_some_and(|line| line.to_string().contains("RLIMIT_NOFILE")));
    // (184 - 23) / 2 = 80 for connections, and those are enough for a backend connection each.
    let mut open: Vec<Connection> = (0..79).map(|_| gateway.connect()).collect();
    for connection in &mut open {
        gateway.get("/public/x").send_on(connection).ok();
    }
    assert_eq!(gateway.admin("/livez").status, 200);
    // A connection that ends gives all of its files back.
    drop(caller);
    expect_files(&gateway, 0);
    open.pop();
    let mut caller = Caller::open(gateway.address);
    begin(&mut caller, 1, &[]);
    caller.send(DATA, END_STREAM, 1, b"end");
    assert_eq!(caller.end_of(1), End::Answer(200));
}

/// A body in one chunk, of which the end is missing.
fn large(size: usize) -> Vec<u8> {
    let head = "POST /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    [format!("{head}{size:x}\r\n").as_bytes(), &vec![b'x'; size], b"\r\n"].concat()
}

#[test]
fn the_temporary_files_of_a_backend_have_a_size_together() {
    let (backend, gateway) = with_directory(|c| c.set("/backends/legacy/request_buffer_total", json!("500KiB")));
    let mut slow = gateway.connect();
    slow.send(&large(300_000));
    let size =
        || open_files(&gateway).iter().filter_map(|path| fs::metadata(path).ok()).map(|it| it.size()).sum::<u64>();
    eventually("the first body is in its file", || size() >= 256 * 1024);
    let whole = [large(300_000), b"0\r\n\r\n".to_vec()].concat();
    let refused = gateway.connect().exchange(&whole).unwrap().expect(503, "503-01");
    assert_eq!(gateway.access_line(refused.header("X-Request-Id").unwrap())["refusal"], "request_buffer");
    let said = gateway.stderr.wait(|line| line["message"].as_str().is_some_and(|text| text.contains("temporary file")));
    assert!(said.is_some_and(|line| line.to_string().contains("request_buffer_total")));
    backend.assert_untouched();
    slow.send(b"0\r\n\r\n");
    slow.receive("POST").unwrap().ok();
    expect_files(&gateway, 0);
    // What is gone has given its room back, also what was refused and what was given up.
    for _ in 0..3 {
        let mut given_up = gateway.connect();
        given_up.send(&large(300_000));
        eventually("the body is in its file", || size() >= 256 * 1024);
        given_up.abort();
        expect_files(&gateway, 0);
    }
    gateway.connect().exchange(&whole).unwrap().ok();
    assert_eq!(backend.last().body.len(), 300_000);
}
