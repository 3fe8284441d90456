//! PEM files as other programs and people write them (RFC 7468): what has one reading is read, and for all else the
//! message names the cause and the help has the command. Neither repeats what stands in a file: it may be a key.

mod blocks;
mod other_format;

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use x509_parser::asn1_rs::{Any, FromBer as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use blocks::Block;

/// Message and help.
type Fault = (String, String);

/// All certificates of a file, in its order; at least one. `path` is for the message.
///
/// # Errors
/// Message and help.
pub fn certificates(bytes: &[u8], path: impl Display) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let path = path.to_string();
    let read = blocks_of(bytes, &path).and_then(|blocks| {
        let mut all = Vec::new();
        for block in &blocks {
            match block.label {
                "CERTIFICATE" | "X509 CERTIFICATE" => all.push(whole(decoded(block, "CERTIFICATE")?, block)?),
                "TRUSTED CERTIFICATE" => all.push(trusted(block, &path)?),
                _ => {}
            }
        }
        if all.is_empty() { Err(missing("certificate", &blocks, &path)) } else { Ok(all) }
    });
    read.map_err(|fault| at(&path, fault))
}

/// Something public in a file that a signature can be verified by.
#[derive(Debug)]
pub enum PublicBlock {
    /// A public key (RFC 7468 section 13).
    Key(SubjectPublicKeyInfoDer<'static>),
    /// A certificate.
    Certificate(CertificateDer<'static>),
}

/// All public keys and certificates of a file, each with the line in which it begins; at least one. `path` is for the
/// message.
///
/// # Errors
/// Message and help; also where there is a private key in it.
pub fn public_keys(bytes: &[u8], path: impl Display) -> Result<Vec<(usize, PublicBlock)>, Fault> {
    let path = path.to_string();
    let read = blocks_of(bytes, &path).and_then(|blocks| {
        let mut all = Vec::new();
        for block in &blocks {
            let key = match block.label {
                "PUBLIC KEY" => PublicBlock::Key(decoded(block, block.label)?),
                "CERTIFICATE" | "X509 CERTIFICATE" => {
                    PublicBlock::Certificate(whole(decoded(block, "CERTIFICATE")?, block)?)
                }
                "TRUSTED CERTIFICATE" => PublicBlock::Certificate(trusted(block, &path)?),
                "RSA PUBLIC KEY" => {
                    let message = format!("the RSA PUBLIC KEY that begins in line {} is in PKCS #1", block.line);
                    let command = format!("openssl rsa -RSAPublicKey_in -in {path} -pubout -out NEW.pem");
                    return Err((message, format!("convert it with `{command}`, and name the new file")));
                }
                label if label.ends_with("PRIVATE KEY") => {
                    let message =
                        format!("a private key begins in line {}, and only its owner may have it", block.line);
                    let help = "ask for the public key, or write it with `openssl pkey -in KEY.pem -pubout`";
                    return Err((message, help.to_owned()));
                }
                _ => continue,
            };
            all.push((block.line, key));
        }
        if all.is_empty() { Err(missing("public key", &blocks, &path)) } else { Ok(all) }
    });
    read.map_err(|fault| at(&path, fault))
}

/// The only private key of a file. `path` is for the message.
///
/// # Errors
/// Message and help.
pub fn private_key(bytes: &[u8], path: impl Display) -> Result<PrivateKeyDer<'static>, Fault> {
    let path = path.to_string();
    only_private_key(bytes, &path).map_err(|fault| at(&path, fault))
}

/// The same, where the message is for somebody who knows which file it is.
///
/// # Errors
/// Message and help.
pub fn only_private_key(bytes: &[u8], path: &str) -> Result<PrivateKeyDer<'static>, Fault> {
    let blocks = blocks_of(bytes, path)?;
    let keys: Vec<&Block<'_>> = blocks.iter().filter(|block| block.label.ends_with("PRIVATE KEY")).collect();
    let key = match keys.as_slice() {
        [] => return Err(missing("private key", &blocks, path)),
        [key] => key,
        several => {
            let lines: Vec<String> = several.iter().map(|key| key.line.to_string()).collect();
            let message = format!("there are {} private keys in it, in lines {}", several.len(), lines.join(" and "));
            return Err((message, "leave one key in the file".to_owned()));
        }
    };
    let command = |what: &str, command: String| Err((format!("this key is {what}"), command));
    match key.label {
        _ if key.is_encrypted() => command(
            "encrypted",
            format!("decrypt it with `openssl pkey -in {path} -out NEW.pem`, and name the new file"),
        ),
        "OPENSSH PRIVATE KEY" => command(
            "in the format of OpenSSH",
            format!(
                "convert a copy of it with `ssh-keygen -p -m PKCS8 -N '' -f COPY`, and name the copy instead of {path}"
            ),
        ),
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => decoded(key, key.label),
        other => command(
            &format!("of a kind that TLS no longer uses ({other})"),
            "make one of RSA or on a curve (EC), and a certificate for it".to_owned(),
        ),
    }
}

