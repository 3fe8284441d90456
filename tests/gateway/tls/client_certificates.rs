//! Client certificates of callers: which are accepted, revocation, bindings.

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize, SanType};

use crate::harness::client::tls;
use crate::harness::client_certificates::{Caller, another_authority, revoked};
use crate::harness::keys::{Pair, authority};
use crate::harness::*;

const REFUSED: &str = "wicketgate_client_certificates_refused_total";

fn asking(config: Config, demand: &str) -> Config {
    config.set("/listen/0/tls/client_ca", json!("certs/ca.pem")).set("/listen/0/tls/client_certificate", json!(demand))
}

fn required(config: Config) -> Config {
    asking(config, "required")
}

fn open(gateway: &Gateway, identity: &Pair) -> Connection {
    Connection::with(gateway.address, tls(b"http/1.1", Some(identity))).unwrap()
}

/// Whether a caller with this certificate gets an answer on a new connection.
fn admitted(gateway: &Gateway, identity: Option<&Pair>) -> bool {
    let Ok(mut connection) = Connection::with(gateway.address, tls(b"http/1.1", identity)) else { return false };
    gateway.get("/public/x").try_on(&mut connection).is_ok_and(|answer| answer.status == 200)
}

/// The caller is refused in the handshake, for this reason.
#[track_caller]
fn refused_for(gateway: &Gateway, identity: Option<&Pair>, reason: &str) {
    let before = gateway.metric(REFUSED, &[("reason", reason)]);
    assert!(!admitted(gateway, identity), "{reason}");
    gateway.expect_metric(REFUSED, &[("reason", reason)], before + 1.0);
}

#[test]
fn a_certificate_is_refused_for_a_reason_that_is_counted_and_logged() {
    let (backend, gateway) = world_with(required);
    refused_for(&gateway, None, "missing");
    refused_for(&gateway, Some(&Caller::named("a").signed_by(&another_authority())), "unknown_ca");
    refused_for(&gateway, Some(&Caller::named("a").self_signed()), "unknown_ca");
    refused_for(&gateway, Some(&Caller::named("a").valid(-20, -1).pair()), "expired");
    refused_for(&gateway, Some(&Caller::named("a").valid(1, 20).pair()), "not_yet_valid");
    refused_for(&gateway, Some(&Caller::named("a").usage(&[ServerAuth]).pair()), "purpose");
    backend.assert_untouched();
    let said = gateway.stderr.wait(|line| line["message"] == "client certificate refused").unwrap();
    assert_eq!(said["reason"], "missing");
    assert!(admitted(&gateway, Some(&Caller::named("a").pair())));
    assert!(admitted(&gateway, Some(&Caller::named("a").usage(&[ServerAuth, ClientAuth]).pair())));
}

#[test]
fn the_log_names_the_subject_in_the_form_that_is_configured() {
    let (_backend, gateway) = world_with(required);
    refused_for(&gateway, Some(&Caller::named("asapp").valid(-20, -1).pair()), "expired");
    let said = gateway.stderr.wait(|line| line["message"] == "client certificate refused").unwrap();
    assert_eq!((&said["reason"], &said["ip"]), (&json!("expired"), &json!("127.0.0.1")));
    assert_eq!(said["subject"], "CN=asapp,O=ASAPP\\, Inc.,C=US");
}

#[test]
fn a_revoked_certificate_is_refused_also_on_connections_that_are_open() {
    let (good, bad) = (Caller::named("good").serial(7).pair(), Caller::named("bad").serial(8).pair());
    let list = |serials: &[u64]| revoked(authority(), serials, 7);
    let (_backend, gateway) = world_with(|c| {
        required(c).set("/listen/0/tls/client_crl", json!(["certs/ca.crl"])).file("certs/ca.crl", &list(&[9]))
    });
    let (mut of_good, mut of_bad) = (open(&gateway, &good), open(&gateway, &bad));
    for connection in [&mut of_good, &mut of_bad] {
        gateway.get("/public/x").send_on(connection).ok();
    }
    // No signal: the file itself is watched.
    let from = gateway.stderr.count();
    gateway.files.write("certs/ca.crl", &list(&[9, 8]));
    assert!(gateway.stderr.wait_after(from, |line| line["message"] == "reloaded").is_some());
    refused_for(&gateway, Some(&bad), "revoked");
    gateway.get("/public/x").send_on(&mut of_bad).expect(403, "403-09");
    assert!(of_bad.closes());
    gateway.get("/public/x").send_on(&mut of_good).ok();
    assert!(admitted(&gateway, Some(&good)));
    assert_eq!(gateway.metric("wicketgate_requests_total", &[("refusal", "client_certificate")]), 1.0);
}

