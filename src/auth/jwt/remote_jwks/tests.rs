#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use super::discovery::{host_of, metadata_addresses};
use super::*;
use crate::fetch::Proxies;

const NOW: u64 = 1_795_000_000;
const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn source(copy: &str) -> JwksSource {
    let directory = std::env::temp_dir().join(format!("wicketgate-published-{}", std::process::id()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    JwksSource {
        issuer: "https://login.example.com".to_owned(),
        place: JwksLocation::Url("https://login.example.com/jwks".to_owned()),
        algorithms: vec![Algorithm::EdDsa],
        interval: Duration::from_secs(600),
        cooldown: Duration::from_secs(30),
        keep: Duration::from_secs(3600),
        lapse: Duration::from_secs(1200),
        fetcher: Fetcher {
            tls: Arc::new(tls),
            plain: false,
            private: false,
            proxies: Proxies::Direct,
            timeout: Duration::from_secs(1),
        },
        copy: directory.join("issuers").join(copy),
    }
}

#[test]
fn keys_are_fetched_ahead_of_time_and_neither_too_often_nor_too_seldom() {
    let keys = PublishedKeys::new(source("none"), NOW);
    for (said, seconds) in [(None, 600), (Some(400), 300), (Some(0), 60), (Some(79), 60), (Some(86_400), 600)] {
        assert_eq!(keys.interval(said), Duration::from_secs(seconds), "max-age {said:?}");
    }
    // Whoever configures an interval below the shortest means it.
    let often = JwksSource { interval: Duration::from_secs(5), ..source("none") };
    assert_eq!(PublishedKeys::new(often, NOW).interval(Some(0)), Duration::from_secs(5));
    let pause = Duration::from_secs(600);
    assert!((0..100).all(|_| schedule::spread(pause) <= pause && schedule::spread(pause) >= pause * 9 / 10));
}

#[test]
fn the_copy_of_an_earlier_run_is_used_while_it_is_young_and_ours() {
    let kept = source("kept");
    let first = PublishedKeys::new(kept.clone(), NOW);
    assert!(!first.has_keys(NOW));
    let listed = listed(JWKS.as_bytes()).unwrap();
    first.put(FetchedKeys { fetched_at: NOW, listed, lapsed: Vec::new() }, NOW).unwrap();
    first.write_copy();
    let after = |source: &JwksSource, now: u64| PublishedKeys::new(source.clone(), now).has_keys(now);
    assert!(after(&kept, NOW) && after(&kept, NOW + 3599));
    assert!(!after(&kept, NOW + 3600), "it is too old");
    assert!(!after(&kept, NOW - 1), "it is from the future: a clock was wrong");
    assert!(!after(&JwksSource { issuer: "https://other.example.com".to_owned(), ..kept.clone() }, NOW));
    assert!(!after(&JwksSource { place: JwksLocation::Discovery, ..kept.clone() }, NOW));
    assert!(!after(&JwksSource { algorithms: vec![Algorithm::Rs256], ..kept.clone() }, NOW), "no key fits any more");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept.copy).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "whoever could write it could forge every token");
    for broken in
        ["", "{", "[]", r#"{"issuer":7}"#, &std::fs::read_to_string(&kept.copy).unwrap().replace("OKP", "oct")]
    {
        std::fs::write(&kept.copy, broken).unwrap();
        assert!(!after(&kept, NOW), "{broken}");
    }
    std::fs::remove_file(&kept.copy).unwrap();
}

#[test]
fn metadata_stand_where_the_two_standards_say() {
    assert_eq!(
        metadata_addresses("https://login.example.com/realms/one"),
        [
            "https://login.example.com/realms/one/.well-known/openid-configuration",
            "https://login.example.com/.well-known/oauth-authorization-server/realms/one",
        ]
    );
    assert_eq!(
        metadata_addresses("https://login.example.com/")[1],
        "https://login.example.com/.well-known/oauth-authorization-server"
    );
}

#[test]
fn the_host_of_an_issuer_is_found() {
    for (url, host) in [
        ("https://login.example.com/x", "login.example.com"),
        ("https://login.example.com:8443", "login.example.com"),
        ("http://[::1]:80/x", "::1"),
    ] {
        assert_eq!(host_of(url), host);
    }
}

#[tokio::test]
async fn requests_given_up_by_their_callers_leave_room_for_those_that_wait_after_them() {
    let keys = PublishedKeys::new(source("none"), NOW);
    keys.is_started.store(true, Ordering::Relaxed);
    keys.is_fetching.store(true, Ordering::Relaxed);
    for _ in 0..=MAX_WAITING {
        let mut asking = Box::pin(keys.ask());
        assert!(
            std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context))).await.is_pending()
        );
        drop(asking);
    }
    assert!(keys.may_learn(TokenFault::UnknownKey));
    // As many as may wait do, and one more does not.
    let mut asking: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(keys.ask())).collect();
    for asking in &mut asking {
        std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context).is_pending())).await;
    }
    assert!(!keys.may_learn(TokenFault::UnknownKey));
    asking.pop();
    assert!(keys.may_learn(TokenFault::UnknownKey));
}

