//! PEM files as other programs and people write them, in each place of the configuration that reads them.

use std::process::Command;

use rcgen::ExtendedKeyUsagePurpose::ClientAuth;

use crate::harness::client_certificates::revoked;
use crate::harness::gateway::Workspace;
use crate::harness::keys::{authority, certificate};
use crate::harness::*;

/// Runs a shell script in the directory of a gateway.
#[track_caller]
fn shell(files: &Workspace, script: &str) -> String {
    let output = finish(Command::new("bash").args(["-ec", script]).current_dir(&files.path)).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What `check` says of a configuration that has a problem.
#[track_caller]
fn problem(files: &Workspace) -> String {
    let (code, out, err) = files.run(&["check", "--config", "gateway.yaml"]);
    assert_eq!(code, 1, "{out}{err}");
    format!("{out}{err}")
}

/// The files of others in the place of a certificate and of a private key, and what is said of them.
const OF_CERTIFICATES: [(&str, &str); 4] = [
    ("bad/certificate.der", "this is a certificate in DER, not PEM"),
    ("bad/both.p12", "this is PKCS #12"),
    ("bad/utf16.pem", "this is UTF-16"),
    ("bad/cut.pem", "has no END line"),
];
const OF_KEYS: [(&str, &str); 4] = [
    ("bad/locked.key", "this key is encrypted"),
    ("bad/key.der", "this is a private key in DER, not PEM"),
    ("bad/both.p12", "this is PKCS #12"),
    ("bad/two.key", "there are 2 private keys in it"),
];

const BAD: &str = "mkdir bad && cd bad && \
    openssl req -x509 -newkey rsa:2048 -nodes -keyout good.key -out good.pem -subj /CN=localhost -days 30 && \
    openssl x509 -in good.pem -outform DER -out certificate.der && \
    openssl pkcs12 -export -in good.pem -inkey good.key -passout pass:hunter2 -out both.p12 && \
    iconv -t UTF-16 good.pem > utf16.pem && head -n 5 good.pem > cut.pem && cat good.key good.key > two.key && \
    openssl pkey -in good.key -aes256 -passout pass:hunter2 -out locked.key && \
    openssl pkey -in good.key -outform DER -out key.der && chmod 600 *";

#[test]
fn every_place_of_the_configuration_names_the_cause_and_the_command() {
    let usual = Config::with_server("https://localhost:9");
    let files = Workspace::new(&usual);
    shell(&files, BAD);
    let jwks = |ca: &str| {
        json!([{"issuer": "https://partner.test", "jwks": "https://partner.test/jwks", "ca": ca, "audiences": ["legacy-api"],
                "algorithms": ["ES256"]}])
    };
    let redis = |key: &str, file: &str| {
        let mut tls =
            json!({"ca": "certs/ca.pem", "certificate": "certs/server.pem", "private_key": "certs/server.key"});
        tls[key] = json!(file);
        json!({"redis": {"url": "rediss://127.0.0.1:1", "tls": tls}})
    };
    let backend = |key: &str, file: &str| {
        let mut tls = json!({"certificate": "certs/server.pem", "private_key": "certs/server.key"});
        tls[key] = json!(file);
        tls
    };
    let own = |c: Config, file: &str| {
        c.set("/listen/0/tls/client_certificate", json!("optional"))
            .set("/listen/0/tls/client_self_signed", json!(true))
            .set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/clients/0/certificates", json!([{"file": file}]))
    };
    type Change<'c> = &'c dyn Fn(Config, &str) -> Config;
    let of_certificates: [(&str, Change<'_>); 8] = [
        ("listen[0].tls.certificates[0].certificate", &|c, file| {
            c.set("/listen/0/tls/certificates/0/certificate", json!(file))
        }),
        ("listen[0].tls.client_ca", &|c, file| c.set("/listen/0/tls/client_ca", json!(file))),
        ("clients[0].certificates[0]", &own),
        ("clients[0].ca", &|c, file| {
            c.set("/clients/0/jwks", json!("https://partner.test/jwks")).set("/clients/0/ca", json!(file))
        }),
        ("trusted_issuers[0].ca", &|c, file| c.set("/trusted_issuers", jwks(file))),
        ("backends.legacy.tls.ca", &|c, file| c.set("/backends/legacy/tls", backend("ca", file))),
        ("backends.legacy.tls.certificate", &|c, file| c.set("/backends/legacy/tls", backend("certificate", file))),
        ("state.redis.tls.ca", &|c, file| c.set("/state", redis("ca", file))),
    ];
    let of_keys: [(&str, Change<'_>); 3] = [
        ("listen[0].tls.certificates[0].private_key", &|c, file| {
            c.set("/listen/0/tls/certificates/0/private_key", json!(file))
        }),
        ("backends.legacy.tls.private_key", &|c, file| c.set("/backends/legacy/tls", backend("private_key", file))),
        ("state.redis.tls.private_key", &|c, file| c.set("/state", redis("private_key", file))),
    ];
    let cases = of_certificates
        .iter()
        .flat_map(|(at, change)| OF_CERTIFICATES.map(|(file, cause)| (*at, change, file, cause)))
        .chain(of_keys.iter().flat_map(|(at, change)| OF_KEYS.map(|(file, cause)| (*at, change, file, cause))));
    let secret = std::fs::read_to_string(files.path.join("bad/good.key")).unwrap();
    let mut count = 0;
    for (at, change, file, cause) in cases {
        files.configure(&change(usual.clone(), file));
        let said = problem(&files);
        assert!(said.contains(at) && said.contains(cause) && said.contains(file), "{at} {file}: {said}");
        assert!(!secret.lines().any(|line| said.contains(line)) && !said.contains("hunter2"), "{said}");
        count += 1;
    }
    assert_eq!(count, 8 * 4 + 3 * 4);
    // Lists of revoked certificates may be DER, and signing keys have a directory.
    let list = |file: &str| {
        usual
            .clone()
            .set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_crl", json!([file]))
    };
    files.configure(&list("bad/cut.pem"));
    assert!(problem(&files).contains("listen[0].tls.client_crl[0]"));
    files.configure(&usual);
    for (file, cause) in OF_KEYS {
        shell(&files, &format!("cp {file} certs/signing/20260201T000000Z-bad.pem"));
        let said = problem(&files);
        assert!(said.contains("issuer.signing_keys") && said.contains(cause), "{file}: {said}");
    }
}

/// With a byte order mark, Windows line ends, and no line break at the end.
fn odd(pem: &str) -> String {
    format!("\u{feff}{}", pem.trim_end().replace('\n', "\r\n"))
}

#[test]
fn files_that_have_one_reading_are_read_in_every_place() {
    let (caller, server) = (certificate(&["gateway"], ClientAuth), keys::server());
    let ca = authority().pem();
    // The second block follows the first at once.
    let cas = format!("{}{}", odd(&ca), ca.replace("CERTIFICATE", "X509 CERTIFICATE"));
    let (backend, inner) = world_with(|c| {
        c.set("/listen/0/tls/client_ca", json!("certs/odd-ca.pem"))
            .set("/listen/0/tls/client_crl", json!(["certs/odd.crl"]))
            .file("certs/odd-ca.pem", &cas)
            .file("certs/odd.crl", &odd(&revoked(authority(), &[], 7)))
            .file("certs/server.pem", &odd(&server.certificate))
            .file("certs/server.key", &odd(&server.key))
    });
    let tls = json!({"ca": "certs/odd-ca.pem", "certificate": "certs/caller.pem", "private_key": "certs/caller.key"});
    let config = Config::with_server(&format!("https://localhost:{}", inner.address.port()))
        .set("/backends/legacy/tls", tls)
        .file("certs/odd-ca.pem", &cas)
        .file("certs/caller.pem", &odd(&caller.certificate))
        .file("certs/caller.key", &odd(&caller.key));
    let signing = odd(&config.signing_key.pem);
    let outer = Gateway::start(&config.file("certs/signing/20260101T000000Z-es256.pem", &signing));
    outer.get("/public/x").send().ok();
    assert_eq!(backend.requests().len(), 1);
    // By the signing key.
    outer.customer_token();
}

/// A CA, one that it has signed, and a server's certificate of that one.
const CHAIN: &str = "mkdir chain && cd chain && \
    req() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -subj \"/CN=$1\" \"${@:2}\"; } && \
    req root -x509 -days 30 -out root.pem && \
    req middle -out middle.csr && \
    openssl x509 -req -in middle.csr -CA root.pem -CAkey root.key -days 30 -out middle.pem \
        -extfile <(printf 'basicConstraints=critical,CA:TRUE') && \
    req localhost -out server.csr && \
    openssl x509 -req -in server.csr -CA middle.pem -CAkey middle.key -days 30 -out server.pem \
        -extfile <(printf 'subjectAltName=DNS:localhost') && \
    cat root.pem middle.pem server.pem > wrong.pem && cat server.pem middle.pem > right.pem && \
    cat root.pem middle.pem > other.pem && chmod 600 *";

#[test]
fn a_chain_in_the_wrong_order_is_put_in_order_with_a_warning() {
    let config = Config::with_server("http://127.0.0.1:9").set(
        "/listen/0/tls/certificates/0",
        json!({"certificate": "chain/wrong.pem", "private_key": "chain/localhost.key"}),
    );
    let files = std::sync::Arc::new(Workspace::new(&config));
    shell(&files, CHAIN);
    let (code, out, err) = files.run(&["check", "--config", "gateway.yaml"]);
    let warning = "the certificate chain in this file is in the wrong order";
    assert!(code == 0 && err.contains(warning) && err.contains("chain/wrong.pem"), "{out}{err}");
    let gateway = Gateway::start_in(std::sync::Arc::clone(&files), config.signing_key.clone());
    let shown = |version: &str| {
        let script = format!(
            "openssl s_client -connect {} -servername localhost -CAfile chain/root.pem -verify_return_error {version} \
             -showcerts < /dev/null",
            gateway.address
        );
        let said = shell(&files, &script);
        said.lines()
            .filter_map(|line| line.trim().split_once(" s:CN = "))
            .map(|(_, name)| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown("-tls1_3"), ["localhost", "middle", "root"]);
    files.configure(&config.clone().set("/listen/0/tls/certificates/0/certificate", json!("chain/right.pem")));
    let (code, out, err) = files.run(&["check", "--config", "gateway.yaml"]);
    assert!(code == 0 && !err.contains(warning), "{out}{err}");
    files.configure(&config.set("/listen/0/tls/certificates/0/certificate", json!("chain/other.pem")));
    let said = problem(&files);
    assert!(said.contains("does not belong to") && said.contains("all its certificates are for another key"), "{said}");
}

#[test]
fn a_certificate_and_a_key_that_are_exchanged_are_named() {
    let config = Config::with_server("http://127.0.0.1:9");
    let files = Workspace::new(&config);
    let pair = |certificate: &str, key: &str| json!({"certificate": certificate, "private_key": key});
    let with = |pair| config.clone().set("/listen/0/tls/certificates/0", pair);
    files.configure(&with(pair("certs/server.key", "certs/server.pem")));
    let said = problem(&files);
    assert!(
        said.contains("no certificate in it, but a private key") && said.contains("are two paths exchanged?"),
        "{said}"
    );
    files.configure(&with(pair("certs/server.pem", "certs/ca.pem")));
    assert!(problem(&files).contains("no private key in it, but a certificate"));
    // Both in one file, as HAProxy has them, are in order.
    let both = format!("{}{}", keys::server().certificate, keys::server().key);
    files.write("certs/both.pem", &both);
    files.configure(&with(pair("certs/both.pem", "certs/both.pem")));
    files.succeeds(&["check", "--config", "gateway.yaml"]);
}
