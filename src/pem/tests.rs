//! Files as the openssl command line writes them, and as people change them.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use super::*;

/// A directory with a key, its certificate, and the same in other formats.
static FILES: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = std::env::temp_dir().join(format!("wicketgate-pem-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let script = r#"
        openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -subj /CN=localhost -days 30
        openssl x509 -in rsa.pem -outform DER -out rsa.der
        openssl x509 -in rsa.pem -trustout -out trusted.pem
        openssl x509 -in rsa.pem -addtrust serverAuth -out settings.pem
        openssl pkey -in rsa.key -outform DER -out key.der
        openssl pkcs8 -topk8 -in rsa.key -outform DER -passout pass:hunter2 -out locked8.der
        openssl rsa -in rsa.key -traditional -out pkcs1.key
        openssl rsa -in rsa.key -traditional -aes128 -passout pass:hunter2 -out locked1.key
        openssl pkey -in rsa.key -aes256 -passout pass:hunter2 -out locked8.key
        openssl ecparam -name prime256v1 -genkey -out sec1.key
        openssl pkcs12 -export -in rsa.pem -inkey rsa.key -passout pass:hunter2 -out both.p12
        openssl crl2pkcs7 -nocrl -certfile rsa.pem -out chain.p7b
        openssl crl2pkcs7 -nocrl -certfile rsa.pem -outform DER -out chain.p7
        openssl req -new -key rsa.key -subj /CN=localhost -out request.pem
        openssl pkey -in rsa.key -pubout -out public.pem
        ssh-keygen -q -t ed25519 -N '' -f ssh.key || printf -- '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n' > ssh.key
        iconv -f UTF-8 -t UTF-16 rsa.pem > utf16.pem
        iconv -f UTF-8 -t UTF-16LE rsa.key > utf16.key
        openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out dsa.params
        openssl gendsa -out dsa8.key dsa.params
        openssl dsa -in dsa8.key -traditional -out dsa.key || openssl pkey -in dsa8.key -traditional -out dsa.key
    "#;
    let output = Command::new("bash").args(["-ec", script]).current_dir(&directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directory
});

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(FILES.join(name)).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap()
}

/// Message and help, in one text.
fn refused<T>(outcome: Result<T, (String, String)>) -> String {
    let Err((message, help)) = outcome else { panic!("it was taken") };
    assert!(message.starts_with("F: "), "{message}");
    format!("{message}; {help}")
}

fn certificate_fault(bytes: &[u8]) -> String {
    refused(certificates(bytes, "F"))
}

fn key_fault(bytes: &[u8]) -> String {
    refused(private_key(bytes, "F"))
}

#[test]
fn what_has_one_reading_is_read() {
    let (pem, der) = (text("rsa.pem"), bytes("rsa.der"));
    let of = |text: &str| certificates(text.as_bytes(), "F").unwrap_or_else(|fault| panic!("{fault:?}: {text}"));
    let one = vec![CertificateDer::from(der.clone())];
    let two = vec![der.clone().into(), CertificateDer::from(der)];
    assert_eq!(of(&pem), one);
    assert_eq!(of(&format!("{}{pem}", pem.trim_end())), two, "no line break between END and BEGIN");
    assert_eq!(of(&format!("\u{feff}{pem}")), one, "a byte order mark");
    assert_eq!(of(&format!("{pem}{pem}").replace('\n', "\r\n")), two);
    assert_eq!(of(&format!("{pem}{pem}").replace('\n', "\r")), two);
    assert_eq!(of(&pem.replace("CERTIFICATE", "X509 CERTIFICATE")), one);
    assert_eq!(of(&text("trusted.pem")), one);
    assert_eq!(of(&pem.replace('\n', "  \n  ")), one, "blanks around lines");
    assert_eq!(of(&pem.replace('\n', "")), one, "all in one line");
    assert_eq!(of(&pem.replace('\n', "\n\n")), one, "empty lines");
    assert_eq!(of(&format!("Bag Attributes\n  friendlyName: a\nsubject=CN = a\n{pem}\nthe end")), one);
    assert_eq!(of(&format!("# -----BEGIN CERTIFICATE-----\n# MIIC\n# -----END CERTIFICATE-----\n{pem}")), one);
    assert_eq!(of(&format!("{}{pem}", text("rsa.key"))), one, "the key is in the same file");
    let key = |bytes: &[u8]| private_key(bytes, "F").unwrap();
    assert_eq!(key(format!("{pem}{}", text("rsa.key")).as_bytes()), key(&bytes("rsa.key")));
    assert!(matches!(key(&bytes("rsa.key")), PrivateKeyDer::Pkcs8(_)));
    assert!(matches!(key(&bytes("pkcs1.key")), PrivateKeyDer::Pkcs1(_)));
    assert!(matches!(key(&bytes("sec1.key")), PrivateKeyDer::Sec1(_)), "behind its EC PARAMETERS");
    assert_eq!(block("CERTIFICATE", &of(&pem)[0]).as_str(), pem);
}