/// An Ed25519 key of this `kid`; `number` makes it another one.
fn jwk(kid: &str, number: u8) -> Value {
    use aws_lc_rs::signature::KeyPair as _;
    use base64::Engine as _;

    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
    let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair.public_key());
    serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
}

fn with(key: &Value, name: &str, value: Value) -> Value {
    let mut key = key.clone();
    key[name] = value;
    key
}

#[test]
fn a_key_that_is_no_longer_listed_lapses_two_intervals_after_it_was_last_seen() {
    let source = source("lapsed");
    std::fs::remove_file(&source.copy).ok();
    let keys = PublishedKeys::new(source.clone(), NOW);
    let (one, two) = (jwk("one", 1), jwk("two", 2));
    let take = |keys: &PublishedKeys, listed: &[Value], now: u64| keys.succeed(listed.to_vec(), "", now).unwrap();
    let count = |keys: &PublishedKeys, now: u64| keys.standing(now).keys;
    assert!(take(&keys, std::slice::from_ref(&one), NOW));
    assert!(!take(&keys, std::slice::from_ref(&one), NOW + 600), "the same set is no change");
    assert!(take(&keys, std::slice::from_ref(&two), NOW + 1200));
    assert_eq!((count(&keys, NOW + 1799), count(&keys, NOW + 1800)), (2, 1), "last seen at 600 s");
    // A restart prolongs nothing, and neither does the same set.
    let restarted = PublishedKeys::new(source.clone(), NOW + 1300);
    assert!(!take(&restarted, std::slice::from_ref(&two), NOW + 1700));
    assert_eq!((count(&restarted, NOW + 1799), count(&restarted, NOW + 1800)), (2, 1));
    // Two nodes in turn.
    for round in 0..6 {
        let listed = if round % 2 == 0 { &one } else { &two };
        let now = NOW + 2000 + 600 * round;
        take(&restarted, std::slice::from_ref(listed), now);
        assert_eq!(count(&restarted, now), 2, "round {round}");
    }
    // Nothing lapses where the set must be right.
    let strict = JwksSource { lapse: Duration::ZERO, ..source.clone() };
    let strict = PublishedKeys::new(strict, NOW + 5000);
    assert_eq!(count(&strict, NOW + 5000), 1);
    take(&strict, std::slice::from_ref(&one), NOW + 5001);
    assert_eq!(count(&strict, NOW + 5001), 1);
    std::fs::remove_file(&source.copy).unwrap();
}

#[test]
fn a_set_can_withdraw_keys_at_once() {
    let (one, two) = (jwk("one", 1), jwk("two", 2));
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (what, listed, left) in [
        ("marked", vec![with(&one, "revoked", json(r#"{"revoked_at":1}"#)), two.clone()], 1),
        ("over", vec![with(&one, "exp", (NOW + 10).into()), two.clone()], 1),
        ("its private part is out", vec![with(&one, "d", "AAAA".into()), two.clone()], 1),
        ("another under its name", vec![jwk("one", 3), two.clone()], 2),
        ("under another name", vec![with(&one, "kid", "three".into()), two.clone()], 2),
        ("for something else", vec![with(&one, "use", "enc".into()), two.clone()], 1),
        ("not to be read", vec![with(&one, "x", "!".into()), two.clone()], 2),
        ("gone", vec![two.clone()], 2),
        ("marked, and no other is of use", vec![with(&one, "revoked", json(r#"{"revoked_at":1}"#))], 1),
        ("all marked", vec![with(&one, "revoked", true.into()), with(&two, "revoked", true.into())], 0),
        ("marked as not withdrawn", vec![with(&one, "revoked", false.into()), two.clone()], 2),
    ] {
        let source = source("withdrawn");
        std::fs::remove_file(&source.copy).ok();
        let keys = PublishedKeys::new(source.clone(), NOW);
        keys.succeed(vec![one.clone(), two.clone()], "", NOW).unwrap();
        if let Err(failure) = keys.succeed(listed, "", NOW + 10) {
            assert_eq!(failure.word, "empty", "{what}");
            assert!(keys.withdraw(&failure.listed, NOW + 10), "{what}");
            assert!(!keys.withdraw(&failure.listed, NOW + 10), "{what}: once is enough");
        }
        assert_eq!(keys.standing(NOW + 10).keys, left, "{what}");
        assert_eq!(PublishedKeys::new(source, NOW + 11).standing(NOW + 11).keys, left, "{what}, after a restart");
    }
}

#[test]
fn keys_that_have_lapsed_are_bounded() {
    let keys = PublishedKeys::new(source("bounded"), NOW);
    for round in 0..50 {
        keys.succeed((0..4).map(|number| jwk(&format!("{round}-{number}"), round * 4 + number)).collect(), "", NOW)
            .unwrap();
    }
    assert_eq!(keys.standing(NOW).keys, 4 + 32);
}