#[test]
fn a_certificate_whose_revocation_cannot_be_checked_is_refused() {
    let with = |lists: &[&str], texts: &[String]| {
        let (lists, texts) = (json!(lists), texts.to_vec());
        world_with(move |c| {
            let c = required(c).set("/listen/0/tls/client_crl", lists);
            texts.iter().enumerate().fold(c, |c, (at, text)| c.file(&format!("certs/{at}.crl"), text))
        })
    };
    let caller = Caller::named("a").pair();
    let (expired, in_force) = (revoked(authority(), &[], -1), revoked(authority(), &[], 7));
    let (_backend, gateway) = with(&["certs/0.crl"], std::slice::from_ref(&expired));
    refused_for(&gateway, Some(&caller), "revocation_unknown");
    assert!(
        gateway
            .stderr
            .wait(|line| line["level"] == "WARN" && line["certificate"].to_string().contains("0.crl"))
            .is_some()
    );
    let (_backend, gateway) = with(&["certs/0.crl"], &[revoked(&another_authority(), &[], 7)]);
    refused_for(&gateway, Some(&caller), "revocation_unknown");
    // Of two lists the newer one counts, in whatever order they stand.
    let (_backend, gateway) = with(&["certs/0.crl", "certs/1.crl"], &[expired, in_force]);
    assert!(admitted(&gateway, Some(&caller)));
}

#[test]
fn another_ca_is_taken_up_on_reload_and_a_broken_one_is_not() {
    let (old, new, another) = (Caller::named("a").pair(), Caller::named("b"), another_authority());
    let new = new.signed_by(&another);
    let (_backend, gateway) = world_with(|c| {
        let both = [authority().pem(), another_authority().pem()].concat();
        required(c).set("/listen/0/tls/client_ca", json!("certs/callers.pem")).file("certs/callers.pem", &both)
    });
    let mut open = open(&gateway, &old);
    gateway.get("/public/x").send_on(&mut open).ok();
    refused_for(&gateway, Some(&new), "unknown_ca");
    gateway.files.write("certs/callers.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    gateway.hup("reload failed");
    assert!(admitted(&gateway, Some(&old)));
    gateway.files.write("certs/callers.pem", &another.pem());
    gateway.hup("reloaded");
    assert!(admitted(&gateway, Some(&new)));
    refused_for(&gateway, Some(&old), "unknown_ca");
    gateway.get("/public/x").send_on(&mut open).expect(403, "403-09");
}

#[test]
fn weak_keys_and_long_validity_are_refused_where_the_policy_is_strict() {
    let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).unwrap();
    let short = Caller::named("a").key(rsa(RsaKeySize::_2048)).pair();
    let long = Caller::named("a").valid(-1, 3 * 365 - 1).pair();
    let strict = |c: Config| required(c).set("/listen/0/tls/client_certificate_policy", json!("strict"));
    let (_backend, gateway) = world_with(strict);
    refused_for(&gateway, Some(&short), "policy");
    refused_for(&gateway, Some(&long), "policy");
    assert!(admitted(&gateway, Some(&Caller::named("a").valid(-1, 3 * 365 - 2).pair())));
    assert!(admitted(&gateway, Some(&Caller::named("a").key(rsa(RsaKeySize::_3072)).pair())));
    let (_backend, gateway) = world_with(required);
    assert!(admitted(&gateway, Some(&short)) && admitted(&gateway, Some(&long)));
}

#[test]
fn only_named_certificates_are_taken_where_names_stand() {
    let names = json!([
        {"subject": "CN=whole,O=ASAPP\\, Inc.,C=US"}, {"subject": "common"},
        {"san": {"dns": "Asapp.example.com"}}, {"san": {"uri": "spiffe://a/b"}}, {"subject": "both", "san": {"email": "a@b.c"}},
    ]);
    let (_backend, gateway) = world_with(|c| required(c).set("/listen/0/tls/client_names", names));
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let email = SanType::Rfc822Name("a@b.c".try_into().unwrap());
    for good in [
        Caller::named("whole"),
        Caller::named("common"),
        Caller::named("x").san(dns("other.example.com")).san(dns("asapp.example.com")),
        Caller::named("x").san(SanType::URI("spiffe://a/b".try_into().unwrap())),
        Caller::named("both").san(email.clone()),
    ] {
        assert!(admitted(&gateway, Some(&good.pair())), "{:?}", good.params.distinguished_name);
    }
    for bad in [
        Caller::named("Common"),
        Caller::named("x"),
        Caller::named("x").san(dns("asapp.example.com.evil.com")).san(dns("spiffe://a/b")),
        Caller::named("asapp.example.com"),
        Caller::named("both"),
        Caller::named("x").san(email),
    ] {
        refused_for(&gateway, Some(&bad.pair()), "name");
    }
}

