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
    assert!((0..100).all(|_| spread(pause) <= pause && spread(pause) >= pause * 9 / 10));
}

#[test]
fn the_copy_of_an_earlier_run_is_used_while_it_is_young_and_ours() {
    let kept = source("kept");
    let first = PublishedKeys::new(kept.clone(), NOW);
    assert!(!first.has_keys(NOW));
    first.put(first.parse(JWKS.as_bytes()).unwrap(), NOW, JWKS.as_bytes().to_vec());
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