#[test]
fn what_was_skipped_is_named_with_the_command() {
    let pem = text("rsa.pem");
    for (bytes, what) in [
        (
            bytes("rsa.der"),
            "this is a certificate in DER, not PEM; convert it with `openssl x509 -inform DER -in F -out NEW.pem`",
        ),
        (
            bytes("settings.pem"),
            "has trust settings of OpenSSL; write the certificate without them: `openssl x509 -in F",
        ),
        (
            bytes("both.p12"),
            "this is PKCS #12 (.p12, .pfx), not PEM; take the certificates out with `openssl pkcs12 -in F",
        ),
        (bytes("chain.p7"), "openssl pkcs7 -inform DER -print_certs -in F"),
        (bytes("chain.p7b"), "no certificate in it, but PKCS #7; convert it with `openssl pkcs7 -print_certs -in F"),
        (bytes("utf16.pem"), "this is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8 F > NEW.pem`"),
        (bytes("request.pem"), "no certificate in it, but a certificate request"),
        (bytes("rsa.key"), "no certificate in it, but a private key"),
        (bytes("key.der"), "this is a private key in DER"),
        (bytes("public.pem"), "no certificate in it, but a public key"),
        (b"\xfe\xed\xfe\xed\0\0\0\x02".to_vec(), "keytool -importkeystore -srckeystore F"),
        (Vec::new(), "the file is empty"),
        (b"hello".to_vec(), "no certificate in it; put a certificate there, in PEM"),
        (pem.replace("-----END CERTIFICATE-----", "").into(), "the CERTIFICATE that begins in line 1 has no END line"),
        (pem.replace("END CERTIFICATE", "END CERT").into(), "ends as something else"),
        (format!("{pem}{}", pem.replace("MII", "M!I")).into(), "is not base64"),
        (format!("{}{pem}", &pem[..200]).into(), "has no END line before the next BEGIN"),
        (format!("{pem}x{pem}").into(), "something stands before -----BEGIN"),
        (pem.replace('\n', "\\n").into(), "has \\n in place of line breaks"),
        (format!("{pem}----BEGIN CERTIFICATE-----\n").into(), "is not a whole BEGIN line"),
        (format!("{pem}\u{2013}BEGIN CERTIFICATE\u{2013}\n").into(), "with five hyphens on both sides"),
    ] {
        let said = certificate_fault(&bytes);
        assert!(said.contains(what), "{said}: {what}");
    }
    let lines: Vec<&str> = pem.lines().collect();
    let without = |missing: usize| [&lines[..missing], &lines[missing + 1..]].concat().join("\n");
    let twice = [&lines[..3], &lines[2..]].concat().join("\n");
    for damaged in [without(3), without(7), twice] {
        let said = certificate_fault(format!("{pem}{damaged}\n").as_bytes());
        assert!(said.contains("is damaged: its length is wrong; a line of it is missing"), "{said}");
    }
    let said = key_fault(&bytes("locked8.der"));
    let command =
        "this is an encrypted private key in DER, not PEM; decrypt and convert it with `openssl pkcs8 -inform DER";
    assert!(said.contains(command), "{said}");
    for (name, public) in [
        ("rsa.pem", true),
        ("rsa.der", true),
        ("public.pem", true),
        ("rsa.key", false),
        ("key.der", false),
        ("locked8.der", false),
        ("both.p12", false),
    ] {
        assert_eq!(is_public(&bytes(name)), public, "{name}");
    }
    let second = certificate_fault(format!("{pem}{}", pem.replace("MII", "M!I")).as_bytes());
    assert!(second.contains(&format!("line {}", pem.lines().count() + 1)), "{second}");
}

