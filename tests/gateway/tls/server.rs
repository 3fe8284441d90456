//! TLS towards callers: versions, suites, ALPN, certificates, resumption.

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

use crate::harness::client::tls;
use crate::harness::keys::{certificate, server};
use crate::harness::*;

/// `openssl s_client` with these arguments: whether the handshake succeeded, and what it printed.
fn s_client(gateway: &Gateway, args: &[&str]) -> (bool, String) {
    let address = gateway.address.to_string();
    let ca = gateway.files.path.join("certs/ca.pem");
    let mut all = vec![
        "s_client",
        "-connect",
        &address,
        "-servername",
        "localhost",
        "-CAfile",
        ca.to_str().unwrap(),
        "-verify_return_error",
    ];
    all.extend_from_slice(args);
    let output = program("openssl", "openssl", &all);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let done = output.status.success() && text.contains("Verify return code: 0");
    (done, text)
}

#[test]
fn only_tls_1_3_by_default() {
    let (_backend, gateway) = world();
    let (done, text) = s_client(&gateway, &["-tls1_3"]);
    assert!(done, "{text}");
    for version in ["-tls1_2", "-tls1_1", "-tls1"] {
        let (done, text) = s_client(&gateway, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(!done, "{version}: {text}");
    }
}

#[test]
fn of_the_suites_of_tls_1_3_that_a_caller_offers_the_cheapest_is_taken() {
    let (_backend, gateway) = world();
    let (small, large, chacha) = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256");
    for (offered, taken) in
        [(&[large, chacha, small][..], small), (&[chacha, large], large), (&[large], large), (&[chacha], chacha)]
    {
        let (done, text) = s_client(&gateway, &["-tls1_3", "-ciphersuites", &offered.join(":")]);
        assert!(done && text.contains(&format!("Cipher is {taken}")), "{offered:?}: {text}");
    }
}

#[test]
fn tls_1_2_is_an_opt_in_with_ecdhe_and_aead_only() {
    let (_backend, gateway) = world_with(|c| c.set("/listen/0/tls/min_version", json!("1.2")));
    for suite in ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"] {
        let (done, text) = s_client(&gateway, &["-tls1_2", "-cipher", suite]);
        assert!(done, "{suite}: {text}");
    }
    let weak = [
        "ECDHE-ECDSA-AES256-SHA384",
        "ECDHE-ECDSA-AES128-SHA256",
        "ECDHE-ECDSA-AES256-SHA",
        "AES256-GCM-SHA384",
        "DHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES256-CCM",
        "ADH-AES256-GCM-SHA384:@SECLEVEL=0",
        "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0",
    ];
    for suite in weak {
        let (done, text) = s_client(&gateway, &["-tls1_2", "-cipher", suite]);
        assert!(!done, "{suite}: {text}");
    }
    let (done, text) = s_client(&gateway, &["-tls1_3"]);
    assert!(done, "{text}");
    for version in ["-tls1_1", "-tls1"] {
        assert!(!s_client(&gateway, &[version, "-cipher", "ALL:@SECLEVEL=0"]).0, "{version}");
    }
}

#[test]
fn the_protocol_is_agreed_by_alpn() {
    let (_backend, gateway) = world();
    for protocol in ["h2", "http/1.1"] {
        let (_, text) = s_client(&gateway, &["-alpn", protocol]);
        assert!(text.contains(&format!("ALPN protocol: {protocol}")), "{text}");
    }
}

#[test]
fn plain_http_on_the_tls_port_gets_no_answer_and_no_redirect() {
    let (backend, gateway) = world();
    let mut connection = Connection::plain(gateway.address);
    if let Ok(answer) = connection.exchange(&gateway.profile().bytes()) {
        assert!(answer.status >= 400 && answer.header("Location").is_none(), "{}", answer.status);
    }
    backend.assert_untouched();
}

#[test]
fn plain_http_is_served_on_loopback_and_refused_elsewhere() {
    let backend = Backend::start();
    let config = Config::new(&backend).without("/listen/0/tls");
    let gateway = Gateway::start(&config);
    gateway.get("/public/x").send_on(&mut Connection::plain(gateway.address)).ok();
    let files = gateway::Workspace::new(&config.set("/listen/0/address", json!("0.0.0.0:0")));
    let (code, out, err) = files.run(&["check", "--config", "gateway.yaml"]);
    assert_eq!(code, 1, "{out}{err}");
}

