#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use super::*;

fn answer(status: u16, body: &str) -> PostAnswer {
    PostAnswer { status, retry_after: None, body: Bytes::copy_from_slice(body.as_bytes()) }
}

#[test]
fn the_answer_of_a_token_endpoint_gives_a_token_and_its_lifetime() {
    for (rest, seconds) in [
        (r#","token_type":"Bearer","expires_in":3600"#, 3_600),
        (r#","token_type":"bearer","expires_in":"60""#, 60),
        (r#","expires_in":59.9"#, 59),
        ("", 300),
    ] {
        let (field, lifetime) = read(&answer(200, &format!(r#"{{"access_token":"a.b-c"{rest}}}"#))).unwrap();
        assert_eq!((field.to_str().unwrap(), lifetime.as_secs()), ("Bearer a.b-c", seconds));
        assert!(field.is_sensitive());
    }
}

#[test]
fn anything_else_is_no_token_and_nothing_of_it_but_the_error_word_is_said() {
    for (status, body, word) in [
        (400, r#"{"error":"invalid_client","error_description":"SECRET"}"#, "400, invalid_client"),
        (401, r#"{"error":"SECRET is wrong"}"#, "401"),
        (500, "SECRET", "500"),
        (200, "SECRET", "no `access_token`"),
        (200, "{}", "no `access_token`"),
        (200, r#"{"access_token":"","expires_in":1}"#, "no header field"),
        (200, r#"{"access_token":"SECRET x"}"#, "no header field"),
        (200, r#"{"access_token":"SECRET\r\nX: y"}"#, "no header field"),
        (200, r#"{"access_token":"SECRET","token_type":"DPoP"}"#, "not Bearer"),
        (200, r#"{"access_token":"SECRET","expires_in":0}"#, "expired already"),
        (200, r#"{"access_token":"SECRET","expires_in":"soon"}"#, "no number"),
        (200, r#"{"access_token":"SECRET","expires_in":-5}"#, "no number"),
    ] {
        let (_, message) = read(&answer(status, body)).unwrap_err();
        assert!(message.contains(word) && !message.contains("SECRET"), "{message}");
    }
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    for (lifetime, pause) in [(3_600, 2_700), (4, 3), (1, 1), (u64::MAX, 30 * 24 * 3_600 * 3 / 4)] {
        assert_eq!(ahead_of(Duration::from_secs(lifetime)), Duration::from_secs(pause));
    }
}
