//! Key of identifiers, read, and the tenants whose customers have identifiers.

use super::key_lines::{KeyLine, key_lines};
use crate::config::raw::{self, Raw};
use crate::config::{Config, Problems};
use crate::customer::{self, Deriver, IdentifierKey, Mode};
use crate::secret::Secret;

/// The tenant of our own accounts; empty where none is configured.
pub(super) fn tenant(raw: &Raw) -> String {
    let named = raw.identifier.as_ref().and_then(|identifier| identifier.tenant.clone());
    named.or_else(|| raw.issuer.as_ref().map(|issuer| issuer.url.clone())).unwrap_or_default()
}

/// A tenant: an issuer whose customers have identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The issuer of their tokens, where there is one, in all its spellings.
    pub issuer: Vec<String>,
    /// The tenant within which their subjects are unique.
    pub tenant: String,
    /// They are our own accounts.
    pub is_own: bool,
}

/// All whose customers have identifiers, our own accounts first.
pub fn tenants(raw: &Raw) -> Vec<Tenant> {
    let named = raw.identifier.as_ref().and_then(|identifier| identifier.tenant.clone());
    let issuer = raw.issuer.as_ref().map(|issuer| issuer.url.clone());
    let own = named.or_else(|| issuer.clone());
    let own = own.map(|tenant| Tenant { issuer: issuer.into_iter().collect(), tenant, is_own: true });
    let of_customers = raw.trusted_issuers.iter().filter(|trusted| trusted.is_for(raw::IssuerRole::Customer));
    let of_others = of_customers.flat_map(|trusted| {
        trusted.spellings().into_iter().map(|issuer| {
            let name = trusted.tenant.as_ref().or(issuer.first()).cloned();
            Tenant { tenant: name.unwrap_or_default(), issuer, is_own: false }
        })
    });
    own.into_iter().chain(of_others).collect()
}

/// Reads the key that identifiers are derived with; what is wrong with it goes to `problems`.
pub fn read_deriver(config: &Config, identifier: &raw::Identifier, problems: &mut Problems) -> Option<Deriver> {
    let secret = match config.read_secret(&identifier.key) {
        Ok(secret) => secret,
        Err((message, help)) => {
            problems.push(config.problem("identifier.key", message, help));
            return None;
        }
    };
    let mode = match identifier.mode {
        raw::IdentifierMode::Traceable => Mode::Traceable,
        raw::IdentifierMode::OneWay => Mode::OneWay,
    };
    deriver_of(&secret, mode)
        .map_err(|fault| {
            let help = "make one with `wicketgate new identifier-key`";
            problems.push(config.problem("identifier.key", fault, help));
        })
        .ok()
}

/// The key on the first line is in force; those before it follow, each with its end.
fn deriver_of(secret: &Secret, mode: Mode) -> Result<Deriver, String> {
    let lines = key_lines(secret)?;
    let parse = |line: &KeyLine| IdentifierKey::parse(&line.secret).map_err(|fault| fault.to_string());
    match &lines[..] {
        [] => Err(customer::KeyFault::Form.to_string()),
        [only] if only.until < u64::MAX || only.from > 0 => Err("the key in force has no time behind it".to_owned()),
        [first, ..] if first.until < u64::MAX || first.from > 0 => {
            Err("the first line is the key in force, and has no time behind it".to_owned())
        }
        [first, earlier @ ..] => {
            let key = parse(first)?;
            let mut last = key.version();
            let mut deriver = Deriver::new(key, mode);
            for line in earlier {
                let key = parse(line)?;
                if line.until == u64::MAX {
                    return Err("a key before the one in force needs its end: until 2026-12-01T00:00:00Z".to_owned());
                }
                if key.version() >= last {
                    return Err("the keys stand in the order of their versions, the highest first".to_owned());
                }
                last = key.version();
                deriver = deriver.after(key, line.until);
            }
            Ok(deriver)
        }
    }
}