/// A gateway on which the first client is held to its certificate.
fn bound(demand: &str) -> (Backend, Gateway) {
    world_with(|c| asking(c, demand).set("/clients/0/certificate", json!({"subject": "asapp"})))
}

#[test]
fn a_clients_token_is_good_only_with_the_clients_certificate() {
    let (backend, gateway) = bound("optional");
    let (right, wrong) = (Caller::named("asapp").pair(), Caller::named("other").pair());
    let token = |client: Account| {
        let answer = gateway.token_request(client.name, client.secret).send_on(&mut open(&gateway, &right)).ok();
        answer.json()["access_token"].as_str().unwrap().to_owned()
    };
    let (own, free) = (token(CLIENT), token(OTHER_CLIENT));
    let call = |token: &str| gateway.get("/system/x").bearer(token);
    // Twice: what is remembered of the token must not pass what was not remembered of the connection.
    for _ in 0..2 {
        call(&own).send_on(&mut open(&gateway, &wrong)).expect(403, "403-09");
        call(&own).send().expect(403, "403-09");
        backend.assert_untouched();
        call(&own).send_on(&mut open(&gateway, &right)).ok();
        backend.forget();
    }
    let id = call(&own).send().expect(403, "403-09").header("X-Request-Id").unwrap().to_owned();
    assert_eq!(gateway.access_line(&id)["refusal"], "other_certificate");
    call(&free).send_on(&mut open(&gateway, &wrong)).ok();
    call(&free).send().ok();
}

#[test]
fn a_connection_that_showed_a_certificate_to_one_host_is_not_good_for_another() {
    let (backend, gateway) = world_with(|c| asking(c, "optional"));
    let caller = Caller::named("a").pair();
    gateway.get("/public/x").replace("Host", "LOCALHOST:8443").send_on(&mut open(&gateway, &caller)).ok();
    backend.forget();
    for identity in [Some(&caller), None] {
        let mut connection = Connection::with(gateway.address, tls(b"http/1.1", identity)).unwrap();
        gateway.get("/public/x").replace("Host", "other.test").send_on(&mut connection).expect(421, "421-01");
        gateway.get("/public/x").replace("Host", "127.0.0.1").send_on(&mut connection).expect(421, "421-01");
    }
    backend.assert_untouched();
    let (_backend, open) = world();
    open.get("/public/x").replace("Host", "other.test").send().ok();
}

