//! Many tokens of an issuer that the gateway trusts.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

pub(crate) struct Issuer {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: String,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) subject_prefix: String,
}

impl Issuer {
    pub(crate) fn write(&self, key: &Path, count: usize, out: &Path) -> anyhow::Result<()> {
        let pem = std::fs::read(key).with_context(|| key.display().to_string())?;
        let key = match self.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(&pem)?,
            Algorithm::ES256 => EncodingKey::from_ec_pem(&pem)?,
            _ => EncodingKey::from_ed_pem(&pem)?,
        };
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.key_id.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut lines = String::new();
        for number in 0..count {
            let claims = json!({
                "iss": self.issuer, "aud": self.audience, "sub": format!("{}{number}", self.subject_prefix),
                "iat": now, "exp": now + 24 * 60 * 60, "jti": format!("{now}-{number}"),
            });
            writeln!(lines, "{}", jsonwebtoken::encode(&header, &claims, &key)?)?;
        }
        std::fs::write(out, lines).with_context(|| out.display().to_string())?;
        println!(r#"{{"tokens":{count}}}"#);
        Ok(())
    }
}
