//! scrypt (RFC 7914) as PHC strings, as passlib writes them too: `$scrypt$ln=17,r=8,p=1$SALT$HASH`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use scrypt::Params;
use subtle::ConstantTimeEq as _;

use super::work::Kind;
use super::{NEW, Scheme, TOO_CHEAP, TOO_DEAR};
use crate::hex::hex;
use crate::secret::random_bytes;

/// The least: 16 MiB.
const LEAST_LN: u8 = 14;
const LEAST_R: u32 = 8;
/// The least product of N, r and p that is usual today (OWASP): ln=14, r=8, p=5.
const USUAL: u64 = 5 << 17;
/// The most: memory of 1 GiB, 128 * N * r bytes, and as often again.
const MOST_MEMORY: u64 = 1 << 30;
const MOST_P: u32 = 16;
/// Bytes of a salt and of an output, the least and the most.
const SALT: std::ops::RangeInclusive<usize> = 8..=64;
const OUTPUT: std::ops::RangeInclusive<usize> = 16..=64;

/// A hash.
pub(super) struct Scrypt {
    ln: u8,
    r: u32,
    p: u32,
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
    text: String,
}

impl Scrypt {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let damaged = || format!("this scrypt hash is damaged: it is like $scrypt$ln=17,r=8,p=1$SALT$HASH; {NEW}");
        let fields: Vec<&str> = text.split('$').collect();
        let &["", "scrypt", cost, salt, output] = &fields[..] else { return Err(damaged()) };
        let (ln, r, p) = parameters(cost).ok_or_else(damaged)?;
        let decode = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| damaged());
        let (salt, output) = (decode(salt)?, decode(output)?);
        if !SALT.contains(&salt.len()) || !OUTPUT.contains(&output.len()) {
            return Err(format!("an scrypt hash has a salt of 8 to 64 bytes and an output of 16 to 64; {NEW}"));
        }
        if ln < LEAST_LN || r < LEAST_R {
            return Err(format!("{TOO_CHEAP}: ln={LEAST_LN} and r={LEAST_R} of scrypt are the least; {NEW}"));
        }
        if ln > 30 || (128_u64 << ln).saturating_mul(r.into()) > MOST_MEMORY || p > MOST_P {
            return Err(format!("{TOO_DEAR}: 1 GiB (128 * N * r) and p={MOST_P} of scrypt are the most; {NEW}"));
        }
        let params = Params::new(ln, r, p).map_err(|_| damaged())?;
        Ok(Self { ln, r, p, params, salt, output, text: text.to_owned() })
    }
}

/// `ln=17,r=8,p=1`.
fn parameters(text: &str) -> Option<(u8, u32, u32)> {
    let (ln, rest) = text.strip_prefix("ln=")?.split_once(",r=")?;
    let (r, p) = rest.split_once(",p=")?;
    Some((ln.parse().ok()?, r.parse().ok()?, p.parse().ok()?))
}

impl Scheme for Scrypt {
    fn kind(&self) -> Kind {
        Kind::Scrypt
    }

    /// Blocks of 128 bytes that are mixed.
    fn units(&self) -> u64 {
        (u64::from(self.r) * u64::from(self.p)) << self.ln
    }

    fn weakness(&self) -> Option<String> {
        let Self { ln, r, p, .. } = self;
        (self.units() < USUAL).then(|| format!("scrypt of ln={ln},r={r},p={p}, where ln=17,r=8,p=1 is usual today"))
    }

    fn fits(&self, password: &[u8]) -> bool {
        let mut output = [0; 64];
        let output = &mut output[..self.output.len()];
        scrypt::scrypt(password, &self.salt, &self.params, output).is_ok() && bool::from(output.ct_eq(&self.output))
    }

    fn decoy(&self) -> Box<dyn Scheme> {
        let output = random_bytes::<64>()[..self.output.len()].to_vec();
        let salt = random_bytes::<64>()[..self.salt.len()].to_vec();
        Box::new(Self { text: hex(&output), output, salt, ..*self })
    }

    fn text(&self) -> &str {
        &self.text
    }
}