#[test]
fn a_key_that_cannot_be_read_is_named_with_the_command_and_never_shown() {
    let key = text("rsa.key");
    for (bytes, what) in [
        (bytes("locked8.key"), "this key is encrypted; decrypt it with `openssl pkey -in F -out NEW.pem`"),
        (bytes("locked1.key"), "this key is encrypted; decrypt it with `openssl pkey -in F -out NEW.pem`"),
        (bytes("key.der"), "this is a private key in DER, not PEM; convert it with `openssl pkey -inform DER -in F"),
        (bytes("both.p12"), "`openssl pkcs12 -in F -nocerts -nodes -out NEW.key`"),
        (bytes("ssh.key"), "in the format of OpenSSH; convert a copy"),
        (bytes("dsa.key"), "of a kind that TLS no longer uses (DSA PRIVATE KEY)"),
        (bytes("utf16.key"), "this is UTF-16"),
        (bytes("rsa.pem"), "no private key in it, but a certificate; name the file of the private key: are two paths"),
        (format!("{key}{}", text("sec1.key")).into(), "there are 2 private keys in it, in lines 1 and"),
        (format!("{key}{}", text("locked8.key")).into(), "there are 2 private keys in it"),
        (key.replace("MII", "M!I").into(), "the PRIVATE KEY that begins in line 1 is not base64"),
        (key.as_bytes()[..400].to_vec(), "the PRIVATE KEY that begins in line 1 has no END line"),
        (key.replace("-----BEGIN ", "-----BEGIN\u{a0}").into(), "line 1 is not a whole BEGIN line"),
    ] {
        let said = key_fault(&bytes);
        assert!(said.contains(what), "{said}: {what}");
        let secret = key.lines().find(|line| said.contains(*line));
        assert_eq!(secret, None, "{said}");
    }
}

#[test]
fn no_text_makes_the_reader_panic_or_show_it() {
    let key = text("rsa.key");
    // Cut off anywhere, and any byte changed.
    for length in 0..key.len() {
        if let Err((message, help)) = private_key(&key.as_bytes()[..length], "F") {
            assert!(
                !key.lines()
                    .any(|line| line.len() > 20 && format!("{message}{help}").contains(line) && !line.contains('-'))
            );
        }
    }
    for place in 0..key.len() {
        for byte in [0, b'-', b'\n', 0xff] {
            let mut changed = key.clone().into_bytes();
            changed[place] = byte;
            drop(private_key(&changed, "F"));
            drop(certificates(&changed, "F"));
        }
    }
}

#[test]
fn many_blocks_take_time_in_proportion() {
    let many = text("rsa.pem").repeat(3_000);
    assert_eq!(certificates(many.as_bytes(), "F").unwrap().len(), 3_000);
}

#[test]
fn public_keys_and_certificates_are_read_and_private_keys_refused() {
    let (public, certificate) = (text("public.pem"), text("rsa.pem"));
    let both = public_keys(format!("{public}{certificate}").as_bytes(), "F").unwrap();
    let lines = public.lines().count();
    assert!(matches!(&both[..], [(1, PublicBlock::Key(_)), (line, PublicBlock::Certificate(_))] if *line == lines + 1));
    for key in ["rsa.key", "pkcs1.key", "sec1.key", "locked8.key", "ssh.key"] {
        let said = refused(public_keys(format!("{public}{}", text(key)).as_bytes(), "F"));
        assert!(said.contains("a private key begins in line") && said.contains("-pubout"), "{key}: {said}");
    }
    let said = refused(public_keys(public.replace("PUBLIC", "RSA PUBLIC").as_bytes(), "F"));
    assert!(said.contains("openssl rsa -RSAPublicKey_in -in F"), "{said}");
    let said = refused(public_keys(&bytes("request.pem"), "F"));
    assert!(said.contains("no public key in it, but a certificate request"), "{said}");
}