fn with_client_certificates(config: Config, demand: &str) -> Config {
    config.set("/listen/0/tls/client_ca", json!("certs/ca.pem")).set("/listen/0/tls/client_certificate", json!(demand))
}

/// Whether a caller with this certificate gets an answer.
fn admitted(gateway: &Gateway, identity: Option<&keys::Pair>) -> bool {
    let Ok(mut connection) = Connection::with(gateway.address, tls(b"http/1.1", identity)) else { return false };
    gateway.get("/public/x").try_on(&mut connection).is_ok_and(|answer| answer.status == 200)
}

#[test]
fn callers_certificates_are_checked() {
    let (backend, gateway) = world_with(|c| with_client_certificates(c, "required"));
    assert!(!admitted(&gateway, None), "no certificate");
    assert!(!admitted(&gateway, Some(&certificate(&["caller.test"], ServerAuth))), "a server's certificate");
    let stranger = rcgen::generate_simple_self_signed(vec!["caller.test".to_owned()]).unwrap();
    let stranger = keys::Pair { certificate: stranger.cert.pem(), key: stranger.signing_key.serialize_pem() };
    assert!(!admitted(&gateway, Some(&stranger)), "another CA's");
    backend.assert_untouched();
    assert!(admitted(&gateway, Some(&certificate(&["caller.test"], ClientAuth))));
}

#[test]
fn an_optional_certificate_is_checked_where_there_is_one() {
    let (_backend, gateway) = world_with(|c| with_client_certificates(c, "optional"));
    assert!(admitted(&gateway, None));
    assert!(admitted(&gateway, Some(&certificate(&["caller.test"], ClientAuth))));
    assert!(!admitted(&gateway, Some(&certificate(&["caller.test"], ServerAuth))));
}

/// Two connections of one caller, one after the other: whether the second took up the session of the first.
fn resumes(gateway: &Gateway, identity: Option<&keys::Pair>) -> bool {
    let config = tls(b"http/1.1", identity);
    let mut resumed = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::with(gateway.address, config.clone()).unwrap();
        gateway.get("/public/x").send_on(&mut connection).ok();
        resumed.push(connection.is_resumed());
    }
    assert!(!resumed[0]);
    resumed[1]
}

#[test]
fn sessions_are_resumed_but_never_past_the_check_of_a_certificate() {
    // One worker or many: tickets are good at all of them.
    let (_backend, open) = world();
    assert!(resumes(&open, None));
    for demand in ["required", "optional"] {
        let (_backend, gateway) = world_with(|c| with_client_certificates(c, demand));
        assert!(!resumes(&gateway, Some(&certificate(&["caller.test"], ClientAuth))), "{demand}");
    }
}

/// The certificate that a new connection is shown.
fn shown(gateway: &Gateway) -> String {
    let (_, text) = s_client(gateway, &["-showcerts"]);
    let start = text.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("{text}"));
    let end = text.find("-----END CERTIFICATE").unwrap();
    text[start..end].split_whitespace().collect()
}

#[test]
fn a_new_certificate_is_taken_up_on_reload_and_a_broken_one_is_not() {
    let (_backend, gateway) = world();
    let mut old = gateway.connect();
    let before = shown(&gateway);
    let next = certificate(&["localhost", "127.0.0.1"], ServerAuth);
    gateway.files.write("certs/server.pem", &next.certificate);
    gateway.files.write("certs/server.key", &next.key);
    gateway.hup("reloaded");
    let after = shown(&gateway);
    assert_ne!(before, after);
    gateway.get("/public/x").send_on(&mut old).ok();
    gateway.files.write("certs/server.pem", "-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n");
    gateway.hup("reload failed");
    assert_eq!(shown(&gateway), after);
    gateway.files.write("certs/server.pem", &server().certificate);
    gateway.hup("reload failed");
    assert_eq!(shown(&gateway), after, "certificate and key do not belong together");
}
