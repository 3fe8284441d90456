//! Refusals because of this gateway's own resources: state, memory, disk, hashing.

use std::sync::Arc;

use super::Provoked;
use crate::harness::workspace::Workspace;
use crate::harness::*;

pub(super) const WORDS: &[&[&str]] = &[STATE, MEMORY, BUFFER, HASHES];

const STATE: &[&str] = &["state_unavailable"];

const MEMORY: &[&str] = &["memory"];

const BUFFER: &[&str] = &["request_buffer"];

const HASHES: &[&str] = &["hash_queue"];

#[test]
fn the_word_of_a_store_that_is_away() {
    let mut redis = RedisServer::start();
    let (_backend, gateway) = world_with(|c| c.cookies("both").set("/state", json!({"redis": {"url": redis.url()}})));
    gateway.is_ready();
    let provoked = Provoked::at(&gateway);
    gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    redis.kill();
    provoked.answered("state_unavailable", &gateway.login_request(ALICE.name, ALICE.secret).send_patiently());
    provoked.are(STATE);
}

#[test]
fn the_word_of_a_process_above_its_memory_limit() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let provoked = Provoked::at(&gateway);
    let mut open = gateway.connect();
    gateway.get("/public/x").send_on(&mut open).ok();
    gateway.reload(&config.set("/memory_limit", json!("1MiB")), "reloaded");
    assert!(gateway.stderr.wait(|line| line["is_short"] == true).is_some());
    provoked.answered("memory", &gateway.get("/public/x").send_on(&mut open));
    provoked.are(MEMORY);
}

#[test]
fn the_word_of_a_disk_on_which_no_body_can_be_buffered() {
    let backend = Backend::start();
    let config = Config::new(&backend)
        .set("/backends/legacy/request_buffering", json!(true))
        .set("/backends/legacy/request_buffer", json!("1KiB"))
        .set("/backends/legacy/request_buffer_directory", json!("buffer"));
    let files = Workspace::new(&config);
    let directory = files.path.join("buffer");
    std::fs::create_dir(&directory).unwrap();
    let gateway = Gateway::start_in(Arc::new(files), config.signing_key.clone());
    let provoked = Provoked::at(&gateway);
    std::fs::remove_dir(&directory).unwrap();
    let chunk = format!("800\r\n{}\r\n0\r\n\r\n", "x".repeat(0x800));
    let upload = format!("POST /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    provoked.answered("request_buffer", &gateway.connect().exchange(upload.as_bytes()).unwrap());
    provoked.are(BUFFER);
}

#[test]
fn the_word_of_a_password_that_has_no_place_among_those_that_wait_to_be_hashed() {
    let many = json!({"free": 10_000, "free_per_address": 10_000});
    let (_backend, gateway) = world_with(|c| c.set("/login/attempts", many));
    let provoked = Provoked::at(&gateway);
    let mut callers: Vec<Connection> = (0..120).map(|_| gateway.connect()).collect();
    for (number, caller) in callers.iter_mut().enumerate() {
        caller.patience(6 * DEADLINE);
        caller.send(&gateway.login_request(&format!("user-{number}"), "wrong").bytes());
    }
    let answers: Vec<Response> = callers.iter_mut().map(|caller| caller.receive("POST").unwrap()).collect();
    let refused = answers.iter().find(|answer| answer.status == 503).expect("more than 64 wait");
    provoked.answered("hash_queue", refused);
    provoked.are(HASHES);
}