/// What curl says to a request with this certificate: the status, or what went wrong.
fn curl(gateway: &Gateway, identity: &Pair, more: &[&str]) -> String {
    gateway.files.write("caller.pem", &identity.certificate);
    gateway.files.write("caller.key", &identity.key);
    let path = |name: &str| gateway.files.path.join(name).display().to_string();
    let (ca, certificate, key) = (path("certs/ca.pem"), path("caller.pem"), path("caller.key"));
    let url = format!("https://localhost:{}/public/x", gateway.address.port());
    let mut args = vec!["-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
    args.extend(["--cacert", &ca, "--cert", &certificate, "--key", &key, &url]);
    args.extend(more);
    let output = program("curl", "curl", &args);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn curl_passes_with_its_certificate_and_only_for_its_host() {
    let (_backend, gateway) = world_with(required);
    let good = Caller::named("a").pair();
    assert_eq!(curl(&gateway, &good, &["--http2"]), "2 200");
    assert_eq!(curl(&gateway, &good, &["--http2", "-H", "Host: other.test"]), "2 421");
    assert_eq!(curl(&gateway, &good, &["--http1.1", "-H", "Host: other.test"]), "1.1 421");
    let said = curl(&gateway, &Caller::named("a").valid(-20, -1).pair(), &[]);
    assert!(said.starts_with("0 000curl: "), "{said}");
}

#[test]
fn openssl_cannot_resume_a_session_on_a_listener_that_asks_for_certificates() {
    let caller = Caller::named("a").pair();
    let session = |gateway: &Gateway, version: &str, way: &str| {
        gateway.files.write("caller.pem", &caller.certificate);
        gateway.files.write("caller.key", &caller.key);
        let script = format!(
            "printf 'GET /public/x HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -connect {} \
             -servername localhost -CAfile certs/ca.pem -cert caller.pem -key caller.key {version} {way} session.pem -ign_eof 2>&1",
            gateway.address
        );
        let output = finish(std::process::Command::new("sh").current_dir(&gateway.files.path).args(["-c", &script]));
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    };
    for (version, minimum) in [("-tls1_3", "1.3"), ("-tls1_2", "1.2")] {
        let open = world_with(|c| c.set("/listen/0/tls/min_version", json!(minimum)));
        let first = session(&open.1, version, "-sess_out");
        assert!(first.contains("HTTP/1.1 200"), "{first}");
        assert!(session(&open.1, version, "-sess_in").contains("\nReused"), "the test cannot tell");
        let asking = world_with(|c| required(c).set("/listen/0/tls/min_version", json!(minimum)));
        let first = session(&asking.1, version, "-sess_out");
        assert!(first.contains("HTTP/1.1 200"), "{first}");
        // There may be no session to save, or one that is not taken up.
        let second = session(&asking.1, version, "-sess_in");
        assert!(!second.contains("\nReused"), "{second}");
    }
}

#[test]
fn certificate_headers_of_a_caller_reach_no_backend() {
    let (backend, gateway) = world_with(required);
    let names =
        ["Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X_Ssl_Client_Cert", "X-SSL-Client-Verify"];
    let request = names.iter().fold(gateway.get("/public/x"), |request, name| request.header(name, "forged"));
    request.send_on(&mut open(&gateway, &Caller::named("a").pair())).ok();
    let got = format!("{:?}", backend.requests());
    assert!(!got.contains("forged"), "{got}");
}

#[test]
fn unusable_settings_of_client_certificates_are_refused_by_check() {
    let backend = Backend::start();
    let says = |change: &dyn Fn(Config) -> Config, said: &str| {
        let files = gateway::Workspace::new(&change(Config::new(&backend)));
        let (code, out, err) = files.run(&["check", "--config", "gateway.yaml"]);
        assert!(code == 1 && format!("{out}{err}").contains(said), "{said}: {out}{err}");
    };
    let tls = |key: &'static str, value: Value| {
        move |c: Config| required(c).set(&format!("/listen/0/tls/{key}"), value.clone())
    };
    says(&|c| c.set("/listen/0/tls/client_crl", json!(["x.crl"])), "`client_crl` needs `client_ca`");
    says(&|c| c.set("/clients/0/certificate", json!({"subject": "a"})), "no listener asks callers for a certificate");
    says(&tls("client_names", json!([{}])), "nothing says whose certificate this is");
    says(&tls("client_names", json!([{"subject": "XX=a"}])), "is no attribute that is known here");
    says(&tls("client_names", json!([{"san": {"dns": "a", "uri": "b"}}])), "listen[0].tls.client_names[0].san");
    says(&tls("client_crl", json!(["certs/ca.pem"])), "no certificate revocation list in it");
    says(&tls("client_ca", json!("certs/server.key")), "no certificate in");
    says(&tls("client_self_signed", json!(true)), "would count like one that is required");
    says(&|c| c.set("/clients/0/certificates", json!([{"file": "x.pem"}])), "no listener takes certificates");
    says(&|c| c.set("/clients/0/certificate_bound_tokens", json!(true)), "no listener asks callers for a certificate");
    says(&|c| c.route("me", "dpop", json!("required")), "this route does not require `client`");
}

#[test]
fn a_connection_that_goes_over_to_a_new_process_takes_its_certificate_along() {
    let (good, bad) = (Caller::named("asapp").serial(7).pair(), Caller::named("asapp").serial(8).pair());
    let (backend, gateway) = world_with(|c| {
        let c = asking(c, "optional").set("/clients/0/certificate", json!({"subject": "asapp"}));
        c.set("/listen/0/tls/client_crl", json!(["certs/ca.crl"])).file("certs/ca.crl", &revoked(authority(), &[], 7))
    });
    let mut connections = [open(&gateway, &good), open(&gateway, &bad), open(&gateway, &good), gateway.connect()];
    for connection in &mut connections {
        gateway.get("/public/x").send_on(connection).ok();
    }
    let answer = gateway.token_request(CLIENT.name, CLIENT.secret).send_on(&mut connections[0]).ok().json();
    let token = answer["access_token"].as_str().unwrap();
    backend.forget();
    let (new, _old) = gateway.upgrade();
    new.files.write("certs/ca.crl", &revoked(authority(), &[8], 7));
    new.hup("reloaded");
    let [of_good, of_bad, other_host, without] = &mut connections;
    let call = new.get("/system/x").bearer(token);
    call.send_on(of_bad).expect(403, "403-09");
    call.send_on(without).expect(403, "403-09");
    call.clone().replace("Host", "other.test").send_on(other_host).expect(421, "421-01");
    backend.assert_untouched();
    call.send_on(of_good).ok();
}