/// Returns whether a file has other things than a private key, such as a certificate or public key, so that nothing in it
/// is secret.
pub fn is_public(bytes: &[u8]) -> bool {
    match other_format::of(bytes) {
        Some(format) => matches!(format, other_format::OtherFormat::Certificate),
        None => blocks::read(bytes)
            .is_ok_and(|blocks| !blocks.is_empty() && blocks.iter().all(|block| !block.label.ends_with("PRIVATE KEY"))),
    }
}

/// All lists of revoked certificates of a file, which may be DER; at least one. `path` is for the message.
///
/// # Errors
/// Message and help.
pub fn revocation_lists(bytes: &[u8], path: impl Display) -> Result<Vec<CertificateRevocationListDer<'static>>, Fault> {
    let path = path.to_string();
    if other_format::is_der(bytes) {
        return Ok(vec![bytes.to_vec().into()]);
    }
    let read = blocks_of(bytes, &path).and_then(|blocks| {
        let lists: Vec<_> = blocks
            .iter()
            .filter(|block| block.label == "X509 CRL")
            .map(|block| decoded(block, block.label))
            .collect::<Result<_, _>>()?;
        if lists.is_empty() { Err(missing("certificate revocation list", &blocks, &path)) } else { Ok(lists) }
    });
    read.map_err(|fault| at(&path, fault))
}

/// One block of PEM (RFC 7468 section 2).
pub fn block(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(String::with_capacity(encoded.len() * 2 + 128));
    pem.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

fn at(path: &str, (message, help): Fault) -> Fault {
    (format!("{path}: {message}"), help)
}

/// The blocks of a file that is PEM, or text without any.
fn blocks_of<'t>(bytes: &'t [u8], path: &str) -> Result<Vec<Block<'t>>, Fault> {
    if let Some(format) = other_format::of(bytes) {
        return Err(format.fault(path));
    }
    blocks::read(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// The content of a block, of the kind that this label says.
fn decoded<T: PemObject>(block: &Block<'_>, label: &str) -> Result<T, Fault> {
    let pem = block.plain(label);
    T::from_pem_slice(&pem).map_err(|_| {
        let message = format!("the {} that begins in line {} is not base64", block.label, block.line);
        (message, "the file is damaged, or has \\n in place of line breaks: copy it again".to_owned())
    })
}

/// The certificate, unless its length is not the one that it says: a line of it is missing, or there twice.
fn whole(der: CertificateDer<'static>, block: &Block<'_>) -> Result<CertificateDer<'static>, Fault> {
    let is_damaged = match Any::from_ber(&der) {
        Ok((rest, _)) => !rest.is_empty(),
        Err(_) => other_format::is_der(&der),
    };
    if !is_damaged {
        return Ok(der);
    }
    let message = format!("the {} that begins in line {} is damaged: its length is wrong", block.label, block.line);
    Err((message, "a line of it is missing or there twice: copy it again".to_owned()))
}

/// The certificate in a block of OpenSSL's own kind, behind which it may say for what it is trusted.
fn trusted(block: &Block<'_>, path: &str) -> Result<CertificateDer<'static>, Fault> {
    const NO_WORDS: &[u8] = &[0x30, 0];
    let with_trust: CertificateDer<'static> = decoded(block, "CERTIFICATE")?;
    match X509Certificate::from_der(&with_trust) {
        Ok((rest, _)) if rest.is_empty() || rest == NO_WORDS => {
            Ok(with_trust[..with_trust.len() - rest.len()].to_vec().into())
        }
        _ => Err((
            format!("the TRUSTED CERTIFICATE that begins in line {} has trust settings of OpenSSL", block.line),
            format!("write the certificate without them: `openssl x509 -in {path} -out NEW.pem`"),
        )),
    }
}

/// Nothing of what is wanted is in a file; what is there instead says why.
fn missing(wanted: &str, blocks: &[Block<'_>], path: &str) -> Fault {
    let has = |kind: &str| blocks.iter().any(|block| block.label.ends_with(kind));
    let (instead, help) = if has("PKCS7") || has("PKCS #7 SIGNED DATA") || has("CMS") {
        ("PKCS #7", format!("convert it with `openssl pkcs7 -print_certs -in {path} -out NEW.pem`"))
    } else if has("CERTIFICATE REQUEST") {
        ("a certificate request", "put there what the CA has made of the request".to_owned())
    } else if has("PRIVATE KEY") {
        ("a private key", format!("name the file of the {wanted}: are two paths exchanged?"))
    } else if has("CERTIFICATE") {
        ("a certificate", format!("name the file of the {wanted}: are two paths exchanged?"))
    } else if has("X509 CRL") {
        ("a certificate revocation list", format!("name the file of the {wanted}"))
    } else if has("PUBLIC KEY") {
        ("a public key", format!("name the file of the {wanted}"))
    } else {
        return (format!("no {wanted} in it"), format!("put a {wanted} there, in PEM"));
    };
    (format!("no {wanted} in it, but {instead}"), help)
}

#[cfg(test)]
mod tests;
