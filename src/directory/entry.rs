//! The entry of a customer: its subject and its claims.

use std::collections::BTreeMap;

use ldap3::SearchEntry;
use serde_json::Value;

use super::{Directory, DirectoryCustomer, MAX_CLAIMS};
use crate::hex::hex;

/// The attribute of Active Directory whose values are bytes.
const OBJECT_GUID: &str = "objectGUID";

/// The subject and the claims that an entry has, or what is wrong with it.
pub(super) fn customer(directory: &Directory, entry: &SearchEntry) -> Result<DirectoryCustomer, String> {
    let mut subjects = values(entry, &directory.subject)?;
    let subject = match (subjects.pop(), subjects.is_empty()) {
        (Some(subject), true) if !subject.trim().is_empty() => subject,
        (None, _) => return Err(format!("the entry of a customer shows no {}", directory.subject)),
        _ => return Err(format!("the entry of a customer has no single value of {}", directory.subject)),
    };
    let mut claims = BTreeMap::new();
    for (claim, attribute) in &directory.claims {
        let mut values = values(entry, attribute)?;
        match values.len() {
            0 => continue,
            1 => claims.insert(claim.clone(), Value::from(values.remove(0))),
            _ => claims.insert(claim.clone(), values.into()),
        };
    }
    let length: usize = claims.values().map(|value| value.to_string().len()).sum();
    if length > MAX_CLAIMS {
        return Err(format!("the claims of a customer have {length} bytes, and at most {MAX_CLAIMS} are allowed"));
    }
    Ok(DirectoryCustomer { subject, claims })
}

/// The values of an attribute, whose name is in any letter case; those of objectGUID as text.
fn values(entry: &SearchEntry, name: &str) -> Result<Vec<String>, String> {
    let is_it = |known: &String| known.eq_ignore_ascii_case(name);
    let text = entry.attrs.iter().find(|(known, _)| is_it(known)).map(|(_, values)| values.clone());
    let bytes = entry.bin_attrs.iter().find(|(known, _)| is_it(known)).map(|(_, values)| values.clone());
    let (text, bytes) = (text.unwrap_or_default(), bytes.unwrap_or_default());
    if name.eq_ignore_ascii_case(OBJECT_GUID) {
        let all = bytes.into_iter().chain(text.into_iter().map(String::into_bytes));
        return all.map(|bytes| guid(&bytes).ok_or_else(|| format!("a value of {name} has not 16 bytes"))).collect();
    }
    if bytes.is_empty() { Ok(text) } else { Err(format!("the values of {name} are not text")) }
}

/// A GUID of Active Directory, whose first three parts are little-endian, as text.
fn guid(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let digits = hex(&order.map(|at| bytes[at]));
    Some([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const GUID: [u8; 16] = [0x78, 0x56, 0x34, 0x12, 0x34, 0x12, 0x78, 0x56, 0x9a, 0xbc, 1, 2, 3, 4, 5, 6];

    #[test]
    fn a_guid_of_active_directory_is_written_as_its_tools_write_it() {
        assert_eq!(guid(&GUID).unwrap(), "12345678-1234-5678-9abc-010203040506");
        assert_eq!(guid(&GUID[1..]), None);
    }

    #[test]
    fn a_guid_whose_bytes_are_also_text_is_none_the_less_a_guid() {
        let mut entry = SearchEntry { dn: String::new(), attrs: Default::default(), bin_attrs: Default::default() };
        entry.attrs.insert("objectguid".to_owned(), vec!["abcdefghijklmnop".to_owned()]);
        assert_eq!(values(&entry, "objectGUID").unwrap(), ["64636261-6665-6867-696a-6b6c6d6e6f70"]);
        entry.bin_attrs.insert("photo".to_owned(), vec![vec![0xff]]);
        assert!(values(&entry, "photo").is_err());
        assert!(values(&entry, "mail").unwrap().is_empty());
    }
}
