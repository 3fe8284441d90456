//! The type of a body is one value with one charset, or it is refused.

use crate::harness::*;

fn only_json(config: Config) -> Config {
    config.route("public", "content_types", json!(["application/json"])).route(
        "me",
        "identifier",
        json!({"body": "/customer/id"}),
    )
}

#[test]
fn two_content_types_are_400() {
    let (backend, gateway) = world_with(only_json);
    let token = gateway.customer_token();
    for values in [
        &["application/json", "text/html"][..],
        &["text/html", "application/json"],
        &["application/json", "application/json"],
        &["application/json, text/html"],
        &["application/json; charset=utf-8, text/html"],
        &["application/json;charset"],
        &["json"],
        &["application/json; a=\"b"],
        &["application/json text/html"],
        &[""],
    ] {
        for request in [gateway.post("/public/x"), gateway.post("/me/x").customer(&token)] {
            let request = values.iter().fold(request, |request, value| request.header("Content-Type", value));
            let answer = request.body("{}").send();
            assert_eq!((answer.status, answer.code().as_str()), (400, "400-01"), "{values:?}");
        }
    }
    backend.assert_untouched();
}

#[test]
fn a_charset_other_than_utf_8_is_415_where_the_body_is_read_or_written() {
    let (backend, gateway) = world_with(|c| {
        only_json(c).route("system", "require", json!(["customer"])).route(
            "system",
            "customer_token_sources",
            json!([{"body": "/token"}]),
        )
    });
    let token = gateway.customer_token();
    let read = json!({"token": token}).to_string();
    for charset in ["utf-7", "\"UTF-16\"", "iso-8859-1", "utf-8; charset=utf-7", "\"\"", "utf-8 ; CHARSET = utf-16"] {
        let kind = format!("application/json; charset={charset}");
        let written = gateway.post("/me/x").customer(&token).header("Content-Type", &kind).body("{}");
        let in_body = gateway.post("/system/x").header("Content-Type", &kind).body(read.clone());
        let form = gateway
            .post("/auth/customer_authenticate")
            .header("Content-Type", &format!("application/x-www-form-urlencoded; charset={charset}"));
        let form = form.body(format!("username={}&password={}", ALICE.name, ALICE.secret));
        for request in [written, in_body, form] {
            // No space stands around `=` (RFC 9110 section 5.6.6).
            let expected = if charset.contains(" = ") { (400, "400-01") } else { (415, "415-01") };
            let answer = request.send();
            assert_eq!((answer.status, answer.code().as_str()), expected, "{} {charset}", request.target);
        }
    }
    backend.assert_untouched();
}

#[test]
fn utf_8_and_ascii_pass_however_they_are_written() {
    let (backend, gateway) = world_with(only_json);
    let token = gateway.customer_token();
    for kind in [
        "application/json",
        "Application/JSON;charset=UTF-8",
        "application/json ; charset=\"utf-8\"",
        "application/json; charset=us-ascii",
        "application/json;",
        "application/json; profile=\"a;b, c\\\"d\"; charset=utf8",
    ] {
        for request in [gateway.post("/public/x"), gateway.post("/me/x").customer(&token)] {
            request.header("Content-Type", kind).body("{}").send().ok();
            assert_eq!(backend.last().header("Content-Type"), Some(kind));
        }
    }
    // What is only passed on may be written in anything.
    gateway.post("/public/x").header("Content-Type", "application/json; charset=utf-16").body("{}").send().ok();
}

#[test]
fn a_charset_that_only_some_readers_find_is_415_too() {
    let (backend, gateway) = world_with(only_json);
    let token = gateway.customer_token();
    for parameters in [
        "charset*=utf-8''utf-7",
        "charset*0=utf-7",
        "charset=utf-8; charset*=utf-8''utf-7",
        "x=\"a;charset=utf-7\"",
        "x-charset=utf-7",
    ] {
        let kind = format!("application/json; {parameters}");
        let answer = gateway.post("/me/x").customer(&token).header("Content-Type", &kind).body("{}").send();
        assert_eq!((answer.status, answer.code().as_str()), (415, "415-01"), "{parameters}");
    }
    backend.assert_untouched();
    for parameters in ["profile=\"https://example.com/x\"", "charset=\"UTF-8\"", "v=1"] {
        let kind = format!("application/json; {parameters}");
        gateway.post("/me/x").customer(&token).header("Content-Type", &kind).body("{}").send().ok();
    }
}
