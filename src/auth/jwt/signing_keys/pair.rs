//! One private key, parsed once: it signs, and says what its public half is.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;

use super::SignFault;
use crate::auth::jwt::algorithm::Algorithm;

/// A key pair of one of the kinds that tokens are signed with.
pub(super) enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Ok(Self::P256(pair));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::Ed25519(pair));
        }
        match RsaKeyPair::from_pkcs8(der) {
            Ok(pair) => Ok(Self::Rsa(pair)),
            Err(rejected) if rejected.to_string() == "TooSmall" => {
                Err("an RSA key needs 2048 bits at least; make a new one with `wicketgate new signing-key`".into())
            }
            Err(_) => Err("this key is none that tokens are signed with (RSA from 2048 bits, EC on P-256, Ed25519); \
                           make one with `wicketgate new signing-key`"
                .into()),
        }
    }

    /// The signature over `message`, in the form of RFC 7518 section 3 or RFC 8037 section 3.1.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignFault> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.map(|()| signature).map_err(|_| SignFault::Key)
            }
            Self::P256(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| SignFault::Key)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// The same algorithm, as the library that writes headers of tokens names it.
    pub(super) fn header_algorithm(&self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rsa(_) => jsonwebtoken::Algorithm::RS256,
            Self::P256(_) => jsonwebtoken::Algorithm::ES256,
            Self::Ed25519(_) => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The members of the public key that its thumbprint is made of, and no others (RFC 7638 section 3.2, RFC 8037
    /// section 2).
    pub(super) fn public_jwk(&self) -> Result<Value, String> {
        let unreadable = || "the public half of this key cannot be read".to_owned();
        match self {
            Self::Rsa(pair) => {
                let (_, public) = RSAPublicKey::from_der(pair.public_key().as_ref()).map_err(|_| unreadable())?;
                let number = |bytes: &[u8]| BASE64.encode(bytes.strip_prefix(&[0]).unwrap_or(bytes));
                Ok(json!({ "e": number(public.exponent), "kty": "RSA", "n": number(public.modulus) }))
            }
            Self::P256(pair) => {
                let coordinates = pair.public_key().as_ref().strip_prefix(&[4]).ok_or_else(unreadable)?;
                let (x, y) = coordinates.split_at_checked(32).ok_or_else(unreadable)?;
                Ok(json!({ "crv": "P-256", "kty": "EC", "x": BASE64.encode(x), "y": BASE64.encode(y) }))
            }
            Self::Ed25519(pair) => Ok(json!({ "crv": "Ed25519", "kty": "OKP", "x": BASE64.encode(pair.public_key()) })),
        }
    }
}
