//! A certificate chain and the private key of its first certificate, read from their two files.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::pem;

/// The private key, and its certificate with those that vouch for it.
pub struct CertificatePair {
    /// The certificate of the key first, then the one that has signed it, and so on.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

/// The key of the configuration that is wrong, `certificate` or `private_key`; message and help.
pub type PairFault = (&'static str, String, String);

/// Reads both files. A chain that is in the wrong order is put in order, with a warning in the log.
///
/// # Errors
/// One of the files cannot be used, or they do not belong together.
pub fn read(config: &Config, certificate: &Path, private_key: &Path) -> Result<CertificatePair, PairFault> {
    let of_chain = |(message, help)| ("certificate", message, help);
    let of_key = |(message, help)| ("private_key", message, help);
    let shown = config.resolve(certificate).display().to_string();
    let bytes = config.read_file(certificate).map_err(of_chain)?;
    let chain = pem::certificates(&bytes, &shown).map_err(of_chain)?;
    if let Some(number) = chain.iter().position(|der| X509Certificate::from_der(der).is_err()) {
        let message = format!("{shown}: its {}. certificate is not an X.509 certificate", number + 1);
        return Err(of_chain((message, "put a certificate chain there, in PEM".to_owned())));
    }
    let shown_key = config.resolve(private_key).display().to_string();
    let bytes =
        config.read_private_file(private_key).map_err(|closed| of_key(other_cause(config, private_key, closed)))?;
    let bytes = Zeroizing::new(bytes);
    let key = pem::private_key(&bytes, &shown_key).map_err(of_key)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let signing = provider.key_provider.load_private_key(key.clone_key()).map_err(|fault| {
        let help = "give an RSA key of at least 2048 bits, or one on the curves P-256, P-384 or Ed25519";
        of_key((format!("{shown_key}: {fault}"), help.to_owned()))
    })?;
    let Some(public) = signing.public_key() else { return Ok(CertificatePair { chain, key }) };
    let Some(order) = order(&chain, &public) else {
        let which = if chain.len() == 1 { "its certificate is" } else { "all its certificates are" };
        let message = format!("{shown_key} does not belong to {shown}: {which} for another key");
        return Err(of_key((message, "give the private key that the certificate was made for".to_owned())));
    };
    if !order.is_sorted() {
        let help = "put the certificate of the private key first, and behind each the one that has signed it";
        tracing::warn!(file = shown, help, "the certificate chain in this file is in the wrong order: put in order");
    }
    let chain = order.into_iter().map(|number| chain[number].clone()).collect();
    Ok(CertificatePair { chain, key })
}

/// Why a file cannot be the private key: whoever may read it matters little where it is a certificate or a public key.
fn other_cause(config: &Config, private_key: &Path, refused: (String, String)) -> (String, String) {
    let Ok(bytes) = config.read_file(private_key).map(Zeroizing::new) else { return refused };
    let cause = || pem::private_key(&bytes, config.resolve(private_key).display()).err();
    if pem::is_public(&bytes) { cause().unwrap_or(refused) } else { refused }
}

/// The order of these certificates that begins with that of this public key, each followed by its issuer; those that
/// have no place in it come last. `None` where none of them is for this key.
fn order(chain: &[CertificateDer<'_>], public_key: &[u8]) -> Option<Vec<usize>> {
    let read: Vec<X509Certificate<'_>> =
        chain.iter().map(|der| X509Certificate::from_der(der).map(|(_, read)| read)).collect::<Result<_, _>>().ok()?;
    let first = read.iter().position(|certificate| certificate.public_key().raw == public_key)?;
    let mut order = vec![first];
    let mut left: Vec<usize> = (0..chain.len()).filter(|number| *number != first).collect();
    let mut issuer = read[first].issuer().as_raw();
    while let Some(at) = left.iter().position(|number| read[*number].subject().as_raw() == issuer) {
        let next = left.remove(at);
        issuer = read[next].issuer().as_raw();
        order.push(next);
    }
    order.extend(left);
    Some(order)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_no_private_key_is_told_before_its_mode() {
        let directory = std::env::temp_dir().join(format!("wicketgate-pair-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout a.key -out a.pem -subj /CN=a -days 3
            openssl pkey -in a.key -pubout -out public.pem
            chmod 644 a.key a.pem public.pem";
        let made = Command::new("bash").args(["-ec", script]).current_dir(&directory).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = include_str!("../../gateway.yaml");
        let (config, _) = crate::config::parse(text, &directory.join("gateway.yaml")).unwrap();
        for (file, cause) in [
            ("a.pem", "no private key in it, but a certificate"),
            ("public.pem", "no private key in it, but a public key"),
            ("a.key", "is open to others"),
        ] {
            let Err((key, message, _)) = read(&config, Path::new("a.pem"), Path::new(file)) else { panic!("{file}") };
            assert!(key == "private_key" && message.contains(cause), "{file}: {message}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
