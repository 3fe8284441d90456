//! The access log: one audit line for each request, one JSON object a line.

use crate::harness::*;

#[test]
fn each_request_leaves_one_audit_line_without_secrets() {
    let (_backend, gateway) = world();
    gateway.profile().header("X-Request-Id", "good-one").send().ok();
    let line = gateway.access_line("good-one");
    assert_eq!(
        (line["method"].as_str(), line["route"].as_str(), line["status"].as_u64()),
        (Some("POST"), Some("profile"), Some(200))
    );
    assert_eq!((line["client"].as_str(), line["api_key"].as_str()), (Some(CLIENT.name), Some("asapp-prod")));
    let identifier = keys::decode(&gateway.customer_token()).1["sub"].clone();
    assert_eq!(line["customer"], identifier);
    assert!(line["refusal"].is_null() && line["time"].is_string(), "{line}");
    assert!(line["client_address"].as_str().unwrap().starts_with("127.0.0.1"), "{line}");
    assert!(line["bytes_out"].as_u64().unwrap() >= 11 && line["protocol"].is_string(), "{line}");

    gateway.profile().replace("api-key", "unknown").header("X-Request-Id", "bad-one").send().expect(403, "403-01");
    let line = gateway.access_line("bad-one");
    assert_eq!((line["status"].as_u64(), line["code"].as_str()), (Some(403), Some("403-01")));
    assert!(line["refusal"].is_string() && line["route"] == "profile", "{line}");

    gateway.get("/nowhere?x=1").header("X-Request-Id", "lost-one").send().expect(404, "404-01");
    let line = gateway.access_line("lost-one");
    assert!(line["route"].is_null() && line["status"] == 404 && !line.to_string().contains("x=1"), "{line}");
}

#[test]
fn the_access_log_is_one_json_object_a_line_whatever_is_sent() {
    let (_backend, gateway) = world();
    for odd in ["\"quoted\"", "\u{1b}[31mred", "a\\nb", "{\"x\":1}", "\u{fc}"] {
        gateway.get("/public/x").header("User-Agent", odd).header("Referer", odd).try_on(&mut gateway.connect()).ok();
    }
    gateway.get("/public/last").header("X-Request-Id", "last").send().ok();
    gateway.access_line("last");
    for line in gateway.stdout.all() {
        assert!(serde_json::from_str::<Value>(&line).is_ok_and(|v| v.is_object()), "{line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    for line in gateway.stderr.all() {
        assert!(serde_json::from_str::<Value>(&line).is_ok_and(|v| v["level"].is_string()), "{line:?}");
    }
}

#[test]
fn the_access_log_can_be_switched_off() {
    let (_backend, mut gateway) = world_with(|c| c.set("/log/access", json!("off")));
    gateway.get("/public/x").send().ok();
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(gateway.stdout.all(), [""; 0]);
}
